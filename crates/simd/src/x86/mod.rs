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

/// No instruction: the compiler knows nothing of the result.
#[inline(always)]
fn opaque(mut x: usize) -> usize {
    // SAFETY: nothing is executed, and `x` stays as it is.
    unsafe { std::arch::asm!("/* {0} */", inout(reg) x, options(pure, nomem, nostack, preserves_flags)) };
    x
}
