//! Decoded images kept in memory.

use crate::{Dataset, Image, Result, Targets};
use std::sync::{
    OnceLock,
    atomic::{AtomicUsize, Ordering},
};

/// A dataset that keeps decoded images in memory, up to a limit; made by [`Dataset::cached`].
///
/// The first images that are read are kept for good, so that later epochs decode only the rest; the samples are the same
/// with and without.
#[derive(Debug)]
pub struct Cached<D> {
    inner: D,
    images: Vec<OnceLock<Image>>,
    bytes: AtomicUsize,
    limit: usize,
}

impl<D: Dataset> Cached<D> {
    pub(crate) fn new(inner: D, limit: usize) -> Cached<D> {
        let images = (0..inner.len()).map(|_| OnceLock::new()).collect();
        Cached { inner, images, bytes: AtomicUsize::new(0), limit }
    }

    /// Returns the bytes of the images that are kept.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Keeps an image if there is room.
    fn keep(&self, index: usize, image: &Image) {
        let more = image.pixels().len();
        let room = |bytes: usize| bytes.checked_add(more).filter(|bytes| *bytes <= self.limit);
        if self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_err() {
            return;
        }
        let kept = self.images.get(index).is_some_and(|slot| slot.set(image.clone()).is_ok());
        if !kept {
            // Another thread was faster.
            self.bytes.fetch_sub(more, Ordering::Relaxed);
        }
    }
}

impl<D: Dataset> Dataset for Cached<D> {
    fn len(&self) -> usize {
        self.inner.len()
    }

    fn class_names(&self) -> &[String] {
        self.inner.class_names()
    }

    fn label(&self, index: usize) -> Result<u32> {
        self.inner.label(index)
    }

    fn read(&self, index: usize, image: &mut Image) -> Result<()> {
        if let Some(kept) = self.images.get(index).and_then(OnceLock::get) {
            image.copy_from(kept);
            return Ok(());
        }
        self.inner.read(index, image)?;
        self.keep(index, image);
        Ok(())
    }

    fn size(&self) -> Option<[usize; 2]> {
        self.inner.size()
    }

    fn targets(&self) -> Targets {
        self.inner.targets()
    }

    fn write_targets(&self, index: usize, out: &mut [f32]) -> Result<()> {
        self.inner.write_targets(index, out)
    }

    fn name(&self, index: usize) -> String {
        self.inner.name(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    /// Counts how often images are read.
    struct Counted(AtomicUsize);

    impl Dataset for Counted {
        fn len(&self) -> usize {
            5
        }
        fn class_names(&self) -> &[String] {
            &[]
        }
        fn label(&self, index: usize) -> Result<u32> {
            Ok(index as u32)
        }
        fn read(&self, index: usize, image: &mut Image) -> Result<()> {
            if index >= 5 {
                return Err(Error::Index { index, len: 5 });
            }
            self.0.fetch_add(1, Ordering::Relaxed);
            image.reshape([2, 2, 1]).map(|pixels| pixels.fill(index as u8))
        }
    }

    #[test]
    fn images_are_decoded_once_while_there_is_room() {
        let cached = Counted(AtomicUsize::new(0)).cached(13);
        let mut image = Image::default();
        for (round, reads) in [(0, 5), (1, 7), (2, 9)] {
            for index in 0..5 {
                cached.read(index, &mut image).unwrap();
                assert_eq!(image.pixels(), [index as u8; 4]);
            }
            assert_eq!((cached.inner.0.load(Ordering::Relaxed), cached.bytes()), (reads, 12), "round {round}");
        }
        assert!(cached.read(5, &mut image).is_err());
    }
}
