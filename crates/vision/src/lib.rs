//! What trained networks are for, and what they look at: faces, edges, visualisation and neural style transfer.
//!
//! Everything here is built from the public parts of the crates below, and shows how they are used.

#![forbid(unsafe_code)]

pub mod edges;
mod eigen;
mod error;
mod resize;
pub mod style;
mod verification;
mod vgg_features;

pub use error::{Error, Result};
pub use resize::resize;
pub use verification::{
    Architecture, CrossValidation, Eigenfaces, EncoderSettings, FaceAugmentation, FaceEncoder, FaceLoss, FaceSet,
    FaceTraining, Fisherfaces, Gallery, Identification, Length, Roc, RocPoint, VerificationScores, Views,
    cross_validated, distance_matrix, evaluate_embeddings,
};
pub use vgg_features::{Border, Pooling, Preparation, VggFeatures};
