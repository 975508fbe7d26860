//! Reads the tar format (POSIX ustar and pax, GNU): the entries of an archive one after the other, in the order of the
//! file.

use crate::{Result, unpacked::Unpacked};
use std::{borrow::Cow, path::Path};

const BLOCK: usize = 512;
/// Longest name in bytes: the longest path of Linux.
const MAX_NAME: u64 = 4096;
/// Longest pax header in bytes. It holds names and the file attributes of macOS.
const MAX_HEADER: u64 = 1 << 18;
/// Bytes that each entry costs in addition to its content, to bound the number of entries.
const COST: u64 = 4096;

/// A reader of the entries of an archive.
pub(super) struct Archive<'a> {
    content: Unpacked<'a>,
    /// Bytes of the entry that are not read yet, including the padding of its last block.
    left: u64,
    padding: u64,
}

/// A file, folder or anything else in an archive.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    /// A link, a device or a file with holes.
    Other,
}

impl<'a> Archive<'a> {
    pub(super) fn open(path: &'a Path) -> Result<Archive<'a>> {
        Ok(Archive { content: Unpacked::open(path)?, left: 0, padding: 0 })
    }

    /// Reads the next entry; `None` after the last one.
    pub(super) fn next_entry(&mut self) -> Result<Option<Entry>> {
        let (mut long_name, mut long_size) = (None, None);
        while let Some(header) = self.header()? {
            let size = self.number(&header[124..136])?;
            self.enter(size);
            // headers that describe the next entry, and then its own
            match header[156] {
                b'L' => long_name = Some(until_zero(&self.meta(size, MAX_NAME)?).into_owned()),
                b'x' => {
                    let records = self.meta(size, MAX_HEADER)?;
                    for (key, value) in (Records { rest: &records }) {
                        match key {
                            b"path" => long_name = Some(String::from_utf8_lossy(value).into_owned()),
                            b"size" => long_size = str::from_utf8(value).ok().and_then(|size| size.parse().ok()),
                            _ => {}
                        }
                    }
                }
                b'K' | b'g' => self.skip()?,
                kind => {
                    let size = long_size.unwrap_or(size);
                    self.enter(size);
                    let name = long_name.unwrap_or_else(|| name(&header));
                    let kind = match kind {
                        b'0' | 0 | b'7' if !name.ends_with('/') => Kind::File,
                        b'0' | 0 | b'5' => Kind::Folder,
                        _ => Kind::Other,
                    };
                    return Ok(Some(Entry { name, kind }));
                }
            }
        }
        Ok(None)
    }

    /// Appends the next bytes of the current entry to `bytes`, at most `limit` of them.
    pub(super) fn read(&mut self, limit: u64, bytes: &mut Vec<u8>) -> Result<()> {
        let length = self.left.min(limit);
        if self.content.append(length, bytes)? < length {
            return Err(self.cut());
        }
        self.left -= length;
        Ok(())
    }

    /// Returns true if the current entry was read to its end.
    pub(super) fn is_read(&self) -> bool {
        self.left == 0
    }

    /// Reads to the end of the file, where the checksum is.
    pub(super) fn finish(self) -> Result<()> {
        self.content.finish()
    }

    /// Returns the number of bytes that the archive may still cost.
    pub(super) fn left(&self) -> u64 {
        self.content.left()
    }

    /// Charges bytes that are decoded from an entry.
    pub(super) fn charge(&mut self, bytes: u64) -> Result<()> {
        self.content.charge(bytes)
    }

    fn enter(&mut self, size: u64) {
        self.left = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
    }

    /// Reads the content of an entry that describes the next one.
    fn meta(&mut self, size: u64, limit: u64) -> Result<Vec<u8>> {
        if size > limit {
            return Err(self.damaged(format!("a name or a header of {size} bytes")));
        }
        let mut bytes = Vec::new();
        self.left -= self.content.append(size, &mut bytes)?;
        self.skip()?;
        Ok(bytes)
    }

    /// Skips the rest of an entry.
    fn skip(&mut self) -> Result<()> {
        let length = self.left.saturating_add(self.padding);
        let skipped = self.content.skip(length)?;
        // An archive may be cut off within the padding of its last entry.
        if skipped < self.left {
            return Err(self.cut());
        }
        (self.left, self.padding) = (0, 0);
        Ok(())
    }

    /// Reads the next header, if there is one before the end of the archive.
    fn header(&mut self) -> Result<Option<[u8; BLOCK]>> {
        self.skip()?;
        self.content.charge(COST)?;
        let mut header = [0; BLOCK];
        match self.content.fill(&mut header)? {
            0 => return Ok(None),
            BLOCK => {}
            _ => return Err(self.cut()),
        }
        if header == [0; BLOCK] {
            return Ok(None);
        }
        let checksum = self.number(&header[148..156])?;
        let sum = |bytes: &[u8]| bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        // The checksum counts its own field as spaces.
        if sum(&header[..148]) + 8 * u64::from(b' ') + sum(&header[156..]) != checksum {
            return Err(self.damaged("no header of an entry where one should be"));
        }
        Ok(Some(header))
    }

    /// Parses a number in octal digits, or in bytes after a first one of 0x80.
    fn number(&self, field: &[u8]) -> Result<u64> {
        if let [0x80, bytes @ ..] = field {
            let number =
                bytes.iter().try_fold(0u64, |number, byte| number.checked_mul(256)?.checked_add((*byte).into()));
            return number.ok_or_else(|| self.damaged("an absurd size"));
        }
        let text = until_zero(field);
        match text.trim() {
            "" => Ok(0),
            digits => u64::from_str_radix(digits, 8).map_err(|_| self.damaged("no number where one should be")),
        }
    }

    fn cut(&self) -> crate::Error {
        self.damaged("it ends inside an entry")
    }

    fn damaged(&self, what: impl std::fmt::Display) -> crate::Error {
        self.content.wrong(format!("damaged archive ({what})"))
    }
}

/// Returns the name in a header; pax and ustar put the folder before it.
fn name(header: &[u8; BLOCK]) -> String {
    let name = until_zero(&header[..100]);
    let folder = if &header[257..263] == b"ustar\0" { until_zero(&header[345..500]) } else { Cow::default() };
    if folder.is_empty() { name.into() } else { format!("{folder}/{name}") }
}

fn until_zero(bytes: &[u8]) -> Cow<'_, str> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end])
}

/// The records of a pax header, `LENGTH KEY=VALUE\n`, up to the first invalid one.
struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Records<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let space = self.rest.iter().position(|byte| *byte == b' ')?;
        let length: usize = str::from_utf8(&self.rest[..space]).ok()?.parse().ok()?;
        let record = self.rest.get(space + 1..length)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|byte| *byte == b'=')?;
        self.rest = &self.rest[length..];
        Some((&record[..equals], &record[equals + 1..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_end_at_the_first_that_is_none() {
        let records = |rest| Records { rest }.map(|(key, value)| (key.len(), value.len())).collect::<Vec<_>>();
        assert_eq!(records(b"12 path=a/b\n8 a=bc\nx"), [(4, 3)]);
        assert_eq!(records(b"12 path=a/b\n8 a=bcd\n"), [(4, 3), (1, 3)]);
        assert_eq!(records(b"12 path=a/b\n7 a=bc\n"), [(4, 3), (1, 2)]);
        for none in [&b""[..], b"5", b"99 path=a/b\n", b"0 path=a", b"18446744073709551615 a=b\n", b"3 \n", b"2 a=b\n"]
        {
            assert_eq!(records(none), [], "{none:?}");
        }
    }
}
