//! Losses with inputs of their own, and parameters, which belong in the network.

use super::{batch_of, build};
use crate::{Batch, Constant, Mode, Model, Node, Tensor, Trace, Wrt, func};

fn network(x: &Node) -> Node {
    x * x.trace().parameter("w", [3], Constant(1.0)) - x.trace().state("centre", [3], Constant(0.5))
}

#[test]
fn a_parameter_made_in_a_loss_is_refused_when_the_objective_is_made() {
    let model = build(network, &[3]);
    let error = |loss: &dyn Fn(&Trace) -> Node| model.objective(loss).unwrap_err().to_string();
    let where_it_belongs = "is made in a loss, which has no parameters of its own; describe its layer in the network, give the \
                            result a name (`named`), and let the loss `tap` that";
    let temperature = |t: &Trace| (t.output() * t.parameter("temperature", [], Constant(1.0))).mean();
    assert_eq!(error(&temperature), format!("(parameter): temperature {where_it_belongs}"));
    let head = |t: &Trace| {
        t.output().apply("head", func(|x: &Node| x * x.trace().parameter("weight", [3], Constant(1.0)))).mean()
    };
    assert_eq!(error(&head), format!("head (parameter): head.weight {where_it_belongs}"));
    let running = |t: &Trace| (t.output() - t.state("mean", [3], Constant(0.0))).mean();
    assert_eq!(error(&running), format!("(parameter): mean {where_it_belongs}"));
    assert_eq!(
        error(&|t| (t.output() * t.parameter("w", [3], Constant(1.0))).mean()),
        "(parameter): w is a parameter of the network; a loss reads it by `trace.tap(\"w\")`"
    );
    let named = model.objective_of(Mode::Train, Wrt::Values(&["temperature"]), temperature);
    assert!(named.unwrap_err().to_string().contains(where_it_belongs));
}

#[test]
fn a_loss_has_inputs_names_and_gradients_of_its_own() {
    let model = build(network, &[3]);
    let loss = |t: &Trace| {
        let masked = (t.output() * t.input("mask", [3])).named("masked");
        masked.apply("penalty", func(|x: &Node| x.square())).sum() + t.tap("w").square().sum()
    };
    let mut objective = model.objective_of(Mode::Train, Wrt::Values(&["mask", "masked", "w"]), loss).unwrap();
    let batch = batch_of(&[2, 3]).with("mask", Tensor::full([2, 3], 2.0));
    let x = super::input(&[2, 3]);
    let step = objective.evaluate(&model, &batch).unwrap();
    for (i, x) in x.data().iter().enumerate() {
        let y = x - 0.5;
        assert!((step.gradient("masked").unwrap()[i] - 4.0 * y).abs() < 1e-5);
        assert!((step.gradient("mask").unwrap()[i] - 4.0 * y * y).abs() < 1e-5);
    }
    let w = |c: usize| 2.0 + (0..2).map(|n| 8.0 * x.data()[3 * n + c] * (x.data()[3 * n + c] - 0.5)).sum::<f32>();
    (0..3).for_each(|c| assert!((step.gradient("w").unwrap()[c] - w(c)).abs() < 1e-4));
}

#[test]
fn a_loss_may_update_a_state_of_the_network() {
    let mut model = build(network, &[3]);
    let loss = |t: &Trace| {
        let centre = t.tap("centre");
        t.update(&centre, &(&centre + t.output().mean_over(&[crate::Axis::N])));
        t.output().square().mean()
    };
    let mut objective = model.objective(loss).unwrap();
    objective.step(&mut model, &Batch::new().with("input", Tensor::full([4, 3], 2.0))).unwrap();
    assert_eq!(model.parameters().value("centre").unwrap().data(), [2.0; 3]);
}

#[test]
fn a_state_takes_over_what_nothing_computes() {
    let network = |x: &Node| {
        let last = x.trace().state("last", [2, 2], Constant(0.0));
        x.trace().update(&last, &x.trace().input("plain", crate::Shape::from([2, 2])));
        x + x.trace().parameter("w", [3], Constant(0.0)) + last.sum()
    };
    let mut model = Model::build(network, [3], 0).unwrap();
    let mut objective = model.objective(|t| t.output().mean()).unwrap();
    let plain = Tensor::from_vec([2, 2], vec![1.0, 2.0, 3.0, 4.0]).unwrap();
    objective.step(&mut model, &batch_of(&[2, 3]).with("plain", &plain)).unwrap();
    assert_eq!(model.parameters().value("last").unwrap(), &plain);
}

#[test]
fn only_states_are_updated() {
    let update = |of: fn(&Node) -> Node| {
        super::mistake(
            |x| {
                let w = x.trace().parameter("w", [3], Constant(0.0));
                let y = x * w;
                x.trace().update(&of(&y), &y);
                y
            },
            &[3],
        )
    };
    assert_eq!(update(Node::clone), "(update): expected a state, which `Trace::state` makes, got [N, 3] from Mul");
    let parameter = update(|y| y.trace().tap("w"));
    assert_eq!(parameter, "(update): the state is [3], its new value [N, 3]");
}
