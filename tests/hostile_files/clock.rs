//! The time that a process has worked: what others do on the machine meanwhile does not count.

use std::{fs, time::Duration};

/// Ticks of the counters of Linux in a second, on every machine.
const TICKS_PER_SECOND: f64 = 100.0;

/// How long a process has run on processors; `process` is its number or `self`. `None` where the system does not say.
pub fn worked(process: &str) -> Option<Duration> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // After the name in parentheses, which may have spaces, these are fields 12 and 13: in the program and in the system.
    let (_, fields) = text.rsplit_once(')')?;
    let ticks: f64 = fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse().unwrap_or(0.0)).sum();
    Some(Duration::from_secs_f64(ticks / TICKS_PER_SECOND))
}
