//! Writes safetensors.

use super::{LoadReport, Metadata, WeightsError, layout::FileLayout};
use ocelli_graph::Model;
use ocelli_kernels::finite::first_non_finite;
use ocelli_tensor::{Tensor, write_atomically};
use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::Path,
};

/// Elements that are converted at a time.
const PIECE: usize = 64 << 10;

/// Writes every parameter, trained or not, in PyTorch's layout. The write is atomic, and equal models have equal files.
///
/// Weights that are NaN or infinite are not written, because only a [`lenient`](crate::WeightLoader::lenient) loader
/// would accept them: an older file stays as it is. [`save_tensors`] writes any elements.
///
/// # Errors
/// [`WeightsError::NotFinite`] with the parameters, [`WeightsError::Write`] if the file cannot be written.
///
/// ```
/// use ocelli_graph::Model;
/// use ocelli_models::{LeNet5, Metadata, load_weights, save_weights};
/// let model = Model::from_layer(LeNet5::modern(10), [32, 32, 1], 0)?;
/// let path = std::env::temp_dir().join(format!("ocelli-doc-{}.safetensors", std::process::id()));
/// save_weights(&model, &path, &Metadata::new())?;
/// let mut other = Model::from_layer(LeNet5::modern(10), [32, 32, 1], 1)?;
/// load_weights(&mut other, &path)?;
/// assert_eq!(other.parameters().value("c1.weight"), model.parameters().value("c1.weight"));
/// # std::fs::remove_file(path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn save_weights(model: &Model, path: impl AsRef<Path>, metadata: &Metadata) -> Result<(), WeightsError> {
    let path = path.as_ref();
    let is_not_finite = |value: &Tensor| first_non_finite(value.data()).is_some();
    let not_finite = model.parameters().iter().filter(|(_, value)| is_not_finite(value));
    let not_finite: Vec<String> = not_finite.map(|(parameter, _)| parameter.path.clone()).collect();
    if !not_finite.is_empty() {
        let report = Box::new(LoadReport { not_finite, ..LoadReport::default() });
        return Err(WeightsError::NotFinite { path: path.display().to_string(), report });
    }
    let layouts = model
        .parameters()
        .iter()
        .map(|(p, value)| (p.path.as_str(), FileLayout::for_parameter(p, value.shape()).shape));
    let header = header(layouts, metadata);
    Ok(write_atomically(path, |file| {
        file.write_all(&header)?;
        let mut in_file_order = Vec::new();
        for (parameter, value) in model.parameters().iter() {
            let layout = FileLayout::for_parameter(parameter, value.shape());
            if layout.is_same() {
                write_values(file, value.data())?;
            } else {
                in_file_order.resize(value.len(), 0.0);
                layout.to_file(value.data(), &mut in_file_order);
                write_values(file, &in_file_order)?;
            }
        }
        Ok(())
    })?)
}

/// Writes tensors by name in the order of their elements: activations, gradients.
/// [`channels_first`](super::channels_first) and [`in_file_layout`](super::in_file_layout) convert them to PyTorch's
/// order. The write is atomic.
///
/// # Errors
/// [`WeightsError::Write`] if the file cannot be written.
pub fn save_tensors(
    tensors: &BTreeMap<String, Tensor>,
    path: impl AsRef<Path>,
    metadata: &Metadata,
) -> Result<(), WeightsError> {
    let header = header(tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.shape().to_vec())), metadata);
    Ok(write_atomically(path, |file| {
        file.write_all(&header)?;
        tensors.values().try_for_each(|tensor| write_values(file, tensor.data()))
    })?)
}

/// Returns the header of a file with tensors of these names and shapes: a length, then metadata and tensors in the
/// order of their names, in JSON.
fn header<'a>(tensors: impl Iterator<Item = (&'a str, Vec<usize>)>, metadata: &Metadata) -> Vec<u8> {
    let mut header = BTreeMap::new();
    if !metadata.is_empty() {
        header.insert("__metadata__", serde_json::json!(metadata));
    }
    let mut start = 0;
    for (name, shape) in tensors {
        let end = start + shape.iter().product::<usize>() * size_of::<f32>();
        header.insert(name, serde_json::json!({ "dtype": "F32", "shape": shape, "data_offsets": [start, end] }));
        start = end;
    }
    let mut header = serde_json::json!(header).to_string();
    // The data begin at a multiple of eight bytes.
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
    [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat()
}

fn write_values(file: &mut dyn Write, values: &[f32]) -> io::Result<()> {
    let mut bytes = vec![0; values.len().min(PIECE) * size_of::<f32>()];
    for piece in values.chunks(PIECE) {
        let bytes = &mut bytes[..size_of_val(piece)];
        let words = bytes.as_chunks_mut::<4>().0;
        words.iter_mut().zip(piece).for_each(|(word, number)| *word = number.to_le_bytes());
        file.write_all(bytes)?;
    }
    Ok(())
}
