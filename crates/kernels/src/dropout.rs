//! Dropout with a mask that can be drawn again.

use crate::elementwise::{
    Source,
    chunks::{CHUNK, in_pieces},
};

/// Elements that share a draw: four, with 16 bits each.
const SHARED: usize = 4;

/// `y[i] = x[i] / (1 - p)` where element `i` is kept and 0 elsewhere.
///
/// Which elements are kept is a function of the key and `i` alone: bits `16·(i mod 4)` to `16·(i mod 4) + 15` of number
/// `⌊i / 4⌋` of the splitmix64 stream of the key, as a fraction of 2¹⁶, are not below `p`. The backward pass draws the same
/// mask. `p` is thus rounded to a multiple of 2⁻¹⁶.
///
/// # Panics
/// If the lengths differ: a bug of the caller.
pub fn dropout(key: u64, p: f32, x: Source<'_>, y: &mut [f32]) {
    x.expect_length(y.len());
    let threshold = (f64::from(p) * 65536.0).round() as u64;
    let scale = 1.0 / (1.0 - p);
    in_pieces(y, CHUNK, |start, y| {
        let mask = |i: usize| {
            let draw = splitmix64(key, ((start + i) / SHARED) as u64);
            [0, 16, 32, 48].map(|shift| if (draw >> shift) & 0xFFFF >= threshold { scale } else { 0.0 })
        };
        match x.part(start, y.len()) {
            Source::Slice(x) => {
                for (i, (y, x)) in y.chunks_mut(SHARED).zip(x.chunks(SHARED)).enumerate() {
                    y.iter_mut().zip(x).zip(mask(i * SHARED)).for_each(|((y, x), m)| *y = x * m);
                }
            }
            Source::InPlace => {
                for (i, y) in y.chunks_mut(SHARED).enumerate() {
                    y.iter_mut().zip(mask(i * SHARED)).for_each(|(y, m)| *y *= m);
                }
            }
        }
    });
}

/// Number `i` of the stream of a key (Steele, Lea and Flood 2014).
fn splitmix64(key: u64, i: u64) -> u64 {
    let mut z = key.wrapping_add((i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_is_a_function_of_the_key() {
        let len = 3 * CHUNK + 5;
        let draw = |key, p| {
            let mut y = vec![1.0; len];
            dropout(key, p, Source::InPlace, &mut y);
            y
        };
        let a = draw(1, 0.25);
        assert_eq!(a, draw(1, 0.25));
        assert_ne!(a, draw(2, 0.25));
        let mut y = vec![0.0; len];
        dropout(1, 0.25, Source::Slice(&vec![1.0; len]), &mut y);
        assert_eq!(a, y);
        let kept = a.iter().filter(|v| **v != 0.0).count() as f64 / len as f64;
        assert!((kept - 0.75).abs() < 0.01, "{kept}");
        assert!(a.iter().all(|v| *v == 0.0 || (*v - 4.0 / 3.0).abs() < 1e-6));
        assert!(draw(1, 0.0).iter().all(|v| *v == 1.0));
    }
}
