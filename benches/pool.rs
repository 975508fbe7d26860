//! Pooling: `max_pool_forward/vgg16.pool1/b1`. Throughput in elements of windows, which are comparisons or additions.

mod shapes;

use criterion::{Criterion, Throughput};
use ocelli::kernels::Accumulate;
use ocelli::kernels::pool::{
    AdaptiveGeometry, CountPadding, PoolGeometry, adaptive_backward, adaptive_forward, average_backward,
    average_forward, max_backward, max_forward,
};

use shapes::{POOLINGS, numbers};

const BATCHES: [usize; 2] = [1, 8];

/// Benches `kernel(geometry, x, y, dx, indices)` on every pooling.
fn each_shape(
    criterion: &mut Criterion,
    group: &str,
    kernel: impl Fn(&PoolGeometry, &[f32], &mut [f32], &mut [f32], &mut [f32]),
) {
    let mut group = criterion.benchmark_group(group);
    for shape in POOLINGS {
        for batch in BATCHES {
            let g = shape.geometry(batch);
            let x = numbers(g.input_length());
            let (mut y, mut indices) = (numbers(g.output_length()), vec![0.0; g.output_length()]);
            let mut dx = x.clone();
            // Indices that a backward pass can read.
            max_forward(&g, &x, &mut y, Some(&mut indices));
            group.throughput(Throughput::Elements((g.output_length() * shape.kernel * shape.kernel) as u64));
            group.bench_function(format!("{}/b{batch}", shape.name), |bencher| {
                bencher.iter(|| kernel(&g, &x, &mut y, &mut dx, &mut indices));
            });
        }
    }
    group.finish();
}

fn max(criterion: &mut Criterion) {
    each_shape(criterion, "max_pool_forward", |g, x, y, _, indices| max_forward(g, x, y, Some(indices)));
    each_shape(criterion, "max_pool_inference", |g, x, y, _, _| max_forward(g, x, y, None));
    each_shape(criterion, "max_pool_backward", |g, _, y, dx, indices| {
        max_backward(g, y, indices, dx, Accumulate::Set);
    });
}

fn average(criterion: &mut Criterion) {
    each_shape(criterion, "average_pool_forward", |g, x, y, _, _| average_forward(g, CountPadding::Include, x, y));
    each_shape(criterion, "average_pool_backward", |g, _, y, dx, _| {
        average_backward(g, CountPadding::Include, y, dx, Accumulate::Set);
    });
}

/// VGG-16 on pictures of another size brings them to 7 × 7.
fn adaptive(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("adaptive_pool");
    for batch in BATCHES {
        let g = AdaptiveGeometry::new([7, 7], [batch, 10, 12, 512]).expect("7 x 7 windows fit any picture");
        let x = numbers(batch * 10 * 12 * 512);
        let (mut y, mut dx) = (vec![0.0; batch * 7 * 7 * 512], x.clone());
        group.throughput(Throughput::Elements(x.len() as u64));
        group.bench_function(format!("vgg16.avgpool/b{batch}/forward"), |bencher| {
            bencher.iter(|| adaptive_forward(&g, &x, &mut y));
        });
        group.bench_function(format!("vgg16.avgpool/b{batch}/backward"), |bencher| {
            bencher.iter(|| adaptive_backward(&g, &y, &mut dx, Accumulate::Set));
        });
    }
    group.finish();
}

fn main() {
    shapes::run(&[max, average, adaptive]);
}
