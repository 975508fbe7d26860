//! Constants: values that plans compute of parameters alone, and share.

use super::{
    build,
    inference_fusion::{Convolution, batch_norm, conv},
    input,
};
use crate::{Model, Node, Plan, Tensor, execute::Constants, initial::tests::Ramp};
use ocelli_kernels::conv::{ALGORITHMS, Algorithm, Conv2dGeometry, Conv2dSettings, Padding, Pass};
use std::sync::Arc;

const SAMPLE: [usize; 3] = [12, 12, 16];

fn network(x: &Node) -> Node {
    let block = |x: &Node, c: Convolution| x.scope("conv", |x| conv(x, c)).scope("bn", batch_norm).relu();
    let x = x.scope("a", |x| block(x, Convolution::new(32, 3)));
    let x = x.scope("b", |x| block(x, Convolution::new(32, 1)));
    let w = x.trace().parameter("dense", [32, 5], Ramp);
    x.named("features").global_avg_pool().matmul(&w)
}

fn constants(model: &Model, n: usize, wanted: &[&str]) -> (Arc<Plan>, Arc<Constants>) {
    let plan = model.plan(n, wanted).unwrap();
    let constants = model.constants_of(&plan).unwrap();
    (plan, constants)
}

fn images(n: usize) -> Tensor {
    input(&[n, 12, 12, 16])
}

/// Where each constant lies, by its recipe.
fn places((plan, constants): &(Arc<Plan>, Arc<Constants>)) -> Vec<(Arc<str>, *const f32)> {
    let list = plan.constants.list().iter().enumerate();
    list.map(|(number, constant)| (constant.recipe.clone().unwrap(), constants.get(number).as_ptr())).collect()
}

#[test]
fn plans_share_what_is_equal_in_them() {
    let model = build(network, &SAMPLE);
    let (one, nine) = (constants(&model, 1, &["output"]), constants(&model, 9, &["output"]));
    let (first, second) = (places(&one), places(&nine));
    let shared = second.iter().filter(|place| first.contains(place)).count();
    let equal = second.iter().filter(|(recipe, _)| first.iter().any(|(known, _)| known == recipe)).count();
    // The biases of two convolutions, and the 1 × 1 filter at least.
    assert!(shared == equal && shared >= 3, "{shared} of {equal} are shared: {first:?} and {second:?}");
    for (n, before) in [(1, &one), (9, &nine), (1, &one)] {
        assert!(Arc::ptr_eq(&constants(&model, n, &["output"]).1, &before.1), "computed anew for {n}");
    }
}

#[test]
fn shared_constants_have_the_bits_of_ones_own() {
    let model = build(network, &SAMPLE);
    for wanted in [&["output"][..], &["features", "output"], &["b.conv", "output"], &["output"]] {
        for n in [1, 9, 2, 1, 33] {
            let batch = crate::Batch::new().with("input", images(n));
            let alone = model.clone();
            assert_eq!(model.run(&batch, wanted).unwrap(), alone.run(&batch, wanted).unwrap(), "{wanted:?} for {n}");
        }
    }
}

#[test]
fn what_is_kept_is_bounded_and_goes_with_the_parameters() {
    let mut model = build(network, &SAMPLE);
    let first = Arc::downgrade(&constants(&model, 1, &["output"]).1);
    let last: Vec<_> = (2..=12).map(|n| Arc::downgrade(&constants(&model, n, &["output"]).1)).collect();
    assert!(first.upgrade().is_none() && last[0].upgrade().is_none(), "all are kept");
    assert!(last[9].upgrade().is_some() && last[10].upgrade().is_some(), "none is kept");
    let before = model.predict(&images(12)).unwrap();
    model.parameters_mut().value_mut("dense").unwrap().data_mut().fill(0.5);
    assert!(last.iter().all(|constants| constants.upgrade().is_none()), "some outlive their parameters");
    assert_ne!(model.predict(&images(12)).unwrap(), before);
}

/// Filters of several pieces, which threads fold side by side.
#[test]
fn constants_have_the_same_bits_on_any_number_of_threads() {
    let network = |x: &Node| x.scope("conv", |x| conv(x, Convolution::new(259, 3))).scope("bn", batch_norm);
    let model = build(network, &[5, 5, 129]);
    let x = input(&[1, 5, 5, 129]);
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| model.clone().inference(1).unwrap().session().predict(&x).unwrap().to_vec())
    };
    let one = on(1);
    assert!([2, 3, 8].into_iter().all(|threads| on(threads) == one));
    let filter = model.parameters().value("conv.weight").unwrap();
    assert!(filter.len() > 2 << 17, "{} elements are one piece", filter.len());
}

/// That forms of one name are the same for any number of samples is what sharing relies on.
#[test]
fn forms_do_not_depend_on_the_number_of_samples() {
    let prepared = |algorithm: &dyn Algorithm, g: &Conv2dGeometry, pass, w: &[f32]| {
        let mut form = vec![f32::NAN; algorithm.prepared_len(g, pass)];
        algorithm.prepare(g, pass, w, &mut form);
        form.into_iter().map(f32::to_bits).collect::<Vec<_>>()
    };
    for (kernel, stride, groups, channels) in
        [(3, 1, 1, [5, 40]), (1, 1, 1, [40, 17]), (5, 2, 1, [3, 9]), (3, 1, 4, [8, 8])]
    {
        let padding = Padding::uniform(kernel / 2);
        let settings =
            Conv2dSettings { stride_h: stride, stride_w: stride, groups, padding, ..Conv2dSettings::default() };
        let filter = [kernel, kernel, channels[0] / groups, channels[1]];
        let w = input(&filter);
        let geometry = |n| Conv2dGeometry::new(&settings, [n, 13, 13, channels[0]], filter).unwrap();
        for &algorithm in ALGORITHMS {
            for pass in [Pass::Forward, Pass::BackwardData] {
                if !algorithm.supports(&geometry(1), pass) {
                    continue;
                }
                let form = prepared(algorithm, &geometry(1), pass, w.data());
                for n in [2, 9, 64] {
                    let other = prepared(algorithm, &geometry(n), pass, w.data());
                    assert!(form == other, "{} {pass:?}: {filter:?} for {n}", algorithm.name());
                }
            }
        }
    }
}

/// Two batch sizes in turns, as the shards of a batch have them, and weights that change in between.
#[test]
fn weights_that_are_prepared_once_give_the_same_bits() {
    let mut model = build(network, &SAMPLE);
    let loss = |t: &crate::Trace| t.output().square().mean();
    let (mut each, mut once) = (model.objective(loss).unwrap(), model.objective(loss).unwrap().preparing_once());
    assert!(once.plan(&model, 9).unwrap().constant_bytes() > 0, "a 3 × 3 filter is prepared");
    for step in 0..3 {
        for n in [9, 4, 9] {
            let batch = crate::Batch::new().with("input", images(n));
            let bits = |step: crate::Step<'_>| {
                let gradients = step.gradients().flat_map(|(_, gradient)| gradient.iter().map(|x| x.to_bits()));
                (step.loss().to_bits(), gradients.collect::<Vec<_>>())
            };
            let expected = bits(each.evaluate(&model, &batch).unwrap());
            assert!(bits(once.evaluate(&model, &batch).unwrap()) == expected, "step {step}, {n} samples");
        }
        let weights = model.parameters_mut().value_mut("dense").unwrap().data_mut();
        weights.iter_mut().for_each(|weight| *weight *= 0.5);
        let filter = model.parameters_mut().value_mut("a.conv.weight").unwrap().data_mut();
        filter.iter_mut().for_each(|weight| *weight -= 0.01);
    }
}
