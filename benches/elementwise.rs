//! Kernels that move data more than they compute: `relu/64MB/avx2`. Throughput in bytes that the kernel reads and
//! writes.
//!
//! 64 MB are beyond every cache: there a kernel is held against plain streams of the same count over the same tensors,
//! `relu/64MB/avx2/streams`, which are run right after it. 256 KB lie in a cache, where threads and calls show.

mod measure;
mod shapes;
mod streams;

use criterion::{BenchmarkId, Criterion, Throughput};
use ocelli::kernels::batch_norm::{
    BatchNorm, Through, batch_norm_add_backward_parameters, batch_norm_add_forward, batch_norm_backward_data,
    batch_norm_backward_parameters, batch_norm_forward, batch_norm_statistics,
};
use ocelli::kernels::broadcast::{Binary, Broadcast, binary};
use ocelli::kernels::dropout::dropout;
use ocelli::kernels::elementwise::{Source, Unary, unary, unary_backward};
use ocelli::kernels::optimizer::{
    AdamStep, GradientTransform, Momentum, SgdStep, WeightDecay, adam, sgd, sum_of_squares,
};
use ocelli::kernels::reduce::{Reduction, sum};
use ocelli::kernels::softmax::{softmax, softmax_backward};
use ocelli::kernels::{Accumulate, Activation};
use ocelli::simd::{InstructionSet, machine::Streams};
use ocelli::tensor::Arena;

const LARGE: usize = 16 << 20;
const SMALL: usize = 64 << 10;
/// Classes of a softmax: of ten digits, and of ImageNet.
const CLASSES: [usize; 2] = [10, 1000];
/// Channels of a batch normalisation.
const CHANNELS: [usize; 3] = [64, 256, 2048];

/// Tensors of one length: two to read, and three to write or update.
struct Tensors([Arena; 5]);

impl Tensors {
    fn new(length: usize) -> Self {
        Self(std::array::from_fn(|_| {
            let mut arena = Arena::new(length);
            shapes::fill(arena.as_mut_slice());
            arena
        }))
    }

    fn parts(&mut self) -> ([&[f32]; 2], [&mut [f32]; 3]) {
        let [a, b, x, y, z] = &mut self.0;
        ([a.as_slice(), b.as_slice()], [x.as_mut_slice(), y.as_mut_slice(), z.as_mut_slice()])
    }

    /// Runs plain streams over the first of the tensors to read, and the first of the others.
    fn streams<const READ: usize, const UPDATE: usize, const WRITE: usize>(
        &mut self,
    ) -> Streams<'_, READ, UPDATE, WRITE> {
        let (read, written) = self.parts();
        let mut written = written.into_iter();
        let mut next = |_| written.next().expect("no more than three tensors are written");
        let update = std::array::from_fn(&mut next);
        Streams { read: std::array::from_fn(|i| read[i]), update, write: std::array::from_fn(&mut next) }
    }
}

/// Benches a kernel that reads, updates and writes `READ`, `UPDATE` and `WRITE` tensors, on every length and
/// instruction set.
fn bench<const READ: usize, const UPDATE: usize, const WRITE: usize>(
    criterion: &mut Criterion,
    name: &str,
    mut kernel: impl FnMut([&[f32]; 2], [&mut [f32]; 3]),
) {
    let mut group = criterion.benchmark_group(name);
    for (size, length) in [("64MB", LARGE), ("256KB", SMALL)] {
        let mut tensors = Tensors::new(length);
        group.throughput(Throughput::Bytes(tensors.streams::<READ, UPDATE, WRITE>().bytes()));
        for set in InstructionSet::available() {
            group.bench_function(BenchmarkId::new(size, set), |bencher| {
                let (read, mut written) = tensors.parts();
                set.scoped(|| bencher.iter(|| kernel(read, written.each_mut().map(|y| &mut **y))));
            });
            if length == LARGE {
                group.bench_function(BenchmarkId::new(size, format_args!("{set}/streams")), |bencher| {
                    bencher.iter(|| streams::run(set, length, tensors.streams::<READ, UPDATE, WRITE>()));
                });
            }
        }
    }
    group.finish();
}

fn activations(criterion: &mut Criterion) {
    for (name, op) in [
        ("relu", Unary::Relu),
        ("exp", Unary::Exp),
        ("tanh", Unary::Tanh),
        ("sigmoid", Unary::Sigmoid),
        ("gelu", Unary::Gelu),
    ] {
        bench::<1, 0, 1>(criterion, name, |[x, _], [y, ..]| unary(op, Source::Slice(x), y));
    }
    bench::<0, 1, 0>(criterion, "relu_in_place", |_, [y, ..]| unary(Unary::Relu, Source::InPlace, y));
    bench::<2, 0, 1>(criterion, "relu_backward", |[y, dy], [dx, ..]| {
        unary_backward(Unary::Relu, y, Source::Slice(dy), dx);
    });
    bench::<1, 1, 0>(criterion, "relu_backward_in_place", |[y, _], [dx, ..]| {
        unary_backward(Unary::Relu, y, Source::InPlace, dx);
    });
}

fn arithmetic(criterion: &mut Criterion) {
    let same = |length: usize| Broadcast::new(&[length], &[length]).expect("equal shapes combine");
    bench::<2, 0, 1>(criterion, "add", |[a, b], [y, ..]| {
        binary(Binary::Add, &same(y.len()), Source::Slice(a), Source::Slice(b), y);
    });
    bench::<1, 1, 0>(criterion, "add_in_place", |[a, _], [y, ..]| {
        binary(Binary::Add, &same(y.len()), Source::InPlace, Source::Slice(a), y);
    });
    for channels in [64, 512] {
        bench::<1, 0, 1>(criterion, &format!("add_bias_{channels}"), |[x, bias], [y, ..]| {
            let g = Broadcast::new(&[y.len() / channels, channels], &[channels]).expect("a bias broadcasts");
            binary(Binary::Add, &g, Source::Slice(x), Source::Slice(&bias[..channels]), y);
        });
    }
}

fn sums(criterion: &mut Criterion) {
    for channels in [3, 64, 512, 2048] {
        bench::<1, 0, 0>(criterion, &format!("bias_gradient_{channels}"), |[x, _], [y, ..]| {
            let rows = x.len() / channels;
            let g = Reduction::new(&[rows, channels], &[0]).expect("axis 0 is one of two");
            sum(&g, &x[..rows * channels], &mut y[..channels], 1.0, Accumulate::Set);
        });
    }
    // The last pooling of ResNet-50, over 7 x 7 pixels.
    bench::<1, 0, 0>(criterion, "global_average_2048", |[x, _], [y, ..]| {
        let images = (x.len() / (49 * 2048)).max(1);
        let channels = (x.len() / (49 * images)).min(2048);
        let g = Reduction::new(&[images, 49, channels], &[1]).expect("axis 1 is one of three");
        sum(&g, &x[..images * 49 * channels], &mut y[..images * channels], 1.0 / 49.0, Accumulate::Set);
    });
    bench::<1, 0, 0>(criterion, "sum_of_squares", |[x, _], _| {
        std::hint::black_box(sum_of_squares(x));
    });
}

fn batch_normalisation(criterion: &mut Criterion) {
    for channels in CHANNELS {
        let [mean, variance, gamma, beta] = [0.1, 1.2, 0.9, 0.2].map(|x| vec![x; channels]);
        let norm = BatchNorm {
            mean: &mean,
            variance: &variance,
            gamma: &gamma,
            beta: &beta,
            epsilon: 1e-5,
            activation: Activation::Relu,
        };
        bench::<1, 0, 0>(criterion, &format!("batch_norm_statistics_{channels}"), |[x, _], [mean, variance, _]| {
            batch_norm_statistics(x, &mut mean[..channels], &mut variance[..channels]);
        });
        bench::<1, 0, 1>(criterion, &format!("batch_norm_forward_{channels}"), |[x, _], [y, ..]| {
            batch_norm_forward(&norm, Source::Slice(x), y);
        });
        bench::<2, 0, 0>(criterion, &format!("batch_norm_backward_parameters_{channels}"), |[x, dy], [y, z, _]| {
            batch_norm_backward_parameters(&norm, x, dy, &mut y[..channels], &mut z[..channels]);
        });
        bench::<2, 0, 1>(criterion, &format!("batch_norm_add_forward_{channels}"), |[x, residual], [y, ..]| {
            batch_norm_add_forward(&norm, x, Source::Slice(residual), y);
        });
        bench::<2, 1, 0>(
            criterion,
            &format!("batch_norm_add_backward_parameters_{channels}"),
            |[x, y], [dy, dgamma, dbeta]| {
                batch_norm_add_backward_parameters(&norm, x, y, dy, &mut dgamma[..channels], &mut dbeta[..channels]);
            },
        );
        let through = Through::Batch { dgamma: &gamma, dbeta: &beta };
        bench::<2, 0, 1>(criterion, &format!("batch_norm_backward_data_{channels}"), |[x, dy], [dx, ..]| {
            batch_norm_backward_data(&norm, x, Source::Slice(dy), through, dx, Accumulate::Set);
        });
    }
}

fn classification(criterion: &mut Criterion) {
    for classes in CLASSES {
        let whole = |length: usize| length - length % classes;
        bench::<1, 0, 1>(criterion, &format!("softmax_{classes}"), |[x, _], [y, ..]| {
            let length = whole(x.len());
            softmax(Source::Slice(&x[..length]), &mut y[..length], classes);
        });
        bench::<2, 0, 1>(criterion, &format!("softmax_backward_{classes}"), |[y, dy], [dx, ..]| {
            let length = whole(y.len());
            softmax_backward(&y[..length], Source::Slice(&dy[..length]), &mut dx[..length], classes);
        });
    }
    bench::<1, 0, 1>(criterion, "dropout", |[x, _], [y, ..]| dropout(1, 0.5, Source::Slice(x), y));
    bench::<0, 1, 0>(criterion, "dropout_in_place", |_, [y, ..]| dropout(1, 0.5, Source::InPlace, y));
}

/// Learning rate so small that the parameters stay unchanged, however long the bench runs.
const RATE: f32 = 1e-12;

fn optimizers(criterion: &mut Criterion) {
    let step = SgdStep {
        learning_rate: RATE,
        momentum: 0.9,
        rule: Momentum::Classical,
        weight_decay: WeightDecay::Coupled(1e-4),
        gradient: GradientTransform::default(),
    };
    bench::<1, 1, 0>(criterion, "sgd", |[g, _], [w, ..]| sgd(w, g, None, &step));
    bench::<1, 2, 0>(criterion, "sgd_momentum", |[g, _], [w, velocity, _]| sgd(w, g, Some(velocity), &step));
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
    bench::<1, 3, 0>(criterion, "adam", |[g, _], [w, m, v]| adam(w, g, m, v, &step));
}

fn main() {
    measure::run(&[activations, arithmetic, sums, batch_normalisation, classification, optimizers]);
}
