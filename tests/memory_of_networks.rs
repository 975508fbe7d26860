//! A training step takes the memory that its plan promised. One test alone, because what is counted is of the whole process.

mod process;

use ocelli::{prelude::*, tensor::Key};
use process::status;

/// ResNet-20 from its first value to its third step: the plan with what threads pack, and the parameters with their momentum.
/// Nothing ran before, so that nothing is there already. Pages of the program's file do not count.
#[test]
fn training_steps_need_what_peak_bytes_said() {
    const BATCH: usize = 64;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let labels: Vec<u32> = (0..BATCH as u32).map(|i| i % 10).collect();
    let images = Tensor::uniform([BATCH, 32, 32, 3], Key::new(1));
    let batch = Batch::new().with("input", images).with("labels", Tensor::from(labels));
    let Some(before) = status("RssAnon") else {
        println!("skipped: the system does not say how much memory is in use");
        return;
    };
    let expected = pool.install(|| {
        let mut model = Model::from_layer(CifarResNet::resnet20(10), [32, 32, 3], 0).unwrap();
        let mut objective = model.objective(|t| softmax_cross_entropy(&t.output(), &t.labels("labels"))).unwrap();
        let plan = objective.plan(&model, BATCH).unwrap();
        println!("{} bytes of {} are scratch memory", plan.scratch_bytes(), plan.peak_bytes());
        let promised = plan.peak_bytes();
        let mut sgd = Sgd::new(0.01).momentum(0.9);
        for _ in 0..3 {
            let step = objective.step(&mut model, &batch).unwrap();
            sgd.step(&mut model, &step).unwrap();
        }
        promised + model.parameters().bytes() + sgd.state_bytes()
    });
    let most = status("VmHWM").zip(status("RssFile")).map(|(all, files)| all - files);
    let measured = most.expect("what says one says the others") - before;
    let ratio = measured as f64 / expected as f64;
    println!("expected {expected}, measured {measured}: {ratio:.3}");
    assert!((0.95..1.05).contains(&ratio), "expected {expected} bytes, measured {measured}: {ratio:.3}");
}
