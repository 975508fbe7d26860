//! Metrics of all kinds: values of the graph, one's own, several heads, and none that needs labels.

use super::*;
use crate::{MeanValue, Sums, evaluate};
use ocelli_graph::{Constant, Step};

/// Two numbers from three, with a target and without labels.
fn regression() -> (Model, Vec<Batch>) {
    let network = |x: &Node| x.matmul(&x.trace().parameter("w", [3, 2], Noise));
    let batch = |number: u64, samples: usize| {
        let key = Key::new(3).at(number);
        let target = Tensor::uniform([samples, 2], key.with("target"));
        Batch::new().with("input", Tensor::uniform([samples, 3], key)).with("target", target)
    };
    (Model::build(network, [3], 5).unwrap(), vec![batch(0, 4), batch(1, 4), batch(2, 3)])
}

/// The mean square error, with the mean absolute error beside it and an error for each sample.
fn squares(t: &Trace) -> Node {
    let error = t.output() - t.input("target", [2]);
    error.abs().mean().named("mae");
    error.abs().named("errors");
    error.square().mean()
}

/// The mean absolute error, computed outside of the network.
#[derive(Debug)]
struct MeanAbsoluteError;

impl Metric for MeanAbsoluteError {
    fn name(&self) -> &str {
        "own"
    }
    fn update(&self, sums: &mut Sums, step: &Step<'_>, batch: &Batch) -> Result<()> {
        for (y, target) in step.activation("output").unwrap().iter().zip(batch.tensor("target")?.data()) {
            sums.add(0, f64::from((y - target).abs()));
            sums.add(1, 1.0);
        }
        Ok(())
    }
    fn value(&self, sums: &Sums) -> f64 {
        sums.get(0) / sums.get(1)
    }
}

/// The mean recall of three classes: of sums that are a confusion matrix.
#[derive(Debug)]
struct BalancedAccuracy;

impl Metric for BalancedAccuracy {
    fn name(&self) -> &str {
        "balanced_accuracy"
    }
    fn update(&self, sums: &mut Sums, step: &Step<'_>, batch: &Batch) -> Result<()> {
        let scores = step.activation("output").unwrap();
        for (row, label) in scores.chunks(3).zip(batch.labels("labels")?.data()) {
            sums.add(*label as usize * 3 + Ranking::Largest.best(row).unwrap(), 1.0);
        }
        Ok(())
    }
    fn value(&self, sums: &Sums) -> f64 {
        let count = |label: usize, class: usize| sums.get(label * 3 + class);
        let recall = |label| count(label, label) / (0..3).map(|class| count(label, class)).sum::<f64>().max(1.0);
        (0..3).map(recall).sum::<f64>() / 3.0
    }
}

#[test]
fn a_regression_has_its_mean_absolute_error_from_the_graph_and_from_outside() {
    let (mut model, batches) = regression();
    let trainer = Trainer::new(8)
        .metric(MeanValue::new("mae"))
        .metric(MeanValue::new("errors").named("by_sample"))
        .metric(MeanAbsoluteError)
        .monitor(Monitor::lowest("own"))
        .restore_best()
        .progress(Progress::Silent);
    let report = trainer.run(&mut model, squares, &mut Sgd::new(0.2), &batches, Some(&batches)).unwrap();
    let [first, last] = [0, 7].map(|epoch| report.history[epoch].validation.clone().unwrap());
    assert!(last.iter().map(|(name, _)| name).eq(["loss", "mae", "by_sample", "own"]));
    assert!(last.get("own") < first.get("own"), "{first:?}, {last:?}");
    for values in [first, last] {
        let own = values.get("own").unwrap();
        assert!(["mae", "by_sample"].iter().all(|name| (values.get(name).unwrap() - own).abs() < 1e-6), "{values:?}");
    }
    // The parameters in the model are those of the best epoch.
    let own = report.validation("own").iter().map(|(_, value)| *value).fold(f64::INFINITY, f64::min);
    let best = evaluate(&model, squares, &batches, &[&MeanAbsoluteError]).unwrap();
    assert_eq!(best.get("own"), Some(own));
    assert_eq!(report.validation("own")[report.best_epoch.unwrap() as usize].1, own);
}

#[test]
fn metrics_change_no_bit_of_what_is_learnt() {
    let learnt = |metrics: Vec<Box<dyn Fn(Trainer) -> Trainer>>| {
        let (mut model, batches) = regression();
        let trainer = Trainer::new(3).progress(Progress::Silent);
        let trainer = metrics.into_iter().fold(trainer, |trainer, add| add(trainer));
        let report = trainer.run(&mut model, squares, &mut Sgd::new(0.2), &batches, None).unwrap();
        (model.parameters().value("w").unwrap().clone(), report.train("loss"))
    };
    let with = learnt(vec![Box::new(|t| t.metric(MeanAbsoluteError)), Box::new(|t| t.metric(MeanValue::new("mae")))]);
    assert_eq!(with, learnt(vec![]));
}

/// The sums of a metric of one's own are in the checkpoint, within an epoch too, and its values in the log.
#[test]
fn a_resumed_run_continues_the_metrics_and_the_log() {
    let finish = |folder: &Path, at: Option<usize>| {
        let flag = StopFlag::new();
        let base = trainer(folder, &flag).metric(BalancedAccuracy).resume();
        let base = base.monitor(Monitor::highest("balanced_accuracy"));
        let (train, validation) = (source(&flag, at), source(&StopFlag::new(), None));
        let report = base.run(&mut model(), loss, &mut Sgd::new(0.1), &train, Some(&validation)).unwrap();
        let log = fs::read_to_string(folder.join("log.jsonl")).unwrap();
        let without_time = |line: &str| {
            let mut entry: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
            for key in ["seconds", "images_per_second"] {
                entry.remove(key);
            }
            entry
        };
        (report, log.lines().map(without_time).collect::<Vec<_>>())
    };
    let whole = tempfile::tempdir().unwrap();
    let expected = finish(whole.path(), None);
    let value = expected.0.history[2].validation.as_ref().unwrap().get("balanced_accuracy").unwrap();
    assert_eq!(expected.1[2]["validation_balanced_accuracy"], value);
    assert!(expected.1.iter().all(|entry| {
        ["loss", "accuracy", "top2", "balanced_accuracy"].iter().all(|name| entry[&format!("train_{name}")].is_f64())
    }));
    for at in [1, 3, 6, 8, 12] {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(finish(folder.path(), Some(at)).0.outcome, Outcome::Interrupted);
        assert_eq!(finish(folder.path(), None), expected, "stopped at batch {at}");
    }
}

/// A place and a class, each with a metric; labels have a name of their own.
#[test]
fn several_targets_have_metrics_each() {
    let network = |x: &Node| {
        x.matmul(&x.trace().parameter("w", [3, 2], Noise)).named("place");
        x.matmul(&x.trace().parameter("v", [3, 4], Noise)).named("class")
    };
    let loss = |t: &Trace| {
        let place = (t.tap("place") - t.input("target", [2])).square().mean().named("place_loss");
        place + t.tap("class").square().mean()
    };
    let mut model = Model::build(network, [3], 5).unwrap();
    let labels = Tensor::from(vec![0u32, 1, 2, 3]);
    let batch = Batch::new()
        .with("input", Tensor::uniform([4, 3], Key::new(1)))
        .with("target", Tensor::uniform([4, 2], Key::new(2)))
        .with("classes", labels);
    let trainer = Trainer::new(2)
        .metric(MeanValue::new("place_loss"))
        .metric(Accuracy::new().output("class").labels("classes"))
        .monitor(Monitor::highest("accuracy"))
        .early_stopping(EarlyStopping { patience: 1, min_delta: 0.0 })
        .progress(Progress::Silent);
    let report = trainer.run(&mut model, loss, &mut Sgd::new(0.01), &vec![batch], None).unwrap();
    let values = &report.history[0].train;
    assert!(values.get("place_loss").unwrap() < values.loss() && values.get("accuracy").is_some(), "{values:?}");
}

#[test]
fn names_are_checked_before_the_first_batch() {
    let folder = tempfile::tempdir().unwrap();
    let run = |trainer: Trainer| {
        let (mut model, batches) = regression();
        let trainer = trainer.folder(folder.path().join("run")).progress(Progress::Silent);
        trainer.run(&mut model, squares, &mut Sgd::new(0.2), &batches, None).unwrap_err().to_string()
    };
    let base = || Trainer::new(1).metric(MeanValue::new("mae"));
    assert_eq!(run(base().monitor(Monitor::lowest("mea"))), "no metric is called \"mea\"; there are: loss, mae");
    assert_eq!(run(base().metric(MeanValue::new("mae"))), "two metrics are called \"mae\"");
    assert!(!folder.path().join("run").exists());
    let error = run(base().metric(MeanValue::new("mse")));
    assert!(error.contains("mse") && error.contains("mae"), "{error}");
}

#[test]
fn a_run_with_other_metrics_or_another_monitor_is_not_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let run = |trainer: Trainer| {
        let (mut model, batches) = regression();
        let trainer = trainer.folder(folder.path()).resume().progress(Progress::Silent);
        trainer.run(&mut model, squares, &mut Sgd::new(0.2), &batches, None)
    };
    run(Trainer::new(1)).unwrap();
    let error = run(Trainer::new(2).metric(MeanAbsoluteError)).unwrap_err().to_string();
    assert!(error.ends_with("is of a run with other settings: metrics was loss, is loss, own"), "{error}");
    let error = run(Trainer::new(2).monitor(Monitor::highest("loss"))).unwrap_err().to_string();
    assert!(error.ends_with("monitor was the lowest loss, is the highest loss"), "{error}");
    run(Trainer::new(2)).unwrap();
}

#[test]
fn a_value_that_is_no_number_is_the_worst() {
    let mut state = TrainingState::default();
    let trainer = Trainer::new(3).monitor(Monitor::highest("auc"));
    let model = Model::build(|x| x * x.trace().parameter("w", [3], Constant(0.5)), [3], 0).unwrap();
    for (epoch, auc) in [f64::NAN, 0.5, f64::NAN].into_iter().enumerate() {
        let train: MetricValues = [("loss", 1.0), ("auc", auc)].into_iter().collect();
        let record = EpochRecord { epoch: epoch as u64, learning_rate: 0.1, train, validation: None };
        trainer.keep_best(&mut state, &record, &model);
    }
    assert_eq!(state.best.map(|best| best.epoch), Some(1));
}
