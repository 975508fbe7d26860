//! The ceiling of memory: data that streams through a core, from and to any number of slices.

use crate::{InstructionSet, Isa, Kernel, Stores, dispatch_on};
use std::hint::black_box;

/// Slices of one length that are streamed at the same time: `t[i] = max(read[..][i], update[..][i])` is written to
/// `update[..][i]` and `write[..][i]`.
///
/// The maximum costs next to nothing and keeps values what they are, however often they are streamed. One slice read
/// and one written is a copy; none read and one written a fill; one updated is what an operation in place does.
///
/// ```
/// use ocelli_simd::{InstructionSet, Stores, machine::Streams};
///
/// let (a, b, mut y) = (vec![1.0; 1000], vec![2.0; 1000], vec![0.0; 1000]);
/// let streams = Streams { read: [&a, &b], update: [], write: [&mut y] };
/// assert_eq!(streams.bytes(), 3 * 4000);
/// streams.run(InstructionSet::current(), Stores::Regular);
/// assert_eq!(y, [2.0; 1000]);
/// ```
#[derive(Debug)]
pub struct Streams<'a, const READ: usize, const UPDATE: usize, const WRITE: usize> {
    /// Slices that are read.
    pub read: [&'a [f32]; READ],
    /// Slices that are read and then written, by regular stores.
    pub update: [&'a mut [f32]; UPDATE],
    /// Slices that are written.
    pub write: [&'a mut [f32]; WRITE],
}

impl<const READ: usize, const UPDATE: usize, const WRITE: usize> Streams<'_, READ, UPDATE, WRITE> {
    /// Returns the length of each slice, 0 if there is none.
    ///
    /// # Panics
    /// If the lengths differ.
    fn length(&self) -> usize {
        let read = self.read.iter().map(|x| x.len());
        let written = self.update.iter().chain(&self.write).map(|y| y.len());
        let mut lengths = read.chain(written);
        let first = lengths.next().unwrap_or(0);
        assert!(lengths.all(|length| length == first), "streams have one length");
        first
    }

    /// Returns the number of bytes that the program reads and writes; updated slices count twice. The lines that a
    /// regular store makes the machine read first do not count, as in STREAM (McCalpin 1995).
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn bytes(&self) -> u64 {
        ((READ + 2 * UPDATE + WRITE) * self.length() * size_of::<f32>()) as u64
    }

    /// Streams the slices once, on this thread, and returns the largest value read (or zero).
    ///
    /// # Panics
    /// If the lengths differ, or if a slice for non-temporal stores does not start at a multiple of 64 bytes.
    pub fn run(self, set: InstructionSet, stores: Stores) -> f32 {
        // Hidden, or the compiler would leave out what is only read where nobody asks for the result.
        black_box(dispatch_on(set, Pass { length: self.length(), streams: self, stores }))
    }
}

struct Pass<'a, const READ: usize, const UPDATE: usize, const WRITE: usize> {
    streams: Streams<'a, READ, UPDATE, WRITE>,
    length: usize,
    stores: Stores,
}

/// Vectors of each stream that are read before any is written: enough to keep the load units busy.
const UNROLL: usize = 4;

impl<const READ: usize, const UPDATE: usize, const WRITE: usize> Kernel for Pass<'_, READ, UPDATE, WRITE> {
    type Output = f32;

    #[inline(always)]
    fn run<I: Isa>(mut self, isa: I) -> f32 {
        if self.stores == Stores::NonTemporal {
            let aligned = self.streams.write.iter().all(|y| y.as_ptr().align_offset(64) == 0);
            assert!(aligned, "non-temporal stores go to multiples of 64 bytes");
        }
        let step = UNROLL * I::LANES;
        let main = self.length - self.length % step;
        let mut largest = [isa.zero(); UNROLL];
        for start in (0..main).step_by(step) {
            // SAFETY: `start + UNROLL * LANES <= main <= length`, the length of every slice; `start` is a multiple of
            // `LANES`, and slices for non-temporal stores are aligned to 64 bytes, a multiple of a vector.
            unsafe { self.block(isa, start, &mut largest) };
        }
        let [a, b, c, d] = largest;
        let largest = isa.max_lane(isa.max(isa.max(a, b), isa.max(c, d)));
        isa.fence();
        (main..self.length).fold(largest, |largest, i| largest.max(self.one(i)))
    }
}

impl<const READ: usize, const UPDATE: usize, const WRITE: usize> Pass<'_, READ, UPDATE, WRITE> {
    /// Streams `UNROLL` vectors from `start` on.
    ///
    /// # Safety
    /// `start + UNROLL * LANES` is at most the length; for non-temporal stores, `start` is a multiple of `LANES` and
    /// what is written is aligned to vectors.
    #[inline(always)]
    unsafe fn block<I: Isa>(&mut self, isa: I, start: usize, largest: &mut [I::Vector; UNROLL]) {
        let mut values = [isa.zero(); UNROLL];
        for x in &self.streams.read {
            for (u, value) in values.iter_mut().enumerate() {
                // SAFETY: the caller: vector `u` after `start` lies in the slice.
                *value = isa.max(*value, unsafe { isa.load_ptr(x.as_ptr().add(start + u * I::LANES)) });
            }
        }
        for y in &self.streams.update {
            for (u, value) in values.iter_mut().enumerate() {
                // SAFETY: the caller: vector `u` after `start` lies in the slice.
                *value = isa.max(*value, unsafe { isa.load_ptr(y.as_ptr().add(start + u * I::LANES)) });
            }
        }
        for y in &mut self.streams.update {
            for (u, &value) in values.iter().enumerate() {
                // SAFETY: the caller: vector `u` after `start` lies in the slice.
                unsafe { isa.store_ptr(value, y.as_mut_ptr().add(start + u * I::LANES)) };
            }
        }
        for y in &mut self.streams.write {
            for (u, &value) in values.iter().enumerate() {
                // SAFETY: the caller: vector `u` after `start` lies in the slice, and is aligned where it must be.
                unsafe {
                    let place = y.as_mut_ptr().add(start + u * I::LANES);
                    match self.stores {
                        Stores::Regular => isa.store_ptr(value, place),
                        Stores::NonTemporal => isa.store_non_temporal_ptr(value, place),
                    }
                }
            }
        }
        for (largest, value) in largest.iter_mut().zip(values) {
            *largest = isa.max(*largest, value);
        }
    }

    /// Streams element `i`.
    #[inline(always)]
    fn one(&mut self, i: usize) -> f32 {
        let Streams { read, update, write } = &mut self.streams;
        let read = read.iter().map(|x| x[i]);
        let value = read.chain(update.iter().map(|y| y[i])).fold(0.0, f32::max);
        update.iter_mut().chain(write).for_each(|y| y[i] = value);
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Allocates room for `length` elements; returns it and the offset of the first aligned one.
    fn aligned(length: usize) -> (Vec<f32>, usize) {
        let storage = vec![-1.0; length + 16];
        let start = storage.as_ptr().align_offset(64);
        (storage, start)
    }

    #[test]
    fn every_length_and_kind_of_store() {
        for set in InstructionSet::available() {
            for length in (0..200).chain([1000]) {
                for stores in [Stores::Regular, Stores::NonTemporal] {
                    let a: Vec<f32> = (0..length).map(|i| (i * 7 % 31) as f32).collect();
                    let b: Vec<f32> = (0..length).map(|i| (i * 5 % 37) as f32).collect();
                    let mut update: Vec<f32> = (0..length).map(|i| (i * 3 % 41) as f32).collect();
                    let (mut storage, start) = aligned(length);
                    let expected: Vec<f32> = (0..length).map(|i| a[i].max(b[i]).max(update[i])).collect();
                    let write = &mut storage[start..][..length];
                    let streams = Streams { read: [&a, &b], update: [&mut update], write: [write] };
                    assert_eq!(streams.bytes(), 5 * 4 * length as u64);
                    let largest = streams.run(set, stores);
                    assert_eq!(largest, expected.iter().copied().fold(0.0, f32::max), "{set} {length}");
                    assert_eq!(update, expected, "{set} {length}");
                    assert_eq!(storage[start..][..length], expected, "{set} {length}");
                    assert!(storage[start + length..].iter().all(|&y| y == -1.0), "{set} {length}");
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "streams have one length")]
    fn lengths_must_agree() {
        Streams { read: [&[1.0; 3]], update: [], write: [&mut [0.0; 4]] }.bytes();
    }
}
