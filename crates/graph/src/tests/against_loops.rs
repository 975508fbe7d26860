//! Operations against loops over their definitions, with their gradients at kinks and their sentences.

use super::{build, input, mistake};
use crate::{Axis, Batch, Error, Mode, Model, Node, Tensor, Wrt, ops::Interpolation};

/// The result of a network for one tensor.
fn run(network: impl FnOnce(&Node) -> Node, x: &Tensor) -> Tensor {
    build(network, &x.shape()[1..]).predict(x).unwrap_or_else(|error| panic!("{error}"))
}

/// The gradient of the sum of a network's result.
fn gradient(network: impl FnOnce(&Node) -> Node, x: &Tensor) -> Vec<f32> {
    let model = build(network, &x.shape()[1..]);
    let mut objective = model.objective_of(Mode::Train, Wrt::Values(&["input"]), |t| t.output().sum()).unwrap();
    let batch = Batch::new().with("input", x);
    objective.evaluate(&model, &batch).unwrap().gradient("input").unwrap().to_vec()
}

fn row(values: &[f32]) -> Tensor {
    Tensor::from_vec([1, values.len()], values.to_vec()).unwrap()
}

fn shape_of(model: &Model) -> String {
    let output = model.graph().find("output").unwrap();
    model.graph().values[output].shape.to_string()
}

fn assert_close(got: &Tensor, expected: &Tensor) {
    assert_eq!(got.shape(), expected.shape());
    let near = got.data().iter().zip(expected.data()).all(|(a, b)| (a - b).abs() < 1e-5);
    assert!(near, "{:?} is not {:?}", got.data(), expected.data());
}

#[test]
fn equal_operands_of_an_extremum_share_the_gradient() {
    let x = row(&[-1.0, 0.0, 2.0]);
    assert_eq!(gradient(|x| x.maximum(0.0), &x), [0.0, 0.5, 1.0]);
    assert_eq!(gradient(|x| x.minimum(0.0), &x), [1.0, 0.5, 0.0]);
    assert_eq!(gradient(|x| x.maximum(x) * 3.0, &x), [3.0; 3]);
}

#[test]
fn the_gradient_of_a_clamp_is_one_on_its_bounds() {
    let x = row(&[-1.5, -1.0, 0.0, 2.0, 2.5]);
    assert_eq!(gradient(|x| x.clamp(-1.0, 2.0), &x), [0.0, 1.0, 1.0, 1.0, 0.0]);
    assert_eq!(run(|x| x.clamp(f32::NEG_INFINITY, 0.0), &x).data(), [-1.5, -1.0, 0.0, 0.0, 0.0]);
}

#[test]
fn masks_are_ones_and_zeros_without_a_gradient() {
    let x = row(&[-1.0, 0.5, 0.5, 2.0]);
    type Case = (fn(&Node) -> Node, [f32; 4]);
    let cases: [Case; 6] = [
        (|x| x.greater(0.5), [0.0, 0.0, 0.0, 1.0]),
        (|x| x.greater_or_equal(0.5), [0.0, 1.0, 1.0, 1.0]),
        (|x| x.less(0.5), [1.0, 0.0, 0.0, 0.0]),
        (|x| x.less_or_equal(0.5), [1.0, 1.0, 1.0, 0.0]),
        (|x| x.equal(0.5), [0.0, 1.0, 1.0, 0.0]),
        (|x| x.not_equal(x.shift(0.0)), [0.0; 4]),
    ];
    for (network, expected) in cases {
        assert_eq!(run(network, &x).data(), expected);
    }
    assert_eq!(gradient(|x| x.square() * x.greater(0.0), &x), [0.0, 1.0, 1.0, 4.0]);
    let model = build(|x| x.greater(0.0), &[4]);
    let objective = model.objective_of(Mode::Train, Wrt::Values(&["input"]), |t| t.output().sum());
    assert!(matches!(objective, Err(Error::NothingToTrain(_))), "nothing depends on the input by a gradient");
}

#[test]
fn masks_and_extrema_broadcast() {
    let x = input(&[2, 2, 3, 2]);
    let mean = |x: &Node| x.mean_keeping(&[Axis::H, Axis::W]);
    let got = run(|x| x.maximum(mean(x)) + x.greater(mean(x)), &x);
    let expected = Tensor::from_fn([2, 2, 3, 2], |i| {
        let pixels = (0..6).map(|p| x[[i[0], p / 3, p % 3, i[3]]]);
        let (mean, own) = (pixels.sum::<f32>() / 6.0, x[[i[0], i[1], i[2], i[3]]]);
        own.max(mean) + f32::from(own > mean)
    });
    assert_close(&got, &expected);
}

#[test]
fn reductions_keep_their_axes_with_size_one() {
    let shape = |network: fn(&Node) -> Node| shape_of(&build(network, &[4, 5, 3]));
    assert_eq!(shape(|x| x.sum_keeping(&[Axis::C])), "[N, 4, 5, 1]");
    assert_eq!(shape(|x| x.mean_keeping(&[Axis::H, Axis::W, Axis::H])), "[N, 1, 1, 3]");
    assert_eq!(shape(|x| x.sum_keeping(&[Axis::N])), "[1, 4, 5, 3]");
    assert_eq!(shape(|x| x - x.mean_keeping(&[Axis::N, Axis::C])), "[N, 4, 5, 3]");
    let x = input(&[3, 2, 4]);
    let expected = Tensor::from_fn([3, 2, 1], |i| (0..4).map(|c| x[[i[0], i[1], c]]).sum());
    assert_close(&run(|x| x.sum_keeping(&[Axis::C]), &x), &expected);
}

#[test]
fn rows_of_norm_zero_have_a_finite_gradient() {
    let x = Tensor::from_vec([2, 2], vec![0.0, 0.0, 3.0, 4.0]).unwrap();
    let got = gradient(|x| x.l2_normalised(0.5), &x);
    assert_eq!(got[..2], [2.0; 2], "dy / ε");
    assert!((got[2] - 0.032).abs() < 1e-6 && (got[3] + 0.024).abs() < 1e-6, "{got:?}");
}

#[test]
fn products_for_each_sample_against_loops() {
    let x = input(&[3, 2, 4, 5]);
    let own =
        Tensor::from_fn([3, 2, 4, 4], |i| (0..5).map(|k| x[[i[0], i[1], i[2], k]] * x[[i[0], i[1], i[3], k]]).sum());
    assert_close(&run(|x| x.matmul_transposed(x), &x), &own);
    let across =
        Tensor::from_fn([3, 2, 5, 5], |i| (0..4).map(|k| x[[i[0], i[1], k, i[2]]] * x[[i[0], i[1], k, i[3]]]).sum());
    assert_close(&run(|x| x.transposed_matmul(x), &x), &across);
    assert_close(&run(|x| x.matmul_transposed(x).matmul(x), &x), &run(|x| x.matmul(&x.transposed_matmul(x)), &x));
}

#[test]
fn gram_matrices_against_loops() {
    let x = input(&[2, 3, 4, 5]);
    let expected = Tensor::from_fn([2, 5, 5], |i| {
        let pixels = (0..12).map(|p| (p / 4, p % 4));
        pixels.map(|(h, w)| x[[i[0], h, w, i[1]]] * x[[i[0], h, w, i[2]]]).sum::<f32>() / (3.0 * 4.0 * 5.0)
    });
    assert_close(&run(Node::gram, &x), &expected);
}

#[test]
fn stacks_and_concatenations_over_any_axis_against_loops() {
    let x = input(&[2, 3, 4]);
    for axis in 1..=3 {
        let got = run(|x| Node::stack(&[x, &x.scale(2.0), &x.scale(3.0)], Axis::Index(axis)), &x);
        let mut shape = vec![2, 3, 4];
        shape.insert(axis, 3);
        let expected = Tensor::from_fn(shape, |i| {
            let mut rest = i.to_vec();
            let which = rest.remove(axis);
            x[[rest[0], rest[1], rest[2]]] * (which + 1) as f32
        });
        assert_eq!(got, expected);
    }
    for axis in 0..3 {
        let got = run(|x| Node::concat(&[x, &x.scale(2.0)], Axis::Index(axis)), &x);
        let mut shape = vec![2, 3, 4];
        let size = shape[axis];
        shape[axis] *= 2;
        let expected = Tensor::from_fn(shape, |i| {
            let (mut rest, which) = (i.to_vec(), i[axis] / size);
            rest[axis] %= size;
            x[[rest[0], rest[1], rest[2]]] * (which + 1) as f32
        });
        assert_eq!(got, expected);
    }
    assert_eq!(shape_of(&build(|x| Node::stack(&[x; 3], Axis::C), &[8, 9])), "[N, 8, 9, 3]");
}

#[test]
fn one_hot_rows_compose_a_loss() {
    let model = build(|x| x.log_softmax(), &[3]);
    let loss = |t: &crate::Trace| -(t.output() * t.labels("labels").one_hot(3)).sum_over(&[Axis::C]).mean();
    let mut objective = model.objective_of(Mode::Train, Wrt::Values(&["input"]), loss).unwrap();
    let batch = Batch::new().with("input", Tensor::zeros([2, 3])).with("labels", Tensor::from(vec![2u32, 0]));
    let step = objective.evaluate(&model, &batch).unwrap();
    assert!((step.loss() - 3f32.ln()).abs() < 1e-6);
    let wrong = batch.with("labels", Tensor::from(vec![0u32, 7]));
    let error = objective.evaluate(&model, &wrong).unwrap_err().to_string();
    assert_eq!(error, "(OneHot): label 7 of sample 1 is not below the 3 classes");
}

#[test]
fn shapes_that_an_operation_cannot_have_are_sentences() {
    let most = usize::MAX / 16;
    type Case = (&'static str, fn(&Node) -> Node);
    let cases: [Case; 17] = [
        (
            "(Maximum): shapes differ on axis C (8 and 3): [N, 4, 4, 8] from input \"input\" and [N, 4, 4, 3] from Slice",
            |x| x.maximum(x.slice(Axis::C, 0..3)),
        ),
        (
            "(Greater): shapes differ on axis H (4 and 2): [N, 4, 4, 8] from input \"input\" and [N, 2, 4, 8] from Slice",
            |x| x.greater(x.slice(Axis::H, 0..2)),
        ),
        ("(Clamp): there is no number from 1 to 0", |x| x.clamp(1.0, 0.0)),
        ("(Clamp): there is no number from NaN to 0", |x| x.clamp(f32::NAN, 0.0)),
        ("(L2Normalised): the epsilon 0 is no positive number", |x| x.l2_normalised(0.0)),
        ("(L2Normalised): expected […, C], got [] from Mean", |x| x.mean().l2_normalised(1e-6)),
        ("(Reduce): there is no axis H in [N, 8]", |x| x.global_avg_pool().mean_keeping(&[Axis::H])),
        ("(OneHot): expected u32, got f32 from input \"input\"", |x| x.one_hot(3)),
        ("(OneHot): a label cannot be one of 0 classes", |x| x.trace().labels("labels").one_hot(0)),
        ("(Gram): expected [N, H, W, C], got [N, 128] from Reshape", |x| x.flatten().gram()),
        ("(Stack): a new axis N would push the samples of [N, 4, 4, 8] off the first place; see `concat`", |x| {
            Node::stack(&[x, x], Axis::N)
        }),
        ("(Stack): there is no place for a new axis 5 in [N, 4, 4, 8]", |x| Node::stack(&[x, x], Axis::Index(5))),
        (
            "(Stack): shapes differ on axis C (8 and 1): [N, 4, 4, 8] from input \"input\" and [N, 4, 4, 1] from Slice",
            |x| Node::stack(&[x, &x.slice(Axis::C, 0..1)], Axis::C),
        ),
        ("(Interpolate): 4 pixels on axis H cannot become 0", |x| x.upsample(0, Interpolation::Nearest)),
        ("(Interpolate): expected [N, H, W, C], got [N, 8] from Mean", |x| {
            x.global_avg_pool().upsample(2, Interpolation::Bilinear)
        }),
        ("(Interpolate): [N, 4, 4, 8] enlarged 18446744073709551615 times overflows the address space", |x| {
            x.upsample(usize::MAX, Interpolation::Bilinear)
        }),
        ("(OneHot): a label cannot be one of 18446744073709551615 classes", |x| {
            x.trace().labels("labels").one_hot(usize::MAX)
        }),
    ];
    for (sentence, network) in cases {
        assert_eq!(mistake(network, &[4, 4, 8]), sentence);
    }
    let sentence = format!("(Interpolate): an image of {most} by 3 pixels overflows the address space");
    assert_eq!(mistake(|x| x.resized([most, 3], Interpolation::Nearest), &[4, 4, 8]), sentence);
}

#[test]
fn matrices_that_do_not_go_together_are_sentences() {
    let parameter = |x: &Node, shape: &[usize]| x.trace().parameter("w", shape, crate::Constant(1.0));
    type Case<'a> = (&'static str, &'a dyn Fn(&Node) -> Node);
    let cases: [Case<'_>; 6] = [
        (
            "(BatchMatMul): expected 6 columns (the rows of the other matrix), got 5 in [N, 3, 5] from input \"input\"",
            &|x| x.matmul(&parameter(x, &[6, 2])),
        ),
        ("4 rows (the rows of the other matrix), got 3 in [N, 3, 5]", &|x| x.transposed_matmul(&parameter(x, &[4, 2]))),
        ("expected 3 columns (the rows of the other matrix), got 5 in", &|x| x.matmul(x)),
        ("expected the axes [N] of the other factor before the matrix, got [7] in [7, 5, 2] from parameter w", &|x| {
            x.matmul(&parameter(x, &[7, 5, 2]))
        }),
        ("expected a matrix whose sizes do not depend on the batch, got N rows in [N, 5]", &|x| {
            x.matmul_transposed(&x.sum_over(&[Axis::Index(1)]))
        }),
        ("(MatMul): a matrix of N by N grows with the square of the batch", &|x| {
            let rows = x.sum_over(&[Axis::Index(1)]);
            rows.matmul_transposed(&rows)
        }),
    ];
    for (part, network) in cases {
        let sentence = mistake(network, &[3, 5]);
        assert!(sentence.contains(part), "{sentence}");
    }
}

#[test]
fn operations_with_several_batch_sizes_and_in_place() {
    // Whatever takes over the storage of what it reads gives the same values as when that is kept.
    let network = |x: &Node| {
        let y = x.scale(2.0).maximum(0.3).clamp(-0.5, 0.8).named("clamped");
        (y.greater(0.5) + y.l2_normalised(1e-6)).named("sum")
    };
    let model = build(network, &[2, 6]);
    for n in [1, 4] {
        let x = input(&[n, 2, 6]);
        let batch = Batch::new().with("input", &x);
        let kept = model.run(&batch, &["clamped", "sum", "output"]).unwrap();
        assert_eq!(model.predict(&x).unwrap(), kept[2]);
        let clamped = x.data().iter().map(|x| (x * 2.0).max(0.3).clamp(-0.5, 0.8));
        assert_eq!(kept[0].data(), clamped.collect::<Vec<_>>());
    }
}
