//! Backward rules from a table: networks that do not know of them, and what is fused, shared or in place.

use super::{batch_of, build, input};
use crate::{
    BackwardRules, Constant, Mode, Model, Node, Shared, Wrt, func, ops::BatchNormOp, ops::BatchNormParameters,
};

/// Returns the gradient of the sum of the output for the input, by these rules.
fn gradient(model: &Model, rules: &BackwardRules, shape: &[usize]) -> Vec<f32> {
    let mut objective =
        model.objective_with(rules, Mode::Infer, Wrt::Values(&["input"]), |t| t.output().sum()).unwrap();
    objective.evaluate(model, &batch_of(shape)).unwrap().gradient("input").unwrap().to_vec()
}

#[test]
fn guided_and_deconvnet_are_their_definitions() {
    // The upstream gradient of the first ReLU is the sign of the factor.
    let factors = |x: &Node| x.trace().parameter("w", [2], Constant(1.0)) * 1.0;
    let mut model = build(|x| x.relu() * factors(x), &[3, 2]);
    let mut sign = 1.0;
    model.parameters_mut().value_mut("w").unwrap().data_mut().iter_mut().for_each(|w| {
        *w = 2.0 * sign;
        sign = -sign;
    });
    let x = input(&[2, 3, 2]);
    let each = |rule: fn(f32, f32) -> f32| -> Vec<f32> {
        x.data().iter().enumerate().map(|(i, x)| rule(*x, if i % 2 == 0 { 2.0 } else { -2.0 })).collect()
    };
    let plain = gradient(&model, &BackwardRules::new(), &[2, 3, 2]);
    assert_eq!(plain, each(|x, dy| if x > 0.0 { dy } else { 0.0 }));
    assert_eq!(
        gradient(&model, &BackwardRules::guided(), &[2, 3, 2]),
        each(|x, dy| if x > 0.0 { dy.max(0.0) } else { 0.0 })
    );
    assert_eq!(gradient(&model, &BackwardRules::deconvnet(), &[2, 3, 2]), each(|_, dy| dy.max(0.0)));
}

#[test]
fn a_shared_relu_and_two_in_a_row_follow_the_table() {
    let open = BackwardRules::new().with("Relu", |g| vec![g.want(0, || g.dy() * 3.0)]);
    let relu = Shared::new("relu", func(|x: &Node| x.relu()));
    let model = build(|x| (x.apply("a", &relu) * -1.0).apply("b", &relu) * 0.5, &[4]);
    assert_eq!(gradient(&model, &open, &[2, 4]), [-4.5; 8]);
}

#[test]
fn what_training_fuses_follows_the_table() {
    let norm = |x: &Node| {
        let t = x.trace();
        let channels = [x.channels()];
        let parameters = BatchNormParameters {
            weight: &t.parameter("weight", channels, Constant(1.0)),
            bias: &t.parameter("bias", channels, Constant(0.25)),
            running_mean: &t.state("running_mean", channels, Constant(0.0)),
            running_variance: &t.state("running_var", channels, Constant(1.0)),
        };
        x.batch_norm(BatchNormOp::new(1e-6, 0.1), parameters)
    };
    let model = build(|x| (x + x.scope("norm", norm)).relu() * -1.0, &[2, 2, 3]);
    // The statistics are 0 and 1, so that the gradient of the sum goes to the input twice.
    let open = BackwardRules::new().with("Relu", |g| vec![g.want(0, || g.dy().clone())]);
    let twice = gradient(&model, &open, &[2, 2, 2, 3]);
    assert!(twice.iter().all(|g| (g + 2.0).abs() < 1e-5), "{twice:?}");
    assert_eq!(gradient(&model, &BackwardRules::guided(), &[2, 2, 2, 3]), [0.0; 24]);
    // A kind that is not there changes nothing.
    let absent = BackwardRules::new().with("Tanh", |_| Vec::new());
    let plain = gradient(&model, &BackwardRules::new(), &[2, 2, 2, 3]);
    assert_eq!(gradient(&model, &absent, &[2, 2, 2, 3]), plain);
}

#[test]
fn a_rule_that_answers_wrongly_is_an_error_of_the_build() {
    let model = build(|x| x.relu(), &[3]);
    let wrong = |rules: &BackwardRules| {
        let objective = model.objective_with(rules, Mode::Infer, Wrt::Values(&["input"]), |t| t.output().sum());
        objective.unwrap_err().to_string()
    };
    let none = wrong(&BackwardRules::new().with("Relu", |_| Vec::new()));
    assert!(none.contains("Relu"), "{none}");
    let other = wrong(&BackwardRules::new().with("Relu", |g| vec![Some(g.dy().sum())]));
    assert!(other.contains("Relu"), "{other}");
}
