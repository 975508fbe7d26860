//! Copies between orders of axes.

/// Numbers along each of two axes that are moved together: a cache line.
const TILE: usize = 16;

/// Axes that are neither of the two that a tile runs over: sizes, and the strides on either side.
type Outer = Vec<(usize, usize, usize)>;

/// The numbers at which an index over `sizes` begins and ends in memory with these strides: as many as one more than the
/// largest offset, 0 if there is no index at all. `None` if that cannot be addressed.
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

/// The strides of row-major order.
pub(super) fn row_major(sizes: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; sizes.len()];
    for axis in (0..sizes.len().saturating_sub(1)).rev() {
        strides[axis] = strides[axis + 1].saturating_mul(sizes[axis + 1]);
    }
    strides
}

/// Whether an index over `sizes` with these strides meets the numbers in row-major order.
pub(super) fn is_row_major(sizes: &[usize], strides: &[usize]) -> bool {
    sizes.contains(&0)
        || sizes
            .iter()
            .zip(strides)
            .zip(row_major(sizes))
            .all(|((&size, &stride), expected)| size == 1 || stride == expected)
}

/// Writes to `y`, in row-major order of `sizes`, the number at each index of `x` with the given strides.
///
/// Tiles of 16 × 16 over the axis that is nearest in `x` and the one that is nearest in `y` go through a buffer on the stack: whole
/// cache lines are read and written, whatever the strides are.
///
/// # Panics
/// If `x` does not hold every index or `y` not exactly as many numbers as there are.
pub(super) fn copy_strided(x: &[f32], sizes: &[usize], strides: &[usize], y: &mut [f32]) {
    assert!(span(sizes, strides).is_some_and(|span| span <= x.len()), "the strides stay within the numbers");
    assert_eq!(sizes.iter().product::<usize>(), y.len(), "the sizes are those of the result");
    if y.is_empty() {
        return;
    }
    let mut axes = merged(sizes, strides);
    // The axis that is nearest in y is the last one.
    let Some(rows) = axes.pop() else {
        y[0] = x[0];
        return;
    };
    let nearest = (0..axes.len()).min_by_key(|&i| axes[i].1).filter(|&i| axes[i].1 < rows.1);
    let columns = nearest.map_or((1, 0, 0), |i| axes.remove(i));
    let mut tile = [[0.0; TILE]; TILE];
    // Rows of the tile follow y, columns follow x. The columns' blocks are outermost, so that each line of y stays in the
    // cache until it is full.
    for column in (0..columns.0).step_by(TILE) {
        let width = TILE.min(columns.0 - column);
        for_each_offset(&axes, |from, to| {
            if columns.0 == 1 && rows.1 == 1 {
                y[to..to + rows.0].copy_from_slice(&x[from..from + rows.0]);
                return;
            }
            for row in (0..rows.0).step_by(TILE) {
                let height = TILE.min(rows.0 - row);
                for (i, line) in tile[..height].iter_mut().enumerate() {
                    let from = from + (row + i) * rows.1 + column * columns.1;
                    if columns.1 == 1 && width == TILE {
                        line.copy_from_slice(&x[from..from + TILE]);
                    } else {
                        line[..width].iter_mut().enumerate().for_each(|(j, value)| *value = x[from + j * columns.1]);
                    }
                }
                for j in 0..width {
                    let to = to + (column + j) * columns.2 + row;
                    y[to..to + height].iter_mut().zip(&tile).for_each(|(y, line)| *y = line[j]);
                }
            }
        });
    }
}

/// Axes as `(size, stride in x, stride in y)`, without those of size 1, and with neighbours that lie side by side on both
/// sides made one.
fn merged(sizes: &[usize], strides: &[usize]) -> Outer {
    let mut axes: Outer = Vec::with_capacity(sizes.len());
    for ((&size, &from), to) in sizes.iter().zip(strides).zip(row_major(sizes)).filter(|((size, _), _)| **size != 1) {
        match axes.last_mut() {
            Some(last) if last.1 == from * size => *last = (last.0 * size, from, to),
            _ => axes.push((size, from, to)),
        }
    }
    axes
}

/// Calls `f` with the offsets in x and y of every index, the last axis fastest.
fn for_each_offset(axes: &[(usize, usize, usize)], mut f: impl FnMut(usize, usize)) {
    let mut index = vec![0; axes.len()];
    let (mut from, mut to) = (0, 0);
    loop {
        f(from, to);
        let Some(axis) = (0..axes.len()).rev().find(|&axis| index[axis] + 1 < axes[axis].0) else { return };
        for later in axis + 1..axes.len() {
            from -= index[later] * axes[later].1;
            to -= index[later] * axes[later].2;
            index[later] = 0;
        }
        index[axis] += 1;
        from += axes[axis].1;
        to += axes[axis].2;
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
