//! Weight files: safetensors and PyTorch's state dicts in, safetensors out, in PyTorch's names and layouts.
//!
//! [`WeightFile`] opens either format, [`WeightLoader`] decides which tensor goes to which parameter, and `layout` is the one
//! place that knows in which order numbers lie on either side. Files are not trusted: nothing in them is run, no bytes make the
//! reader panic, and what they make it allocate and repeat is taken from a `budget` that their length decides.

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

/// What a file says of itself, by keys: `architecture`, `classes`, …
pub type Metadata = BTreeMap<String, String>;

/// Reads every parameter of the model from a file in PyTorch's names and layouts: [`WeightLoader`] without any rule.
///
/// # Errors
/// As [`WeightFile::open`] and [`WeightLoader::load_from`].
pub fn load_weights(model: &mut Model, path: impl AsRef<Path>) -> Result<Metadata, WeightsError> {
    Ok(WeightLoader::new().load(model, path)?.metadata)
}

/// What a weight file says of itself.
///
/// # Errors
/// As [`WeightFile::open`].
pub fn read_metadata(path: impl AsRef<Path>) -> Result<Metadata, WeightsError> {
    Ok(WeightFile::open(path)?.metadata().clone())
}

#[cfg(test)]
mod tests;
