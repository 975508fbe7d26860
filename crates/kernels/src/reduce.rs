//! Sums over axes, and their adjoint.
//!
//! Neighbouring axes of one kind merge, after which every common reduction is `[outer, summed, inner]`: the bias gradient
//! has no outer axis, a sum over rows no inner one, global average pooling has both. Each outer block is a sum of columns.

use ocelli_simd::{InstructionSet, Isa, Kernel, dispatch_on};
use rayon::prelude::*;

use crate::{
    Accumulate,
    elementwise::chunks::{CHUNK, in_pieces},
};

/// The most axes that a shape may have.
pub const MAX_RANK: usize = 6;

/// Columns that are summed side by side: four vectors of the widest instruction set.
const WIDTH: usize = 64;

/// The most parts into which the rows are cut; their sums are kept on the stack and added in order.
const PARTS: usize = 64;

/// Rows that are summed one after the other before they join the sum of their part: two levels of sums keep the error of a
/// million terms near that of a few hundred.
const BLOCK: usize = 128;

/// Numbers of the tile into which a short row is repeated by [`spread`].
const TILE: usize = 1024;

/// Which axes of a shape are summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reduction {
    sizes: [usize; MAX_RANK],
    summed: [bool; MAX_RANK],
    rank: usize,
}

impl Reduction {
    /// A sum over some axes of a shape; `None` if the shape has more than [`MAX_RANK`] axes or an axis is not there.
    pub fn new(shape: &[usize], axes: &[usize]) -> Option<Self> {
        if shape.len() > MAX_RANK || axes.iter().any(|&axis| axis >= shape.len()) {
            return None;
        }
        let mut merged = Self { sizes: [1; MAX_RANK], summed: [false; MAX_RANK], rank: 0 };
        for (axis, &size) in shape.iter().enumerate() {
            let summed = axes.contains(&axis);
            if size == 1 && !shape.is_empty() {
                continue;
            }
            if merged.rank > 0 && merged.summed[merged.rank - 1] == summed {
                merged.sizes[merged.rank - 1] *= size;
            } else {
                (merged.sizes[merged.rank], merged.summed[merged.rank]) = (size, summed);
                merged.rank += 1;
            }
        }
        Some(merged)
    }

    /// Elements before the sum.
    pub fn full_len(&self) -> usize {
        self.sizes.iter().product()
    }

    /// Elements after it.
    pub fn reduced_len(&self) -> usize {
        (0..self.rank).filter(|&axis| !self.summed[axis]).map(|axis| self.sizes[axis]).product()
    }

    /// `[outer, summed, inner]`, if there is one run of summed axes.
    fn blocks(&self) -> Option<[usize; 3]> {
        let (sizes, summed) = (&self.sizes[..self.rank], &self.summed[..self.rank]);
        match summed {
            [] => Some([1, 1, 1]),
            [false] => Some([sizes[0], 1, 1]),
            [true] => Some([1, sizes[0], 1]),
            [true, false] => Some([1, sizes[0], sizes[1]]),
            [false, true] => Some([sizes[0], sizes[1], 1]),
            [false, true, false] => Some([sizes[0], sizes[1], sizes[2]]),
            _ => None,
        }
    }

    /// The place after the sum of the element `flat` before it.
    fn place(&self, mut flat: usize) -> usize {
        let (mut place, mut step) = (0, 1);
        for axis in (0..self.rank).rev() {
            let index = flat % self.sizes[axis];
            flat /= self.sizes[axis];
            if !self.summed[axis] {
                place += index * step;
                step *= self.sizes[axis];
            }
        }
        place
    }
}

/// `y = scale · Σ x` over the summed axes, or added to `y`. The order of the sums is fixed by the geometry.
///
/// # Panics
/// If the lengths are not those of the geometry: a bug of the caller.
pub fn sum(g: &Reduction, x: &[f32], y: &mut [f32], scale: f32, accumulate: Accumulate) {
    assert_eq!(x.len(), g.full_len(), "the operand of a sum has its full shape");
    assert_eq!(y.len(), g.reduced_len(), "the result of a sum has its reduced shape");
    let Some([outer, summed, inner]) = g.blocks() else {
        return general_sum(g, x, y, scale, accumulate);
    };
    if summed * inner == 0 {
        return y.iter_mut().for_each(|y| store(y, 0.0, accumulate));
    }
    let block = |(y, x): (&mut [f32], &[f32]), threads: Threads| column_sums(x, inner, y, scale, accumulate, threads);
    if outer == 1 {
        return block((y, x), Threads::Ambient);
    }
    let pairs = summed * inner;
    if x.len() <= CHUNK {
        return y.chunks_exact_mut(inner).zip(x.chunks_exact(pairs)).for_each(|pair| block(pair, Threads::One));
    }
    let per_task = (CHUNK / pairs).max(1);
    y.par_chunks_mut(inner * per_task).zip(x.par_chunks(pairs * per_task)).for_each(|(y, x)| {
        y.chunks_exact_mut(inner).zip(x.chunks_exact(pairs)).for_each(|pair| block(pair, Threads::One));
    });
}

#[derive(Clone, Copy, PartialEq)]
enum Threads {
    One,
    Ambient,
}

fn store(y: &mut f32, value: f32, accumulate: Accumulate) {
    match accumulate {
        Accumulate::Set => *y = value,
        Accumulate::Add => *y += value,
    }
}

/// Sums that no run of axes describes, element by element in `f64`; not on any hot path.
fn general_sum(g: &Reduction, x: &[f32], y: &mut [f32], scale: f32, accumulate: Accumulate) {
    for (place, y) in y.iter_mut().enumerate() {
        let terms = x.iter().enumerate().filter(|(flat, _)| g.place(*flat) == place);
        let total: f64 = terms.map(|(_, x)| f64::from(*x)).sum();
        store(y, scale * total as f32, accumulate);
    }
}

/// Column sums of `[rows, columns]`. Rows of few columns are first taken several at a time, as one wide row.
fn column_sums(x: &[f32], columns: usize, y: &mut [f32], scale: f32, accumulate: Accumulate, threads: Threads) {
    let rows = x.len() / columns;
    let together = (WIDTH / columns).clamp(1, rows.max(1));
    let wide = together * columns;
    let (body, rest) = x.split_at(rows / together * wide);
    let mut totals = [0.0f32; WIDTH];
    for first in (0..wide).step_by(WIDTH) {
        let width = WIDTH.min(wide - first);
        strip_sums(body, wide, first, &mut totals[..width], threads);
        if together == 1 {
            let totals = &totals[..width];
            y[first..first + width].iter_mut().zip(totals).for_each(|(y, total)| store(y, scale * total, accumulate));
        }
    }
    if together > 1 {
        for (column, y) in y.iter_mut().enumerate() {
            let groups = totals[..wide].iter().skip(column).step_by(columns);
            let tail = rest.iter().skip(column).step_by(columns);
            let total: f64 = groups.chain(tail).map(|v| f64::from(*v)).sum();
            store(y, scale * total as f32, accumulate);
        }
    }
}

/// The sums of columns `first..first + totals.len()` of rows of `stride` numbers.
fn strip_sums(x: &[f32], stride: usize, first: usize, totals: &mut [f32], threads: Threads) {
    let set = InstructionSet::current();
    let rows = x.len() / stride;
    let part = (CHUNK / totals.len()).max(rows.div_ceil(PARTS)).max(1);
    let width = totals.len();
    let one = |x: &[f32], sums: &mut [f32; WIDTH]| dispatch_on(set, Strip { x, stride, first, width, sums });
    let mut parts = [[0.0f32; WIDTH]; PARTS];
    let count = rows.div_ceil(part);
    let work = parts[..count].iter_mut().zip(x.chunks(part * stride));
    if threads == Threads::One || count <= 1 {
        work.for_each(|(sums, x)| one(x, sums));
    } else {
        parts[..count].par_iter_mut().zip(x.par_chunks(part * stride)).for_each(|(sums, x)| one(x, sums));
    }
    for (column, total) in totals.iter_mut().enumerate() {
        *total = parts[..count].iter().map(|sums| f64::from(sums[column])).sum::<f64>() as f32;
    }
}

/// Sums a strip of at most [`WIDTH`] columns over some rows.
struct Strip<'a> {
    x: &'a [f32],
    stride: usize,
    first: usize,
    width: usize,
    sums: &'a mut [f32; WIDTH],
}

impl Kernel for Strip<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        for from in (0..self.width).step_by(I::LANES) {
            let lanes = I::LANES.min(self.width - from);
            let at = self.first + from;
            let mut total = isa.zero();
            for block in self.x.chunks(BLOCK * self.stride) {
                let mut sum = isa.zero();
                for row in block.chunks_exact(self.stride) {
                    let numbers = &row[at..at + lanes];
                    let vector = if lanes == I::LANES { isa.load(numbers) } else { isa.load_partial(numbers) };
                    sum = isa.add(sum, vector);
                }
                total = isa.add(total, sum);
            }
            isa.store_partial(total, &mut self.sums[from..from + lanes]);
        }
    }
}

/// `y = scale · x`, each number of `x` written to all the places that [`sum`] would have summed into it; or added to `y`.
///
/// # Panics
/// If the lengths are not those of the geometry: a bug of the caller.
pub fn spread(g: &Reduction, x: &[f32], y: &mut [f32], scale: f32, accumulate: Accumulate) {
    assert_eq!(y.len(), g.full_len(), "the result of a spread has the full shape");
    assert_eq!(x.len(), g.reduced_len(), "the operand of a spread has the reduced shape");
    let Some([_, summed, inner]) = g.blocks() else {
        return y.iter_mut().enumerate().for_each(|(flat, y)| store(y, scale * x[g.place(flat)], accumulate));
    };
    let block = summed * inner;
    let blocks_per_piece = (CHUNK / block.max(1)).max(1);
    in_pieces(y, block * blocks_per_piece, |start, y| {
        let first = start / block.max(1);
        for (i, y) in y.chunks_exact_mut(block).enumerate() {
            let row = &x[(first + i) * inner..][..inner];
            repeat(row, y, scale, accumulate);
        }
    });
}

/// Writes a row over and over, by tiles if it is short.
fn repeat(row: &[f32], y: &mut [f32], scale: f32, accumulate: Accumulate) {
    let mut tile = [0.0; TILE];
    let copies = (TILE / row.len()).max(1);
    let write = |tile: &[f32], y: &mut [f32]| match accumulate {
        Accumulate::Set => y.copy_from_slice(&tile[..y.len()]),
        Accumulate::Add => y.iter_mut().zip(tile).for_each(|(y, v)| *y += v),
    };
    if row.len() > TILE {
        for y in y.chunks_exact_mut(row.len()) {
            y.iter_mut().zip(row).for_each(|(y, v)| store(y, scale * v, accumulate));
        }
        return;
    }
    let tile = &mut tile[..copies * row.len()];
    for copy in tile.chunks_exact_mut(row.len()) {
        copy.iter_mut().zip(row).for_each(|(to, v)| *to = scale * v);
    }
    y.chunks_mut(tile.len()).for_each(|y| write(tile, y));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn numbers(len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 7919) as f32 * 0.013).sin() + 0.3).collect()
    }

    fn check(shape: &[usize], axes: &[usize]) {
        let g = Reduction::new(shape, axes).unwrap();
        let x = numbers(g.full_len());
        let mut expected = vec![0.0f64; g.reduced_len()];
        let mut size = vec![0.0f64; g.reduced_len()];
        for (flat, x) in x.iter().enumerate() {
            let (mut rest, mut place, mut step) = (flat, 0, 1);
            for axis in (0..shape.len()).rev() {
                let index = rest % shape[axis];
                rest /= shape[axis];
                if !axes.contains(&axis) {
                    place += index * step;
                    step *= shape[axis];
                }
            }
            expected[place] += f64::from(*x);
            size[place] += f64::from(x.abs());
        }
        for set in InstructionSet::available() {
            set.scoped(|| {
                let mut y = vec![1.0; g.reduced_len()];
                sum(&g, &x, &mut y, 0.5, Accumulate::Set);
                for ((y, e), size) in y.iter().zip(&expected).zip(&size) {
                    let error = (f64::from(*y) - 0.5 * e).abs();
                    assert!(error <= 2e-6 * size + 1e-7, "{shape:?} over {axes:?}: {error:e} of {size}");
                }
                let once = y.clone();
                sum(&g, &x, &mut y, 0.5, Accumulate::Add);
                assert!(y.iter().zip(&once).all(|(y, once)| *y == once + once), "{shape:?} over {axes:?}");
            });
        }
        // ⟨Σx, z⟩ = ⟨x, spread z⟩
        let z = numbers(g.reduced_len());
        let mut spread_z = vec![9.0; g.full_len()];
        spread(&g, &z, &mut spread_z, 2.0, Accumulate::Set);
        let left: f64 = expected.iter().zip(&z).map(|(a, b)| 2.0 * a * f64::from(*b)).sum();
        let right: f64 = x.iter().zip(&spread_z).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        assert!((left - right).abs() <= 1e-5 * size.iter().sum::<f64>() + 1e-6, "{shape:?} over {axes:?}");
        let once = spread_z.clone();
        spread(&g, &z, &mut spread_z, 2.0, Accumulate::Add);
        assert!(spread_z.iter().zip(&once).all(|(y, once)| *y == once + once));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_axes(shape in prop::collection::vec(1usize..7, 0..5), picked in prop::collection::vec(any::<bool>(), 5)) {
            let axes: Vec<usize> = (0..shape.len()).filter(|&axis| picked[axis]).collect();
            check(&shape, &axes);
        }
    }

    #[test]
    fn the_common_ones() {
        check(&[64, 28, 28, 6], &[0, 1, 2]);
        check(&[3, 7, 5, 130], &[0, 1, 2]);
        check(&[5, 9, 7, 65], &[1, 2]);
        check(&[40, 30, 20, 3], &[1, 2]);
        check(&[1000, 173], &[0]);
        check(&[173, 1000], &[1]);
        check(&[300_001], &[0]);
        check(&[4, 3, 5], &[0, 2]);
        check(&[], &[]);
        check(&[3, 4], &[]);
        assert_eq!(Reduction::new(&[1; 7], &[0]), None);
        assert_eq!(Reduction::new(&[3], &[1]), None);
    }

    #[test]
    fn the_same_bits_on_any_number_of_threads() {
        for (shape, axes) in [(&[200_000, 3][..], &[0usize][..]), (&[64, 5000], &[1]), (&[40, 4000, 5], &[1])] {
            let g = Reduction::new(shape, axes).unwrap();
            let x = numbers(g.full_len());
            let run = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let mut y = vec![0.0; g.reduced_len()];
                pool.install(|| sum(&g, &x, &mut y, 1.0, Accumulate::Set));
                y
            };
            let one = run(1);
            assert!([2, 3, 8].iter().all(|&threads| run(threads) == one));
        }
    }
}
