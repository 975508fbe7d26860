//! A tensor where it lies in a file.

use super::{
    DType, TensorInfo,
    dtype::ByteOrder,
    strided::{copy_strided, is_row_major, row_major, span},
};
use flate2::read::DeflateDecoder;
use ocelli_tensor::{ShapeText, Tensor};
use std::{
    io::{self, Read, Seek, SeekFrom},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// What a weight file is read from.
pub(super) trait Source: Read + Seek + Send {}

impl<R: Read + Seek + Send> Source for R {}

/// A source that threads read in turns, a piece at a time. What the system has in memory, it copies faster than numbers are
/// converted and permuted, which threads do side by side.
pub(super) struct SharedSource(Mutex<Box<dyn Source>>);

impl SharedSource {
    pub(super) fn new(source: Box<dyn Source>) -> SharedSource {
        SharedSource(Mutex::new(source))
    }

    /// A panic elsewhere leaves a source whole: every read says where it begins.
    fn lock(&self) -> MutexGuard<'_, Box<dyn Source>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Numbers read and converted at a time: they stay in the second-level cache.
pub(super) const PIECE: usize = 64 << 10;
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
    pub(super) fn read(&self, source: &SharedSource) -> io::Result<Tensor> {
        let mut numbers = Tensor::zeros(self.info.shape.clone());
        let values = numbers.data_mut();
        self.read_pieces(source, PIECE, |first, piece| values[first..first + piece.len()].copy_from_slice(piece))?;
        Ok(numbers)
    }

    /// Calls `take` with one piece of `len` numbers after the other, in row-major order of the shape, and with how many were
    /// before; the last one may have fewer.
    pub(super) fn read_pieces(
        &self,
        source: &SharedSource,
        len: usize,
        mut take: impl FnMut(usize, &[f32]),
    ) -> io::Result<()> {
        let TensorInfo { shape, .. } = &self.info;
        if shape.contains(&0) {
            return Ok(());
        }
        if is_row_major(shape, &self.strides) {
            return self.read_stored(source, shape.iter().product(), len, take);
        }
        let mut stored = vec![0.0; span(shape, &self.strides).unwrap_or(0)];
        let whole = stored.len();
        self.read_stored(source, whole, PIECE, |first, piece| {
            stored[first..first + piece.len()].copy_from_slice(piece);
        })?;
        let mut result = vec![0.0; shape.iter().product()];
        copy_strided(&stored, shape, &self.strides, &mut result);
        result.chunks(len).enumerate().for_each(|(i, piece)| take(i * len, piece));
        Ok(())
    }

    /// The same for `count` numbers as they are stored.
    fn read_stored(
        &self,
        source: &SharedSource,
        count: usize,
        len: usize,
        mut take: impl FnMut(usize, &[f32]),
    ) -> io::Result<()> {
        let (size, dtype, order) = (self.info.dtype.bytes(), self.info.dtype, self.order);
        let mut numbers = vec![0.0; len.min(count)];
        let mut bytes = vec![0; if dtype.is_memory(order) { 0 } else { numbers.len() * size }];
        let mut piece = |first: usize, read: &mut dyn FnMut(&mut [u8]) -> io::Result<()>| {
            let numbers = &mut numbers[..len.min(count - first)];
            if dtype.is_memory(order) {
                read(bytemuck::cast_slice_mut(numbers))?;
            } else {
                let bytes = &mut bytes[..numbers.len() * size];
                read(bytes)?;
                dtype.decode(bytes, order, numbers);
            }
            take(first, numbers);
            Ok(())
        };
        let mut starts = (0..count).step_by(len);
        match self.block.packing {
            Packing::AsIs => starts.try_for_each(|first| {
                let start = ((self.offset + first) * size) as u64;
                piece(first, &mut |bytes| self.block.reader(&mut **source.lock(), start)?.read_exact(bytes))
            }),
            // What is deflated is read from its beginning.
            Packing::Deflated(_) => {
                let mut source = source.lock();
                let mut reader = self.block.reader(&mut **source, (self.offset * size) as u64)?;
                starts.try_for_each(|first| piece(first, &mut |bytes| reader.read_exact(bytes)))
            }
        }
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
