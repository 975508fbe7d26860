//! A tensor whose elements are divided among tasks.

use std::marker::PhantomData;

/// A slice that tasks write, each its own elements: those of a band interleave with others' in memory, so that no task
/// can hold a slice of its own.
#[derive(Clone, Copy, Debug)]
pub(in crate::conv) struct Shared<'a> {
    first: *mut f32,
    len: usize,
    slice: PhantomData<&'a mut [f32]>,
}

// SAFETY: an address and a length; who writes through it says why no other task touches the element.
unsafe impl Send for Shared<'_> {}
// SAFETY: the same.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    pub fn new(slice: &'a mut [f32]) -> Self {
        Self { first: slice.as_mut_ptr(), len: slice.len(), slice: PhantomData }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns the address of the first element.
    #[inline(always)]
    pub fn first(&self) -> *mut f32 {
        self.first
    }

    /// Returns the address of element `index`.
    ///
    /// # Panics
    /// If there is no such element.
    #[inline(always)]
    pub fn at(&self, index: usize) -> *mut f32 {
        assert!(index < self.len, "element {index} of {}", self.len);
        // SAFETY: asserted above.
        unsafe { self.first.add(index) }
    }
}
