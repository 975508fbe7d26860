//! The layout since PyTorch 1.6: a zip archive with `<name>/data.pkl`, `<name>/byteorder` and a file
//! `<name>/data/<key>` for each storage.

use super::{MAX_PICKLE, state_dict};
use crate::weights::{
    TensorInfo,
    dtype::ByteOrder,
    error::Failure,
    file::Contents,
    pickle::{StorageRef, TensorRef, unpickle},
    stored::{Block, Source, Stored},
};
use std::{
    collections::HashMap,
    io::{BufReader, Read},
};
use zip::{CompressionMethod, ZipArchive, result::ZipError};

/// Bytes after which the tensors of a file are not inflated: an archive can claim a thousand times its size.
const MAX_INFLATED: u64 = 16 << 30;

impl From<ZipError> for Failure {
    fn from(error: ZipError) -> Failure {
        match error {
            ZipError::Io(error) => Failure::from(error),
            other => Failure::Broken(format!("not a whole zip archive: {other}")),
        }
    }
}

pub(crate) fn read_zip(mut source: &mut dyn Source, file_len: u64, entry: Option<&str>) -> Result<Contents, Failure> {
    let blocks = blocks(&mut source, file_len)?;
    let block = |name: &str| blocks.get(name).map(|block| block.clone().map_err(Failure::Broken)).transpose();
    let folder = blocks
        .keys()
        .filter_map(|name| name.strip_suffix("data.pkl"))
        .filter(|folder| folder.is_empty() || folder.ends_with('/'))
        .min_by_key(|folder| (folder.len(), folder.to_string()))
        .ok_or_else(|| Failure::Broken("a zip archive without data.pkl: torch.save did not write it".into()))?;
    if blocks.contains_key(&format!("{folder}constants.pkl")) {
        return Err(Failure::Broken("a TorchScript archive; from Python, save model.state_dict() instead".into()));
    }
    let order = match block(&format!("{folder}byteorder"))? {
        None => ByteOrder::Little,
        Some(block) => {
            let mut text = String::new();
            block.reader(source, 0)?.take(16).read_to_string(&mut text)?;
            match text.trim() {
                "little" => ByteOrder::Little,
                "big" => ByteOrder::Big,
                _ => return Err(Failure::Broken(format!("the byte order {text:?} is not known"))),
            }
        }
    };

    let program = block(&format!("{folder}data.pkl"))?.ok_or_else(|| Failure::Broken("data.pkl is gone".into()))?;
    if program.len() > MAX_PICKLE {
        return Err(Failure::Broken(format!("its pickle has {} bytes, more than {MAX_PICKLE}", program.len())));
    }
    let pickle = unpickle(&mut BufReader::new(program.reader(source, 0)?), program.len())?;
    let (tensors, metadata) = state_dict::find(&pickle, entry)?;
    let mut contents = Contents { metadata, ..Contents::default() };
    let mut inflated = 0u64;
    for (name, TensorRef { storage, offset, shape, strides }) in tensors {
        let wrong = |reason: String| Failure::Broken(format!("{name}: {reason}"));
        let StorageRef { key, dtype, len, first } = storage;
        let data =
            block(&format!("{folder}data/{key}"))?.ok_or_else(|| wrong(format!("there is no storage {key:?}")))?;
        let info = TensorInfo { shape: shape.clone(), dtype: *dtype };
        let offset = first.saturating_add(*offset);
        let stored = Stored::view(info, data, order, *len, offset, strides.clone()).map_err(wrong)?;
        inflated = inflated.saturating_add(stored.inflated());
        contents.tensors.insert(name.to_string(), stored);
    }
    if inflated > MAX_INFLATED {
        return Err(Failure::Broken(format!("its tensors inflate to {inflated} bytes, more than {MAX_INFLATED}")));
    }
    Ok(contents)
}

/// Where each file of the archive lies, or what is wrong with it. Only the directory is left to the `zip` crate: checksums
/// are not looked at, because PyTorch can be told not to write them.
fn blocks(source: &mut &mut dyn Source, file_len: u64) -> Result<HashMap<String, Result<Block, String>>, Failure> {
    let mut archive = ZipArchive::new(source)?;
    let mut blocks = HashMap::new();
    for number in 0..archive.len() {
        let file = archive.by_index_raw(number)?;
        let name = file.name()?.into_owned();
        let (packed, len) = (file.compressed_size(), file.size());
        let block = match (file.data_start(), file.compression()) {
            (None, _) => Err("it has no place in the archive".into()),
            _ if file.encrypted() => Err("it is encrypted".into()),
            (Some(start), CompressionMethod::Stored) => Block::new(start, packed, file_len),
            (Some(start), CompressionMethod::Deflated) => Block::deflated(start, packed, len, file_len),
            (_, method) => Err(format!("it is compressed by {method:?}, known is deflate")),
        };
        blocks.insert(name.clone(), block.map_err(|reason| format!("{name}: {reason}")));
    }
    Ok(blocks)
}
