//! Sizes of the data caches, as the processor reports them.

use std::sync::OnceLock;

/// Sizes of the data caches that a core uses, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caches {
    /// First level, of a core alone.
    pub first_level: usize,
    /// Second level.
    pub second_level: usize,
    /// The largest one, which cores share; the second level where there is no other.
    pub last_level: usize,
}

impl Caches {
    /// Sizes for a processor that reports nothing: small caches, which larger ones contain.
    pub const ASSUMED: Self = Self { first_level: 32 << 10, second_level: 512 << 10, last_level: 8 << 20 };

    /// Returns the caches of this machine, which are looked up once.
    #[must_use]
    pub fn current() -> Self {
        static CURRENT: OnceLock<Caches> = OnceLock::new();
        *CURRENT.get_or_init(|| Self::reported().unwrap_or(Self::ASSUMED))
    }

    /// Puts caches together from a level and a size each; `None` if one of the first two levels is missing.
    fn of(reported: impl Iterator<Item = (u32, usize)>) -> Option<Self> {
        let mut levels = [0; 4];
        for (level, size) in reported {
            // A level beyond these is memory beside the processor.
            if let Some(largest) = levels.get_mut(level as usize) {
                *largest = size.max(*largest);
            }
        }
        let [_, first_level, second_level, third_level] = levels;
        let is_known = first_level > 0 && second_level > 0;
        is_known.then_some(Self { first_level, second_level, last_level: third_level.max(second_level) })
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn reported() -> Option<Self> {
        None
    }

    /// Asks the processor: leaf 4 on Intel's (Intel, "Software Developer's Manual", volume 2, CPUID), leaf 8000001D of the
    /// same layout on AMD's ("Architecture Programmer's Manual", volume 3, appendix E).
    #[cfg(target_arch = "x86_64")]
    fn reported() -> Option<Self> {
        use std::arch::x86_64::__cpuid_count;

        const INTEL: u32 = 4;
        const AMD: u32 = 0x8000_001D;
        /// Most caches that a processor describes.
        const MOST: u32 = 16;
        // SAFETY: every `x86_64` has the instruction; later versions of Rust say so themselves.
        #[allow(unused_unsafe)]
        let ask = |leaf, index| unsafe { __cpuid_count(leaf, index) };
        [INTEL, AMD].into_iter().find_map(|leaf| {
            if ask(leaf & 0x8000_0000, 0).eax < leaf {
                return None;
            }
            let answers = (0..MOST).map(|index| ask(leaf, index)).map(|r| [r.eax, r.ebx, r.ecx]);
            Self::of(answers.take_while(|[eax, ..]| eax & 0x1F != 0).filter_map(level_and_size))
        })
    }
}

/// Returns the level of a cache and its bytes, if it holds data; from the registers EAX, EBX and ECX.
#[cfg(target_arch = "x86_64")]
fn level_and_size([eax, ebx, ecx]: [u32; 3]) -> Option<(u32, usize)> {
    const INSTRUCTIONS: u32 = 2;
    let field = |register: u32, first: u32, bits: u32| ((register >> first) & ((1 << bits) - 1)) as usize + 1;
    let (line, partitions, ways) = (field(ebx, 0, 12), field(ebx, 12, 10), field(ebx, 22, 10));
    let size = line.saturating_mul(partitions).saturating_mul(ways).saturating_mul(ecx as usize + 1);
    (eax & 0x1F != INSTRUCTIONS).then_some(((eax >> 5) & 7, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caches_of_this_machine_are_of_sensible_sizes() {
        let Caches { first_level, second_level, last_level } = Caches::current();
        assert!((8 << 10..1 << 20).contains(&first_level), "{first_level} bytes");
        assert!((128 << 10..1 << 30).contains(&second_level), "{second_level} bytes");
        assert!(last_level >= second_level);
    }

    #[test]
    fn what_is_not_reported_is_assumed() {
        assert_eq!(Caches::of([(1, 32 << 10)].into_iter()), None);
        assert_eq!(Caches::of([].into_iter()), None);
        let two = Caches::of([(1, 48 << 10), (2, 2 << 20), (7, 1 << 40)].into_iter()).unwrap();
        assert_eq!((two.second_level, two.last_level), (2 << 20, 2 << 20));
    }

    /// Sizes that a Zen 3 reports.
    #[test]
    #[cfg(target_arch = "x86_64")]
    fn registers_are_read_as_the_manuals_say() {
        let registers = [[0x121, 0x01C0_003F, 63], [0x122, 0x01C0_003F, 63], [0x143, 0x01C0_003F, 1023]];
        let found: Vec<_> = registers.into_iter().filter_map(level_and_size).collect();
        assert_eq!(found, [(1, 32 << 10), (2, 512 << 10)]);
    }
}
