//! **Ocelli** builds, trains, runs and looks inside convolutional networks. It is pure Rust and fast on a CPU.
//!
//! A network is a function of nodes. It is traced once, so that every shape and every mistake is known before the first
//! batch, and then planned and run in memory whose size is known beforehand:
//!
//! ```
//! use ocelli::prelude::*;
//!
//! fn tiny_residual(x: &Node) -> Node {
//!     let x = x.apply("stem", Conv2d::new(16, 3).same()).relu();
//!     let y = x.apply("a", Conv2d::new(16, 3).same()).relu().apply("b", Conv2d::new(16, 3).same());
//!     (y + x).relu().global_avg_pool().apply("fc", Dense::new(10))
//! }
//!
//! let mut model = Model::build(tiny_residual, [32, 32, 3], 42)?;
//! println!("{}", model.summary());
//!
//! let mut objective = model.objective(|t| softmax_cross_entropy(&t.output(), &t.labels("labels")))?;
//! let mut sgd = Sgd::new(0.1).momentum(0.9);
//! # let loader = [Batch::new().with("input", Tensor::zeros([2, 32, 32, 3])).with("labels", Tensor::from(vec![1u32, 7]))];
//! for batch in loader {
//!     let step = objective.step(&mut model, &batch)?; // loss and gradients
//!     sgd.step(&mut model, &step)?;
//! }
//! # Ok::<(), ocelli::Error>(())
//! ```
//!
//! Each crate of the workspace is a module here and can be used alone: [`tensor`], [`kernels`], [`graph`], [`layers`],
//! [`losses`], [`models`], [`data`], [`train`], `onnx`, `plot` and `vision` (with the features of these names), and [`simd`] at
//! the bottom. The [`prelude`] has what most programs need, and [`Error`] is one error for all of them: `fn main() -> ocelli::Result<()>`.

#![forbid(unsafe_code)]

#[doc(inline)]
pub use ocelli_data as data;
#[doc(inline)]
pub use ocelli_graph as graph;
#[doc(inline)]
pub use ocelli_kernels as kernels;
#[doc(inline)]
pub use ocelli_layers as layers;
#[doc(inline)]
pub use ocelli_losses as losses;
#[doc(inline)]
pub use ocelli_models as models;
#[cfg(feature = "onnx")]
#[doc(inline)]
pub use ocelli_onnx as onnx;
#[cfg(feature = "plot")]
#[doc(inline)]
pub use ocelli_plot as plot;
#[doc(inline)]
pub use ocelli_simd as simd;
#[doc(inline)]
pub use ocelli_tensor as tensor;
#[doc(inline)]
pub use ocelli_train as train;
#[cfg(feature = "vision")]
#[doc(inline)]
pub use ocelli_vision as vision;

mod error;
pub mod prelude;

pub use error::{Error, Result};

/// The README's code, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The code of `docs/recipes`, compiled and run.
#[cfg(all(doctest, feature = "images"))]
mod recipes {
    #[doc = include_str!("../docs/recipes/siamese.md")]
    struct Siamese;
    #[doc = include_str!("../docs/recipes/transfer.md")]
    struct Transfer;
    #[doc = include_str!("../docs/recipes/optimised-input.md")]
    struct OptimisedInput;
    #[cfg(feature = "vision")]
    #[doc = include_str!("../docs/recipes/style.md")]
    struct StyleTransfer;
    #[cfg(feature = "vision")]
    #[doc = include_str!("../docs/recipes/edges.md")]
    struct Edges;
    #[doc = include_str!("../docs/recipes/class-activation-maps.md")]
    struct ClassActivationMaps;
    #[doc = include_str!("../docs/recipes/regression.md")]
    struct Regression;
    #[doc = include_str!("../docs/recipes/own-operation.md")]
    struct OwnOperation;
    #[doc = include_str!("../docs/recipes/augmentation.md")]
    struct Augmentation;
    #[doc = include_str!("../docs/recipes/own-dataset.md")]
    struct OwnDataset;
    #[cfg(feature = "vision")]
    #[doc = include_str!("../docs/recipes/faces.md")]
    struct Faces;
    #[doc = include_str!("../docs/recipes/server.md")]
    struct Server;
    #[doc = include_str!("../docs/recipes/caffe-weights.md")]
    struct CaffeWeights;
    #[cfg(feature = "onnx")]
    #[doc = include_str!("../docs/recipes/onnx.md")]
    struct Onnx;
}
