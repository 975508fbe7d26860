//! Runs that train a part of a network, averages of parameters, and metrics that are nodes.

use super::*;
use crate::{Finetune, TrunkStatistics, Unfreezing};
use ocelli_graph::AxisRole;

/// A trunk of two layers, and a head behind dropout.
fn pretrained() -> Model {
    let dense = |features: usize| {
        move |x: &Node| {
            let shape = ([AxisRole::Inputs, AxisRole::Outputs], [x.channels(), features]);
            x.matmul(&x.trace().parameter("weight", shape, Noise))
        }
    };
    let network = move |x: &Node| {
        let x = x.scope("a", dense(6)).tanh().scope("b", dense(5)).tanh().named("features");
        x.scope("drop", |x| x.dropout(0.2)).scope("fc", dense(3))
    };
    Model::build(network, [4], 1).unwrap()
}

/// Batches that do not depend on the epoch.
fn batches() -> Vec<Batch> {
    source(&StopFlag::new(), None).epoch_from(0, 0).map(Result::unwrap).collect()
}

fn changed(model: &Model) -> Vec<String> {
    let before = pretrained();
    let pairs = model.parameters().iter().zip(before.parameters().iter());
    pairs.filter(|((_, now), (_, was))| now != was).map(|((parameter, _), _)| parameter.path.clone()).collect()
}

fn quiet(epochs: u64) -> Trainer {
    Trainer::new(epochs).progress(Progress::Silent)
}

#[test]
fn a_head_is_trained_on_features_that_are_computed_once() {
    let losses = |trainer: Trainer| {
        let (mut model, data) = (pretrained(), batches());
        let report = trainer
            .finetune(Finetune::Head)
            .run(&mut model, loss, &mut Sgd::new(0.3).momentum(0.9), &data, Some(&data))
            .unwrap();
        assert_eq!(changed(&model), ["fc.weight"]);
        let values = crate::evaluate(&model, loss, &data, &[]).unwrap();
        (report.validation("loss").last().unwrap().1, values.loss())
    };
    // the model has what the head learnt, and nothing else
    let (last, again) = losses(quiet(30));
    assert!((last - again).abs() < 1e-6, "{last} and {again}");
    // the trunk runs in every epoch where features need too much memory
    let (uncached, _) = losses(quiet(30).feature_memory(10));
    assert!((last - uncached).abs() < 0.05, "{last} and {uncached}");
}

#[test]
fn a_loss_of_the_trunk_needs_the_whole_network() {
    let (mut model, data) = (pretrained(), batches());
    let with_trunk = |t: &Trace| loss(t) + t.tap("features").square().mean();
    let report =
        quiet(2).finetune(Finetune::Head).run(&mut model, with_trunk, &mut Sgd::new(0.1), &data, None).unwrap();
    assert_eq!(report.history.len(), 2);
    assert_eq!(changed(&model), ["fc.weight"]);
}

#[test]
fn the_trunk_joins_by_epochs_with_a_rate_of_its_own() {
    let after = |epochs, trunk_rate| {
        let (mut model, data) = (pretrained(), batches());
        let all = Finetune::All(Unfreezing { trunk_rate, head_epochs: 1, stage_epochs: 1, ..Unfreezing::default() });
        quiet(epochs).finetune(all).run(&mut model, loss, &mut Sgd::new(0.1), &data, None).unwrap();
        model
    };
    assert_eq!(changed(&after(1, 0.1)), ["fc.weight"]);
    assert_eq!(changed(&after(2, 0.1)), ["b.weight", "fc.weight"]);
    assert_eq!(changed(&after(3, 0.1)), ["a.weight", "b.weight", "fc.weight"]);
    assert_eq!(changed(&after(3, 0.0)), ["fc.weight"]);
}

#[test]
fn a_gradual_run_with_an_average_resumes_with_the_same_bits() {
    let run = |folder: &Path, at: Option<usize>| {
        let (flag, mut model) = (StopFlag::new(), pretrained());
        let all = Finetune::All(Unfreezing { stage_epochs: 1, ..Unfreezing::default() });
        let trainer = quiet(4).finetune(all).average_parameters(0.9).folder(folder).resume().stop_flag(flag.clone());
        let mut sgd = Sgd::new(0.1).momentum(0.9);
        let validation = batches();
        let report = trainer.run(&mut model, loss, &mut sgd, &source(&flag, at), Some(&validation)).unwrap();
        let parameters: Vec<Tensor> = model.parameters().iter().map(|(_, value)| value.clone()).collect();
        (parameters, report)
    };
    let folder = tempfile::tempdir().unwrap();
    let expected = run(folder.path(), None);
    for at in 0..4 * BATCHES {
        let folder = tempfile::tempdir().unwrap();
        let first = run(folder.path(), Some(at));
        let last = if first.1.outcome == Outcome::Interrupted { run(folder.path(), None) } else { first };
        assert!(last == expected, "stopped at batch {at}");
    }
}

/// The model is left with the parameters that the last validation measured.
#[test]
fn averages_are_measured_kept_and_left_in_the_model() {
    let (mut model, data) = (pretrained(), batches());
    let report =
        quiet(3).average_parameters(0.99).run(&mut model, loss, &mut Sgd::new(0.5), &data, Some(&data)).unwrap();
    let measured = crate::evaluate(&model, loss, &data, &[]).unwrap().loss();
    assert!((report.validation("loss")[2].1 - measured).abs() < 1e-9);
    let mut plain = pretrained();
    quiet(3).run(&mut plain, loss, &mut Sgd::new(0.5), &data, Some(&data)).unwrap();
    assert!(!plain.parameters().iter().eq(model.parameters().iter()));
    let error = quiet(1).average_parameters(1.5).run(&mut plain, loss, &mut Sgd::new(0.5), &data, None).unwrap_err();
    assert_eq!(error.to_string(), "the decay 1.5 of the average is not in [0, 1)");
}

#[test]
fn a_node_is_a_metric_by_its_name() {
    let (mut model, data) = (pretrained(), batches());
    let trainer = quiet(2)
        .measure("energy", |t| t.output().square())
        .measure("mae", |t| (t.output() - t.input("target", [3])).abs())
        .monitor(Monitor::lowest("mae"));
    let report = trainer.run(&mut model, loss, &mut Sgd::new(0.1), &data, Some(&data)).unwrap();
    assert!(report.validation("mae")[1].1 > 0.0 && report.train("energy").len() == 2);
    let error = quiet(1)
        .measure("mae", |t| t.tap("nothing"))
        .run(&mut model, loss, &mut Sgd::new(0.1), &data, None)
        .unwrap_err()
        .to_string();
    assert!(error.contains("nothing is called \"nothing\""), "{error}");
}

#[test]
fn tensorboard_gets_a_file_of_each_run() {
    let folder = tempfile::tempdir().unwrap();
    let (mut model, data) = (pretrained(), batches());
    quiet(2).folder(folder.path()).tensorboard().run(&mut model, loss, &mut Sgd::new(0.1), &data, Some(&data)).unwrap();
    let files = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let events: Vec<_> = files.filter(|path| path.to_string_lossy().contains("events.out.tfevents.")).collect();
    let written = fs::read(&events[0]).unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(written.windows(15).filter(|window| window == b"loss/validation").count(), 2);
}

#[test]
fn a_trained_trunk_keeps_its_running_statistics_unless_told() {
    let network = |x: &Node| {
        let (trace, channels) = (x.trace(), x.channels());
        let of_channels = ([AxisRole::Features], [channels]);
        let state = |name, value| trace.state(name, of_channels, ocelli_graph::Constant(value));
        let weight = trace.parameter("weight", of_channels, ocelli_graph::Constant(1.0));
        let bias = trace.parameter("bias", of_channels, ocelli_graph::Constant(0.0));
        let (mean, variance) = (state("running_mean", 0.1), state("running_var", 0.9));
        let parameters = ocelli_graph::ops::BatchNormParameters {
            weight: &weight,
            bias: &bias,
            running_mean: &mean,
            running_variance: &variance,
        };
        x.batch_norm(ocelli_graph::ops::BatchNormOp::new(1e-5, 0.1), parameters)
    };
    let dense = |x: &Node| {
        let shape = ([AxisRole::Inputs, AxisRole::Outputs], [x.channels(), 3]);
        x.matmul(&x.trace().parameter("weight", shape, Noise))
    };
    let trained = |finetune: Finetune| {
        let network = move |x: &Node| x.scope("bn", network).scope("fc", dense);
        let before = Model::build(network, [4], 1).unwrap();
        let (mut model, data) = (before.clone(), batches());
        quiet(2).finetune(finetune).run(&mut model, loss, &mut Sgd::new(0.1), &data, None).unwrap();
        let pairs = model.parameters().iter().zip(before.parameters().iter());
        let changed = pairs.filter(|((_, now), (_, was))| now != was).map(|((parameter, _), _)| parameter.path.clone());
        changed.collect::<Vec<_>>()
    };
    let all = |statistics| Finetune::All(Unfreezing { head_epochs: 0, statistics, ..Unfreezing::default() });
    let kept = ["bn.bias", "bn.weight", "fc.weight"];
    assert_eq!(trained(all(TrunkStatistics::Pretrained)), kept);
    assert_eq!(trained(Finetune::Layers(vec!["bn".into()])), kept);
    let with_states = ["bn.bias", "bn.running_mean", "bn.running_var", "bn.weight", "fc.weight"];
    assert_eq!(trained(all(TrunkStatistics::Batch)), with_states);
}
