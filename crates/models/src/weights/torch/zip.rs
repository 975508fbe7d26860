//! Reads the layout since PyTorch 1.6: a zip archive with `<name>/data.pkl`, `<name>/byteorder` and a file
//! `<name>/data/<key>` for each storage. Checksums are not verified, because PyTorch can be told not to write them.

use super::{directory, directory::Entry, state_dict};
use crate::weights::{
    TensorInfo,
    budget::Budget,
    dtype::ByteOrder,
    error::{Failure, shown},
    file::Contents,
    pickle::unpickle,
    stored::{FileBlock, FileSource, Stored, View},
};
use std::io::{BufReader, Read};

/// Cost of inflating a pickle, relative to reading a tensor of as many bytes.
const PICKLE_WORK: u64 = 4;
/// Bytes of a pickle that are read at a time.
const BUFFER: u64 = 8 << 10;

pub(crate) fn read_zip(
    source: &mut dyn FileSource,
    file_len: u64,
    entry: Option<&str>,
    budget: &mut Budget,
) -> Result<Contents, Failure> {
    // find the files of the state dict
    let files = directory::read(source, file_len, budget)?;
    let folder = files
        .iter()
        .filter_map(|(name, _)| name.strip_suffix("data.pkl"))
        .filter(|folder| folder.is_empty() || folder.ends_with('/'))
        .min_by_key(|folder| (folder.len(), *folder))
        .ok_or_else(|| Failure::Broken("a zip archive without data.pkl: torch.save did not write it".into()))?;
    let (folder, storages) = (Folder::new(&files, folder), Folder::new(&files, &format!("{folder}data/")));
    if folder.file("constants.pkl").is_some() {
        return Err(Failure::Broken("a TorchScript archive; from Python, save model.state_dict() instead".into()));
    }
    let order = match folder.block("byteorder", source, file_len)? {
        None => ByteOrder::Little,
        Some(block) => byte_order(source, &block, budget)?,
    };

    // run the pickle
    let program = folder.block("data.pkl", source, file_len)?;
    let program = program.ok_or_else(|| Failure::Broken("data.pkl is gone".into()))?;
    budget.work(program.inflated().saturating_mul(PICKLE_WORK))?;
    let buffer = program.len().min(BUFFER);
    budget.take_block(program.reader_memory() + buffer)?;
    let mut reader = BufReader::with_capacity(buffer as usize, program.reader(source, 0)?);
    let pickle = unpickle(&mut reader, program.len(), budget)?;
    drop(reader);
    budget.release_block(program.reader_memory() + buffer);

    // describe its tensors, whose elements stay in the file
    let state_dict = state_dict::find(&pickle, entry, budget)?;
    let mut contents = Contents::new(state_dict.metadata, state_dict.tensors.len(), budget)?;
    for (name, tensor) in state_dict.tensors {
        let (key, storage) = pickle.storage(tensor)?;
        let wrong = |reason: &str| Failure::Broken(format!("{}: {reason}", shown(&name)));
        let file = storages.file(key).ok_or_else(|| wrong(&format!("there is no storage {:?}", shown(key))))?;
        let block = file.block(source, file_len).map_err(|failure| failure.within(&shown(&name)))?;
        let view = View {
            storage_len: storage.len,
            offset: storage.first.saturating_add(tensor.offset),
            strides: pickle.sizes(tensor.strides)?,
        };
        let info = TensorInfo { shape: pickle.sizes(tensor.shape)?, dtype: storage.dtype };
        let stored = Stored::view(info, block, order, view, budget).map_err(|reason| wrong(&reason))?;
        contents.push(&name, stored, budget)?;
    }
    Ok(contents)
}

/// The files below a folder. Only the part of a path after the folder's name is compared, because a long name would be
/// repeated for each storage.
#[derive(Clone, Copy)]
struct Folder<'a> {
    files: &'a [(Box<str>, Entry)],
    /// Bytes of the folder's name, including the slash at its end.
    prefix: usize,
}

impl<'a> Folder<'a> {
    fn new(files: &'a [(Box<str>, Entry)], name: &str) -> Folder<'a> {
        let start = files.partition_point(|(file, _)| **file < *name);
        let count = files[start..].partition_point(|(file, _)| file.starts_with(name));
        Folder { files: &files[start..start + count], prefix: name.len() }
    }

    fn file(&self, name: &str) -> Option<&'a Entry> {
        let place = self.files.binary_search_by(|(file, _)| file[self.prefix..].cmp(name)).ok()?;
        Some(&self.files[place].1)
    }

    /// Returns the position of the content of a file, if there is one of this name.
    fn block(&self, name: &str, source: &mut dyn FileSource, file_len: u64) -> Result<Option<FileBlock>, Failure> {
        let Some(entry) = self.file(name) else { return Ok(None) };
        entry.block(source, file_len).map(Some).map_err(|failure| failure.within(name))
    }
}

fn byte_order(source: &mut dyn FileSource, block: &FileBlock, budget: &mut Budget) -> Result<ByteOrder, Failure> {
    budget.check(block.reader_memory())?;
    let mut text = Vec::new();
    block.reader(source, 0)?.take(16).read_to_end(&mut text)?;
    match text.trim_ascii() {
        b"little" => Ok(ByteOrder::Little),
        b"big" => Ok(ByteOrder::Big),
        _ => Err(Failure::Broken(format!("the byte order {:?} is not known", String::from_utf8_lossy(&text)))),
    }
}
