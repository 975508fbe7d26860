//! Softmax and its losses, sums and their adjoint, broadcasts, functions of elements, copies and optimisers.

use super::{check, each_case, unwritten};
use crate::Accumulate;
use crate::broadcast::{Binary, Broadcast, binary};
use crate::copy::{BlockCopy, copy_blocks};
use crate::dropout::dropout;
use crate::elementwise::testing::numbers;
use crate::elementwise::{Source, Unary, unary, unary_backward};
use crate::finite::first_non_finite;
use crate::optimizer::{AdamStep, GradientTransform, Momentum, SgdStep, WeightDecay, adam, sgd, sum_of_squares};
use crate::reduce::{Reduction, spread, sum};
use crate::softmax::{
    CrossEntropy, cross_entropy_backward, cross_entropy_forward, log_softmax, log_softmax_backward, softmax,
    softmax_backward,
};

#[test]
fn rows() {
    each_case(60, |draw| {
        let (rows, classes) = (draw.between(1..=60), draw.between(1..=120));
        let (x, dy, weights) = (numbers(rows * classes, 1), numbers(rows * classes, 2), numbers(classes, 3));
        let labels: Vec<u32> = (0..rows).map(|_| draw.between(0..=classes - 1) as u32).collect();
        let smoothing = draw.one_of(&[0.0, 0.1]);
        let what = format!("rows of [{rows}, {classes}]");
        check(&what, &[&x, &dy, &weights], &|| vec![unwritten(x.len()); 6], &|inputs, outputs| {
            let &[x, dy, weights] = inputs else { unreachable!("three inputs") };
            let [p, log, dx, of_log, of_loss, of_classes] = outputs else { unreachable!("six outputs") };
            softmax(Source::Slice(x), p, classes);
            log_softmax(Source::Slice(x), log, classes);
            softmax_backward(p, Source::Slice(dy), dx, classes);
            log_softmax_backward(log, Source::Slice(dy), of_log, classes);
            let loss = CrossEntropy { classes, class_weights: Some(weights), smoothing };
            cross_entropy_forward(loss, x, &labels, of_classes).expect("labels are classes");
            cross_entropy_backward(loss, of_classes, &labels, 1.0, of_loss);
        });
    });
}

#[test]
fn sums() {
    each_case(80, |draw| {
        let dims: Vec<usize> = (0..draw.between(1..=4)).map(|_| draw.between(1..=30)).collect();
        let axes: Vec<usize> = (0..dims.len()).filter(|_| draw.once_in(2)).collect();
        let g = Reduction::new(&dims, &axes).expect("axes are the shape's");
        let (x, dy) = (numbers(g.length(), 1), numbers(g.reduced_length(), 2));
        let outputs = || vec![unwritten(dy.len()), dy.clone(), unwritten(x.len()), x.clone()];
        check(&format!("{dims:?} over {axes:?}"), &[&x, &dy], &outputs, &|inputs, outputs| {
            let [y, added, dx, dx_added] = outputs else { unreachable!("four outputs") };
            sum(&g, inputs[0], y, 0.5, Accumulate::Set);
            sum(&g, inputs[0], added, 0.5, Accumulate::Add);
            spread(&g, inputs[1], dx, 0.5, Accumulate::Set);
            spread(&g, inputs[1], dx_added, 0.5, Accumulate::Add);
        });
    });
}

#[test]
fn broadcasts() {
    each_case(80, |draw| {
        let dims: Vec<usize> = (0..draw.between(1..=4)).map(|_| draw.between(1..=20)).collect();
        let mut some = |dims: &[usize]| dims.iter().map(|&size| if draw.once_in(3) { 1 } else { size }).collect();
        let (a, b): (Vec<usize>, Vec<usize>) = (some(&dims), some(&dims[dims.len() / 2..]));
        let g = Broadcast::new(&a, &b).expect("sizes are equal or 1");
        let (left, right) = (numbers(a.iter().product(), 1), numbers(b.iter().product(), 2));
        check(&format!("{a:?} and {b:?}"), &[&left, &right], &|| vec![unwritten(g.length())], &|x, y| {
            binary(Binary::Sub, &g, Source::Slice(x[0]), Source::Slice(x[1]), y[0]);
        });
    });
}

#[test]
fn elements() {
    each_case(100, |draw| {
        let length = draw.between(0..=150);
        let (x, dy) = (numbers(length, 1), numbers(length, 2));
        let op = draw.one_of(&[Unary::Gelu, Unary::Tanh, Unary::Elu(0.5), Unary::Exp, Unary::Abs]);
        check(&format!("{op:?} of {length}"), &[&x, &dy], &|| vec![x.clone(); 4], &|inputs, outputs| {
            let [y, in_place, dx, dropped] = outputs else { unreachable!("four outputs") };
            unary(op, Source::Slice(inputs[0]), y);
            unary(op, Source::InPlace, in_place);
            unary_backward(op, inputs[0], Source::Slice(inputs[1]), dx);
            dropout(3, 0.5, Source::Slice(inputs[0]), dropped);
            assert!(first_non_finite(inputs[0]).is_none() && sum_of_squares(inputs[0]).is_finite());
        });
        let gradient = GradientTransform::default();
        let sgd_step = SgdStep {
            learning_rate: 0.1,
            momentum: 0.9,
            rule: Momentum::Nesterov,
            weight_decay: WeightDecay::Coupled(0.1),
            gradient,
        };
        let adam_step = AdamStep {
            learning_rate: 0.1,
            beta1: 0.9,
            beta2: 0.999,
            bias_correction1: 0.1,
            bias_correction2: 0.001,
            epsilon: 1e-8,
            weight_decay: WeightDecay::Decoupled(0.1),
            gradient,
        };
        check(
            &format!("{length} parameters"),
            &[&dy],
            &|| vec![dy.iter().map(|g| g.abs()).collect(); 5],
            &|g, state| {
                let [w, velocity, v, m, s] = state else { unreachable!("five outputs") };
                sgd(w, g[0], Some(velocity), &sgd_step);
                adam(v, g[0], m, s, &adam_step);
            },
        );
    });
}

#[test]
fn copies() {
    each_case(100, |draw| {
        let [block, gap, other_gap] = [0; 3].map(|_| draw.between(0..=40));
        let count = draw.between(1..=9);
        let (source_stride, destination_stride) = (block + gap, block + other_gap);
        let length = |stride: usize| if block == 0 { 0 } else { (count - 1) * stride + block };
        let g = BlockCopy { source_offset: 0, source_stride, destination_offset: 0, destination_stride, block, count };
        let (x, y) = (numbers(length(source_stride), 1), numbers(length(destination_stride), 2));
        let accumulate = draw.one_of(&[Accumulate::Set, Accumulate::Add]);
        check(&format!("{g:?} {accumulate:?}"), &[&x], &|| vec![y.clone()], &|x, y| {
            copy_blocks(&g, x[0], y[0], accumulate);
        });
    });
}
