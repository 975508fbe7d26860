//! The instruction sets of `x86_64`.

pub mod avx2;
pub mod avx512;

/// Defines methods of an [`Isa`](crate::Isa) that are one intrinsic each.
macro_rules! intrinsics {
    ($vector:ty; $($name:ident($($x:ident),+) = $intrinsic:ident;)+) => {
        $(
            #[inline(always)]
            fn $name(self, $($x: $vector),+) -> $vector {
                // SAFETY: the token proves that the machine has the instruction.
                unsafe { $intrinsic($($x),+) }
            }
        )+
    };
}
use intrinsics;

/// Transposes four vectors in each group of four lanes by itself.
macro_rules! transpose_fours {
    ($rows:ident, $low:ident, $high:ident, $shuffle:ident) => {{
        let [a, b, c, d] = $rows;
        // Pairs of `a` and `b`, of `c` and `d`, and then the pairs of pairs: of two lower pairs and of two upper ones.
        let (ab, cd, ab_high, cd_high) = ($low(a, b), $low(c, d), $high(a, b), $high(c, d));
        [
            $shuffle::<0b01_00_01_00>(ab, cd),
            $shuffle::<0b11_10_11_10>(ab, cd),
            $shuffle::<0b01_00_01_00>(ab_high, cd_high),
            $shuffle::<0b11_10_11_10>(ab_high, cd_high),
        ]
    }};
}
use transpose_fours;

/// Emits no instruction, but hides the origin of the result from the compiler.
#[inline(always)]
fn opaque(mut x: usize) -> usize {
    // SAFETY: nothing is executed, and `x` stays as it is.
    unsafe { std::arch::asm!("/* {0} */", inout(reg) x, options(pure, nomem, nostack, preserves_flags)) };
    x
}
