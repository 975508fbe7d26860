//! Pooling: `max_pool_forward/vgg16.pool1/b1/avx2`. Throughput in bytes that the kernel reads and writes.
//!
//! Beside one image stands a batch of 64 MB, beyond every cache. There a kernel is held against plain streams that read
//! and write as much, `max_pool_forward/vgg16.pool1/64MB/avx2/streams`, which are run right after it.

mod measure;
mod shapes;
mod streams;

use criterion::{Criterion, Throughput};
use ocelli::kernels::Accumulate;
use ocelli::kernels::pool::{
    AdaptiveGeometry, CountPadding, PoolGeometry, adaptive_backward, adaptive_forward, average_backward,
    average_forward, max_backward, max_forward,
};
use ocelli::simd::{InstructionSet, machine::Streams};
use ocelli::tensor::Arena;

use shapes::POOLINGS;

/// Elements of a large input.
const LARGE: usize = 16 << 20;

/// Tensors that a pooling reads and writes: `x` and `dx` of the input's length, the others of the output's.
struct Tensors {
    x: Arena,
    dx: Arena,
    y: Arena,
    indices: Arena,
}

impl Tensors {
    fn new(input: usize, output: usize) -> Self {
        let [x, dx, y] = [input, input, output].map(|length| {
            let mut arena = Arena::new(length);
            shapes::fill(arena.as_mut_slice());
            arena
        });
        Self { x, dx, y, indices: Arena::new(output) }
    }

    fn parts(&mut self) -> Parts<'_> {
        let Self { x, dx, y, indices } = self;
        Parts { x: x.as_slice(), dx: dx.as_mut_slice(), y: y.as_mut_slice(), indices: indices.as_mut_slice() }
    }
}

struct Parts<'a> {
    x: &'a [f32],
    dx: &'a mut [f32],
    y: &'a mut [f32],
    indices: &'a mut [f32],
}

/// A pass of a pooling, by what it reads and writes.
#[derive(Clone, Copy)]
enum Pass {
    /// Reads `x`, writes `y`.
    Inference,
    /// Reads `x`, writes `y` and the indices.
    Training,
    /// Reads `y`, writes `dx`.
    Backward,
    /// Reads `y` and the indices, writes `dx`.
    BackwardByIndices,
}

impl Pass {
    fn numbers(self, input: usize, output: usize) -> usize {
        match self {
            Pass::Inference | Pass::Backward => input + output,
            Pass::Training | Pass::BackwardByIndices => input + 2 * output,
        }
    }

    /// Runs plain streams over the same tensors: over all together as far as the smaller ones reach, and over the rest
    /// of the larger one.
    fn streams(self, set: InstructionSet, tensors: Parts<'_>) {
        let Parts { x, dx, y, indices } = tensors;
        let (x, x_rest) = x.split_at(y.len());
        let (dx, dx_rest) = dx.split_at_mut(y.len());
        let (length, rest) = (y.len(), x_rest.len());
        match self {
            Pass::Inference => streams::run(set, length, Streams { read: [x], update: [], write: [y] }),
            Pass::Training => streams::run(set, length, Streams { read: [x], update: [], write: [y, indices] }),
            Pass::Backward => streams::run(set, length, Streams { read: [y], update: [], write: [dx] }),
            Pass::BackwardByIndices => {
                streams::run(set, length, Streams { read: [y, indices], update: [], write: [dx] });
            }
        }
        match self {
            Pass::Inference | Pass::Training => {
                streams::run(set, rest, Streams { read: [x_rest], update: [], write: [] });
            }
            Pass::Backward | Pass::BackwardByIndices => {
                streams::run(set, rest, Streams { read: [], update: [], write: [dx_rest] });
            }
        }
    }
}

/// Benches a kernel on every pooling.
fn each_shape(criterion: &mut Criterion, group: &str, pass: Pass, kernel: impl Fn(&PoolGeometry, Parts<'_>)) {
    let mut group = criterion.benchmark_group(group);
    for shape in POOLINGS {
        let large = LARGE / shape.geometry(1).input_length();
        for (size, batch) in [("b1", 1), ("64MB", large)] {
            let g = shape.geometry(batch);
            let mut tensors = Tensors::new(g.input_length(), g.output_length());
            // Indices that a backward pass can read.
            let Parts { x, y, indices, .. } = tensors.parts();
            max_forward(&g, x, y, Some(indices));
            let numbers = pass.numbers(g.input_length(), g.output_length());
            group.throughput(Throughput::Bytes((numbers * size_of::<f32>()) as u64));
            for set in InstructionSet::available() {
                let id = format!("{}/{size}/{set}", shape.name);
                set.scoped(|| group.bench_function(&id, |bencher| bencher.iter(|| kernel(&g, tensors.parts()))));
                if batch == large {
                    group.bench_function(format!("{id}/streams"), |bencher| {
                        bencher.iter(|| pass.streams(set, tensors.parts()));
                    });
                }
            }
        }
    }
    group.finish();
}

fn max(criterion: &mut Criterion) {
    each_shape(criterion, "max_pool_forward", Pass::Training, |g, t| max_forward(g, t.x, t.y, Some(t.indices)));
    each_shape(criterion, "max_pool_inference", Pass::Inference, |g, t| max_forward(g, t.x, t.y, None));
    each_shape(criterion, "max_pool_backward", Pass::BackwardByIndices, |g, t| {
        max_backward(g, t.y, t.indices, t.dx, Accumulate::Set);
    });
}

fn average(criterion: &mut Criterion) {
    each_shape(criterion, "average_pool_forward", Pass::Inference, |g, t| {
        average_forward(g, CountPadding::Include, t.x, t.y);
    });
    each_shape(criterion, "average_pool_backward", Pass::Backward, |g, t| {
        average_backward(g, CountPadding::Include, t.y, t.dx, Accumulate::Set);
    });
}

/// Benches the adaptive pooling of VGG-16, which brings images of another size to 7 × 7.
fn adaptive(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("adaptive_pool");
    let g = AdaptiveGeometry::new([7, 7], [8, 10, 12, 512]).expect("7 x 7 windows fit any image");
    let mut tensors = Tensors::new(8 * 10 * 12 * 512, 8 * 7 * 7 * 512);
    let Parts { x, dx, y, .. } = tensors.parts();
    group.throughput(Throughput::Bytes(size_of_val(x) as u64));
    for set in InstructionSet::available() {
        set.scoped(|| {
            group.bench_function(format!("forward/vgg16.avgpool/b8/{set}"), |bencher| {
                bencher.iter(|| adaptive_forward(&g, x, y));
            });
            group.bench_function(format!("backward/vgg16.avgpool/b8/{set}"), |bencher| {
                bencher.iter(|| adaptive_backward(&g, y, dx, Accumulate::Set));
            });
        });
    }
    group.finish();
}

fn main() {
    measure::run(&[max, average, adaptive]);
}
