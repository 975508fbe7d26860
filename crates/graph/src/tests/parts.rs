//! Parts of networks, other heads, and values from other models.

use super::{batch_of, build, conv, input};
use crate::{
    Axis, AxisRole, Constant, Error, Model, Node, Objective, Tensor, Trace, Until, func, initial::tests::Ramp,
    ops::BatchNormOp,
};

/// A layer with an axis of outputs.
fn dense(features: usize) -> impl Fn(&Node) -> Node {
    move |x| {
        let shape = ([AxisRole::Inputs, AxisRole::Outputs], [x.channels(), features]);
        let bias = x.trace().parameter("bias", ([AxisRole::Outputs], [features]), Ramp);
        x.matmul(&x.trace().parameter("weight", shape, Ramp)) + bias
    }
}

fn norm(x: &Node) -> Node {
    let t = x.trace();
    let (one, zero, c) = (Constant(1.0), Constant(0.0), [x.channels()]);
    let parameters = crate::ops::BatchNormParameters {
        weight: &t.parameter("weight", c, one),
        bias: &t.parameter("bias", c, zero),
        running_mean: &t.state("running_mean", c, zero),
        running_variance: &t.state("running_var", c, one),
    };
    x.batch_norm(BatchNormOp::new(1e-5, 0.1), parameters)
}

/// A trunk of two blocks with normalisations, dropout, and a head for five classes.
fn network(x: &Node) -> Node {
    let block = |x: &Node| x.scope("conv", |x| conv(x, 4)).scope("bn", norm).relu();
    let x = x.scope("a", block).scope("b", block).global_avg_pool().named("pooled");
    x.scope("drop", |x| x.dropout(0.5)).scope("fc", dense(5))
}

fn refused(network: impl FnOnce(&Node) -> Node, from: &str, to: &str) -> String {
    build(network, &[6]).part(from, to).unwrap_err().to_string()
}

fn paths(model: &Model) -> Vec<&str> {
    model.parameters().iter().map(|(parameter, _)| parameter.path.as_str()).collect()
}

#[test]
fn two_parts_compute_what_the_whole_does() {
    let model = build(network, &[8, 8, 3]);
    let x = input(&[3, 8, 8, 3]);
    let expected = model.predict(&x).unwrap();
    for cut in ["a.conv", "a", "b.bn", "b", "pooled", "drop"] {
        let (trunk, head) = (model.part("input", cut).unwrap(), model.part(cut, "output").unwrap());
        assert_eq!(trunk.parameters().len() + head.parameters().len(), model.parameters().len(), "{cut}");
        let got = head.predict(&trunk.predict(&x).unwrap()).unwrap();
        // between a convolution and its normalisation, which inference would make one
        let tolerance = if cut == "a.conv" { 1e-6 } else { 0.0 };
        assert!(got.data().iter().zip(expected.data()).all(|(a, b)| (a - b).abs() <= tolerance), "{cut}");
    }
    let middle = model.part("a", "b").unwrap();
    assert_eq!(middle.parameters().len(), 5);
    assert!(paths(&middle).iter().all(|path| path.starts_with("b.")));
    assert!(middle.graph().find("b.bn").is_some() && middle.graph().find("a.bn").is_none());
}

/// Running statistics of a part move as those of the whole.
#[test]
fn a_part_is_trained_like_a_network() {
    let mut trunk = build(network, &[8, 8, 3]).part("input", "b").unwrap();
    let mut objective = trunk.objective(|t| t.output().square().mean()).unwrap();
    let before = trunk.parameters().value("b.bn.running_mean").unwrap().clone();
    let step = objective.step(&mut trunk, &batch_of(&[4, 8, 8, 3])).unwrap();
    assert_eq!(step.gradients().count(), 6);
    assert_ne!(trunk.parameters().value("b.bn.running_mean").unwrap(), &before);
}

/// A state whose new value is computed by operations of its own, which no result depends on.
#[test]
fn updates_of_states_stay_with_their_layer() {
    let counting = |x: &Node| {
        let steps = x.trace().state("steps", [1], Constant(0.0));
        x.trace().update(&steps, &(&steps + 1.0));
        x * 2.0
    };
    let mut part = build(|x| x.scope("a", counting).scope("b", counting), &[3]).part("a", "output").unwrap();
    assert_eq!(paths(&part), Vec::<&str>::new());
    let reading = |x: &Node| {
        let steps = x.trace().state("steps", [1], Constant(0.0));
        x.trace().update(&steps, &(&steps + 1.0));
        x * (&steps + 1.0)
    };
    part = build(|x| x.scope("a", reading).scope("b", reading), &[3]).part("a", "output").unwrap();
    let mut objective = part.objective(|t| t.output().mean()).unwrap();
    objective.step(&mut part, &batch_of(&[2, 3])).unwrap();
    assert_eq!(part.parameters().value("b.steps").unwrap().data(), [1.0]);
}

#[test]
fn what_crosses_the_cut_is_named() {
    let residual = |x: &Node| {
        let y = x.relu().named("inner");
        (y.tanh() + x).named("sum") * 2.0
    };
    assert_eq!(
        refused(residual, "inner", "output"),
        "the part from \"inner\" to \"output\": Add also reads [N, 6] from input \"input\", which is not computed from the \
         first; cut where one activation carries everything"
    );
    build(residual, &[6]).part("sum", "output").unwrap();
    assert_eq!(
        refused(residual, "sum", "inner"),
        "the part from \"sum\" to \"inner\": the second is not computed from the first"
    );
    assert!(refused(residual, "sum", "sum").ends_with("the second is not computed from the first"));
    assert!(refused(residual, "input", "summ").starts_with("nothing is called \"summ\""));
    let with_parameter = |x: &Node| x * x.trace().parameter("w", [6], Constant(1.0));
    assert!(
        refused(with_parameter, "w", "output").ends_with("a part begins with an input or what is computed from one")
    );
    let two = Model::trace(0, |t| (t.input("x", [3]).relu().named("r") + t.input("y", [3])).tanh()).unwrap();
    let error = two.part("r", "output").unwrap_err();
    assert!(error.to_string().contains("Add also reads [N, 3] from input \"y\""), "{error}");
    assert!(matches!(error, Error::Part { .. }));
}

/// Products of parameters alone, such as normalised weights, belong to whoever reads them.
#[test]
fn what_is_computed_of_parameters_crosses_no_cut() {
    let scaled = |x: &Node| x * (x.trace().parameter("w", [6], Constant(1.5)) * 2.0);
    let model = build(|x| x.relu().named("r").scope("a", scaled), &[6]);
    let head = model.part("r", "output").unwrap();
    assert_eq!(head.predict(&Tensor::full([1, 6], 1.0)).unwrap().data(), [3.0; 6]);
}

#[test]
fn another_head_keeps_the_trunk() {
    let mut model = build(network, &[8, 8, 3]);
    model.freeze("a").unwrap();
    let other = model.with_head("pooled", |x| x.scope("fc", dense(2)), 9).unwrap();
    let x = input(&[2, 8, 8, 3]);
    assert_eq!(other.predict(&x).unwrap().shape(), [2, 2]);
    let batch = batch_of(&[2, 8, 8, 3]);
    assert_eq!(other.run(&batch, &["pooled"]).unwrap(), model.run(&batch, &["pooled"]).unwrap());
    assert!(other.parameters().get("a.conv.weight").unwrap().frozen);
    let again = model.with_head("pooled", |x| x.scope("fc", dense(2)), 9).unwrap();
    assert!(again.parameters().iter().eq(other.parameters().iter()));
    let taken = model.with_head("pooled", |x| x.scope("a", dense(2)), 9).unwrap_err().to_string();
    assert!(taken.contains("\"a\" is already the name of a value"), "{taken}");
}

#[test]
fn another_number_of_classes_keeps_all_but_the_last_layer() {
    let model = build(network, &[8, 8, 3]);
    assert_eq!(model.layers(), ["a.conv", "a.bn", "b.conv", "b.bn", "fc"]);
    assert_eq!(model.last_layer().as_deref(), Some("fc"));
    let other = model.with_classes(3, 4).unwrap();
    assert_eq!(other.predict(&input(&[2, 8, 8, 3])).unwrap().shape(), [2, 3]);
    let report = build(network, &[8, 8, 3]).parameters_mut().copy_from(other.parameters());
    assert_eq!(report.other_shape, ["fc.bias", "fc.weight"]);
    assert_eq!(report.to_string(), "10 parameters copied; 2 other shapes: fc.bias, fc.weight");
    assert!(other.parameters().value("a.conv.weight") == model.parameters().value("a.conv.weight"));
    let fixed = build(|x| x.scope("fc", dense(5)) * x.trace().parameter("w", [5], Constant(1.0)), &[6]);
    let error = fixed.with_classes(3, 0).unwrap_err().to_string();
    assert!(error.contains("with 3 outputs of fc, Mul does not take [N, 3] from fc"), "{error}");
    assert!(model.with_classes(0, 0).unwrap_err().to_string().contains("fc.bias of shape [0]"));
    assert!(build(|x| x.relu(), &[3]).with_classes(2, 0).unwrap_err().to_string().contains("no layer has weights"));
}

#[test]
fn a_layer_ends_at_an_activation() {
    let whole = build(network, &[8, 8, 3]);
    let x = input(&[2, 8, 8, 3]);
    // alone, it has the paths of the network
    let trunk = Model::from_layer(Until::new(func(network), "b"), [8, 8, 3], 3).unwrap();
    assert_eq!(paths(&trunk), paths(&whole.part("input", "b").unwrap()));
    assert_eq!(trunk.predict(&x).unwrap(), whole.run(&batch_of(&[2, 8, 8, 3]), &["b"]).unwrap()[0]);
    // within another one what is around it stays, and so do its running statistics
    let around = |x: &Node| {
        let y = x.apply("trunk", Until::new(func(network), "a"));
        (y.global_avg_pool() + x.global_avg_pool().scope("side", dense(4))).scope("fc", dense(2))
    };
    let mut model = build(around, &[8, 8, 3]);
    assert_eq!(model.layers(), ["trunk.a.conv", "trunk.a.bn", "side", "fc"]);
    let mut objective = model.objective(loss).unwrap();
    objective.step(&mut model, &batch_of(&[2, 8, 8, 3])).unwrap();
    assert!(model.parameters().value("trunk.a.bn.running_mean").unwrap().data().iter().any(|mean| *mean != 0.0));
    let error = Model::from_layer(Until::new(func(network), "c"), [8, 8, 3], 0).unwrap_err().to_string();
    assert!(error.contains("nothing is called \"c\""), "{error}");
}

#[test]
fn values_are_copied_below_a_path() {
    let tower = |x: &Node| x.scope("conv", |x| conv(x, 2));
    let (source, mut model) =
        (build(|x| x.scope("old", tower), &[8, 8, 1]), build(|x| x.scope("new", tower), &[8, 8, 1]));
    let report = model.parameters_mut().copy_below("new", source.parameters(), "old");
    assert_eq!(report.copied, ["new.conv.weight"]);
    assert_eq!(model.parameters().value("new.conv.weight"), source.parameters().value("old.conv.weight"));
    let report = model.parameters_mut().copy_from(source.parameters());
    assert_eq!((report.missing, report.unused), (vec!["new.conv.weight".into()], vec!["old.conv.weight".into()]));
}

#[test]
fn the_frozen_trunk_ends_before_what_is_random_or_trained() {
    let mut model = build(network, &[8, 8, 3]);
    assert!(model.split_frozen().is_none());
    model.freeze("").unwrap();
    model.unfreeze("fc").unwrap();
    let (trunk, head) = model.split_frozen().unwrap();
    assert_eq!(paths(&head), ["fc.bias", "fc.weight"]);
    // dropout stays with the head
    let x = input(&[2, 8, 8, 3]);
    assert_eq!(trunk.predict(&x).unwrap(), model.run(&batch_of(&[2, 8, 8, 3]), &["pooled"]).unwrap()[0]);
    assert_eq!(head.predict(&trunk.predict(&x).unwrap()).unwrap(), model.predict(&x).unwrap());
    assert!(trunk.parameters().iter().all(|(parameter, _)| parameter.frozen));
    assert_eq!(head.parameters().trained_count(), 25);
    // two ways from what is frozen to what is trained
    let mut branches = build(|x| x.relu().scope("fc", dense(3)) + x.tanh(), &[3]);
    assert!(branches.split_frozen().is_none());
    branches.freeze("").unwrap();
    assert!(branches.split_frozen().is_none());
}

fn loss(t: &Trace) -> Node {
    t.output().square().mean_over(&[Axis::C]).mean()
}

/// Names of the operations that a training step runs, and its memory.
fn steps(objective: &mut Objective, model: &Model) -> (Vec<String>, usize) {
    let plan = objective.plan(model, 4).unwrap();
    (plan.steps().iter().map(|step| step.op().kind()).collect(), plan.peak_bytes())
}

/// A frozen trunk costs what running it costs: nothing is differentiated in it, and nothing kept for that.
#[test]
fn frozen_parts_cost_no_gradient() {
    let mut model = build(network, &[16, 16, 3]);
    let (all, whole) = steps(&mut model.objective(loss).unwrap(), &model);
    assert!(all.iter().any(|kind| kind.contains("Backward")), "{all:?}");
    model.freeze("").unwrap();
    model.unfreeze("fc").unwrap();
    let (frozen, peak) = steps(&mut model.objective(loss).unwrap(), &model);
    let (trunk, head) = model.split_frozen().unwrap();
    let (of_head, head_peak) = steps(&mut head.objective(loss).unwrap(), &head);
    let forward = trunk.part("input", "b").unwrap().graph().calls.len();
    // the same steps as those of the head alone, behind the trunk's, of which fusion leaves fewer
    assert_eq!(frozen[frozen.len() - of_head.len()..], of_head[..]);
    assert!(frozen.len() - of_head.len() <= forward + 1, "{frozen:?}");
    assert!(!frozen[..frozen.len() - of_head.len()].iter().any(|kind| kind.contains("Backward")), "{frozen:?}");
    let trunk_peak = trunk.plan(4, &["output"]).unwrap().peak_bytes();
    assert!(peak <= trunk_peak + head_peak && peak < whole, "{peak} of {whole}; {trunk_peak} + {head_peak}");
}
