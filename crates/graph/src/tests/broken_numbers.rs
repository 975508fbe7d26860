//! NaN and infinity in what a step would change a model by: nothing is changed, and the operation is named.

use super::build;
use crate::{Axis, Batch, Constant, Error, Model, Node, Tensor};

/// `√x`, whose slope at zero is infinite.
fn root(x: &Node) -> Node {
    x.scope("root", |x| x.map("Root", f32::sqrt, |x| 0.5 / x.sqrt()))
}

/// `mean(√(w·x))` has the finite value 0 at w = 0, and no slope there.
fn root_of_product(w: f32) -> Model {
    build(|x| root(&(x * x.trace().parameter("w", [3], Constant(w)))), &[3])
}

fn ones() -> Batch {
    Batch::new().with("input", Tensor::full([2, 3], 1.0))
}

#[test]
fn a_finite_loss_with_an_infinite_gradient_changes_nothing() {
    let mut model = root_of_product(0.0);
    let before = model.parameters().value("w").unwrap().clone();
    let mut objective = model.objective(|t| t.output().mean()).unwrap();
    for _ in 0..2 {
        let error = objective.step(&mut model, &ones()).unwrap_err();
        assert!(matches!(&error, Error::BrokenUpdate { loss: 0.0, .. }), "{error}");
        let error = error.to_string();
        assert!(error.starts_with("the gradient of w holds inf although the loss is 0: "), "{error}");
        assert!(error.contains("comes from the backward pass of root ("), "{error}");
        assert!(!error.contains("learning rate"), "{error}");
    }
    assert_eq!((objective.steps(), model.parameters().value("w")), (0, Some(&before)));
    assert!(objective.evaluate(&model, &ones()).is_err());
    // Nothing of it stays.
    model.parameters_mut().value_mut("w").unwrap().data_mut().fill(4.0);
    let step = objective.step(&mut model, &ones()).unwrap();
    assert_eq!((step.loss(), step.gradient("w")), (2.0, Some(&[0.25 / 3.0; 3][..])));
}

/// An infinity that comes to nothing is not what a later one comes from.
#[test]
fn an_infinity_on_another_path_is_not_blamed() {
    let network = |x: &Node| {
        let mask = x.scope("mask", |x| x.map("Mask", |x| if x > 0.0 { f32::NEG_INFINITY } else { x }, |_| 0.0));
        let finite = mask.scope("exp", |x| x.map("Exp", f32::exp, f32::exp));
        root(&(x * x.trace().parameter("w", [3], Constant(0.0)))) + finite
    };
    let mut model = build(network, &[3]);
    let mut objective = model.objective(|t| t.output().mean()).unwrap();
    let error = objective.step(&mut model, &ones()).unwrap_err().to_string();
    assert!(error.contains("comes from the backward pass of root ("), "{error}");
}

#[test]
fn the_advice_fits_what_happened() {
    let error = |network: &dyn Fn(&Node) -> Node, w: f32| {
        let mut model = build(|x| network(&(x * x.trace().parameter("w", [3], Constant(w)))), &[3]);
        let mut objective = model.objective(|t| t.output().mean()).unwrap();
        objective.step(&mut model, &ones()).unwrap_err().to_string()
    };
    let grown = error(&|x| x.scope("a", Node::square), 1e30);
    assert!(grown.starts_with("the loss is inf although every input is finite: "), "{grown}");
    assert!(grown.contains("comes from a (Square), of operands no larger than 1e30: "), "{grown}");
    assert!(grown.ends_with("they have grown too large, lower the learning rate"), "{grown}");
    let own = error(&|x| x.scope("mine", |x| x.map("Mine", |_| f32::NAN, |_| 1.0)), 0.5);
    assert!(own.contains("comes from mine (Mine), of operands no larger than 0.5: "), "{own}");
    assert!(!own.contains("learning rate"), "{own}");
    let unclear = error(&|x| x.scope("e", |x| x.map("Exp", f32::exp, f32::exp)), 90.0);
    assert!(unclear.contains("if they have grown from step to step, lower the learning rate; else"), "{unclear}");
    let broken = error(&Node::square, f32::NEG_INFINITY);
    assert!(broken.contains("parameter w holds -inf; lower the learning rate, or load weights"), "{broken}");
}

/// A running sum of inverses, as an operation of one's own may keep it.
#[test]
fn new_state_that_is_not_finite_is_not_written() {
    let network = |x: &Node| {
        let (t, w) = (x.trace(), x.trace().parameter("w", [3], Constant(2.0)));
        let mean = x.mean_over(&[Axis::N]);
        let inverse = mean.scope("inverse", |x| x.map("Inverse", |x| 1.0 / x, |_| 0.0));
        for (name, new) in [("first", &mean), ("second", &inverse)] {
            let state = t.state(name, [3], Constant(0.5));
            t.update(&state, &(&state + new));
        }
        x * w
    };
    let mut model = build(network, &[3]);
    let mut objective = model.objective(|t| t.output().mean()).unwrap();
    let zeros = Batch::new().with("input", Tensor::zeros([2, 3]));
    let error = objective.step(&mut model, &zeros).unwrap_err().to_string();
    assert!(error.starts_with("the new value of second holds inf although the loss is 0: "), "{error}");
    assert!(error.contains("comes from inverse (Inverse), of operands no larger than 0: "), "{error}");
    for path in ["first", "second"] {
        assert_eq!(model.parameters().value(path).unwrap().data(), [0.5; 3], "{path}");
    }
    objective.step(&mut model, &ones()).unwrap();
    assert_eq!(model.parameters().value("second").unwrap().data(), [1.5; 3]);
}

/// One number among many: large gradients are searched by several threads.
#[test]
fn one_broken_number_of_two_million_is_found() {
    const LEN: usize = 2 << 20;
    let network = |x: &Node| {
        let w = x.trace().parameter("w", [LEN], Constant(1.0));
        root(&(w * x.mean()))
    };
    let mut model = build(network, &[1]);
    let mut objective = model.objective(|t| t.output().mean()).unwrap();
    let one = Batch::new().with("input", Tensor::full([1, 1], 1.0));
    objective.step(&mut model, &one).unwrap();
    model.parameters_mut().value_mut("w").unwrap().data_mut()[LEN - 3] = 0.0;
    let error = objective.step(&mut model, &one).unwrap_err().to_string();
    assert!(error.starts_with("the gradient of w holds inf although"), "{error}");
}
