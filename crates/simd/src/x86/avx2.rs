//! AVX2 and FMA: eight lanes.

use std::arch::x86_64::*;

use super::{intrinsics, opaque, transpose_fours};
use crate::{InstructionSet, Isa, Kernel};

/// Proof that this machine has AVX2 and FMA.
#[derive(Clone, Copy, Debug)]
pub struct Avx2(());

/// Masks of partial vectors: `TAIL[8 - n..][..8]` has its first `n` lanes set.
static TAIL: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

impl Avx2 {
    /// Returns the token, if the machine has AVX2 and FMA.
    pub fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self(()))
    }

    /// Returns the token without a check, for the dispatch point, which knows that [`detect`](Self::detect) succeeded.
    #[inline(always)]
    pub(crate) fn detected() -> Self {
        Self(())
    }

    #[inline(always)]
    fn tail(self, count: usize) -> __m256i {
        let lanes = &TAIL[8 - count.min(8)..][..8];
        // SAFETY: the token proves AVX; the slice holds eight `i32`, and no alignment is asked for.
        unsafe { _mm256_loadu_si256(lanes.as_ptr().cast()) }
    }

    /// Splits a vector into its halves.
    #[inline(always)]
    fn halves(self, x: __m256) -> (__m128, __m128) {
        // SAFETY: the token proves AVX.
        unsafe { (_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x)) }
    }
}

/// Folds four lanes: lanes 2, 3 onto 0, 1, then lane 1 onto 0.
macro_rules! fold {
    ($low:expr, $high:expr, $four:ident, $one:ident) => {{
        let four = $four($low, $high);
        let two = $four(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32($one(two, _mm_shuffle_ps::<1>(two, two)))
    }};
}

impl Isa for Avx2 {
    type Vector = __m256;
    type Mask = __m256;

    const SET: InstructionSet = InstructionSet::Avx2;
    const LANES: usize = 8;
    const REGISTERS: usize = 16;

    #[inline(always)]
    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: the token proves every feature that the function enables.
        unsafe { call(self, kernel) }
    }

    #[inline(always)]
    fn opaque(self, x: usize) -> usize {
        opaque(x)
    }

    #[inline(always)]
    fn prefetch(self, x: *const f32) {
        // SAFETY: SSE is in every `x86_64`, and a prefetch of any address is no access.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(x.cast()) }
    }

    #[inline(always)]
    fn prefetch_second_level(self, x: *const f32) {
        // SAFETY: SSE is in every `x86_64`, and a prefetch of any address is no access.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(x.cast()) }
    }

    intrinsics! {
        __m256;
        add(a, b) = _mm256_add_ps;
        sub(a, b) = _mm256_sub_ps;
        mul(a, b) = _mm256_mul_ps;
        div(a, b) = _mm256_div_ps;
        mul_add(a, b, c) = _mm256_fmadd_ps;
        neg_mul_add(a, b, c) = _mm256_fnmadd_ps;
        min(a, b) = _mm256_min_ps;
        max(a, b) = _mm256_max_ps;
        sqrt(x) = _mm256_sqrt_ps;
        floor(x) = _mm256_floor_ps;
        mask_and(a, b) = _mm256_and_ps;
        mask_or(a, b) = _mm256_or_ps;
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        // SAFETY: the token proves AVX.
        unsafe { _mm256_set1_ps(x) }
    }

    #[inline(always)]
    fn load_partial(self, x: &[f32]) -> __m256 {
        // SAFETY: the token proves AVX; only the first `x.len()` lanes are read.
        unsafe { _mm256_maskload_ps(x.as_ptr(), self.tail(x.len())) }
    }

    #[inline(always)]
    fn load_partial_or(self, x: &[f32], fill: f32) -> __m256 {
        // SAFETY: the token proves AVX2.
        let read = unsafe { _mm256_castsi256_ps(self.tail(x.len())) };
        self.select(read, self.load_partial(x), self.splat(fill))
    }

    /// Stores in up to three plain stores: a masked one takes some forty micro-operations on Zen 3.
    #[inline(always)]
    fn store_partial(self, x: __m256, y: &mut [f32]) {
        if y.len() >= Self::LANES {
            return self.store(x, y);
        }
        let (mut part, high) = self.halves(x);
        let mut rest = y;
        // SAFETY: SSE is in every `x86_64`; each store writes the piece that was split off for it.
        unsafe {
            if rest.len() >= 4 {
                let (four, after) = rest.split_at_mut(4);
                _mm_storeu_ps(four.as_mut_ptr(), part);
                (part, rest) = (high, after);
            }
            if rest.len() >= 2 {
                let (two, after) = rest.split_at_mut(2);
                _mm_storel_pd(two.as_mut_ptr().cast(), _mm_castps_pd(part));
                (part, rest) = (_mm_movehl_ps(part, part), after);
            }
            if let [one] = rest {
                _mm_store_ss(one, part);
            }
        }
    }

    #[inline(always)]
    unsafe fn load_ptr(self, x: *const f32) -> __m256 {
        // SAFETY: the token proves AVX; the caller: eight elements can be read.
        unsafe { _mm256_loadu_ps(x) }
    }

    #[inline(always)]
    unsafe fn store_ptr(self, x: __m256, y: *mut f32) {
        // SAFETY: the token proves AVX; the caller: eight elements can be written.
        unsafe { _mm256_storeu_ps(y, x) }
    }

    #[inline(always)]
    unsafe fn load_transposed(self, x: *const f32, distance: usize) -> [__m256; 4] {
        // SAFETY: the token proves AVX; the caller: four elements can be read at each address.
        unsafe {
            // Row `i` and, above it, row `i + 4`: each half is then transposed by itself.
            let mut rows = [_mm256_setzero_ps(); 4];
            for (i, row) in rows.iter_mut().enumerate() {
                *row = _mm256_castps128_ps256(_mm_loadu_ps(x.add(i * distance)));
                *row = _mm256_insertf128_ps::<1>(*row, _mm_loadu_ps(x.add((i + 4) * distance)));
            }
            transpose_fours!(rows, _mm256_unpacklo_ps, _mm256_unpackhi_ps, _mm256_shuffle_ps)
        }
    }

    #[inline(always)]
    unsafe fn store_non_temporal_ptr(self, x: __m256, y: *mut f32) {
        // SAFETY: the token proves AVX; the caller: eight elements can be written, aligned to the vector.
        unsafe { _mm256_stream_ps(y, x) }
    }

    #[inline(always)]
    fn fence(self) {
        // SAFETY: SSE is in every `x86_64`.
        unsafe { _mm_sfence() }
    }

    #[inline(always)]
    fn abs(self, x: __m256) -> __m256 {
        // SAFETY: the token proves AVX.
        unsafe { _mm256_andnot_ps(_mm256_set1_ps(-0.0), x) }
    }

    #[inline(always)]
    fn neg(self, x: __m256) -> __m256 {
        // SAFETY: the token proves AVX.
        unsafe { _mm256_xor_ps(_mm256_set1_ps(-0.0), x) }
    }

    #[inline(always)]
    fn upper_half(self, x: __m256) -> __m256 {
        // SAFETY: the token proves AVX.
        unsafe { _mm256_and_ps(_mm256_set1_ps(f32::from_bits(0xFFFF_0000)), x) }
    }

    #[inline(always)]
    fn lower_half(self, x: __m256) -> __m256 {
        // SAFETY: the token proves AVX2.
        unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_castps_si256(x))) }
    }

    #[inline(always)]
    fn with_sign(self, magnitude: __m256, sign: __m256) -> __m256 {
        // SAFETY: the token proves AVX.
        unsafe { _mm256_or_ps(magnitude, _mm256_and_ps(_mm256_set1_ps(-0.0), sign)) }
    }

    #[inline(always)]
    fn round(self, x: __m256) -> __m256 {
        // SAFETY: the token proves AVX.
        unsafe { _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x) }
    }

    #[inline(always)]
    fn less_than(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: the token proves AVX.
        unsafe { _mm256_cmp_ps::<_CMP_LT_OQ>(a, b) }
    }

    #[inline(always)]
    fn less_or_equal(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: the token proves AVX.
        unsafe { _mm256_cmp_ps::<_CMP_LE_OQ>(a, b) }
    }

    #[inline(always)]
    fn equal(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: the token proves AVX.
        unsafe { _mm256_cmp_ps::<_CMP_EQ_OQ>(a, b) }
    }

    #[inline(always)]
    fn mask_not(self, a: __m256) -> __m256 {
        // SAFETY: the token proves AVX2.
        unsafe { _mm256_xor_ps(a, _mm256_castsi256_ps(_mm256_set1_epi32(-1))) }
    }

    #[inline(always)]
    fn any(self, mask: __m256) -> bool {
        // SAFETY: the token proves AVX.
        unsafe { _mm256_movemask_ps(mask) != 0 }
    }

    #[inline(always)]
    fn select(self, mask: __m256, a: __m256, b: __m256) -> __m256 {
        // SAFETY: the token proves AVX.
        unsafe { _mm256_blendv_ps(b, a, mask) }
    }

    /// Computes in integers, because the compiler turns a selection that is written back to where it was read into a
    /// masked store, of some forty micro-operations on Zen 3.
    #[inline(always)]
    fn zero_where(self, mask: __m256, a: __m256) -> __m256 {
        // SAFETY: the token proves AVX2.
        unsafe { _mm256_castsi256_ps(_mm256_andnot_si256(_mm256_castps_si256(mask), _mm256_castps_si256(a))) }
    }

    #[inline(always)]
    fn pow2i(self, n: __m256) -> __m256 {
        // Adding 1.5 · 2²³ leaves a integer in the low bits of the significand.
        let biased = self.add(n, self.splat(12_582_912.0 + 127.0));
        // SAFETY: the token proves AVX2.
        unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_castps_si256(biased))) }
    }

    #[inline(always)]
    fn mul_pow2(self, x: __m256, n: __m256) -> __m256 {
        // In two steps: each factor is a normal number, and only the second product can leave the normal range.
        let half = self.floor(self.mul(n, self.splat(0.5)));
        self.mul(self.mul(x, self.pow2i(half)), self.pow2i(self.sub(n, half)))
    }

    #[inline(always)]
    fn split_exponent(self, x: __m256) -> (__m256, __m256) {
        // SAFETY: the token proves AVX2.
        unsafe {
            let bits = _mm256_castps_si256(x);
            let exponent = _mm256_sub_epi32(_mm256_srli_epi32::<23>(bits), _mm256_set1_epi32(127));
            let fraction = _mm256_and_si256(bits, _mm256_set1_epi32(0x007f_ffff));
            let mantissa = _mm256_or_si256(fraction, _mm256_set1_epi32(0x3f80_0000));
            (_mm256_cvtepi32_ps(exponent), _mm256_castsi256_ps(mantissa))
        }
    }

    #[inline(always)]
    fn sum(self, x: __m256) -> f32 {
        let (low, high) = self.halves(x);
        // SAFETY: SSE is in every `x86_64`.
        unsafe { fold!(low, high, _mm_add_ps, _mm_add_ss) }
    }

    #[inline(always)]
    fn max_lane(self, x: __m256) -> f32 {
        let (low, high) = self.halves(x);
        // SAFETY: SSE is in every `x86_64`.
        unsafe { fold!(low, high, _mm_max_ps, _mm_max_ss) }
    }

    #[inline(always)]
    fn min_lane(self, x: __m256) -> f32 {
        let (low, high) = self.halves(x);
        // SAFETY: SSE is in every `x86_64`.
        unsafe { fold!(low, high, _mm_min_ps, _mm_min_ss) }
    }
}

#[target_feature(enable = "avx2,fma")]
#[inline(never)]
fn call<K: Kernel>(isa: Avx2, kernel: K) -> K::Output {
    kernel.run(isa)
}
