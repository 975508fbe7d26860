//! Matrix products, by instruction set: `gemm_forward/vgg16.fc7/b8/avx2` is that of a fully connected layer,
//! `gemm_forward/kernels.product.1024x1024x1024/b1024/avx2` a square, and `gemm_backward_data`, `gemm_backward_filter`
//! have the transposed operands of the other passes. `gemm_baseline` is the first by `matrixmultiply`. Throughput in FLOP.

mod measure;
mod shapes;

use criterion::{Criterion, Throughput};
use ocelli::kernels::conv::Pass;
use ocelli::simd::InstructionSet;

use shapes::layer::Operation;
use shapes::{Network, task};

/// Most multiply-accumulates for which the portable set is benched (some 100 ms).
const PORTABLE_MACS: u64 = 1_100_000_000;

fn bench(criterion: &mut Criterion, pass: Pass, group: &str) {
    let mut group = criterion.benchmark_group(group);
    for (network, layer) in Network::all().iter().flat_map(Network::named_layers) {
        let Operation::Dense(dense) = layer.operation else { continue };
        for batch in [1, layer.batch] {
            let macs = layer.macs(batch);
            group.throughput(Throughput::Elements(2 * macs));
            for set in InstructionSet::available() {
                if set == InstructionSet::Portable && macs > PORTABLE_MACS {
                    continue;
                }
                let mut run = None;
                group.bench_function(format!("{network}.{}/b{batch}/{set}", layer.name), |bencher| {
                    set.scoped(|| {
                        bencher.iter(run.get_or_insert_with(|| task::dense(dense, shapes::batch(batch), pass)));
                    });
                });
            }
        }
    }
    group.finish();
}

fn baseline(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("gemm_baseline");
    for (network, layer) in Network::all().iter().flat_map(Network::named_layers) {
        let Operation::Dense(dense) = layer.operation else { continue };
        for batch in [1, layer.batch] {
            group.throughput(Throughput::Elements(2 * layer.macs(batch)));
            let mut run = None;
            group.bench_function(format!("{network}.{}/b{batch}", layer.name), |bencher| {
                bencher.iter(run.get_or_insert_with(|| task::dense_by_baseline(dense, shapes::batch(batch))));
            });
        }
    }
    group.finish();
}

fn main() {
    measure::run(&[
        |criterion| bench(criterion, Pass::Forward, "gemm_forward"),
        |criterion| bench(criterion, Pass::BackwardData, "gemm_backward_data"),
        |criterion| bench(criterion, Pass::BackwardFilter, "gemm_backward_filter"),
        baseline,
    ]);
}
