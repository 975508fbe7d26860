//! Axes and shapes as messages name them.

use std::fmt;

/// An axis of an activation `[N, H, W, C]`, of features `[N, C]` or of any other shape by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Axis {
    /// The batch.
    N,
    /// Height: rows of pixels.
    H,
    /// Width: columns of pixels.
    W,
    /// Channels or features: always the last axis.
    C,
    /// Any other axis, counted from 0.
    Index(usize),
}

impl Axis {
    /// Names axis `index` of a shape of `rank` axes, where that axis has a name.
    ///
    /// ```
    /// use ocelli_tensor::Axis;
    /// assert_eq!(Axis::named(1, 4), Axis::H);
    /// assert_eq!(Axis::named(1, 2), Axis::C);
    /// assert_eq!(Axis::named(1, 3), Axis::Index(1));
    /// ```
    pub fn named(index: usize, rank: usize) -> Axis {
        match (rank, index) {
            (_, 0) => Axis::N,
            (4, 1) => Axis::H,
            (4, 2) => Axis::W,
            (2, 1) | (4, 3) => Axis::C,
            _ => Axis::Index(index),
        }
    }

    /// Returns the index of this axis in a shape of `rank` axes, or `None` if that shape has no such axis.
    pub fn index(self, rank: usize) -> Option<usize> {
        let index = match self {
            Axis::N => 0,
            Axis::H => 1,
            Axis::W => 2,
            Axis::C => rank.checked_sub(1)?,
            Axis::Index(index) => index,
        };
        let fits = match self {
            Axis::H | Axis::W => rank == 4,
            _ => index < rank,
        };
        fits.then_some(index)
    }
}

impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Axis::Index(index) => write!(f, "{index}"),
            named => write!(f, "{named:?}"),
        }
    }
}

/// A shape that displays as `[64, 28, 28, 1]`.
#[derive(Clone, Copy, Debug)]
pub struct ShapeText<'a>(pub &'a [usize]);

impl fmt::Display for ShapeText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, size) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{size}")?;
        }
        f.write_str("]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_agree() {
        for rank in 1..6 {
            for index in 0..rank {
                assert_eq!(Axis::named(index, rank).index(rank), Some(index), "axis {index} of {rank}");
            }
        }
        assert_eq!(Axis::H.index(2), None);
        assert_eq!(Axis::C.index(0), None);
    }

    #[test]
    fn shapes_read_as_lists() {
        assert_eq!(ShapeText(&[64, 28, 28, 1]).to_string(), "[64, 28, 28, 1]");
        assert_eq!(ShapeText(&[]).to_string(), "[]");
    }
}
