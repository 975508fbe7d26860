//! The operations on the sums of a product or a convolution before they are stored: one pass over memory instead of
//! four.

use crate::Accumulate;

/// Activation function applied last.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Activation {
    /// No activation: the value as it is.
    #[default]
    Identity,
    /// `max(x, 0)`
    Relu,
    /// `min(max(x, low), high)`
    Clamp {
        /// Least value.
        low: f32,
        /// Greatest value.
        high: f32,
    },
}

impl Activation {
    /// Applies the function to a value. NaN stays NaN.
    #[must_use]
    pub fn apply(self, x: f32) -> f32 {
        match self {
            Self::Identity => x,
            Self::Relu => {
                if x < 0.0 {
                    0.0
                } else {
                    x
                }
            }
            Self::Clamp { low, high } => {
                if x < low {
                    low
                } else if x > high {
                    high
                } else {
                    x
                }
            }
        }
    }
}

/// The epilogue of a product: `y = activation(sum + bias + residual)`, where `sum` is the product, added to what `y`
/// held with [`Accumulate::Add`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Epilogue<'a> {
    /// Replaces the destination, or adds to it.
    pub accumulate: Accumulate,
    /// One value for each column (output channel).
    pub bias: Option<&'a [f32]>,
    /// Tensor of the destination's shape that is added, as of the shortcut of a residual block.
    pub residual: Option<&'a [f32]>,
    /// Activation function applied last.
    pub activation: Activation,
}

impl<'a> Epilogue<'a> {
    /// Creates an epilogue that only stores or adds the product.
    #[must_use]
    pub fn of(accumulate: Accumulate) -> Self {
        Self { accumulate, ..Self::default() }
    }

    /// Creates an epilogue that adds a bias, if there is one.
    #[must_use]
    pub fn bias(bias: Option<&'a [f32]>) -> Self {
        Self { bias, ..Self::default() }
    }

    /// Panics unless the operands fit a destination of `len` elements in rows of `columns`.
    pub(crate) fn assert_fits(&self, len: usize, columns: usize) {
        if let Some(bias) = self.bias {
            assert_eq!(bias.len(), columns, "the bias has a number for each column");
        }
        if let Some(residual) = self.residual {
            assert_eq!(residual.len(), len, "the residual has the shape of the destination");
        }
    }

    /// Returns the value that the exact sum of element `index`, in column `column`, starts from, where the destination
    /// holds `y`.
    pub(crate) fn start(&self, y: f32, index: usize, column: usize) -> f64 {
        let of = |operand: Option<&[f32]>, index: usize| operand.map_or(0.0, |operand| f64::from(operand[index]));
        let held = if self.accumulate == Accumulate::Add { f64::from(y) } else { 0.0 };
        held + of(self.bias, column) + of(self.residual, index)
    }

    /// Applies the epilogue in plain loops over whole rows, for algorithms that have written the bare sums.
    pub fn apply(&self, y: &mut [f32], columns: usize) {
        self.assert_fits(y.len(), columns);
        if let Some(bias) = self.bias {
            y.chunks_exact_mut(columns).for_each(|row| row.iter_mut().zip(bias).for_each(|(y, b)| *y += b));
        }
        if let Some(residual) = self.residual {
            y.iter_mut().zip(residual).for_each(|(y, r)| *y += r);
        }
        if self.activation != Activation::Identity {
            y.iter_mut().for_each(|y| *y = self.activation.apply(*y));
        }
    }
}
