//! Weight files: safetensors in PyTorch's names and layouts.
//!
//! Inside, filters are `[kernel_h, kernel_w, in, out]` and matrices `[in, out]`; in files they are `[out, in, kernel_h,
//! kernel_w]` and `[out, in]`. The one place that knows both is here.

use ocelli_graph::Model;
use ocelli_tensor::{ShapeText, Tensor, write_atomically};
use safetensors::{Dtype, SafeTensorError, SafeTensors, tensor::TensorView};
use std::{collections::BTreeMap, fs, path::Path};

/// What a file says of itself, by keys: `architecture`, `classes`, …
pub type Metadata = BTreeMap<String, String>;

/// What can go wrong with a weight file.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The system refused a read or a write.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file could not be written.
    #[error(transparent)]
    Write(#[from] ocelli_tensor::Error),
    /// The file is no safetensors file, or a broken one.
    #[error("{path}: not a whole safetensors file: {reason}")]
    Format {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file's tensors are not those of the model; all differences at once.
    #[error("{path} does not fit the model: {}", differences.join("; "))]
    Mismatch {
        /// The file.
        path: String,
        /// One sentence a difference.
        differences: Vec<String>,
    },
}

/// Whether the file keeps a parameter with its last axis first: weights of layers, not states like fixed codes.
fn is_weight(path: &str) -> bool {
    path.rsplit('.').next() == Some("weight")
}

/// The order of the axes in a file, as numbers of the axes in the model: the outputs first, then the inputs, then the
/// window.
fn file_axes(path: &str, rank: usize) -> Vec<usize> {
    match rank {
        2.. if is_weight(path) => {
            let window = 0..rank.saturating_sub(2);
            match rank {
                3 => vec![2, 0, 1],
                _ => [rank - 1, rank - 2].into_iter().chain(window).collect(),
            }
        }
        _ => (0..rank).collect(),
    }
}

fn permuted_shape(shape: &[usize], axes: &[usize]) -> Vec<usize> {
    axes.iter().map(|&axis| shape[axis]).collect()
}

/// The numbers of a tensor with its axes in another order; result axis `i` is axis `axes[i]`.
fn permuted(data: &[f32], shape: &[usize], axes: &[usize]) -> Vec<f32> {
    let mut strides = vec![1; shape.len()];
    for axis in (0..shape.len().saturating_sub(1)).rev() {
        strides[axis] = strides[axis + 1] * shape[axis + 1];
    }
    let result = Tensor::from_fn(permuted_shape(shape, axes), |index| {
        data[index.iter().zip(axes).map(|(i, &axis)| i * strides[axis]).sum::<usize>()]
    });
    result.into_vec()
}

/// Writes every parameter, trained or not, in PyTorch's layout. The write is atomic.
///
/// # Errors
/// [`WeightsError::Write`] if the file cannot be written.
///
/// ```
/// use ocelli_graph::Model;
/// use ocelli_models::{LeNet5, Metadata, load_weights, save_weights};
/// let model = Model::of(LeNet5::modern(10), [32, 32, 1], 0)?;
/// let path = std::env::temp_dir().join(format!("ocelli-doc-{}.safetensors", std::process::id()));
/// save_weights(&model, &path, &Metadata::new())?;
/// let mut other = Model::of(LeNet5::modern(10), [32, 32, 1], 1)?;
/// load_weights(&mut other, &path)?;
/// assert_eq!(other.parameters().value("c1.weight"), model.parameters().value("c1.weight"));
/// # std::fs::remove_file(path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn save_weights(model: &Model, path: impl AsRef<Path>, metadata: &Metadata) -> Result<(), WeightsError> {
    let path = path.as_ref();
    let format =
        |error: SafeTensorError| WeightsError::Format { path: path.display().to_string(), reason: error.to_string() };
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = model
        .parameters()
        .iter()
        .map(|(parameter, value)| {
            let axes = file_axes(&parameter.path, value.shape().len());
            let numbers = permuted(value.data(), value.shape(), &axes);
            let bytes = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            (parameter.path.clone(), permuted_shape(value.shape(), &axes), bytes)
        })
        .collect();
    let views = tensors
        .iter()
        .map(|(path, shape, bytes)| TensorView::new(Dtype::F32, shape.clone(), bytes).map(|view| (path.clone(), view)));
    let views = views.collect::<Result<Vec<_>, _>>().map_err(format)?;
    let bytes = safetensors::serialize(views, None).map_err(format)?;
    let (header, data) = with_metadata(&bytes, metadata).map_err(|error| format(error.into()))?;
    Ok(write_atomically(path, |file| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(header.as_bytes())?;
        file.write_all(data)
    })?)
}

/// The header of a file with metadata in the order of their keys, and its data. `safetensors` takes metadata as a hash map
/// and writes them in another order each time; equal models are to have equal files.
fn with_metadata<'a>(bytes: &'a [u8], metadata: &Metadata) -> Result<(String, &'a [u8]), serde_json::Error> {
    let (length, rest) = bytes.split_at(8);
    let length = length.iter().rev().fold(0usize, |length, byte| length << 8 | usize::from(*byte));
    let (header, data) = rest.split_at(length);
    let mut header: BTreeMap<String, serde_json::Value> = serde_json::from_slice(header)?;
    if !metadata.is_empty() {
        header.insert("__metadata__".into(), serde_json::to_value(metadata)?);
    }
    let mut header = serde_json::to_string(&header)?;
    // The data begin at a multiple of eight bytes.
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
    Ok((header, data))
}

/// Reads every parameter of the model from a file in PyTorch's names and layouts. Nothing is changed unless everything
/// fits.
///
/// # Errors
/// [`WeightsError::Io`], [`WeightsError::Format`] for a file that is truncated or of another kind, and
/// [`WeightsError::Mismatch`] with all that is missing, unexpected, or of another shape or type.
pub fn load_weights(model: &mut Model, path: impl AsRef<Path>) -> Result<Metadata, WeightsError> {
    let path = path.as_ref();
    let bytes = read(path)?;
    let file = parse(path, &bytes)?;
    let mut differences = Vec::new();
    let mut values: Vec<(String, Tensor)> = Vec::new();
    for (parameter, value) in model.parameters().iter() {
        let name = &parameter.path;
        let axes = file_axes(name, value.shape().len());
        let expected = permuted_shape(value.shape(), &axes);
        match file.tensor(name) {
            Err(_) => differences.push(format!("{name} is missing")),
            Ok(tensor) if tensor.dtype() != Dtype::F32 => {
                differences.push(format!("{name} holds {:?}, expected F32", tensor.dtype()));
            }
            Ok(tensor) if tensor.shape() != expected => {
                let (expected, got) = (ShapeText(&expected), ShapeText(tensor.shape()));
                differences.push(format!("{name} is {got}, expected {expected}"));
            }
            Ok(tensor) => {
                let (words, _) = tensor.data().as_chunks::<4>();
                let numbers: Vec<f32> = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
                let mut back = vec![0; axes.len()];
                axes.iter().enumerate().for_each(|(i, &axis)| back[axis] = i);
                let numbers = permuted(&numbers, &expected, &back);
                values.push((name.clone(), Tensor::from_vec(value.shape(), numbers)?));
            }
        }
    }
    let known = |name: &&&str| model.parameters().get(name).is_none();
    let mut names = file.names();
    names.sort_unstable();
    differences.extend(names.iter().filter(known).map(|name| format!("{name} is unexpected")));
    if !differences.is_empty() {
        return Err(WeightsError::Mismatch { path: path.display().to_string(), differences });
    }
    for (name, value) in values {
        model.parameters_mut().set(&name, value).expect("names and shapes were compared above");
    }
    metadata_of(path, &bytes)
}

/// What a weight file says of itself.
///
/// # Errors
/// [`WeightsError::Io`] or [`WeightsError::Format`].
pub fn read_metadata(path: impl AsRef<Path>) -> Result<Metadata, WeightsError> {
    let path = path.as_ref();
    metadata_of(path, &read(path)?)
}

fn read(path: &Path) -> Result<Vec<u8>, WeightsError> {
    fs::read(path).map_err(|source| WeightsError::Io { path: path.display().to_string(), source })
}

fn format_error(path: &Path, error: &SafeTensorError) -> WeightsError {
    WeightsError::Format { path: path.display().to_string(), reason: error.to_string() }
}

fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<SafeTensors<'a>, WeightsError> {
    SafeTensors::deserialize(bytes).map_err(|error| format_error(path, &error))
}

fn metadata_of(path: &Path, bytes: &[u8]) -> Result<Metadata, WeightsError> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| format_error(path, &error))?;
    Ok(header.metadata().clone().unwrap_or_default().into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ocelli_layers::{Conv2d, Dense};

    fn model(channels: usize, seed: u64) -> Model {
        let network = |x: &ocelli_graph::Node| {
            x.apply("conv", Conv2d::new(channels, [2, 3])).global_avg_pool().apply("fc", Dense::new(3))
        };
        Model::build(network, [5, 5, 2], seed).unwrap()
    }

    #[test]
    fn axes_are_those_of_pytorch() {
        assert_eq!(file_axes("c.weight", 4), [3, 2, 0, 1]);
        assert_eq!(file_axes("c.weight", 3), [2, 0, 1]);
        assert_eq!(file_axes("fc.weight", 2), [1, 0]);
        assert_eq!(file_axes("s.weight", 1), [0]);
        assert_eq!(file_axes("output.codes", 2), [0, 1]);
        assert_eq!(permuted(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3], &[1, 0]), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    }

    #[test]
    fn weights_and_metadata_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        let saved = model(4, 1);
        let metadata = Metadata::from([("architecture".to_string(), "test".to_string())]);
        save_weights(&saved, &path, &metadata).unwrap();
        let mut loaded = model(4, 2);
        assert_eq!(load_weights(&mut loaded, &path).unwrap(), metadata);
        for (parameter, value) in saved.parameters().iter() {
            assert_eq!(loaded.parameters().value(&parameter.path), Some(value), "{}", parameter.path);
        }
        let bytes = fs::read(&path).unwrap();
        let metadata: Metadata = (0..20).map(|i| (format!("key{i}"), i.to_string())).collect();
        let again = || {
            save_weights(&saved, folder.path().join("again"), &metadata).unwrap();
            fs::read(folder.path().join("again")).unwrap()
        };
        assert_eq!(again(), again(), "equal models have equal files");
        let file = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(file.tensor("conv.weight").unwrap().shape(), [4, 2, 2, 3]);
        assert_eq!(file.tensor("fc.weight").unwrap().shape(), [3, 4]);
    }

    #[test]
    fn files_that_do_not_fit_say_everything_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        save_weights(&model(4, 1), &path, &Metadata::new()).unwrap();
        let other = |x: &ocelli_graph::Node| x.apply("conv", Conv2d::new(5, [2, 3])).apply("last", Conv2d::new(1, 1));
        let mut other = Model::build(other, [5, 5, 2], 0).unwrap();
        let before = other.parameters().value("conv.bias").unwrap().clone();
        let error = load_weights(&mut other, &path).unwrap_err().to_string();
        for part in [
            "does not fit the model",
            "conv.weight is [4, 2, 2, 3], expected [5, 2, 2, 3]",
            "last.weight is missing",
            "fc.bias is unexpected",
        ] {
            assert!(error.contains(part), "{part} in: {error}");
        }
        assert_eq!(other.parameters().value("conv.bias"), Some(&before), "nothing was changed");
    }

    #[test]
    fn truncated_and_wrong_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        save_weights(&model(4, 1), &path, &Metadata::new()).unwrap();
        let whole = fs::read(&path).unwrap();
        for broken in [&whole[..whole.len() - 5], &whole[..20], b"\x1f\x8b gzip or so", b""] {
            fs::write(&path, broken).unwrap();
            let error = load_weights(&mut model(4, 1), &path).unwrap_err().to_string();
            assert!(error.contains("w.safetensors: not a whole safetensors file: "), "{error}");
        }
        let none = load_weights(&mut model(4, 1), folder.path().join("none")).unwrap_err();
        assert!(matches!(none, WeightsError::Io { .. }), "{none}");
    }
}
