//! The segments of a JPEG file, and the tables that they define (T.81, annex B).

use super::huffman::Huffman;
use crate::image_files::fault::{Fault, Result};

/// The second byte of each marker (table B.1).
pub(super) mod marker {
    pub const SEQUENTIAL: u8 = 0xC0;
    pub const EXTENDED: u8 = 0xC1;
    pub const PROGRESSIVE: u8 = 0xC2;
    pub const LAST_FRAME: u8 = 0xCF;
    pub const HUFFMAN: u8 = 0xC4;
    pub const RESTART: u8 = 0xD0;
    pub const START_OF_IMAGE: u8 = 0xD8;
    pub const END_OF_IMAGE: u8 = 0xD9;
    pub const START_OF_SCAN: u8 = 0xDA;
    pub const QUANTISATION: u8 = 0xDB;
    pub const RESTART_INTERVAL: u8 = 0xDD;
    pub const APPLICATION: u8 = 0xE0;
    pub const JFIF: u8 = APPLICATION;
    pub const EXIF: u8 = 0xE1;
    pub const ADOBE: u8 = 0xEE;
    pub const LAST_APPLICATION: u8 = 0xEF;
    pub const COMMENT: u8 = 0xFE;
}

/// The index within the rows of a block of the element that is coded as number `k` (figure A.6).
pub(super) const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// A reader of the segments of a file.
pub(super) struct Segments<'a> {
    bytes: &'a [u8],
    /// Position at which the next marker is expected.
    pub(super) at: usize,
}

impl<'a> Segments<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Segments<'a> {
        Segments { bytes, at }
    }

    /// Reads the next marker, which any number of bytes 0xFF may precede.
    pub(super) fn next_marker(&mut self) -> Result<u8> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let fill = rest.iter().take_while(|byte| **byte == 0xFF).count();
        let kind = *rest.get(fill).ok_or(Fault::Early)?;
        if fill == 0 || kind == 0 {
            return Err(Fault::damaged("data between two of its segments"));
        }
        self.at += fill + 1;
        Ok(kind)
    }

    /// Reads the data of the segment whose marker was read last.
    pub(super) fn data(&mut self) -> Result<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let length = usize::from(u16::from_be_bytes(*rest.first_chunk().ok_or(Fault::Early)?));
        if length < 2 {
            return Err(Fault::damaged(format!("a segment of length {length}")));
        }
        let data = rest.get(2..length).ok_or(Fault::Early)?;
        self.at += length;
        Ok(data)
    }
}

/// The tables for decoding scans; a later table replaces an earlier one of its number.
#[derive(Default)]
pub(super) struct Tables {
    /// Quantisation tables, in the order of the rows of a block.
    pub(super) quantisation: [Option<[u16; 64]>; 4],
    /// Huffman tables of the first element of a block, and of all others.
    pub(super) huffman: [[Option<Huffman>; 4]; 2],
    /// Number of units between two restarts; 0 for none.
    pub(super) restart_interval: usize,
}

impl Tables {
    pub(super) fn set_quantisation(&mut self, mut data: &[u8]) -> Result<()> {
        let wrong = || Fault::damaged("a segment of quantisation tables that has no such length");
        while let Some((&kind, rest)) = data.split_first() {
            let (bytes, slot) = (if kind >> 4 == 0 { 1 } else { 2 }, usize::from(kind & 15));
            if kind >> 4 > 1 || slot > 3 {
                return Err(Fault::damaged(format!("a quantisation table 0x{kind:02x}")));
            }
            let (values, rest) = rest.split_at_checked(64 * bytes).ok_or_else(wrong)?;
            let mut table = [0; 64];
            for (place, value) in ZIGZAG.into_iter().zip(values.chunks_exact(bytes)) {
                table[usize::from(place)] = value.iter().fold(0, |value, byte| value << 8 | u16::from(*byte));
            }
            self.quantisation[slot] = Some(table);
            data = rest;
        }
        Ok(())
    }

    pub(super) fn set_huffman(&mut self, mut data: &[u8]) -> Result<()> {
        let wrong = || Fault::damaged("a segment of Huffman tables that has no such length");
        while let Some((&kind, rest)) = data.split_first() {
            let (class, slot) = (usize::from(kind >> 4), usize::from(kind & 15));
            if class > 1 || slot > 3 {
                return Err(Fault::damaged(format!("a Huffman table 0x{kind:02x}")));
            }
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or_else(wrong)?;
            let total = counts.iter().map(|count| usize::from(*count)).sum();
            let (symbols, rest) = rest.split_at_checked(total).ok_or_else(wrong)?;
            if class == 0 && symbols.iter().any(|size| *size > 15) {
                return Err(Fault::damaged("a Huffman table of differences with more than 15 bits"));
            }
            self.huffman[class][slot] = Some(Huffman::new(counts, symbols)?);
            data = rest;
        }
        Ok(())
    }

    pub(super) fn set_restart_interval(&mut self, data: &[u8]) -> Result<()> {
        let bytes = data.try_into().map_err(|_| Fault::damaged("a restart interval that has no such length"))?;
        self.restart_interval = u16::from_be_bytes(bytes).into();
        Ok(())
    }
}
