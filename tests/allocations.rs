//! Nothing is allocated after the first run. One test alone, because what is counted is of the whole process.

use ocelli::{graph::Session, models::CifarResNet, prelude::*, tensor::Key};
use peak_alloc::PeakAlloc;
use std::sync::Barrier;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

#[test]
fn nothing_is_allocated_after_the_first_run() {
    a_step_allocates_nothing();
    sessions_allocate_nothing_and_share_the_weights();
}

fn loss(t: &Trace) -> Node {
    softmax_cross_entropy(&t.output(), &t.labels("labels"))
}

/// After the first step nothing is allocated: neither by the executor nor by the kernels, whose scratch memory a thread
/// keeps.
fn a_step_allocates_nothing() {
    let mut model = Model::from_layer(LeNet5::modern(10), [32, 32, 1], 0).unwrap();
    let mut objective = model.objective(loss).unwrap();
    let labels = Tensor::from_vec([2], vec![3_u32, 7]).unwrap();
    let batch = Batch::new().with("input", Tensor::uniform([2, 32, 32, 1], Key::new(1))).with("labels", labels);
    objective.step(&mut model, &batch).unwrap();
    // Every thread reserves its memory before its first task, and no step waits for those that had none: this does.
    rayon::broadcast(|_| ());
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    for _ in 0..10 {
        objective.step(&mut model, &batch).unwrap();
    }
    assert_eq!(HEAP.peak_usage(), before, "a step allocated");
}

/// Two threads, each with a session of its own on the same weights: after the first runs nothing is allocated, and a session
/// is as large as was promised.
fn sessions_allocate_nothing_and_share_the_weights() {
    let model = Model::from_layer(CifarResNet::resnet20(10), [32, 32, 3], 0).unwrap();
    let x = Tensor::uniform([2, 32, 32, 3], Key::new(1));
    let expected = model.predict(&x).unwrap();
    let inference = model.inference(2).unwrap();
    let batch = Batch::new().with("input", &x);
    let before = HEAP.current_usage();
    let (first, second) = (inference.session(), inference.session());
    let grown = HEAP.current_usage() - before;
    let promised = 2 * inference.plan().arena_bytes();
    assert!((promised..promised + 1024).contains(&grown), "two sessions are {grown} bytes, promised were {promised}");
    assert!(inference.plan().constant_bytes() > 0);
    // All stand here before and after the runs that are counted.
    let gate = Barrier::new(3);
    let serve = |mut session: Session| {
        // A pool of its own for each caller, as a server has it: all scratch memory is there after the first run.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        pool.install(|| {
            assert_eq!(session.run(&batch).unwrap().get("output"), Some(expected.data()));
            gate.wait();
            gate.wait();
            for _ in 0..10 {
                session.run(&batch).unwrap();
                session.predict(&x).unwrap();
            }
            gate.wait();
            assert_eq!(session.run(&batch).unwrap().get("output"), Some(expected.data()));
        });
    };
    std::thread::scope(|scope| {
        scope.spawn(|| serve(first));
        scope.spawn(|| serve(second));
        gate.wait();
        let before = HEAP.current_usage();
        HEAP.reset_peak_usage();
        gate.wait();
        gate.wait();
        assert_eq!(HEAP.peak_usage(), before, "a session allocated");
    });
}
