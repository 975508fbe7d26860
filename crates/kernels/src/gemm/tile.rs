//! The inner kernel under every product and convolution: a tile of results kept in registers while the depth runs by.
//!
//! `C[i, j] = Σ A[i, d] · B[d, j]` for some rows `i` and a panel's width of columns `j`. `B` is a packed panel (see
//! [`super::panels`]), read from front to back. `A` is read where it lies: in *segments* of the depth that each start at
//! an offset of their own, so that one kernel serves a matrix, the taps of a convolution, and the planes of Winograd's
//! transform. Every element of `A` is broadcast and multiplied with [`VECTORS`] vectors of `B`.
//!
//! A tile of `R` rows and 2 vectors needs `2 R` accumulators, 2 registers of `B` and 1 of `A`: 6 rows in the 16
//! registers of AVX2, 14 in the 32 of AVX-512. Per step of the depth, `2 R` multiply-adds then stand against `R + 2`
//! loads, so that the two multiply-add ports, which each take one a cycle, are the limit.

use ocelli_simd::{Isa, Kernel, Stores};

use super::finish::{Destination, store};
use super::stream::{Streams, UNROLL, fetch};

/// Vectors in a row of a full panel.
pub(crate) const VECTORS: usize = 2;

/// Returns the number of columns of a full panel.
pub(crate) const fn panel_width<I: Isa>() -> usize {
    VECTORS * I::LANES
}

/// Returns the largest number of rows of a tile on a full panel: as many as registers hold.
pub(crate) const fn tile_rows<I: Isa>() -> usize {
    (I::REGISTERS - VECTORS - 1) / VECTORS
}

/// Returns the largest number of rows of a tile on a panel one vector wide: at least those of a full tile, into which a
/// left operand may have been copied, and as many sums as hide the latency of a multiply-add (four cycles on two
/// ports). More would fit, but their addresses would not: with 13 rows on AVX2, half of the instructions moved
/// addresses.
pub(crate) const fn narrow_tile_rows<I: Isa>() -> usize {
    const HIDING: usize = 8;
    let (fit, full) = (I::REGISTERS - 3, tile_rows::<I>());
    let most = if full > HIDING { full } else { HIDING };
    if fit < most { fit } else { most }
}

/// Returns the largest number of rows of a tile on a panel of so many vectors.
pub(crate) const fn most_rows<I: Isa>(vectors: usize) -> usize {
    if vectors == 1 { narrow_tile_rows::<I>() } else { tile_rows::<I>() }
}

/// Most rows of any tile.
pub(crate) const MOST_ROWS: usize = 14;

/// Asserts at compile time, for a set, that tiles of both widths have a row at least, and no more than callers have
/// room for.
const fn assert_tiles<I: Isa>() {
    let (full, narrow) = (tile_rows::<I>(), narrow_tile_rows::<I>());
    assert!(1 <= full && full <= narrow && narrow <= MOST_ROWS, "a tile has some rows");
}

/// A contiguous run of the depth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Offset of its start from the tile's first element.
    pub offset: usize,
    /// Number of elements of each row in it.
    pub depth: usize,
}

/// Distances in the left operand, in elements. One of them is mostly 1, but one kernel serves all: its loop keeps both in
/// registers, and code for a constant one was no faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Strides {
    /// Distance from one row to the next.
    pub row: usize,
    /// Distance from one step of the depth to the next.
    pub depth: usize,
}

impl Strides {
    /// Creates the distances of rows that are `row` apart and whose depth is contiguous: a row-major matrix, pixels with
    /// their channels.
    pub fn depth_contiguous(row: usize) -> Self {
        Self { row, depth: 1 }
    }

    /// Creates the distances of rows that are neighbours and whose steps of the depth are `depth` apart: a transposed
    /// matrix, channels over pixels.
    pub fn rows_contiguous(depth: usize) -> Self {
        Self { row: 1, depth }
    }
}

/// The distances of a tile's rows from its first, in bytes.
///
/// They are kept as odd multiples of the distance of two rows, of which an address holds the double, the fourfold and the eightfold by
/// itself: so the rows of a tile need half as many registers, and no instruction to compute where they are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowDistances([usize; MOST_ROWS / 2]);

impl RowDistances {
    /// Computes the odd multiples of a distance in elements.
    #[inline(always)]
    fn of<I: Isa>(isa: I, distance: usize) -> Self {
        let mut odd = [0; MOST_ROWS / 2];
        for (i, bytes) in odd.iter_mut().enumerate() {
            *bytes = isa.opaque((2 * i + 1).wrapping_mul(distance).wrapping_mul(size_of::<f32>()));
        }
        Self(odd)
    }

    #[inline(always)]
    fn of_row(&self, row: usize) -> usize {
        if row == 0 {
            return 0;
        }
        let doublings = row.trailing_zeros();
        self.0[(row >> doublings) / 2] << doublings
    }
}

/// Operands of a tile: addresses, whose bounds the caller of [`tile`] vouches for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Product<'a> {
    /// Address of the left operand's first element.
    pub a: *const f32,
    /// Distances of its elements.
    pub strides: Strides,
    /// Runs of the depth.
    pub segments: &'a [Segment],
    /// Address of a panel, `[depth, 1 or 2 vectors]`, of which only the depth of the segments is read.
    pub b: *const f32,
    /// Streams that the tile prefetches meanwhile; none where all data are near: prefetching takes 3 % of the time of a
    /// tile.
    pub streams: Option<Streams>,
}

/// Computes a tile of `rows` rows on a panel of `vectors` vectors.
///
/// # Safety
/// - `1 <= rows`, at most [`tile_rows`] for 2 vectors and [`narrow_tile_rows`] for 1;
/// - `product.a` plus every segment's offset, row and step of the depth can be read, and the panel for the depth of all
///   segments together;
/// - `to.columns` elements from `to.first` plus each row's offset are the caller's to write (and hold values, if they are
///   added to), `to.residual` can be read at the same offsets unless null, and `to.bias` at as many columns;
/// - with [`Stores::NonTemporal`], each row's first element is aligned to a vector.
#[inline(always)]
pub(crate) unsafe fn tile<I: Isa>(isa: I, rows: usize, vectors: usize, product: &Product<'_>, to: &Destination<'_>) {
    const { assert_tiles::<I>() };
    macro_rules! call {
        // A constant condition: no tile is compiled that is larger than the registers of the set.
        ($vectors:literal, $most:ident, $($rows:literal)*) => {
            match rows {
                $($rows if const { $rows <= $most::<I>() } => isa.call(Tile::<$rows, $vectors> { product, to }),)*
                _ => unreachable!("a tile of {rows} rows and {vectors} vectors"),
            }
        };
    }
    match vectors {
        1 => call!(1, narrow_tile_rows, 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
        _ => call!(2, tile_rows, 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
    }
}

/// The kernel of [`tile`] with its size fixed; made there only, under the same conditions. It is compiled for each size and
/// set, so everything else is chosen at run time.
struct Tile<'a, const ROWS: usize, const N: usize> {
    product: &'a Product<'a>,
    to: &'a Destination<'a>,
}

impl<const ROWS: usize, const N: usize> Kernel for Tile<'_, ROWS, N> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        // SAFETY: made in `tile` only, whose caller vouches for all addresses.
        unsafe {
            let sums = sums::<I, ROWS, N>(isa, self.product, self.to);
            store(isa, sums, self.to);
        }
    }
}

/// Computes the sums of a tile. Its destination comes nearer meanwhile, row by row: all at once they would wait, see
/// [`super::stream`].
///
/// # Safety
/// The product meets the conditions of [`tile`].
#[inline(always)]
unsafe fn sums<I: Isa, const ROWS: usize, const N: usize>(
    isa: I,
    product: &Product<'_>,
    to: &Destination<'_>,
) -> [[I::Vector; N]; ROWS] {
    let mut sums = [[isa.zero(); N]; ROWS];
    let rows = RowDistances::of(isa, product.strides.row);
    let mut next = product.strides.depth * size_of::<f32>();
    let mut b = product.b;
    // Hidden in the loop, or the compiler would make one for each answer.
    let fetches = usize::from(product.streams.is_some());
    let mut streams = product.streams.unwrap_or(Streams::still(product.b));
    let mut row = if to.stores == Stores::Regular { 0 } else { ROWS };
    const { assert!(UNROLL == 4) };
    for segment in product.segments {
        // SAFETY: `tile`'s caller: offset, rows and depth of each segment can be read, and as much of the panel.
        unsafe {
            let mut a = product.a.add(segment.offset);
            // Written out: the compiler does not unroll a loop of so many instructions.
            macro_rules! steps {
                ($($step:literal)*) => {{
                    $(
                        multiply_add::<I, ROWS, N>(isa, &mut sums, a, &rows, b.add($step * N * I::LANES));
                        // Hidden, or the compiler would keep the sum of each row and step in a register, or on the stack.
                        next = isa.opaque(next);
                        a = a.wrapping_byte_add(next);
                    )*
                    b = b.add([$($step),*].len() * N * I::LANES);
                }};
            }
            for _ in 0..segment.depth / UNROLL {
                if isa.opaque(row) < ROWS {
                    let first = to.first.wrapping_add(to.rows.offset(row));
                    isa.prefetch(first);
                    isa.prefetch(first.wrapping_add(N * I::LANES - 1));
                    row += 1;
                }
                if isa.opaque(fetches) > 0 {
                    fetch(isa, &mut streams);
                }
                steps!(0 1 2 3);
            }
            for _ in 0..segment.depth % UNROLL {
                steps!(0);
            }
        }
    }
    sums
}

/// Multiplies and adds one step of the depth.
///
/// # Safety
/// An element of each of `ROWS` rows can be read from `a` on, and `N` vectors at `b`.
#[inline(always)]
unsafe fn multiply_add<I: Isa, const ROWS: usize, const N: usize>(
    isa: I,
    sums: &mut [[I::Vector; N]; ROWS],
    a: *const f32,
    rows: &RowDistances,
    b: *const f32,
) {
    let mut panel = [isa.zero(); N];
    for (v, vector) in panel.iter_mut().enumerate() {
        // SAFETY: the caller: `N` vectors can be read.
        *vector = unsafe { isa.load_ptr(b.add(v * I::LANES)) };
    }
    for (i, sums) in sums.iter_mut().enumerate() {
        // SAFETY: the caller: `ROWS` elements, so far apart.
        let a = isa.splat(unsafe { *a.byte_add(rows.of_row(i)) });
        for (sum, b) in sums.iter_mut().zip(panel) {
            *sum = isa.in_place(isa.mul_add(a, b, *sum));
        }
    }
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
