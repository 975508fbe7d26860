//! Layers: convolution, pooling, dense, sequences, initialisers.
//!
//! A layer holds settings and nothing else. Applied to a node under a name, it describes its parameters below that name
//! and infers what it can: input channels are never given. So a layer is a value like any other, is cheap to clone, and
//! a network is a function of nodes or a [`Sequential`] of layers, whichever reads better.
//!
//! ```
//! use ocelli_graph::{Model, Node};
//! use ocelli_layers::{Activation, Conv2d, Dense, Flatten, MaxPool2d, Sequential};
//!
//! fn network(x: &Node) -> Node {
//!     let x = x.apply("conv", Conv2d::new(8, 3).same()).relu().apply("pool", MaxPool2d::new(2));
//!     x.flatten().apply("fc", Dense::new(10))
//! }
//! let model = Model::build(network, [28, 28, 1], 0)?;
//!
//! let same = Sequential::new()
//!     .named("conv", Conv2d::new(8, 3).same())
//!     .then(Activation::Relu)
//!     .then(MaxPool2d::new(2))
//!     .then(Flatten)
//!     .named("fc", Dense::new(10));
//! let same = Model::from_layer(same, [28, 28, 1], 0)?;
//! assert_eq!(model.parameters().value("conv.weight"), same.parameters().value("conv.weight"));
//! # Ok::<(), ocelli_graph::Error>(())
//! ```

#![forbid(unsafe_code)]

mod activation;
mod affine;
mod basic_block;
mod batch_norm;
mod bottleneck;
mod branches;
mod conv2d;
mod conv_norm;
mod conv_transpose2d;
mod dense;
mod dropout;
mod flatten;
mod group_norm;
mod inception;
mod initial;
mod inverted_residual;
mod layer_norm;
mod local_response_norm;
mod normalisation;
mod pad2d;
mod pair;
mod pool;
mod radial_basis;
mod residual;
mod sequential;
mod shortcut;
mod squeeze_excitation;
mod sub_sampling;

pub use activation::Activation;
pub use basic_block::BasicBlock;
pub use batch_norm::BatchNorm;
pub use bottleneck::{Bottleneck, Strided};
pub use branches::Branches;
pub use conv_norm::ConvNorm;
pub use conv_transpose2d::ConvTranspose2d;
pub use conv2d::Conv2d;
pub use dense::Dense;
pub use dropout::Dropout;
pub use flatten::{Flatten, Reshape};
pub use group_norm::{GroupNorm, InstanceNorm};
pub use inception::{Inception, Tower};
pub use initial::{Distribution, Init};
pub use inverted_residual::{BlockNames, InvertedResidual};
pub use layer_norm::LayerNorm;
pub use local_response_norm::LocalResponseNorm;
pub use normalisation::Normalisation;
pub use ocelli_graph::ops::{ConnectionError, ConnectionTable};
pub use ocelli_kernels::conv::{ConvMode, Padding};
pub use ocelli_kernels::pool::CountPadding;
pub use pad2d::{Pad2d, Sides};
pub use pair::Pair;
pub use pool::{AdaptiveAvgPool2d, AvgPool2d, GlobalAvgPool, MaxPool2d};
pub use radial_basis::RadialBasis;
pub use residual::Residual;
pub use sequential::Sequential;
pub use shortcut::{Shortcut, ShortcutLayer};
pub use squeeze_excitation::SqueezeExcitation;
pub use sub_sampling::SubSampling;

#[cfg(test)]
mod tests;
