//! What reading a file costs, and what it may cost.

use peak_alloc::PeakAlloc;
use std::time::{Duration, Instant};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// Bytes that reading may take for itself, whatever the file: buffers and the state of an unpacker.
const OWN_BYTES: usize = 64 << 10;
/// Bytes of memory for each byte of the file, or of the data that it has.
const BYTES_PER_BYTE: usize = 8;
/// What a small file may take.
const OWN_TIME: Duration = Duration::from_secs(5);
/// Bytes of a file that may take a second, and bytes of data that may.
const FILE_BYTES_PER_SECOND: usize = 1 << 20;
const DATA_BYTES_PER_SECOND: usize = 32 << 20;

/// Memory and time that a reader took.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// The most bytes that it held at one moment, its result among them.
    pub bytes: usize,
    pub time: Duration,
}

/// Runs `read` and measures it. What other threads of the process allocate meanwhile is counted too: there must be none.
pub fn measured<T>(read: impl FnOnce() -> T) -> (T, Cost) {
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    let started = Instant::now();
    let result = read();
    let time = started.elapsed();
    (result, Cost { bytes: HEAP.peak_usage().saturating_sub(before), time })
}

/// What reading a file of `length` bytes may cost that has `data` bytes of data, by a reader that takes `own` bytes more
/// than others for itself.
pub fn limit(length: usize, data: usize, own: usize) -> Cost {
    let bytes = length.saturating_add(data).saturating_mul(BYTES_PER_BYTE).saturating_add(OWN_BYTES + own);
    let seconds = length / FILE_BYTES_PER_SECOND + data / DATA_BYTES_PER_SECOND;
    Cost { bytes, time: OWN_TIME + Duration::from_secs(seconds as u64) }
}
