//! Numbers that are a function of a name, the same in every language.

/// The stream of a name.
pub struct Stream(u64);

impl Stream {
    /// FNV-1a of the name is the seed.
    pub fn of(name: &str) -> Stream {
        let hash = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
        Stream(name.bytes().fold(0xCBF2_9CE4_8422_2325, hash))
    }

    /// Number `i`, in [0, 1), by splitmix64.
    pub fn unit(&self, i: usize) -> f32 {
        let mut z = self.0.wrapping_add((i as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        (z >> 40) as f32 / (1u32 << 24) as f32
    }

    /// Number `i`, in [−1, 1).
    pub fn sym(&self, i: usize) -> f32 {
        2.0 * self.unit(i) - 1.0
    }
}
