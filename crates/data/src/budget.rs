//! Bounds on what reading one file may cost.

use crate::{Error, Result};
use std::{fs::File, io, path::Path};

/// Bytes that every file may cost, however small it is, because blank images pack well.
const FLOOR: u64 = 16 << 20;
/// Bytes that each byte of a file may cost. Published datasets unpack to at most a few dozen times their length, drawings of
/// one colour on another to a few hundred times.
const RATIO: u64 = 256;
/// Bytes that no file may exceed: four times an honest file of 4 GB.
const MOST: u64 = 16 << 30;

/// The bytes that may still be taken for a file; the limit follows from the length of the file.
///
/// Whatever is unpacked from a file, kept or skipped, and whatever is decoded from a part of it is charged here, so
/// that neither memory nor work can grow out of proportion to the file.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    limit: u64,
    left: u64,
}

impl Budget {
    /// Returns the budget of a file of `length` bytes.
    pub(crate) fn for_length(length: u64) -> Budget {
        let limit = length.saturating_mul(RATIO).saturating_add(FLOOR).min(MOST);
        Budget { limit, left: limit }
    }

    /// Returns the budget of an open file. A file without a length, such as a pipe, may cost as much as the longest
    /// file.
    pub(crate) fn for_file(file: &File) -> io::Result<Budget> {
        let metadata = file.metadata()?;
        Ok(Budget::for_length(if metadata.is_file() { metadata.len() } else { u64::MAX }))
    }

    /// Returns the number of bytes that the file may cost in all.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// Returns the number of bytes that the file may still cost.
    #[cfg(feature = "images")]
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    /// Takes `bytes` from what is left.
    ///
    /// # Errors
    /// [`Error::Format`] for the file at `path` if that is more than is left.
    pub(crate) fn charge(&mut self, path: &Path, bytes: u64) -> Result<()> {
        match self.left.checked_sub(bytes) {
            Some(left) => self.left = left,
            None => {
                let limit = self.limit;
                return Err(Error::format(path, format!("more than {limit} bytes unpacked, the limit for its length")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_grows_with_the_file_up_to_a_bound() {
        assert_eq!(Budget::for_length(0).limit, FLOOR);
        assert_eq!(Budget::for_length(1000).limit, FLOOR + 1000 * RATIO);
        assert_eq!(Budget::for_length(u64::MAX).limit, MOST);
        assert!(Budget::for_length(4 << 30).limit >= 4 << 30);
        let mut budget = Budget::for_length(0);
        budget.charge(Path::new("file"), FLOOR - 1).unwrap();
        let text = budget.charge(Path::new("file"), 2).unwrap_err().to_string();
        assert_eq!(text, "file: more than 16777216 bytes unpacked, the limit for its length");
        // What was refused is not taken.
        budget.charge(Path::new("file"), 1).unwrap();
        assert!(budget.charge(Path::new("file"), u64::MAX).is_err());
    }
}
