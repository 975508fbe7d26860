//! Overflow-safe arithmetic on sizes that come from a user, a shape or a file.

use std::{
    iter::{Product, Sum},
    ops::{Add, Mul, Sub},
};

/// A size under computation that remembers overflow.
///
/// A sum or product beyond `usize`, or a difference below zero, has no size, and neither has anything computed from it;
/// [`get`](Size::get) tells at the end. Every size from outside the library is computed this way: plain overflow would panic
/// in a debug build and wrap to a wrong size in a release build.
///
/// ```
/// use ocelli_tensor::Size;
/// let padded = Size::from(28) + 2 + 2;
/// assert_eq!((padded * 28).get(), Some(896));
/// assert_eq!((Size::from(usize::MAX) + 1 - 1).get(), None);
/// assert_eq!((Size::from(1) - 2).get(), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(Option<usize>);

impl Size {
    /// Returns the size, or `None` if a step of its computation left the range of `usize`.
    pub fn get(self) -> Option<usize> {
        self.0
    }

    /// Multiplies the sizes of some axes; the product of none is 1.
    pub fn product_of(axes: &[usize]) -> Size {
        axes.iter().copied().product()
    }

    fn combine(self, other: Size, operation: fn(usize, usize) -> Option<usize>) -> Size {
        Size(self.0.zip(other.0).and_then(|(a, b)| operation(a, b)))
    }
}

impl From<usize> for Size {
    fn from(size: usize) -> Size {
        Size(Some(size))
    }
}

impl<S: Into<Size>> Add<S> for Size {
    type Output = Size;
    fn add(self, other: S) -> Size {
        self.combine(other.into(), usize::checked_add)
    }
}

impl<S: Into<Size>> Sub<S> for Size {
    type Output = Size;
    fn sub(self, other: S) -> Size {
        self.combine(other.into(), usize::checked_sub)
    }
}

impl<S: Into<Size>> Mul<S> for Size {
    type Output = Size;
    fn mul(self, other: S) -> Size {
        self.combine(other.into(), usize::checked_mul)
    }
}

impl<S: Into<Size>> Sum<S> for Size {
    fn sum<I: Iterator<Item = S>>(sizes: I) -> Size {
        sizes.fold(Size::from(0), |sum, size| sum + size)
    }
}

impl<S: Into<Size>> Product<S> for Size {
    fn product<I: Iterator<Item = S>>(sizes: I) -> Size {
        sizes.fold(Size::from(1), |product, size| product * size)
    }
}

/// Returns the number of elements of a shape, or `None` if a tensor of that many elements could not be addressed.
///
/// An element has at most 8 bytes, and no slice spans more than `isize::MAX` bytes.
///
/// ```
/// assert_eq!(ocelli_tensor::element_count(&[2, 3, 4]), Some(24));
/// assert_eq!(ocelli_tensor::element_count(&[1 << 40, 1 << 30]), None);
/// ```
pub fn element_count(shape: &[usize]) -> Option<usize> {
    Size::product_of(shape).get().filter(|&count| count <= (isize::MAX as usize) / 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_near_the_end_of_the_numbers_have_no_size() {
        assert_eq!((Size::from(usize::MAX) + 0).get(), Some(usize::MAX));
        assert_eq!((Size::from(usize::MAX) + 1).get(), None);
        assert_eq!((Size::from(usize::MAX) * 2).get(), None);
        // A zero does not hide what came before it, in whichever order.
        assert_eq!(Size::product_of(&[usize::MAX, 2, 0]).get(), None);
        assert_eq!([usize::MAX, 1].into_iter().sum::<Size>().get(), None);
        assert_eq!(element_count(&[usize::MAX / 8]), None);
        assert_eq!(element_count(&[]), Some(1));
    }
}
