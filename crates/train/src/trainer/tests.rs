mod broken_numbers;
mod metrics;
mod wrong_data;

use super::*;
use crate::{AccumulatedGradients, Accuracy, Adam, Clip, MetricValues, Sgd, write_container};
use ocelli_data::Ranking;
use ocelli_graph::{Batch, Key, Tensor};
use std::{cell::Cell, fs};

/// A network with dropout, so that resumed draws matter.
fn model() -> Model {
    let network = |x: &Node| {
        let t = x.trace();
        let w = t.parameter("w", [4, 6], Noise);
        let v = t.parameter("v", [6, 3], Noise);
        x.matmul(&w).relu().scope("drop", |x| x.dropout(0.3)).matmul(&v)
    };
    Model::build(network, [4], 1).unwrap()
}

#[derive(Debug)]
struct Noise;

impl ocelli_graph::Initializer for Noise {
    fn fill(&self, _: &[ocelli_graph::ParameterAxis], key: Key, values: &mut [f32]) {
        let mut stream = key.stream();
        values.iter_mut().for_each(|value| *value = stream.between(-0.7, 0.7));
    }
}

fn loss(t: &Trace) -> Node {
    (t.output() - t.input("target", [3])).square().mean()
}

/// Batches that depend on the epoch; may set the flag before one of them.
struct Source {
    flag: StopFlag,
    at: Option<usize>,
    given: Cell<usize>,
}

const BATCHES: usize = 5;

impl BatchSource for Source {
    fn batches(&self) -> usize {
        BATCHES
    }
    fn samples(&self) -> usize {
        BATCHES * 8
    }
    fn epoch_from(&self, epoch: u64, first: usize) -> Box<dyn Iterator<Item = Result<Batch>> + '_> {
        Box::new((first..BATCHES).map(move |batch| {
            if self.at == Some(self.given.get()) {
                self.flag.set();
            }
            self.given.set(self.given.get() + 1);
            let key = Key::new(9).at(epoch).at(batch as u64);
            let labels: Vec<u32> = (0..8).map(|i| (i + batch as u32) % 3).collect();
            let target = Tensor::from_fn([8, 3], |i| if labels[i[0]] as usize == i[1] { 1.0 } else { 0.0 });
            let batch = Batch::new().with("input", Tensor::uniform([8, 4], key));
            Ok(batch.with("target", target).with("labels", Tensor::from(labels)))
        }))
    }
}

fn source(flag: &StopFlag, at: Option<usize>) -> Source {
    Source { flag: flag.clone(), at, given: Cell::new(0) }
}

const EPOCHS: u64 = 3;

fn trainer(folder: &Path, flag: &StopFlag) -> Trainer {
    let schedule = Schedule::warm_up(0.5, Schedule::Plateau { factor: 0.5, patience: 0, threshold: 0.5 });
    Trainer::new(EPOCHS)
        .schedule(schedule)
        .restore_best()
        .metric(Accuracy::new())
        .metric(Accuracy::top(2))
        .folder(folder)
        .progress(Progress::Silent)
        .stop_flag(flag.clone())
}

fn optimizers() -> Vec<Box<dyn Fn() -> Box<dyn Optimizer>>> {
    vec![
        Box::new(|| Box::new(Sgd::new(0.1).momentum(0.9).clip(Clip::Norm(0.5)))),
        Box::new(|| Box::new(Adam::new(0.01).weight_decay(1e-3))),
    ]
}

/// The final parameters, the checkpoint's bytes, and the report.
fn finish(
    folder: &Path,
    accumulate: usize,
    optimizer: &mut dyn Optimizer,
    at: Option<usize>,
) -> (Vec<Tensor>, Vec<u8>, Report) {
    let flag = StopFlag::new();
    let mut model = model();
    let trainer = trainer(folder, &flag).accumulate(accumulate).resume();
    let validation = source(&StopFlag::new(), None);
    let report = trainer.run(&mut model, loss, optimizer, &source(&flag, at), Some(&validation)).unwrap();
    let parameters = model.parameters().iter().map(|(_, value)| value.clone()).collect();
    (parameters, fs::read(Trainer::checkpoint_path(folder)).unwrap(), report)
}

#[test]
fn a_run_stopped_anywhere_and_resumed_has_the_same_bits() {
    for make in optimizers() {
        for accumulate in [1, 2] {
            let folder = tempfile::tempdir().unwrap();
            let expected = finish(folder.path(), accumulate, &mut *make(), None);
            assert_eq!(expected.2.outcome, Outcome::Finished);
            for at in 0..EPOCHS as usize * BATCHES {
                let folder = tempfile::tempdir().unwrap();
                let first = finish(folder.path(), accumulate, &mut *make(), Some(at));
                if first.2.outcome == Outcome::Interrupted {
                    let second = finish(folder.path(), accumulate, &mut *make(), None);
                    assert_eq!(second, expected, "stopped at batch {at}");
                } else {
                    assert_eq!(first, expected);
                }
            }
        }
    }
}

#[test]
fn the_log_has_a_line_for_every_epoch_once() {
    let folder = tempfile::tempdir().unwrap();
    let make = || Sgd::new(0.1);
    finish(folder.path(), 1, &mut make(), Some(7));
    // What a killed run wrote after its checkpoint is written again.
    let path = folder.path().join("log.jsonl");
    fs::write(&path, fs::read_to_string(&path).unwrap() + "{\"epoch\": 2, \"lost\": true}\n").unwrap();
    finish(folder.path(), 1, &mut make(), None);
    let text = fs::read_to_string(path).unwrap();
    let epochs: Vec<u64> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["epoch"].as_u64().unwrap())
        .collect();
    assert_eq!(epochs, [1, 2, 3]);
    assert!(!text.contains("lost"));
}

#[test]
fn no_progress_stops_early_and_the_best_is_restored() {
    let mut model = model();
    // A learning rate that makes everything worse.
    let trainer = Trainer::new(50)
        .early_stopping(EarlyStopping { patience: 2, min_delta: 0.0 })
        .monitor(Monitor::lowest("loss"))
        .restore_best()
        .progress(Progress::Silent);
    let train = source(&StopFlag::new(), None);
    let report = trainer.run(&mut model, loss, &mut Sgd::new(-0.01), &train, Some(&train)).unwrap();
    assert_eq!((report.outcome, report.best_epoch, report.history.len()), (Outcome::StoppedEarly, Some(0), 4));
    let mut again = self::model();
    let once = Trainer::new(1).progress(Progress::Silent);
    once.run(&mut again, loss, &mut Sgd::new(-0.01), &train, Some(&train)).unwrap();
    assert_eq!(model.parameters().value("w"), again.parameters().value("w"));
}

#[test]
fn a_checkpoint_of_another_model_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    finish(folder.path(), 1, &mut Sgd::new(0.1), None);
    let network = |x: &Node| x.matmul(&x.trace().parameter("w", [4, 3], Noise));
    let mut other = Model::build(network, [4], 0).unwrap();
    let before = other.parameters().value("w").unwrap().clone();
    let trainer = trainer(folder.path(), &StopFlag::new()).resume();
    let train = source(&StopFlag::new(), None);
    let error = trainer.run(&mut other, loss, &mut Sgd::new(0.1), &train, Some(&train)).unwrap_err().to_string();
    assert!(error.contains("does not fit the model: v is unexpected; w is [4, 6], expected [4, 3]"), "{error}");
    assert_eq!(other.parameters().value("w"), Some(&before));
}

#[test]
fn nothing_to_train_on_is_an_error() {
    let nothing: Vec<Batch> = Vec::new();
    let error = Trainer::new(1).run(&mut model(), loss, &mut Sgd::new(0.1), &nothing, Some(&nothing)).unwrap_err();
    assert_eq!(error.to_string(), "there are no batches to train on");
}

#[test]
fn the_best_can_be_asked_for_when_resuming() {
    let folder = tempfile::tempdir().unwrap();
    let train = source(&StopFlag::new(), None);
    let base = |n| Trainer::new(n).monitor(Monitor::lowest("loss")).folder(folder.path()).progress(Progress::Silent);
    // Gets worse: the first epoch stays the best.
    base(2).run(&mut model(), loss, &mut Sgd::new(-0.01), &train, Some(&train)).unwrap();
    base(3).resume().restore_best().run(&mut model(), loss, &mut Sgd::new(-0.01), &train, Some(&train)).unwrap();
}

#[test]
fn what_was_cleared_is_no_gradient() {
    let mut model = model();
    let mut objective = model.objective(loss).unwrap();
    let train = source(&StopFlag::new(), None);
    let batch = train.epoch_from(0, 0).next().unwrap().unwrap();
    let mut sum = AccumulatedGradients::new();
    sum.add(&objective.step(&mut model, &batch).unwrap());
    sum.clear();
    let before = model.parameters().value("w").unwrap().clone();
    Sgd::new(0.1).step(&mut model, &sum).unwrap();
    assert_eq!(model.parameters().value("w").unwrap(), &before);
}

#[test]
fn a_log_line_that_was_lost_is_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let train = source(&StopFlag::new(), None);
    let base = |n| Trainer::new(n).folder(folder.path()).progress(Progress::Silent).resume();
    base(2).run(&mut model(), loss, &mut Sgd::new(0.1), &train, Some(&train)).unwrap();
    let path = folder.path().join("log.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.lines().next().unwrap().to_string() + "\n").unwrap();
    base(3).run(&mut model(), loss, &mut Sgd::new(0.1), &train, Some(&train)).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let epochs: Vec<u64> = text
        .lines()
        .map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap()["epoch"].as_u64().unwrap())
        .collect();
    assert_eq!(epochs, [1, 2, 3]);
}

#[test]
fn resuming_with_another_optimiser_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let train = source(&StopFlag::new(), None);
    let base = |n| Trainer::new(n).folder(folder.path()).progress(Progress::Silent).resume();
    base(1).run(&mut model(), loss, &mut Adam::new(0.01), &train, Some(&train)).unwrap();
    let resumed = base(2).run(&mut model(), loss, &mut crate::RmsProp::new(0.01), &train, Some(&train));
    let error = resumed.unwrap_err().to_string();
    assert!(error.contains("is of a run with other settings: optimizer was Adam"), "{error}");
}

#[test]
fn resuming_with_other_batches_is_refused() {
    struct Fewer(Source);
    impl BatchSource for Fewer {
        fn batches(&self) -> usize {
            2
        }
        fn samples(&self) -> usize {
            16
        }
        fn epoch_from(&self, epoch: u64, first: usize) -> Box<dyn Iterator<Item = Result<Batch>> + '_> {
            Box::new(self.0.epoch_from(epoch, first).take(2usize.saturating_sub(first)))
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let flag = StopFlag::new();
    let base = |n| Trainer::new(n).folder(folder.path()).progress(Progress::Silent).resume();
    let report = base(2)
        .stop_flag(flag.clone())
        .run(&mut model(), loss, &mut Sgd::new(0.01), &source(&flag, Some(3)), None)
        .unwrap();
    assert_eq!(report.outcome, Outcome::Interrupted);
    let fewer = Fewer(source(&StopFlag::new(), None));
    assert!(base(2).run(&mut model(), loss, &mut Sgd::new(0.01), &fewer, None).is_err());
}

#[test]
fn a_validation_without_batches_is_an_error() {
    let train = source(&StopFlag::new(), None);
    let trainer = Trainer::new(2).progress(Progress::Silent);
    let none: &[Batch] = &[];
    let error = trainer.run(&mut model(), loss, &mut Sgd::new(0.01), &train, Some(&none)).unwrap_err().to_string();
    assert_eq!(error, "there are no batches to validate with; a run without validation says None");
    let error = crate::evaluate(&model(), loss, none, &[]).unwrap_err().to_string();
    assert_eq!(error, "there are no batches to evaluate");
    let error = crate::evaluate_classifier(&model(), loss, none, Ranking::Largest).unwrap_err().to_string();
    assert_eq!(error, "there are no batches to evaluate");
    let report = trainer.run(&mut model(), loss, &mut Sgd::new(0.01), &train, None).unwrap();
    assert!(report.history.len() == 2 && report.history.iter().all(|record| record.validation.is_none()));
}

#[test]
fn a_gradient_without_a_norm_changes_nothing() {
    struct Infinite;
    impl crate::Gradients for Infinite {
        fn each(&self, f: &mut dyn FnMut(&str, &[f32])) {
            f("w", &[f32::INFINITY; 24])
        }
    }
    let mut model = model();
    let before = model.parameters().value("w").unwrap().clone();
    let outcome = Sgd::new(0.1).clip(Clip::Norm(1.0)).step(&mut model, &Infinite);
    assert!(outcome.is_err());
    assert_eq!(model.parameters().value("w").unwrap(), &before);
}

#[test]
fn slow_but_steady_progress_is_progress() {
    let mut state = TrainingState::default();
    let trainer =
        Trainer::new(50).monitor(Monitor::lowest("loss")).early_stopping(EarlyStopping { patience: 2, min_delta: 0.1 });
    for epoch in 0..20 {
        let loss = 3.0 - 0.06 * epoch as f64;
        let train: MetricValues = [("loss", loss)].into_iter().collect();
        let record = EpochRecord { epoch, learning_rate: 0.1, train, validation: None };
        trainer.keep_best(&mut state, &record, &model());
        assert!(!state.stopped, "stopped at epoch {epoch} although the loss fell to {loss}");
    }
}

#[test]
fn a_group_without_parameters_is_refused() {
    let train = source(&StopFlag::new(), None);
    let mut sgd = Sgd::new(0.1).group(crate::Group::new("*.biass").rate(0.0));
    assert!(Trainer::new(1).progress(Progress::Silent).run(&mut model(), loss, &mut sgd, &train, None).is_err());
}

#[test]
fn resuming_with_another_seed_is_refused() {
    let network = |x: &Node| {
        let t = x.trace();
        let w = t.parameter("w", [4, 6], Noise);
        let v = t.parameter("v", [6, 3], Noise);
        x.matmul(&w).relu().scope("drop", |x| x.dropout(0.3)).matmul(&v)
    };
    let folder = tempfile::tempdir().unwrap();
    let train = source(&StopFlag::new(), None);
    let base = |n| Trainer::new(n).folder(folder.path()).progress(Progress::Silent).resume();
    base(1).run(&mut model(), loss, &mut Sgd::new(0.01), &train, None).unwrap();
    let mut other = Model::build(network, [4], 77).unwrap();
    assert!(base(2).run(&mut other, loss, &mut Sgd::new(0.01), &train, None).is_err());
}
