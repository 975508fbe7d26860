//! Sessions of a network that is only run any more.

use super::{batch_of, build, conv, input};
use crate::ops::LinearOp;
use crate::{Batch, Error, Inference, Model, Node, Precision, Tensor, Trace};
use ocelli_kernels::conv::Conv2dSettings;
use rayon::prelude::*;
use std::{
    sync::{Barrier, Mutex},
    thread,
};

fn network(x: &Node) -> Node {
    let x = x.scope("conv", |x| conv(x, 16)).relu().named("features").global_avg_pool();
    let w = x.trace().parameter("dense", [16, 3], crate::initial::tests::Ramp);
    Node::call(crate::ops::LinearOp, &[&x, &w])
}

const SAMPLE: [usize; 3] = [9, 9, 16];

#[test]
fn a_session_answers_what_the_model_answers() {
    let model = build(network, &SAMPLE);
    let x = input(&[2, 9, 9, 16]);
    let inference = model.inference(2).unwrap();
    assert_eq!(inference.plan().batch(), 2);
    let mut session = inference.session();
    for _ in 0..2 {
        assert_eq!(session.predict(&x).unwrap(), model.predict(&x).unwrap().data());
    }
    let inference = model.inference_of(2, &["features", "output", "dense"]).unwrap();
    let mut session = inference.session();
    let batch = batch_of(&[2, 9, 9, 16]);
    let outputs = session.run(&batch).unwrap();
    let expected = model.run(&batch, &["features", "output", "dense"]).unwrap();
    for (name, expected) in ["features", "output", "dense"].iter().zip(&expected) {
        assert_eq!(outputs.get(name), Some(expected.data()), "{name}");
        assert_eq!(outputs.shape(name), Some(expected.shape()), "{name}");
    }
    assert_eq!((outputs.get("input"), outputs.shape("other")), (None, None));
}

#[test]
fn sessions_on_several_threads_share_weights() {
    fn shareable<T: Send + Sync>(_: &T) {}
    let model = build(network, &SAMPLE);
    let inference = model.inference(1).unwrap();
    shareable(&inference);
    shareable(&inference.session());
    let expected: Vec<Tensor> = (0..4).map(|i| model.predict(&numbered(i)).unwrap()).collect();
    thread::scope(|scope| {
        for (i, expected) in expected.iter().enumerate() {
            let mut session = inference.session();
            scope.spawn(move || {
                for _ in 0..5 {
                    assert_eq!(session.predict(&numbered(i)).unwrap(), expected.data());
                }
            });
        }
    });
}

fn numbered(i: usize) -> Tensor {
    Tensor::uniform([1, 9, 9, 16], crate::Key::new(i as u64))
}

/// Weights stay as they were, whatever becomes of the model.
#[test]
fn an_inference_outlives_its_model() {
    let mut model = build(network, &SAMPLE);
    let x = numbered(0);
    let inference: Inference = model.inference(1).unwrap();
    let before = model.predict(&x).unwrap();
    for path in ["conv.weight", "dense"] {
        model.parameters_mut().value_mut(path).unwrap().data_mut().fill(0.25);
    }
    assert_ne!(model.predict(&x).unwrap(), before);
    assert_eq!(inference.session().predict(&x).unwrap(), before.data());
    drop(model);
    assert_eq!(inference.session().predict(&x).unwrap(), before.data());
}

#[test]
fn wrong_inputs_are_sentences() {
    let model = build(network, &SAMPLE);
    let mut session = model.inference(2).unwrap().session();
    let mut sentence = |x: &Tensor| session.predict(x).unwrap_err().to_string();
    assert_eq!(
        sentence(&input(&[3, 9, 9, 16])),
        "input \"input\" has the shape [3, 9, 9, 16], expected [N, 9, 9, 16] with N = 2"
    );
    assert!(sentence(&input(&[2, 9, 16])).starts_with("input \"input\" has the shape [2, 9, 16]"));
    assert!(sentence(&Tensor::full([2, 9, 9, 16], f32::NAN)).starts_with("input \"input\" holds NaN at [0, 0, 0, 0]"));
    assert!(session.run(&Batch::new()).unwrap_err().to_string().starts_with("input \"input\" is missing"));
    assert!(model.inference_of(1, &["nothing"]).unwrap_err().to_string().starts_with("nothing is called \"nothing\""));
    let two = |t: &Trace| t.input("a", [2]) + t.input("b", [2]);
    let model = Model::trace(0, two).unwrap();
    let mut session = model.inference(1).unwrap().session();
    let x = Tensor::full([1, 2], 1.0);
    assert!(session.predict(&x).unwrap_err().to_string().starts_with("input \"b\" is missing"));
    let batch = Batch::new().with("a", &x).with("b", &x);
    assert_eq!(session.run(&batch).unwrap().get("output"), Some(&[2.0, 2.0][..]));
}

/// The input itself may be wanted, or be all there is.
#[test]
fn inputs_can_be_read_back() {
    let model = build(|x| x.flatten(), &[2, 2, 3]);
    let x = input(&[4, 2, 2, 3]);
    assert_eq!(model.inference(4).unwrap().session().predict(&x).unwrap(), x.data());
    let mut session = model.inference_of(4, &["input", "output"]).unwrap().session();
    let batch = batch_of(&[4, 2, 2, 3]);
    let outputs = session.run(&batch).unwrap();
    assert_eq!((outputs.get("input"), outputs.shape("output")), (Some(x.data()), Some(&[4, 12][..])));
}

/// Images whose network runs on several threads.
fn large(i: usize) -> Tensor {
    Tensor::uniform([2, 64, 64, 16], crate::Key::new(i as u64))
}

fn pool() -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap()
}

/// A thread that waits for a part of its run takes another item, and needs a second session then.
#[test]
fn items_of_a_parallel_iterator_share_an_inference() {
    let model = build(network, &[64, 64, 16]);
    let inference = model.inference(2).unwrap();
    let expected: Vec<Tensor> = (0..4).map(|i| model.predict(&large(i)).unwrap()).collect();
    pool().install(|| {
        (0..64usize).into_par_iter().for_each(|i| {
            assert_eq!(inference.predict(&large(i % 4)).unwrap(), expected[i % 4]);
            inference.with_session(|outer| {
                // A session within another one is a session of its own.
                let inner = inference.predict(&large((i + 1) % 4)).unwrap();
                assert_eq!(outer.predict(&large(i % 4)).unwrap(), expected[i % 4].data());
                assert_eq!(inner, expected[(i + 1) % 4]);
            });
        });
        assert!(inference.idle_sessions() <= 4, "{} sessions are kept for 4 threads", inference.idle_sessions());
    });
}

/// Every thread of the pool but one waits for a lock, and that one has it and runs.
#[test]
fn a_run_waits_for_no_thread_that_waits_for_it() {
    let model = build(network, &[64, 64, 16]);
    let inference = model.inference(2).unwrap();
    let (x, expected) = (large(0), model.predict(&large(0)).unwrap());
    let pool = pool();
    let session = Mutex::new(inference.session());
    let gate = Barrier::new(pool.current_num_threads());
    pool.broadcast(|_| {
        gate.wait();
        assert_eq!(session.lock().unwrap().predict(&x).unwrap(), expected.data());
    });
    let mut model = model;
    let mut objective = model.objective(|t| t.output().square().mean()).unwrap();
    let training = Mutex::new((&mut objective, &mut model));
    let batch = Batch::new().with("input", &x);
    pool.broadcast(|_| {
        gate.wait();
        let (objective, model) = &mut *training.lock().unwrap();
        objective.step(model, &batch).unwrap();
    });
    assert_eq!(objective.steps(), 4);
}

#[test]
fn an_inference_gives_every_wanted_value() {
    let model = build(network, &SAMPLE);
    let inference = model.inference_of(2, &["features", "output", "dense", "input"]).unwrap();
    let batch = batch_of(&[2, 9, 9, 16]);
    assert_eq!(inference.run(&batch).unwrap(), model.run(&batch, &["features", "output", "dense", "input"]).unwrap());
    let labelled = |t: &Trace| t.input("x", [2]) + t.labels("labels").trace().input("y", [2]);
    let model = Model::trace(0, labelled).unwrap();
    let x = Tensor::full([2, 2], 1.0);
    let batch = Batch::new().with("x", &x).with("y", &x).with("labels", Tensor::from(vec![3u32, 1]));
    let wanted = ["labels", "output"];
    let results = model.inference_of(2, &wanted).unwrap().run(&batch).unwrap();
    assert_eq!(results, model.run(&batch, &wanted).unwrap());
    assert_eq!(results[0].data(), [3.0, 1.0]);
}

/// A 1 × 1 convolution and a dense layer, whose columns are whole panels of any instruction set.
fn network_of_products(x: &Node) -> Node {
    let ramp = || crate::initial::tests::Ramp;
    let filter = x.trace().parameter("filter", [1, 1, 20, 96], ramp());
    let x = x.conv2d(Conv2dSettings::default(), &filter, None).relu().flatten();
    let (w, bias) = (x.trace().parameter("w", [864, 64], ramp()), x.trace().parameter("bias", [64], ramp()));
    Node::call(LinearOp, &[&x, &w, &bias]).relu()
}

#[test]
fn inference_in_bf16_answers_as_with_rounded_weights() {
    let model = build(network_of_products, &[3, 3, 20]);
    let half = model.clone().with_precision(Precision::Bf16);
    let mut rounded = model.clone();
    for name in ["filter", "w"] {
        for x in rounded.parameters_mut().value_mut(name).unwrap().data_mut() {
            let bits = x.to_bits();
            *x = f32::from_bits((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF_0000);
        }
    }
    for n in [1, 2, 33] {
        let x = input(&[n, 3, 3, 20]);
        let got = half.predict(&x).unwrap();
        assert_eq!(got, rounded.predict(&x).unwrap(), "{n} samples");
        assert_ne!(got, model.predict(&x).unwrap(), "{n} samples");
        assert_eq!(half.inference(n).unwrap().predict(&x).unwrap(), got, "{n} samples");
    }
    let (plan, exact) = (half.plan(1, &["output"]).unwrap(), model.plan(1, &["output"]).unwrap());
    assert!(plan.constant_bytes() < exact.constant_bytes() * 6 / 10, "{} bytes", plan.constant_bytes());
    assert!(plan.explain().contains("pointwise in bf16"), "{}", plan.explain());
}

#[test]
fn an_objective_of_a_model_in_bf16_is_refused_with_a_sentence() {
    let half = build(network_of_products, &[3, 3, 20]).with_precision(Precision::Bf16);
    let refused = half.objective(|t| t.output().square().mean()).unwrap_err();
    assert!(matches!(refused, Error::InferenceOnly(Precision::Bf16)));
    assert!(refused.to_string().starts_with("Precision::Bf16 rounds the weights and is for inference alone"));
    assert!(half.with_precision(Precision::Fast).objective(|t| t.output().square().mean()).is_ok());
}
