//! Verification: whether two images show one person, and which of many people an image shows.
//!
//! A [`FaceEncoder`] turns an image into an embedding; the Euclidean distance of two embeddings says whether they show
//! one person. [`Roc`] measures how well, and finds the threshold; [`evaluate_embeddings`] does so for all pairs of a
//! set of images, and [`cross_validated`] in the ten folds of LFW. A [`Gallery`] holds the embeddings of people who
//! were enrolled, and finds whom an image shows. [`Eigenfaces`] and [`Fisherfaces`] are what an encoder has to beat.
//!
//! ```
//! use ocelli_vision::{Gallery, Roc};
//! let roc = Roc::new([(0.3, true), (0.5, true), (0.6, false), (0.9, false), (0.8, true)])?;
//! assert_eq!(roc.tar_at(0.0), 2.0 / 3.0);
//!
//! let mut gallery = Gallery::new(7, 2, 0.4);
//! gallery.enrol("ann", &[1.0, 0.0])?;
//! gallery.enrol("bob", &[0.0, 1.0])?;
//! assert_eq!(gallery.identify(&[0.9, 0.1])?.person, Some("ann"));
//! assert_eq!(gallery.identify(&[0.7, 0.7])?.person, None);
//! # Ok::<(), ocelli_vision::Error>(())
//! ```

mod encoder;
mod evaluation;
mod faces;
mod gallery;
mod more_people;
mod preparation;
mod roc;
mod subspace;
mod training;

pub use encoder::{Architecture, EncoderSettings, FaceEncoder, Length, Views};
pub use evaluation::{CrossValidation, VerificationScores, cross_validated, distance_matrix, evaluate_embeddings};
pub use faces::{FaceAugmentation, FaceSet};
pub use gallery::{Gallery, Identification};
pub use preparation::Contrast;
pub use roc::{Roc, RocPoint};
pub use subspace::{Eigenfaces, Fisherfaces};
pub use training::{FaceLoss, FaceTraining};
