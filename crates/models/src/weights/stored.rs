//! A tensor where it lies in a file.

use super::{
    DType, TensorInfo,
    dtype::ByteOrder,
    strided::{copy_strided, is_row_major, row_major, span},
};
use flate2::read::DeflateDecoder;
use ocelli_tensor::{ShapeText, Tensor};
use std::io::{self, Read, Seek, SeekFrom};

/// What a weight file is read from.
pub(super) trait Source: Read + Seek + Send {}

impl<R: Read + Seek + Send> Source for R {}

/// Bytes read and converted at a time: they stay in the second-level cache. A multiple of every kind's size.
const PIECE: usize = 256 << 10;
/// Deflate makes at most 1032 bytes of one (a block of the longest matches, two bits each).
const MAX_RATIO: u64 = 1032;

/// Numbers that a view may have although its storage has fewer (an axis with stride 0); beyond that, a few bytes could claim
/// any amount of memory.
const MAX_EXPANDED: usize = 1 << 20;

/// A block of bytes in a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Block {
    start: u64,
    /// Bytes of content.
    len: u64,
    packing: Packing,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Packing {
    AsIs,
    /// Deflated to so many bytes.
    Deflated(u64),
}

impl Block {
    /// `len` bytes of a file of `file_len`.
    pub(super) fn new(start: u64, len: u64, file_len: u64) -> Result<Block, String> {
        match start.checked_add(len) {
            Some(end) if end <= file_len => Ok(Block { start, len, packing: Packing::AsIs }),
            _ => Err(format!("the file ends too early: {len} bytes at {start} are not within its {file_len}")),
        }
    }

    /// `packed` bytes of a file of `file_len` that become `len`.
    pub(super) fn deflated(start: u64, packed: u64, len: u64, file_len: u64) -> Result<Block, String> {
        let block = Block::new(start, packed, file_len)?;
        if len > packed.saturating_mul(MAX_RATIO) {
            return Err(format!("{packed} bytes cannot be {len} deflated ones"));
        }
        Ok(Block { len, packing: Packing::Deflated(packed), ..block })
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// The content from byte `first` on.
    pub(super) fn reader<'a>(&self, source: &'a mut dyn Source, first: u64) -> io::Result<Box<dyn Read + 'a>> {
        let rest = self.len.saturating_sub(first);
        match self.packing {
            Packing::AsIs => {
                source.seek(SeekFrom::Start(self.start + first))?;
                Ok(Box::new(source.take(rest)))
            }
            Packing::Deflated(packed) => {
                source.seek(SeekFrom::Start(self.start))?;
                let mut content = DeflateDecoder::new(source.take(packed));
                io::copy(&mut (&mut content).take(first), &mut io::sink())?;
                Ok(Box::new(content.take(rest)))
            }
        }
    }
}

/// A tensor where it lies in a file, checked: nothing that is read or allocated for it goes beyond its block.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) info: TensorInfo,
    block: Block,
    order: ByteOrder,
    /// The first number, counted in numbers.
    offset: usize,
    strides: Vec<usize>,
}

impl Stored {
    /// A view, `strides` numbers apart along each axis from number `offset` on, of `len` numbers in `block`.
    pub(super) fn view(
        info: TensorInfo,
        block: Block,
        order: ByteOrder,
        len: usize,
        offset: usize,
        strides: Vec<usize>,
    ) -> Result<Stored, String> {
        let bytes = (len as u64).checked_mul(info.dtype.bytes() as u64);
        if bytes.is_none_or(|bytes| bytes > block.len) {
            return Err(format!("{len} numbers of {} are not within {} bytes", info.dtype, block.len));
        }
        if strides.len() != info.shape.len() {
            return Err(format!("{} strides for {} axes", strides.len(), info.shape.len()));
        }
        let count = info.shape.iter().try_fold(1usize, |count, &size| count.checked_mul(size));
        let end = span(&info.shape, &strides).and_then(|span| offset.checked_add(span));
        match (count, end) {
            (Some(0), _) => {}
            (Some(count), Some(end)) if count <= len.max(MAX_EXPANDED) && end <= len => {}
            _ => {
                return Err(format!(
                    "a view of {} numbers goes beyond the {len} of its storage",
                    ShapeText(&info.shape)
                ));
            }
        }
        Ok(Stored { info, block, order, offset, strides })
    }

    /// A block in row-major order.
    pub(super) fn whole(info: TensorInfo, block: Block) -> Stored {
        let strides = row_major(&info.shape);
        Stored { info, block, order: ByteOrder::Little, offset: 0, strides }
    }

    /// Bytes that have to be inflated to read it.
    pub(super) fn inflated(&self) -> u64 {
        match self.block.packing {
            Packing::AsIs => 0,
            Packing::Deflated(_) => self.block.len,
        }
    }

    /// The numbers, in row-major order of the shape.
    pub(super) fn read(&self, source: &mut dyn Source) -> io::Result<Tensor> {
        let TensorInfo { shape, dtype } = &self.info;
        let in_order = is_row_major(shape, &self.strides);
        let count = if in_order { shape.iter().product() } else { span(shape, &self.strides).unwrap_or(0) };
        if shape.contains(&0) {
            return Ok(Tensor::zeros(shape.clone()));
        }
        let mut numbers = Tensor::zeros(if in_order { shape.clone() } else { vec![count] });
        let mut reader = self.block.reader(source, (self.offset * dtype.bytes()) as u64)?;
        let mut bytes = vec![0; PIECE.min(count * dtype.bytes())];
        for values in numbers.data_mut().chunks_mut(PIECE / dtype.bytes()) {
            let bytes = &mut bytes[..values.len() * dtype.bytes()];
            reader.read_exact(bytes)?;
            dtype.decode(bytes, self.order, values);
        }
        if in_order {
            return Ok(numbers);
        }
        let mut result = Tensor::zeros(shape.clone());
        copy_strided(numbers.data(), shape, &self.strides, result.data_mut());
        Ok(result)
    }
}

/// The kinds of which nothing is known have no size to read by.
pub(super) fn is_readable(dtype: DType) -> bool {
    dtype.bytes() > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_within_their_file_and_within_reason() {
        assert!(Block::new(4, 6, 10).is_ok() && Block::new(10, 0, 10).is_ok());
        let error = Block::new(5, 6, 10).unwrap_err();
        assert_eq!(error, "the file ends too early: 6 bytes at 5 are not within its 10");
        assert!(Block::new(u64::MAX, 2, 10).is_err());
        assert!(Block::deflated(0, 10, 10_320, 10).is_ok());
        assert_eq!(Block::deflated(0, 10, 10_321, 10).unwrap_err(), "10 bytes cannot be 10321 deflated ones");
        assert!(Block::deflated(0, 11, 20, 10).is_err());
    }

    #[test]
    fn a_deflated_block_is_read_from_any_byte() {
        let content: Vec<u8> = (0..10_000u32).flat_map(|i| (i * i).to_le_bytes()).collect();
        let mut packed = Vec::new();
        flate2::read::DeflateEncoder::new(&content[..], flate2::Compression::fast()).read_to_end(&mut packed).unwrap();
        let len = packed.len() as u64;
        let mut source = io::Cursor::new([vec![0; 7], packed].concat());
        let block = Block::deflated(7, len, content.len() as u64, len + 7).unwrap();
        for first in [0, 1, 20_000, content.len()] {
            let mut rest = Vec::new();
            block.reader(&mut source, first as u64).unwrap().read_to_end(&mut rest).unwrap();
            assert!(rest == content[first..], "from byte {first}");
        }
    }
}
