//! What trained networks are for, and what they look at: faces, edges, visualisation and neural style transfer.
//!
//! Everything here is built from the public parts of the crates below, and shows how they are used.

#![forbid(unsafe_code)]

pub mod edges;
mod error;
mod resize;
pub mod style;
mod vgg_features;

pub use error::{Error, Result};
pub use resize::resize;
pub use vgg_features::{Border, Pooling, Preparation, VggFeatures};
