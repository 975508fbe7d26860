//! Sums over axes, and their adjoint.
//!
//! Sums are made of blocks: a few hundred terms are added in `f32`, in vectors, and blocks are added in `f64`, so that
//! the relative error of a sum of millions stays near that of a block. Large sums are cut into parts, fixed by the
//! geometry, whose `f64` results lie on the stack and are added in order: no thread count changes a bit.

mod columns;
mod runs;
mod spread;
pub(crate) mod table;
#[cfg(test)]
mod tests;

use crate::broadcast::MAX_RANK;
use crate::elementwise::chunks::CHUNK;
use crate::sizes::is_addressable;
use crate::{Accumulate, Scratch};
pub use spread::spread;

/// The geometry of a sum over some axes of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reduction {
    /// Axes that alternate between kept and summed, sizes of 1 left out and neighbours of one kind merged.
    axes: [Axis; MAX_RANK],
    rank: usize,
    length: usize,
    reduced_length: usize,
}

/// One of the merged axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Axis {
    size: usize,
    /// Distance between neighbours in the full tensor.
    stride: usize,
    /// Distance between neighbours in the reduced tensor, or `None` for a summed axis.
    kept: Option<usize>,
}

impl Reduction {
    /// Creates the sum of a tensor of this shape over the given axes (in any order). `None` if an axis is not one of
    /// the shape's, there are more than [`MAX_RANK`] axes, or more elements than can be addressed.
    pub fn new(dims: &[usize], summed: &[usize]) -> Option<Self> {
        if dims.len() > MAX_RANK || summed.iter().any(|&axis| axis >= dims.len()) {
            return None;
        }
        let mut padded = [1; MAX_RANK];
        padded[..dims.len()].copy_from_slice(dims);
        if !is_addressable(padded) {
            return None;
        }
        let none = Axis { size: 1, stride: 0, kept: None };
        let (mut axes, mut rank) = ([none; MAX_RANK], 0);
        let (mut length, mut reduced_length) = (1, 1);
        for (axis, &size) in dims.iter().enumerate().rev() {
            let kept = (!summed.contains(&axis)).then_some(reduced_length);
            if size != 1 {
                // From the last axis to the first: an axis of the kind of the one before merges into it.
                match axes[..rank].last_mut() {
                    Some(last) if last.kept.is_some() == kept.is_some() => last.size *= size,
                    _ => {
                        axes[rank] = Axis { size, stride: length, kept };
                        rank += 1;
                    }
                }
            }
            length *= size;
            if kept.is_some() {
                reduced_length *= size;
            }
        }
        axes[..rank].reverse();
        Some(Self { axes, rank, length, reduced_length })
    }

    /// Returns the number of elements before the sum.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Returns the number of elements of the result.
    pub fn reduced_length(&self) -> usize {
        self.reduced_length
    }

    /// Returns the scratch memory that [`sum`] takes of a thread.
    pub fn scratch(&self) -> Scratch {
        match self.axes() {
            // One large table: a bias gradient.
            [Axis { kept: None, .. }, columns] | [columns @ Axis { kept: Some(_), .. }] if self.length > CHUNK => {
                table::column_sums_scratch::<1>(self.length, columns.size)
            }
            _ => Scratch::NONE,
        }
    }

    fn axes(&self) -> &[Axis] {
        &self.axes[..self.rank]
    }
}

/// Computes `y (+)= scale · Σ x` over the summed axes of `g`.
///
/// A sum of no terms is zero. The relative error (to `Σ |x|`) is some 10⁻⁶ for any number of terms.
pub fn sum(g: &Reduction, x: &[f32], y: &mut [f32], scale: f32, accumulate: Accumulate) {
    assert_eq!(x.len(), g.length, "the source has the full length");
    assert_eq!(y.len(), g.reduced_length, "the destination has the reduced length");
    let finish = Finish { scale, accumulate };
    if x.is_empty() {
        y.iter_mut().for_each(|y| finish.store(0.0, y));
        return;
    }
    match g.axes() {
        [] => finish.store(f64::from(x[0]), &mut y[0]),
        [outer @ .., Axis { size, kept: None, .. }] => {
            let outer = Outer::new(outer);
            runs::sum(&outer, *size, x, y, finish);
        }
        [outer @ .., rows @ Axis { kept: None, .. }, columns] => {
            let outer = Outer::new(outer);
            columns::sum(&outer, columns::Table { rows: rows.size, columns: columns.size }, x, y, finish);
        }
        // Nothing is summed.
        [columns] => {
            let table = columns::Table { rows: 1, columns: columns.size };
            columns::sum(&Outer::new(&[]), table, x, y, finish);
        }
        _ => unreachable!("kept and summed axes alternate"),
    }
}

/// The last step of a sum: scaling and storing.
#[derive(Clone, Copy)]
struct Finish {
    scale: f32,
    accumulate: Accumulate,
}

impl Finish {
    #[inline(always)]
    fn store(self, sum: f64, y: &mut f32) {
        let value = (f64::from(self.scale) * sum) as f32;
        match self.accumulate {
            Accumulate::Set => *y = value,
            Accumulate::Add => *y += value,
        }
    }
}

/// The axes before those that a sum's inner loops handle: the kept ones tell results apart, the summed ones are a
/// loop around the inner ones.
#[derive(Clone, Copy)]
struct Outer {
    kept: [Axis; MAX_RANK],
    summed: [Axis; MAX_RANK],
    kept_rank: usize,
    summed_rank: usize,
}

impl Outer {
    fn new(axes: &[Axis]) -> Self {
        let none = Axis { size: 1, stride: 0, kept: None };
        let mut outer = Self { kept: [none; MAX_RANK], summed: [none; MAX_RANK], kept_rank: 0, summed_rank: 0 };
        for &axis in axes {
            if axis.kept.is_some() {
                outer.kept[outer.kept_rank] = axis;
                outer.kept_rank += 1;
            } else {
                outer.summed[outer.summed_rank] = axis;
                outer.summed_rank += 1;
            }
        }
        outer
    }

    /// Returns the number of inner sums that make one result.
    #[inline]
    fn terms(&self) -> usize {
        self.summed[..self.summed_rank].iter().map(|axis| axis.size).product()
    }

    /// Returns the offset in the full tensor at which result `result` begins.
    #[inline]
    fn result_offset(&self, result: usize) -> usize {
        offset(&self.kept[..self.kept_rank], result)
    }

    /// Returns the distance from a result's beginning to that of its inner sum `term`.
    #[inline]
    fn term_offset(&self, term: usize) -> usize {
        offset(&self.summed[..self.summed_rank], term)
    }
}

#[inline]
fn offset(axes: &[Axis], mut index: usize) -> usize {
    let mut offset = 0;
    for axis in axes.iter().rev() {
        offset += index % axis.size * axis.stride;
        index /= axis.size;
    }
    offset
}
