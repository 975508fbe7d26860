//! Compares backward rules with central differences, for tests of user-defined operations.

use crate::{
    Batch, ElementKind, Error, Key, Mode, Model, Objective, Op, Shape, Tensor, Trace, Value, Wrt, contract::counted,
};
use ocelli_tensor::ShapeText;
use std::{iter, sync::Arc};

/// Batch sizes that gradients are checked for: a rule that depends on the batch size shows.
const SAMPLES: [usize; 2] = [2, 3];

/// Largest error of a gradient, relative to the largest of its operand. Differences are more exact than that, a wrong
/// factor is worse.
const TOLERANCE: f64 = 1e-3;

/// Reasons for which [`check_gradients`] rejects an operation.
#[derive(Debug, thiserror::Error)]
pub enum GradientError {
    /// The operation refuses the operands, or breaks a rule of [`Op`].
    #[error(transparent)]
    Refused(#[from] Error),
    /// The backward rule disagrees with central differences.
    #[error(
        "{kind}: the gradient of operand {operand} at {index} is {backward} by the backward rule, and {differences} by differences \
         of the kernel, with {samples}"
    )]
    Different {
        /// Name of the operation.
        kind: String,
        /// Index of the operand.
        operand: usize,
        /// Index of the element in the operand, such as `[1, 0]`.
        index: String,
        /// Gradient by [`Op::backward`].
        backward: f32,
        /// Gradient by central differences of the kernel.
        differences: f64,
        /// Batch size in words, such as `2 samples`.
        samples: String,
    },
}

/// Compares the backward rule of an operation with central differences of its kernel, at every element of every
/// differentiable operand, for two and three samples. Meant for tests of user-defined operations.
///
/// Operands of type `f32` are drawn, always the same ones: away from zero, where many functions have a kink, between ½
/// and 3⁄2 on either side of it, and no two alike. Labels are 0, 1, 0, …. [`check_gradients_at`] takes other operands.
/// The function that is differentiated is a sum of all [differentiable results](Op::differentiable_outputs) with drawn
/// weights, formed in `f64`.
///
/// # Shapes
/// Each operand has the shape given for it: [`Shape::batch`] for one with samples, others for weights.
///
/// # Errors
/// [`GradientError`], with the operation's name: operands that are refused, answers that break a rule of [`Op`], or the
/// first gradient that differs by more than a thousandth of the largest one of its operand.
///
/// ```
/// use ocelli_graph::{Compiled, Fault, Grads, Node, Op, Request, Shape, check_gradients};
///
/// /// `y = x³`
/// #[derive(Debug, Clone, PartialEq)]
/// struct Cube;
///
/// impl Op for Cube {
///     fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
///         Ok(vec![x[0].clone()])
///     }
///     fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
///         Ok(Compiled::new(|k| {
///             let x = k.input(0);
///             k.output(0).iter_mut().zip(x).for_each(|(y, x)| *y = x * x * x);
///         }))
///     }
///     fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
///         vec![g.want(0, || g.dy() * g.x(0).square() * 3.0)]
///     }
/// }
///
/// check_gradients(&Cube, &[Shape::batch(&[4])])?;
/// # Ok::<(), ocelli_graph::GradientError>(())
/// ```
pub fn check_gradients<O: Op + Clone>(op: &O, shapes: &[Shape]) -> Result<(), GradientError> {
    check_drawn(&(Arc::new(op.clone()) as Arc<dyn Op>), shapes)
}

fn check_drawn(op: &Arc<dyn Op>, shapes: &[Shape]) -> Result<(), GradientError> {
    for n in SAMPLES {
        let mut operands = Vec::with_capacity(shapes.len());
        for (number, shape) in shapes.iter().enumerate() {
            shape.element_count(n).ok_or(Error::TooLarge(n))?;
            operands.push((shape.clone(), drawn(op.operand_kind(number), number, shape, n)));
        }
        check_given(op, &operands)?;
    }
    Ok(())
}

/// Compares the backward rule of an operation with central differences at the given operands: for an operation that is
/// not defined everywhere, or has kinks elsewhere than at zero. Each element is moved by a sixty-fourth of itself at
/// most, and a zero by as much.
///
/// # Errors
/// [`GradientError`], as for [`check_gradients`].
///
/// ```
/// use ocelli_graph::{Shape, Tensor, Value, check_gradients_at, ops::ActivationOp};
/// use ocelli_kernels::elementwise::Unary;
/// let x = Tensor::from_vec([2, 2], vec![0.5, 1.0, 2.0, 4.0]).unwrap();
/// check_gradients_at(&ActivationOp(Unary::Ln), &[(Shape::batch(&[2]), Value::F32(x))])?;
/// # Ok::<(), ocelli_graph::GradientError>(())
/// ```
pub fn check_gradients_at<O: Op + Clone>(op: &O, operands: &[(Shape, Value)]) -> Result<(), GradientError> {
    check_given(&(Arc::new(op.clone()) as Arc<dyn Op>), operands)
}

fn check_given(op: &Arc<dyn Op>, operands: &[(Shape, Value)]) -> Result<(), GradientError> {
    let mut check = Check::new(op, operands)?;
    for (number, (_, value)) in operands.iter().enumerate() {
        if let (Value::F32(x), true) = (value, op.has_gradient(number)) {
            check.operand(number, x)?;
        }
    }
    Ok(())
}

/// Draws the values of an operand for `n` samples.
fn drawn(kind: ElementKind, number: usize, shape: &Shape, n: usize) -> Value {
    let sizes = shape.at(n);
    if kind == ElementKind::U32 {
        let mut labels = Tensor::full(sizes, 0u32);
        labels.data_mut().iter_mut().enumerate().for_each(|(i, label)| *label = (i % 2) as u32);
        return Value::U32(labels);
    }
    let mut x = Tensor::zeros(sizes);
    let mut order: Vec<usize> = (0..x.len()).collect();
    let key = Key::new(n as u64).with("check_gradients").at(number as u64);
    order.sort_by_key(|&i| key.at(i as u64).value());
    let count = x.len() as f32;
    for (rank, &i) in order.iter().enumerate() {
        let size = 0.5 + (rank as f32 + 0.5) / count;
        x.data_mut()[i] = if key.at(i as u64).value() & 1 == 0 { size } else { -size };
    }
    Value::F32(x)
}

/// A network of one operation: its operands are the inputs, its differentiable results have names.
struct Check {
    kind: String,
    model: Model,
    objective: Objective,
    batch: Batch,
    /// Names of the results, and the weights they are multiplied by.
    results: Vec<(String, Tensor)>,
}

fn input_name(number: usize) -> String {
    format!("operand {number}")
}

fn weights_name(result: &str) -> String {
    format!("weights of {result}")
}

impl Check {
    fn new(op: &Arc<dyn Op>, operands: &[(Shape, Value)]) -> Result<Check, GradientError> {
        let differentiable = op.differentiable_outputs().min(op.outputs());
        let names: Vec<String> = (0..differentiable).map(|number| format!("result {number}")).collect();
        let model = Model::trace(0, |trace| {
            let input = |(number, (shape, value)): (usize, &(Shape, Value))| {
                trace.add_input(&input_name(number), shape.clone(), value.kind())
            };
            let x: Vec<_> = operands.iter().enumerate().map(input).collect();
            let y = trace.call(Arc::clone(op), &x.iter().collect::<Vec<_>>());
            for (name, y) in names.iter().zip(&y) {
                // A view of an input has no copy that a step could return.
                y.scale(1.0).named(name);
            }
            y[0].clone()
        })?;
        let wanted: Vec<String> = (0..operands.len())
            .filter(|&number| op.operand_kind(number) == ElementKind::F32 && op.has_gradient(number))
            .map(input_name)
            .collect();
        let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
        let weighted = |trace: &Trace, name: &String| {
            let y = trace.tap(name);
            (trace.input(&weights_name(name), y.shape()) * y).sum()
        };
        let objective = model.objective_of(Mode::Train, Wrt::Values(&wanted), |trace| {
            let sums = names.iter().map(|name| weighted(trace, name));
            sums.reduce(|a, b| a + b).unwrap_or_else(|| trace.fail(&op.kind(), "has no differentiable result"))
        })?;
        let watched: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut check = Check {
            kind: op.kind(),
            model,
            objective: objective.watching(&watched)?,
            batch: Batch::new(),
            results: Vec::new(),
        };
        for (number, (_, value)) in operands.iter().enumerate() {
            check.batch.set(input_name(number), value.clone());
        }
        check.weigh(&names)?;
        Ok(check)
    }

    /// Draws the weights of the results, whose shapes depend on the batch size.
    fn weigh(&mut self, names: &[String]) -> Result<(), GradientError> {
        let n = crate::inputs::batch_size(self.model.graph(), &self.batch)?;
        for (number, name) in names.iter().enumerate() {
            let graph = self.model.graph();
            let shape = &graph.values[graph.find_all(&[name])?[0]].shape;
            shape.element_count(n).ok_or(Error::TooLarge(n))?;
            let weights = Tensor::uniform(shape.at(n), Key::new(1).with("check_gradients").at(number as u64));
            self.batch.set(weights_name(name), weights.clone());
            self.results.push((name.clone(), weights));
        }
        Ok(())
    }

    fn operand(&mut self, number: usize, x: &Tensor) -> Result<(), GradientError> {
        let name = input_name(number);
        let step = self.objective.evaluate(&self.model, &self.batch)?;
        let samples = counted(step.batch(), "sample");
        let backward = step.gradient(&name).unwrap_or_default().to_vec();
        let share = difference_share(x.len());
        let mut differences = Vec::with_capacity(x.len());
        let mut noise = 0f64;
        for i in 0..x.len() {
            let (coarse, _) = self.difference(&name, x, i, share)?;
            let (fine, rounding) = self.difference(&name, x, i, share / 2.0)?;
            // The error of a difference falls with the square of the step (Richardson).
            differences.push((4.0 * fine - coarse) / 3.0);
            noise = noise.max(2.0 * rounding);
        }
        self.batch.set(name, x.clone());
        let largest = differences.iter().fold(0f64, |largest, difference| largest.max(difference.abs()));
        let tolerance = TOLERANCE * largest + noise;
        // A missing gradient means zeros.
        let pairs = backward.into_iter().chain(iter::repeat(0.0)).zip(differences).enumerate();
        for (i, (backward, differences)) in pairs {
            let distance = (f64::from(backward) - differences).abs();
            // NaN differs from everything.
            if distance.is_nan() || distance > tolerance {
                let (kind, index) = (self.kind.clone(), index_text(i, x.shape()));
                return Err(GradientError::Different { kind, operand: number, index, backward, differences, samples });
            }
        }
        Ok(())
    }

    /// Returns the central difference of the weighted sum of results at element `i` of an operand, and a bound on its
    /// rounding error in the kernel.
    fn difference(&mut self, name: &str, x: &Tensor, i: usize, share: f32) -> Result<(f64, f64), GradientError> {
        let step = if x.data()[i] == 0.0 { share } else { share * x.data()[i].abs() };
        let mut at = |offset: f32| -> Result<(f64, f64, f64), GradientError> {
            let mut moved = x.clone();
            moved.data_mut()[i] += offset;
            let place = f64::from(moved.data()[i]);
            self.batch.set(name, moved);
            let (sum, size) = self.weighted_sum()?;
            Ok((place, sum, size))
        };
        let ((above, high, size), (below, low, _)) = (at(step)?, at(-step)?);
        Ok(((high - low) / (above - below), f64::from(f32::EPSILON) * size / (above - below)))
    }

    /// Returns the weighted sum of the results, and the sum of the magnitudes of its terms.
    fn weighted_sum(&mut self) -> Result<(f64, f64), GradientError> {
        let step = self.objective.evaluate(&self.model, &self.batch)?;
        let (mut sum, mut size) = (0.0, 0.0);
        for (name, weights) in &self.results {
            let y = step.activation(name).unwrap_or_default();
            for (y, weight) in y.iter().zip(weights.data()) {
                let product = f64::from(*y) * f64::from(*weight);
                sum += product;
                size += product.abs();
            }
        }
        Ok((sum, size))
    }
}

/// Returns the step of an element relative to its value: so small that no two of `count` drawn ones change places.
fn difference_share(count: usize) -> f32 {
    const LARGEST: f32 = 1.0 / 64.0;
    let apart = 1.0 / (4 * count.clamp(1, 1 << 10)) as f32;
    LARGEST.min(apart)
}

/// Writes the index of an element, `[1, 0]`, from its position in row-major order.
fn index_text(mut number: usize, shape: &[usize]) -> String {
    let mut index = vec![0; shape.len()];
    for (index, &size) in index.iter_mut().zip(shape).rev() {
        *index = number % size;
        number /= size;
    }
    ShapeText(&index).to_string()
}
