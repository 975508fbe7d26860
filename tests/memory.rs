//! Memory is what was promised. One test alone, because what is counted is of the whole process.

mod process;

use ocelli::{data::synthetic, prelude::*, train::Progress};
use process::status;

fn loss(t: &Trace) -> Node {
    softmax_cross_entropy(&t.output(), &t.labels("labels"))
}

/// The operating system counts for a LeNet-5 run the plan's peak, beside the dataset (which is there before), the
/// parameters with their momentum, and the batch.
#[test]
fn a_training_run_needs_what_peak_bytes_said() {
    const BATCH: usize = 640;
    let images = synthetic::digits(2 * BATCH, 1);
    let loader = Loader::new(images, Pipeline::mnist([32, 32]), BATCH).unwrap().shuffle(1).prefetch(0);
    let run = |batch: usize, loader: &Loader| {
        let mut model = Model::from_layer(LeNet5::modern(10), [32, 32, 1], 0).unwrap();
        let mut objective = model.objective(loss).unwrap();
        let plan = objective.plan(&model, batch).unwrap();
        let (promised, scratch) = (plan.arena_bytes(), plan.scratch_bytes());
        let mut sgd = Sgd::new(0.01).momentum(0.9);
        let trainer = Trainer::new(1).progress(Progress::Silent);
        trainer.run(&mut model, loss, &mut sgd, loader, None).unwrap();
        (promised + model.parameters().bytes() + sgd.state_bytes() + batch * 32 * 32 * size_of::<f32>(), scratch)
    };
    // A small run first: threads, code and most of their scratch memory are there then.
    let small = synthetic::digits(64, 1);
    let (_, kept) = run(32, &Loader::new(small, Pipeline::mnist([32, 32]), 32).unwrap().prefetch(0));
    let Some(before) = status("VmRSS") else {
        println!("skipped: the system does not say how much memory is in use");
        return;
    };
    let (expected, scratch) = run(BATCH, &loader);
    let expected = expected + scratch - kept;
    let measured = status("VmHWM").expect("what says one says the other") - before;
    let ratio = measured as f64 / expected as f64;
    println!("expected {expected}, measured {measured}: {ratio:.3}");
    assert!((0.95..1.05).contains(&ratio), "expected {expected} bytes, measured {measured}: {ratio:.3}");
}
