//! The one place where a kernel is given the instruction set that it runs on.

use std::cell::Cell;
use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

#[cfg(target_arch = "x86_64")]
use crate::{Avx2, Avx512};
use crate::{Isa, MOST_LANES, Portable};

/// Work that is written once for every instruction set.
pub trait Kernel {
    /// Result of the work.
    type Output;

    /// Does the work. Implementations must be `#[inline(always)]`, or the instruction set does not reach them.
    fn run<I: Isa>(self, isa: I) -> Self::Output;
}

/// An instruction set that kernels exist for, from the least to the most able.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InstructionSet {
    /// Arrays of eight elements, on any target.
    Portable,
    /// AVX2 and FMA: eight lanes.
    Avx2,
    /// AVX-512 F, VL, BW and DQ: sixteen lanes.
    Avx512,
}

/// The given string names no instruction set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownInstructionSet(pub String);

impl fmt::Display for UnknownInstructionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no instruction set: expected avx512, avx2 or portable", self.0)
    }
}

impl std::error::Error for UnknownInstructionSet {}

impl fmt::Display for InstructionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for InstructionSet {
    type Err = UnknownInstructionSet;

    fn from_str(name: &str) -> Result<Self, UnknownInstructionSet> {
        Self::ALL
            .into_iter()
            .find(|set| set.name().eq_ignore_ascii_case(name.trim()))
            .ok_or_else(|| UnknownInstructionSet(name.to_owned()))
    }
}

thread_local! {
    static SCOPED: Cell<Option<InstructionSet>> = const { Cell::new(None) };
}

impl InstructionSet {
    const ALL: [Self; 3] = [Self::Portable, Self::Avx2, Self::Avx512];

    /// Returns the name that `OCELLI_ISA` takes: `avx512`, `avx2` or `portable`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    /// Returns the instruction sets that this machine has, the least able first.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|&set| set <= Self::best())
    }

    /// Returns the set that [`dispatch`] uses on this thread: the one set by [`scoped`](Self::scoped), else the best of
    /// this machine, capped by the environment variable `OCELLI_ISA` as it was when first read.
    pub fn current() -> Self {
        SCOPED.get().unwrap_or_else(|| setting().set)
    }

    /// Runs `f` with [`current`](Self::current) being this set (or the best of this machine, if that is less) on this
    /// thread, for tests and benches. A kernel that uses threads reads it once and passes it to its tasks. Filters that
    /// were prepared and plans that were made on one set only run on that set.
    pub fn scoped<T>(self, f: impl FnOnce() -> T) -> T {
        struct Restore(Option<InstructionSet>);
        impl Drop for Restore {
            fn drop(&mut self) {
                SCOPED.set(self.0);
            }
        }
        let _restore = Restore(SCOPED.replace(Some(self.min(Self::best()))));
        f()
    }

    /// Returns the most able set of this machine.
    fn best() -> Self {
        static BEST: OnceLock<InstructionSet> = OnceLock::new();
        *BEST.get_or_init(|| {
            #[cfg(target_arch = "x86_64")]
            {
                // Sets are ordered: AVX-512 without AVX2 exists on no machine, and would be refused here.
                if Avx2::detect().is_some() {
                    return if Avx512::detect().is_some() { Self::Avx512 } else { Self::Avx2 };
                }
            }
            Self::Portable
        })
    }
}

/// Value of the environment variable, read once.
struct Setting {
    set: InstructionSet,
    unknown: Option<UnknownInstructionSet>,
}

fn setting() -> &'static Setting {
    static SETTING: OnceLock<Setting> = OnceLock::new();
    SETTING.get_or_init(|| {
        let asked = std::env::var_os("OCELLI_ISA").filter(|value| !value.is_empty());
        cap(asked.map(|value| value.to_string_lossy().into_owned()).as_deref())
    })
}

fn cap(asked: Option<&str>) -> Setting {
    let best = InstructionSet::best();
    match asked.map(str::parse::<InstructionSet>) {
        None => Setting { set: best, unknown: None },
        Some(Ok(cap)) => Setting { set: cap.min(best), unknown: None },
        Some(Err(unknown)) => Setting { set: best, unknown: Some(unknown) },
    }
}

/// Returns the value of `OCELLI_ISA`, if it was set to something that names no instruction set and was therefore
/// ignored. A program's front end should tell its user.
pub fn unknown_cap() -> Option<&'static UnknownInstructionSet> {
    setting().unknown.as_ref()
}

/// Asserts at compile time what kernels rely on about a set: halves of a vector can be added until one lane is left,
/// arrays of [`MOST_LANES`] hold any vector, and a tile of one sum has its operands in registers.
const fn assert_usable<I: Isa>() {
    assert!(I::LANES.is_power_of_two() && I::LANES <= MOST_LANES, "lanes are a power of two, at most the most");
    assert!(I::REGISTERS >= 4, "registers hold two operands, a sum and one vector more");
}

const _: () = assert_usable::<Portable>();
#[cfg(target_arch = "x86_64")]
const _: () = assert_usable::<Avx2>();
#[cfg(target_arch = "x86_64")]
const _: () = assert_usable::<Avx512>();

/// Runs a kernel on [`InstructionSet::current`].
#[inline]
pub fn dispatch<K: Kernel>(kernel: K) -> K::Output {
    dispatch_on(InstructionSet::current(), kernel)
}

/// Runs a kernel on the given set, or on the best of this machine, if that is less.
#[inline]
pub fn dispatch_on<K: Kernel>(set: InstructionSet, kernel: K) -> K::Output {
    match set.min(InstructionSet::best()) {
        InstructionSet::Portable => run_portable(kernel),
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2 => {
            let isa = Avx2::detected();
            // SAFETY: `best` is at least this set, so detection found every feature that the function enables.
            unsafe { run_avx2(isa, kernel) }
        }
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512 => {
            let isa = Avx512::detected();
            // SAFETY: `best` is at least this set, so detection found every feature that the function enables.
            unsafe { run_avx512(isa, kernel) }
        }
        #[cfg(not(target_arch = "x86_64"))]
        InstructionSet::Avx2 | InstructionSet::Avx512 => run_portable(kernel),
    }
}

/// Runs a kernel on the portable set. A function of its own, as each set has it: inlined into its callers, the kernel
/// would be optimised again in each of them.
#[inline(never)]
fn run_portable<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Portable)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn run_avx2<K: Kernel>(isa: Avx2, kernel: K) -> K::Output {
    kernel.run(isa)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
fn run_avx512<K: Kernel>(isa: Avx512, kernel: K) -> K::Output {
    kernel.run(isa)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for set in InstructionSet::ALL {
            assert_eq!(set.to_string().parse(), Ok(set));
        }
        assert_eq!(" AVX2 ".parse(), Ok(InstructionSet::Avx2));
    }

    #[test]
    fn an_unknown_cap_is_ignored_and_told() {
        let setting = cap(Some("sse9"));
        assert_eq!(setting.set, InstructionSet::best());
        let text = setting.unknown.map(|unknown| unknown.to_string());
        assert_eq!(text.as_deref(), Some("\"sse9\" is no instruction set: expected avx512, avx2 or portable"));
    }

    #[test]
    fn a_cap_only_lowers() {
        assert_eq!(cap(Some("portable")).set, InstructionSet::Portable);
        assert_eq!(cap(Some("avx512")).set, InstructionSet::best());
        assert_eq!(cap(None).set, InstructionSet::best());
    }

    #[test]
    fn a_scope_ends() {
        struct Name;
        impl Kernel for Name {
            type Output = &'static str;
            #[inline(always)]
            fn run<I: Isa>(self, _: I) -> &'static str {
                I::NAME
            }
        }
        let outside = InstructionSet::current();
        for set in InstructionSet::available() {
            assert_eq!(set.scoped(|| dispatch(Name)), set.name());
            assert_eq!(dispatch_on(set, Name), set.name());
        }
        assert_eq!(InstructionSet::current(), outside);
    }
}
