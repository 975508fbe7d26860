//! Objectives whose loss depends on nothing that is trained, or whose model was frozen behind their back.

use super::{batch_of, build};
use crate::{Constant, Error, Mode, Model, Node, Trace, Wrt};

fn network(x: &Node) -> Node {
    let scale = |x: &Node| x * x.trace().parameter("weight", [3], Constant(2.0));
    x.scope("a", scale).scope("b", scale)
}

fn loss(t: &Trace) -> Node {
    t.output().square().mean()
}

#[test]
fn freezing_after_the_objective_is_noticed_by_the_next_step() {
    let mut model = build(network, &[3]);
    let mut objective = model.objective(loss).unwrap();
    let batch = batch_of(&[2, 3]);
    objective.step(&mut model, &batch).unwrap();
    model.freeze("b").unwrap();
    let error = objective.step(&mut model, &batch).unwrap_err().to_string();
    let expected =
        "parameter b.weight was frozen after the objective was made, which does not follow: make the objective again";
    assert_eq!(error, expected);
    let mut follows = model.objective(loss).unwrap();
    assert_eq!(
        follows.step(&mut model, &batch).unwrap().gradients().map(|(path, _)| path).collect::<Vec<_>>(),
        ["a.weight"]
    );
    model.unfreeze("").unwrap();
    let error = follows.step(&mut model, &batch).unwrap_err().to_string();
    assert!(error.starts_with("parameter b.weight was unfrozen after the objective was made"), "{error}");
    objective.step(&mut model, &batch).unwrap();
}

#[test]
fn what_no_gradient_changes_may_be_frozen_at_any_time() {
    let mut model = build(network, &[3]);
    let mut objective = model.objective_of(Mode::Infer, Wrt::Values(&["input"]), loss).unwrap();
    model.freeze("").unwrap();
    assert!(objective.evaluate(&model, &batch_of(&[2, 3])).unwrap().gradient("input").is_some());
}

#[test]
fn a_loss_that_depends_on_no_parameter_is_refused() {
    let refused = |model: &Model, loss: &dyn Fn(&Trace) -> Node| {
        let error = model.objective(loss).unwrap_err();
        assert!(matches!(error, Error::NothingToTrain(_)));
        error.to_string()
    };
    let mut model = build(network, &[3]);
    let of_input = |t: &Trace| t.tap("input").square().mean();
    assert_eq!(
        refused(&model, &of_input),
        "the objective trains nothing: the loss depends on nothing that a gradient is wanted for, such as a parameter that \
         is not frozen"
    );
    model.freeze("a").unwrap();
    assert!(refused(&model, &|t| t.tap("a").mean()).contains("the loss depends on nothing"));
    // Where everything is frozen, or there are no parameters, a step has no gradients; it may still be evaluated.
    model.freeze("").unwrap();
    for mut model in [model, build(|x| x.relu(), &[3])] {
        let mut objective = model.objective(loss).unwrap();
        assert_eq!(objective.step(&mut model, &batch_of(&[2, 3])).unwrap().gradients().count(), 0);
    }
}
