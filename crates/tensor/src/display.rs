//! Tensors as text.

use crate::{Element, ShapeText, Tensor};
use std::fmt;

/// The entries shown at each end of a long axis.
const EDGE: usize = 3;

/// Shows the shape, then the elements in nested brackets; long axes show their first and last three entries.
///
/// ```
/// use ocelli_tensor::Tensor;
/// let x = Tensor::from_vec([2, 2], vec![1.0, -2.5, 0.0, 1000.0]).unwrap();
/// assert_eq!(x.to_string(), "f32 [2, 2]\n[[       1,     -2.5],\n [       0,     1000]]");
/// ```
impl<T: Element> fmt::Display for Tensor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", T::KIND, ShapeText(self.shape()))?;
        axis(f, self.shape(), self.data(), 1)
    }
}

fn axis<T: Element>(f: &mut fmt::Formatter<'_>, shape: &[usize], data: &[T], depth: usize) -> fmt::Result {
    let Some((&size, rest)) = shape.split_first() else {
        return number(f, data[0]);
    };
    let row = data.len().checked_div(size).unwrap_or(0);
    let shortened = size > 2 * EDGE;
    f.write_str("[")?;
    for i in 0..size {
        if shortened && i == EDGE {
            f.write_str(if rest.is_empty() { ", …" } else { ",\n" })?;
            if !rest.is_empty() {
                write!(f, "{:depth$}…", "")?;
            }
        }
        if shortened && (EDGE..size - EDGE).contains(&i) {
            continue;
        }
        if i > 0 {
            f.write_str(if rest.is_empty() { ", " } else { ",\n" })?;
            if !rest.is_empty() {
                write!(f, "{:depth$}", "")?;
            }
        }
        axis(f, rest, &data[i * row..(i + 1) * row], depth + 1)?;
    }
    f.write_str("]")
}

/// Formats a number in eight columns with at most four decimals, or with an exponent if it would not fit.
fn number<T: Element>(f: &mut fmt::Formatter<'_>, value: T) -> fmt::Result {
    let plain = value.to_string();
    if plain.len() <= 8 {
        return write!(f, "{plain:>8}");
    }
    let value: f64 = plain.parse().unwrap_or(f64::NAN);
    if (1e-3..1e3).contains(&value.abs()) { write!(f, "{value:>8.4}") } else { write!(f, "{value:>8.1e}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_axes_are_shortened() {
        let x = Tensor::from_fn([10], |i| i[0] as f32);
        assert_eq!(x.to_string(), "f32 [10]\n[       0,        1,        2, …,        7,        8,        9]");
        let y = Tensor::full([8, 1], 0u32);
        assert_eq!(y.to_string().lines().count(), 8, "{y}");
    }

    #[test]
    fn numbers_stay_in_their_columns() {
        let x = Tensor::from_vec([1, 3], vec![0.123_456_79, 1.0e-7, f32::NAN]).unwrap();
        assert_eq!(x.to_string(), "f32 [1, 3]\n[[  0.1235,   1.0e-7,      NaN]]");
        assert_eq!(Tensor::scalar(3.5).to_string(), "f32 []\n     3.5");
        assert_eq!(Tensor::zeros([0, 2]).to_string(), "f32 [0, 2]\n[]");
    }
}
