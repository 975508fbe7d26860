//! Maximum, minimum, and comparisons as 0 and 1, broadcast as arithmetic is.

use ocelli_simd::{BinaryFunction, InstructionSet, Isa};

use super::{Broadcast, broadcast, each_run, run};
use crate::elementwise::Source;

/// The larger or the smaller of two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Extremum {
    /// `max(a, b)`
    Maximum,
    /// `min(a, b)`
    Minimum,
}

/// A comparison of two values. With NaN all are false but [`NotEqual`](Comparison::NotEqual).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `a > b`
    Greater,
    /// `a >= b`
    GreaterOrEqual,
    /// `a < b`
    Less,
    /// `a <= b`
    LessOrEqual,
    /// `a == b`
    Equal,
    /// `a != b`
    NotEqual,
}

/// Computes the larger or the smaller of `a` and `b`, broadcast; NaN where either is NaN.
///
/// Operands may be in place as those of [`binary`](super::binary).
pub fn extremum(which: Extremum, g: &Broadcast, a: Source<'_>, b: Source<'_>, y: &mut [f32]) {
    g.assert_fits(a, b, y);
    match which {
        Extremum::Maximum => broadcast(Larger, g, a, b, y),
        Extremum::Minimum => broadcast(Smaller, g, a, b, y),
    }
}

/// Computes the share of the gradient of [`extremum`] that goes to `a`: 1 where `a` is the result, 0 where `b` is, ½
/// where they are equal.
pub fn extremum_share(which: Extremum, g: &Broadcast, a: Source<'_>, b: Source<'_>, y: &mut [f32]) {
    g.assert_fits(a, b, y);
    match which {
        Extremum::Maximum => broadcast(ShareOfLarger, g, a, b, y),
        Extremum::Minimum => broadcast(ShareOfSmaller, g, a, b, y),
    }
}

/// Computes 1 where the comparison of `a` with `b` is true and 0 elsewhere, broadcast.
///
/// Operands may be in place as those of [`binary`](super::binary).
pub fn compare(comparison: Comparison, g: &Broadcast, a: Source<'_>, b: Source<'_>, y: &mut [f32]) {
    g.assert_fits(a, b, y);
    match comparison {
        Comparison::Greater => swapped(Less, g, a, b, y),
        Comparison::GreaterOrEqual => swapped(LessOrEqual, g, a, b, y),
        Comparison::Less => broadcast(Less, g, a, b, y),
        Comparison::LessOrEqual => broadcast(LessOrEqual, g, a, b, y),
        Comparison::Equal => broadcast(Equal, g, a, b, y),
        Comparison::NotEqual => broadcast(NotEqual, g, a, b, y),
    }
}

/// Computes `y = f(b, a)`, broadcast.
fn swapped<F: BinaryFunction + Sync>(f: F, g: &Broadcast, a: Source<'_>, b: Source<'_>, y: &mut [f32]) {
    let set = InstructionSet::current();
    each_run(g, [a, b], y, &|[a, b], y, stores| run(set, f, [b, a], y, stores));
}

/// Returns 1 in the lanes of a mask, 0 elsewhere.
#[inline(always)]
fn ones<I: Isa>(isa: I, mask: I::Mask) -> I::Vector {
    isa.select(mask, isa.splat(1.0), isa.zero())
}

/// Returns 1 where `first` says that `a` comes before `b`, ½ where they are equal, else 0.
#[inline(always)]
fn share<I: Isa>(isa: I, first: I::Mask, a: I::Vector, b: I::Vector) -> I::Vector {
    isa.select(isa.equal(a, b), isa.splat(0.5), ones(isa, first))
}

macro_rules! functions {
    ($($(#[$doc:meta])* $name:ty: |$isa:ident, $a:ident, $b:ident| $result:expr;)+) => { $(
        impl BinaryFunction for $name {
            #[inline(always)]
            fn apply<I: Isa>(self, $isa: I, $a: I::Vector, $b: I::Vector) -> I::Vector {
                $result
            }
        }
    )+ };
}

#[derive(Clone, Copy)]
struct Larger;
#[derive(Clone, Copy)]
struct Smaller;
#[derive(Clone, Copy)]
struct ShareOfLarger;
#[derive(Clone, Copy)]
struct ShareOfSmaller;
#[derive(Clone, Copy)]
struct Less;
#[derive(Clone, Copy)]
struct LessOrEqual;
#[derive(Clone, Copy)]
struct Equal;
#[derive(Clone, Copy)]
struct NotEqual;

functions! {
    // The instruction keeps a NaN of `b` only.
    Larger: |isa, a, b| isa.select(isa.equal(a, a), isa.max(a, b), a);
    Smaller: |isa, a, b| isa.select(isa.equal(a, a), isa.min(a, b), a);
    ShareOfLarger: |isa, a, b| share(isa, isa.less_than(b, a), a, b);
    ShareOfSmaller: |isa, a, b| share(isa, isa.less_than(a, b), a, b);
    Less: |isa, a, b| ones(isa, isa.less_than(a, b));
    LessOrEqual: |isa, a, b| ones(isa, isa.less_or_equal(a, b));
    Equal: |isa, a, b| ones(isa, isa.equal(a, b));
    NotEqual: |isa, a, b| ones(isa, isa.mask_not(isa.equal(a, b)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elementwise::testing::on_every_set;

    /// Every pair of these values, `a` slow and `b` fast.
    const NUMBERS: [f32; 7] = [-2.0, -0.5, 0.0, 0.5, 3.0, f32::INFINITY, f32::NAN];

    /// Pairs in full, and with `b` repeated for each `a`.
    fn check(name: &str, run: impl Fn(&Broadcast, Source<'_>, Source<'_>, &mut [f32]), one: impl Fn(f32, f32) -> f32) {
        let count = NUMBERS.len();
        let pairs = || NUMBERS.iter().flat_map(|&a| NUMBERS.map(|b| (a, b)));
        let (a, b): (Vec<f32>, Vec<f32>) = pairs().unzip();
        let expected: Vec<u32> = pairs().map(|(a, b)| one(a, b).to_bits()).collect();
        let bits = |y: Vec<f32>| y.into_iter().map(f32::to_bits).collect::<Vec<_>>();
        on_every_set(|set| {
            let run = |a_shape: &[usize], b_shape: &[usize], a: Source<'_>, b: Source<'_>, mut y: Vec<f32>| {
                run(&Broadcast::new(a_shape, b_shape).unwrap(), a, b, &mut y);
                bits(y)
            };
            let (whole, empty) = ([count, count], vec![0.0; count * count]);
            let (slice_a, slice_b) = (Source::Slice(&a), Source::Slice(&b));
            assert_eq!(run(&whole, &whole, slice_a, slice_b, empty.clone()), expected, "{name} {set}");
            assert_eq!(run(&whole, &whole, Source::InPlace, slice_b, a.clone()), expected, "{name} {set} on a");
            assert_eq!(run(&whole, &whole, slice_a, Source::InPlace, b.clone()), expected, "{name} {set} on b");
            let (column, row) = ([count, 1], [count]);
            let numbers = Source::Slice(&NUMBERS);
            assert_eq!(run(&column, &row, numbers, numbers, empty), expected, "{name} {set} broadcast");
        });
    }

    #[test]
    fn the_larger_and_the_smaller_of_every_pair() {
        let nan_or = |a: f32, b: f32, other: f32| if a.is_nan() || b.is_nan() { f32::NAN } else { other };
        for (which, of) in [(Extremum::Maximum, f32::max as fn(f32, f32) -> f32), (Extremum::Minimum, f32::min)] {
            check("extremum", |g, a, b, y| extremum(which, g, a, b, y), |a, b| nan_or(a, b, of(a, b)));
            let share = |a: f32, b: f32| match () {
                () if a == b => 0.5,
                () if a.is_nan() || b.is_nan() => 0.0,
                () => f32::from(of(a, b) == a),
            };
            check("share", |g, a, b, y| extremum_share(which, g, a, b, y), share);
        }
    }

    #[test]
    fn comparisons_of_every_pair() {
        type Case = (Comparison, fn(&f32, &f32) -> bool);
        let cases: [Case; 6] = [
            (Comparison::Greater, f32::gt),
            (Comparison::GreaterOrEqual, f32::ge),
            (Comparison::Less, f32::lt),
            (Comparison::LessOrEqual, f32::le),
            (Comparison::Equal, f32::eq),
            (Comparison::NotEqual, f32::ne),
        ];
        for (comparison, of) in cases {
            let name = format!("{comparison:?}");
            check(&name, |g, a, b, y| compare(comparison, g, a, b, y), |a, b| f32::from(of(&a, &b)));
        }
    }
}
