//! The layout before PyTorch 1.6: four pickles (a magic number, the protocol's version, facts about the writer, the object),
//! the list of storage keys, then the storages in that order, each with its length in front, little-endian.

use super::{MAX_PICKLE, state_dict};
use crate::weights::{
    TensorInfo,
    dtype::ByteOrder,
    error::Failure,
    file::Contents,
    pickle::{Object, Pickle, TensorRef, Value, unpickle},
    stored::{Block, Source, Stored},
};
use std::{
    collections::HashMap,
    io::{BufReader, Read, Seek, SeekFrom},
};

/// The magic number, lowest byte first: 0x1950a86a20f9469cfc6c.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// The only version that there ever was.
const VERSION: i64 = 1001;

pub(crate) fn read_legacy(source: &mut dyn Source, file_len: u64, entry: Option<&str>) -> Result<Contents, Failure> {
    let mut reader = BufReader::new(source);
    reader.seek(SeekFrom::Start(0))?;
    let mut next = || unpickle(&mut reader, MAX_PICKLE);
    let magic = next()?;
    if magic.object(magic.root) != Some(&Object::Bytes(MAGIC.to_vec())) {
        return Err(Failure::Broken("a pickle, but none that torch.save wrote".into()));
    }
    let version = next()?.root;
    if version != Value::Int(VERSION) {
        return Err(Failure::Broken(format!("the version of its layout is {version:?}, known is {VERSION}")));
    }
    let _writer = next()?;
    let pickle = next()?;
    let keys = next()?;
    let blocks = blocks(&mut reader, file_len, &pickle, &keys)?;

    let (tensors, metadata) = state_dict::find(&pickle, entry)?;
    let mut contents = Contents { metadata, ..Contents::default() };
    for (name, TensorRef { storage, offset, shape, strides }) in tensors {
        let wrong = |reason: String| Failure::Broken(format!("{name}: {reason}"));
        let Some(block) = blocks.get(storage.key.as_str()) else {
            return Err(wrong(format!("there is no storage {:?}", storage.key)));
        };
        let info = TensorInfo { shape: shape.clone(), dtype: storage.dtype };
        let offset = storage.first.saturating_add(*offset);
        let stored = Stored::view(info, *block, ByteOrder::Little, storage.len, offset, strides.clone());
        contents.tensors.insert(name.to_string(), stored.map_err(wrong)?);
    }
    Ok(contents)
}

/// Where each storage lies.
fn blocks<'a>(
    reader: &mut BufReader<&mut dyn Source>,
    file_len: u64,
    pickle: &Pickle,
    keys: &'a Pickle,
) -> Result<HashMap<&'a str, Block>, Failure> {
    let broken = |reason: &str| Failure::Broken(reason.into());
    let storages = pickle.objects.iter().filter_map(|object| match object {
        Object::Storage(storage) => Some((storage.key.as_str(), storage.dtype)),
        _ => None,
    });
    let kinds: HashMap<&str, _> = storages.collect();
    let Some(Object::List(keys_in_order)) = keys.object(keys.root) else {
        return Err(broken("it has no list of storages"));
    };
    let mut blocks = HashMap::new();
    for &key in keys_in_order {
        let key = keys.text(key).ok_or_else(|| broken("the key of a storage is no text"))?;
        let dtype = kinds.get(key).ok_or_else(|| Failure::Broken(format!("no tensor uses the storage {key:?}")))?;
        let mut count = [0; 8];
        reader.read_exact(&mut count)?;
        let start = reader.stream_position()?;
        let bytes = u64::from_le_bytes(count).saturating_mul(dtype.bytes() as u64);
        let block = Block::new(start, bytes, file_len).map_err(Failure::Broken)?;
        reader.seek(SeekFrom::Start(start + bytes))?;
        blocks.insert(key, block);
    }
    Ok(blocks)
}
