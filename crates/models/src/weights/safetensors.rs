//! Reading of safetensors: a header in JSON, then numbers.

use super::{
    DType, Metadata, TensorInfo,
    error::Failure,
    file::Contents,
    stored::{Block, Source, Stored},
};
use safetensors::{Dtype, tensor};
use std::io::{Read, SeekFrom};

/// The format's own limit on the header.
const MAX_HEADER: u64 = 100_000_000;
/// Bytes in front of the header: its length.
const PREFIX: u64 = 8;

/// Whether a file that begins so is meant to be safetensors.
pub(super) fn is_meant(start: &[u8]) -> bool {
    start.first_chunk().is_some_and(|length| u64::from_le_bytes(*length) <= MAX_HEADER) && start.get(8) == Some(&b'{')
}

pub(super) fn read(source: &mut dyn Source, file_len: u64) -> Result<Contents, Failure> {
    let failed = |reason: String| Failure::Broken(format!("not a whole safetensors file: {reason}"));
    let mut length = [0; PREFIX as usize];
    source.seek(SeekFrom::Start(0))?;
    source.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    let header_block = Block::new(PREFIX, length, file_len).map_err(failed)?;
    let mut header = Vec::new();
    header_block.reader(source, 0)?.read_to_end(&mut header)?;
    // This also compares shapes with lengths, and sees to it that there are no gaps.
    let header: tensor::Metadata = serde_json::from_slice(&header).map_err(|error| failed(error.to_string()))?;

    let (data, mut end) = (PREFIX + length, 0);
    let mut contents = Contents::default();
    for (name, info) in header.tensors() {
        let wrong = |reason: String| failed(format!("{name}: {reason}"));
        let (first, last) = info.data_offsets;
        let start = data.saturating_add(first as u64);
        let block = Block::new(start, last.saturating_sub(first) as u64, file_len).map_err(wrong)?;
        end = end.max(last as u64);
        let info = TensorInfo { shape: info.shape.clone(), dtype: dtype(info.dtype) };
        contents.tensors.insert(name, Stored::whole(info, block));
    }
    if data + end != file_len {
        return Err(failed(format!("the header describes {} bytes, the file has {file_len}", data + end)));
    }
    contents.metadata = header.metadata().clone().unwrap_or_default().into_iter().collect::<Metadata>();
    Ok(contents)
}

fn dtype(dtype: Dtype) -> DType {
    match dtype {
        Dtype::F32 => DType::F32,
        Dtype::F64 => DType::F64,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::I64 => DType::I64,
        Dtype::I32 => DType::I32,
        Dtype::I16 => DType::I16,
        Dtype::I8 => DType::I8,
        Dtype::U64 => DType::U64,
        Dtype::U32 => DType::U32,
        Dtype::U16 => DType::U16,
        Dtype::U8 => DType::U8,
        Dtype::BOOL => DType::Bool,
        Dtype::C64 => DType::Other("C64"),
        Dtype::F8_E4M3 => DType::Other("F8_E4M3"),
        Dtype::F8_E5M2 => DType::Other("F8_E5M2"),
        _ => DType::Other("numbers of fewer than 16 bits"),
    }
}
