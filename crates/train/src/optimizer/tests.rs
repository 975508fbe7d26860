use super::*;
use ocelli_graph::{Batch, Constant, Model, Tensor};

/// Two parameters, `a.weight` and `a.bias`, of one number each.
fn model() -> Model {
    let network = |x: &ocelli_graph::Node| {
        x.scope("a", |x| {
            let t = x.trace();
            x * t.parameter("weight", [1], Constant(1.0)) + t.parameter("bias", [1], Constant(1.0))
        })
    };
    Model::build(network, [1], 0).unwrap()
}

struct Fixed(Vec<(&'static str, Vec<f32>)>);

impl Gradients for Fixed {
    fn each(&self, f: &mut dyn FnMut(&str, &[f32])) {
        self.0.iter().for_each(|(path, gradient)| f(path, gradient));
    }
}

fn values(model: &Model) -> (f32, f32) {
    let at = |path: &str| model.parameters().value(path).unwrap().data()[0];
    (at("a.weight"), at("a.bias"))
}

fn both(weight: f32, bias: f32) -> Fixed {
    Fixed(vec![("a.weight", vec![weight]), ("a.bias", vec![bias])])
}

#[test]
fn groups_and_schedules_change_rate_and_decay() {
    let mut model = model();
    let mut sgd =
        Sgd::new(0.1).weight_decay(1.0).group(Group::new("*.bias").rate(2.0).weight_decay(WeightDecay::Coupled(0.0)));
    sgd.step(&mut model, &both(1.0, 1.0)).unwrap();
    let (weight, bias) = values(&model);
    assert!((weight - (1.0 - 0.1 * 2.0)).abs() < 1e-6 && (bias - (1.0 - 0.2)).abs() < 1e-6, "{weight} {bias}");
    sgd.set_rate_factor(0.5);
    assert_eq!(sgd.learning_rate(), 0.05);
}

#[test]
fn clipping_bounds_values_or_the_norm() {
    let after = |clip| {
        let mut model = model();
        Sgd::new(1.0).clip(clip).step(&mut model, &both(3.0, -4.0)).unwrap();
        values(&model)
    };
    assert_eq!(after(Clip::Value(0.5)), (0.5, 1.5));
    let (weight, bias) = after(Clip::Norm(1.0));
    assert!((weight - 0.4).abs() < 1e-6 && (bias - 1.8).abs() < 1e-6, "{weight} {bias}");
    assert_eq!(after(Clip::Norm(10.0)), (-2.0, 5.0));
}

#[test]
fn state_moves_from_one_optimiser_to_the_next() {
    let (mut one, mut two) = (model(), model());
    let mut first = Adam::new(0.1);
    for _ in 0..3 {
        first.step(&mut one, &both(1.0, -2.0)).unwrap();
    }
    let mut a = Adam::new(0.1);
    a.step(&mut two, &both(1.0, -2.0)).unwrap();
    let mut b = Adam::new(0.1);
    b.set_state(a.state().clone()).unwrap();
    for _ in 0..2 {
        b.step(&mut two, &both(1.0, -2.0)).unwrap();
    }
    assert_eq!(values(&one), values(&two));
    assert_eq!(b.state_bytes(), 2 * 2 * 4);
    let error = RmsProp::new(0.1).set_state(a.state().clone()).unwrap_err().to_string();
    assert_eq!(error, "the state of Adam cannot be restored into RmsProp");
    let mut broken = a.state().clone();
    broken.slots.insert("a.weight".into(), vec![vec![0.0; 3]; 2]);
    b.set_state(broken).unwrap();
    let error = b.step(&mut two, &both(1.0, 1.0)).unwrap_err().to_string();
    assert!(error.starts_with("the state of the optimiser for a.weight"), "{error}");
}

#[test]
fn foreign_gradients_are_refused() {
    let error = |g: Fixed| Sgd::new(0.1).step(&mut model(), &g).unwrap_err().to_string();
    assert_eq!(error(Fixed(vec![("b", vec![1.0])])), "there is a gradient of 1 elements for b, which has 0");
    assert_eq!(
        error(Fixed(vec![("a.bias", vec![1.0, 2.0])])),
        "there is a gradient of 2 elements for a.bias, which has 1"
    );
}

/// Every optimiser finds the least square.
#[test]
fn all_of_them_descend() {
    let optimisers: Vec<(&str, Box<dyn Optimizer>)> = vec![
        ("sgd", Box::new(Sgd::new(0.1))),
        ("momentum", Box::new(Sgd::new(0.02).momentum(0.9))),
        ("nesterov", Box::new(Sgd::new(0.02).momentum(0.9).nesterov())),
        ("alexnet", Box::new(Sgd::new(0.02).momentum(0.9).form(ocelli_kernels::optimizer::Momentum::InsideVelocity))),
        ("adam", Box::new(Adam::new(0.05))),
        ("adamw", Box::new(AdamW::new(0.05))),
        ("rmsprop", Box::new(RmsProp::new(0.02))),
        ("adagrad", Box::new(AdaGrad::new(0.3))),
    ];
    for (name, mut optimiser) in optimisers {
        let mut model = model();
        let mut objective = model.objective(|t| t.output().square().mean()).unwrap();
        let batch = Batch::new().with("input", Tensor::from_vec([2, 1], vec![1.0, -0.5]).unwrap());
        let first = objective.evaluate(&model, &batch).unwrap().loss();
        for _ in 0..100 {
            let step = objective.step(&mut model, &batch).unwrap();
            optimiser.step(&mut model, &step).unwrap();
        }
        let last = objective.evaluate(&model, &batch).unwrap().loss();
        assert!(last < 0.02 * first, "{name}: {first} to {last}");
    }
}

#[test]
fn frozen_parameters_are_left_alone() {
    let mut model = model();
    model.freeze("a.bias").unwrap();
    let mut sgd = Sgd::new(0.1).momentum(0.9).clip(Clip::Norm(1.0));
    sgd.step(&mut model, &both(1.0, 1e30)).unwrap();
    let (weight, bias) = values(&model);
    assert!((weight - 0.9).abs() < 1e-6, "a frozen gradient counts for the norm: {weight}");
    assert_eq!((bias, sgd.state().slots.len()), (1.0, 1));
    model.freeze("").unwrap();
    let error = sgd.step(&mut model, &both(1.0, 1.0)).unwrap_err().to_string();
    let nothing = "nothing is trained: there is no gradient for a parameter that is not frozen; `model.unfreeze(path)` leaves a layer to be \
                   trained, and objectives are made after it";
    assert_eq!(error, nothing);
    let mut objective = model.objective(|t| t.output().mean()).unwrap();
    let step = objective.step(&mut model, &Batch::new().with("input", Tensor::zeros([1, 1]))).unwrap();
    assert_eq!(sgd.step(&mut model, &step).unwrap_err().to_string(), nothing);
}

/// Whatever a step is refused for, neither the model nor what the optimiser remembers has changed.
#[test]
fn a_refused_step_changes_nothing() {
    let refused = |sgd: Sgd, gradients: Fixed| {
        let (mut model, mut sgd) = (model(), sgd.momentum(0.9));
        let error = sgd.step(&mut model, &gradients).unwrap_err().to_string();
        assert_eq!(values(&model), (1.0, 1.0), "{error}");
        assert_eq!(sgd.state(), Sgd::new(0.1).state(), "{error}");
        error
    };
    let sgd = || Sgd::new(0.1);
    assert_eq!(refused(sgd(), both(1.0, f32::NAN)), "the gradient of a.bias holds NaN; nothing was updated");
    assert_eq!(
        refused(sgd().clip(Clip::Value(1.0)), both(f32::INFINITY, 1.0)),
        "the gradient of a.weight holds inf; nothing was updated"
    );
    assert_eq!(refused(Sgd::new(f32::NAN), both(1.0, 1.0)), "the learning rate for a.weight is NaN");
    let only_bias = Group::new("*.bias").rate(f32::INFINITY);
    assert_eq!(refused(sgd().group(only_bias), both(1.0, 1.0)), "the learning rate for a.bias is inf");
    let second = Fixed(vec![("a.weight", vec![1.0]), ("a.bias", vec![1.0, 2.0])]);
    assert!(refused(sgd(), second).starts_with("there is a gradient of 2 elements for a.bias"));
}
