//! Reads the directory at the end of a zip archive, which lists its files and their positions.
//!
//! Offsets are taken as they are written, from the first byte of the archive on, as PyTorch does. Readers that guess whether
//! something was put in front of an archive may guess wrong where its records for large files are.

use crate::weights::{
    budget::Budget,
    error::{Failure, shown},
    stored::{FileBlock, FileSource},
};
use std::io::{Read, SeekFrom};

/// The record at the end: its signature, and its length in bytes without a comment.
const END: ([u8; 4], usize) = (*b"PK\x05\x06", 22);
/// The locator of the end of large archives, right in front of the record at the end.
const LOCATOR: ([u8; 4], usize) = (*b"PK\x06\x07", 20);
/// The record at the end of large archives.
const LARGE_END: ([u8; 4], usize) = (*b"PK\x06\x06", 56);
/// The record of a file in the directory, without its name and the fields that follow it.
const ENTRY: ([u8; 4], usize) = (*b"PK\x01\x02", 46);
/// The header in front of a file's content, without its name and the fields that follow it.
const LOCAL: ([u8; 4], usize) = (*b"PK\x03\x04", 30);
/// Longest comment in bytes.
const MAX_COMMENT: u64 = u16::MAX as u64;
/// The kind of an extra field with sizes that 32 bits cannot hold.
const LARGE_SIZES: u16 = 1;

/// A file of an archive, as the directory describes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Position of the header in front of the content.
    start: u64,
    packed: u64,
    len: u64,
    method: u16,
    encrypted: bool,
}

impl Entry {
    /// Returns the position of the content.
    pub(super) fn block(&self, source: &mut dyn FileSource, file_len: u64) -> Result<FileBlock, Failure> {
        if self.encrypted {
            return Err(Failure::Broken("it is encrypted".into()));
        }
        let mut local = [0; LOCAL.1];
        let block = FileBlock::new(self.start, LOCAL.1 as u64, file_len).map_err(Failure::Broken)?;
        block.reader(source, 0)?.read_exact(&mut local)?;
        if !local.starts_with(&LOCAL.0) {
            return Err(Failure::Broken("it does not begin where the archive says".into()));
        }
        let start = self.start + LOCAL.1 as u64 + u64::from(two(&local, 26)) + u64::from(two(&local, 28));
        let block = match self.method {
            0 => FileBlock::new(start, self.packed, file_len),
            8 => FileBlock::deflated(start, self.packed, self.len, file_len),
            method => Err(format!("it is compressed by method {method}, known is deflate")),
        };
        block.map_err(Failure::Broken)
    }
}

/// Reads every file with its name, in the order of the names.
pub(super) fn read(
    source: &mut dyn FileSource,
    file_len: u64,
    budget: &mut Budget,
) -> Result<Vec<(Box<str>, Entry)>, Failure> {
    let (start, len) = place(source, file_len)?;
    let directory = FileBlock::new(start, len, file_len).map_err(broken)?;
    budget.take_block(len)?;
    let mut bytes = vec![0; len as usize];
    directory.reader(source, 0)?.read_exact(&mut bytes)?;
    let mut entries = Vec::new();
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let (name, entry) = next_entry(&mut rest).ok_or_else(|| broken("its directory ends too early"))?;
        let name = String::from_utf8_lossy(name);
        budget.take_text(&name)?;
        budget.push(&mut entries, (Box::<str>::from(name), entry))?;
    }
    budget.release_block(len);
    // The last one of equal names counts.
    entries.reverse();
    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    entries.dedup_by(|(later, _), (kept, _)| later == kept);
    Ok(entries)
}

fn broken(reason: impl AsRef<str>) -> Failure {
    Failure::Broken(format!("not a whole zip archive: {}", shown(reason.as_ref())))
}

/// Returns the position of the directory, and its length in bytes.
fn place(source: &mut dyn FileSource, file_len: u64) -> Result<(u64, u64), Failure> {
    let tail_len = file_len.min(MAX_COMMENT + END.1 as u64);
    let mut tail = vec![0; tail_len as usize];
    source.seek(SeekFrom::Start(file_len - tail_len))?;
    source.read_exact(&mut tail)?;
    let is_end = |at: &usize| {
        let record = &tail[*at..];
        record.starts_with(&END.0) && END.1 + usize::from(two(record, 20)) <= record.len()
    };
    let at = (0..(tail.len() + 1).saturating_sub(END.1)).rev().find(is_end);
    let at = at.ok_or_else(|| broken("it has no record at its end"))?;
    let record = &tail[at..];
    let (len, start) = (four(record, 12), four(record, 16));
    if len != u32::MAX && start != u32::MAX && two(record, 10) != u16::MAX {
        return Ok((start.into(), len.into()));
    }
    let locator = at.checked_sub(LOCATOR.1).map(|at| &tail[at..]).filter(|locator| locator.starts_with(&LOCATOR.0));
    let locator = locator.ok_or_else(|| broken("it has no record of where its large directory is"))?;
    let mut record = [0; LARGE_END.1];
    let block = FileBlock::new(eight(locator, 8), LARGE_END.1 as u64, file_len).map_err(broken)?;
    block.reader(source, 0)?.read_exact(&mut record)?;
    if !record.starts_with(&LARGE_END.0) {
        return Err(broken("its large directory is not where it says"));
    }
    Ok((eight(&record, 48), eight(&record, 40)))
}

/// Takes one file off the front of a directory.
fn next_entry<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], Entry)> {
    let record = *rest;
    if record.len() < ENTRY.1 || !record.starts_with(&ENTRY.0) {
        return None;
    }
    let [name_len, extra_len, comment_len] = [28, 30, 32].map(|at| usize::from(two(record, at)));
    let name = record.get(ENTRY.1..ENTRY.1 + name_len)?;
    let extra = record.get(ENTRY.1 + name_len..ENTRY.1 + name_len + extra_len)?;
    *rest = record.get(ENTRY.1 + name_len + extra_len + comment_len..)?;

    let mut large = large_sizes(extra);
    // The extra field has the next eight bytes for a size that 32 bits cannot hold.
    let mut size = |at: usize| match four(record, at) {
        u32::MAX => {
            let (size, rest) = large.split_first_chunk::<8>()?;
            large = rest;
            Some(u64::from_le_bytes(*size))
        }
        size => Some(size.into()),
    };
    let (len, packed, start) = (size(24)?, size(20)?, size(42)?);
    let (encrypted, method) = (two(record, 8) & 1 == 1, two(record, 10));
    Some((name, Entry { start, packed, len, method, encrypted }))
}

/// Returns the part of an extra field with large sizes; empty if there is none.
fn large_sizes(mut extra: &[u8]) -> &[u8] {
    while extra.len() >= 4 {
        let (kind, len) = (two(extra, 0), usize::from(two(extra, 2)));
        let Some(content) = extra.get(4..4 + len) else { break };
        if kind == LARGE_SIZES {
            return content;
        }
        extra = &extra[4 + len..];
    }
    &[]
}

/// Returns the number of two bytes at `at`, which the record has.
fn two(record: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([record[at], record[at + 1]])
}

fn four(record: &[u8], at: usize) -> u32 {
    u32::from(two(record, at)) | u32::from(two(record, at + 2)) << 16
}

fn eight(record: &[u8], at: usize) -> u64 {
    u64::from(four(record, at)) | u64::from(four(record, at + 4)) << 32
}
