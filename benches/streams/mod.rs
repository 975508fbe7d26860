//! Plain streams through memory on all threads: the yardstick of kernels that only move data.

use ocelli::simd::{InstructionSet, Stores, machine::Streams};

/// Elements that one task streams, as in the kernels.
const CHUNK: usize = 1 << 16;

/// Runs the streams on all threads, past the caches where they only write: for tensors beyond every cache that is the
/// quicker way, and thus the measure of a kernel with as many streams.
pub fn run<const READ: usize, const UPDATE: usize, const WRITE: usize>(
    set: InstructionSet,
    length: usize,
    streams: Streams<'_, READ, UPDATE, WRITE>,
) {
    if length <= CHUNK {
        streams.run(set, Stores::NonTemporal);
        return;
    }
    let middle = length.div_ceil(CHUNK) / 2 * CHUNK;
    let Streams { read, update, write } = streams;
    let (update, upper_update) = halves(update, middle);
    let (write, upper_write) = halves(write, middle);
    let lower = Streams { read: read.map(|x| &x[..middle]), update, write };
    let upper = Streams { read: read.map(|x| &x[middle..]), update: upper_update, write: upper_write };
    rayon::join(|| run(set, middle, lower), || run(set, length - middle, upper));
}

fn halves<const N: usize>(y: [&mut [f32]; N], middle: usize) -> ([&mut [f32]; N], [&mut [f32]; N]) {
    let mut pairs = y.map(|y| y.split_at_mut(middle));
    (pairs.each_mut().map(|pair| std::mem::take(&mut pair.0)), pairs.map(|pair| pair.1))
}
