//! Huffman codes and the bits that they are read from (T.81, annex C and F.2.2).

use super::segments::marker;
use crate::image_files::fault::{Fault, Result};

/// Longest code in bits that one table lookup finds; longer ones are rare.
const LOOKUP_BITS: u32 = 9;
/// Longest code with its number in bits that one table lookup finds.
const COEFFICIENT_BITS: u32 = 10;

/// A table of Huffman codes.
pub(super) struct Huffman {
    /// For each value of the next bits, the symbol and the length of the code that they begin with; length 0 if the
    /// code is longer.
    lookup: Box<[(u8, u8); 1 << LOOKUP_BITS]>,
    /// For each value of the next bits, the coefficient whose code and number they begin with.
    coefficients: Box<[ShortCoefficient; 1 << COEFFICIENT_BITS]>,
    /// For each length, its largest code plus one.
    ends: [u32; 17],
    /// For each length, the offset from a code to the index of its symbol.
    offsets: [i32; 17],
    symbols: Vec<u8>,
}

/// A coefficient that is not zero and has few bits.
#[derive(Clone, Copy, Default)]
pub(super) struct ShortCoefficient {
    pub(super) value: i16,
    /// Coefficients before it that are zero.
    pub(super) zeros: u8,
    /// Bits of its code and its number; 0 if there is no such coefficient.
    length: u8,
}

impl ShortCoefficient {
    /// Finds the coefficient that the bits `next` begin with.
    fn of(next: usize, lookup: &[(u8, u8)]) -> Option<ShortCoefficient> {
        let (symbol, code) = lookup[next >> (COEFFICIENT_BITS - LOOKUP_BITS)];
        let size = symbol & 15;
        let length = code + size;
        if code == 0 || size == 0 || u32::from(length) > COEFFICIENT_BITS {
            return None;
        }
        let number = (next >> (COEFFICIENT_BITS - u32::from(length))) as i32 & ((1 << size) - 1);
        Some(ShortCoefficient { value: signed(number, size) as i16, zeros: symbol >> 4, length })
    }
}

/// Returns the signed number that `count` bits stand for (figure F.12).
#[inline(always)]
fn signed(number: i32, count: u8) -> i32 {
    let half = (1 << count) >> 1;
    if number < half { number + 1 - (1 << count) } else { number }
}

impl Huffman {
    /// Makes the table with `counts[i]` codes of length `i + 1`, in the order of their `symbols`.
    pub(super) fn new(counts: &[u8; 16], symbols: &[u8]) -> Result<Huffman> {
        let mut lookup = Box::new([(0, 0); 1 << LOOKUP_BITS]);
        let (mut ends, mut offsets) = ([0; 17], [0; 17]);
        let (mut code, mut place) = (0u32, 0);
        for (length, count) in (1..=16).zip(counts.map(u32::from)) {
            if code + count > 1 << length {
                return Err(Fault::damaged("a Huffman table with more codes than there can be"));
            }
            offsets[length as usize] = place as i32 - code as i32;
            for symbol in &symbols[place..place + count as usize] {
                if length <= LOOKUP_BITS {
                    let first = (code << (LOOKUP_BITS - length)) as usize;
                    lookup[first..first + (1 << (LOOKUP_BITS - length))].fill((*symbol, length as u8));
                }
                code += 1;
            }
            place += count as usize;
            ends[length as usize] = code;
            code <<= 1;
        }
        let mut coefficients = Box::new([ShortCoefficient::default(); 1 << COEFFICIENT_BITS]);
        for (next, short) in coefficients.iter_mut().enumerate() {
            *short = ShortCoefficient::of(next, &lookup[..]).unwrap_or_default();
        }
        Ok(Huffman { lookup, coefficients, ends, offsets, symbols: symbols.to_vec() })
    }
}

/// A reader of the bits of a scan. They end at the first marker; reading beyond it is an error.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The next bits, highest first, followed by zeros.
    buffer: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    /// Makes a reader of the bits from `bytes[at]` on.
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Bits<'a> {
        Bits { bytes, at, buffer: 0, count: 0 }
    }

    /// Fills the buffer to at least 32 bits, or with all bits up to the marker.
    #[inline]
    fn fill(&mut self) {
        // all bytes that there is room for at once, where none of the next is 0xFF
        if let Some(next) = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk())
            && self.count <= 56
        {
            let word = u64::from_be_bytes(*next);
            if !has_marker_byte(word) {
                let length = (64 - self.count) / 8;
                self.buffer |= word >> self.count;
                self.count += 8 * length;
                self.at += length as usize;
                self.buffer &= u64::MAX << (64 - self.count);
                return;
            }
        }
        self.fill_bytewise();
    }

    fn fill_bytewise(&mut self) {
        while self.count <= 56 {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let (byte, length) = match rest {
                // A zero byte after 0xFF distinguishes data from a marker.
                [0xFF, 0, ..] => (0xFF, 2),
                [0xFF, ..] | [] => return,
                [byte, ..] => (*byte, 1),
            };
            self.buffer |= u64::from(byte) << (56 - self.count);
            self.count += 8;
            self.at += length;
        }
    }

    #[inline(always)]
    fn consume(&mut self, count: u32) -> Result<()> {
        self.count = self.count.checked_sub(count).ok_or(Fault::Early)?;
        self.buffer <<= count;
        Ok(())
    }

    /// Decodes the next coefficient if one lookup finds it.
    #[inline(always)]
    pub(super) fn short_coefficient(&mut self, table: &Huffman) -> Result<Option<ShortCoefficient>> {
        if self.count < 32 {
            self.fill();
        }
        let short = table.coefficients[(self.buffer >> (64 - COEFFICIENT_BITS)) as usize];
        if short.length == 0 {
            return Ok(None);
        }
        self.consume(short.length.into())?;
        Ok(Some(short))
    }

    /// Decodes the next symbol.
    #[inline(always)]
    pub(super) fn symbol(&mut self, table: &Huffman) -> Result<u8> {
        if self.count < 32 {
            self.fill();
        }
        let (symbol, length) = table.lookup[(self.buffer >> (64 - LOOKUP_BITS)) as usize];
        if length > 0 {
            self.consume(length.into())?;
            return Ok(symbol);
        }
        self.long_symbol(table)
    }

    /// Decodes a symbol whose code is longer than the lookup.
    #[cold]
    fn long_symbol(&mut self, table: &Huffman) -> Result<u8> {
        for length in LOOKUP_BITS + 1..=16 {
            let code = (self.buffer >> (64 - length)) as u32;
            if code < table.ends[length as usize] {
                self.consume(length)?;
                return Ok(table.symbols[(code as i32 + table.offsets[length as usize]) as usize]);
            }
        }
        match self.count {
            16.. => Err(Fault::damaged("a code that its Huffman table does not have")),
            _ => Err(Fault::Early),
        }
    }

    /// Reads the next `count` bits, at most 16, as an unsigned number.
    #[inline(always)]
    pub(super) fn number(&mut self, count: u8) -> Result<u16> {
        if count == 0 {
            return Ok(0);
        }
        if self.count < 32 {
            self.fill();
        }
        let number = (self.buffer >> (64 - u32::from(count))) as u16;
        self.consume(count.into())?;
        Ok(number)
    }

    /// Reads the next bit.
    #[inline]
    pub(super) fn bit(&mut self) -> Result<bool> {
        Ok(self.number(1)? == 1)
    }

    /// Reads the next `count` bits, at most 15, as a signed number.
    #[inline(always)]
    pub(super) fn signed(&mut self, count: u8) -> Result<i32> {
        Ok(signed(self.number(count)?.into(), count))
    }

    /// Returns the position of the marker that ends the bits; only those that fill the last byte may be left.
    pub(super) fn end(&mut self) -> Result<usize> {
        self.fill();
        if self.count >= 8 {
            return Err(Fault::damaged("its data go on after the last block"));
        }
        (self.buffer, self.count) = (0, 0);
        match self.bytes.get(self.at) {
            Some(_) => Ok(self.at),
            None => Err(Fault::Early),
        }
    }

    /// Reads the restart marker number `index`.
    pub(super) fn restart(&mut self, index: usize) -> Result<()> {
        let at = self.end()?;
        let fill = self.bytes[at..].iter().take_while(|byte| **byte == 0xFF).count();
        let expected = marker::RESTART + (index % 8) as u8;
        match self.bytes.get(at + fill) {
            Some(kind) if *kind == expected => self.at = at + fill + 1,
            Some(kind) if *kind == marker::END_OF_IMAGE => return Err(Fault::Early),
            Some(kind) => return Err(Fault::damaged(format!("a marker 0x{kind:02x} in place of a restart"))),
            None => return Err(Fault::Early),
        }
        Ok(())
    }
}

/// Returns true if one of the eight bytes is 0xFF.
#[inline(always)]
fn has_marker_byte(word: u64) -> bool {
    // a byte of the inverse is zero: a one taken from it borrows, where it has no highest bit itself
    let inverse = !word;
    inverse.wrapping_sub(0x0101_0101_0101_0101) & word & 0x8080_8080_8080_8080 != 0
}
