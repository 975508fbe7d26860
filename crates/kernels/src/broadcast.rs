//! Arithmetic of two operands whose shapes are joined by NumPy's rule: aligned at the last axis, sizes equal or 1.

use ocelli_simd::{BinaryFunction, InstructionSet, Isa, Kernel, UnaryFunction, dispatch_on, slices};

use crate::elementwise::{
    Source,
    chunks::{CHUNK, in_pieces},
};

/// The most axes that a shape may have.
pub const MAX_RANK: usize = 6;

/// Numbers of the tile into which a short second operand is repeated: rows of 6 or 16 channels are then as fast as long
/// ones. 4 KiB: it stays in the first cache.
const TILE: usize = 1024;

/// An operation on two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// `a + b`
    Add,
    /// `a - b`
    Sub,
    /// `a · b`
    Mul,
    /// `a / b`
    Div,
}

/// How two shapes are joined: axes that both operands run through alike are merged into one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broadcast {
    /// Axes from the slowest to the fastest, the unused ones of size 1 in front.
    sizes: [usize; MAX_RANK],
    a_strides: [usize; MAX_RANK],
    b_strides: [usize; MAX_RANK],
}

impl Broadcast {
    /// `None` if the shapes do not go together or have more than [`MAX_RANK`] axes.
    ///
    /// ```
    /// use ocelli_kernels::broadcast::Broadcast;
    /// assert!(Broadcast::new(&[8, 5, 5, 3], &[3]).is_some());
    /// assert!(Broadcast::new(&[8, 5, 5, 3], &[8, 1, 1, 3]).is_some());
    /// assert!(Broadcast::new(&[8, 5, 5, 3], &[5]).is_none());
    /// ```
    pub fn new(a: &[usize], b: &[usize]) -> Option<Self> {
        if a.len().max(b.len()) > MAX_RANK {
            return None;
        }
        let aligned = |shape: &[usize]| -> [usize; MAX_RANK] {
            std::array::from_fn(|axis| (axis + shape.len()).checked_sub(MAX_RANK).map_or(1, |axis| shape[axis]))
        };
        let (a, b) = (aligned(a), aligned(b));
        let mut joined = Self { sizes: [1; MAX_RANK], a_strides: [0; MAX_RANK], b_strides: [0; MAX_RANK] };
        let (mut a_step, mut b_step, mut at) = (1, 1, MAX_RANK);
        for axis in (0..MAX_RANK).rev() {
            let size = match (a[axis], b[axis]) {
                (x, y) if x == y => x,
                (1, y) => y,
                (x, 1) => x,
                _ => return None,
            };
            let stride = |own: usize, step: usize| if own == 1 { 0 } else { step };
            let (a_stride, b_stride) = (stride(a[axis], a_step), stride(b[axis], b_step));
            a_step *= a[axis];
            b_step *= b[axis];
            if size == 1 {
                continue;
            }
            let goes_on = at < MAX_RANK
                && a_stride == joined.a_strides[at] * joined.sizes[at]
                && b_stride == joined.b_strides[at] * joined.sizes[at];
            if goes_on {
                joined.sizes[at] *= size;
            } else {
                at -= 1;
                (joined.sizes[at], joined.a_strides[at], joined.b_strides[at]) = (size, a_stride, b_stride);
            }
        }
        if at == MAX_RANK {
            // One number each.
            (joined.a_strides[MAX_RANK - 1], joined.b_strides[MAX_RANK - 1]) = (1, 1);
        }
        Some(joined)
    }

    /// Elements of the result.
    pub fn len(&self) -> usize {
        self.sizes.iter().product()
    }

    /// Whether the result has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where row `row` of the fastest axis begins in either operand.
    fn row_starts(&self, mut row: usize) -> (usize, usize) {
        let (mut a, mut b) = (0, 0);
        for axis in (0..MAX_RANK - 1).rev() {
            let index = row % self.sizes[axis];
            row /= self.sizes[axis];
            a += index * self.a_strides[axis];
            b += index * self.b_strides[axis];
        }
        (a, b)
    }

    /// The length of `b`, if the result is `b` repeated against a contiguous `a` and `b` is short.
    fn short_period(&self) -> Option<usize> {
        let last = MAX_RANK - 1;
        let outer_is_one_axis = self.sizes[..last - 1].iter().all(|&size| size == 1);
        let period = self.sizes[last];
        let repeated = (self.a_strides[last], self.b_strides[last]) == (1, 1)
            && (self.a_strides[last - 1], self.b_strides[last - 1]) == (period, 0);
        (outer_is_one_axis && repeated && period <= TILE / 2).then_some(period)
    }
}

/// `y = op(a, b)`. An operand may be the destination itself if it has the result's shape.
///
/// # Panics
/// If the lengths are not those of the geometry: a bug of the caller.
pub fn binary(op: Binary, g: &Broadcast, a: Source<'_>, b: Source<'_>, y: &mut [f32]) {
    assert_eq!(y.len(), g.len(), "the result of an operation on two operands has their joined shape");
    match op {
        Binary::Add => apply(Add, g, a, b, y),
        Binary::Sub => apply(Sub, g, a, b, y),
        Binary::Mul => apply(Mul, g, a, b, y),
        Binary::Div => apply(Div, g, a, b, y),
    }
}

macro_rules! functions {
    ($($name:ident $method:ident),*) => { $(
        #[derive(Clone, Copy)]
        struct $name;

        impl BinaryFunction for $name {
            #[inline(always)]
            fn apply<I: Isa>(self, isa: I, a: I::Vector, b: I::Vector) -> I::Vector {
                isa.$method(a, b)
            }
        }
    )* };
}
functions!(Add add, Sub sub, Mul mul, Div div);

/// `f` with its operands exchanged.
#[derive(Clone, Copy)]
struct Exchanged<F>(F);

impl<F: BinaryFunction> BinaryFunction for Exchanged<F> {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, a: I::Vector, b: I::Vector) -> I::Vector {
        self.0.apply(isa, b, a)
    }
}

/// `f` with one second operand for all.
#[derive(Clone, Copy)]
struct With<F> {
    f: F,
    b: f32,
}

impl<F: BinaryFunction> UnaryFunction for With<F> {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, x: I::Vector) -> I::Vector {
        self.f.apply(isa, x, isa.splat(self.b))
    }
}

/// `f(x, x)`
#[derive(Clone, Copy)]
struct Twice<F>(F);

impl<F: BinaryFunction> UnaryFunction for Twice<F> {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, x: I::Vector) -> I::Vector {
        self.0.apply(isa, x, x)
    }
}

fn apply<F: BinaryFunction + Sync>(f: F, g: &Broadcast, a: Source<'_>, b: Source<'_>, y: &mut [f32]) {
    match (a, b) {
        (Source::InPlace, Source::InPlace) => {
            let set = InstructionSet::current();
            in_pieces(y, CHUNK, |_, y| dispatch_on(set, Both { f, y }));
        }
        (a, Source::Slice(b)) => rows(f, g, a, b, y),
        (Source::Slice(a), Source::InPlace) => {
            let exchanged = Broadcast { a_strides: g.b_strides, b_strides: g.a_strides, ..*g };
            rows(Exchanged(f), &exchanged, Source::InPlace, a, y);
        }
    }
}

struct Both<'a, F> {
    f: F,
    y: &'a mut [f32],
}

impl<F: BinaryFunction> Kernel for Both<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        slices::map_in_place(isa, Twice(self.f), self.y);
    }
}

/// Row by row over the fastest axis; where rows are short and `b` is repeated, tile by tile.
fn rows<F: BinaryFunction + Sync>(f: F, g: &Broadcast, a: Source<'_>, b: &[f32], y: &mut [f32]) {
    let set = InstructionSet::current();
    let row = g.sizes[MAX_RANK - 1].max(1);
    let mut tile = [0.0; TILE];
    let tile: Option<&[f32]> = g.short_period().map(|period| {
        let repeated = &mut tile[..TILE / period * period];
        repeated.chunks_exact_mut(period).for_each(|to| to.copy_from_slice(&b[..period]));
        &*repeated
    });
    let unit = tile.map_or(row, <[f32]>::len);
    let piece = unit * (CHUNK / unit).max(1);
    in_pieces(y, piece, |start, y| match tile {
        Some(tile) => dispatch_on(set, Tiled { f, a: a.part(start, y.len()), tile, y }),
        None => dispatch_on(set, Rows { f, g, first: start, a, b, y }),
    });
}

struct Tiled<'a, F> {
    f: F,
    a: Source<'a>,
    tile: &'a [f32],
    y: &'a mut [f32],
}

impl<F: BinaryFunction> Kernel for Tiled<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        for (i, y) in self.y.chunks_mut(self.tile.len()).enumerate() {
            let tile = &self.tile[..y.len()];
            match self.a.part(i * self.tile.len(), y.len()) {
                Source::Slice(a) => slices::map2(isa, self.f, a, tile, y),
                Source::InPlace => slices::map2_in_place(isa, self.f, y, tile),
            }
        }
    }
}

struct Rows<'a, F> {
    f: F,
    g: &'a Broadcast,
    /// The element of the result with which `y` begins; a multiple of the row, or any if there is one row.
    first: usize,
    a: Source<'a>,
    b: &'a [f32],
    y: &'a mut [f32],
}

impl<F: BinaryFunction> Kernel for Rows<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let last = MAX_RANK - 1;
        let row = self.g.sizes[last];
        let (a_runs, b_runs) = (self.g.a_strides[last] != 0, self.g.b_strides[last] != 0);
        let mut at = self.first;
        let mut rest = self.y;
        while !rest.is_empty() {
            let within = at % row;
            let len = (row - within).min(rest.len());
            let (y, after) = rest.split_at_mut(len);
            let (a, b) = self.g.row_starts(at / row);
            let (a, b) = (if a_runs { a + within } else { a }, if b_runs { b + within } else { b });
            match (self.a, a_runs, b_runs) {
                (Source::InPlace, _, true) => slices::map2_in_place(isa, self.f, y, &self.b[b..b + len]),
                (Source::InPlace, _, false) => slices::map_in_place(isa, With { f: self.f, b: self.b[b] }, y),
                (Source::Slice(x), true, true) => {
                    slices::map2(isa, self.f, &x[a..a + len], &self.b[b..b + len], y);
                }
                (Source::Slice(x), true, false) => {
                    slices::map(isa, With { f: self.f, b: self.b[b] }, &x[a..a + len], y);
                }
                (Source::Slice(x), false, true) => {
                    slices::map(isa, With { f: Exchanged(self.f), b: x[a] }, &self.b[b..b + len], y);
                }
                (Source::Slice(x), false, false) => {
                    y.fill(x[a]);
                    slices::map_in_place(isa, With { f: self.f, b: self.b[b] }, y);
                }
            }
            at += len;
            rest = after;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn numbers(len: usize, seed: f32) -> Vec<f32> {
        (0..len).map(|i| ((i as f32 + seed) * 0.37).sin() + 1.5).collect()
    }

    /// The definition: index by index.
    fn naive(op: Binary, out: &[usize], a: (&[usize], &[f32]), b: (&[usize], &[f32])) -> Vec<f32> {
        let pick = |(shape, data): (&[usize], &[f32]), index: &[usize]| {
            let skipped = index.len() - shape.len();
            data[shape.iter().zip(&index[skipped..]).fold(0, |at, (&size, &i)| at * size + if size == 1 { 0 } else { i })]
        };
        let len: usize = out.iter().product();
        (0..len)
            .map(|flat| {
                let mut rest = flat;
                let mut index = vec![0; out.len()];
                for axis in (0..out.len()).rev() {
                    index[axis] = rest % out[axis];
                    rest /= out[axis];
                }
                let (x, y) = (pick(a, &index), pick(b, &index));
                match op {
                    Binary::Add => x + y,
                    Binary::Sub => x - y,
                    Binary::Mul => x * y,
                    Binary::Div => x / y,
                }
            })
            .collect()
    }

    fn check(op: Binary, out: &[usize], a_shape: &[usize], b_shape: &[usize]) {
        let len = |shape: &[usize]| shape.iter().product::<usize>();
        let (a, b) = (numbers(len(a_shape), 0.0), numbers(len(b_shape), 50.0));
        let expected = naive(op, out, (a_shape, &a), (b_shape, &b));
        let g = Broadcast::new(a_shape, b_shape).expect("these shapes go together");
        let close = |y: &[f32]| y.iter().zip(&expected).all(|(y, e)| (y - e).abs() <= 1e-6 * e.abs());
        for set in InstructionSet::available() {
            set.scoped(|| {
                let mut y = vec![0.0; len(out)];
                binary(op, &g, Source::Slice(&a), Source::Slice(&b), &mut y);
                assert!(close(&y), "{op:?} {a_shape:?} {b_shape:?}");
                if a_shape == out {
                    let mut y = a.clone();
                    binary(op, &g, Source::InPlace, Source::Slice(&b), &mut y);
                    assert!(close(&y), "{op:?} in place {a_shape:?} {b_shape:?}");
                }
                if b_shape == out {
                    let mut y = b.clone();
                    binary(op, &g, Source::Slice(&a), Source::InPlace, &mut y);
                    assert!(close(&y), "{op:?} second in place {a_shape:?} {b_shape:?}");
                }
            });
        }
    }

    proptest! {
        #[test]
        fn any_shapes(
            axes in prop::collection::vec((1usize..6, 0u8..3), 0..5),
            dropped in 0usize..3,
            op in prop::sample::select(vec![Binary::Add, Binary::Sub, Binary::Mul, Binary::Div]),
        ) {
            let out: Vec<usize> = axes.iter().map(|(size, _)| *size).collect();
            let side = |which: u8| -> Vec<usize> {
                axes.iter().map(|(size, one)| if *one == which { 1 } else { *size }).collect()
            };
            let (a, b) = (side(1), side(2));
            let leading = b.iter().zip(&a).take_while(|(b, a)| **b == 1 || b == a).count().min(dropped);
            // Leading axes of b may be missing where a has the whole size.
            let droppable = (0..leading).take_while(|&i| a[i] == out[i] && b[i] == 1).count();
            check(op, &out, &a, &b[droppable..]);
        }
    }

    #[test]
    fn the_common_ones() {
        let out = [3, 5, 7, 6];
        for b in [&[3, 5, 7, 6][..], &[6], &[5, 7, 6], &[], &[1], &[3, 1, 1, 6], &[3, 5, 7, 1], &[1, 5, 1, 6]] {
            for op in [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div] {
                check(op, &out, &out, b);
                check(op, &out, b, &out);
            }
        }
        check(Binary::Add, &[2, 40_000, 3], &[2, 40_000, 3], &[3]);
        check(Binary::Sub, &[3, 70_000], &[3, 1], &[3, 70_000]);
        let g = Broadcast::new(&[4], &[4]).unwrap();
        let mut y = [1.0, 2.0, 3.0, 4.0];
        binary(Binary::Mul, &g, Source::InPlace, Source::InPlace, &mut y);
        assert_eq!(y, [1.0, 4.0, 9.0, 16.0]);
    }
}
