//! Scale and shift of each channel, behind every normalisation.

use crate::Init;
use ocelli_graph::{AxisRole, Initializer, Node, Shape};
use std::sync::Arc;

/// The parameters `weight` and `bias`, or ones and zeros.
#[derive(Clone, Debug)]
pub(crate) struct Affine {
    pub(crate) learnt: bool,
    pub(crate) weight_init: Arc<dyn Initializer>,
    pub(crate) bias_init: Arc<dyn Initializer>,
}

impl Default for Affine {
    fn default() -> Affine {
        Affine { learnt: true, weight_init: Arc::new(Init::Constant(1.0)), bias_init: Arc::new(Init::Constant(0.0)) }
    }
}

impl Affine {
    /// Scale and shift of the channels of `x`.
    pub(crate) fn of(&self, x: &Node) -> (Node, Node) {
        let (trace, channels) = (x.trace(), x.shape().channels());
        if self.learnt {
            let axes = ([AxisRole::Features], [channels]);
            let parameter = |name: &str, init: &Arc<dyn Initializer>| trace.parameter_from(name, axes, init.clone());
            return (parameter("weight", &self.weight_init), parameter("bias", &self.bias_init));
        }
        (trace.filled(1.0, Shape::from([channels])), trace.filled(0.0, Shape::from([channels])))
    }
}

/// The settings of a layer with fields `epsilon` and `affine`.
macro_rules! normalisation_settings {
    ($layer:ident) => {
        impl $layer {
            /// What is added to the variance; 10⁻⁵ unless said otherwise.
            pub fn epsilon(mut self, epsilon: f32) -> $layer {
                self.epsilon = epsilon;
                self
            }

            /// Whether normalised values are scaled and shifted by learnt numbers.
            pub fn affine(mut self, affine: bool) -> $layer {
                self.affine.learnt = affine;
                self
            }

            /// Where the first scales come from; ones unless said otherwise. Zeros in the last normalisation of a residual
            /// block make the block the identity at first (Goyal et al. 2017).
            pub fn weight_init(mut self, init: impl ocelli_graph::Initializer + 'static) -> $layer {
                self.affine.weight_init = std::sync::Arc::new(init);
                self
            }

            /// Where the first shifts come from; zeros unless said otherwise.
            pub fn bias_init(mut self, init: impl ocelli_graph::Initializer + 'static) -> $layer {
                self.affine.bias_init = std::sync::Arc::new(init);
                self
            }
        }
    };
}
pub(crate) use normalisation_settings;
