//! Aligned storage in safe Rust.

use crate::Element;

/// The alignment of every tensor and arena, in bytes: a cache line, and the widest vector register.
pub(crate) const ALIGNMENT: usize = 64;

/// A fixed number of elements that starts at a multiple of [`ALIGNMENT`] bytes.
///
/// The vector is a little longer than asked, and the data starts at the first aligned element: no `unsafe` needed.
#[derive(Debug)]
pub(crate) struct Buffer<T> {
    storage: Vec<T>,
    start: usize,
    len: usize,
}

impl<T: Element> Buffer<T> {
    pub(crate) fn zeros(len: usize) -> Buffer<T> {
        let slack = ALIGNMENT / size_of::<T>();
        let storage = vec![T::default(); len + slack];
        let start = aligned_start(&storage);
        Buffer { storage, start, len }
    }

    /// Reuses the vector's memory if it happens to be aligned, and copies it otherwise.
    pub(crate) fn from_vec(storage: Vec<T>) -> Buffer<T> {
        if aligned_start(&storage) == 0 {
            let len = storage.len();
            return Buffer { storage, start: 0, len };
        }
        Buffer::from_slice(&storage)
    }

    pub(crate) fn from_slice(data: &[T]) -> Buffer<T> {
        let mut buffer = Buffer::zeros(data.len());
        buffer.as_mut_slice().copy_from_slice(data);
        buffer
    }

    pub(crate) fn as_slice(&self) -> &[T] {
        &self.storage[self.start..self.start + self.len]
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.storage[self.start..self.start + self.len]
    }
}

fn aligned_start<T>(storage: &[T]) -> usize {
    storage.as_ptr().align_offset(ALIGNMENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_buffer_is_aligned() {
        for len in [0, 1, 15, 16, 17, 1000, 300_000] {
            for buffer in [Buffer::<f32>::zeros(len), Buffer::from_vec(vec![0.0; len])] {
                assert_eq!(buffer.as_slice().len(), len);
                assert_eq!(buffer.as_slice().as_ptr().align_offset(ALIGNMENT), 0, "length {len}");
            }
        }
    }
}
