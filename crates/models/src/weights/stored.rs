//! The location of a tensor in a file, and the reading of its elements.

use super::{
    DType, TensorInfo,
    budget::{Budget, Exhausted},
    dtype::ByteOrder,
    strided::{Offsets, is_row_major, span},
};
use flate2::read::DeflateDecoder;
use ocelli_tensor::{ShapeText, Size, Tensor, element_count};
use std::{
    io::{self, Read, Seek, SeekFrom},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// A source that a weight file is read from.
pub(super) trait FileSource: Read + Seek + Send {}

impl<R: Read + Seek + Send> FileSource for R {}

/// A source that threads read in turns, a piece at a time. The system copies cached data faster than elements are
/// converted and permuted, which threads do side by side.
pub(super) struct SharedSource(Mutex<Box<dyn FileSource>>);

impl SharedSource {
    pub(super) fn new(source: Box<dyn FileSource>) -> SharedSource {
        SharedSource(Mutex::new(source))
    }

    /// Locks the source. A panic in another thread leaves it valid: every read seeks first.
    fn lock(&self) -> MutexGuard<'_, Box<dyn FileSource>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Elements read and converted at a time: they stay in the second-level cache.
pub(super) const PIECE: usize = 64 << 10;
/// Deflate makes at most 1032 bytes of one (a block of the longest matches, two bits each).
const MAX_RATIO: u64 = 1032;
/// Bytes of the state of an inflater: its window and its tables.
const INFLATER: u64 = 48 << 10;
/// Deflated bytes that are read at a time.
const PACKED_PIECE: u64 = 16 << 10;

/// A block of bytes in a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct FileBlock {
    start: u64,
    /// Number of bytes of content.
    len: u64,
    packing: Packing,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Packing {
    AsIs,
    /// Deflated to this many bytes.
    Deflated(u64),
}

impl FileBlock {
    /// Makes a block of `len` bytes in a file of `file_len`.
    pub(super) fn new(start: u64, len: u64, file_len: u64) -> Result<FileBlock, String> {
        match start.checked_add(len) {
            Some(end) if end <= file_len => Ok(FileBlock { start, len, packing: Packing::AsIs }),
            _ => Err(format!("the file ends too early: {len} bytes at {start} are not within its {file_len}")),
        }
    }

    /// Makes a block of `packed` bytes in a file of `file_len` that inflate to `len`.
    pub(super) fn deflated(start: u64, packed: u64, len: u64, file_len: u64) -> Result<FileBlock, String> {
        let block = FileBlock::new(start, packed, file_len)?;
        if len > packed.saturating_mul(MAX_RATIO) {
            return Err(format!("{packed} bytes cannot be {len} deflated ones"));
        }
        Ok(FileBlock { len, packing: Packing::Deflated(packed), ..block })
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Returns the number of bytes that have to be inflated to read the block.
    pub(super) fn inflated(&self) -> u64 {
        match self.packing {
            Packing::AsIs => 0,
            Packing::Deflated(_) => self.len,
        }
    }

    /// Returns the bytes of memory that a reader of the block takes.
    pub(super) fn reader_memory(&self) -> u64 {
        match self.packing {
            Packing::AsIs => 0,
            Packing::Deflated(packed) => INFLATER + packed.min(PACKED_PIECE),
        }
    }

    /// Returns a reader of the content from byte `first` on.
    pub(super) fn reader<'a>(&self, source: &'a mut dyn FileSource, first: u64) -> io::Result<Box<dyn Read + 'a>> {
        let rest = self.len.saturating_sub(first);
        match self.packing {
            Packing::AsIs => {
                source.seek(SeekFrom::Start(self.start + first))?;
                Ok(Box::new(source.take(rest)))
            }
            Packing::Deflated(packed) => {
                source.seek(SeekFrom::Start(self.start))?;
                let buffer = vec![0; packed.clamp(1, PACKED_PIECE) as usize];
                let mut content = DeflateDecoder::new_with_buf(source.take(packed), buffer);
                io::copy(&mut (&mut content).take(first), &mut io::sink())?;
                Ok(Box::new(content.take(rest)))
            }
        }
    }
}

/// The elements of a storage that a tensor has.
pub(super) struct View {
    /// Number of elements that the storage claims.
    pub(super) storage_len: usize,
    /// Index of the first element.
    pub(super) offset: usize,
    /// Strides in elements along each axis.
    pub(super) strides: Vec<usize>,
}

/// A tensor in a file whose bounds are checked: nothing that is read or allocated for it exceeds its block, or the
/// budget of its file where it has more elements than the block has bytes for.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) info: TensorInfo,
    block: FileBlock,
    order: ByteOrder,
    /// Index of the first element.
    offset: usize,
    /// `None` for row-major order.
    strides: Option<Box<[usize]>>,
}

impl Stored {
    /// Makes a tensor that is a view of the elements in `block`.
    pub(super) fn view(
        info: TensorInfo,
        block: FileBlock,
        order: ByteOrder,
        view: View,
        budget: &mut Budget,
    ) -> Result<Stored, String> {
        let View { storage_len, offset, strides } = view;
        let bytes = (storage_len as u64).checked_mul(info.dtype.bytes() as u64);
        if bytes.is_none_or(|bytes| bytes > block.len) {
            return Err(format!("{storage_len} values of {} are not within {} bytes", info.dtype, block.len));
        }
        if strides.len() != info.shape.len() {
            return Err(format!("{} strides for {} axes", strides.len(), info.shape.len()));
        }
        let goes_beyond =
            || format!("a view of {} values goes beyond the {storage_len} of its storage", ShapeText(&info.shape));
        let count = element_count(&info.shape).ok_or_else(goes_beyond)?;
        let span = span(&info.shape, &strides).ok_or_else(goes_beyond)?;
        if count > 0 && (Size::from(offset) + span).get().is_none_or(|end| end > storage_len) {
            return Err(goes_beyond());
        }
        let strides = (!is_row_major(&info.shape, &strides)).then(|| strides.into());
        // A few elements may be repeated as often as the memory of the file allows.
        if count > storage_len && budget.check((count * size_of::<f32>()) as u64).is_err() {
            return Err(goes_beyond());
        }
        let stored = Stored { info, block, order, offset, strides };
        stored.take_reading(count, span, budget)?;
        Ok(stored)
    }

    /// Charges the reading of `count` elements from `span` stored ones to a budget. Memory is only checked, because it
    /// is held only while the tensor is read.
    fn take_reading(&self, count: usize, span: usize, budget: &mut Budget) -> Result<(), Exhausted> {
        let size = self.info.dtype.bytes() as u64;
        let skipped = match self.block.packing {
            Packing::AsIs => 0,
            Packing::Deflated(_) => self.offset as u64,
        };
        if self.block.inflated() > 0 {
            let gathered = if self.strides.is_some() { span as u64 * size } else { 0 };
            let elements = (count * size_of::<f32>()) as u64;
            budget.check(self.block.reader_memory() + gathered + elements)?;
        }
        budget.work((skipped + span.max(count) as u64).saturating_mul(size))
    }

    /// Makes a tensor that is a whole block in row-major order.
    pub(super) fn whole(info: TensorInfo, block: FileBlock) -> Stored {
        Stored { info, block, order: ByteOrder::Little, offset: 0, strides: None }
    }

    /// Returns the bytes of heap memory of its parts.
    pub(super) fn parts(&self) -> usize {
        size_of_val(&self.info.shape[..]) + self.strides.as_deref().map_or(0, size_of_val)
    }

    /// Reads the elements, in row-major order of the shape.
    pub(super) fn read(&self, source: &SharedSource) -> io::Result<Tensor> {
        let mut values = Tensor::zeros(self.info.shape.clone());
        let data = values.data_mut();
        self.read_pieces(source, PIECE, |first, piece| data[first..first + piece.len()].copy_from_slice(piece))?;
        Ok(values)
    }

    /// Calls `take` with successive pieces of `len` elements, in row-major order of the shape, and with the number of
    /// elements before each; the last piece may be shorter.
    pub(super) fn read_pieces(
        &self,
        source: &SharedSource,
        len: usize,
        take: impl FnMut(usize, &[f32]),
    ) -> io::Result<()> {
        let shape = &self.info.shape;
        match &self.strides {
            _ if shape.contains(&0) => Ok(()),
            None => self.read_stored(source, shape.iter().product(), len, take),
            Some(strides) => self.gather(source, strides, len, take),
        }
    }

    /// Calls `take` with the pieces of a tensor with strides. One thread at a time, because all stored elements from
    /// the first to the last are in memory meanwhile.
    fn gather(
        &self,
        source: &SharedSource,
        strides: &[usize],
        len: usize,
        mut take: impl FnMut(usize, &[f32]),
    ) -> io::Result<()> {
        let TensorInfo { shape, dtype } = &self.info;
        let size = dtype.bytes();
        let mut source = source.lock();
        let mut stored = vec![0; span(shape, strides).unwrap_or(0) * size];
        self.block.reader(&mut **source, (self.offset * size) as u64)?.read_exact(&mut stored)?;
        let count: usize = shape.iter().product();
        let mut words = vec![0; len.min(count) * size];
        let mut values = vec![0.0; len.min(count)];
        let mut offsets = Offsets::new(shape, strides);
        for first in (0..count).step_by(len) {
            let count = len.min(count - first);
            for (word, offset) in words[..count * size].chunks_exact_mut(size).zip(&mut offsets) {
                word.copy_from_slice(&stored[offset * size..][..size]);
            }
            dtype.decode(&words[..count * size], self.order, &mut values[..count]);
            take(first, &values[..count]);
        }
        Ok(())
    }

    /// Calls `take` with the pieces of `count` elements in stored order.
    fn read_stored(
        &self,
        source: &SharedSource,
        count: usize,
        len: usize,
        mut take: impl FnMut(usize, &[f32]),
    ) -> io::Result<()> {
        let (size, dtype, order) = (self.info.dtype.bytes(), self.info.dtype, self.order);
        let mut values = vec![0.0; len.min(count)];
        let mut bytes = vec![0; if dtype.is_memory(order) { 0 } else { values.len() * size }];
        let mut piece = |first: usize, read: &mut dyn FnMut(&mut [u8]) -> io::Result<()>| {
            let values = &mut values[..len.min(count - first)];
            if dtype.is_memory(order) {
                read(bytemuck::cast_slice_mut(values))?;
            } else {
                let bytes = &mut bytes[..values.len() * size];
                read(bytes)?;
                dtype.decode(bytes, order, values);
            }
            take(first, values);
            Ok(())
        };
        let mut starts = (0..count).step_by(len);
        match self.block.packing {
            Packing::AsIs => starts.try_for_each(|first| {
                let start = ((self.offset + first) * size) as u64;
                piece(first, &mut |bytes| self.block.reader(&mut **source.lock(), start)?.read_exact(bytes))
            }),
            // Deflated data are read from their beginning.
            Packing::Deflated(_) => {
                let mut source = source.lock();
                let mut reader = self.block.reader(&mut **source, (self.offset * size) as u64)?;
                starts.try_for_each(|first| piece(first, &mut |bytes| reader.read_exact(bytes)))
            }
        }
    }
}

/// Returns true if the size of the elements is known.
pub(super) fn is_readable(dtype: DType) -> bool {
    dtype.bytes() > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_within_their_file_and_within_reason() {
        assert!(FileBlock::new(4, 6, 10).is_ok() && FileBlock::new(10, 0, 10).is_ok());
        let error = FileBlock::new(5, 6, 10).unwrap_err();
        assert_eq!(error, "the file ends too early: 6 bytes at 5 are not within its 10");
        assert!(FileBlock::new(u64::MAX, 2, 10).is_err());
        assert!(FileBlock::deflated(0, 10, 10_320, 10).is_ok());
        assert_eq!(FileBlock::deflated(0, 10, 10_321, 10).unwrap_err(), "10 bytes cannot be 10321 deflated ones");
        assert!(FileBlock::deflated(0, 11, 20, 10).is_err());
    }

    #[test]
    fn a_deflated_block_is_read_from_any_byte() {
        let content: Vec<u8> = (0..10_000u32).flat_map(|i| (i * i).to_le_bytes()).collect();
        let mut packed = Vec::new();
        flate2::read::DeflateEncoder::new(&content[..], flate2::Compression::fast()).read_to_end(&mut packed).unwrap();
        let len = packed.len() as u64;
        let mut source = io::Cursor::new([vec![0; 7], packed].concat());
        let block = FileBlock::deflated(7, len, content.len() as u64, len + 7).unwrap();
        for first in [0, 1, 20_000, content.len()] {
            let mut rest = Vec::new();
            block.reader(&mut source, first as u64).unwrap().read_to_end(&mut rest).unwrap();
            assert!(rest == content[first..], "from byte {first}");
        }
    }
}
