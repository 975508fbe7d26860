//! Labelled images, and the batches of them that a network reads.
//!
//! There is one way from an image to a batch. A [`Dataset`] hands out decoded images as bytes, of any size. A [`Pipeline`],
//! which is plain data, describes how they become what a network reads: transforms that crop, resize or change them, drawn at
//! random or not, then channels and normalisation. A [`Loader`] applies the pipeline to the samples on several threads and
//! gathers them into batches. The same pipeline, without random transforms, stands in the file of a network and prepares the
//! images that it is asked about. Each sample is a function of (seed, epoch, index), so a loader gives the same batches with
//! any number of threads, however far they work ahead, and from whichever batch it is resumed.
//!
//! ```
//! use ocelli_data::{Border, Dataset, Loader, Pipeline, Transform, synthetic};
//! let pipeline = Pipeline::mnist([32, 32]).then(Transform::RandomCrop { margin: 2, border: Border::Black });
//! let loader = Loader::new(synthetic::digits(100, 42), pipeline, 32)?.shuffle(7);
//! for batch in loader.epoch(0) {
//!     let batch = batch?;
//!     assert_eq!(batch.tensor("input")?.shape()[1..], [32, 32, 1]);
//!     assert_eq!(batch.labels("labels")?.len(), batch.len());
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`mnist`], [`fashion_mnist`], [`cifar10`] and [`cifar100`] read the published files, which [`find`] looks for; [`idx`] reads any
//! file of that format; [`synthetic`] draws digits and [`drawn_shapes`] images with a class for every pixel, without
//! any file; [`Images`] takes bytes that are already in memory; [`GeneratedBatches`] makes batches by a function. With
//! the feature `images`, the module `image_files` decodes image files: single ones, folders and archives with a folder
//! for each class, and those that a table lists.
//!
//! # What a file may cost
//! A file is only trusted as far as its data reach. Memory is taken for what was read, never for what a header claims,
//! and all that is unpacked from a file or decoded from a part of it, kept or skipped, comes out of one budget: 16 MiB
//! and 256 bytes for each byte of the file, 16 GiB at the most. That is several times what published datasets need, and
//! keeps a small file from filling the machine. A single image has at most 16,384 rows or columns and 2²⁶ pixels.

#![forbid(unsafe_code)]

mod budget;
mod cached;
mod chained;
pub mod cifar10;
pub mod cifar100;
#[cfg(feature = "images")]
mod clutter;
mod dataset;
mod digit;
pub mod drawn_shapes;
mod error;
pub mod fashion_mnist;
mod folder;
mod gunzip;
mod identities;
pub mod idx;
mod image;
#[cfg(feature = "images")]
pub mod image_files;
mod images;
mod lfw;
mod loader;
pub mod mnist;
mod operation;
mod pipeline;
mod ranking;
mod resize;
mod statistics;
mod subset;
pub mod synthetic;
pub mod synthetic_faces;
mod unpacked;

use budget::Budget;
pub use cached::Cached;
pub use chained::Chained;
pub use dataset::{Choice, Dataset, Targets};
pub use error::{Error, Result};
pub use folder::{Part, find};
pub use identities::{Identities, Identity, IdentityBatches, SamplePair, SampleTriplet};
pub use image::Image;
pub use images::Images;
pub use lfw::{LfwImage, LfwPair, LfwPairs};
pub use loader::{Broken, Epoch, GeneratedBatches, LastBatch, Loader, Mixing, Order};
pub use operation::{Affine, Operation, PrincipalColours};
pub use pipeline::{Border, Channels, Corner, INK, Mirror, PAPER, Pipeline, Scratch, Transform};
pub use ranking::Ranking;
pub use resize::Filter;
pub use statistics::Statistics;
pub use subset::{Split, Subset};
