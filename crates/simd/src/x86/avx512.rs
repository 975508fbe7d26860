//! AVX-512: sixteen lanes.

use std::arch::{asm, x86_64::*};

use super::{intrinsics, opaque, transpose_fours};
use crate::{InstructionSet, Isa, Kernel};

/// Proof that this machine has AVX-512 F, VL, BW and DQ (and AVX2 and FMA).
#[derive(Clone, Copy, Debug)]
pub struct Avx512(());

impl Avx512 {
    /// Returns the token, if the machine has AVX-512 F, VL, BW and DQ, and AVX2 and FMA.
    pub fn detect() -> Option<Self> {
        let all = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma");
        all.then_some(Self(()))
    }

    /// Returns the token without a check, for the dispatch point, which knows that [`detect`](Self::detect) succeeded.
    #[inline(always)]
    pub(crate) fn detected() -> Self {
        Self(())
    }

    /// Returns a mask with its first `count` lanes set.
    #[inline(always)]
    fn tail(count: usize) -> __mmask16 {
        if count >= 16 { u16::MAX } else { (1u16 << count) - 1 }
    }
}

impl Isa for Avx512 {
    type Vector = __m512;
    type Mask = __mmask16;

    const SET: InstructionSet = InstructionSet::Avx512;
    const LANES: usize = 16;
    const REGISTERS: usize = 32;

    #[inline(always)]
    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: the token proves every feature that the function enables.
        unsafe { call(self, kernel) }
    }

    #[inline(always)]
    fn in_place(self, x: __m512) -> __m512 {
        // SAFETY: the token proves AVX-512 F.
        unsafe { in_place(x) }
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
        __m512;
        add(a, b) = _mm512_add_ps;
        sub(a, b) = _mm512_sub_ps;
        mul(a, b) = _mm512_mul_ps;
        div(a, b) = _mm512_div_ps;
        mul_add(a, b, c) = _mm512_fmadd_ps;
        neg_mul_add(a, b, c) = _mm512_fnmadd_ps;
        min(a, b) = _mm512_min_ps;
        max(a, b) = _mm512_max_ps;
        abs(x) = _mm512_abs_ps;
        sqrt(x) = _mm512_sqrt_ps;
        mul_pow2(x, n) = _mm512_scalef_ps;
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        // SAFETY: the token proves AVX-512 F.
        unsafe { _mm512_set1_ps(x) }
    }

    #[inline(always)]
    fn load_partial(self, x: &[f32]) -> __m512 {
        // SAFETY: the token proves AVX-512 F; only the first `x.len()` lanes are read.
        unsafe { _mm512_maskz_loadu_ps(Self::tail(x.len()), x.as_ptr()) }
    }

    #[inline(always)]
    fn load_partial_or(self, x: &[f32], fill: f32) -> __m512 {
        // SAFETY: the token proves AVX-512 F; only the first `x.len()` lanes are read.
        unsafe { _mm512_mask_loadu_ps(self.splat(fill), Self::tail(x.len()), x.as_ptr()) }
    }

    #[inline(always)]
    fn store_partial(self, x: __m512, y: &mut [f32]) {
        // SAFETY: the token proves AVX-512 F; only the first `y.len()` lanes are written.
        unsafe { _mm512_mask_storeu_ps(y.as_mut_ptr(), Self::tail(y.len()), x) }
    }

    #[inline(always)]
    unsafe fn load_ptr(self, x: *const f32) -> __m512 {
        // SAFETY: the token proves AVX-512 F; the caller: sixteen elements can be read.
        unsafe { _mm512_loadu_ps(x) }
    }

    #[inline(always)]
    unsafe fn store_ptr(self, x: __m512, y: *mut f32) {
        // SAFETY: the token proves AVX-512 F; the caller: sixteen elements can be written.
        unsafe { _mm512_storeu_ps(y, x) }
    }

    #[inline(always)]
    unsafe fn load_transposed(self, x: *const f32, distance: usize) -> [__m512; 4] {
        // SAFETY: the token proves AVX-512 F; the caller: four elements can be read at each address.
        unsafe {
            // Rows `i`, `i + 4`, `i + 8` and `i + 12`: each quarter is then transposed by itself.
            let mut rows = [_mm512_setzero_ps(); 4];
            for (i, row) in rows.iter_mut().enumerate() {
                let at = |quarter: usize| x.add((i + 4 * quarter) * distance);
                *row = _mm512_castps128_ps512(_mm_loadu_ps(at(0)));
                *row = _mm512_insertf32x4::<1>(*row, _mm_loadu_ps(at(1)));
                *row = _mm512_insertf32x4::<2>(*row, _mm_loadu_ps(at(2)));
                *row = _mm512_insertf32x4::<3>(*row, _mm_loadu_ps(at(3)));
            }
            transpose_fours!(rows, _mm512_unpacklo_ps, _mm512_unpackhi_ps, _mm512_shuffle_ps)
        }
    }

    #[inline(always)]
    unsafe fn store_non_temporal_ptr(self, x: __m512, y: *mut f32) {
        // SAFETY: the token proves AVX-512 F; the caller: sixteen elements can be written, aligned to the vector.
        unsafe { _mm512_stream_ps(y, x) }
    }

    #[inline(always)]
    fn fence(self) {
        // SAFETY: SSE is in every `x86_64`.
        unsafe { _mm_sfence() }
    }

    #[inline(always)]
    fn neg(self, x: __m512) -> __m512 {
        // SAFETY: the token proves AVX-512 DQ.
        unsafe { _mm512_xor_ps(_mm512_set1_ps(-0.0), x) }
    }

    #[inline(always)]
    fn upper_half(self, x: __m512) -> __m512 {
        // SAFETY: the token proves AVX-512 DQ.
        unsafe { _mm512_and_ps(_mm512_set1_ps(f32::from_bits(0xFFFF_0000)), x) }
    }

    #[inline(always)]
    fn lower_half(self, x: __m512) -> __m512 {
        // SAFETY: the token proves AVX-512 F.
        unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_castps_si512(x))) }
    }

    #[inline(always)]
    fn with_sign(self, magnitude: __m512, sign: __m512) -> __m512 {
        // SAFETY: the token proves AVX-512 DQ.
        unsafe { _mm512_or_ps(magnitude, _mm512_and_ps(_mm512_set1_ps(-0.0), sign)) }
    }

    #[inline(always)]
    fn round(self, x: __m512) -> __m512 {
        // SAFETY: the token proves AVX-512 F.
        unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x) }
    }

    #[inline(always)]
    fn floor(self, x: __m512) -> __m512 {
        // SAFETY: the token proves AVX-512 F.
        unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(x) }
    }

    #[inline(always)]
    fn less_than(self, a: __m512, b: __m512) -> __mmask16 {
        // SAFETY: the token proves AVX-512 F.
        unsafe { _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b) }
    }

    #[inline(always)]
    fn less_or_equal(self, a: __m512, b: __m512) -> __mmask16 {
        // SAFETY: the token proves AVX-512 F.
        unsafe { _mm512_cmp_ps_mask::<_CMP_LE_OQ>(a, b) }
    }

    #[inline(always)]
    fn equal(self, a: __m512, b: __m512) -> __mmask16 {
        // SAFETY: the token proves AVX-512 F.
        unsafe { _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b) }
    }

    #[inline(always)]
    fn mask_and(self, a: __mmask16, b: __mmask16) -> __mmask16 {
        a & b
    }

    #[inline(always)]
    fn mask_or(self, a: __mmask16, b: __mmask16) -> __mmask16 {
        a | b
    }

    #[inline(always)]
    fn mask_not(self, a: __mmask16) -> __mmask16 {
        !a
    }

    #[inline(always)]
    fn any(self, mask: __mmask16) -> bool {
        mask != 0
    }

    #[inline(always)]
    fn select(self, mask: __mmask16, a: __m512, b: __m512) -> __m512 {
        // SAFETY: the token proves AVX-512 F.
        unsafe { _mm512_mask_blend_ps(mask, b, a) }
    }

    #[inline(always)]
    fn pow2i(self, n: __m512) -> __m512 {
        // Adding 1.5 · 2²³ leaves a integer in the low bits of the significand.
        let biased = self.add(n, self.splat(12_582_912.0 + 127.0));
        // SAFETY: the token proves AVX-512 F.
        unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_castps_si512(biased))) }
    }

    #[inline(always)]
    fn split_exponent(self, x: __m512) -> (__m512, __m512) {
        // SAFETY: the token proves AVX-512 F.
        unsafe { (_mm512_getexp_ps(x), _mm512_getmant_ps::<_MM_MANT_NORM_1_2, _MM_MANT_SIGN_SRC>(x)) }
    }

    #[inline(always)]
    fn sum(self, x: __m512) -> f32 {
        // SAFETY: the token proves AVX-512 F and DQ.
        unsafe {
            let eight = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps::<1>(x));
            let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
        }
    }

    #[inline(always)]
    fn max_lane(self, x: __m512) -> f32 {
        // SAFETY: the token proves AVX-512 F.
        unsafe { _mm512_reduce_max_ps(x) }
    }

    #[inline(always)]
    fn min_lane(self, x: __m512) -> f32 {
        // SAFETY: the token proves AVX-512 F.
        unsafe { _mm512_reduce_min_ps(x) }
    }
}

/// Emits no instruction, but a barrier that the compiler moves none across.
#[target_feature(enable = "avx512f")]
#[inline]
fn in_place(mut x: __m512) -> __m512 {
    // SAFETY: nothing is executed, and `x` stays as it is.
    unsafe { asm!("/* {0} */", inout(zmm_reg) x, options(nomem, nostack, preserves_flags)) };
    x
}

#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
#[inline(never)]
fn call<K: Kernel>(isa: Avx512, kernel: K) -> K::Output {
    kernel.run(isa)
}
