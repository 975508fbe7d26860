//! Bounds on the memory and work of reading a file.
//!
//! A few bytes can ask for any amount of memory and time: a text that is repeated by reference, a view whose stride is zero, one
//! long key of a hundred thousand tensors, a gigabyte of zeros, deflated. Limits of their parts do not help, because parts are
//! repeated. So each file has one [`Budget`], a function of its length alone, and whatever its bytes make a reader allocate or
//! repeat is taken from it:
//!
//! - *memory*: [`BASE_MEMORY`] and [`MEMORY_PER_BYTE`] for each byte of the file, for all that is alive at once,
//!   including vectors that are held twice while they grow and the overhead of the allocator. The elements of tensors
//!   are charged only where the file does not hold them one by one: those of deflated storages and of views that repeat
//!   elements.
//! - *work*: [`BASE_WORK`] and [`WORK_PER_BYTE`] for each byte, in bytes inflated or read for tensors. All other work is
//!   proportional to the bytes that are read once, or to the memory that is taken.
//!
//! Honest files stay far below: nearly all of their bytes are weights, which cost nothing here, and the names and
//! shapes of a tensor take some five times the bytes that describe it.

use std::fmt;

/// Bytes of memory that every file may take. The state of an inflater is most of it.
const BASE_MEMORY: u64 = 64 << 10;
/// Bytes of memory for each byte of a file.
const MEMORY_PER_BYTE: u64 = 8;
/// Bytes reserved for allocations that are not charged one by one: the name of the file, and the message of its error.
const UNCOUNTED: u64 = 1 << 10;
/// Bytes of every file that may be inflated or read for tensors.
const BASE_WORK: u64 = 1 << 20;
/// Bytes that may be inflated or read for tensors, for each byte of a file. Deflated weights become twice as many bytes
/// at most, and a storage is rarely shared by more than two tensors.
const WORK_PER_BYTE: u64 = 32;

/// The overhead of an allocator for a block of memory, and the multiple that it rounds up to.
const BLOCK_OVERHEAD: u64 = 16;

/// The memory and work that may still be taken for a file.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    file_len: u64,
    memory: u64,
    work: u64,
}

/// An error for a file that exceeds its budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exhausted {
    /// The file needs more memory than this number of bytes.
    Memory(u64),
    /// The file needs more bytes to be read than this number.
    Work(u64),
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exhausted::Memory(bytes) => write!(
                f,
                "reading it would take more than {bytes} bytes of memory: {MEMORY_PER_BYTE} for each of its own and \
                 {BASE_MEMORY}"
            ),
            Exhausted::Work(bytes) => write!(
                f,
                "its tensors would be read from more than {bytes} bytes: {WORK_PER_BYTE} for each of its own and {BASE_WORK}"
            ),
        }
    }
}

impl From<Exhausted> for String {
    fn from(exhausted: Exhausted) -> String {
        exhausted.to_string()
    }
}

type Result<T> = std::result::Result<T, Exhausted>;

fn memory_of(file_len: u64) -> u64 {
    file_len.saturating_mul(MEMORY_PER_BYTE).saturating_add(BASE_MEMORY)
}

fn work_of(file_len: u64) -> u64 {
    file_len.saturating_mul(WORK_PER_BYTE).saturating_add(BASE_WORK)
}

/// Returns the bytes of `count` values of a type.
fn bytes_of<T>(count: usize) -> u64 {
    (count as u64).saturating_mul(size_of::<T>() as u64)
}

impl Budget {
    /// Returns the whole budget of a file of `file_len` bytes.
    pub(crate) fn for_file(file_len: u64) -> Budget {
        Budget { file_len, memory: memory_of(file_len) - UNCOUNTED, work: work_of(file_len) }
    }

    /// Takes memory for one block of `bytes`.
    pub(crate) fn take_block(&mut self, bytes: u64) -> Result<()> {
        self.take(bytes.saturating_add(BLOCK_OVERHEAD))
    }

    /// Takes memory for a copy of a text.
    pub(crate) fn take_text(&mut self, text: &str) -> Result<()> {
        self.take_block(text.len() as u64)
    }

    /// Takes memory for an entry of the metadata, in the file and in a copy that a report of the loader has.
    pub(crate) fn take_entry(&mut self, key: &str, value: &str) -> Result<()> {
        /// Bytes of a map entry from text to text, with a share of the map's free slots.
        const ENTRY: usize = 128;
        let one = (ENTRY + key.len() + value.len()) as u64;
        self.take_block(one)?;
        self.take_block(one)
    }

    /// Gives back what was taken for one block of `bytes`, which is no longer alive.
    pub(crate) fn release_block(&mut self, bytes: u64) {
        self.memory += bytes + BLOCK_OVERHEAD;
    }

    /// Gives back what was taken for a vector by [`push`](Budget::push), and drops it.
    pub(crate) fn release<T>(&mut self, list: Vec<T>) {
        if list.capacity() > 0 {
            self.release_block(bytes_of::<T>(list.capacity()));
        }
    }

    /// Gives back what was taken for a slice by [`collect`](Budget::collect), which is about to be dropped.
    pub(crate) fn release_slice<T>(&mut self, slice: &[T]) {
        if !slice.is_empty() {
            self.release_block(bytes_of::<T>(slice.len()));
        }
    }

    /// Appends to a vector, which grows by a quarter. While it grows it is held twice.
    pub(crate) fn push<T>(&mut self, list: &mut Vec<T>, item: T) -> Result<()> {
        /// Capacity of the first block, in items.
        const FEW: usize = 4;
        if list.len() == list.capacity() {
            let more = (list.len() / 4).max(FEW);
            self.take_block(bytes_of::<T>(list.len() + more))?;
            let before = list.capacity();
            list.reserve_exact(more);
            if before > 0 {
                self.release_block(bytes_of::<T>(before));
            }
        }
        list.push(item);
        Ok(())
    }

    /// Returns an empty vector with room for `capacity` items.
    pub(crate) fn vector<T>(&mut self, capacity: usize) -> Result<Vec<T>> {
        let mut list = Vec::new();
        if capacity > 0 {
            self.take_block(bytes_of::<T>(capacity))?;
            list.reserve_exact(capacity);
        }
        Ok(list)
    }

    /// Collects an iterator that knows its length into a boxed slice.
    pub(crate) fn collect<T>(&mut self, items: impl ExactSizeIterator<Item = T>) -> Result<Box<[T]>> {
        if items.len() > 0 {
            self.take_block(bytes_of::<T>(items.len()))?;
        }
        Ok(items.collect())
    }

    /// Checks that this many bytes of memory are left; takes nothing.
    pub(crate) fn check(&self, bytes: u64) -> Result<()> {
        if bytes <= self.memory { Ok(()) } else { Err(Exhausted::Memory(memory_of(self.file_len))) }
    }

    fn take(&mut self, bytes: u64) -> Result<()> {
        self.check(bytes)?;
        self.memory -= bytes;
        Ok(())
    }

    /// Takes the work of inflating or reading `bytes`.
    pub(crate) fn work(&mut self, bytes: u64) -> Result<()> {
        self.work = self.work.checked_sub(bytes).ok_or(Exhausted::Work(work_of(self.file_len)))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem;

    #[test]
    fn what_is_taken_is_bounded_by_the_length_of_the_file() {
        let mut budget = Budget::for_file(100);
        let all = (63 << 10) + 800;
        assert_eq!(budget.check(all + 1), Err(Exhausted::Memory(all + UNCOUNTED)));
        budget.take_block(all - 16).unwrap();
        let error = budget.take_block(0).unwrap_err();
        assert_eq!(
            error.to_string(),
            "reading it would take more than 66336 bytes of memory: 8 for each of its own and 65536"
        );
        budget.release_block(all - 16);
        budget.take_text("again").unwrap();

        budget.work((1 << 20) + 3200).unwrap();
        let error = budget.work(1).unwrap_err().to_string();
        assert_eq!(error, "its tensors would be read from more than 1051776 bytes: 32 for each of its own and 1048576");
        assert!(Budget::for_file(u64::MAX).take_block(u64::MAX - UNCOUNTED - BLOCK_OVERHEAD).is_ok());
    }

    /// A vector that grew holds what was taken for it, and nothing after it is released.
    #[test]
    fn vectors_are_taken_with_their_room_to_grow() {
        let mut budget = Budget::for_file(0);
        let mut list = Vec::new();
        while budget.push(&mut list, 0u64).is_ok() {
            let held = bytes_of::<u64>(list.capacity()) + BLOCK_OVERHEAD;
            assert_eq!(budget.memory + held, BASE_MEMORY - UNCOUNTED);
        }
        // When it would grow by a quarter, both blocks would be alive.
        assert!(bytes_of::<u64>(list.len()) * 9 / 4 > BASE_MEMORY - UNCOUNTED - 64, "{}", list.len());
        assert!(list.len() == list.capacity());
        budget.release(mem::take(&mut list));
        assert_eq!(budget.memory, BASE_MEMORY - UNCOUNTED);
    }
}
