//! Scale and shift of each channel, after every normalisation.

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
    /// Makes scale and shift of the channels of `x`.
    pub(crate) fn parameters_for(&self, x: &Node) -> (Node, Node) {
        let (trace, channels) = (x.trace(), x.shape().channels());
        if self.learnt {
            let axes = ([AxisRole::Features], [channels]);
            let parameter = |name: &str, init: &Arc<dyn Initializer>| trace.parameter_from(name, axes, init.clone());
            return (parameter("weight", &self.weight_init), parameter("bias", &self.bias_init));
        }
        (trace.filled(1.0, Shape::from([channels])), trace.filled(0.0, Shape::from([channels])))
    }
}

/// Defines the settings of a layer with fields `epsilon` and `affine`.
macro_rules! normalisation_settings {
    ($layer:ident) => {
        impl $layer {
            /// Sets the ε that is added to the variance; the default is 10⁻⁵.
            pub fn epsilon(mut self, epsilon: f32) -> $layer {
                self.epsilon = epsilon;
                self
            }

            /// Sets whether normalised values are scaled and shifted by learnt parameters.
            pub fn affine(mut self, affine: bool) -> $layer {
                self.affine.learnt = affine;
                self
            }

            /// Sets the initialiser of the scales; the default is ones. Zeros in the last normalisation of a residual
            /// block make the block start as the identity (Goyal et al. 2017).
            pub fn weight_init(mut self, init: impl ocelli_graph::Initializer + 'static) -> $layer {
                self.affine.weight_init = std::sync::Arc::new(init);
                self
            }

            /// Sets the initialiser of the shifts; the default is zeros.
            pub fn bias_init(mut self, init: impl ocelli_graph::Initializer + 'static) -> $layer {
                self.affine.bias_init = std::sync::Arc::new(init);
                self
            }
        }
    };
}
pub(crate) use normalisation_settings;
