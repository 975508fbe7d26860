//! Losses against their definitions, their gradients against central differences, labels out of range.

use crate::*;
use ocelli_graph::{Batch, Key, Mode, Model, Node, Tensor, Trace, Value, Wrt};

/// The loss at `x` and its gradient, checked against central differences.
fn check(name: &str, x: Tensor, extra: &[(&str, Value)], loss: impl Fn(&Trace, &Node) -> Node) -> f32 {
    let sample = x.shape()[1..].to_vec();
    let model = Model::build(|x| x * 1.0, sample, 0).unwrap();
    let mut objective = model
        .objective_of(Mode::Train, Wrt::Values(&["output"]), |t| loss(t, &t.output()))
        .unwrap_or_else(|e| panic!("{name}: {e}"));
    let batch = |x: &Tensor| extra.iter().fold(Batch::new().with("input", x), |b, (n, v)| b.with(*n, v.clone()));
    let step = objective.evaluate(&model, &batch(&x)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let (value, gradient) = (step.loss(), step.gradient("output").unwrap().to_vec());
    let h = 1e-2;
    for (i, got) in gradient.iter().enumerate() {
        let mut at = |offset: f32| {
            let mut moved = x.clone();
            moved.data_mut()[i] += offset;
            f64::from(objective.evaluate(&model, &batch(&moved)).unwrap().loss())
        };
        let expected = (at(h) - at(-h)) / f64::from(2.0 * h);
        assert!((f64::from(*got) - expected).abs() < 1e-3 + 1e-2 * expected.abs(), "{name}[{i}]: {got}, {expected}");
    }
    value
}

fn logits() -> Tensor {
    let mut x = Tensor::uniform([4, 5], Key::new(2));
    x.data_mut().iter_mut().for_each(|v| *v *= 3.0);
    x
}

fn labels() -> Value {
    Tensor::from(vec![0u32, 4, 2, 2]).into()
}

#[test]
fn cross_entropy() {
    let plain = check("plain", logits(), &[("labels", labels())], |t, x| softmax_cross_entropy(x, &t.labels("labels")));
    let x = logits();
    let mut expected = 0.0;
    for (row, label) in x.data().chunks(5).zip([0usize, 4, 2, 2]) {
        let sum: f64 = row.iter().map(|v| f64::from(*v).exp()).sum();
        expected += (sum.ln() - f64::from(row[label])) / 4.0;
    }
    assert!((f64::from(plain) - expected).abs() < 1e-5);
    check("smooth and weighted", logits(), &[("labels", labels())], |t, x| {
        let loss = CrossEntropy::new().label_smoothing(0.1).class_weights([1.0, 2.0, 0.5, 1.0, 3.0]);
        loss.loss(x, &t.labels("labels"))
    });
}

#[test]
fn soft_labels_that_are_hard_give_the_cross_entropy_of_labels() {
    let hard = check("hard", logits(), &[("labels", labels())], |t, x| softmax_cross_entropy(x, &t.labels("labels")));
    let shares = |soft: f32| {
        let share = |at: &[usize]| if at[1] == [0, 4, 2, 2][at[0]] { 1.0 - soft } else { soft / 4.0 };
        Value::from(Tensor::from_fn([4, 5], share))
    };
    let soft = |t: &Trace, x: &Node| soft_cross_entropy(x, &t.input("labels", [5]));
    let same = check("soft labels of one class", logits(), &[("labels", shares(0.0))], soft);
    assert!((hard - same).abs() < 1e-5, "{hard} {same}");
    let spread = check("soft labels", logits(), &[("labels", shares(0.4))], soft);
    // Smoothing shares 0.5 among all five classes: each other one has 0.1.
    let smooth = check("smoothed labels", logits(), &[("labels", labels())], |t, x| {
        CrossEntropy::new().label_smoothing(0.5).loss(x, &t.labels("labels"))
    });
    assert!((spread - smooth).abs() < 1e-5, "{spread} {smooth}");
}

#[test]
fn maximum_a_posteriori_pulls_and_pushes() {
    let mut distances = logits();
    distances.data_mut().iter_mut().for_each(|v| *v = v.abs() + 0.5);
    check("map", distances, &[("labels", labels())], |t, x| maximum_a_posteriori(x, &t.labels("labels"), 2.0));
    // With one class at distance 0 and nothing else: 0 + log(e⁻ʲ + 1).
    let one = Tensor::zeros([1, 1]);
    let labels = Value::from(Tensor::from(vec![0u32]));
    let loss = check("one", one, &[("labels", labels)], |t, x| maximum_a_posteriori(x, &t.labels("labels"), 1.0));
    assert!((loss - (1.0 + (-1f32).exp()).ln()).abs() < 1e-6);
}

#[test]
fn yes_or_no() {
    let targets = Value::from(Tensor::from_vec([4, 5], [1.0, 0.0, 0.5, 1.0].repeat(5)).unwrap());
    check("logistic", logits(), &[("targets", targets)], |t, x| logistic_cross_entropy(x, &t.input("targets", [5])));
    let extreme = Tensor::from_vec([1, 2], vec![200.0, -200.0]).unwrap();
    let targets = Value::from(Tensor::from_vec([1, 2], vec![1.0, 1.0]).unwrap());
    let loss =
        check("extreme", extreme, &[("targets", targets)], |t, x| logistic_cross_entropy(x, &t.input("targets", [2])));
    assert_eq!(loss, 100.0);
}

#[test]
fn regression() {
    let target = || [("target", Value::from(Tensor::uniform([4, 5], Key::new(9))))];
    check("mse", logits(), &target(), |t, x| mse(x, &t.input("target", [5])));
    check("huber", logits(), &target(), |t, x| huber(x, &t.input("target", [5]), 0.7));
    let far = Tensor::full([1, 1], 3.0);
    let zero = [("target", Value::from(Tensor::zeros([1, 1])))];
    let loss = |delta: f32| check("far", far.clone(), &zero, move |t, x| huber(x, &t.input("target", [1]), delta));
    assert_eq!((loss(1.0), loss(10.0)), (2.5, 4.5));
}

#[test]
fn losses_compose() {
    check("composed", logits(), &[("labels", labels())], |t, x| {
        softmax_cross_entropy(x, &t.labels("labels")) + x.square().mean() * 0.1
    });
}

#[test]
fn wrong_labels_are_named() {
    let model = Model::build(|x| x.scope("head", |x| x * 1.0), [3], 0).unwrap();
    type Loss = fn(&Trace) -> Node;
    let losses: [(&str, Loss); 2] = [
        ("(SoftmaxCrossEntropy): ", |t| softmax_cross_entropy(&t.output(), &t.labels("labels"))),
        ("(MaximumAPosteriori): ", |t| maximum_a_posteriori(&t.output(), &t.labels("labels"), 1.0)),
    ];
    for (kind, loss) in losses {
        let mut objective = model.objective(loss).unwrap();
        let batch = Batch::new().with("input", Tensor::zeros([2, 3])).with("labels", Tensor::from(vec![1u32, 3]));
        let error = objective.evaluate(&model, &batch).unwrap_err().to_string();
        assert_eq!(error, format!("{kind}label 3 of sample 1 is not below the 3 classes"));
    }
}

#[test]
fn settings_and_shapes_are_checked() {
    let model = Model::build(|x| x * 1.0, [3], 0).unwrap();
    let error = |loss: &dyn Fn(&Trace) -> Node| model.objective(loss).unwrap_err().to_string();
    let smooth = |t: &Trace| CrossEntropy::new().label_smoothing(1.5).loss(&t.output(), &t.labels("y"));
    assert_eq!(error(&smooth), "(SoftmaxCrossEntropy): the label smoothing 1.5 is not in [0, 1]");
    let weights = |t: &Trace| CrossEntropy::new().class_weights([1.0, 2.0]).loss(&t.output(), &t.labels("y"));
    assert_eq!(error(&weights), "(SoftmaxCrossEntropy): 2 class weights for 3 classes");
    assert_eq!(
        error(&|t: &Trace| softmax_cross_entropy(&t.output().mean(), &t.labels("y"))),
        "(SoftmaxCrossEntropy): expected [N, classes], got [] from Mean"
    );
    assert_eq!(error(&|t: &Trace| huber(&t.output(), &t.output(), 0.0)), "(Huber): delta = 0 is not positive");
    assert!(error(&|t: &Trace| mse(&t.output(), &t.output().mean())).starts_with("(MeanSquaredError): shapes differ"));
    assert_eq!(
        error(&|t: &Trace| softmax_cross_entropy(&t.output(), &t.input("y", []))),
        "(SoftmaxCrossEntropy): expected u32, got f32 from input \"y\""
    );
}

#[test]
fn operations_show_their_settings() {
    let settings = |loss: &dyn Fn(&Trace) -> Node| -> Vec<String> {
        let model = Model::build(|x| x * 1.0, [3], 0).unwrap();
        let mut objective = model.objective_of(Mode::Train, Wrt::Values(&["output"]), loss).unwrap();
        let plan = objective.plan(&model, 2).unwrap();
        let found = plan.steps().iter().filter_map(|step| {
            let op: &dyn std::any::Any = step.op();
            let smoothing = op.downcast_ref::<ops::CrossEntropyOp>().map(|op| op.0.smoothing());
            let delta = op.downcast_ref::<ops::MeanLossBackward<ops::Huber>>().map(|op| op.0.delta);
            let j = op.downcast_ref::<ops::MaximumAPosterioriBackward>().map(|op| op.0.j);
            Some(smoothing.or(delta).or(j)?.to_string())
        });
        found.collect()
    };
    let smooth = CrossEntropy::new().label_smoothing(0.25);
    assert_eq!(settings(&|t| smooth.loss(&t.output(), &t.labels("y"))), ["0.25"]);
    assert_eq!(settings(&|t| huber(&t.output(), &t.input("y", [3]), 0.5)), ["0.5"]);
    assert_eq!(settings(&|t| maximum_a_posteriori(&t.output(), &t.labels("y"), 2.0)), ["2"]);
}

#[test]
fn arc_face_adds_a_margin_to_the_angle_of_the_label() {
    let cosines =
        Tensor::from_vec([3, 4], vec![0.9, -0.2, 0.1, 0.4, 0.3, -0.95, 0.2, 0.0, -0.5, 0.6, 0.7, -0.1]).unwrap();
    let of = |labels: [u32; 3]| Value::from(Tensor::from(labels.to_vec()));
    let loss = ArcFace { scale: 4.0, margin: 0.5 };
    // The angle of the second sample's label is beyond π − m.
    let got =
        check("arc face", cosines.clone(), &[("labels", of([0, 1, 2]))], |t, x| loss.loss(x, &t.labels("labels")));
    let mut expected = 0.0;
    for (row, label) in cosines.data().chunks(4).zip([0usize, 1, 2]) {
        let mut logits: Vec<f64> = row.iter().map(|c| 4.0 * f64::from(*c)).collect();
        let cosine = f64::from(row[label]);
        logits[label] = 4.0
            * if cosine.acos() + 0.5 <= std::f64::consts::PI {
                (cosine.acos() + 0.5).cos()
            } else {
                cosine - 0.5 * 0.5f64.sin()
            };
        expected += (logits.iter().map(|l| l.exp()).sum::<f64>().ln() - logits[label]) / 3.0;
    }
    assert!((f64::from(got) - expected).abs() < 1e-5, "{got} for {expected}");
    // At the ends of the range nothing is NaN, and without a margin it is the softmax of scaled cosines.
    let ends = Tensor::from_vec([2, 2], vec![1.0, -1.0, -1.0, 1.0]).unwrap();
    let model = Model::build(|x| x * 1.0, [2], 0).unwrap();
    for labels in [vec![0u32, 0], vec![1, 1]] {
        let mut objective = model
            .objective_of(Mode::Train, Wrt::Values(&["output"]), |t| loss.loss(&t.output(), &t.labels("labels")))
            .unwrap();
        let batch = Batch::new().with("input", &ends).with("labels", Tensor::from(labels));
        let step = objective.evaluate(&model, &batch).unwrap();
        assert!(step.loss().is_finite() && step.gradient("output").unwrap().iter().all(|g| g.is_finite()));
    }
    let plain = ArcFace { scale: 3.0, margin: 0.0 };
    let a =
        check("no margin", cosines.clone(), &[("labels", of([0, 1, 2]))], |t, x| plain.loss(x, &t.labels("labels")));
    let b = check("softmax", cosines, &[("labels", of([0, 1, 2]))], |t, x| {
        softmax_cross_entropy(&(x * 3.0), &t.labels("labels"))
    });
    assert!((a - b).abs() < 1e-6);
}

#[test]
fn cosine_heads_divide_by_both_lengths() {
    let mut model = Model::from_layer(CosineHead { classes: 2 }, [2], 0).unwrap();
    model.parameters_mut().set("weight", Tensor::from_vec([2, 2], vec![3.0, 4.0, 0.0, -7.0]).unwrap()).unwrap();
    let y = model.predict(&Tensor::from_vec([1, 2], vec![0.0, 5.0]).unwrap()).unwrap();
    assert!((y.data()[0] - 0.8).abs() < 1e-6 && (y.data()[1] + 1.0).abs() < 1e-6, "{y}");
    let error = Model::from_layer(CosineHead { classes: 0 }, [2], 0).unwrap_err().to_string();
    assert_eq!(error, "(CosineHead): a head of 0 classes");
    let wrong = Model::build(|x| x * 1.0, [3], 0).unwrap();
    let error =
        |loss: ArcFace| wrong.objective(|t| loss.loss(&t.output(), &t.labels("labels"))).unwrap_err().to_string();
    assert_eq!(error(ArcFace { scale: 0.0, margin: 0.5 }), "(ArcFace): the scale 0 is not a positive number");
    assert_eq!(error(ArcFace { scale: 64.0, margin: 2.0 }), "(ArcFace): the margin 2 is not between 0 and π/2");
}

/// The head on pairs that are one batch of both sides.
#[test]
fn verification_heads_compare_by_their_formulas() {
    let (a, b) = ([0.5f32, 0.0, -0.25], [0.25f32, 0.0, 0.5]);
    let x = Tensor::from_vec([2, 3], [a, b].concat()).unwrap();
    for difference in [Difference::Absolute, Difference::ChiSquare] {
        let compared = |x: f32, y: f32| match difference {
            Difference::Absolute => (x - y).abs(),
            Difference::ChiSquare if x == y => 0.0,
            Difference::ChiSquare => (x - y).powi(2) / (x.abs() + y.abs()),
        };
        let mut model = Model::trace(0, |t| {
            let pairs =
                t.input("input", ocelli_graph::Shape::new([ocelli_graph::Dim::Batch(2), ocelli_graph::Dim::Fixed(3)]));
            VerificationHead { difference }.apply("head", &pairs.split_batch(0, 2), &pairs.split_batch(1, 2))
        })
        .unwrap();
        let weights = Tensor::from_vec([3, 1], vec![1.0, 2.0, -3.0]).unwrap();
        model.parameters_mut().set("head.weight", weights).unwrap();
        model.parameters_mut().set("head.bias", Tensor::from(vec![0.25])).unwrap();
        let sum: f32 = a.iter().zip(&b).zip([1.0, 2.0, -3.0]).map(|((x, y), w)| w * compared(*x, *y)).sum();
        let batch = Batch::new().with("input", &x).with("same", Tensor::from_vec([1, 1], vec![1.0]).unwrap());
        let logit = model.run(&batch, &["output"]).unwrap()[0].data()[0];
        assert!((logit - (sum + 0.25)).abs() < 1e-6);
        // Where both features are the same, also both zero, nothing is NaN.
        let loss = |t: &Trace| logistic_cross_entropy(&t.output(), &t.input("same", [1]));
        let mut objective = model.objective_of(Mode::Train, Wrt::Values(&["input"]), loss).unwrap();
        let step = objective.evaluate(&model, &batch).unwrap();
        assert!(step.gradient("input").unwrap().iter().all(|g| g.is_finite()), "{difference:?}");
    }
}
