//! Sizes that a caller gives, multiplied without overflow.
//!
//! A geometry is checked when it is made: its tensors can be addressed, and no axis is longer than [`LONGEST_AXIS`], so
//! that later computations from it fit `usize`. Lengths that a function compares with a slice's are [`length`]s.

use ocelli_tensor::{Size, element_count};

/// Most pixels of an axis of an image, padding counted. Distances, which are signed, and products of two axes fit any
/// computation then; no image is larger by far.
pub(crate) const LONGEST_AXIS: usize = i32::MAX as usize;

/// Returns the number of elements of these axes; `usize::MAX`, which is no slice's length, where it overflows.
pub(crate) fn length(axes: &[usize]) -> usize {
    Size::product_of(axes).get().unwrap_or(usize::MAX)
}

/// Returns true if a tensor of this shape can be addressed, and one with a single element on each of its empty axes too: an
/// empty axis does not hide that the others are too long.
pub(crate) fn is_addressable<const RANK: usize>(shape: [usize; RANK]) -> bool {
    element_count(&shape.map(|size| size.max(1))).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_axis_hides_no_long_one() {
        assert!(is_addressable([0, 8, 8, 3]));
        assert!(!is_addressable([0, 1 << 40, 1 << 40, 1]));
        assert_eq!(length(&[1 << 40, 1 << 40]), usize::MAX);
        assert_eq!(length(&[3, 0]), 0);
    }
}
