//! L-BFGS against published iterates, and under costs of other scales.

use super::*;
use ocelli_graph::{Batch, Constant, Key, Mode, Model, Tensor, Wrt};
use std::convert::Infallible;

type Cost = fn(&[f64], &mut [f64]) -> f64;

/// Takes `count` steps; returns the iterates, starting point first.
fn iterates(start: &[f32], count: usize, scale: f64, cost: Cost) -> Vec<Vec<f32>> {
    let (mut lbfgs, mut x) = (Lbfgs::new(), start.to_vec());
    let mut all = vec![x.clone()];
    for _ in 0..count {
        let Ok(step) = lbfgs.step(&mut x, |x, gradient| -> Result<f64, Infallible> {
            let x: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
            let mut exact = vec![0.0; x.len()];
            let value = cost(&x, &mut exact);
            gradient.iter_mut().zip(exact).for_each(|(g, exact)| *g = (scale * exact) as f32);
            Ok(scale * value)
        });
        assert!(step.after < step.before || step.outcome != LbfgsOutcome::Moved, "{step:?}");
        all.push(x.clone());
    }
    all
}

fn rosenbrock(x: &[f64], gradient: &mut [f64]) -> f64 {
    let slope = x[1] - x[0] * x[0];
    gradient[0] = -400.0 * x[0] * slope - 2.0 * (1.0 - x[0]);
    gradient[1] = 200.0 * slope;
    100.0 * slope * slope + (1.0 - x[0]).powi(2)
}

const CURVATURES: [f64; 4] = [1.0, 10.0, 100.0, 3.0];

fn quadratic(x: &[f64], gradient: &mut [f64]) -> f64 {
    let mut value = 0.0;
    for ((x, a), g) in x.iter().zip(CURVATURES).zip(gradient) {
        *g = a * x - 1.0;
        value += 0.5 * a * x * x - x;
    }
    value
}

fn close(got: &[f32], expected: &[f32], tolerance: f32) {
    for (got, expected) in got.iter().zip(expected) {
        assert!((got - expected).abs() < tolerance, "{got} against {expected}");
    }
}

/// The values are those of `torch.optim.LBFGS` 2.15 with `line_search_fn="strong_wolfe"`, `lr=1` and `history_size=10`, in
/// double precision.
#[test]
fn ten_steps_are_the_published_ones() {
    let x = iterates(&[-1.2, 1.0], 10, 1.0, rosenbrock);
    close(&x[1], &[-1.0245319, 1.0716196], 1e-5);
    close(&x[2], &[-1.0284566, 1.0681875], 1e-5);
    close(&x[3], &[-1.0288795, 1.065503], 1e-5);
    close(&x[5], &[-1.0203085, 1.035277], 1e-4);
    close(&x[10], &[-0.6657085, 0.4139831], 1e-3);
    let x = iterates(&[2.0, 1.0, 1.0, 1.0], 10, 1.0, quadratic);
    close(&x[1], &[1.990991, 0.9189189, 0.1081081, 0.981982], 1e-5);
    close(&x[3], &[1.9590585, 0.6684813, -0.0439549, 0.9199883], 1e-5);
    close(&x[5], &[1.801_809, 0.0646181, -0.0001719, 0.6533301], 1e-4);
    close(&x[10], &[1.2734639, 0.1072502, 0.0063223, 0.214664], 1e-3);
}

#[test]
fn minima_are_reached() {
    close(&iterates(&[-1.2, 1.0], 45, 1.0, rosenbrock)[45], &[1.0, 1.0], 1e-3);
    let minimum: Vec<f32> = CURVATURES.iter().map(|a| (1.0 / a) as f32).collect();
    close(&iterates(&[2.0, 1.0, 1.0, 1.0], 25, 1.0, quadratic)[25], &minimum, 1e-3);
}

#[test]
fn the_scale_of_the_cost_changes_no_bit() {
    for (start, cost) in [(&[-1.2, 1.0][..], rosenbrock as Cost), (&[2.0, 1.0, 1.0, 1.0], quadratic)] {
        let expected = iterates(start, 15, 1.0, cost);
        for scale in [2f64.powi(-20), 2f64.powi(20)] {
            assert_eq!(iterates(start, 15, scale, cost), expected);
        }
    }
}

#[test]
fn a_flat_start_stays_and_says_so() {
    let (mut lbfgs, mut x) = (Lbfgs::new(), [0.0; 3]);
    let flat = |_: &[f32], gradient: &mut [f32]| -> Result<f64, Infallible> {
        gradient.fill(0.0);
        Ok(0.0)
    };
    let Ok(step) = lbfgs.step(&mut x, flat);
    assert_eq!((step.outcome, step.evaluations), (LbfgsOutcome::Stationary, 1));
    // A cost that no step lowers, with a gradient that promises one.
    let liar = |_: &[f32], gradient: &mut [f32]| -> Result<f64, Infallible> {
        gradient.fill(1.0);
        Ok(0.0)
    };
    lbfgs.reset();
    let Ok(step) = lbfgs.step(&mut x, liar);
    assert_eq!((step.outcome, x), (LbfgsOutcome::Stalled, [0.0; 3]));
}

#[test]
fn a_step_into_infinity_is_shortened() {
    let (mut lbfgs, mut x) = (Lbfgs::new().first_step(100.0), [3.0]);
    let barrier = |x: &[f32], gradient: &mut [f32]| -> Result<f64, Infallible> {
        gradient[0] = 1.0 - 1.0 / x[0];
        Ok(f64::from(x[0]) - f64::from(x[0]).ln())
    };
    for _ in 0..10 {
        let Ok(_) = lbfgs.step(&mut x, barrier);
    }
    close(&x, &[1.0], 1e-3);
}

#[test]
fn parameters_and_inputs_are_vectors() {
    let network = |x: &ocelli_graph::Node| {
        let t = x.trace();
        x * t.parameter("w", [3], Constant(0.0)) + t.parameter("b", [3], Constant(0.0))
    };
    let mut model = Model::build(network, [3], 0).unwrap();
    let x = Tensor::uniform([8, 3], Key::new(1));
    let mut target = x.clone();
    target.data_mut().iter_mut().for_each(|x| *x = 2.0 * *x - 0.5);
    let batch = Batch::new().with("input", &x).with("target", &target);
    let loss = |t: &ocelli_graph::Trace| (t.output() - t.input("target", [3])).square().mean();
    let mut objective = model.objective(loss).unwrap();
    let mut lbfgs = Lbfgs::new();
    for _ in 0..25 {
        lbfgs.step_parameters(&mut model, &mut objective, &batch).unwrap();
    }
    close(model.parameters().value("w").unwrap().data(), &[2.0; 3], 1e-3);
    close(model.parameters().value("b").unwrap().data(), &[-0.5; 3], 1e-3);

    // and back: which input gives that target?
    let mut objective = model.objective_of(Mode::Infer, Wrt::Values(&["input"]), loss).unwrap();
    let (mut found, others) = (Tensor::zeros([8, 3]), Batch::new().with("target", &target));
    let mut lbfgs = Lbfgs::new();
    for _ in 0..25 {
        let (step, reading) = lbfgs
            .step_input(&model, &mut objective, &others, ("input", &mut found), |evaluation| evaluation.loss())
            .unwrap();
        // of all evaluations of a line search, that of the input where it ended is returned
        let here = others.clone().with("input", &found);
        assert!(reading.is_none_or(|loss| f64::from(loss) == step.after));
        assert_eq!(f64::from(objective.evaluate(&model, &here).unwrap().loss()), step.after);
    }
    close(found.data(), x.data(), 2e-3);
    let wrong = Lbfgs::new().step_input(&model, &mut objective, &others, ("target", &mut target), |_| ());
    assert!(wrong.is_err());
}
