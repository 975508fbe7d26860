//! Reads the layout before PyTorch 1.6: four pickles (a magic number, the protocol's version, facts about the writer,
//! the object), the list of storage keys, then the storages in that order, each with its length in front,
//! little-endian.

use super::state_dict;
use crate::weights::{
    DType, TensorInfo,
    budget::Budget,
    dtype::ByteOrder,
    error::{Failure, shown},
    file::Contents,
    pickle::{Object, Pickle, PickleValue, unpickle},
    stored::{FileBlock, FileSource, Stored, View},
};
use std::io::{BufReader, Read, Seek, SeekFrom};

/// The magic number, lowest byte first: 0x1950a86a20f9469cfc6c.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// The only version of the layout.
const VERSION: i64 = 1001;
/// Bytes that are read at a time.
const BUFFER: u64 = 8 << 10;

pub(crate) fn read_legacy(
    source: &mut dyn FileSource,
    file_len: u64,
    entry: Option<&str>,
    budget: &mut Budget,
) -> Result<Contents, Failure> {
    // read the pickles
    let buffer = file_len.min(BUFFER);
    budget.take_block(buffer)?;
    let mut reader = BufReader::with_capacity(buffer as usize, source);
    reader.seek(SeekFrom::Start(0))?;
    let mut next = || {
        let rest = file_len - reader.stream_position()?;
        Ok::<Pickle, Failure>(unpickle(&mut reader, rest, budget)?)
    };
    let magic = next()?;
    if magic.object(magic.root) != Some(&Object::LongInt(MAGIC.into())) {
        return Err(Failure::Broken("a pickle, but none that torch.save wrote".into()));
    }
    match next()?.root {
        PickleValue::Int(VERSION) => {}
        PickleValue::Int(version) => {
            return Err(Failure::Broken(format!("the version of its layout is {version}, known is {VERSION}")));
        }
        _ => return Err(Failure::Broken("the version of its layout is no number".into())),
    }
    let _writer = next()?;
    let pickle = next()?;
    let keys = next()?;
    // find the state dict and its storages
    let state_dict = state_dict::find(&pickle, entry, budget)?;
    let blocks = blocks(&mut reader, file_len, &pickle, &keys, budget)?;
    let mut contents = Contents::new(state_dict.metadata, state_dict.tensors.len(), budget)?;
    for (name, tensor) in state_dict.tensors {
        let (key, storage) = pickle.storage(tensor)?;
        let wrong = |reason: &str| Failure::Broken(format!("{}: {reason}", shown(&name)));
        let place = blocks.binary_search_by(|(known, _)| (*known).cmp(key));
        let place = place.map_err(|_| wrong(&format!("there is no storage {:?}", shown(key))))?;
        let view = View {
            storage_len: storage.len,
            offset: storage.first.saturating_add(tensor.offset),
            strides: pickle.sizes(tensor.strides)?,
        };
        let info = TensorInfo { shape: pickle.sizes(tensor.shape)?, dtype: storage.dtype };
        let stored = Stored::view(info, blocks[place].1, ByteOrder::Little, view, budget);
        contents.push(&name, stored.map_err(|reason| wrong(&reason))?, budget)?;
    }
    Ok(contents)
}

/// Returns the position of each storage, in the order of their keys.
fn blocks<'a>(
    reader: &mut BufReader<&mut dyn FileSource>,
    file_len: u64,
    pickle: &'a Pickle,
    keys: &'a Pickle,
    budget: &mut Budget,
) -> Result<Vec<(&'a str, FileBlock)>, Failure> {
    let broken = |reason: &str| Failure::Broken(reason.into());
    let kinds = kinds(pickle, budget)?;
    let Some(Object::List(keys_in_order)) = keys.object(keys.root) else {
        return Err(broken("it has no list of storages"));
    };
    let mut blocks = Vec::new();
    for &key in keys_in_order {
        let key = keys.text(key).ok_or_else(|| broken("the key of a storage is no text"))?;
        let unused = || Failure::Broken(format!("no tensor that can be read uses the storage {:?}", shown(key)));
        let place = kinds.binary_search_by(|(known, _)| (*known).cmp(key)).map_err(|_| unused())?;
        let mut count = [0; 8];
        reader.read_exact(&mut count)?;
        let start = reader.stream_position()?;
        let bytes = u64::from_le_bytes(count).saturating_mul(kinds[place].1.bytes() as u64);
        let block = FileBlock::new(start, bytes, file_len).map_err(Failure::Broken)?;
        reader.seek(SeekFrom::Start(start + bytes))?;
        budget.push(&mut blocks, (key, block))?;
    }
    blocks.sort_unstable_by_key(|(key, _)| *key);
    Ok(blocks)
}

/// Returns the element types of the storages that tensors use, in the order of their keys.
fn kinds<'a>(pickle: &'a Pickle, budget: &mut Budget) -> Result<Vec<(&'a str, DType)>, Failure> {
    let mut kinds = Vec::new();
    for object in pickle.objects.iter() {
        if let Object::Storage(storage) = object
            && let Some(key) = pickle.text(PickleValue::Object(storage.key))
        {
            budget.push(&mut kinds, (key, storage.dtype))?;
        }
    }
    kinds.sort_unstable_by_key(|(key, _)| *key);
    kinds.dedup_by_key(|(key, _)| *key);
    Ok(kinds)
}
