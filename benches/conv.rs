//! Convolution: every algorithm in the three passes, `conv2d_forward/vgg16.conv3_1/b1/im2col`. Throughput in FLOP.

mod shapes;

use criterion::{Criterion, Throughput};
use ocelli::kernels::Accumulate;
use ocelli::kernels::conv::{ALGORITHMS, Pass};

use shapes::{CONVOLUTIONS, numbers};

/// The definition is benched up to so many multiply-accumulates (some milliseconds), to show the distance.
const NAIVE_MACS: u64 = 4_000_000;

fn bench(criterion: &mut Criterion, pass: Pass, group: &str) {
    let mut group = criterion.benchmark_group(group);
    for shape in CONVOLUTIONS {
        for batch in [1, shape.batch] {
            let g = shape.geometry(batch);
            let (x, w, bias) = (numbers(g.input_len()), numbers(g.filter_len()), numbers(g.out_c));
            let dy = numbers(g.output_len());
            let (mut y, mut dx, mut dw) = (dy.clone(), x.clone(), w.clone());
            group.throughput(Throughput::Elements(2 * g.macs()));
            for algorithm in ALGORITHMS {
                let name = algorithm.name();
                if !algorithm.supports(&g, pass) || (name == "naive" && g.macs() > NAIVE_MACS) {
                    continue;
                }
                let mut workspace = vec![0.0; algorithm.workspace(&g, pass)];
                group.bench_function(format!("{}/b{batch}/{name}", shape.name), |bencher| match pass {
                    Pass::Forward => {
                        bencher.iter(|| algorithm.forward(&g, &x, &w, Some(&bias), &mut y, &mut workspace));
                    }
                    Pass::BackwardData => {
                        bencher.iter(|| algorithm.backward_data(&g, &dy, &w, &mut dx, Accumulate::Set, &mut workspace))
                    }
                    Pass::BackwardFilter => bencher
                        .iter(|| algorithm.backward_filter(&g, &x, &dy, &mut dw, Accumulate::Set, &mut workspace)),
                });
            }
        }
    }
    group.finish();
}

fn main() {
    shapes::run(&[
        |criterion| bench(criterion, Pass::Forward, "conv2d_forward"),
        |criterion| bench(criterion, Pass::BackwardData, "conv2d_backward_data"),
        |criterion| bench(criterion, Pass::BackwardFilter, "conv2d_backward_filter"),
    ]);
}
