//! Operations of the user's own that break a rule, and the check of their gradients.

use super::{batch_of, mistake};
use crate::{
    Axis, Compiled, Constant, ElementKind, Fault, GradientError, Grads, Mode, Model, Node, Op, OpIdentity, Request,
    Shape, Tensor, Value, check_gradients, check_gradients_at,
    ops::{
        ActivationOp, Arithmetic, BatchNormOp, Conv2dOp, GroupNormOp, Identity, LayerNormOp, LinearOp, ReshapeOp,
        SoftmaxOp,
    },
};
use ocelli_kernels::{conv::Conv2dSettings, elementwise::Unary};
use std::sync::Arc;

/// `y = 3·x` for operand 0; what else it answers is up to the test.
#[derive(Clone, Copy, Debug)]
struct Triple {
    infer: fn(&[&Shape]) -> Vec<Shape>,
    backward: fn(&Grads<'_>) -> Vec<Option<Node>>,
}

const TRIPLE: Triple = Triple { infer: |x| vec![x[0].clone()], backward: |g| vec![g.want(0, || g.dy() * 3.0)] };

/// Functions cannot be compared.
impl OpIdentity for Triple {}

impl Op for Triple {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok((self.infer)(x))
    }
    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        Ok(Compiled::new(|k| {
            let x = k.input(0);
            k.output(0).iter_mut().zip(x).for_each(|(y, x)| *y = 3.0 * x);
        }))
    }
    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        (self.backward)(g)
    }
}

fn objective_of(op: Triple) -> Result<(), String> {
    let network =
        move |x: &Node| x.scope("layer", |x| Node::call(op, &[&(x * x.trace().parameter("w", [3], Constant(1.0)))]));
    let model = Model::build(network, [3], 0).unwrap();
    model.objective(|t| t.output().mean()).map(drop).map_err(|error| error.to_string())
}

#[test]
fn a_backward_rule_that_answers_wrongly_is_an_error_with_its_name() {
    let error = |backward| objective_of(Triple { backward, ..TRIPLE }).unwrap_err();
    assert_eq!(objective_of(TRIPLE), Ok(()));
    assert_eq!(error(|_| vec![]), "layer (Triple): `Triple::backward` gives 0 gradients for 1 operand");
    assert_eq!(
        error(|g| vec![Some(g.dy().clone()), None]),
        "layer (Triple): `Triple::backward` gives 2 gradients for 1 operand"
    );
    assert_eq!(
        error(|_| vec![None]),
        "layer (Triple): `Triple::backward` gives no gradient for operand 0, [N, 3] from layer (Mul), and one must pass there"
    );
    assert_eq!(
        error(|g| vec![Some(g.dy().sum_over(&[Axis::N]))]),
        "layer (Triple): `Triple::backward` gives a gradient of shape [3] for operand 0, [N, 3] from layer (Mul)"
    );
    let other = |_: &Grads<'_>| {
        let mut stolen = None;
        let _ = Model::build(|x| stolen.insert(x.clone()).relu(), [3], 0);
        vec![stolen]
    };
    assert_eq!(error(other), "layer (Triple): `Triple::backward` gives a node of another network for operand 0");
    let parameter = |g: &Grads<'_>| vec![Some(g.dy() * g.dy().trace().parameter("v", [3], Constant(1.0)))];
    assert!(error(parameter).contains("v is made in a loss"), "a backward rule has no parameters");
}

#[test]
fn a_shape_rule_that_answers_wrongly_is_an_error_with_its_name() {
    let error = |infer| mistake(|x| Node::call(Triple { infer, ..TRIPLE }, &[x]), &[3]);
    assert_eq!(error(|_| vec![]), "(Triple): `Triple::infer` gives 0 shapes, `Triple::outputs` is 1");
    assert_eq!(error(|x| vec![x[0].clone(); 2]), "(Triple): `Triple::infer` gives 2 shapes, `Triple::outputs` is 1");
    assert_eq!(
        error(|_| vec![Shape::from([3, 0])]),
        "(Triple): the result of shape [3, 0] has length 0 on axis C, and so no elements"
    );
}

#[derive(Clone, Debug, PartialEq)]
struct Odd {
    outputs: usize,
    is_view: bool,
}

/// The identity in inference, though it is none.
#[derive(Clone, Debug, PartialEq)]
struct Lowered;

impl Op for Lowered {
    fn infer(&self, _: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![Shape::batch(&[2])])
    }
    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        Ok(Compiled::new(|_| ()))
    }
    fn lower(&self, mode: Mode) -> Option<Arc<dyn Op>> {
        (mode == Mode::Infer).then(|| Arc::new(Identity) as Arc<dyn Op>)
    }
}

impl Op for Odd {
    fn infer(&self, _: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![Shape::batch(&[2]); self.outputs])
    }
    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        Ok(Compiled::new(|_| ()))
    }
    fn outputs(&self) -> usize {
        self.outputs
    }
    fn is_view(&self) -> bool {
        self.is_view
    }
    fn in_place(&self) -> Option<usize> {
        Some(7)
    }
}

#[test]
fn operations_take_as_many_operands_as_they_say() {
    assert_eq!(mistake(|x| Node::call(Arithmetic::Add, &[x]), &[3]), "(Add): Add takes 2 operands, got 1");
    assert_eq!(mistake(|x| Node::call(LinearOp, &[x]), &[3]), "(Linear): Linear takes 2 to 3 operands, got 1");
    assert_eq!(
        mistake(|x| Node::call(SoftmaxOp::Log, &[x, x]), &[3]),
        "(LogSoftmax): LogSoftmax takes 1 operand, got 2"
    );
    let norm = mistake(|x| Node::call(BatchNormOp::new(1e-5, 0.1), &[x]), &[3]);
    assert_eq!(norm, "(BatchNorm): BatchNorm takes 5 operands, got 1");
}

#[test]
fn results_and_views_are_what_they_are_said_to_be() {
    let error = |outputs, is_view| mistake(|x| Node::call(Odd { outputs, is_view }, &[x]), &[3]);
    assert_eq!(error(0, false), "(Odd): `Odd::outputs` is 0; an operation has one result or more");
    let view = "(Odd): Odd is a view, and so has one result of as many elements as its first operand";
    assert_eq!((error(1, true), error(2, true)), (view.to_string(), view.to_string()));
    let lowered = mistake(|x| Node::call(Lowered, &[x]), &[3]);
    assert_eq!(lowered, "(Lowered): `Lowered::lower` gives Identity, whose results have other shapes");
    // An operand that is not there gives its storage to nobody.
    let model = super::build(|x| Node::call(Odd { outputs: 1, is_view: false }, &[&x.relu()]), &[3]);
    assert!(model.predict(&Tensor::zeros([1, 3])).is_ok());
}

/// `y₀ = x`, `y₁ = 2·x`.
#[derive(Clone, Debug, PartialEq)]
struct OneAndTwo {
    differentiable: usize,
}

impl Op for OneAndTwo {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![x[0].clone(); 2])
    }
    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        Ok(Compiled::new(|k| {
            let x = k.input(0);
            let [y, z] = k.outputs();
            y.copy_from_slice(x);
            z.iter_mut().zip(x).for_each(|(z, x)| *z = 2.0 * x);
        }))
    }
    fn outputs(&self) -> usize {
        2
    }
    fn differentiable_outputs(&self) -> usize {
        self.differentiable
    }
    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        let parts = [g.dy_of(0).cloned(), g.dy_of(1).map(|dz| dz * 2.0)];
        vec![parts.into_iter().flatten().reduce(|a, b| a + b)]
    }
}

#[test]
fn a_gradient_comes_to_differentiable_results_only() {
    let second = |differentiable: usize| {
        let network = move |x: &Node| {
            let y = x * x.trace().parameter("w", [3], Constant(1.0));
            x.trace().call(Arc::new(OneAndTwo { differentiable }), &[&y]).swap_remove(1)
        };
        Model::build(network, [3], 0).unwrap()
    };
    let error = second(1).objective(|t| t.output().mean()).unwrap_err().to_string();
    assert_eq!(error, "(OneAndTwo): result 1 is not differentiable, and a gradient must pass through it");
    let mut model = second(2);
    let mut objective = model.objective(|t| t.output().sum()).unwrap();
    let x = super::input(&[2, 3]);
    let step = objective.step(&mut model, &batch_of(&[2, 3])).unwrap();
    let gradient = step.gradient("w").unwrap();
    (0..3).for_each(|c| assert!((gradient[c] - 2.0 * (x.data()[c] + x.data()[3 + c])).abs() < 1e-6));
    check_gradients(&OneAndTwo { differentiable: 2 }, &[Shape::batch(&[3])]).unwrap();
}

#[test]
fn right_gradients_pass_the_check() {
    let rows = || Shape::batch(&[5]);
    let image = || Shape::batch(&[3, 4, 2]);
    let channels = || Shape::from([2]);
    check_gradients(&TRIPLE, &[rows()]).unwrap();
    for unary in [Unary::Relu, Unary::Tanh, Unary::Exp, Unary::Gelu, Unary::Square, Unary::Reciprocal] {
        check_gradients(&ActivationOp(unary), &[image()]).unwrap();
    }
    for op in [Arithmetic::Add, Arithmetic::Sub, Arithmetic::Mul, Arithmetic::Div] {
        check_gradients(&op, &[image(), channels()]).unwrap();
        check_gradients(&op, &[Shape::batch(&[1, 1, 2]), image()]).unwrap();
    }
    for op in [SoftmaxOp::Plain, SoftmaxOp::Log] {
        check_gradients(&op, &[rows()]).unwrap();
    }
    check_gradients(&LinearOp, &[rows(), Shape::from([5, 3]), Shape::from([3])]).unwrap();
    let conv = Conv2dOp::new(Conv2dSettings::default());
    check_gradients(&conv, &[image(), Shape::from([2, 2, 2, 3]), Shape::from([3])]).unwrap();
    check_gradients(&LayerNormOp { epsilon: 1e-2 }, &[image(), channels(), channels()]).unwrap();
    check_gradients(&GroupNormOp { groups: 1, epsilon: 1e-2 }, &[image(), channels(), channels()]).unwrap();
    let norm = [image(), channels(), channels(), channels(), channels()];
    check_gradients(&BatchNormOp::new(1e-2, 0.1), &norm).unwrap();
    check_gradients(&ReshapeOp { shape: Shape::batch(&[24]) }, &[image()]).unwrap();
}

/// `y[n] = x[n, label[n]]`
#[derive(Clone, Debug, PartialEq)]
struct Pick;

/// Operands: `dy`, labels, `x`.
#[derive(Clone, Debug, PartialEq)]
struct PickBackward;

impl Op for Pick {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![x[1].clone()])
    }
    fn operand_kind(&self, input: usize) -> ElementKind {
        if input == 1 { ElementKind::U32 } else { ElementKind::F32 }
    }
    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        Ok(Compiled::new(|k| {
            let (rows, labels) = (k.input(0).chunks_exact(k.shape(0)[1]), k.labels(1));
            let picks = k.output(0).iter_mut().zip(rows).zip(labels);
            picks.for_each(|((y, x), &label)| *y = x[label as usize]);
        }))
    }
    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        vec![g.want(0, || Node::call(PickBackward, &[g.dy(), g.x(1), g.x(0)])), None]
    }
}

impl Op for PickBackward {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![x[2].clone()])
    }
    fn operand_kind(&self, input: usize) -> ElementKind {
        Pick.operand_kind(input)
    }
    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        Ok(Compiled::new(|k| {
            let (dy, labels, classes) = (k.input(0), k.labels(1), k.shape(2)[1]);
            let rows = k.output(0).chunks_exact_mut(classes).zip(dy).zip(labels);
            rows.for_each(|((dx, dy), &label)| {
                dx.fill(0.0);
                dx[label as usize] = *dy;
            });
        }))
    }
}

#[test]
fn operations_on_labels_are_checked_too() {
    check_gradients(&Pick, &[Shape::batch(&[3]), Shape::batch(&[])]).unwrap();
}

/// The gradients of the mean and the variance that a batch normalisation is given.
#[test]
fn given_statistics_have_gradients() {
    let values = |shape: &Shape, offset: f32| {
        let tensor = Tensor::uniform(shape.at(3), crate::Key::new(9));
        Value::F32(Tensor::from_fn(tensor.shape().to_vec(), |i| 0.4 * tensor.data()[i.iter().sum::<usize>()] + offset))
    };
    let operands: Vec<(Shape, Value)> = [Shape::batch(&[4]), [4].into(), [4].into(), [4].into(), [4].into()]
        .into_iter()
        .zip([0.3, 1.5, 0.2, -0.4, 1.0])
        .map(|(shape, offset)| (shape.clone(), values(&shape, offset)))
        .collect();
    check_gradients_at(&BatchNormOp::new(1e-2, 0.1).with_statistics_given(), &operands).unwrap();
}

#[test]
fn wrong_gradients_do_not_pass_the_check() {
    let check =
        |backward, n: usize| check_gradients(&Triple { backward, ..TRIPLE }, &[Shape::batch(&[n])]).unwrap_err();
    let error = check(|g| vec![Some(g.dy() * 3.01)], 4);
    let GradientError::Different { kind, operand, backward, differences, .. } = &error else { panic!("{error}") };
    assert_eq!((kind.as_str(), *operand), ("Triple", 0));
    assert!((f64::from(*backward) / differences - 3.01 / 3.0).abs() < 1e-4, "{error}");
    let sentence = error.to_string();
    assert!(sentence.starts_with("Triple: the gradient of operand 0 at ["), "{sentence}");
    assert!(sentence.ends_with("with 2 samples"), "{sentence}");
    // What is divided by the number of samples is right for one of them.
    assert!(matches!(
        check(|g| vec![Some(g.dy() * 3.0 / 2.0 * 2.0 + g.x(0) * 0.01)], 1),
        GradientError::Different { .. }
    ));
    let refused = check(|_| vec![None], 1).to_string();
    assert!(refused.starts_with("(Triple): `Triple::backward` gives no gradient for operand 0"), "{refused}");
    let huge = check_gradients(&TRIPLE, &[Shape::batch(&[1 << 59])]).unwrap_err().to_string();
    assert_eq!(huge, "a batch of 2 needs more memory than can be addressed");
}
