//! The trait that every instruction set implements.

use crate::{InstructionSet, Kernel};

/// Most `f32` lanes in a vector of any instruction set: those of AVX-512.
pub const MOST_LANES: usize = 16;

/// An instruction set for vectors of `f32`, named by a token that proves that this machine has it.
///
/// All methods are inlined into the function that [`dispatch`](crate::dispatch) runs. Comparisons are false where an
/// operand is NaN.
pub trait Isa: Copy + Send + Sync + 'static {
    /// A vector of [`LANES`](Self::LANES) elements.
    type Vector: Copy + Send + Sync;
    /// A boolean for each lane.
    type Mask: Copy;

    /// This instruction set as a value.
    const SET: InstructionSet;
    /// Name that `OCELLI_ISA` takes and that benchmarks print.
    const NAME: &'static str = Self::SET.name();
    /// Number of `f32` in a vector: a power of two, at most [`MOST_LANES`].
    const LANES: usize;
    /// Number of vector registers.
    const REGISTERS: usize;

    /// Runs a kernel in a function of its own, where register allocation starts afresh: for inner loops that are
    /// reached from a larger kernel.
    fn call<K: Kernel>(self, kernel: K) -> K::Output;

    /// Prefetches the cache line at `x`; any address is allowed.
    #[inline(always)]
    fn prefetch(self, _x: *const f32) {}

    /// Prefetches the cache line at `x` into the second-level cache only; any address is allowed.
    #[inline(always)]
    fn prefetch_second_level(self, _x: *const f32) {}

    /// Returns `x` unchanged, as a barrier that no later computation is moved before: where an inner loop keeps as many
    /// vectors as there are registers, the compiler may otherwise load those of later steps first, and has to keep them
    /// on the stack.
    #[inline(always)]
    fn in_place(self, x: Self::Vector) -> Self::Vector {
        x
    }

    /// Returns `x` unchanged, with its origin hidden from the compiler: an offset that an inner loop adds to addresses
    /// then stays in a register instead of being computed again for each.
    #[inline(always)]
    fn opaque(self, x: usize) -> usize {
        x
    }

    /// Returns a vector with `x` in every lane.
    fn splat(self, x: f32) -> Self::Vector;

    /// Returns a vector of zeros.
    #[inline(always)]
    fn zero(self) -> Self::Vector {
        self.splat(0.0)
    }

    /// Loads the first `LANES` elements of `x`.
    ///
    /// # Panics
    /// If `x` is shorter than a vector.
    #[inline(always)]
    fn load(self, x: &[f32]) -> Self::Vector {
        assert!(x.len() >= Self::LANES, "a load reads a whole vector");
        // SAFETY: the assertion above: `LANES` elements can be read.
        unsafe { self.load_ptr(x.as_ptr()) }
    }

    /// Writes `x` to the first `LANES` elements of `y`.
    ///
    /// # Panics
    /// If `y` is shorter than a vector.
    #[inline(always)]
    fn store(self, x: Self::Vector, y: &mut [f32]) {
        assert!(y.len() >= Self::LANES, "a store writes a whole vector");
        // SAFETY: the assertion above: `LANES` elements can be written.
        unsafe { self.store_ptr(x, y.as_mut_ptr()) }
    }

    /// Loads the first `min(x.len(), LANES)` elements of `x`, with zero in the lanes beyond.
    fn load_partial(self, x: &[f32]) -> Self::Vector;

    /// Loads the first `min(x.len(), LANES)` elements of `x`, with `fill` in the lanes beyond.
    fn load_partial_or(self, x: &[f32], fill: f32) -> Self::Vector;

    /// Writes the first `min(y.len(), LANES)` lanes of `x` to `y`.
    fn store_partial(self, x: Self::Vector, y: &mut [f32]);

    /// Loads the `LANES` elements at `x`, which need no alignment.
    ///
    /// # Safety
    /// `LANES` elements can be read at `x`.
    unsafe fn load_ptr(self, x: *const f32) -> Self::Vector;

    /// Writes the `LANES` elements at `y`, which need no alignment.
    ///
    /// # Safety
    /// `LANES` elements can be written at `y`.
    unsafe fn store_ptr(self, x: Self::Vector, y: *mut f32);

    /// Loads four neighbours at each of the `LANES` addresses `x`, `x + distance`, `x + 2 distance` …, transposed: vector `j` holds
    /// the element at `x + lane · distance + j` in each lane.
    ///
    /// # Safety
    /// Four elements can be read at each address.
    unsafe fn load_transposed(self, x: *const f32, distance: usize) -> [Self::Vector; 4];

    /// Writes the `LANES` elements at `y` past the caches, where the instruction set can: for large results that are
    /// not read soon. Other threads see them in order only after [`fence`](Self::fence).
    ///
    /// # Safety
    /// `LANES` elements can be written at `y`, and `y` is a multiple of the size of a vector.
    #[inline(always)]
    unsafe fn store_non_temporal_ptr(self, x: Self::Vector, y: *mut f32) {
        // SAFETY: the caller: `LANES` elements can be written at `y`.
        unsafe { self.store_ptr(x, y) }
    }

    /// Orders the stores that went past the caches before those that follow. A task that made any calls this at its
    /// end.
    #[inline(always)]
    fn fence(self) {}

    /// Returns `a + b`.
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// Returns `a - b`.
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// Returns `a · b`.
    fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// Returns `a / b`.
    fn div(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// Returns `a · b + c`, rounded once where the instruction set can, twice where it cannot.
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// Returns `c - a · b`, rounded like [`mul_add`](Self::mul_add).
    fn neg_mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;

    /// Returns `a` where `a < b`, else `b`: a NaN in `b` stays, a NaN in `a` yields `b`.
    fn min(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// Returns `a` where `a > b`, else `b`: a NaN in `b` stays, a NaN in `a` yields `b`.
    fn max(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// Returns `|x|`.
    fn abs(self, x: Self::Vector) -> Self::Vector;
    /// Returns `x` with its sign flipped.
    fn neg(self, x: Self::Vector) -> Self::Vector;
    /// Returns the upper half of each lane's bits, with zeros below: of two bf16 numbers in the bits of one `f32`, the
    /// upper one.
    fn upper_half(self, x: Self::Vector) -> Self::Vector;
    /// Returns the lower half of each lane's bits, moved up: of two bf16 numbers, the lower one.
    fn lower_half(self, x: Self::Vector) -> Self::Vector;
    /// Returns `magnitude` (which must not be negative) with the sign of `sign`.
    fn with_sign(self, magnitude: Self::Vector, sign: Self::Vector) -> Self::Vector;
    /// Returns `√x`, correctly rounded; NaN below zero.
    fn sqrt(self, x: Self::Vector) -> Self::Vector;
    /// Rounds to the nearest integer, halves to the even one.
    fn round(self, x: Self::Vector) -> Self::Vector;
    /// Returns the largest integer not above `x`.
    fn floor(self, x: Self::Vector) -> Self::Vector;

    /// Sets the lanes where `a < b`.
    fn less_than(self, a: Self::Vector, b: Self::Vector) -> Self::Mask;
    /// Sets the lanes where `a <= b`.
    fn less_or_equal(self, a: Self::Vector, b: Self::Vector) -> Self::Mask;
    /// Sets the lanes where `a == b`.
    fn equal(self, a: Self::Vector, b: Self::Vector) -> Self::Mask;
    /// Returns the lanes set in both masks.
    fn mask_and(self, a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// Returns the lanes set in either mask.
    fn mask_or(self, a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// Returns the lanes not set.
    fn mask_not(self, a: Self::Mask) -> Self::Mask;
    /// Returns true if any lane is set.
    fn any(self, mask: Self::Mask) -> bool;
    /// Returns `a` where the mask is set, else `b`.
    fn select(self, mask: Self::Mask, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// Returns zero where the mask is set, else `a`.
    #[inline(always)]
    fn zero_where(self, mask: Self::Mask, a: Self::Vector) -> Self::Vector {
        self.select(mask, self.zero(), a)
    }

    /// Returns `2ⁿ` for integers `n` in `-126..=127` and zero for -127; unspecified outside.
    fn pow2i(self, n: Self::Vector) -> Self::Vector;
    /// Returns `x · 2ⁿ` for integers `n` in `-252..=254`, with under- and overflow as in exact arithmetic.
    fn mul_pow2(self, x: Self::Vector, n: Self::Vector) -> Self::Vector;
    /// Splits `x` into `(n, m)` with `x = m · 2ⁿ` and `1 <= m < 2`, for positive normal `x`; unspecified outside.
    fn split_exponent(self, x: Self::Vector) -> (Self::Vector, Self::Vector);

    /// Returns the sum of all lanes in one fixed order: the upper half is added to the lower one until one lane is
    /// left.
    fn sum(self, x: Self::Vector) -> f32;
    /// Returns the largest lane; unspecified where a lane is NaN.
    fn max_lane(self, x: Self::Vector) -> f32;
    /// Returns the smallest lane; unspecified where a lane is NaN.
    fn min_lane(self, x: Self::Vector) -> f32;
}
