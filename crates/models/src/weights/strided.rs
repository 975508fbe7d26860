//! Copies elements between orders of axes.

/// Elements along each of two axes that are moved together: a cache line.
const TILE: usize = 16;

/// An axis that elements are moved along.
#[derive(Clone, Copy)]
struct MovedAxis {
    size: usize,
    /// Stride of the source.
    from: usize,
    /// Stride of the destination.
    to: usize,
}

/// Returns the number of elements that the indices over `sizes` span with these strides: the largest offset plus one,
/// or 0 if there is no index. `None` if that cannot be addressed.
pub(super) fn span(sizes: &[usize], strides: &[usize]) -> Option<usize> {
    if sizes.contains(&0) {
        return Some(0);
    }
    let far = sizes
        .iter()
        .zip(strides)
        .try_fold(0usize, |far, (&size, &stride)| far.checked_add((size - 1).checked_mul(stride)?))?;
    far.checked_add(1)
}

/// Returns the strides of row-major order.
pub(super) fn row_major(sizes: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; sizes.len()];
    for axis in (0..sizes.len().saturating_sub(1)).rev() {
        strides[axis] = strides[axis + 1].saturating_mul(sizes[axis + 1]);
    }
    strides
}

/// Returns true if the indices over `sizes` with these strides visit the elements in row-major order.
pub(super) fn is_row_major(sizes: &[usize], strides: &[usize]) -> bool {
    sizes.contains(&0)
        || sizes
            .iter()
            .zip(strides)
            .zip(row_major(sizes))
            .all(|((&size, &stride), expected)| size == 1 || stride == expected)
}

/// An iterator over the offsets of all indices over some sizes, in row-major order.
pub(super) struct Offsets<'a> {
    sizes: &'a [usize],
    strides: &'a [usize],
    index: Vec<usize>,
    /// The next offset; `None` after the last one.
    next: Option<usize>,
}

impl<'a> Offsets<'a> {
    /// Makes the iterator over `sizes`, with strides whose [`span`] can be addressed.
    pub(super) fn new(sizes: &'a [usize], strides: &'a [usize]) -> Offsets<'a> {
        let next = (!sizes.contains(&0)).then_some(0);
        Offsets { sizes, strides, index: vec![0; sizes.len()], next }
    }

    /// Returns the offset of the index after the one with this offset.
    fn after(&mut self, mut offset: usize) -> Option<usize> {
        for axis in (0..self.sizes.len()).rev() {
            if self.index[axis] + 1 < self.sizes[axis] {
                self.index[axis] += 1;
                return Some(offset + self.strides[axis]);
            }
            offset -= self.index[axis] * self.strides[axis];
            self.index[axis] = 0;
        }
        None
    }
}

impl Iterator for Offsets<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let offset = self.next?;
        self.next = self.after(offset);
        Some(offset)
    }
}

/// Copies the element at each index of `x`, with the given strides, to `y` in row-major order of `sizes`.
///
/// # Panics
/// Panics if `x` does not hold every index or the length of `y` is not the number of indices.
pub(super) fn copy_strided(x: &[f32], sizes: &[usize], strides: &[usize], y: &mut [f32]) {
    assert_eq!(sizes.iter().product::<usize>(), y.len(), "the sizes are those of the result");
    copy_between(sizes, x, strides, y, &row_major(sizes));
}

/// Copies the element at each index of `x` to the same index of `y`, each with its own strides; those of `y` descend.
///
/// Elements go through tiles of 16 × 16 on the stack, over the axis that is nearest in `x` and the one that is nearest
/// in `y`: whole cache lines are read and written, whatever the strides are.
///
/// # Panics
/// Panics if `x` or `y` does not hold every index.
pub(super) fn copy_between(sizes: &[usize], x: &[f32], from: &[usize], y: &mut [f32], to: &[usize]) {
    let fits = |strides, len| span(sizes, strides).is_some_and(|span| span <= len);
    assert!(fits(from, x.len()) && fits(to, y.len()), "the strides stay within the elements");
    if sizes.contains(&0) {
        return;
    }
    let mut axes = merged(sizes, from, to);
    let Some(nearest_in_y) = axes.pop() else {
        y[0] = x[0];
        return;
    };
    let nearest_in_x = (0..axes.len()).min_by_key(|&i| axes[i].from).filter(|&i| axes[i].from < nearest_in_y.from);
    match nearest_in_x {
        Some(i) => {
            let nearest_in_x = axes.remove(i);
            // Blocks of this axis are outermost, so that each line of y stays in the cache until it is full.
            for start in (0..nearest_in_x.size).step_by(TILE) {
                let block = MovedAxis { size: TILE.min(nearest_in_x.size - start), ..nearest_in_x };
                for_each_offset(&axes, |from, to| {
                    let (from, to) = (from + start * block.from, to + start * block.to);
                    copy_in_tiles(&x[from..], nearest_in_y, block, &mut y[to..]);
                });
            }
        }
        None if (nearest_in_y.from, nearest_in_y.to) == (1, 1) => for_each_offset(&axes, |from, to| {
            y[to..to + nearest_in_y.size].copy_from_slice(&x[from..from + nearest_in_y.size]);
        }),
        None => for_each_offset(&axes, |from, to| {
            (0..nearest_in_y.size).for_each(|i| y[to + i * nearest_in_y.to] = x[from + i * nearest_in_y.from]);
        }),
    }
}

/// Copies a tile between two axes of `x`: rows, which are near each other in `y`, and at most 16 columns, which are so
/// in `x`.
fn copy_in_tiles(x: &[f32], rows: MovedAxis, columns: MovedAxis, y: &mut [f32]) {
    let mut tile = [[0.0; TILE]; TILE];
    for start in (0..rows.size).step_by(TILE) {
        let height = TILE.min(rows.size - start);
        for (i, line) in tile[..height].iter_mut().enumerate() {
            let x = &x[(start + i) * rows.from..];
            if columns.from == 1 && columns.size == TILE {
                line.copy_from_slice(&x[..TILE]);
            } else if columns.from == 1 {
                line.iter_mut().zip(&x[..columns.size]).for_each(|(value, x)| *value = *x);
            } else {
                line[..columns.size].iter_mut().enumerate().for_each(|(j, value)| *value = x[j * columns.from]);
            }
        }
        for j in 0..columns.size {
            let y = &mut y[j * columns.to + start * rows.to..];
            if rows.to == 1 {
                y[..height].iter_mut().zip(&tile).for_each(|(y, line)| *y = line[j]);
            } else {
                tile[..height].iter().enumerate().for_each(|(i, line)| y[i * rows.to] = line[j]);
            }
        }
    }
}

/// Returns the axes without those of size 1, merging neighbours that are contiguous on both sides.
fn merged(sizes: &[usize], from: &[usize], to: &[usize]) -> Vec<MovedAxis> {
    let mut axes: Vec<MovedAxis> = Vec::with_capacity(sizes.len());
    for ((&size, &from), &to) in sizes.iter().zip(from).zip(to).filter(|((size, _), _)| **size != 1) {
        match axes.last_mut() {
            Some(last) if last.from == from * size && last.to == to * size => {
                *last = MovedAxis { size: last.size * size, from, to };
            }
            _ => axes.push(MovedAxis { size, from, to }),
        }
    }
    axes
}

/// Calls `f` with the offsets on both sides of every index, the last axis fastest.
fn for_each_offset(axes: &[MovedAxis], mut f: impl FnMut(usize, usize)) {
    let mut index = vec![0; axes.len()];
    let (mut from, mut to) = (0, 0);
    loop {
        f(from, to);
        let Some(axis) = (0..axes.len()).rev().find(|&axis| index[axis] + 1 < axes[axis].size) else { return };
        for later in axis + 1..axes.len() {
            from -= index[later] * axes[later].from;
            to -= index[later] * axes[later].to;
            index[later] = 0;
        }
        index[axis] += 1;
        from += axes[axis].from;
        to += axes[axis].to;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn by_definition(x: &[f32], sizes: &[usize], strides: &[usize]) -> Vec<f32> {
        let offset = |index: &[usize]| index.iter().zip(strides).map(|(i, stride)| i * stride).sum::<usize>();
        ocelli_tensor::Tensor::from_fn(sizes, |index| x[offset(index)]).into_vec()
    }

    fn check(sizes: &[usize], strides: &[usize]) {
        let x: Vec<f32> = (0..span(sizes, strides).unwrap().max(1)).map(|i| i as f32).collect();
        let mut y = vec![f32::NAN; sizes.iter().product()];
        copy_strided(&x, sizes, strides, &mut y);
        let gathered: Vec<f32> = Offsets::new(sizes, strides).map(|offset| x[offset]).collect();
        assert_eq!(gathered, y, "{sizes:?} with strides {strides:?}");
        assert_eq!(y, by_definition(&x, sizes, strides), "{sizes:?} with strides {strides:?}");
    }

    #[test]
    fn named_cases() {
        for (sizes, strides) in [
            (vec![], vec![]),
            (vec![5], vec![1]),
            (vec![5], vec![3]),
            (vec![5], vec![0]),
            (vec![0, 3], vec![3, 1]),
            (vec![17, 33], vec![1, 17]),
            (vec![33, 17], vec![40, 2]),
            (vec![3, 1, 4], vec![4, 99, 1]),
            // OIHW from HWIO, and back.
            (vec![18, 5, 3, 3], vec![1, 18, 270, 90]),
            (vec![3, 3, 5, 18], vec![3, 1, 9, 45]),
            // An expanded axis.
            (vec![4, 20, 3], vec![3, 0, 1]),
        ] {
            check(&sizes, &strides);
        }
    }

    #[test]
    fn what_cannot_be_addressed_has_no_span() {
        assert_eq!(span(&[usize::MAX, 2], &[usize::MAX, 1]), None);
        assert_eq!(span(&[2, 2], &[usize::MAX, 1]), None);
        assert_eq!(span(&[usize::MAX, 0], &[usize::MAX, 1]), Some(0));
        assert_eq!(span(&[], &[]), Some(1));
        assert!(is_row_major(&[2, 1, 3], &[3, 7, 1]) && !is_row_major(&[2, 3], &[1, 2]));
    }

    proptest! {
        #[test]
        fn every_order_of_axes(
            sizes in prop::collection::vec(1usize..20, 1..5),
            order in Just((0..4usize).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let order: Vec<usize> = order.into_iter().filter(|&axis| axis < sizes.len()).collect();
            let whole = row_major(&sizes);
            let permuted = |list: &[usize]| order.iter().map(|&axis| list[axis]).collect::<Vec<_>>();
            check(&permuted(&sizes), &permuted(&whole));
        }
    }
}
