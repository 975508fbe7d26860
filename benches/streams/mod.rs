//! The yardstick of kernels that only move numbers: plain streams through memory, on all threads.

use criterion::{BenchmarkId, Criterion, Throughput};
use ocelli::simd::{InstructionSet, Stores, machine::Streams};
use ocelli::tensor::Arena;

/// Numbers that one task goes through, as in the kernels.
const CHUNK: usize = 1 << 16;

/// Goes through the streams on all threads.
pub fn run<const READ: usize, const UPDATE: usize, const WRITE: usize>(
    set: InstructionSet,
    stores: Stores,
    length: usize,
    streams: Streams<'_, READ, UPDATE, WRITE>,
) {
    if length <= CHUNK {
        streams.run(set, stores);
        return;
    }
    let middle = length.div_ceil(CHUNK) / 2 * CHUNK;
    let Streams { read, update, write } = streams;
    let (update, upper_update) = halves(update, middle);
    let (write, upper_write) = halves(write, middle);
    let lower = Streams { read: read.map(|x| &x[..middle]), update, write };
    let upper = Streams { read: read.map(|x| &x[middle..]), update: upper_update, write: upper_write };
    rayon::join(|| run(set, stores, middle, lower), || run(set, stores, length - middle, upper));
}

fn halves<const N: usize>(y: [&mut [f32]; N], middle: usize) -> ([&mut [f32]; N], [&mut [f32]; N]) {
    let mut pairs = y.map(|y| y.split_at_mut(middle));
    (pairs.each_mut().map(|pair| std::mem::take(&mut pair.0)), pairs.map(|pair| pair.1))
}

/// Benches streams of `length` numbers each, by regular and by non-temporal stores: the better of the two is what a
/// kernel with as many streams is measured against.
pub fn bench<const READ: usize, const UPDATE: usize, const WRITE: usize>(criterion: &mut Criterion, length: usize) {
    let mut group = criterion.benchmark_group("streams");
    let filled = || {
        let mut arena = Arena::new(length);
        arena.as_mut_slice().fill(1.0);
        arena
    };
    let read: [Arena; READ] = std::array::from_fn(|_| filled());
    let mut update: [Arena; UPDATE] = std::array::from_fn(|_| filled());
    let mut write: [Arena; WRITE] = std::array::from_fn(|_| filled());
    let bytes = (READ + 2 * UPDATE + WRITE) * length * size_of::<f32>();
    group.throughput(Throughput::Bytes(bytes as u64));
    for set in InstructionSet::available() {
        for (name, stores) in [("regular", Stores::Regular), ("non_temporal", Stores::NonTemporal)] {
            if stores == Stores::NonTemporal && WRITE == 0 {
                continue;
            }
            let streams = format!("read{READ}_update{UPDATE}_write{WRITE}");
            let id = BenchmarkId::new(streams, format!("{}MB/{set}/{name}", (length * size_of::<f32>()) >> 20));
            group.bench_function(id, |bencher| {
                bencher.iter(|| {
                    let read = read.each_ref().map(Arena::as_slice);
                    let update = update.each_mut().map(Arena::as_mut_slice);
                    let write = write.each_mut().map(Arena::as_mut_slice);
                    run(set, stores, length, Streams { read, update, write });
                });
            });
        }
    }
    group.finish();
}
