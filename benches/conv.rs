//! Convolution: the layers of published networks in the three passes, by algorithm and instruction set,
//! `conv2d_forward/vgg16.conv3_1/b8/im2col/avx2`. Throughput in FLOP.
//!
//! All of it takes most of an hour; `cargo bench --bench conv -- vgg16` takes minutes.

mod measure;
mod shapes;

use criterion::{Criterion, Throughput};
use ocelli::kernels::conv::{ALGORITHMS, Pass};
use ocelli::simd::InstructionSet;

use shapes::layer::Operation;
use shapes::{Network, task};

/// Most multiply-accumulates for which the definition is benched (some milliseconds), to show the distance.
const NAIVE_MACS: u64 = 4_000_000;
/// Most multiply-accumulates for which the portable set is benched (some 20 ms).
const PORTABLE_MACS: u64 = 200_000_000;

fn bench(criterion: &mut Criterion, pass: Pass, group: &str) {
    let mut group = criterion.benchmark_group(group);
    for (network, layer) in Network::all().iter().flat_map(Network::named_layers) {
        let Operation::Convolution(convolution) = layer.operation else { continue };
        let g = convolution.geometry(shapes::batch(layer.batch));
        let macs = g.macs();
        group.throughput(Throughput::Elements(2 * macs));
        for algorithm in ALGORITHMS.iter().copied().filter(|algorithm| algorithm.supports(&g, pass)) {
            if algorithm.name() == "naive" && macs > NAIVE_MACS {
                continue;
            }
            for set in InstructionSet::available() {
                if set == InstructionSet::Portable && macs > PORTABLE_MACS {
                    continue;
                }
                let id = format!("{network}.{}/b{}/{}/{set}", layer.name, layer.batch, algorithm.name());
                // Operands are made only for what is benched, and on its instruction set: prepared filters follow it.
                let mut run = None;
                group.bench_function(id, |bencher| {
                    set.scoped(|| bencher.iter(run.get_or_insert_with(|| task::convolution(g, pass, algorithm))));
                });
            }
        }
    }
    group.finish();
}

fn main() {
    measure::run(&[
        |criterion| bench(criterion, Pass::Forward, "conv2d_forward"),
        |criterion| bench(criterion, Pass::BackwardData, "conv2d_backward_data"),
        |criterion| bench(criterion, Pass::BackwardFilter, "conv2d_backward_filter"),
    ]);
}
