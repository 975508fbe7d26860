//! Labelled images, and the batches of them that a network reads.
//!
//! A [`Dataset`] writes one sample straight into the memory of a batch and returns its label. Everything else follows
//! from that one decision: there is no tensor for each sample and no stacking; adapters ([`Dataset::pad`],
//! [`Dataset::scale`], [`Dataset::split`], [`Dataset::augment`]) work in the same place; images stay bytes in memory;
//! and each sample is a function of (dataset, epoch, index), so that a [`Loader`] gives the same batches with any
//! number of threads, however far it works ahead, and from whichever batch it is resumed.
//!
//! ```
//! use ocelli_data::{Dataset, Loader, synthetic};
//!
//! let digits = synthetic::digits(100, 42).pad([32, 32], 0.0)?.scale(-0.1, 1.175)?;
//! let loader = Loader::new(digits, 32)?.shuffle(7);
//! for batch in loader.epoch(0) {
//!     let batch = batch?;
//!     assert_eq!(batch.tensor("input")?.shape()[1..], [32, 32, 1]);
//!     assert_eq!(batch.labels("labels")?.len(), batch.len());
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`mnist`], [`fashion_mnist`] and [`cifar10`] read the published files, which [`find`] looks for; [`idx`] reads any
//! file of that format; [`synthetic`] draws digits and needs no file at all; [`Images`] takes bytes that are already in
//! memory. With the feature `images`, the module `image_files` decodes image files: single ones, folders and archives
//! with a folder for each class. [`Preprocess`] describes how an image is prepared for a network.
//!
//! # What a file may cost
//! A file is only trusted as far as its data reach. Memory is taken for what was read, never for what a header claims,
//! and all that is unpacked from a file or decoded from a part of it, kept or skipped, comes out of one budget: 16 MiB
//! and 256 bytes for each byte of the file, 16 GiB at the most. That is several times what published datasets need, and
//! keeps a small file from filling the machine. A single image has at most 16,384 rows or columns and 2²⁶ pixels.

#![forbid(unsafe_code)]

mod augmented;
mod budget;
mod chained;
pub mod cifar10;
#[cfg(feature = "images")]
mod clutter;
mod dataset;
mod error;
pub mod fashion_mnist;
mod folder;
mod gunzip;
mod identities;
pub mod idx;
#[cfg(feature = "images")]
pub mod image_files;
mod images;
mod lfw;
mod loader;
pub mod mnist;
mod padded;
mod preprocess;
mod rescaled;
mod statistics;
mod subset;
pub mod synthetic;
pub mod synthetic_faces;
mod unpacked;

pub use augmented::{Augmentation, Augmented, RandomCrop, RandomMirror};
use budget::Budget;
pub use chained::Chained;
pub use dataset::Dataset;
pub use error::{Error, Result};
pub use folder::{Part, find};
pub use identities::{Identities, Identity, IdentityBatches, SamplePair, SampleTriplet};
pub use images::Images;
pub use lfw::{LfwImage, LfwPair, LfwPairs};
pub use loader::{Epoch, LastBatch, Loader, Order};
pub use padded::Padded;
pub use preprocess::{Channels, Frame, INK, PAPER, Preprocess, Resize};
pub use rescaled::Rescaled;
pub use statistics::Statistics;
pub use subset::{Split, Subset};
