//! Memory is what was promised.

use ocelli::{data::synthetic, graph::Session, models::CifarResNet, prelude::*, tensor::Key, train::Progress};
use peak_alloc::PeakAlloc;
use std::sync::{Barrier, Mutex, PoisonError};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// The counts are of the whole process: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn loss(t: &Trace) -> Node {
    softmax_cross_entropy(&t.output(), &t.labels("labels"))
}

/// A line of `/proc/self/status` in bytes, where there is such a file.
fn status(key: &str) -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    line.split_whitespace().nth(1)?.parse::<usize>().ok().map(|kib| kib * 1024)
}

/// What the operating system counts for a LeNet-5 run is the plan's peak, beside the dataset (which is there before), the
/// parameters with their momentum, and the batch.
#[test]
fn a_training_run_needs_what_peak_bytes_said() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    const BATCH: usize = 640;
    let pictures = synthetic::digits(2 * BATCH, 1).pad([32, 32], 0.0).unwrap();
    let loader = Loader::new(pictures, BATCH).unwrap().shuffle(1).prefetch(0);
    let run = |batch: usize, loader: &Loader| {
        let mut model = Model::of(LeNet5::modern(10), [32, 32, 1], 0).unwrap();
        let promised = model.objective(loss).unwrap().plan(&model, batch).unwrap().peak_bytes();
        let mut sgd = Sgd::new(0.01).momentum(0.9);
        let trainer = Trainer::new(1).progress(Progress::Silent);
        trainer.run(&mut model, loss, &mut sgd, loader, None::<&Loader>).unwrap();
        promised + model.parameters().bytes() + sgd.state_bytes() + batch * 32 * 32 * size_of::<f32>()
    };
    // A small run first: threads, packing buffers of the matrix product and code are there then.
    let small = synthetic::digits(64, 1).pad([32, 32], 0.0).unwrap();
    run(32, &Loader::new(small, 32).unwrap().prefetch(0));
    let Some(before) = status("VmRSS") else {
        println!("skipped: the system does not say how much memory is in use");
        return;
    };
    let expected = run(BATCH, &loader);
    let measured = status("VmHWM").expect("what says one says the other") - before;
    let ratio = measured as f64 / expected as f64;
    println!("expected {expected}, measured {measured}: {ratio:.3}");
    assert!((0.95..1.05).contains(&ratio), "expected {expected} bytes, measured {measured}: {ratio:.3}");
}

/// After the first step nothing is allocated: neither by the executor nor by the kernels, whose scratch memory a thread
/// keeps.
#[test]
fn a_step_allocates_nothing() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut model = Model::of(LeNet5::modern(10), [32, 32, 1], 0).unwrap();
    let mut objective = model.objective(loss).unwrap();
    let labels = Tensor::from_vec([2], vec![3_u32, 7]).unwrap();
    let batch = Batch::new().with("input", Tensor::uniform([2, 32, 32, 1], Key::new(1))).with("labels", labels);
    objective.step(&mut model, &batch).unwrap();
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    for _ in 0..10 {
        objective.step(&mut model, &batch).unwrap();
    }
    assert_eq!(HEAP.peak_usage(), before, "a step allocated");
}

/// Two threads, each with a session of its own on the same weights: after the first runs nothing is allocated, and a session
/// is as large as was promised.
#[test]
fn sessions_allocate_nothing_and_share_the_weights() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let model = Model::of(CifarResNet::resnet20(10), [32, 32, 3], 0).unwrap();
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
