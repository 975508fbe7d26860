//! Reads safetensors: a header in JSON, then elements.

mod header;

use super::{
    DType, TensorInfo,
    budget::Budget,
    error::{Failure, shown},
    file::Contents,
    stored::{FileBlock, FileSource, Stored},
};
use header::Header;
use ocelli_tensor::{ShapeText, Size};
use safetensors::Dtype;
use std::io::{Read, SeekFrom};

/// The format's own limit on the header.
const MAX_HEADER: u64 = 100_000_000;
/// Bytes in front of the header: its length.
const PREFIX: u64 = 8;

/// Returns true if the first bytes of a file are those of safetensors.
pub(super) fn is_meant(start: &[u8]) -> bool {
    start.first_chunk().is_some_and(|length| u64::from_le_bytes(*length) <= MAX_HEADER) && start.get(8) == Some(&b'{')
}

pub(super) fn read(source: &mut dyn FileSource, file_len: u64, budget: &mut Budget) -> Result<Contents, Failure> {
    // read and parse the header
    let mut length = [0; PREFIX as usize];
    source.seek(SeekFrom::Start(0))?;
    source.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    let block = FileBlock::new(PREFIX, length, file_len).map_err(failed)?;
    budget.take_block(length)?;
    let mut bytes = vec![0; length as usize];
    block.reader(source, 0)?.read_exact(&mut bytes)?;
    let Header { mut tensors, metadata } = Header::parse(&bytes, budget).map_err(failed)?;
    drop(bytes);
    budget.release_block(length);

    // check that the tensors fill the file without gaps
    let (data, mut end) = (PREFIX + length, 0);
    tensors.sort_unstable_by_key(|tensor| tensor.data_offsets);
    for tensor in &tensors {
        let wrong = |reason: String| failed(format!("{}: {reason}", shown(&tensor.name)));
        let [first, last] = tensor.data_offsets;
        if first != end || last < first {
            return Err(wrong(format!(
                "its bytes {first} to {last} do not follow those of the others, which end at {end}"
            )));
        }
        let bits = Size::product_of(&tensor.shape) * tensor.dtype.bitsize();
        if bits
            .get()
            .and_then(|bits| bits.checked_next_multiple_of(8))
            .is_none_or(|bits| bits as u64 / 8 != last - first)
        {
            let (shape, dtype) = (ShapeText(&tensor.shape), tensor.dtype);
            return Err(wrong(format!("invalid shape: {shape} of {dtype} is not the size of {} bytes", last - first)));
        }
        FileBlock::new(data.saturating_add(first), last - first, file_len).map_err(wrong)?;
        end = last;
    }
    if data + end != file_len {
        return Err(failed(format!("the header describes {} bytes, the file has {file_len}", data + end)));
    }

    // order them by name
    tensors.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    if let Some(same) = tensors.windows(2).find(|pair| pair[0].name == pair[1].name) {
        return Err(failed(format!("two tensors are called {}", shown(&same[0].name))));
    }
    let mut contents = Contents::new(metadata, tensors.len(), budget)?;
    for header::TensorEntry { name, dtype: kind, shape, data_offsets: [first, last] } in tensors.drain(..) {
        let block = FileBlock::new(data + first, last - first, file_len).map_err(failed)?;
        contents.push(&name, Stored::whole(TensorInfo { shape, dtype: dtype(kind) }, block), budget)?;
    }
    budget.release(tensors);
    Ok(contents)
}

fn failed(reason: String) -> Failure {
    Failure::Broken(format!("not a whole safetensors file: {reason}"))
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
