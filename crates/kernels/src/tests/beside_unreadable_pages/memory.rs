//! Memory between two pages that nobody may touch, and what is told when somebody does.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::{io, ptr, slice};

/// Which neighbour of an operand is unreadable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The element before its first.
    Before,
    /// The element behind its last.
    Behind,
}

/// Numbers right beside a page that cannot be read or written.
pub struct Operand {
    map: *mut libc::c_void,
    bytes: usize,
    first: *mut f32,
    length: usize,
}

impl Operand {
    /// A copy of `numbers`.
    pub fn beside(side: Side, numbers: &[f32]) -> Self {
        // SAFETY: `sysconf` only answers.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).expect("there are pages");
        let room = size_of_val(numbers).next_multiple_of(page).max(page);
        let bytes = room + 2 * page;
        // SAFETY: a new mapping of its own, wherever there is room.
        let map = unsafe {
            libc::mmap(ptr::null_mut(), bytes, libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
        };
        assert!(map != libc::MAP_FAILED, "no memory: {}", io::Error::last_os_error());
        let inside = map.wrapping_byte_add(page);
        // SAFETY: the pages between the first and the last one of the mapping.
        let opened = unsafe { libc::mprotect(inside, room, libc::PROT_READ | libc::PROT_WRITE) };
        assert!(opened == 0, "no access: {}", io::Error::last_os_error());
        let offset = if side == Side::Before { 0 } else { room - size_of_val(numbers) };
        let first = inside.wrapping_byte_add(offset).cast::<f32>();
        let mut operand = Self { map, bytes, first, length: numbers.len() };
        operand.copy_from_slice(numbers);
        operand
    }
}

impl Deref for Operand {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: `length` elements from `first` on lie in the open pages, which are zero at first and this operand's alone.
        unsafe { slice::from_raw_parts(self.first, self.length) }
    }
}

impl DerefMut for Operand {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as for reading; the operand is borrowed mutably.
        unsafe { slice::from_raw_parts_mut(self.first, self.length) }
    }
}

impl Drop for Operand {
    fn drop(&mut self) {
        // SAFETY: the mapping of `beside`, which nobody else knows.
        let closed = unsafe { libc::munmap(self.map, self.bytes) };
        assert!(closed == 0, "a mapping ends: {}", io::Error::last_os_error());
    }
}

/// Text that the fault handler writes, in a form that needs no lock.
static TEXT: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());
static LENGTH: AtomicUsize = AtomicUsize::new(0);

/// Has this text written to the standard error when an unreadable page is touched from now on.
pub fn tell_in_case_of_a_fault(what: String) {
    static CURRENT: Mutex<String> = Mutex::new(String::new());
    static HANDLED: Once = Once::new();
    let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
    LENGTH.store(0, Ordering::SeqCst);
    *current = format!("memory outside of an operand was touched: {what}\n");
    TEXT.store(current.as_ptr().cast_mut(), Ordering::SeqCst);
    LENGTH.store(current.len(), Ordering::SeqCst);
    HANDLED.call_once(|| {
        for signal in [libc::SIGSEGV, libc::SIGBUS] {
            // SAFETY: the handler calls nothing but functions that are safe in one.
            unsafe { libc::signal(signal, tell as extern "C" fn(libc::c_int) as libc::sighandler_t) };
        }
    });
}

/// Writes the text, and lets the fault happen again with no handler.
extern "C" fn tell(signal: libc::c_int) {
    let (text, length) = (TEXT.load(Ordering::SeqCst), LENGTH.load(Ordering::SeqCst));
    // SAFETY: `write` and `signal` may be called in a handler; the text stays until the next one is set, which is not while
    // kernels run.
    unsafe {
        libc::write(libc::STDERR_FILENO, text.cast(), length);
        libc::signal(signal, libc::SIG_DFL);
    }
}
