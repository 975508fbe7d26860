//! Stores through the caches or past them, behind one interface.
//!
//! A processor that writes into a line it does not hold reads the line first, though every byte of it is replaced: a
//! copy moves three bytes for two. Stores past the caches ("non-temporal") spare that, and leave the caches to other
//! data; but their results must be read from memory again, and other threads see them in order only behind a fence.
//! [`Write`] takes care of both: work that is a [`Writer`] puts vector after vector, and does not know where they go.

use crate::{InstructionSet, Isa, Kernel};

/// Kind of store instructions that a kernel writes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stores {
    /// Through the caches: a line is read from memory before it is written.
    Regular,
    /// Past the caches, straight to memory. An instruction set without such stores uses [`Stores::Regular`].
    NonTemporal,
}

/// Work that fills `N` slices, each from its first element to its last, without reading them.
pub trait Writer<const N: usize> {
    /// Does the work. Implementations must be `#[inline(always)]`, as those of a [`Kernel`].
    fn run<I: Isa, S: Store>(self, isa: I, y: [Destination<'_, S>; N]);
}

/// A [`Writer`] with the slices that it fills: a [`Kernel`].
///
/// ```
/// use ocelli_simd::{Destination, Isa, Store, Stores, Write, Writer, dispatch};
///
/// /// `-x`
/// struct Negated<'a>(&'a [f32]);
///
/// impl Writer<1> for Negated<'_> {
///     #[inline(always)]
///     fn run<I: Isa, S: Store>(self, isa: I, [mut y]: [Destination<'_, S>; 1]) {
///         for x in self.0.chunks(I::LANES) {
///             y.put(isa, isa.neg(isa.load_partial(x)), x.len());
///         }
///     }
/// }
///
/// let (x, mut y) = (vec![1.0; 50], vec![0.0; 50]);
/// dispatch(Write { work: Negated(&x), stores: Stores::NonTemporal, y: [&mut y] });
/// assert_eq!(y, [-1.0; 50]);
/// ```
#[derive(Debug)]
pub struct Write<'a, W, const N: usize> {
    /// Work to do.
    pub work: W,
    /// Kind of stores that write the results.
    pub stores: Stores,
    /// Slices to fill.
    pub y: [&'a mut [f32]; N],
}

impl<W: Writer<N>, const N: usize> Kernel for Write<'_, W, N> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        // The portable set has no stores past the caches: the work would be compiled twice.
        if const { matches!(I::SET, InstructionSet::Portable) } || self.stores == Stores::Regular {
            self.work.run(isa, self.y.map(|rest| Destination { rest, store: Regular }));
        } else {
            let _fence = Fence(isa);
            self.work.run(isa, self.y.map(|rest| Destination { rest, store: NonTemporal }));
        }
    }
}

/// A [`Writer`] whose results are added to what the slices hold: a [`Kernel`].
#[derive(Debug)]
pub struct AddTo<'a, W, const N: usize> {
    /// Work to do.
    pub work: W,
    /// Slices to add to.
    pub y: [&'a mut [f32]; N],
}

impl<W: Writer<N>, const N: usize> Kernel for AddTo<'_, W, N> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        self.work.run(isa, self.y.map(|rest| Destination { rest, store: Adding }));
    }
}

/// [`Write`] or [`AddTo`], chosen at run time and compiled once: the choice is made for each vector. It suits work
/// whose code is long, and takes longer for a vector than the choice.
#[derive(Debug)]
pub struct WriteOrAdd<'a, W, const N: usize> {
    /// Work to do.
    pub work: W,
    /// Effect of the results on the slices.
    pub effect: Effect,
    /// Slices to fill or to add to.
    pub y: [&'a mut [f32]; N],
}

/// Effect of a kernel's results on its destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Results replace what is there.
    Replace(Stores),
    /// Results are added to what is there.
    Add,
}

impl<W: Writer<N>, const N: usize> Kernel for WriteOrAdd<'_, W, N> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let _fence = (self.effect == Effect::Replace(Stores::NonTemporal)).then(|| Fence(isa));
        self.work.run(isa, self.y.map(|rest| Destination { rest, store: self.effect }));
    }
}

/// Fences on drop, also after a panic: other threads read the slices then.
struct Fence<I: Isa>(I);

impl<I: Isa> Drop for Fence<I> {
    #[inline(always)]
    fn drop(&mut self) {
        self.0.fence();
    }
}

/// A slice that is being filled.
#[derive(Debug)]
pub struct Destination<'a, S> {
    rest: &'a mut [f32],
    store: S,
}

impl<S: Store> Destination<'_, S> {
    /// Returns the number of elements that are still to be written.
    #[inline(always)]
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// Writes all lanes of `value`.
    ///
    /// # Panics
    /// If less than a vector is left.
    #[inline(always)]
    pub fn put_vector<I: Isa>(&mut self, isa: I, value: I::Vector) {
        let (y, rest) = std::mem::take(&mut self.rest).split_at_mut(I::LANES);
        self.store.store(isa, value, y);
        self.rest = rest;
    }

    /// Writes the first `min(count, LANES)` lanes of `value`.
    ///
    /// # Panics
    /// If less than that is left.
    #[inline(always)]
    pub fn put<I: Isa>(&mut self, isa: I, value: I::Vector, count: usize) {
        if count >= I::LANES {
            return self.put_vector(isa, value);
        }
        let (y, rest) = std::mem::take(&mut self.rest).split_at_mut(count);
        self.store.store_partial(isa, value, y);
        self.rest = rest;
    }

    /// Writes the first `min(count, LANES)` lanes of `value` where more will follow: elements behind them may hold
    /// anything until they are written themselves, so that mostly a whole vector is stored, which is quicker than a
    /// part of one.
    ///
    /// # Panics
    /// If less than `min(count, LANES)` is left.
    #[inline(always)]
    pub fn put_over<I: Isa>(&mut self, isa: I, value: I::Vector, count: usize) {
        if self.rest.len() < I::LANES {
            return self.put(isa, value, count);
        }
        self.store.store_over(isa, value, self.rest, count);
        self.rest = &mut std::mem::take(&mut self.rest)[count..];
    }
}

mod sealed {
    use crate::Isa;

    pub trait Store: Copy {
        /// Writes `value` to the first `LANES` elements of `y`.
        fn store<I: Isa>(self, isa: I, value: I::Vector, y: &mut [f32]);

        /// Writes the first `y.len()` lanes of `value`, fewer than there are.
        #[inline(always)]
        fn store_partial<I: Isa>(self, isa: I, value: I::Vector, y: &mut [f32]) {
            isa.store_partial(value, y);
        }

        /// Writes the first `count` lanes of `value`, and anything to the elements behind them, of which there are
        /// `LANES` in all.
        #[inline(always)]
        fn store_over<I: Isa>(self, isa: I, value: I::Vector, y: &mut [f32], count: usize) {
            self.store_partial(isa, value, &mut y[..count]);
        }
    }
}

/// Kind of store as a type, for which a [`Writer`] is compiled.
pub trait Store: sealed::Store {}

#[derive(Clone, Copy, Debug)]
struct Regular;

impl sealed::Store for Regular {
    #[inline(always)]
    fn store<I: Isa>(self, isa: I, value: I::Vector, y: &mut [f32]) {
        isa.store(value, y);
    }

    #[inline(always)]
    fn store_over<I: Isa>(self, isa: I, value: I::Vector, y: &mut [f32], _: usize) {
        isa.store(value, y);
    }
}

impl Store for Regular {}

#[derive(Clone, Copy, Debug)]
struct Adding;

impl sealed::Store for Adding {
    #[inline(always)]
    fn store<I: Isa>(self, isa: I, value: I::Vector, y: &mut [f32]) {
        isa.store(isa.add(isa.load(y), value), y);
    }

    #[inline(always)]
    fn store_partial<I: Isa>(self, isa: I, value: I::Vector, y: &mut [f32]) {
        isa.store_partial(isa.add(isa.load_partial(y), value), y);
    }
}

impl Store for Adding {}

/// Stores past the caches. Made only by [`Write`] and as an [`Effect`], which fence.
#[derive(Clone, Copy, Debug)]
struct NonTemporal;

impl sealed::Store for NonTemporal {
    /// Stores past the caches where `y` is aligned to a vector, through them elsewhere.
    #[inline(always)]
    fn store<I: Isa>(self, isa: I, value: I::Vector, y: &mut [f32]) {
        assert!(y.len() >= I::LANES, "a store writes a whole vector");
        if y.as_ptr().addr().is_multiple_of(I::LANES * size_of::<f32>()) {
            // SAFETY: the assertion and the condition above: there is room for a vector, at a multiple of its size.
            unsafe { isa.store_non_temporal_ptr(value, y.as_mut_ptr()) };
        } else {
            isa.store(value, y);
        }
    }
}

impl Store for NonTemporal {}

impl sealed::Store for Effect {
    #[inline(always)]
    fn store<I: Isa>(self, isa: I, value: I::Vector, y: &mut [f32]) {
        match self {
            Self::Replace(Stores::Regular) => Regular.store(isa, value, y),
            Self::Replace(Stores::NonTemporal) => NonTemporal.store(isa, value, y),
            Self::Add => Adding.store(isa, value, y),
        }
    }

    #[inline(always)]
    fn store_partial<I: Isa>(self, isa: I, value: I::Vector, y: &mut [f32]) {
        match self {
            Self::Replace(_) => Regular.store_partial(isa, value, y),
            Self::Add => Adding.store_partial(isa, value, y),
        }
    }

    #[inline(always)]
    fn store_over<I: Isa>(self, isa: I, value: I::Vector, y: &mut [f32], count: usize) {
        match self {
            Self::Replace(Stores::Regular) => Regular.store_over(isa, value, y, count),
            _ => self.store_partial(isa, value, &mut y[..count]),
        }
    }
}

impl Store for Effect {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch_on;

    /// Writes `x[i]` and `2 x[i]`.
    struct Doubles<'a>(&'a [f32]);

    impl Writer<2> for Doubles<'_> {
        #[inline(always)]
        fn run<I: Isa, S: Store>(self, isa: I, [mut y, mut z]: [Destination<'_, S>; 2]) {
            for x in self.0.chunks(I::LANES) {
                let value = isa.load_partial(x);
                y.put(isa, value, x.len());
                z.put(isa, isa.add(value, value), x.len());
            }
            assert_eq!((y.left(), z.left()), (0, 0));
        }
    }

    /// Writes `x[i]`, in pieces of `.1`.
    struct Pieces<'a>(&'a [f32], usize);

    impl Writer<1> for Pieces<'_> {
        #[inline(always)]
        fn run<I: Isa, S: Store>(self, isa: I, [mut y]: [Destination<'_, S>; 1]) {
            let count = self.1.min(I::LANES);
            for start in (0..self.0.len()).step_by(count) {
                y.put_over(isa, isa.load_partial(&self.0[start..]), count.min(y.left()));
            }
            assert_eq!(y.left(), 0);
        }
    }

    #[test]
    fn what_is_written_over_is_what_was_put_last() {
        let x: Vec<f32> = (0..70).map(|i| i as f32 + 1.0).collect();
        for set in InstructionSet::available() {
            for (count, length) in (1..=16).flat_map(|count| [1, 7, 8, 15, 33, 70].map(|length| (count, length))) {
                for stores in [Stores::Regular, Stores::NonTemporal] {
                    let mut y = vec![0.0; 72];
                    let work = Pieces(&x[..length], count);
                    dispatch_on(set, Write { work, stores, y: [&mut y[1..1 + length]] });
                    assert_eq!(y[1..1 + length], x[..length], "{set} {stores:?} {count} {length}");
                    y.fill(0.0);
                    let (work, effect) = (Pieces(&x[..length], count), Effect::Replace(stores));
                    dispatch_on(set, WriteOrAdd { work, effect, y: [&mut y[1..1 + length]] });
                    assert_eq!(y[1..1 + length], x[..length], "{set} {stores:?} {count} {length}");
                    assert_eq!((y[0], y[1 + length]), (0.0, 0.0), "{set} {stores:?} {count} {length}");
                    dispatch_on(set, AddTo { work: Pieces(&x[..length], count), y: [&mut y[1..1 + length]] });
                    assert!(y[1..1 + length].iter().zip(&x).all(|(y, x)| *y == 2.0 * x), "{set} {count} {length}");
                }
            }
        }
    }

    #[test]
    fn every_length_at_every_alignment() {
        let x: Vec<f32> = (0..80).map(|i| i as f32 + 1.0).collect();
        for set in InstructionSet::available() {
            for stores in [Stores::Regular, Stores::NonTemporal] {
                for (start, length) in (0..17).flat_map(|start| (0..60).map(move |length| (start, length))) {
                    let (mut y, mut z) = (vec![0.0; 80], vec![0.0; 80]);
                    let range = start..start + length;
                    let work = Doubles(&x[range.clone()]);
                    dispatch_on(set, Write { work, stores, y: [&mut y[range.clone()], &mut z[range.clone()]] });
                    for i in 0..80 {
                        let expected = if range.contains(&i) { x[i] } else { 0.0 };
                        assert_eq!((y[i], z[i]), (expected, 2.0 * expected), "{set} {stores:?} {range:?} {i}");
                    }
                    let work = Doubles(&x[range.clone()]);
                    dispatch_on(set, AddTo { work, y: [&mut y[range.clone()], &mut z[range.clone()]] });
                    for i in range.clone() {
                        assert_eq!((y[i], z[i]), (2.0 * x[i], 4.0 * x[i]), "{set} {range:?} {i}");
                    }
                    for (effect, [times_y, times_z]) in
                        [(Effect::Add, [3.0, 6.0]), (Effect::Replace(stores), [1.0, 2.0])]
                    {
                        let work = Doubles(&x[range.clone()]);
                        let y_and_z = [&mut y[range.clone()], &mut z[range.clone()]];
                        dispatch_on(set, WriteOrAdd { work, effect, y: y_and_z });
                        for i in range.clone() {
                            assert_eq!(
                                (y[i], z[i]),
                                (times_y * x[i], times_z * x[i]),
                                "{set} {effect:?} {range:?} {i}"
                            );
                        }
                    }
                }
            }
        }
    }
}
