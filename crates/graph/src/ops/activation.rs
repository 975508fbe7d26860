//! Elementwise functions with a vector kernel.

use super::same_shape;
use crate::{Compiled, Fault, Grads, Node, Op, Request, Shape};
use ocelli_kernels::elementwise::{Keeps, Unary, unary, unary_backward};
use std::ops::RangeInclusive;

/// Applies an elementwise function. Backward keeps its result, its operand or nothing, depending on the function: ReLU
/// keeps its result, because the sign of the result is all that its gradient needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ActivationOp(
    /// The function.
    pub Unary,
);

/// The gradient of [`ActivationOp`]. Operands: `dy`, then the result or operand that was kept, if any.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct ActivationBackward(
    /// The function.
    pub Unary,
);

impl ActivationBackward {
    pub(super) fn for_function(function: Unary) -> ActivationBackward {
        ActivationBackward(function)
    }
}

impl Op for ActivationOp {
    fn operands(&self) -> RangeInclusive<usize> {
        1..=1
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        same_shape(x)
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        let op = *self;
        Ok(Compiled::new(move |k| {
            let x = k.source(0);
            unary(op.0, x, k.output(0));
        }))
    }

    fn in_place(&self) -> Option<usize> {
        Some(0)
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        let backward = ActivationBackward(self.0);
        let dx = match self.0.keeps() {
            Keeps::Input => Node::call(backward, &[g.dy(), g.x(0)]),
            Keeps::Output => Node::call(backward, &[g.dy(), g.y(0)]),
            Keeps::Nothing => Node::call(backward, &[g.dy()]),
        };
        vec![Some(dx)]
    }

    fn kind(&self) -> String {
        let name = format!("{:?}", self.0);
        name.split('(').next().unwrap_or(&name).to_string()
    }
}

impl Op for ActivationBackward {
    fn operands(&self) -> RangeInclusive<usize> {
        1..=2
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        same_shape(x)
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        let op = *self;
        Ok(Compiled::new(move |k| {
            let kept = if k.len() > 1 { k.input(1) } else { &[] };
            let dy = k.source(0);
            unary_backward(op.0, kept, dy, k.output(0));
        }))
    }

    fn in_place(&self) -> Option<usize> {
        Some(0)
    }
}

macro_rules! activations {
    ($($(#[$doc:meta])* $name:ident($($argument:ident: f32)?) = $unary:expr;)*) => {
        impl Node { $(
            $(#[$doc])*
            #[track_caller]
            pub fn $name(&self $(, $argument: f32)?) -> Node {
                Node::call(ActivationOp($unary), &[self])
            }
        )* }
    };
}

activations! {
    /// Applies the ReLU, `max(x, 0)`.
    relu() = Unary::Relu;
    /// Applies the leaky ReLU: `x` where positive, `slope·x` elsewhere.
    leaky_relu(slope: f32) = Unary::LeakyRelu(slope);
    /// Applies the ELU: `x` where positive, `alpha·(eˣ − 1)` elsewhere (Clevert et al. 2015).
    elu(alpha: f32) = Unary::Elu(alpha);
    /// Applies the logistic sigmoid, `1 / (1 + e⁻ˣ)`.
    sigmoid() = Unary::Sigmoid;
    /// Applies `tanh(x)`.
    tanh() = Unary::Tanh;
    /// Applies `1.7159·tanh(2x/3)`, the squashing function of LeNet-5 (LeCun et al. 1998, appendix A).
    scaled_tanh() = Unary::ScaledTanh;
    /// Applies the SiLU, `x·sigmoid(x)`, also called swish.
    silu() = Unary::Silu;
    /// Applies the hard swish, `x·min(max(x + 3, 0), 6) / 6` (Howard et al. 2019, section 5.2).
    hard_swish() = Unary::HardSwish;
    /// Applies the GELU, `x·Φ(x)` with the normal distribution function (Hendrycks and Gimpel 2016).
    gelu() = Unary::Gelu;
    /// Applies the approximation of [`gelu`](Node::gelu) by a hyperbolic tangent.
    gelu_tanh() = Unary::GeluTanh;
    /// Applies Mish, `x·tanh(ln(1 + eˣ))` (Misra 2019).
    mish() = Unary::Mish;
    /// Computes `x²`.
    square() = Unary::Square;
    /// Computes `√x`.
    sqrt() = Unary::Sqrt;
    /// Computes `|x|`; the gradient at 0 is 0.
    abs() = Unary::Abs;
    /// Computes `eˣ`.
    exp() = Unary::Exp;
    /// Computes the natural logarithm.
    ln() = Unary::Ln;
    /// Computes `factor·x`.
    scale(factor: f32) = Unary::Scale(factor);
    /// Computes `x + offset`.
    shift(offset: f32) = Unary::Shift(offset);
    /// Computes `1 / x`.
    reciprocal() = Unary::Reciprocal;
}

impl Node {
    /// Applies the hard sigmoid, `min(max(slope·x + offset, 0), 1)`, with slope 1/6 and offset ½ in MobileNetV3.
    ///
    /// ```
    /// use ocelli_graph::{Model, Tensor};
    /// let model = Model::build(|x| x.hard_sigmoid(0.25, 0.5), [3], 0)?;
    /// let y = model.predict(&Tensor::from_vec([1, 3], vec![-3.0, 1.0, 3.0])?)?;
    /// assert_eq!(y.data(), [0.0, 0.75, 1.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn hard_sigmoid(&self, slope: f32, offset: f32) -> Node {
        self.scale(slope).shift(offset).clamp(0.0, 1.0)
    }
}
