//! Scratch memory of a thread: blocks of operands that are packed, used and forgotten within one task.
//!
//! A thread keeps its buffers from call to call, so that nothing is allocated once they are as large as the largest
//! blocks. They are bounded: a kernel cuts its work so that a block fits a cache, not a tensor. How much a kernel takes is
//! known before it runs: [`Scratch`].

use std::cell::RefCell;

use ocelli_tensor::{Arena, Size};

/// Elements of a buffer beyond which it lies on huge pages (128 KiB): blocks of a few hundred KiB then need no more
/// than one entry of the first-level TLB. A page is 2 MiB, so smaller buffers would waste most of it.
const SMALL: usize = 1 << 15;

/// Elements of a huge page.
const HUGE_PAGE: usize = (2 << 20) / size_of::<f32>();

/// Least reserved size of a large buffer: an arena of that size lies on huge pages. Untouched memory costs addresses
/// only.
const LEAST_LARGE: usize = 2 * HUGE_PAGE;

/// Least elements of a small buffer: a page.
const LEAST_SMALL: usize = (4 << 10) / size_of::<f32>();

/// Most buffers of one kind that are in use at once.
const NESTED: usize = 4;

thread_local! {
    /// Buffers that nobody uses now, small and large ones; those of the outermost call on top.
    static BUFFERS: [RefCell<Vec<Arena>>; 2] = const { [RefCell::new(Vec::new()), RefCell::new(Vec::new())] };
}

/// Scratch memory that a kernel takes on a thread, beside its operands: the sizes of the buffers that are in use at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scratch {
    /// Elements of the buffers, the outermost first; 0 where there is none.
    small: [usize; NESTED],
    large: [usize; NESTED],
}

impl Scratch {
    /// No scratch memory.
    pub const NONE: Self = Self { small: [0; NESTED], large: [0; NESTED] };

    /// Creates the size of a buffer of `len` elements.
    pub(crate) fn of(len: usize) -> Self {
        let mut scratch = Self::NONE;
        let list = if len <= SMALL { &mut scratch.small } else { &mut scratch.large };
        list[0] = len;
        scratch
    }

    /// Creates the size of a buffer of at most `len` elements, which may be a small one even where `len` is not.
    pub(crate) fn up_to(len: usize) -> Self {
        Self::of(len).or(Self::of(len.min(SMALL)))
    }

    /// Returns the scratch memory of this kernel with `inner` called within it.
    pub(crate) fn around(self, inner: Self) -> Self {
        let nested = |outer: [usize; NESTED], inner: [usize; NESTED]| {
            let mut list = [0; NESTED];
            let lens = outer.into_iter().chain(inner).filter(|&len| len > 0);
            list.iter_mut().zip(lens).for_each(|(to, len)| *to = len);
            list
        };
        Self { small: nested(self.small, inner.small), large: nested(self.large, inner.large) }
    }

    /// Returns the memory that a thread holds after both, since it keeps its buffers.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let longest = |a: [usize; NESTED], b: [usize; NESTED]| std::array::from_fn(|i| a[i].max(b[i]));
        Self { small: longest(self.small, other.small), large: longest(self.large, other.large) }
    }

    /// Returns true if this thread's buffers are at least this large, so that kernels which take no more allocate
    /// nothing.
    #[must_use]
    pub fn is_reserved(self) -> bool {
        let has = |buffers: &RefCell<Vec<Arena>>, lens: [usize; NESTED]| {
            let buffers = buffers.borrow();
            lens.into_iter()
                .enumerate()
                .all(|(depth, len)| len == 0 || at(&buffers, depth).is_some_and(|b| b.len() >= len))
        };
        BUFFERS.with(|[small, large]| has(small, self.small) && has(large, self.large))
    }

    /// Grows this thread's buffers to at least this size. Which thread runs which task is decided anew with every run;
    /// one that never had the largest would take its memory later.
    pub fn reserve(self) {
        let take = |buffers: &RefCell<Vec<Arena>>, lens: [usize; NESTED]| {
            let mut buffers = buffers.borrow_mut();
            for (depth, len) in lens.into_iter().enumerate().filter(|&(_, len)| len > 0) {
                match buffers.len().checked_sub(depth + 1) {
                    Some(index) if buffers[index].len() >= len => (),
                    Some(index) => buffers[index] = buffer(len),
                    None => buffers.insert(0, buffer(len)),
                }
            }
        };
        BUFFERS.with(|[small, large]| {
            take(small, self.small);
            take(large, self.large);
        });
    }

    /// Returns the number of bytes that the operating system counts for it, where it gives huge pages; `usize::MAX` if
    /// they are beyond all memory.
    #[must_use]
    pub fn bytes(self) -> usize {
        let small = self.small.into_iter().filter(|&len| len > 0).map(small_len);
        let large = self.large.into_iter().map(large_len);
        let numbers: Size = small.chain(large).sum();
        (numbers * size_of::<f32>()).get().unwrap_or(usize::MAX)
    }
}

/// Returns the length of a small buffer: few different ones, so that a thread soon has the longest.
fn small_len(len: usize) -> usize {
    len.next_power_of_two().max(LEAST_SMALL)
}

/// Rounds a length up to whole huge pages.
fn large_len(len: usize) -> usize {
    len.checked_next_multiple_of(HUGE_PAGE).unwrap_or(usize::MAX)
}

/// Returns the buffer for a call within `depth` others.
fn at(buffers: &[Arena], depth: usize) -> Option<&Arena> {
    buffers.get(buffers.len().checked_sub(depth + 1)?)
}

/// Allocates a buffer for `len` elements.
fn buffer(len: usize) -> Arena {
    Arena::new(if len <= SMALL { small_len(len) } else { large_len(len).max(LEAST_LARGE) })
}

/// Calls `f` with `len` elements of any content, aligned to 64 bytes.
///
/// Calls may be nested: within a kernel, or because rayon hands this thread another task while it waits inside `f`. A
/// kernel whose tasks both take scratch memory and wait for others would take more than it can promise.
pub(crate) fn with<T>(len: usize, f: impl FnOnce(&mut [f32]) -> T) -> T {
    let mut arena = take(len);
    let result = f(&mut arena.as_mut_slice()[..len]);
    give_back(len, arena);
    result
}

/// Takes a buffer of this thread's, of `len` elements or more.
fn take(len: usize) -> Arena {
    let kept = BUFFERS.with(|buffers| buffers[kind(len)].borrow_mut().pop()).filter(|arena| arena.len() >= len);
    #[cfg(test)]
    recorder::enter(len);
    kept.unwrap_or_else(|| buffer(len))
}

/// Keeps a buffer that was taken for `len` elements for the next call.
fn give_back(len: usize, arena: Arena) {
    #[cfg(test)]
    recorder::leave();
    BUFFERS.with(|buffers| buffers[kind(len)].borrow_mut().push(arena));
}

/// Returns the index of the list that a buffer of `len` elements belongs to.
fn kind(len: usize) -> usize {
    usize::from(len > SMALL)
}

/// Records the scratch memory that the kernels of a test take.
#[cfg(test)]
pub(crate) mod recorder {
    use super::Scratch;
    use std::cell::RefCell;

    thread_local! {
        /// Buffers in use, and the largest of each.
        static STATE: RefCell<(Vec<usize>, Scratch)> = const { RefCell::new((Vec::new(), Scratch::NONE)) };
    }

    pub(super) fn enter(len: usize) {
        STATE.with_borrow_mut(|(used, most)| {
            used.push(len);
            let now = used.iter().rev().fold(Scratch::NONE, |inner, &len| Scratch::of(len).around(inner));
            *most = most.or(now);
        });
    }

    pub(super) fn leave() {
        STATE.with_borrow_mut(|(used, _)| used.pop());
    }

    /// Returns the scratch memory that `f` took of the thread on which all its tasks run.
    pub(crate) fn taken(f: impl FnOnce() + Send) -> Scratch {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        pool.install(|| taken_here(f))
    }

    /// Returns the scratch memory that `f` took of this thread; on a pool of one it is all that `f` took.
    pub(crate) fn taken_here(f: impl FnOnce()) -> Scratch {
        STATE.with_borrow_mut(|(_, most)| *most = Scratch::NONE);
        f();
        STATE.with_borrow(|(_, most)| *most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_buffers_are_apart_and_aligned() {
        for (outside, inside) in [(100, 200), (2 * SMALL, 3 * SMALL), (100, 2 * SMALL)] {
            with(outside, |outer| {
                outer.fill(1.0);
                with(inside, |inner| inner.fill(2.0));
                assert!(outer.iter().all(|x| *x == 1.0));
                assert_eq!(outer.as_ptr().align_offset(64), 0);
            });
            with(inside, |again| assert_eq!(again.len(), inside));
        }
    }

    #[test]
    fn what_is_reserved_is_not_allocated_later() {
        let scratch = Scratch::of(3000).around(Scratch::of(2 * SMALL).around(Scratch::of(200)));
        let lens = || BUFFERS.with(|kinds| kinds.each_ref().map(|list| list.borrow().iter().map(Arena::len).collect()));
        std::thread::spawn(move || {
            assert!(Scratch::NONE.is_reserved() && !scratch.is_reserved());
            with(100, |_| ());
            assert!(!scratch.is_reserved());
            scratch.reserve();
            assert!(scratch.is_reserved());
            let reserved: [Vec<usize>; 2] = lens();
            with(3000, |_| with(2 * SMALL, |_| with(200, |_| ())));
            scratch.reserve();
            assert_eq!(lens(), reserved);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_thread_holds_the_longest_buffers() {
        let (page, huge) = (4 << 10, 2 << 20);
        assert_eq!(Scratch::NONE.bytes(), 0);
        assert_eq!(Scratch::of(1).bytes(), page);
        assert_eq!(Scratch::of(SMALL).bytes(), SMALL * size_of::<f32>());
        assert_eq!(Scratch::of(SMALL + 1).bytes(), huge);
        let nested = Scratch::of(HUGE_PAGE + 1).around(Scratch::of(2000).around(Scratch::of(2 * SMALL)));
        assert_eq!(nested.bytes(), 3 * huge + 2 * page);
        assert_eq!(nested.or(Scratch::of(3 * HUGE_PAGE)).bytes(), 4 * huge + 2 * page);
    }
}
