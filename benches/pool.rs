//! Pooling: `max_pool_forward/vgg16.pool1/b1`. Throughput in elements of windows, which are comparisons or additions.

mod shapes;

use criterion::{Criterion, Throughput};
use ocelli::kernels::Accumulate;
use ocelli::kernels::pool::{
    CountPadding, PoolGeometry, adaptive_backward, adaptive_forward, average_backward, average_forward, max_backward,
    max_forward,
};

use shapes::{POOLINGS, numbers};

const BATCHES: [usize; 2] = [1, 8];

/// Benches `kernel(geometry, x, y, dx, places)` on every pooling.
fn each_shape(
    criterion: &mut Criterion,
    group: &str,
    kernel: impl Fn(&PoolGeometry, &[f32], &mut [f32], &mut [f32], &mut [f32]),
) {
    let mut group = criterion.benchmark_group(group);
    for shape in POOLINGS {
        for batch in BATCHES {
            let g = shape.geometry(batch);
            let x = numbers(g.input_len());
            let (mut y, mut places) = (numbers(g.output_len()), vec![0.0; g.output_len()]);
            let mut dx = x.clone();
            // Places that a backward pass can read.
            max_forward(&g, &x, &mut y, Some(&mut places));
            group.throughput(Throughput::Elements((g.output_len() * shape.kernel * shape.kernel) as u64));
            group.bench_function(format!("{}/b{batch}", shape.name), |bencher| {
                bencher.iter(|| kernel(&g, &x, &mut y, &mut dx, &mut places));
            });
        }
    }
    group.finish();
}

fn max(criterion: &mut Criterion) {
    each_shape(criterion, "max_pool_forward", |g, x, y, _, places| max_forward(g, x, y, Some(places)));
    each_shape(criterion, "max_pool_inference", |g, x, y, _, _| max_forward(g, x, y, None));
    each_shape(criterion, "max_pool_backward", |g, _, y, dx, places| {
        max_backward(g, y, places, dx, Accumulate::Set);
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
        let shape = [batch, 10, 12, 512];
        let x = numbers(shape.iter().product());
        let (mut y, mut dx) = (vec![0.0; batch * 7 * 7 * 512], x.clone());
        group.throughput(Throughput::Elements(x.len() as u64));
        group.bench_function(format!("vgg16.avgpool/b{batch}/forward"), |bencher| {
            bencher.iter(|| adaptive_forward(shape, [7, 7], &x, &mut y));
        });
        group.bench_function(format!("vgg16.avgpool/b{batch}/backward"), |bencher| {
            bencher.iter(|| adaptive_backward(shape, [7, 7], &y, &mut dx, Accumulate::Set));
        });
    }
    group.finish();
}

fn main() {
    shapes::run(&[max, average, adaptive]);
}
