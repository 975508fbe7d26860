//! Sessions of a network that is only run any more.

use super::{batch_of, build, conv, input};
use crate::{Batch, Inference, Model, Node, Shape, Tensor, Trace};
use std::thread;

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
    let two = |t: &Trace| t.input("a", Shape::batch(&[2])) + t.input("b", Shape::batch(&[2]));
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
