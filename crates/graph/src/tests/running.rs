//! Running: batches of any size, threads, and what is refused.

use super::{batch_of, build, conv, input};
use crate::{Batch, Constant, Error, Model, Node, Tensor};
use std::sync::Arc;

fn network(x: &Node) -> Node {
    x.scope("conv", |x| conv(x, 4)).relu().global_avg_pool()
}

#[test]
fn a_batch_is_the_sum_of_its_samples() {
    let model = build(network, &[6, 6, 3]);
    let x = input(&[5, 6, 6, 3]);
    let all = model.predict(&x).unwrap();
    for i in 0..5 {
        assert_eq!(model.predict(&x.rows(i..i + 1)).unwrap().data(), all.rows(i..i + 1).data(), "sample {i}");
    }
}

#[test]
fn the_last_batch_may_be_smaller() {
    let mut model = build(network, &[6, 6, 3]);
    let mut objective = model.objective(|t| t.output().square().mean()).unwrap();
    let mut losses = Vec::new();
    for n in [4, 1, 4] {
        losses.push(objective.step(&mut model, &batch_of(&[n, 6, 6, 3])).unwrap().loss());
    }
    assert_eq!(losses[0], losses[2]);
    assert_eq!(objective.steps(), 3);
}

#[test]
fn threads_share_a_model() {
    fn is_shareable<T: Send + Sync>(_: &T) {}
    let model = Arc::new(build(network, &[6, 6, 3]));
    is_shareable(&model);
    let x = input(&[2, 6, 6, 3]);
    let expected = model.predict(&x).unwrap();
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let (model, x) = (model.clone(), x.clone());
            std::thread::spawn(move || (0..10).map(|_| model.predict(&x).unwrap()).collect::<Vec<_>>())
        })
        .collect();
    for worker in workers {
        assert!(worker.join().unwrap().iter().all(|y| *y == expected));
    }
}

#[test]
fn a_model_runs_between_steps() {
    let mut model = build(network, &[6, 6, 3]);
    let mut objective = model.objective(|t| t.output().mean()).unwrap();
    let batch = batch_of(&[2, 6, 6, 3]);
    let step = objective.step(&mut model, &batch).unwrap();
    let before = model.run(&batch, &["output"]).unwrap();
    let gradient = step.gradient("conv.weight").unwrap();
    let weight = model.parameters_mut().value_mut("conv.weight").unwrap();
    weight.data_mut().iter_mut().zip(gradient).for_each(|(w, g)| *w -= 0.5 * g);
    assert_ne!(model.run(&batch, &["output"]).unwrap(), before);
}

#[test]
fn inputs_that_do_not_fit_are_named() {
    let model =
        Model::trace(0, |t| t.input("left", [4, 3]) + t.input("right", [4, 3]).mean_over(&[crate::Axis::N])).unwrap();
    let error = |batch: Batch| model.run(&batch, &["output"]).unwrap_err().to_string();
    let good = || Tensor::zeros([2, 4, 3]);
    assert_eq!(error(Batch::new().with("left", good())), "input \"right\" is missing from the batch, which holds left");
    assert_eq!(
        error(Batch::new().with("left", good()).with("right", Tensor::zeros([2, 5, 3]))),
        "input \"right\" has the shape [2, 5, 3], expected [N, 4, 3] with N = 2"
    );
    assert_eq!(
        error(Batch::new().with("left", good()).with("right", Tensor::zeros([3, 4, 3]))),
        "input \"right\" has the shape [3, 4, 3], expected [N, 4, 3] with N = 2"
    );
    assert_eq!(
        error(Batch::new().with("left", Tensor::zeros([0, 4, 3])).with("right", Tensor::zeros([0, 4, 3]))),
        "input \"left\" holds no samples: its shape is [0, 4, 3]"
    );
    let labels = Tensor::full([2, 4, 3], 1u32);
    assert_eq!(
        error(Batch::new().with("left", labels).with("right", good())),
        "input \"left\" holds u32, expected f32"
    );
    let both = Batch::new().with("left", good()).with("right", good());
    assert!(model.run(&both, &["middle"]).unwrap_err().to_string().starts_with("nothing is called \"middle\"; "));
}

#[test]
fn nan_in_the_input_is_found_before_it_spreads() {
    let mut model = build(network, &[6, 6, 3]);
    let mut x = input(&[2, 6, 6, 3]);
    x[[1, 0, 5, 2]] = f32::NAN;
    let error = model.predict(&x).unwrap_err();
    assert_eq!(error.to_string(), "input \"input\" holds NaN at [1, 0, 5, 2]");
    x[[1, 0, 5, 2]] = f32::INFINITY;
    let mut objective = model.objective(|t| t.output().mean()).unwrap();
    let error = objective.step(&mut model, &Batch::new().with("input", x)).unwrap_err();
    assert_eq!(error.to_string(), "input \"input\" holds inf at [1, 0, 5, 2]");
    assert_eq!(objective.steps(), 0);
}

#[test]
fn a_loss_that_is_not_finite_stops_before_the_update() {
    let mut model = build(|x| x * x.trace().parameter("w", [3], Constant(1e30)), &[3]);
    let mut objective = model.objective(|t| t.output().square().sum()).unwrap();
    let error = objective.step(&mut model, &batch_of(&[2, 3])).unwrap_err().to_string();
    assert!(error.contains("the loss is inf although every input is finite"), "{error}");
    model.parameters_mut().value_mut("w").unwrap().data_mut()[1] = f32::NAN;
    let error = objective.step(&mut model, &batch_of(&[2, 3])).unwrap_err().to_string();
    assert!(error.contains("parameter w holds NaN; lower the learning rate"), "{error}");
}

#[test]
fn an_objective_keeps_to_its_model() {
    let a = build(|x| x * x.trace().parameter("w", [3], Constant(1.0)), &[3]);
    let mut b = build(|x| x * x.trace().parameter("v", [3], Constant(1.0)), &[3]);
    let mut objective = a.objective(|t| t.output().mean()).unwrap();
    let error = objective.step(&mut b, &batch_of(&[2, 3])).unwrap_err();
    assert!(matches!(error, Error::ForeignModel(_)));
    assert_eq!(error.to_string(), "this objective was made from a model with other parameters: this one has v");
}

#[test]
fn parameters_keep_their_shapes() {
    let mut model = build(|x| x * x.trace().parameter("w", [3], Constant(1.0)), &[3]);
    let error = model.parameters_mut().set("w", Tensor::zeros([4])).unwrap_err();
    assert_eq!(error.to_string(), "parameter w has the shape [3], got [4]");
    assert!(model.parameters_mut().set("v", Tensor::zeros([3])).is_err());
    model.parameters_mut().set("w", Tensor::full([3], 2.0)).unwrap();
    assert_eq!(model.predict(&Tensor::full([1, 3], 1.0)).unwrap().data(), [2.0; 3]);
}

#[test]
fn the_same_seed_gives_the_same_parameters() {
    let network = |x: &Node| x.scope("a", |x| conv(x, 4)).scope("b", |x| conv(x, 4));
    let (a, b) = (Model::build(network, [9, 9, 3], 1).unwrap(), Model::build(network, [9, 9, 3], 1).unwrap());
    let other = Model::build(network, [9, 9, 3], 2).unwrap();
    for (parameter, value) in a.parameters().iter() {
        assert_eq!(b.parameters().value(&parameter.path), Some(value));
        assert_ne!(other.parameters().value(&parameter.path), Some(value));
    }
    assert_ne!(
        a.parameters().value("a.weight").unwrap().data()[..9],
        a.parameters().value("b.weight").unwrap().data()[..9]
    );
}

/// An input and a parameter lie in no step's memory; a step that watches them has copies.
#[test]
fn inputs_and_parameters_can_be_watched() {
    let network = |x: &Node| x * x.trace().parameter("w", [2], Constant(3.0));
    let mut model = Model::build(network, [2], 0).unwrap();
    let objective = model.objective(|t| (t.output() * t.labels("labels").one_hot(2)).mean()).unwrap();
    let mut objective = objective.watching(&["input", "w", "output"]).unwrap();
    let x = Tensor::from_vec([2, 2], vec![1.0, 2.0, 3.0, 4.0]).unwrap();
    let batch = Batch::new().with("input", x).with("labels", Tensor::from(vec![0u32, 1]));
    let step = objective.step(&mut model, &batch).unwrap();
    assert_eq!(step.activation("input"), Some(&[1.0, 2.0, 3.0, 4.0][..]));
    assert_eq!(step.activation("w"), Some(&[3.0; 2][..]));
    assert_eq!(step.activation("output"), Some(&[3.0, 6.0, 9.0, 12.0][..]));
    let refused = objective.watching(&["labels"]).unwrap_err().to_string();
    assert!(refused.contains("labels are read from the batch"), "{refused}");
}
