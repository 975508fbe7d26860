//! Random numbers as a function of their purpose.
//!
//! A [`Key`] is made from a seed and then narrowed by purpose, path, epoch, sample or element. Two keys made from the same
//! words are equal on every machine, so a draw depends on nothing else: not on threads, not on order, not on what was
//! drawn before.

use rand::{Rng, TryRng};
use std::convert::Infallible;

/// The step of the splitmix64 sequence: 2⁶⁴ divided by the golden ratio, odd.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// Applies the finaliser of splitmix64 (Steele, Lea and Flood 2014): every bit of the argument affects every bit of the result.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The purpose of a random number: equal keys draw equal numbers on every machine.
///
/// ```
/// use ocelli_tensor::Key;
/// let weights = Key::new(42).with("initial").with("conv1.weight");
/// assert_eq!(weights.stream().unit(), Key::new(42).with("initial").with("conv1.weight").stream().unit());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(u64);

impl Key {
    /// Creates the key of a seed.
    pub fn new(seed: u64) -> Key {
        Key(mix(seed.wrapping_add(GOLDEN)))
    }

    /// Narrows this key by a word, such as a purpose or a path.
    pub fn with(self, word: &str) -> Key {
        // The length first, so that ("ab", "c") and ("a", "bc") differ.
        word.bytes().fold(self.at(word.len() as u64), |key, byte| key.at(byte.into()))
    }

    /// Narrows this key by a number, such as an epoch, a step or a sample.
    pub fn at(self, number: u64) -> Key {
        Key(mix(self.0.wrapping_add(GOLDEN) ^ mix(number.wrapping_mul(GOLDEN).wrapping_add(1))))
    }

    /// Returns the key as a number, for kernels that draw by element.
    pub fn value(self) -> u64 {
        self.0
    }

    /// Returns the stream of random numbers of this key.
    pub fn stream(self) -> Stream {
        Stream { state: self.0, spare: None }
    }
}

/// The splitmix64 stream of a [`Key`]; a generator in the sense of the `rand` crate.
#[derive(Clone, Debug)]
pub struct Stream {
    state: u64,
    /// The second of the two normal numbers that one draw yields.
    spare: Option<f32>,
}

impl Stream {
    /// Draws a uniform number from `[0, 1)`, a multiple of 2⁻²⁴ and exact in `f32`.
    pub fn unit(&mut self) -> f32 {
        (self.next_u64() >> 40) as f32 / (1u32 << 24) as f32
    }

    /// Draws a uniform number from `[low, high)`.
    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Draws a normal number with mean 0 and variance 1 (Box and Muller 1958).
    pub fn normal(&mut self) -> f32 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        // 1 - unit is in (0, 1]: the logarithm is finite.
        let radius = (-2.0 * (1.0 - f64::from(self.unit())).ln()).sqrt();
        let (sine, cosine) = (std::f64::consts::TAU * f64::from(self.unit())).sin_cos();
        self.spare = Some((radius * sine) as f32);
        (radius * cosine) as f32
    }

    /// Draws a uniform integer from `0..bound`.
    ///
    /// # Panics
    /// If `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        assert!(bound > 0, "there is no number below 0");
        // The high half of a 128-bit product: the bias is below bound / 2⁶⁴.
        ((u128::from(self.next_u64()) * bound as u128) >> 64) as usize
    }

    /// Shuffles the elements (Fisher and Yates 1938).
    pub fn shuffle<T>(&mut self, elements: &mut [T]) {
        for last in (1..elements.len()).rev() {
            elements.swap(last, self.below(last + 1));
        }
    }
}

impl TryRng for Stream {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok((self.next_u64() >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.state = self.state.wrapping_add(GOLDEN);
        Ok(mix(self.state))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            let word = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    #[test]
    fn a_key_is_its_words() {
        let a = Key::new(1).with("ab").with("c");
        assert_eq!(a, Key::new(1).with("ab").with("c"));
        assert_ne!(a, Key::new(1).with("a").with("bc"));
        assert_ne!(a, Key::new(2).with("ab").with("c"));
        assert_ne!(Key::new(1).at(0), Key::new(1).at(1));
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let mut stream = Key::new(3).stream();
        let n = 100_000;
        let (mut sum, mut squares, mut uniform) = (0.0f64, 0.0, 0.0);
        for _ in 0..n {
            let z = f64::from(stream.normal());
            sum += z;
            squares += z * z;
            uniform += f64::from(stream.unit());
        }
        let n = f64::from(n);
        assert!((sum / n).abs() < 0.02 && (squares / n - 1.0).abs() < 0.02 && (uniform / n - 0.5).abs() < 0.01);
    }

    #[test]
    fn shuffling_permutes() {
        let mut order: Vec<usize> = (0..100).collect();
        Key::new(5).stream().shuffle(&mut order);
        assert_ne!(order, (0..100).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn it_is_a_generator_of_the_rand_crate() {
        let x: f64 = Key::new(7).stream().random();
        assert!((0.0..1.0).contains(&x));
        let mut bytes = [0u8; 11];
        Key::new(7).stream().fill_bytes(&mut bytes);
        assert_ne!(bytes, [0; 11]);
    }
}
