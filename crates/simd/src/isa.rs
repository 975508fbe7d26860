//! The trait behind which every instruction set stands.

use crate::{InstructionSet, Kernel};

/// The most `f32` that a vector of any instruction set has: those of AVX-512.
pub const MOST_LANES: usize = 16;

/// An instruction set for vectors of `f32`, named by a token that proves that this machine has it.
///
/// All methods are inlined into the function that [`dispatch`](crate::dispatch) runs. Comparisons are false where an
/// operand is NaN.
pub trait Isa: Copy + Send + Sync + 'static {
    /// A vector of [`LANES`](Self::LANES) numbers.
    type Vector: Copy + Send + Sync;
    /// One yes or no for each lane.
    type Mask: Copy;

    /// The instruction set as a value.
    const SET: InstructionSet;
    /// The name that `OCELLI_ISA` takes and that benchmarks print.
    const NAME: &'static str = Self::SET.name();
    /// The number of `f32` in a vector: a power of two, at most [`MOST_LANES`].
    const LANES: usize;
    /// The number of vectors that registers hold.
    const REGISTERS: usize;

    /// Runs a kernel in a function of its own, where the allocation of registers starts afresh: for inner loops that are
    /// reached from a larger kernel.
    fn call<K: Kernel>(self, kernel: K) -> K::Output;

    /// Asks for the cache line at `x` to be brought near; any address may be named.
    #[inline(always)]
    fn prefetch(self, _x: *const f32) {}

    /// Asks for the cache line at `x` to be brought to the second-level cache only; any address may be named.
    #[inline(always)]
    fn prefetch_second_level(self, _x: *const f32) {}

    /// The same vector, which what follows is not computed before: where an inner loop keeps as many vectors as there are registers,
    /// the compiler may otherwise load those of later steps first, and has to keep them on the stack.
    #[inline(always)]
    fn in_place(self, x: Self::Vector) -> Self::Vector {
        x
    }

    /// The same number, of which the compiler does not know how it came about: what an inner loop adds to addresses stays in a register
    /// instead of being computed again for each.
    #[inline(always)]
    fn opaque(self, x: usize) -> usize {
        x
    }

    /// The same number in every lane.
    fn splat(self, x: f32) -> Self::Vector;

    /// Zero in every lane.
    #[inline(always)]
    fn zero(self) -> Self::Vector {
        self.splat(0.0)
    }

    /// The first `LANES` numbers of `x`.
    ///
    /// # Panics
    /// If `x` is shorter than a vector.
    #[inline(always)]
    fn load(self, x: &[f32]) -> Self::Vector {
        assert!(x.len() >= Self::LANES, "a load reads a whole vector");
        // SAFETY: the assertion above: `LANES` numbers can be read.
        unsafe { self.load_ptr(x.as_ptr()) }
    }

    /// Writes `x` to the first `LANES` places of `y`.
    ///
    /// # Panics
    /// If `y` is shorter than a vector.
    #[inline(always)]
    fn store(self, x: Self::Vector, y: &mut [f32]) {
        assert!(y.len() >= Self::LANES, "a store writes a whole vector");
        // SAFETY: the assertion above: `LANES` numbers can be written.
        unsafe { self.store_ptr(x, y.as_mut_ptr()) }
    }

    /// The first `min(x.len(), LANES)` numbers of `x`, and zero in the lanes beyond.
    fn load_partial(self, x: &[f32]) -> Self::Vector;

    /// The first `min(x.len(), LANES)` numbers of `x`, and `fill` in the lanes beyond.
    fn load_partial_or(self, x: &[f32], fill: f32) -> Self::Vector;

    /// Writes the first `min(y.len(), LANES)` lanes of `x`.
    fn store_partial(self, x: Self::Vector, y: &mut [f32]);

    /// The `LANES` numbers at `x`, with no alignment asked for.
    ///
    /// # Safety
    /// `LANES` numbers can be read at `x`.
    unsafe fn load_ptr(self, x: *const f32) -> Self::Vector;

    /// Writes the `LANES` numbers at `y`, with no alignment asked for.
    ///
    /// # Safety
    /// `LANES` numbers can be written at `y`.
    unsafe fn store_ptr(self, x: Self::Vector, y: *mut f32);

    /// Writes the `LANES` numbers at `y` past the caches, where the instruction set can: for large results that are not
    /// read soon. Other threads see them in order only after [`fence`](Self::fence).
    ///
    /// # Safety
    /// `LANES` numbers can be written at `y`, and `y` is a multiple of the size of a vector.
    #[inline(always)]
    unsafe fn store_non_temporal_ptr(self, x: Self::Vector, y: *mut f32) {
        // SAFETY: the caller: `LANES` numbers can be written at `y`.
        unsafe { self.store_ptr(x, y) }
    }

    /// Makes what was written past the caches visible in order. To be called at the end of a task that did so.
    #[inline(always)]
    fn fence(self) {}

    /// `a + b`
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a - b`
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a · b`
    fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a / b`
    fn div(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a · b + c`, rounded once where the instruction set can, twice where it cannot.
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// `c - a · b`, rounded like [`mul_add`](Self::mul_add).
    fn neg_mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;

    /// `a` where `a < b`, else `b`: a NaN in `b` stays, a NaN in `a` yields `b`.
    fn min(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a` where `a > b`, else `b`: a NaN in `b` stays, a NaN in `a` yields `b`.
    fn max(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `|x|`
    fn abs(self, x: Self::Vector) -> Self::Vector;
    /// `x` with its sign changed.
    fn neg(self, x: Self::Vector) -> Self::Vector;
    /// `magnitude` (which must not be negative) with the sign of `sign`.
    fn with_sign(self, magnitude: Self::Vector, sign: Self::Vector) -> Self::Vector;
    /// `√x`, correctly rounded; NaN below zero.
    fn sqrt(self, x: Self::Vector) -> Self::Vector;
    /// The nearest whole number; halves go to the even one.
    fn round(self, x: Self::Vector) -> Self::Vector;
    /// The largest whole number not above `x`.
    fn floor(self, x: Self::Vector) -> Self::Vector;

    /// `a < b`
    fn less_than(self, a: Self::Vector, b: Self::Vector) -> Self::Mask;
    /// `a <= b`
    fn less_or_equal(self, a: Self::Vector, b: Self::Vector) -> Self::Mask;
    /// `a == b`
    fn equal(self, a: Self::Vector, b: Self::Vector) -> Self::Mask;
    /// Lanes set in both masks.
    fn mask_and(self, a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// Lanes set in either mask.
    fn mask_or(self, a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// Lanes not set.
    fn mask_not(self, a: Self::Mask) -> Self::Mask;
    /// Whether any lane is set.
    fn any(self, mask: Self::Mask) -> bool;
    /// `a` where the mask is set, else `b`.
    fn select(self, mask: Self::Mask, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// Zero where the mask is set, else `a`.
    #[inline(always)]
    fn zero_where(self, mask: Self::Mask, a: Self::Vector) -> Self::Vector {
        self.select(mask, self.zero(), a)
    }

    /// `2ⁿ` for whole `n` in `-126..=127`, zero for -127; any number outside.
    fn pow2i(self, n: Self::Vector) -> Self::Vector;
    /// `x · 2ⁿ` for whole `n` in `-252..=254`, with under- and overflow as in exact arithmetic.
    fn mul_pow2(self, x: Self::Vector, n: Self::Vector) -> Self::Vector;
    /// `(n, m)` with `x = m · 2ⁿ` and `1 <= m < 2`, for positive normal `x`; any numbers outside.
    fn split_exponent(self, x: Self::Vector) -> (Self::Vector, Self::Vector);

    /// The sum of all lanes in one fixed order: the upper half is added to the lower one until one lane is left.
    fn sum(self, x: Self::Vector) -> f32;
    /// The largest lane; any number where a lane is NaN.
    fn max_lane(self, x: Self::Vector) -> f32;
    /// The smallest lane; any number where a lane is NaN.
    fn min_lane(self, x: Self::Vector) -> f32;
}
