//! The block of memory in which a plan is executed.

use crate::buffer::Buffer;
use memmap2::MmapMut;

/// Blocks of at least this many bytes are mapped rather than allocated. A huge page is 2 MiB; below a few of them there
/// is nothing to gain. On fresh 4 KiB pages 103 MB cost 19–24 ms, on huge pages 2.3 ms: as much as the kernels.
const MAPPED_BYTES: usize = 4 << 20;

/// A block of `f32` storage for activations, gradients and workspace, aligned to 64 bytes and zeroed when created.
///
/// Large arenas lie on huge pages where the system offers them.
#[derive(Debug)]
pub struct Arena {
    storage: Storage,
    len: usize,
}

#[derive(Debug)]
enum Storage {
    Heap(Buffer<f32>),
    Mapped(MmapMut),
}

impl Arena {
    /// Creates an arena of `len` zeros.
    ///
    /// ```
    /// let mut arena = ocelli_tensor::Arena::new(100);
    /// arena.as_mut_slice()[99] = 1.0;
    /// assert_eq!(arena.len(), 100);
    /// ```
    pub fn new(len: usize) -> Arena {
        let storage = match mapped(len) {
            Some(map) => Storage::Mapped(map),
            None => Storage::Heap(Buffer::zeros(len)),
        };
        Arena { storage, len }
    }

    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns true if the arena has no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns all elements for reading.
    pub fn as_slice(&self) -> &[f32] {
        match &self.storage {
            Storage::Heap(buffer) => buffer.as_slice(),
            Storage::Mapped(map) => bytemuck::cast_slice(&map[..self.len * size_of::<f32>()]),
        }
    }

    /// Returns all elements for writing.
    pub fn as_mut_slice(&mut self) -> &mut [f32] {
        match &mut self.storage {
            Storage::Heap(buffer) => buffer.as_mut_slice(),
            Storage::Mapped(map) => bytemuck::cast_slice_mut(&mut map[..self.len * size_of::<f32>()]),
        }
    }
}

/// Maps anonymous memory, which starts on a page and is therefore aligned and zeroed; `None` if the block would be small or
/// the system refuses.
fn mapped(len: usize) -> Option<MmapMut> {
    let bytes = len.checked_mul(size_of::<f32>())?;
    if bytes < MAPPED_BYTES {
        return None;
    }
    let map = MmapMut::map_anon(bytes).ok()?;
    // Advice only: without huge pages the arena works as well, a little slower at first touch.
    #[cfg(target_os = "linux")]
    let _ = map.advise(memmap2::Advice::HugePage);
    Some(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_large_arenas_are_aligned_and_zeroed() {
        for len in [0, 1, 1000, MAPPED_BYTES / 4, MAPPED_BYTES / 4 + 3] {
            let mut arena = Arena::new(len);
            assert_eq!(arena.len(), len);
            assert_eq!(arena.is_empty(), len == 0);
            assert_eq!(arena.as_slice().as_ptr().align_offset(64), 0);
            assert!(arena.as_slice().iter().all(|v| *v == 0.0));
            arena.as_mut_slice().fill(1.0);
            assert_eq!(arena.as_slice().len(), len);
        }
    }
}
