//! Checks that enough memory is available before it is taken.

/// Bytes assumed to be available if the operating system does not report them.
const UNKNOWN: u64 = 1 << 40;

/// Checks that `bytes` are available for `purpose`; `None` is more than can be counted.
pub fn check_memory(purpose: &str, bytes: Option<u64>) -> Result<(), String> {
    let available = available().unwrap_or(UNKNOWN);
    let gigabytes = |bytes: u64| bytes as f64 / 1e9;
    match bytes {
        Some(bytes) if bytes <= available => Ok(()),
        Some(bytes) => {
            let (needed, there) = (gigabytes(bytes), gigabytes(available));
            Err(format!("{purpose} needs {needed:.1} GB of memory, and {there:.1} GB are available"))
        }
        None => Err(format!("{purpose} needs more memory than can be addressed")),
    }
}

/// Returns the bytes of memory that a program can still take, if the operating system reports them.
fn available() -> Option<u64> {
    counted("/proc/meminfo", "MemAvailable")
}

/// Returns bytes that the operating system reports: the line that begins with `key` of one of its files, if it has such
/// a file.
pub fn counted(file: &str, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok()?.checked_mul(1024)
}
