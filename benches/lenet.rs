//! LeNet-5 end to end, by instruction set and number of threads: `lenet_train/modern/b64/avx2/t2` is one step (forward,
//! loss, backward, SGD with momentum), `lenet_infer` the forward pass. Throughput in images.

mod measure;

use criterion::{Criterion, Throughput};
use ocelli::{losses::maximum_a_posteriori, models::PENALTY, prelude::*, simd::InstructionSet, tensor::Key};
use rayon::{ThreadPool, ThreadPoolBuilder};

fn batch(n: usize) -> Batch {
    let labels: Vec<u32> = (0..n as u32).map(|i| i % 10).collect();
    let images = Tensor::uniform([n, 32, 32, 1], Key::new(1));
    Batch::new().with("input", images).with("labels", Tensor::from(labels))
}

type Loss = fn(&Trace) -> Node;

fn models() -> [(&'static str, Model, Loss); 2] {
    let modern = Model::from_layer(LeNet5::modern(10), [32, 32, 1], 0).expect("LeNet-5 can be built");
    let of_1998 = Model::from_layer(LeNet5::of_1998(), [32, 32, 1], 0).expect("LeNet-5 can be built");
    [
        ("modern", modern, |t| softmax_cross_entropy(&t.output(), &t.labels("labels"))),
        ("1998", of_1998, |t| maximum_a_posteriori(&t.output(), &t.labels("labels"), PENALTY)),
    ]
}

/// Returns each instruction set on all threads, and on one thread.
fn settings() -> Vec<(InstructionSet, ThreadPool)> {
    let all = rayon::current_num_threads();
    let threads = if all == 1 { vec![1] } else { vec![1, all] };
    let pool = |threads| ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool of threads");
    InstructionSet::available().flat_map(|set| threads.iter().map(move |&threads| (set, pool(threads)))).collect()
}

fn train(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lenet_train");
    group.throughput(Throughput::Elements(64));
    // A model for each setting: plans hold on one instruction set.
    for (set, pool) in settings() {
        for (name, mut model, loss) in models() {
            let mut objective = model.objective(loss).expect("LeNet-5 has a gradient");
            // A rate so small that the weights stay what they are, however long it runs.
            let mut sgd = Sgd::new(1e-9).momentum(0.9);
            let data = batch(64);
            group.bench_function(format!("{name}/b64/{set}/t{}", pool.current_num_threads()), |bencher| {
                let mut step = || {
                    let step = objective.step(&mut model, &data).expect("a step");
                    sgd.step(&mut model, &step).expect("an update");
                };
                pool.install(|| set.scoped(|| bencher.iter(&mut step)));
            });
        }
    }
    group.finish();
}

fn infer(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lenet_infer");
    for (set, pool) in settings() {
        for (name, model, _) in models() {
            for n in [1, 64] {
                let data = batch(n);
                group.throughput(Throughput::Elements(n as u64));
                group.bench_function(format!("{name}/b{n}/{set}/t{}", pool.current_num_threads()), |bencher| {
                    let run = || model.run(&data, &["output"]).expect("an output");
                    pool.install(|| set.scoped(|| bencher.iter(run)));
                });
            }
        }
    }
    group.finish();
}

fn main() {
    measure::run(&[train, infer]);
}
