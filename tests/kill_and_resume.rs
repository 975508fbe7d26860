//! A process that is killed at random moments and resumed ends with the bytes of one that never was, on any number of
//! threads.
//!
//! `OCELLI_CASES` sets the number of kills; 4 by default.

use ocelli::{
    data::synthetic,
    prelude::*,
    tensor::Key,
    train::{Finetune, Unfreezing},
};
use std::{
    env, fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// The variable by which this program knows that it is to train in the folder that it names.
const FOLDER: &str = "OCELLI_KILLED_RUN";
const THREADS: &str = "OCELLI_KILLED_RUN_THREADS";
const EPOCHS: u64 = 6;

fn network(x: &Node) -> Node {
    let block = |x: &Node, name: &str, channels: usize| {
        x.scope(name, |x| {
            x.apply("conv", Conv2d::new(channels, 3).same().bias(false)).apply("bn", BatchNorm::new()).relu()
        })
    };
    let x = block(x, "a", 8).apply("pool", MaxPool2d::new(2));
    let x = block(&x, "b", 12).apply("drop", Dropout(0.2));
    x.global_avg_pool().apply("fc", Dense::new(10))
}

/// Everything that a run draws or remembers: augmentation, order, dropout, running statistics, moments, an average, layers
/// that join by and by, and a plateau.
fn train(folder: &Path) {
    let moved = Transform::RandomCrop { margin: 2, border: Border::Black };
    let pipeline = Pipeline::mnist([28, 28]);
    let augmented = pipeline.clone().then(moved).then(Transform::RandomMirror(Mirror::LeftRight));
    let source = Loader::new(synthetic::digits(640, 1), augmented, 32).unwrap().shuffle(5).seed(3);
    let validation = Loader::new(synthetic::digits(64, 2), pipeline, 64).unwrap();
    let mut model = Model::build(network, [28, 28, 1], 7).unwrap();
    let trainer = Trainer::new(EPOCHS)
        .finetune(Finetune::All(Unfreezing {
            head_epochs: 1,
            stage_epochs: 1,
            trunk_rate: 0.3,
            ..Unfreezing::default()
        }))
        .schedule(Schedule::warm_up(0.5, Schedule::Plateau { factor: 0.5, patience: 0, threshold: 0.1 }))
        .metric(Accuracy::new())
        .average_parameters(0.95)
        .folder(folder)
        .checkpoint_every(3)
        .resume()
        .progress(Progress::Silent);
    let loss = |t: &Trace| softmax_cross_entropy(&t.output(), &t.labels("labels"));
    trainer.run(&mut model, loss, &mut Adam::new(2e-3), &source, Some(&validation)).unwrap();
    save_weights(&model, folder.join("weights.safetensors"), &Default::default()).unwrap();
}

/// The program that is killed: this test again, which trains where the variable says so.
#[test]
fn a_run_in_a_folder() {
    let Some(folder) = env::var_os(FOLDER) else { return };
    let threads = env::var(THREADS).unwrap().parse().unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| train(Path::new(&folder)));
}

fn start(folder: &Path, threads: usize) -> Child {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "a_run_in_a_folder"]).env(FOLDER, folder).env(THREADS, threads.to_string());
    command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap()
}

/// The bytes of the weights, and the log without times.
fn results(folder: &Path) -> (Vec<u8>, String) {
    let log = fs::read_to_string(folder.join("log.jsonl")).unwrap();
    let mut lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in lines.iter_mut().filter_map(|line| line.as_object_mut()) {
        line.remove("seconds");
        line.remove("images_per_second");
    }
    (fs::read(folder.join("weights.safetensors")).unwrap(), format!("{lines:?}"))
}

#[test]
fn a_process_that_is_killed_and_resumed_ends_with_the_same_bytes() {
    if env::var_os(FOLDER).is_some() {
        return;
    }
    let kills: usize = env::var("OCELLI_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(4);
    // uninterrupted, on one thread and on two
    let folder = tempfile::tempdir().unwrap();
    let started = Instant::now();
    assert!(start(folder.path(), 1).wait().unwrap().success());
    let whole = started.elapsed();
    let expected = results(folder.path());
    let other = tempfile::tempdir().unwrap();
    assert!(start(other.path(), 2).wait().unwrap().success());
    assert!(results(other.path()) == expected, "two threads differ from one");

    // killed at moments that are drawn, on one thread and two in turn
    let mut moments = Key::new(started.elapsed().as_nanos() as u64).stream();
    let folder = tempfile::tempdir().unwrap();
    let mut killed = 0;
    while killed < kills {
        let mut child = start(folder.path(), 1 + killed % 2);
        // a share of the whole run, so that some of the kills meet its beginning and some its end
        let moment = whole.mul_f32(moments.between(0.05, 1.2) * 3.0 / kills.max(3) as f32);
        let deadline = Instant::now() + moment.max(Duration::from_millis(20));
        while Instant::now() < deadline && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(2));
        }
        let is_over = child.try_wait().unwrap().is_some();
        child.kill().unwrap();
        child.wait().unwrap();
        killed += 1;
        if is_over {
            // the next kills begin anew
            assert!(results(folder.path()) == expected, "after {killed} kills");
            fs::remove_dir_all(folder.path()).unwrap();
            fs::create_dir_all(folder.path()).unwrap();
        }
    }
    assert!(start(folder.path(), 2).wait().unwrap().success());
    assert!(results(folder.path()) == expected, "after {killed} kills");
}
