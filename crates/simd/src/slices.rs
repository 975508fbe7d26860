//! Loops over slices with a vector function, tails included.
//!
//! A vector function is a small type and not a closure, because a closure is a function of its own, which the
//! instruction set does not reach. Tails are computed in a vector whose unused lanes are zero (and ignored).

use crate::Isa;

/// A function of one vector.
pub trait UnaryFunction: Copy {
    /// Computes the function; implementations must be `#[inline(always)]`.
    fn apply<I: Isa>(self, isa: I, x: I::Vector) -> I::Vector;
}

/// A function of two vectors.
pub trait BinaryFunction: Copy {
    /// Computes the function; implementations must be `#[inline(always)]`.
    fn apply<I: Isa>(self, isa: I, a: I::Vector, b: I::Vector) -> I::Vector;
}

/// Computes `y[i] = f(x[i])`.
///
/// # Panics
/// If the lengths differ.
#[inline(always)]
pub fn map<I: Isa, F: UnaryFunction>(isa: I, f: F, x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "source and destination have one length");
    let mut x = x.chunks_exact(I::LANES);
    let mut y = y.chunks_exact_mut(I::LANES);
    for (x, y) in (&mut x).zip(&mut y) {
        isa.store(f.apply(isa, isa.load(x)), y);
    }
    isa.store_partial(f.apply(isa, isa.load_partial(x.remainder())), y.into_remainder());
}

/// Computes `y[i] = f(y[i])`.
#[inline(always)]
pub fn map_in_place<I: Isa, F: UnaryFunction>(isa: I, f: F, y: &mut [f32]) {
    let mut blocks = y.chunks_exact_mut(I::LANES);
    for y in &mut blocks {
        isa.store(f.apply(isa, isa.load(y)), y);
    }
    let tail = blocks.into_remainder();
    isa.store_partial(f.apply(isa, isa.load_partial(tail)), tail);
}

/// Computes `y[i] = f(a[i], b[i])`.
///
/// # Panics
/// If the lengths differ.
#[inline(always)]
pub fn map2<I: Isa, F: BinaryFunction>(isa: I, f: F, a: &[f32], b: &[f32], y: &mut [f32]) {
    assert_eq!(a.len(), y.len(), "first source and destination have one length");
    assert_eq!(b.len(), y.len(), "second source and destination have one length");
    let mut a = a.chunks_exact(I::LANES);
    let mut b = b.chunks_exact(I::LANES);
    let mut y = y.chunks_exact_mut(I::LANES);
    for ((a, b), y) in (&mut a).zip(&mut b).zip(&mut y) {
        isa.store(f.apply(isa, isa.load(a), isa.load(b)), y);
    }
    let (a, b) = (isa.load_partial(a.remainder()), isa.load_partial(b.remainder()));
    isa.store_partial(f.apply(isa, a, b), y.into_remainder());
}

/// Computes `y[i] = f(y[i], b[i])`.
///
/// # Panics
/// If the lengths differ.
#[inline(always)]
pub fn map2_in_place<I: Isa, F: BinaryFunction>(isa: I, f: F, y: &mut [f32], b: &[f32]) {
    assert_eq!(b.len(), y.len(), "source and destination have one length");
    let mut b = b.chunks_exact(I::LANES);
    let mut y = y.chunks_exact_mut(I::LANES);
    for (b, y) in (&mut b).zip(&mut y) {
        isa.store(f.apply(isa, isa.load(y), isa.load(b)), y);
    }
    let tail = y.into_remainder();
    let (a, b) = (isa.load_partial(tail), isa.load_partial(b.remainder()));
    isa.store_partial(f.apply(isa, a, b), tail);
}
