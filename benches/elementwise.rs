//! The kernels that move numbers, not compute: `relu/64MB/avx2`. Throughput in bytes that the kernel reads and writes.
//!
//! 64 MB are beyond every cache: there a kernel is held against [`streams`] of the same count in the same run (`relu`
//! against `read1_update0_write1`, the better of its two ways to store). 256 KB lie in a cache, where threads and calls
//! show.

mod shapes;
mod streams;

use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, measurement::WallTime};
use ocelli::kernels::Accumulate;
use ocelli::kernels::broadcast::{Binary, Broadcast, binary};
use ocelli::kernels::dropout::dropout;
use ocelli::kernels::elementwise::{Source, Unary, unary, unary_backward};
use ocelli::kernels::optimizer::{
    AdamStep, GradientTransform, Momentum, SgdStep, WeightDecay, adam, sgd, sum_of_squares,
};
use ocelli::kernels::reduce::{Reduction, sum};
use ocelli::kernels::softmax::{softmax, softmax_backward};
use ocelli::simd::InstructionSet;
use ocelli::tensor::Arena;

const LARGE: usize = 16 << 20;
const LENGTHS: [(&str, usize); 2] = [("64MB", LARGE), ("256KB", 64 << 10)];
/// Classes of a softmax, as of ImageNet, and of a large vocabulary.
const CLASSES: usize = 1024;

fn filled(length: usize) -> Arena {
    let mut arena = Arena::new(length);
    arena.as_mut_slice().copy_from_slice(&shapes::numbers(length));
    arena
}

/// Four tensors of one length, which a kernel reads and writes.
struct Tensors<'a> {
    a: &'a [f32],
    b: &'a [f32],
    y: &'a mut [f32],
    z: &'a mut [f32],
}

/// Benches a kernel that moves `streams` tensors on every length and instruction set.
fn bench(criterion: &mut Criterion, name: &str, streams: usize, mut kernel: impl FnMut(Tensors<'_>)) {
    let mut group = criterion.benchmark_group(name);
    for (size, length) in LENGTHS {
        let (a, b) = (filled(length), filled(length));
        let (mut y, mut z) = (filled(length), filled(length));
        group.throughput(Throughput::Bytes((streams * length * size_of::<f32>()) as u64));
        on_every_set(&mut group, size, || {
            kernel(Tensors { a: a.as_slice(), b: b.as_slice(), y: y.as_mut_slice(), z: z.as_mut_slice() });
        });
    }
    group.finish();
}

fn on_every_set(group: &mut BenchmarkGroup<'_, WallTime>, size: &str, mut run: impl FnMut()) {
    for set in InstructionSet::available() {
        set.scoped(|| group.bench_function(BenchmarkId::new(size, set), |bencher| bencher.iter(&mut run)));
    }
}

fn yardsticks(criterion: &mut Criterion) {
    streams::bench::<1, 0, 0>(criterion, LARGE);
    streams::bench::<2, 0, 0>(criterion, LARGE);
    streams::bench::<0, 1, 0>(criterion, LARGE);
    streams::bench::<1, 1, 0>(criterion, LARGE);
    streams::bench::<1, 2, 0>(criterion, LARGE);
    streams::bench::<1, 3, 0>(criterion, LARGE);
    streams::bench::<1, 0, 1>(criterion, LARGE);
    streams::bench::<2, 0, 1>(criterion, LARGE);
}

fn activations(criterion: &mut Criterion) {
    for (name, op) in [
        ("relu", Unary::Relu),
        ("exp", Unary::Exp),
        ("tanh", Unary::Tanh),
        ("sigmoid", Unary::Sigmoid),
        ("gelu", Unary::Gelu),
    ] {
        bench(criterion, name, 2, |t| unary(op, Source::Slice(t.a), t.y));
    }
    bench(criterion, "relu_in_place", 2, |t| unary(Unary::Relu, Source::InPlace, t.y));
    bench(criterion, "relu_backward", 3, |t| unary_backward(Unary::Relu, t.a, Source::Slice(t.b), t.y));
    bench(criterion, "relu_backward_in_place", 3, |t| unary_backward(Unary::Relu, t.a, Source::InPlace, t.y));
}

fn arithmetic(criterion: &mut Criterion) {
    let same = |length: usize| Broadcast::new(&[length], &[length]).expect("equal shapes combine");
    bench(criterion, "add", 3, |t| {
        binary(Binary::Add, &same(t.y.len()), Source::Slice(t.a), Source::Slice(t.b), t.y);
    });
    bench(criterion, "add_in_place", 3, |t| {
        binary(Binary::Add, &same(t.y.len()), Source::InPlace, Source::Slice(t.b), t.y);
    });
    for channels in [64, 512] {
        bench(criterion, &format!("add_bias_{channels}"), 2, |t| {
            let g = Broadcast::new(&[t.y.len() / channels, channels], &[channels]).expect("a bias broadcasts");
            binary(Binary::Add, &g, Source::Slice(t.a), Source::Slice(&t.b[..channels]), t.y);
        });
    }
}

fn sums(criterion: &mut Criterion) {
    for channels in [3, 64, 512, 2048] {
        bench(criterion, &format!("bias_gradient_{channels}"), 1, |t| {
            let rows = t.a.len() / channels;
            let g = Reduction::new(&[rows, channels], &[0]).expect("axis 0 is one of two");
            sum(&g, &t.a[..rows * channels], &mut t.y[..channels], 1.0, Accumulate::Set);
        });
    }
    bench(criterion, "sum_of_squares", 1, |t| {
        std::hint::black_box(sum_of_squares(t.a));
    });
}

fn classification(criterion: &mut Criterion) {
    bench(criterion, "softmax", 2, |t| softmax(Source::Slice(t.a), t.y, CLASSES));
    bench(criterion, "softmax_backward", 3, |t| softmax_backward(t.a, Source::Slice(t.b), t.y, CLASSES));
    bench(criterion, "dropout", 2, |t| dropout(1, 0.5, Source::Slice(t.a), t.y));
    bench(criterion, "dropout_in_place", 2, |t| dropout(1, 0.5, Source::InPlace, t.y));
}

/// A rate so small that the parameters stay what they are, however long it runs.
const RATE: f32 = 1e-12;

fn optimizers(criterion: &mut Criterion) {
    let step = SgdStep {
        learning_rate: RATE,
        momentum: 0.9,
        rule: Momentum::Classical,
        weight_decay: WeightDecay::Coupled(1e-4),
        gradient: GradientTransform::default(),
    };
    bench(criterion, "sgd", 3, |t| sgd(t.y, t.a, None, &step));
    bench(criterion, "sgd_momentum", 5, |t| sgd(t.y, t.a, Some(t.z), &step));
    let step = AdamStep {
        learning_rate: RATE,
        beta1: 0.9,
        beta2: 0.999,
        bias_correction1: 0.1,
        bias_correction2: 0.001,
        epsilon: 1e-8,
        weight_decay: WeightDecay::None,
        gradient: GradientTransform::default(),
    };
    let mut squares = filled(LARGE);
    bench(criterion, "adam", 7, |t| {
        let length = t.y.len();
        adam(t.y, t.a, t.z, &mut squares.as_mut_slice()[..length], &step);
    });
}

fn main() {
    shapes::run(&[yardsticks, activations, arithmetic, sums, classification, optimizers]);
}
