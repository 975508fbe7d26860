//! Loops over slices with a vector function, tails included.
//!
//! A vector function is a small type and not a closure, because a closure is a function of its own, which the
//! instruction set does not reach. It is compiled once for each set: whether an operand is the destination itself, and how
//! results are stored, is known at run time only, and the elements behind the last whole vector go through the same loop.

use crate::{Isa, MOST_LANES, Stores};

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

/// Operand of an element-wise function.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// Another slice.
    Slice(&'a [f32]),
    /// The destination itself, which is overwritten.
    InPlace,
}

impl Source<'_> {
    /// Returns the operand of `length` elements of the destination, from element `start` on.
    ///
    /// # Panics
    /// If a slice ends before.
    #[inline(always)]
    #[must_use]
    pub fn part(self, start: usize, length: usize) -> Self {
        match self {
            Self::Slice(x) => Self::Slice(&x[start..][..length]),
            Self::InPlace => Self::InPlace,
        }
    }

    /// Asserts that the operand has as many elements as its destination.
    ///
    /// # Panics
    /// If it has not.
    #[inline]
    pub fn expect_length(self, length: usize) {
        if let Self::Slice(x) = self {
            assert_eq!(x.len(), length, "an operand of an element-wise function has its destination's length");
        }
    }

    /// Returns the address of the operand of a destination of `length` elements at `y`.
    #[inline(always)]
    fn address(self, y: *const f32, length: usize) -> *const f32 {
        self.expect_length(length);
        match self {
            Self::Slice(x) => x.as_ptr(),
            Self::InPlace => y,
        }
    }
}

/// Computes `y[i] = f(x[i])`.
///
/// # Panics
/// If the lengths differ.
#[inline(always)]
pub fn map<I: Isa, F: UnaryFunction>(isa: I, f: F, x: Source<'_>, y: &mut [f32], stores: Stores) {
    let (parts, to) = (Parts::new::<I>(y.len()), y.as_mut_ptr());
    let x = x.address(to, parts.length);
    let past = go_past::<I>(to, stores);
    // SAFETY: `x` has `length` elements.
    let copy = unsafe { parts.copy_tail(isa, x) };
    let mut results = [0.0; MOST_LANES];
    for part in 0..parts.count() {
        let (x, to, length, past) =
            if part == 0 { (x, to, parts.whole, past) } else { (copy.as_ptr(), results.as_mut_ptr(), I::LANES, false) };
        for i in (0..length).step_by(I::LANES) {
            // SAFETY: a part has `length` elements, whole vectors, in `x` and in its destination. Where both are one slice,
            // each vector is read before it is written, and nobody else refers to it meanwhile.
            unsafe { store(isa, f.apply(isa, isa.load_ptr(x.add(i))), to.add(i), past) };
        }
    }
    if parts.whole < parts.length {
        isa.store_partial(isa.load(&results), &mut y[parts.whole..]);
    }
    if past {
        isa.fence();
    }
}

/// Computes `y[i] = f(a[i], b[i])`.
///
/// # Panics
/// If the lengths differ.
#[inline(always)]
pub fn map2<I: Isa, F: BinaryFunction>(isa: I, f: F, operands: [Source<'_>; 2], y: &mut [f32], stores: Stores) {
    if map2_unfenced(isa, f, operands, y, stores) {
        isa.fence();
    }
}

/// Computes `y[i] = f(a[i], b[i mod n])`, with the `n` elements of `b` over and over, as a bias is added to pixels.
///
/// # Panics
/// If the lengths of `a` and `y` differ, or `b` is empty and they are not.
#[inline(always)]
pub fn map2_repeated<I: Isa, F: BinaryFunction>(isa: I, f: F, [a, b]: [Source<'_>; 2], y: &mut [f32], stores: Stores) {
    a.expect_length(y.len());
    let row = match b {
        Source::Slice(b) => b.len().min(y.len()),
        Source::InPlace => y.len(),
    };
    assert!(row > 0 || y.is_empty(), "an operand that is repeated has elements");
    let mut past = false;
    for (index, y) in y.chunks_mut(row.max(1)).enumerate() {
        let operands = [a.part(index * row, y.len()), b.part(0, y.len())];
        past |= map2_unfenced(isa, f, operands, y, stores);
    }
    // Once, behind the last row: a fence waits for the stores before it, for longer than a short row takes.
    if past {
        isa.fence();
    }
}

/// Does the work of [`map2`], and returns true if results went past the caches: a fence must follow.
#[inline(always)]
fn map2_unfenced<I: Isa, F: BinaryFunction>(
    isa: I,
    f: F,
    [a, b]: [Source<'_>; 2],
    y: &mut [f32],
    stores: Stores,
) -> bool {
    let (parts, to) = (Parts::new::<I>(y.len()), y.as_mut_ptr());
    let (a, b) = (a.address(to, parts.length), b.address(to, parts.length));
    let past = go_past::<I>(to, stores);
    // SAFETY: `a` and `b` have `length` elements.
    let (a_copy, b_copy) = unsafe { (parts.copy_tail(isa, a), parts.copy_tail(isa, b)) };
    let mut results = [0.0; MOST_LANES];
    for part in 0..parts.count() {
        let (a, b, to, length, past) = if part == 0 {
            (a, b, to, parts.whole, past)
        } else {
            (a_copy.as_ptr(), b_copy.as_ptr(), results.as_mut_ptr(), I::LANES, false)
        };
        for i in (0..length).step_by(I::LANES) {
            // SAFETY: as in `map`.
            unsafe { store(isa, f.apply(isa, isa.load_ptr(a.add(i)), isa.load_ptr(b.add(i))), to.add(i), past) };
        }
    }
    if parts.whole < parts.length {
        isa.store_partial(isa.load(&results), &mut y[parts.whole..]);
    }
    past
}

/// Copies `x` to `y`, past the caches or through them.
///
/// # Panics
/// If the lengths differ.
#[inline(always)]
pub fn copy<I: Isa>(isa: I, x: &[f32], y: &mut [f32], stores: Stores) {
    #[derive(Clone, Copy)]
    struct Same;
    impl UnaryFunction for Same {
        #[inline(always)]
        fn apply<I: Isa>(self, _: I, x: I::Vector) -> I::Vector {
            x
        }
    }
    map(isa, Same, Source::Slice(x), y, stores);
}

/// Division of a slice into whole vectors and the elements behind them, which are computed in a copy.
#[derive(Clone, Copy)]
struct Parts {
    length: usize,
    /// Elements in whole vectors.
    whole: usize,
}

impl Parts {
    #[inline(always)]
    fn new<I: Isa>(length: usize) -> Self {
        Self { length, whole: length - length % I::LANES }
    }

    /// Returns the number of parts, for a loop over them: what it computes is then compiled once for both.
    #[inline(always)]
    fn count(self) -> usize {
        1 + usize::from(self.whole < self.length)
    }

    /// Copies the elements behind the last whole vector.
    ///
    /// # Safety
    /// `length` elements can be read at `x`.
    #[inline(always)]
    unsafe fn copy_tail<I: Isa>(self, isa: I, x: *const f32) -> [f32; MOST_LANES] {
        let mut copy = [0.0; MOST_LANES];
        if self.whole == self.length {
            return copy;
        }
        // SAFETY: the caller's.
        let tail = unsafe { std::slice::from_raw_parts(x.add(self.whole), self.length - self.whole) };
        isa.store(isa.load_partial(tail), &mut copy);
        copy
    }
}

/// Returns true if results go past the caches: where it is asked for and `y` is aligned.
#[inline(always)]
fn go_past<I: Isa>(y: *const f32, stores: Stores) -> bool {
    stores == Stores::NonTemporal && y.addr().is_multiple_of(I::LANES * size_of::<f32>())
}

/// Writes a vector, past the caches or through them.
///
/// # Safety
/// `LANES` elements can be written at `y`, which is a multiple of a vector's size if they go past the caches.
#[inline(always)]
unsafe fn store<I: Isa>(isa: I, x: I::Vector, y: *mut f32, past: bool) {
    // SAFETY: the caller's.
    unsafe { if past { isa.store_non_temporal_ptr(x, y) } else { isa.store_ptr(x, y) } }
}
