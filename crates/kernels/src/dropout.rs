//! Dropout (Srivastava et al. 2014), scaled when training: `y = x / (1 - p)` with probability `1 - p`, else zero.
//!
//! An element is kept or dropped by the key and its index alone. Backward draws it again instead of keeping a mask, and
//! threads change nothing.

use ocelli_simd::{Destination, InstructionSet, Isa, Kernel, Store, Write, Writer, dispatch_on};

use crate::elementwise::Source;
use crate::elementwise::chunks::{CHUNK, in_pieces};
use crate::stores::stores_for;

/// Computes `y[i] = x[i] / (1 - p)` where element `i` is kept, else zero; its gradient is computed likewise with `dy`
/// for `x`.
///
/// Elements `2 i` and `2 i + 1` share draw `i` of SplitMix64 (Steele et al. 2014) seeded with the key: its lower 32
/// bits are for the first and its upper ones for the second, which is dropped where they are below `p · 2³²`. With
/// `p <= 0` (or NaN) all is kept, with `p >= 1` nothing.
pub fn dropout(key: u64, p: f32, x: Source<'_>, y: &mut [f32]) {
    x.expect_length(y.len());
    let set = InstructionSet::current();
    if p >= 1.0 {
        y.fill(0.0);
        return;
    }
    let p = if p > 0.0 { p } else { 0.0 };
    // The cast cannot overflow: the largest `p` below 1 is 1 - 2⁻²⁴.
    let threshold = (f64::from(p) * 4_294_967_296.0).round() as u32;
    let scale = 1.0 / (1.0 - p);
    let draws = |start: usize| Draws { key, first: start as u64, threshold, scale };
    match x {
        Source::Slice(x) => {
            let stores = stores_for(y, CHUNK);
            in_pieces(y, CHUNK, |start, y| {
                let work = Dropout { draws: draws(start), x: &x[start..][..y.len()] };
                dispatch_on(set, Write { work, stores, y: [y] });
            });
        }
        Source::InPlace => in_pieces(y, CHUNK, |start, y| {
            dispatch_on(set, DropoutInPlace { draws: draws(start), y });
        }),
    }
}

/// Elements of one round: plain loops over them are turned into integer vectors by compilers.
const BLOCK: usize = 64;

/// The random draws of elements from the one with (even) index `first` on, and their effect.
#[derive(Clone, Copy)]
struct Draws {
    key: u64,
    first: u64,
    threshold: u32,
    scale: f32,
}

impl Draws {
    /// Drops elements of a block that begins at element `start` of these.
    #[inline(always)]
    fn apply(self, start: usize, block: &mut [f32]) {
        let mut bits = [0; BLOCK];
        draw(self.key, (self.first + start as u64) / 2, &mut bits);
        mask(block, &bits, self.threshold, self.scale);
    }
}

struct Dropout<'a> {
    draws: Draws,
    x: &'a [f32],
}

impl Writer<1> for Dropout<'_> {
    #[inline(always)]
    fn run<I: Isa, S: Store>(self, isa: I, [mut y]: [Destination<'_, S>; 1]) {
        let mut kept = [0.0; BLOCK];
        for (block, x) in self.x.chunks(BLOCK).enumerate() {
            let kept = &mut kept[..x.len()];
            kept.copy_from_slice(x);
            self.draws.apply(block * BLOCK, kept);
            for kept in kept.chunks(I::LANES) {
                y.put(isa, isa.load_partial(kept), kept.len());
            }
        }
    }
}

struct DropoutInPlace<'a> {
    draws: Draws,
    y: &'a mut [f32],
}

impl Kernel for DropoutInPlace<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        for (block, y) in self.y.chunks_mut(BLOCK).enumerate() {
            self.draws.apply(block * BLOCK, y);
        }
    }
}

/// Computes the random bits of elements, for the draws from `first` on.
#[inline(always)]
fn draw(key: u64, first: u64, bits: &mut [u32; BLOCK]) {
    for i in 0..BLOCK / 2 {
        let z = splitmix64(key, first.wrapping_add(i as u64));
        bits[2 * i] = z as u32;
        bits[2 * i + 1] = (z >> 32) as u32;
    }
}

/// Returns output `index` of the generator seeded with `key`.
#[inline(always)]
fn splitmix64(key: u64, index: u64) -> u64 {
    let mut z = key.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[inline(always)]
fn mask(y: &mut [f32], bits: &[u32; BLOCK], threshold: u32, scale: f32) {
    for (y, &bits) in y.iter_mut().zip(bits) {
        let scaled = *y * scale;
        *y = if bits >= threshold { scaled } else { 0.0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computes the definition, one element at a time.
    fn naive(key: u64, p: f32, x: &[f32]) -> Vec<f32> {
        let threshold = (f64::from(p) * 2.0_f64.powi(32)).round() as u64;
        let kept = |i: usize| {
            let z = splitmix64(key, i as u64 / 2);
            (if i.is_multiple_of(2) { z & 0xffff_ffff } else { z >> 32 }) >= threshold
        };
        x.iter().enumerate().map(|(i, &x)| if kept(i) { x * (1.0 / (1.0 - p)) } else { 0.0 }).collect()
    }

    #[test]
    fn the_published_generator() {
        // The first outputs for the seed 1234567, as in the author's C code.
        let outputs: Vec<u64> = (0..3).map(|i| splitmix64(1_234_567, i)).collect();
        assert_eq!(outputs, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn every_set_and_length_is_the_definition() {
        for set in InstructionSet::available() {
            for length in (0..200).chain([CHUNK, 2 * CHUNK + 77]) {
                let x: Vec<f32> = (0..length).map(|i| i as f32 - 50.0).collect();
                let expected = naive(42, 0.3, &x);
                let mut y = vec![f32::NAN; length];
                set.scoped(|| dropout(42, 0.3, Source::Slice(&x), &mut y));
                assert_eq!(y, expected, "{set} {length}");
                y.copy_from_slice(&x);
                set.scoped(|| dropout(42, 0.3, Source::InPlace, &mut y));
                assert_eq!(y, expected, "{set} {length} in place");
            }
        }
    }

    #[test]
    fn the_share_kept_is_as_asked() {
        for p in [0.0, 0.1, 0.5, 0.9, 1.0] {
            let mut y = vec![1.0; 400_000];
            dropout(7, p, Source::InPlace, &mut y);
            let kept = y.iter().filter(|&&y| y != 0.0).count() as f32 / y.len() as f32;
            assert!((kept - (1.0 - p)).abs() < 0.004, "{p}: {kept}");
        }
    }

    #[test]
    fn keys_are_independent() {
        let draw = |key| {
            let mut y = vec![1.0; 100_000];
            dropout(key, 0.5, Source::InPlace, &mut y);
            y
        };
        let equal = draw(1).iter().zip(draw(2)).filter(|&(&a, b)| a == b).count();
        assert!((49_000..51_000).contains(&equal), "{equal}");
    }

    #[test]
    fn dropped_nans_are_zero() {
        let mut y = vec![f32::NAN; 1000];
        dropout(3, 0.5, Source::InPlace, &mut y);
        assert!(y.contains(&0.0) && y.iter().any(|y| y.is_nan()));
        dropout(3, 1.0, Source::InPlace, &mut y);
        assert!(y.iter().all(|&y| y == 0.0));
    }
}
