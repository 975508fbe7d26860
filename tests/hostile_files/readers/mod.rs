//! Every reader of files, with valid files to begin with and crafted ones.

mod archives;
mod arrays;
mod galleries;
mod images;
mod networks;
mod onnx;
mod pickles;
mod settings;
mod tables;
mod training;

pub use archives::ARCHIVE;
pub use arrays::NPY;
pub use galleries::GALLERY;
pub use images::{JPEG, OTHER_IMAGES, PNG};
pub use networks::{NETWORK, SAFETENSORS};
pub use onnx::ONNX;
pub use pickles::{TORCH_LEGACY, TORCH_ZIP};
pub use settings::PIPELINE;
pub use tables::{CIFAR10, CIFAR100, IDX, MANIFEST};
pub use training::{CHECKPOINT, CONTAINER, RUN_LOG};

use crate::drawn::Seed;
use std::{fmt::Display, path::Path};

/// Bytes of the result, or what the reader said.
pub type Answer = Result<usize, String>;
/// Reads the file at a path.
pub type Read = Box<dyn Fn(&Path) -> Answer>;
/// A name and how the file is made.
pub type Crafted = (&'static str, fn() -> Vec<u8>);

/// A reader of files and what it is tried with.
pub struct Reader {
    pub name: &'static str,
    /// Valid files.
    pub seeds: fn() -> Vec<Seed>,
    /// What means something in this format.
    pub words: &'static [&'static [u8]],
    /// Files made to be as expensive or as strange as possible.
    pub crafted: &'static [Crafted],
    /// Makes what the reader needs beside the file, in an empty folder of its own.
    pub prepare: fn(&Path) -> Read,
    /// How much data a file has, beside what the reader returns.
    pub held: fn(&[u8]) -> usize,
    /// Bytes that it takes in any case, beyond those that every reader may take.
    pub own: usize,
}

pub const READERS: [&Reader; 19] = [
    &IDX,
    &CIFAR10,
    &CIFAR100,
    &MANIFEST,
    &PNG,
    &JPEG,
    &OTHER_IMAGES,
    &ARCHIVE,
    &PIPELINE,
    &SAFETENSORS,
    &NETWORK,
    &TORCH_ZIP,
    &TORCH_LEGACY,
    &NPY,
    &ONNX,
    &CONTAINER,
    &CHECKPOINT,
    &RUN_LOG,
    &GALLERY,
];

/// The reader called `name`.
pub fn named(name: &str) -> &'static Reader {
    READERS.into_iter().find(|reader| reader.name == name).expect("a reader has this name")
}

/// The answer of something that returns a result of `bytes` bytes.
fn answer<T>(result: Result<T, impl Display>, bytes: impl FnOnce(T) -> usize) -> Answer {
    result.map(bytes).map_err(|error| error.to_string())
}

/// The answer of several ways to read one file: the largest result, or the last refusal.
fn all<const N: usize>(answers: [Answer; N]) -> Answer {
    let largest = answers.iter().flatten().max().copied();
    let mut refusals = answers.into_iter().filter_map(Result::err);
    largest.map_or_else(|| Err(refusals.next_back().unwrap_or_default()), Ok)
}
