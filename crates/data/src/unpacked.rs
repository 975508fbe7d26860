//! Reads a file that may be packed with gzip, which is detected from its first bytes and not from its name.

use crate::{
    Budget, Error, Result,
    gunzip::{Gunzip, MAGIC},
};
use std::{
    fs::File,
    io::{self, BufRead, BufReader, ErrorKind, Read},
    path::Path,
};

/// Number of bytes that are read at once.
const BUFFER: usize = 4096;

/// The content of an open file, unpacked if it is packed.
pub(crate) struct Unpacked<'a> {
    path: &'a Path,
    content: Content,
    budget: Budget,
}

enum Content {
    Plain(BufReader<File>),
    Packed(Box<Gunzip<BufReader<File>>>),
}

impl<'a> Unpacked<'a> {
    pub(crate) fn open(path: &'a Path) -> Result<Unpacked<'a>> {
        let failed = |source| Error::io(path, source);
        let file = File::open(path).map_err(failed)?;
        let budget = Budget::for_file(&file).map_err(failed)?;
        let mut raw = BufReader::with_capacity(BUFFER, file);
        let packed = raw.fill_buf().map_err(failed)?.starts_with(&MAGIC);
        let content = match packed {
            true => Content::Packed(Box::new(Gunzip::new(raw))),
            false => Content::Plain(raw),
        };
        Ok(Unpacked { path, content, budget })
    }

    /// Reads until `bytes` are full or the content ends; returns the number of bytes read.
    pub(crate) fn fill(&mut self, bytes: &mut [u8]) -> Result<usize> {
        self.charge(bytes.len() as u64)?;
        let mut got = 0;
        while got < bytes.len() {
            match self.content.read(&mut bytes[got..]) {
                Ok(0) => break,
                Ok(more) => got += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.refused(error)),
            }
        }
        Ok(got)
    }

    /// Appends the next `length` bytes, or those up to the end of the content, to `bytes`; returns their number. Memory
    /// grows with the content, not with `length`.
    pub(crate) fn append(&mut self, length: u64, bytes: &mut Vec<u8>) -> Result<u64> {
        self.charge(length)?;
        let got = self.content.by_ref().take(length).read_to_end(bytes).map_err(|error| self.refused(error))?;
        Ok(got as u64)
    }

    /// Skips `length` bytes, or to the end of the content; returns the number of bytes skipped.
    #[cfg(feature = "images")]
    pub(crate) fn skip(&mut self, length: u64) -> Result<u64> {
        self.charge(length)?;
        io::copy(&mut self.content.by_ref().take(length), &mut io::sink()).map_err(|error| self.refused(error))
    }

    /// Returns the number of bytes that this file may still cost.
    #[cfg(feature = "images")]
    pub(crate) fn left(&self) -> u64 {
        self.budget.left()
    }

    /// Reads to the end, so that the unpacker checks its checksum.
    #[cfg(feature = "images")]
    pub(crate) fn finish(mut self) -> Result<()> {
        let mut bytes = [0; 4096];
        while self.fill(&mut bytes)? > 0 {}
        Ok(())
    }

    /// Charges other work and memory than those of reading to the budget of the file.
    pub(crate) fn charge(&mut self, bytes: u64) -> Result<()> {
        self.budget.charge(self.path, bytes)
    }

    /// Returns the number of bytes that this file may cost in all.
    pub(crate) fn limit(&self) -> u64 {
        self.budget.limit()
    }

    pub(crate) fn wrong(&self, reason: impl Into<String>) -> Error {
        Error::format(self.path, reason)
    }

    /// Converts an error of a read: a fault that the unpacker reports is one of the file, any other is one of the
    /// system.
    fn refused(&self, error: io::Error) -> Error {
        match error.kind() {
            ErrorKind::UnexpectedEof => self.wrong("the gzip data end too early"),
            ErrorKind::InvalidInput | ErrorKind::InvalidData => self.wrong(format!("corrupt gzip data ({error})")),
            _ => Error::io(self.path, error),
        }
    }
}

impl Read for Content {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Content::Plain(content) => content.read(bytes),
            Content::Packed(content) => content.read(bytes),
        }
    }
}
