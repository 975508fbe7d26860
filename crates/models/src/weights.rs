//! Weight files: reads safetensors and PyTorch's state dicts, and writes safetensors, in PyTorch's names and layouts.
//!
//! [`WeightFile`] opens either format, [`WeightLoader`] decides which tensor goes to which parameter, and `layout` is
//! the one place that knows the order of elements on either side. Files are not trusted: nothing in them is run, no
//! bytes make the reader panic, and what they make it allocate and repeat is taken from a `budget` that their length
//! decides.

mod budget;
mod dtype;
mod error;
mod file;
mod layout;
mod loader;
mod names;
mod pickle;
mod report;
mod safetensors;
mod save;
mod stored;
mod strided;
mod torch;

pub use dtype::DType;
pub use error::WeightsError;
pub(crate) use error::{shown, shown_reason};
pub use file::{TensorInfo, WeightFile, WeightFormat};
pub use layout::{channels_first, channels_last, in_file_layout};
pub use loader::WeightLoader;
pub use report::{LoadReport, WrongShape};
pub use save::{save_tensors, save_weights};

use ocelli_graph::Model;
use std::{collections::BTreeMap, path::Path};

/// The metadata of a file: texts by their keys, such as `architecture` or `classes`.
pub type Metadata = BTreeMap<String, String>;

/// Loads every parameter of the model from a file in PyTorch's names and layouts, as a [`WeightLoader`] without rules
/// does.
///
/// # Errors
/// The errors of [`WeightFile::open`] and [`WeightLoader::load_from`].
pub fn load_weights(model: &mut Model, path: impl AsRef<Path>) -> Result<Metadata, WeightsError> {
    Ok(WeightLoader::new().load(model, path)?.metadata)
}

/// Reads the metadata of a weight file.
///
/// # Errors
/// The errors of [`WeightFile::open`].
pub fn read_metadata(path: impl AsRef<Path>) -> Result<Metadata, WeightsError> {
    Ok(WeightFile::open(path)?.metadata().clone())
}

#[cfg(test)]
mod tests;
