//! The inner kernel under every product and convolution: a tile of results kept in registers while the depth runs by.
//!
//! `C[i, j] = Σ A[i, d] · B[d, j]` for some rows `i` and a panel's width of columns `j`. `B` is a packed panel (see
//! [`super::panels`]), read from front to back. `A` is read where it lies: in *segments* of the depth that each start at
//! an offset of their own, so that one kernel serves a matrix, the taps of a convolution, and the planes of Winograd's
//! transform. Every number of `A` is broadcast and multiplied with [`VECTORS`] vectors of `B`.
//!
//! A tile of `R` rows and 2 vectors needs `2 R` accumulators, 2 registers of `B` and 1 of `A`: 6 rows in the 16
//! registers of AVX2, 14 in the 32 of AVX-512. Per step of the depth, `2 R` multiply-adds then stand against `R + 2`
//! loads, so that the two multiply-add ports, which each take one a cycle, are the limit.

use ocelli_simd::{Isa, Kernel, Stores};

use super::stream::{Fetch, Nothing, Streams, UNROLL};
use crate::{Accumulate, Activation, Epilogue};

/// Vectors in a row of a full panel.
pub(crate) const VECTORS: usize = 2;

/// Columns of a full panel.
pub(crate) const fn panel_width<I: Isa>() -> usize {
    VECTORS * I::LANES
}

/// The most rows of a tile on a full panel: as many as registers hold.
pub(crate) const fn tile_rows<I: Isa>() -> usize {
    (I::REGISTERS - VECTORS - 1) / VECTORS
}

/// The most rows of a tile on a panel one vector wide: at least those of a full tile, into which a left operand may have
/// been copied, and as many sums as hide the latency of a multiply-add (four cycles on two ports). More would fit, but
/// their addresses would not: with 13 rows on AVX2, half of the instructions moved addresses.
pub(crate) const fn narrow_tile_rows<I: Isa>() -> usize {
    const HIDING: usize = 8;
    let (fit, full) = (I::REGISTERS - 3, tile_rows::<I>());
    let most = if full > HIDING { full } else { HIDING };
    if fit < most { fit } else { most }
}

/// The most rows of a tile on a panel of so many vectors.
pub(crate) const fn most_rows<I: Isa>(vectors: usize) -> usize {
    if vectors == 1 { narrow_tile_rows::<I>() } else { tile_rows::<I>() }
}

/// The most rows of any tile.
pub(crate) const MOST_ROWS: usize = 14;

/// Asserts, when compiled for a set, that tiles of both widths have a row at least, and no more than callers have room for.
const fn assert_tiles<I: Isa>() {
    let (full, narrow) = (tile_rows::<I>(), narrow_tile_rows::<I>());
    assert!(1 <= full && full <= narrow && narrow <= MOST_ROWS, "a tile has some rows");
}

/// A run of the depth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Where it begins, in numbers from the tile's first.
    pub offset: usize,
    /// How many numbers of each row it has.
    pub depth: usize,
}

/// How the left operand lies.
pub(crate) trait Left {
    /// The distance between rows and that between steps of the depth, where one is `step` and the other 1.
    fn strides(step: usize) -> (usize, usize);
}

/// Rows are `step` apart and the depth is contiguous: a row-major matrix, pixels with their channels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DepthContiguous;

/// Rows are neighbours and steps of the depth are `step` apart: a transposed matrix, channels over pixels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowsContiguous;

impl Left for DepthContiguous {
    #[inline(always)]
    fn strides(step: usize) -> (usize, usize) {
        (step, 1)
    }
}

impl Left for RowsContiguous {
    #[inline(always)]
    fn strides(step: usize) -> (usize, usize) {
        (1, step)
    }
}

/// What is multiplied: addresses, whose bounds the caller of [`tile`] vouches for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Product<'a> {
    /// The left operand's first number.
    pub a: *const f32,
    /// The distance of its rows, or of its depth, by [`Left`].
    pub step: usize,
    /// The runs of the depth.
    pub segments: &'a [Segment],
    /// A panel, `[depth, 1 or 2 vectors]`, of which only the depth of the segments is read.
    pub b: *const f32,
    /// What is brought near meanwhile by a tile on a full panel; else nothing, as where all is near: asking takes 3 % of the
    /// time of a tile.
    pub streams: Option<Streams>,
}

/// Where the rows of a tile go.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rows<'a> {
    /// One behind the other, so far apart.
    Apart(usize),
    /// At these distances from the first number.
    At(&'a [usize]),
}

impl Rows<'_> {
    #[inline(always)]
    pub fn offset(&self, row: usize) -> usize {
        match self {
            Self::Apart(distance) => row * distance,
            Self::At(offsets) => offsets[row],
        }
    }
}

/// Where the results go, and what is done to them: addresses again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Destination<'a> {
    /// The number that row 0 and column 0 are measured from.
    pub first: *mut f32,
    /// Where each row begins.
    pub rows: Rows<'a>,
    /// Columns that are written, at most the panel's width.
    pub columns: usize,
    /// Whether the sums are added to what is there.
    pub accumulate: Accumulate,
    /// The bias of the first column; null for none.
    pub bias: *const f32,
    /// What is added at the place of `first`, laid out like it; null for none.
    pub residual: *const f32,
    /// The last function.
    pub activation: Activation,
    /// Past the caches only where rows begin at whole vectors; parts of vectors are never stored so.
    pub stores: Stores,
}

impl<'a> Destination<'a> {
    /// Bare sums.
    pub fn plain(first: *mut f32, rows: Rows<'a>, columns: usize, accumulate: Accumulate) -> Self {
        let (bias, residual) = (std::ptr::null(), std::ptr::null());
        let (activation, stores) = (Activation::Identity, Stores::Regular);
        Self { first, rows, columns, accumulate, bias, residual, activation, stores }
    }
}

/// The parts of an [`Epilogue`] at one place of the destination; see [`Finish::at`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Finish {
    bias: *const f32,
    residual: *const f32,
    activation: Activation,
}

// SAFETY: addresses that are only read, inside the slices of an epilogue that outlives the tasks which share this.
unsafe impl Send for Finish {}
// SAFETY: the same.
unsafe impl Sync for Finish {}

impl Finish {
    /// The bare sums, as of all blocks of the depth but the last.
    pub const NOTHING: Self =
        Self { bias: std::ptr::null(), residual: std::ptr::null(), activation: Activation::Identity };

    /// The bias, residual and activation of an epilogue.
    pub fn of(epilogue: &Epilogue<'_>) -> Self {
        let pointer = |operand: Option<&[f32]>| operand.map_or(std::ptr::null(), <[f32]>::as_ptr);
        Self { bias: pointer(epilogue.bias), residual: pointer(epilogue.residual), activation: epilogue.activation }
    }

    /// A destination at `first`, which is number `index` of the tensor and in column `column` of it.
    pub fn at<'a>(
        &self,
        first: *mut f32,
        index: usize,
        column: usize,
        rows: Rows<'a>,
        columns: usize,
        accumulate: Accumulate,
    ) -> Destination<'a> {
        let moved = |pointer: *const f32, by| if pointer.is_null() { pointer } else { pointer.wrapping_add(by) };
        let (bias, residual) = (moved(self.bias, column), moved(self.residual, index));
        let (activation, stores) = (self.activation, Stores::Regular);
        Destination { first, rows, columns, accumulate, bias, residual, activation, stores }
    }
}

/// Computes a tile of `rows` rows on a panel of `vectors` vectors.
///
/// # Safety
/// - `1 <= rows`, at most [`tile_rows`] for 2 vectors and [`narrow_tile_rows`] for 1;
/// - `product.a` plus every segment's offset, row and step of the depth can be read, and the panel for the depth of all
///   segments together;
/// - `to.columns` numbers from `to.first` plus each row's offset are the caller's to write (and hold numbers, if they are
///   added to), `to.residual` can be read at the same offsets unless null, and `to.bias` at as many columns;
/// - with [`Stores::NonTemporal`], each row's first number is aligned to a vector.
#[inline(always)]
pub(crate) unsafe fn tile<I: Isa, L: Left>(
    isa: I,
    rows: usize,
    vectors: usize,
    product: Product<'_>,
    to: Destination<'_>,
) {
    const { assert_tiles::<I>() };
    macro_rules! call {
        ($vectors:literal, $most:expr, $fetch:expr, $($rows:literal)*) => {
            match rows {
                $($rows if $rows <= $most => {
                    isa.call(Tile::<L, _, $rows, $vectors> { product, to, fetch: $fetch, left: PhantomData })
                })*
                _ => unreachable!("a tile of {rows} rows and {vectors} vectors"),
            }
        };
    }
    match (vectors, product.streams) {
        (1, _) => call!(1, const { narrow_tile_rows::<I>() }, Nothing, 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
        (_, None) => call!(2, const { tile_rows::<I>() }, Nothing, 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
        (_, Some(streams)) => call!(2, const { tile_rows::<I>() }, streams, 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
    }
}

use std::marker::PhantomData;

/// [`tile`] with its size fixed; made there only, with what it asks for.
struct Tile<'a, L, F, const ROWS: usize, const N: usize> {
    product: Product<'a>,
    to: Destination<'a>,
    fetch: F,
    left: PhantomData<L>,
}

impl<L: Left, F: Fetch, const ROWS: usize, const N: usize> Kernel for Tile<'_, L, F, ROWS, N> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        if self.to.stores == Stores::Regular {
            // The destination comes nearer while the sums are made.
            for i in 0..ROWS {
                isa.prefetch(self.to.first.wrapping_add(self.to.rows.offset(i)));
            }
        }
        // SAFETY: made in `tile` only, whose caller vouches for all addresses.
        unsafe {
            let sums = sums::<I, L, F, ROWS, N>(isa, &self.product, self.fetch);
            store(isa, sums, &self.to);
        }
    }
}

/// # Safety
/// As [`tile`] asks of the product.
#[inline(always)]
unsafe fn sums<I: Isa, L: Left, F: Fetch, const ROWS: usize, const N: usize>(
    isa: I,
    product: &Product<'_>,
    mut fetch: F,
) -> [[I::Vector; N]; ROWS] {
    let mut sums = [[isa.zero(); N]; ROWS];
    let (row, next) = L::strides(product.step);
    let mut b = product.b;
    for segment in product.segments {
        // SAFETY: `tile`'s caller: offset, rows and depth of each segment can be read, and as much of the panel.
        unsafe {
            let mut a = product.a.add(segment.offset);
            for _ in 0..segment.depth / UNROLL {
                fetch.fetch(isa);
                for step in 0..UNROLL {
                    multiply_add::<I, ROWS, N>(isa, &mut sums, a.add(step * next), row, b.add(step * N * I::LANES));
                }
                a = a.add(UNROLL * next);
                b = b.add(UNROLL * N * I::LANES);
            }
            for _ in 0..segment.depth % UNROLL {
                multiply_add::<I, ROWS, N>(isa, &mut sums, a, row, b);
                a = a.add(next);
                b = b.add(N * I::LANES);
            }
        }
    }
    sums
}

/// One step of the depth.
///
/// # Safety
/// `ROWS` numbers, `row` apart, can be read at `a`, and `N` vectors at `b`.
#[inline(always)]
unsafe fn multiply_add<I: Isa, const ROWS: usize, const N: usize>(
    isa: I,
    sums: &mut [[I::Vector; N]; ROWS],
    a: *const f32,
    row: usize,
    b: *const f32,
) {
    let mut panel = [isa.zero(); N];
    for (v, vector) in panel.iter_mut().enumerate() {
        // SAFETY: the caller: `N` vectors can be read.
        *vector = unsafe { isa.load_ptr(b.add(v * I::LANES)) };
    }
    for (i, sums) in sums.iter_mut().enumerate() {
        // SAFETY: the caller: `ROWS` numbers, `row` apart.
        let a = isa.splat(unsafe { *a.add(i * row) });
        for (sum, b) in sums.iter_mut().zip(panel) {
            *sum = isa.mul_add(a, b, *sum);
        }
    }
}

/// The sums go through the epilogue stage by stage, in registers.
///
/// # Safety
/// As [`tile`] asks of the destination.
#[inline(always)]
pub(crate) unsafe fn store<I: Isa, const ROWS: usize, const N: usize>(
    isa: I,
    sums: [[I::Vector; N]; ROWS],
    to: &Destination<'_>,
) {
    // SAFETY: the caller's; the widths are those of the destination's columns.
    unsafe {
        if to.columns >= N * I::LANES {
            store_columns(isa, sums, to, [I::LANES; N]);
        } else {
            let width = |v: usize| to.columns.saturating_sub(v * I::LANES).min(I::LANES);
            store_columns(isa, sums, to, std::array::from_fn(width));
        }
    }
}

/// [`store`] of so many columns of each vector.
///
/// # Safety
/// As [`tile`] asks of the destination, of which the widths are together the columns.
#[inline(always)]
unsafe fn store_columns<I: Isa, const ROWS: usize, const N: usize>(
    isa: I,
    mut sums: [[I::Vector; N]; ROWS],
    to: &Destination<'_>,
    widths: [usize; N],
) {
    if to.accumulate == Accumulate::Add {
        // SAFETY: the caller: the columns at each row of the destination hold numbers.
        unsafe { add_rows(isa, &mut sums, to.first, to.rows, widths) };
    }
    if !to.bias.is_null() {
        let mut bias = [isa.zero(); N];
        for (v, bias) in bias.iter_mut().enumerate() {
            // SAFETY: the caller: the bias has these columns, and nobody writes it meanwhile.
            *bias = unsafe { read(isa, to.bias.wrapping_add(v * I::LANES), widths[v]) };
        }
        for sums in &mut sums {
            for (sum, bias) in sums.iter_mut().zip(bias) {
                *sum = isa.add(*sum, bias);
            }
        }
    }
    if !to.residual.is_null() {
        // SAFETY: the caller: the residual can be read where the destination is written.
        unsafe { add_rows(isa, &mut sums, to.residual, to.rows, widths) };
    }
    if to.activation != Activation::Identity {
        for sums in &mut sums {
            for sum in sums {
                *sum = activate(isa, to.activation, *sum);
            }
        }
    }
    for (i, sums) in sums.iter().enumerate() {
        for (v, (sum, width)) in sums.iter().zip(widths).enumerate() {
            let place = to.first.wrapping_add(to.rows.offset(i) + v * I::LANES);
            // SAFETY: the caller: the columns at each row of the destination are ours to write, aligned if past the caches.
            unsafe {
                if width < I::LANES {
                    isa.store_partial(*sum, std::slice::from_raw_parts_mut(place, width));
                } else if to.stores == Stores::NonTemporal {
                    isa.store_non_temporal_ptr(*sum, place);
                } else {
                    isa.store_ptr(*sum, place);
                }
            }
        }
    }
}

/// Adds the rows that begin at `from`.
///
/// # Safety
/// So many numbers as the widths are together can be read at each row.
#[inline(always)]
unsafe fn add_rows<I: Isa, const ROWS: usize, const N: usize>(
    isa: I,
    sums: &mut [[I::Vector; N]; ROWS],
    from: *const f32,
    rows: Rows<'_>,
    widths: [usize; N],
) {
    for (i, sums) in sums.iter_mut().enumerate() {
        for (v, (sum, width)) in sums.iter_mut().zip(widths).enumerate() {
            // SAFETY: the caller's.
            *sum = isa.add(*sum, unsafe { read(isa, from.wrapping_add(rows.offset(i) + v * I::LANES), width) });
        }
    }
}

/// The first operand of `max` and `min` loses against a NaN in the second, which stays.
#[inline(always)]
fn activate<I: Isa>(isa: I, activation: Activation, x: I::Vector) -> I::Vector {
    match activation {
        Activation::Identity => x,
        Activation::Relu => isa.max(isa.zero(), x),
        Activation::Clamp { low, high } => isa.min(isa.splat(high), isa.max(isa.splat(low), x)),
    }
}

/// A vector of `width` numbers to `index` of the destination.
///
/// # Safety
/// `width` numbers at `index` of the destination and of the residual, and as many of the bias, are valid as [`tile`] asks.
#[inline(always)]
pub(crate) unsafe fn store_vector<I: Isa>(isa: I, sum: I::Vector, to: &Destination<'_>, index: usize, width: usize) {
    let residual = if to.residual.is_null() { to.residual } else { to.residual.wrapping_add(index) };
    let to = Destination { first: to.first.wrapping_add(index), residual, rows: Rows::Apart(0), ..*to };
    // SAFETY: the caller's.
    unsafe { store_columns(isa, [[sum]], &to, [width]) };
}

/// A vector, or the first `width` numbers of one where that is less.
///
/// # Safety
/// So many numbers can be read at `x`.
#[inline(always)]
pub(crate) unsafe fn read<I: Isa>(isa: I, x: *const f32, width: usize) -> I::Vector {
    // SAFETY: the caller's.
    unsafe { if width >= I::LANES { isa.load_ptr(x) } else { isa.load_partial(std::slice::from_raw_parts(x, width)) } }
}

/// Cuts `rows` into tiles of at most `most` that differ by one row at the most, so that no tile is so short that the
/// latency of its few sums shows: first row and number of rows of each.
#[inline(always)]
pub(crate) fn even_tiles(rows: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let tiles = rows.div_ceil(most);
    let (mut first, mut left) = (0, tiles);
    std::iter::from_fn(move || {
        if left == 0 {
            return None;
        }
        let count = (rows - first).div_ceil(left);
        left -= 1;
        first += count;
        Some((first - count, count))
    })
}
