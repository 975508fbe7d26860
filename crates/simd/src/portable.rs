//! Vectors as arrays: compiles on every target, and compilers turn it into the vector instructions that the target has.

use crate::{InstructionSet, Isa, Kernel};

/// The instruction set of every machine.
#[derive(Clone, Copy, Debug)]
pub struct Portable;

/// Lanes of a vector: eight; with the feature `wide-portable` as many as AVX-512 has, so that code cut by the width of
/// a vector can be tested on machines without it.
const LANES: usize = if cfg!(feature = "wide-portable") { 16 } else { 8 };

/// A vector of [`Portable`].
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
pub struct Lanes([f32; LANES]);

/// A mask of [`Portable`]: all bits of a lane are set, or none.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
pub struct LaneMask([u32; LANES]);

/// Magnitude above which every `f32` is an integer.
const WHOLE: f32 = 8_388_608.0;

// Written out, not a loop or `map` with a closure: either is unrolled into this, which took a fifth of the time that the portable
// kernels compile in, and vectorised less well.
macro_rules! array_of_lanes {
    ($i:ident, $value:expr, $($lane:literal)*) => {
        [$({
            let $i: usize = $lane;
            $value
        }),*]
    };
}

#[cfg(not(feature = "wide-portable"))]
macro_rules! lanes {
    ($wrap:ident, |$i:ident| $value:expr) => {
        $wrap(array_of_lanes!($i, $value, 0 1 2 3 4 5 6 7))
    };
}

#[cfg(feature = "wide-portable")]
macro_rules! lanes {
    ($wrap:ident, |$i:ident| $value:expr) => {
        $wrap(array_of_lanes!($i, $value, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15))
    };
}

#[inline(always)]
fn bits_if(condition: bool) -> u32 {
    if condition { u32::MAX } else { 0 }
}

/// Keeps the compiler from vectorising a loop around arrays of lanes across its rounds: what comes out is twenty times as
/// long, and no faster.
#[inline(always)]
fn keep_loop() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: nothing is executed.
    unsafe {
        std::arch::asm!("", options(nomem, nostack, preserves_flags));
    }
}

#[inline(always)]
fn round(x: f32) -> f32 {
    // Adding 2²³ leaves no bits for a fraction; a call of the library's `roundeven` would not vectorise.
    let whole = ((x.abs() + WHOLE) - WHOLE).copysign(x);
    if x.abs() < WHOLE { whole } else { x }
}

#[inline(always)]
fn pow2i(n: f32) -> f32 {
    // Adding 1.5 · 2²³ leaves a integer in the low bits of the significand: quicker than a saturating cast.
    f32::from_bits((n + (1.5 * WHOLE + 127.0)).to_bits() << 23)
}

impl Isa for Portable {
    type Vector = Lanes;
    type Mask = LaneMask;

    const SET: InstructionSet = InstructionSet::Portable;
    const LANES: usize = LANES;
    /// Eight vectors fill the sixteen registers, of four lanes each, of a plain `x86_64`.
    const REGISTERS: usize = if cfg!(feature = "wide-portable") { 32 } else { 8 };

    #[inline(never)]
    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Lanes {
        Lanes([x; LANES])
    }

    #[inline(always)]
    fn load_partial(self, x: &[f32]) -> Lanes {
        self.load_partial_or(x, 0.0)
    }

    #[inline(always)]
    fn load_partial_or(self, x: &[f32], fill: f32) -> Lanes {
        let mut lanes = [fill; LANES];
        let count = x.len().min(LANES);
        lanes[..count].copy_from_slice(&x[..count]);
        Lanes(lanes)
    }

    #[inline(always)]
    fn store_partial(self, x: Lanes, y: &mut [f32]) {
        let count = y.len().min(LANES);
        y[..count].copy_from_slice(&x.0[..count]);
    }

    #[inline(always)]
    unsafe fn load_ptr(self, x: *const f32) -> Lanes {
        keep_loop();
        // SAFETY: the caller: `LANES` elements can be read; the read asks for no alignment.
        Lanes(unsafe { x.cast::<[f32; LANES]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn store_ptr(self, x: Lanes, y: *mut f32) {
        // SAFETY: the caller: `LANES` elements can be written; the write asks for no alignment.
        unsafe { y.cast::<[f32; LANES]>().write_unaligned(x.0) }
    }

    #[inline(always)]
    unsafe fn load_transposed(self, x: *const f32, distance: usize) -> [Lanes; 4] {
        let mut rows = [[0.0; 4]; LANES];
        for (i, row) in rows.iter_mut().enumerate() {
            // SAFETY: the caller: four elements can be read at each address; the read asks for no alignment.
            *row = unsafe { x.add(i * distance).cast::<[f32; 4]>().read_unaligned() };
        }
        [0, 1, 2, 3].map(|j| lanes!(Lanes, |i| rows[i][j]))
    }

    #[inline(always)]
    fn add(self, a: Lanes, b: Lanes) -> Lanes {
        lanes!(Lanes, |i| a.0[i] + b.0[i])
    }

    #[inline(always)]
    fn sub(self, a: Lanes, b: Lanes) -> Lanes {
        lanes!(Lanes, |i| a.0[i] - b.0[i])
    }

    #[inline(always)]
    fn mul(self, a: Lanes, b: Lanes) -> Lanes {
        lanes!(Lanes, |i| a.0[i] * b.0[i])
    }

    #[inline(always)]
    fn div(self, a: Lanes, b: Lanes) -> Lanes {
        lanes!(Lanes, |i| a.0[i] / b.0[i])
    }

    #[inline(always)]
    fn mul_add(self, a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        lanes!(Lanes, |i| a.0[i] * b.0[i] + c.0[i])
    }

    #[inline(always)]
    fn neg_mul_add(self, a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        lanes!(Lanes, |i| c.0[i] - a.0[i] * b.0[i])
    }

    #[inline(always)]
    fn min(self, a: Lanes, b: Lanes) -> Lanes {
        lanes!(Lanes, |i| if a.0[i] < b.0[i] { a.0[i] } else { b.0[i] })
    }

    #[inline(always)]
    fn max(self, a: Lanes, b: Lanes) -> Lanes {
        lanes!(Lanes, |i| if a.0[i] > b.0[i] { a.0[i] } else { b.0[i] })
    }

    #[inline(always)]
    fn abs(self, x: Lanes) -> Lanes {
        lanes!(Lanes, |i| x.0[i].abs())
    }

    #[inline(always)]
    fn neg(self, x: Lanes) -> Lanes {
        lanes!(Lanes, |i| -x.0[i])
    }

    #[inline(always)]
    fn upper_half(self, x: Lanes) -> Lanes {
        lanes!(Lanes, |i| f32::from_bits(x.0[i].to_bits() & 0xFFFF_0000))
    }

    #[inline(always)]
    fn lower_half(self, x: Lanes) -> Lanes {
        lanes!(Lanes, |i| f32::from_bits(x.0[i].to_bits() << 16))
    }

    #[inline(always)]
    fn with_sign(self, magnitude: Lanes, sign: Lanes) -> Lanes {
        lanes!(Lanes, |i| f32::from_bits(magnitude.0[i].to_bits() | (sign.0[i].to_bits() & 0x8000_0000)))
    }

    #[inline(always)]
    fn sqrt(self, x: Lanes) -> Lanes {
        lanes!(Lanes, |i| x.0[i].sqrt())
    }

    #[inline(always)]
    fn round(self, x: Lanes) -> Lanes {
        lanes!(Lanes, |i| round(x.0[i]))
    }

    #[inline(always)]
    fn floor(self, x: Lanes) -> Lanes {
        lanes!(Lanes, |i| {
            let near = round(x.0[i]);
            if near > x.0[i] { near - 1.0 } else { near }
        })
    }

    #[inline(always)]
    fn less_than(self, a: Lanes, b: Lanes) -> LaneMask {
        lanes!(LaneMask, |i| bits_if(a.0[i] < b.0[i]))
    }

    #[inline(always)]
    fn less_or_equal(self, a: Lanes, b: Lanes) -> LaneMask {
        lanes!(LaneMask, |i| bits_if(a.0[i] <= b.0[i]))
    }

    #[inline(always)]
    fn equal(self, a: Lanes, b: Lanes) -> LaneMask {
        lanes!(LaneMask, |i| bits_if(a.0[i] == b.0[i]))
    }

    #[inline(always)]
    fn mask_and(self, a: LaneMask, b: LaneMask) -> LaneMask {
        lanes!(LaneMask, |i| a.0[i] & b.0[i])
    }

    #[inline(always)]
    fn mask_or(self, a: LaneMask, b: LaneMask) -> LaneMask {
        lanes!(LaneMask, |i| a.0[i] | b.0[i])
    }

    #[inline(always)]
    fn mask_not(self, a: LaneMask) -> LaneMask {
        lanes!(LaneMask, |i| !a.0[i])
    }

    #[inline(always)]
    fn any(self, mask: LaneMask) -> bool {
        let mut bits = 0;
        for lane in mask.0 {
            bits |= lane;
        }
        bits != 0
    }

    #[inline(always)]
    fn select(self, mask: LaneMask, a: Lanes, b: Lanes) -> Lanes {
        lanes!(Lanes, |i| f32::from_bits((a.0[i].to_bits() & mask.0[i]) | (b.0[i].to_bits() & !mask.0[i])))
    }

    #[inline(always)]
    fn pow2i(self, n: Lanes) -> Lanes {
        lanes!(Lanes, |i| pow2i(n.0[i]))
    }

    #[inline(always)]
    fn mul_pow2(self, x: Lanes, n: Lanes) -> Lanes {
        // In two steps: each factor is a normal number, and only the second product can leave the normal range.
        let half = self.floor(self.mul(n, self.splat(0.5)));
        self.mul(self.mul(x, self.pow2i(half)), self.pow2i(self.sub(n, half)))
    }

    #[inline(always)]
    fn split_exponent(self, x: Lanes) -> (Lanes, Lanes) {
        (
            lanes!(Lanes, |i| ((x.0[i].to_bits() >> 23) as i32 - 127) as f32),
            lanes!(Lanes, |i| f32::from_bits((x.0[i].to_bits() & 0x007f_ffff) | 0x3f80_0000)),
        )
    }

    #[inline(always)]
    fn sum(self, x: Lanes) -> f32 {
        // Halves are added until one number is left, as the other sets do it.
        let (mut lanes, mut half) = (x.0, LANES / 2);
        while half > 0 {
            for i in 0..half {
                lanes[i] += lanes[i + half];
            }
            half /= 2;
        }
        lanes[0]
    }

    #[inline(always)]
    fn max_lane(self, x: Lanes) -> f32 {
        x.0.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }

    #[inline(always)]
    fn min_lane(self, x: Lanes) -> f32 {
        x.0.into_iter().fold(f32::INFINITY, f32::min)
    }
}
