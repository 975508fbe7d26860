//! Whether there is memory for what is asked for, before it is taken.

/// Bytes that are taken to be there where the operating system does not say how many are.
const UNKNOWN: u64 = 1 << 40;

/// Whether `bytes`, if they can be counted at all, are there for `purpose`.
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

/// Bytes of memory that a program can still take, by the operating system's count, where it tells.
fn available() -> Option<u64> {
    counted("/proc/meminfo", "MemAvailable")
}

/// Bytes that the operating system counts: the line that begins with `key` of one of its files, where it has such a file.
pub fn counted(file: &str, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok()?.checked_mul(1024)
}
