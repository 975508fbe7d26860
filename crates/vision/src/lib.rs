//! Uses of trained networks, and views into them: faces, edges, visualisation and neural style transfer.
//!
//! Everything here is built from the public parts of the crates below, and shows how they are used.

#![forbid(unsafe_code)]

mod activations;
pub mod attribution;
mod diagram;
pub mod edges;
mod eigen;
mod error;
mod moments;
pub mod page;
mod portrait;
pub mod remembered;
mod resize;
mod spatial;
pub mod style;
mod svg;
pub mod units;
mod verification;
mod vgg_features;

pub use activations::{activation_sheet, embeddings, principal_plane};
pub use diagram::{diagram, full_diagram};
pub use error::{Error, Result};
pub use portrait::Portrait;
pub use resize::resize;
pub use spatial::{SpatialLayer, last_of_each_size, last_spatial_layer, spatial_layers};
pub use verification::{
    Architecture, Contrast, CrossValidation, Eigenfaces, EncoderSettings, FaceAugmentation, FaceEncoder, FaceLoss,
    FaceSet, FaceTraining, Fisherfaces, Gallery, Identification, Length, Roc, RocPoint, VerificationScores, Views,
    cross_validated, distance_matrix, evaluate_embeddings,
};
pub use vgg_features::{ConvBorder, Pooling, Preparation, VggFeatures};
