//! The block of memory that a plan executes in.

use crate::buffer::Buffer;
use memmap2::MmapMut;

/// Blocks of at least this many bytes are mapped rather than allocated. A huge page is 2 MiB; below a few of them there
/// is nothing to gain. On fresh 4 KiB pages 103 MB cost 19–24 ms, on huge pages 2.3 ms: as much as the kernels.
const MAPPED_BYTES: usize = 4 << 20;

/// `f32` storage for activations, gradients and workspace, aligned to 64 bytes and zeroed when made; on huge pages where
/// it is large and the system offers them.
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
    /// An arena of `len` numbers.
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

    /// How many numbers it holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All of it, to read.
    pub fn as_slice(&self) -> &[f32] {
        match &self.storage {
            Storage::Heap(buffer) => buffer.as_slice(),
            Storage::Mapped(map) => bytemuck::cast_slice(&map[..self.len * size_of::<f32>()]),
        }
    }

    /// All of it, to write.
    pub fn as_mut_slice(&mut self) -> &mut [f32] {
        match &mut self.storage {
            Storage::Heap(buffer) => buffer.as_mut_slice(),
            Storage::Mapped(map) => bytemuck::cast_slice_mut(&mut map[..self.len * size_of::<f32>()]),
        }
    }
}

/// An anonymous map starts on a page, so it is aligned and zeroed. `None` where it would be small or cannot be had.
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
