//! Operations fused with those after them, in one step of a plan for inference.

use super::expect_bias;
use crate::{Compiled, Fault, KernelContext, Op, Reach, Request, Shape};
use ocelli_kernels::{Accumulate, Activation, Epilogue, elementwise::Source};
use std::ops::RangeInclusive;

/// An operation whose kernel can apply more to its sums, before it stores them, than a bias.
pub trait Product: Op + Clone + PartialEq {
    /// Compiles the product of operands 0 and 1 with the epilogue that `epilogue` makes of the others.
    ///
    /// # Errors
    /// The errors of [`Op::compile`].
    fn compile_product(
        &self,
        request: &Request<'_>,
        epilogue: impl for<'k> Fn(&KernelContext<'k>) -> Epilogue<'k> + Send + Sync + 'static,
    ) -> Result<Compiled, Fault>;
}

/// Computes `y = activation(product(x, w) + bias + residual)`, of which everything but the product is optional.
///
/// # Shapes
/// The shapes of the product; the residual has the shape of the result, whose storage it may share.
#[derive(Debug, Clone, PartialEq)]
pub struct Fused<P> {
    /// The convolution or dense layer.
    pub product: P,
    /// Index of the bias among the operands.
    pub bias: Option<usize>,
    /// Index of the residual among the operands.
    pub residual: Option<usize>,
    /// The function applied last.
    pub activation: Activation,
    /// Names of the fused operations: `Conv2d + BatchNorm + Add + Relu`.
    pub kind: String,
}

impl<P: Product> Op for Fused<P> {
    fn operands(&self) -> RangeInclusive<usize> {
        let count = 2 + usize::from(self.bias.is_some()) + usize::from(self.residual.is_some());
        count..=count
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        let mut others: Vec<usize> = self.bias.into_iter().chain(self.residual).collect();
        others.sort_unstable();
        if !others.iter().copied().eq(2..x.len()) {
            let (bias, residual) = (self.bias, self.residual);
            let sentence =
                format!("bias {bias:?} and residual {residual:?} are the operands behind the first two, each once");
            return Err(Fault::Setting(sentence));
        }
        let results = self.product.infer(&x[..2])?;
        if let Some(bias) = self.bias {
            expect_bias(x, bias, results[0].channels())?;
        }
        if let Some(right) = self.residual.filter(|&residual| *x[residual] != results[0]) {
            return Err(Fault::Operand { input: right, expected: results[0].to_string(), got: x[right].to_string() });
        }
        Ok(results)
    }

    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault> {
        let Fused { bias, residual, activation, .. } = *self;
        self.product.compile_product(request, move |k| {
            let bias = bias.map(|operand| k.input(operand));
            let (accumulate, residual) = match residual.map(|operand| k.source(operand)) {
                // The destination holds the residual.
                Some(Source::InPlace) => (Accumulate::Add, None),
                Some(Source::Slice(residual)) => (Accumulate::Set, Some(residual)),
                None => (Accumulate::Set, None),
            };
            Epilogue { accumulate, bias, residual, activation }
        })
    }

    fn kind(&self) -> String {
        self.kind.clone()
    }

    fn in_place(&self) -> Option<usize> {
        self.residual
    }

    fn macs(&self, x: &[&Shape], y: &[&Shape]) -> u64 {
        self.product.macs(x, y)
    }

    fn reach(&self, x: &[&Shape]) -> Reach {
        self.product.reach(x)
    }
}
