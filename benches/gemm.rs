//! Matrix products, on one thread and on the rayon pool: `gemm_dense/vgg16.fc7/b32/pool` is the product of a fully
//! connected layer, `gemm_conv/vgg16.conv3_1/b1/pool` that of all patches of a convolution. Throughput in FLOP.

mod shapes;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput};
use ocelli::kernels::Accumulate;
use ocelli::kernels::gemm::{Matrix, MatrixMut, gemm, gemm_parallel};

use shapes::{CONVOLUTIONS, DENSE, numbers};

/// `[m, k] · [k, n]` in both ways.
fn product(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, [m, k, n]: [usize; 3]) {
    let (a, b, mut c) = (numbers(m * k), numbers(k * n), vec![0.0; m * n]);
    let (a, b) = (Matrix::new(&a, m, k), Matrix::new(&b, k, n));
    group.throughput(Throughput::Elements(2 * (m * k * n) as u64));
    group.bench_function(format!("{name}/one_thread"), |bencher| {
        bencher.iter(|| gemm(a, b, MatrixMut::new(&mut c, m, n), Accumulate::Set));
    });
    group.bench_function(format!("{name}/pool"), |bencher| {
        bencher.iter(|| gemm_parallel(a, b, MatrixMut::new(&mut c, m, n), Accumulate::Set));
    });
}

fn dense(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("gemm_dense");
    for layer in DENSE {
        for batch in [1, layer.batch] {
            product(&mut group, &format!("{}/b{batch}", layer.name), [batch, layer.inputs, layer.outputs]);
        }
    }
    group.finish();
}

fn conv(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("gemm_conv");
    for layer in CONVOLUTIONS.iter().filter(|layer| layer.groups == 1) {
        let g = layer.geometry(1);
        product(&mut group, &format!("{}/b1", layer.name), [g.output_pixels(), g.patch_len(), g.out_c]);
    }
    group.finish();
}

fn main() {
    shapes::run(&[dense, conv]);
}
