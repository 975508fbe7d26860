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

/// Emits no instruction, but hides the origin of the result from the compiler.
#[inline(always)]
fn opaque(mut x: usize) -> usize {
    // SAFETY: nothing is executed, and `x` stays as it is.
    unsafe { std::arch::asm!("/* {0} */", inout(reg) x, options(pure, nomem, nostack, preserves_flags)) };
    x
}
