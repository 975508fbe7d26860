//! The ceiling of arithmetic: independent multiply-adds in registers.

use std::hint::black_box;

#[cfg(target_arch = "x86_64")]
use crate::{Avx2, Avx512};
use crate::{InstructionSet, Isa, Portable};

/// Does `rounds` rounds of independent `f32` multiply-adds on this thread, with the given set (or the best of this
/// machine, if that is less), and returns the number of floating-point operations: two for each multiply-add.
///
/// The loops of AVX2 and AVX-512 are assembly, and so touch no memory whatever a compiler thinks of them: written with
/// intrinsics they may spill accumulators and read 30 % low, which flatters all that is compared with them. A round
/// has more independent sums than any core needs to hide the latency of its units (latency × units: 8 to 10).
///
/// Without a fused instruction, the portable set counts the product and the sum as two operations all the same.
pub fn multiply_adds(set: InstructionSet, rounds: u64) -> u64 {
    if rounds == 0 {
        return 0;
    }
    #[cfg(target_arch = "x86_64")]
    match set {
        InstructionSet::Avx512 => match Avx512::detect() {
            // SAFETY: the token proves AVX-512 F; `rounds` is not 0.
            Some(_) => return unsafe { avx512(rounds) },
            None => return multiply_adds(InstructionSet::Avx2, rounds),
        },
        InstructionSet::Avx2 if Avx2::detect().is_some() => {
            // SAFETY: the token proves AVX2 and FMA; `rounds` is not 0.
            return unsafe { avx2(rounds) };
        }
        InstructionSet::Avx2 | InstructionSet::Portable => {}
    }
    let _ = set;
    portable(rounds)
}

/// Expands to a loop of one multiply-add into each of the accumulators, all of them zero, so that no rounding and no
/// subnormal number can slow it down.
#[cfg(target_arch = "x86_64")]
macro_rules! multiply_add_loop {
    ($rounds:ident, $register:ident, $zero:expr, $lanes:expr, $($accumulator:ident)+) => {{
        std::arch::asm!(
            "2:",
            $(concat!("vfmadd231ps {", stringify!($accumulator), "}, {factor}, {factor}"),)+
            "dec {rounds}",
            "jnz 2b",
            rounds = inout(reg) $rounds => _,
            factor = in($register) $zero,
            $($accumulator = inout($register) $zero => _,)+
            options(nomem, nostack),
        );
        let accumulators = [$(stringify!($accumulator)),+].len();
        $rounds * (accumulators * 2 * $lanes) as u64
    }};
}

/// Runs `rounds` rounds with AVX2 and FMA; returns the number of operations.
///
/// # Safety
/// The machine has AVX2 and FMA, and `rounds` is not 0.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(rounds: u64) -> u64 {
    let zero = std::arch::x86_64::_mm256_setzero_ps();
    // SAFETY: the caller: the instructions exist, and the counter reaches 0. Nothing but registers is touched.
    unsafe { multiply_add_loop!(rounds, ymm_reg, zero, Avx2::LANES, a0 a1 a2 a3 a4 a5 a6 a7 a8 a9 a10 a11) }
}

/// Runs `rounds` rounds with AVX-512; returns the number of operations.
///
/// # Safety
/// The machine has AVX-512 F, and `rounds` is not 0.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512(rounds: u64) -> u64 {
    let zero = std::arch::x86_64::_mm512_setzero_ps();
    // SAFETY: the caller: the instructions exist, and the counter reaches 0. Nothing but registers is touched.
    unsafe {
        multiply_add_loop!(
            rounds, zmm_reg, zero, Avx512::LANES,
            a0 a1 a2 a3 a4 a5 a6 a7 a8 a9 a10 a11 a12 a13 a14 a15 a16 a17 a18 a19 a20 a21 a22 a23
        )
    }
}

/// Independent sums of the portable loop: six vectors of eight are twelve registers of SSE2 (of sixteen), like the sums
/// of a product kernel.
const PORTABLE_SUMS: usize = 6;

fn portable(rounds: u64) -> u64 {
    let isa = Portable;
    let a: [_; PORTABLE_SUMS] = black_box([isa.zero(); PORTABLE_SUMS]);
    let mut sums = [isa.zero(); PORTABLE_SUMS];
    for _ in 0..rounds {
        // A factor that the compiler believes to be another one in each round: else the products would be computed once.
        let b = black_box(isa.zero());
        for (sum, &a) in sums.iter_mut().zip(&a) {
            *sum = isa.mul_add(a, b, *sum);
        }
    }
    black_box(sums);
    rounds * (PORTABLE_SUMS * 2 * Portable::LANES) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_counted() {
        for set in InstructionSet::available() {
            assert_eq!(multiply_adds(set, 0), 0, "{set}");
            let one = multiply_adds(set, 1);
            assert!(one >= 96 && multiply_adds(set, 1000) == 1000 * one, "{set}: {one}");
        }
    }

    #[test]
    fn a_set_that_the_machine_lacks_falls_back() {
        let best = InstructionSet::available().last().unwrap();
        assert_eq!(multiply_adds(InstructionSet::Avx512, 3), multiply_adds(best, 3));
    }
}
