//! A weight file of any format.

use super::{
    DType, Metadata, WeightsError,
    budget::{Budget, Exhausted},
    error::{Failure, shown},
    safetensors,
    stored::{FileSource, SharedSource, Stored, is_readable},
    torch,
};
use ocelli_tensor::Tensor;
use std::{
    fmt,
    fs::File,
    io::{self, Read, SeekFrom},
    path::Path,
};

/// The description of a tensor in a weight file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// The shape, in the order of the file's axes.
    pub shape: Vec<usize>,
    /// The element type.
    pub dtype: DType,
}

/// A format that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WeightFormat {
    /// The safetensors format.
    Safetensors,
    /// The zip archive that `torch.save` writes since PyTorch 1.6.
    TorchZip,
    /// The layout that `torch.save` wrote before: pickles, then elements.
    TorchLegacy,
}

/// The tensors and metadata that the reader of a format finds.
#[derive(Debug)]
pub(super) struct Contents {
    /// Tensors in the order of their names.
    tensors: Vec<(Box<str>, Stored)>,
    pub(super) metadata: Metadata,
}

impl Contents {
    /// Makes empty contents with room for `count` tensors.
    pub(super) fn new(metadata: Metadata, count: usize, budget: &mut Budget) -> Result<Contents, Exhausted> {
        Ok(Contents { tensors: budget.vector(count)?, metadata })
    }

    /// Appends a tensor whose name follows those of the others in order.
    pub(super) fn push(&mut self, name: &str, stored: Stored, budget: &mut Budget) -> Result<(), Exhausted> {
        budget.take_text(name)?;
        budget.take_block(stored.parts() as u64)?;
        // The loader needs the path that the name stands for, and a copy in its report.
        budget.take_block((3 * size_of::<String>() + name.len()) as u64)?;
        budget.push(&mut self.tensors, (name.into(), stored))
    }

    fn get(&self, name: &str) -> Option<&Stored> {
        let place = self.tensors.binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
        Some(&self.tensors[place].1)
    }
}

/// An open weight file: the names, shapes and element types of its tensors are known, and elements are read one tensor
/// at a time.
///
/// The format is detected from the content: safetensors, or a state dict of PyTorch (`.pth`, `.pt`) in the layout
/// before or since 1.6. No code in a file is ever run. In a checkpoint such as `{"state_dict": {…}, "epoch": 3}` the
/// state dict is found; the numbers and texts beside it are the metadata. Tensors, lists, sets, element types and
/// whatever else `torch.load(weights_only=True)` allows may lie beside it. A list or tuple is searched like a dict with
/// the keys `0`, `1`, ….
///
/// A file takes memory and time in proportion to its length, whatever its bytes say: at most 64 KiB and eight times its
/// length for the descriptions of its tensors, and nothing for elements that it does not have. A file that needs more,
/// such as one whose storages are deflated to a tenth of their length, is refused.
///
/// ```
/// use ocelli_graph::Model;
/// use ocelli_models::{LeNet5, Metadata, WeightFile, save_weights};
/// let path = std::env::temp_dir().join(format!("ocelli-doc-file-{}.safetensors", std::process::id()));
/// save_weights(&Model::from_layer(LeNet5::modern(10), [32, 32, 1], 0)?, &path, &Metadata::new())?;
/// let mut file = WeightFile::open(&path)?;
/// assert_eq!(file.info("c3.weight").unwrap().shape, [16, 6, 5, 5]);
/// assert_eq!(file.read("c3.weight")?.len(), 2_400);
/// # std::fs::remove_file(path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct WeightFile {
    name: String,
    source: SharedSource,
    format: WeightFormat,
    contents: Contents,
    /// The budget left for further reading of the metadata.
    budget: Budget,
}

impl fmt::Debug for WeightFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WeightFile { name, format, contents, .. } = self;
        f.debug_struct("WeightFile")
            .field("name", name)
            .field("format", format)
            .field("tensors", &contents.tensors.len())
            .finish()
    }
}

impl WeightFile {
    /// Opens a file.
    ///
    /// # Errors
    /// [`WeightsError::Io`], [`WeightsError::Format`], [`WeightsError::Refused`] or [`WeightsError::Entry`].
    pub fn open(path: impl AsRef<Path>) -> Result<WeightFile, WeightsError> {
        WeightFile::at(path.as_ref(), None)
    }

    /// Opens a file of PyTorch that holds several state dicts, at the one called `entry`: `"ema"`, `"a.b"` for the
    /// entry `b` of the entry `a`, `"0"` for the first of a list, or `""` for the whole file.
    ///
    /// # Errors
    /// The errors of [`WeightFile::open`].
    pub fn open_entry(path: impl AsRef<Path>, entry: &str) -> Result<WeightFile, WeightsError> {
        WeightFile::at(path.as_ref(), Some(entry))
    }

    /// Reads a file that is in memory. Error messages call it `name`.
    ///
    /// # Errors
    /// The errors of [`WeightFile::open`].
    pub fn from_bytes(name: &str, bytes: impl Into<Vec<u8>>) -> Result<WeightFile, WeightsError> {
        let bytes = bytes.into();
        let len = bytes.len() as u64;
        WeightFile::new(name, Box::new(io::Cursor::new(bytes)), len, None)
    }

    fn at(path: &Path, entry: Option<&str>) -> Result<WeightFile, WeightsError> {
        let name = path.display().to_string();
        let opened = File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (len, file) = opened.map_err(|source| WeightsError::Io { path: name.clone(), source })?;
        WeightFile::new(&name, Box::new(file), len, entry)
    }

    fn new(
        name: &str,
        mut source: Box<dyn FileSource>,
        len: u64,
        entry: Option<&str>,
    ) -> Result<WeightFile, WeightsError> {
        let mut budget = Budget::for_file(len);
        let read = read(&mut *source, len, entry, &mut budget);
        let (format, contents) = read.map_err(|failure| failure.at(name))?;
        Ok(WeightFile { name: name.into(), source: SharedSource::new(source), format, contents, budget })
    }

    /// Returns the name of the file, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the detected format.
    pub fn format(&self) -> WeightFormat {
        self.format
    }

    /// Returns the metadata of the file.
    pub fn metadata(&self) -> &Metadata {
        &self.contents.metadata
    }

    /// Returns every tensor with its name, in the order of the names.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &TensorInfo)> {
        self.contents.tensors.iter().map(|(name, stored)| (&**name, &stored.info))
    }

    /// Returns the description of the tensor called `name`, if there is one.
    pub fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.contents.get(name).map(|stored| &stored.info)
    }

    /// Reads the elements of a tensor as `f32`, in the order of the file's axes.
    ///
    /// # Errors
    /// [`WeightsError::Unknown`], [`WeightsError::Format`] for an element type that cannot be read, or
    /// [`WeightsError::Io`].
    pub fn read(&mut self, name: &str) -> Result<Tensor, WeightsError> {
        let stored = self.stored(name)?;
        stored.read(&self.source).map_err(|error| self.failed(name, error))
    }

    /// Returns the budget left for this file.
    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Calls `take` with successive pieces of `len` elements of a tensor, and with the number of elements before each.
    pub(super) fn read_pieces(
        &self,
        name: &str,
        len: usize,
        take: impl FnMut(usize, &[f32]),
    ) -> Result<(), WeightsError> {
        self.stored(name)?.read_pieces(&self.source, len, take).map_err(|error| self.failed(name, error))
    }

    fn stored(&self, name: &str) -> Result<&Stored, WeightsError> {
        let Some(stored) = self.contents.get(name) else {
            return Err(WeightsError::Unknown { path: self.name.clone(), name: name.into() });
        };
        let dtype = stored.info.dtype;
        if !is_readable(dtype) {
            return Err(Failure::Broken(format!("{} holds {dtype}, which cannot be read", shown(name))).at(&self.name));
        }
        Ok(stored)
    }

    fn failed(&self, name: &str, error: io::Error) -> WeightsError {
        match error.kind() {
            // Of deflate.
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                Failure::Broken(format!("{}: {error}", shown(name))).at(&self.name)
            }
            _ => Failure::from(error).at(&self.name),
        }
    }
}

fn read(
    source: &mut dyn FileSource,
    len: u64,
    entry: Option<&str>,
    budget: &mut Budget,
) -> Result<(WeightFormat, Contents), Failure> {
    let mut start = Vec::new();
    source.seek(SeekFrom::Start(0))?;
    (&mut *source).take(16).read_to_end(&mut start)?;
    if safetensors::is_meant(&start) {
        if let Some(wanted) = entry {
            return Err(Failure::Entry { wanted: Some(wanted.into()), found: vec!["\"\"".into()] });
        }
        return Ok((WeightFormat::Safetensors, safetensors::read(source, len, budget)?));
    }
    match start[..] {
        [b'P', b'K', 3, 4, ..] => Ok((WeightFormat::TorchZip, torch::read_zip(source, len, entry, budget)?)),
        [0x80, 2..=5, ..] => Ok((WeightFormat::TorchLegacy, torch::read_legacy(source, len, entry, budget)?)),
        _ => Err(Failure::Broken("neither a safetensors file nor one that torch.save wrote".into())),
    }
}
