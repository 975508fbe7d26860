//! The epilogue of a tile's sums, and their stores.

use ocelli_simd::{Isa, Kernel, Stores};

use crate::{Accumulate, Activation, Epilogue};

/// Placement of the rows of a tile.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rows<'a> {
    /// Rows at a fixed distance.
    Apart(usize),
    /// Rows at these distances from the first element.
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

/// Destination of a tile's results and the epilogue applied to them: addresses, as for the operands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Destination<'a> {
    /// Address of row 0 and column 0.
    pub first: *mut f32,
    /// Placement of the rows.
    pub rows: Rows<'a>,
    /// Columns that are written, at most the panel's width.
    pub columns: usize,
    /// Replaces the destination, or adds to it.
    pub accumulate: Accumulate,
    /// Address of the bias of the first column; null for none.
    pub bias: *const f32,
    /// Address of the residual that is added at `first`, laid out like the destination; null for none.
    pub residual: *const f32,
    /// Activation function applied last.
    pub activation: Activation,
    /// Kind of stores: past the caches only where rows begin at whole vectors; parts of vectors are never stored so.
    pub stores: Stores,
}

impl<'a> Destination<'a> {
    /// Creates a destination for bare sums.
    pub fn plain(first: *mut f32, rows: Rows<'a>, columns: usize, accumulate: Accumulate) -> Self {
        let (bias, residual) = (std::ptr::null(), std::ptr::null());
        let (activation, stores) = (Activation::Identity, Stores::Regular);
        Self { first, rows, columns, accumulate, bias, residual, activation, stores }
    }

    /// Returns the same rows without their first `column` columns.
    pub fn after_column(&self, column: usize) -> Self {
        let (columns, first) = (self.columns - column, self.first.wrapping_add(column));
        Self { first, columns, bias: moved(self.bias, column), residual: moved(self.residual, column), ..*self }
    }
}

/// Returns a pointer moved on by `by` elements, unless it is null.
fn moved(pointer: *const f32, by: usize) -> *const f32 {
    if pointer.is_null() { pointer } else { pointer.wrapping_add(by) }
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
    /// Bare sums, as of all blocks of the depth but the last.
    pub const NOTHING: Self =
        Self { bias: std::ptr::null(), residual: std::ptr::null(), activation: Activation::Identity };

    /// Takes the bias, residual and activation of an epilogue.
    pub fn of(epilogue: &Epilogue<'_>) -> Self {
        let pointer = |operand: Option<&[f32]>| operand.map_or(std::ptr::null(), <[f32]>::as_ptr);
        Self { bias: pointer(epilogue.bias), residual: pointer(epilogue.residual), activation: epilogue.activation }
    }

    /// Returns the destination at `first`, which is element `index` of the tensor and in column `column` of it.
    pub fn at<'a>(
        &self,
        first: *mut f32,
        index: usize,
        column: usize,
        rows: Rows<'a>,
        columns: usize,
        accumulate: Accumulate,
    ) -> Destination<'a> {
        let (bias, residual) = (moved(self.bias, column), moved(self.residual, index));
        let (activation, stores) = (self.activation, Stores::Regular);
        Destination { first, rows, columns, accumulate, bias, residual, activation, stores }
    }
}

/// Stores the sums of a tile: added to what is there, with bias, residual and activation, as the destination says.
///
/// Whole vectors go through these stages in registers. Parts of vectors are few, and their code is as long again as that of a tile: it
/// is there once, for tiles of every size.
///
/// # Safety
/// The destination meets the conditions of [`tile`](super::tile::tile).
#[inline(always)]
pub(crate) unsafe fn store<I: Isa, const ROWS: usize, const N: usize>(
    isa: I,
    sums: [[I::Vector; N]; ROWS],
    to: &Destination<'_>,
) {
    if to.columns >= N * I::LANES {
        // SAFETY: the caller's; the columns are whole vectors.
        unsafe { store_whole(isa, sums, to) }
    } else {
        // A copy: `sums` itself stay in registers where they are not stored in parts.
        let copy = sums;
        // SAFETY: the caller's.
        unsafe { store_parts(isa, &copy, to) }
    }
}

/// Stores fewer columns than the sums have, in a function that is shared by tiles of every size.
///
/// # Safety
/// The conditions of [`store`] hold.
#[inline(always)]
pub(crate) unsafe fn store_parts<I: Isa, const ROWS: usize, const N: usize>(
    isa: I,
    sums: &[[I::Vector; N]; ROWS],
    to: &Destination<'_>,
) {
    isa.call(StoreParts { sums: sums.as_ptr().cast(), rows: ROWS, vectors: N, to });
}

/// Stores whole vectors.
///
/// # Safety
/// The conditions of [`store`] hold, and `to.columns` are `N` vectors.
#[inline(always)]
unsafe fn store_whole<I: Isa, const ROWS: usize, const N: usize>(
    isa: I,
    mut sums: [[I::Vector; N]; ROWS],
    to: &Destination<'_>,
) {
    if to.accumulate == Accumulate::Add {
        // SAFETY: the caller: the columns at each row of the destination hold values.
        unsafe { add_rows(isa, &mut sums, to.first, to.rows) };
    }
    if !to.bias.is_null() {
        let mut bias = [isa.zero(); N];
        for (v, bias) in bias.iter_mut().enumerate() {
            // SAFETY: the caller: the bias has these columns, and nobody writes it meanwhile.
            *bias = unsafe { isa.load_ptr(to.bias.wrapping_add(v * I::LANES)) };
        }
        for sums in &mut sums {
            for (sum, bias) in sums.iter_mut().zip(bias) {
                *sum = isa.add(*sum, bias);
            }
        }
    }
    if !to.residual.is_null() {
        // SAFETY: the caller: the residual can be read where the destination is written.
        unsafe { add_rows(isa, &mut sums, to.residual, to.rows) };
    }
    if to.activation != Activation::Identity {
        for sum in sums.as_flattened_mut() {
            *sum = activate(isa, to.activation, *sum);
        }
    }
    for (i, sums) in sums.iter().enumerate() {
        for (v, sum) in sums.iter().enumerate() {
            let place = to.first.wrapping_add(to.rows.offset(i) + v * I::LANES);
            // SAFETY: the caller: the columns at each row of the destination are ours to write, aligned if past the caches.
            unsafe {
                if to.stores == Stores::NonTemporal {
                    isa.store_non_temporal_ptr(*sum, place);
                } else {
                    isa.store_ptr(*sum, place);
                }
            }
        }
    }
}

/// Adds the rows of whole vectors that begin at `from`.
///
/// # Safety
/// `N` vectors can be read at each row.
#[inline(always)]
unsafe fn add_rows<I: Isa, const ROWS: usize, const N: usize>(
    isa: I,
    sums: &mut [[I::Vector; N]; ROWS],
    from: *const f32,
    rows: Rows<'_>,
) {
    for (i, sums) in sums.iter_mut().enumerate() {
        for (v, sum) in sums.iter_mut().enumerate() {
            // SAFETY: the caller's.
            *sum = isa.add(*sum, unsafe { isa.load_ptr(from.wrapping_add(rows.offset(i) + v * I::LANES)) });
        }
    }
}

/// The work of [`store_parts`], where alone it is made.
struct StoreParts<'a> {
    /// Sums, row by row.
    sums: *const f32,
    rows: usize,
    /// Number of vectors in a row.
    vectors: usize,
    to: &'a Destination<'a>,
}

impl Kernel for StoreParts<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        for (v, column) in (0..self.to.columns).step_by(I::LANES).enumerate() {
            let (to, width) = (self.to.after_column(column), I::LANES.min(self.to.columns - column));
            for row in 0..self.rows {
                // SAFETY: made in `store` only: the sums have so many rows of so many vectors, and its caller vouches for the
                // destination, whose columns are cut here.
                unsafe {
                    let sum = isa.load_ptr(self.sums.add((row * self.vectors + v) * I::LANES));
                    store_vector(isa, sum, &to, to.rows.offset(row), width);
                }
            }
        }
    }
}

/// Stores a vector of `width` elements to `index` of the destination, as [`store`] does.
///
/// # Safety
/// `width` elements at `index` of the destination and of the residual, and as many of the bias, are valid as
/// [`tile`](super::tile::tile) asks.
#[inline(always)]
pub(crate) unsafe fn store_vector<I: Isa>(
    isa: I,
    mut sum: I::Vector,
    to: &Destination<'_>,
    index: usize,
    width: usize,
) {
    let place = to.first.wrapping_add(index);
    // SAFETY: the caller's.
    unsafe {
        if to.accumulate == Accumulate::Add {
            sum = isa.add(sum, read(isa, place, width));
        }
        if !to.bias.is_null() {
            sum = isa.add(sum, read(isa, to.bias, width));
        }
        if !to.residual.is_null() {
            sum = isa.add(sum, read(isa, to.residual.wrapping_add(index), width));
        }
        sum = activate(isa, to.activation, sum);
        if width < I::LANES {
            isa.store_partial(sum, std::slice::from_raw_parts_mut(place, width));
        } else if to.stores == Stores::NonTemporal {
            isa.store_non_temporal_ptr(sum, place);
        } else {
            isa.store_ptr(sum, place);
        }
    }
}

/// Applies the activation. The first operand of `max` and `min` loses against a NaN in the second, which stays.
#[inline(always)]
fn activate<I: Isa>(isa: I, activation: Activation, x: I::Vector) -> I::Vector {
    match activation {
        Activation::Identity => x,
        Activation::Relu => isa.max(isa.zero(), x),
        Activation::Clamp { low, high } => isa.min(isa.splat(high), isa.max(isa.splat(low), x)),
    }
}

/// Loads a vector, or the first `width` elements of one where that is less.
///
/// # Safety
/// That many elements can be read at `x`.
#[inline(always)]
pub(crate) unsafe fn read<I: Isa>(isa: I, x: *const f32, width: usize) -> I::Vector {
    // SAFETY: the caller's.
    unsafe { if width >= I::LANES { isa.load_ptr(x) } else { isa.load_partial(std::slice::from_raw_parts(x, width)) } }
}
