//! Decodes one scan (T.81, F.2 and G.2).

use super::{
    frame::{Block, Component, JpegFrame},
    huffman::{Bits, Huffman},
    segments::{Tables, ZIGZAG},
};
use crate::image_files::fault::{Fault, Result};
use std::ops::RangeInclusive;

/// The part of each block that a scan codes.
#[derive(Clone, Copy)]
enum Part {
    /// All coefficients.
    Whole,
    /// The first coefficient, without its lowest bits.
    First { shift: u8 },
    /// One more bit of the first coefficient.
    FirstBit { shift: u8 },
    /// Other coefficients, without the lowest bits.
    Band { shift: u8 },
    /// One more bit of other coefficients.
    BandBit { shift: u8 },
}

/// The header of a scan (B.2.3).
struct Scan<'a> {
    /// The components of the scan with their tables.
    components: Vec<Coded<'a>>,
    part: Part,
    band: RangeInclusive<usize>,
}

/// A component of a scan.
struct Coded<'a> {
    index: usize,
    first: Option<&'a Huffman>,
    others: Option<&'a Huffman>,
    /// First coefficient of the previous block.
    predicted: i32,
}

/// Decodes the scan whose header is `data` and whose bits begin at `bytes[at]`; returns where they end.
pub(super) fn decode(data: &[u8], bytes: &[u8], at: usize, frame: &mut JpegFrame, tables: &Tables) -> Result<usize> {
    let mut scan = Scan::new(data, frame, tables)?;
    let mut bits = Bits::new(bytes, at);
    let interleaved = scan.components.len() > 1;
    let [rows, columns] = match interleaved {
        true => frame.units(),
        false => frame.components[scan.components[0].index].used,
    };
    let mut run = 0;
    for y in 0..rows {
        for coded in &scan.components {
            let component = &mut frame.components[coded.index];
            component.make_room((y + 1) * if interleaved { component.factors[0] } else { 1 });
        }
        for x in 0..columns {
            let unit = y * columns + x;
            if tables.restart_interval > 0 && unit > 0 && unit % tables.restart_interval == 0 {
                check_run(run)?;
                bits.restart(unit / tables.restart_interval - 1)?;
                scan.components.iter_mut().for_each(|coded| coded.predicted = 0);
            }
            for coded in &mut scan.components {
                let component = &mut frame.components[coded.index];
                let [down, right] = if interleaved { component.factors } else { [1, 1] };
                for row in 0..down {
                    let first = (y * down + row) * component.padded[1] + x * right;
                    for block in &mut component.blocks[first..first + right] {
                        coded.decode(&mut bits, block, scan.part, &scan.band, &mut run)?;
                    }
                }
            }
        }
    }
    check_run(run)?;
    bits.end()
}

/// Checks that a run of blocks without coefficients ended with the last block.
fn check_run(run: u32) -> Result<()> {
    if run == 0 { Ok(()) } else { Err(Fault::damaged("its data go on after the last block")) }
}

impl Component {
    /// Reserves the first `rows` rows of blocks: memory grows with what was decoded.
    fn make_room(&mut self, rows: usize) {
        let length = rows * self.padded[1];
        if self.blocks.len() < length {
            self.blocks.resize(length, [0; 64]);
        }
    }
}

impl<'a> Scan<'a> {
    fn new(data: &[u8], frame: &mut JpegFrame, tables: &'a Tables) -> Result<Scan<'a>> {
        // split the header
        let wrong = || Fault::damaged("a scan that has no such length");
        let (&count, rest) = data.split_first().ok_or_else(wrong)?;
        let (parts, rest) = rest.split_at_checked(2 * usize::from(count)).ok_or_else(wrong)?;
        let &[begin, end, approximation] = rest else { return Err(wrong()) };
        let (parts, _) = parts.as_chunks::<2>();
        // find the components with their tables
        let mut components = Vec::new();
        for [name, slots] in parts {
            let index = frame.components.iter().position(|component| component.name == *name);
            let index = index.filter(|index| components.iter().all(|coded: &Coded<'_>| coded.index < *index));
            let index = index.ok_or_else(|| Fault::damaged(format!("a scan of component {name}")))?;
            let table = |class: usize, slot: u8| tables.huffman[class].get(usize::from(slot)).and_then(Option::as_ref);
            let (first, others) = (table(0, slots >> 4), table(1, slots & 15));
            components.push(Coded { index, first, others, predicted: 0 });
        }
        let blocks = |coded: &Coded<'_>| frame.components[coded.index].factors.iter().product::<usize>();
        if components.is_empty() || (components.len() > 1 && components.iter().map(blocks).sum::<usize>() > 10) {
            return Err(Fault::damaged(format!("a scan of {count} components")));
        }
        // identify the coded part of the coefficients
        let [before, shift] = [approximation >> 4, approximation & 15];
        let part = match (frame.progressive, begin, end, before) {
            (false, 0, 63, 0) if shift == 0 => Part::Whole,
            (true, 0, 0, 0) => Part::First { shift },
            (true, 0, 0, _) => Part::FirstBit { shift },
            (true, 1.., ..=63, 0) if begin <= end && components.len() == 1 => Part::Band { shift },
            (true, 1.., ..=63, _) if begin <= end && components.len() == 1 => Part::BandBit { shift },
            _ => return Err(Fault::damaged(format!("a scan of the coefficients {begin} to {end}"))),
        };
        if shift > 13 || (before > 0 && before != shift + 1) {
            return Err(Fault::damaged(format!("a scan from bit {before} to bit {shift}")));
        }
        // check that it continues the scans before
        let band = usize::from(begin)..=usize::from(end);
        for coded in &components {
            frame.components[coded.index].begin(band.clone(), before, shift, tables)?;
        }
        Ok(Scan { components, part, band })
    }
}

impl Component {
    /// Records that a scan codes these coefficients down to the bit `shift`, and checks that it continues the scans
    /// before it.
    fn begin(&mut self, band: RangeInclusive<usize>, before: u8, shift: u8, tables: &Tables) -> Result<()> {
        if self.quantisation.is_none() {
            self.quantisation = tables.quantisation[self.quantisation_slot];
        }
        if self.quantisation.is_none() {
            return Err(Fault::damaged(format!("no quantisation table {}", self.quantisation_slot)));
        }
        let expected = (before > 0).then_some(before);
        let follows = self.missing[band.clone()].iter().all(|missing| *missing == expected);
        if !follows || (*band.start() > 0 && self.missing[0].is_none()) {
            return Err(Fault::damaged("a scan that does not follow from those before it"));
        }
        self.missing[band].fill(Some(shift));
        Ok(())
    }
}

impl Coded<'_> {
    /// Decodes the part of one block that the scan codes. `run` counts the blocks without further coefficients.
    fn decode(
        &mut self,
        bits: &mut Bits<'_>,
        block: &mut Block,
        part: Part,
        band: &RangeInclusive<usize>,
        run: &mut u32,
    ) -> Result<()> {
        match part {
            Part::Whole => {
                self.first(bits, block, 0)?;
                band_of_whole(bits, block, needed(self.others)?)
            }
            Part::First { shift } => self.first(bits, block, shift),
            Part::FirstBit { shift } => {
                block[0] |= i16::from(bits.bit()?) << shift;
                Ok(())
            }
            Part::Band { shift } => self.band(bits, block, band, shift, run),
            Part::BandBit { shift } => self.band_bit(bits, block, band, shift, run),
        }
    }

    /// Decodes the first coefficient from its difference to that of the previous block.
    fn first(&mut self, bits: &mut Bits<'_>, block: &mut Block, shift: u8) -> Result<()> {
        let size = bits.symbol(needed(self.first)?)?;
        if size > 11 {
            return Err(Fault::damaged(format!("a difference of {size} bits")));
        }
        self.predicted += bits.signed(size)?;
        let value = i16::try_from(self.predicted << shift);
        block[0] = value.map_err(|_| Fault::damaged("a coefficient beyond its range"))?;
        Ok(())
    }

    /// Decodes the other coefficients for the first time (figure G.3).
    fn band(
        &mut self,
        bits: &mut Bits<'_>,
        block: &mut Block,
        band: &RangeInclusive<usize>,
        shift: u8,
        run: &mut u32,
    ) -> Result<()> {
        // a run that began in an earlier block covers this one
        if *run > 0 {
            *run -= 1;
            return Ok(());
        }
        let table = needed(self.others)?;
        let mut k = *band.start();
        while k <= *band.end() {
            let (zeros, size) = halves(bits.symbol(table)?);
            match (zeros, size) {
                (15, 0) => k += 16,
                (_, 0) => {
                    *run = (1 << zeros) - 1 + u32::from(bits.number(zeros)?);
                    break;
                }
                _ => {
                    k += usize::from(zeros);
                    let value = coefficient(bits, size)?;
                    *place(block, k, *band.end())? = value.checked_mul(1 << shift).ok_or_else(beyond_range)?;
                    k += 1;
                }
            }
        }
        Ok(())
    }

    /// Decodes one more bit of the other coefficients (figure G.7).
    fn band_bit(
        &mut self,
        bits: &mut Bits<'_>,
        block: &mut Block,
        band: &RangeInclusive<usize>,
        shift: u8,
        run: &mut u32,
    ) -> Result<()> {
        // refine up to each new coefficient, and set it
        let (mut k, last, bit) = (*band.start(), *band.end(), 1 << shift);
        while k <= last && *run == 0 {
            let (zeros, size) = halves(bits.symbol(needed(self.others)?)?);
            let value = match (zeros, size) {
                (15, 0) => 0,
                (_, 0) => {
                    *run = (1 << zeros) + u32::from(bits.number(zeros)?);
                    break;
                }
                (_, 1) if bits.bit()? => bit,
                (_, 1) => -bit,
                _ => return Err(Fault::damaged(format!("a bit of {size} bits"))),
            };
            k = refine(bits, block, k..=last, bit, Some(zeros))?;
            if value != 0 {
                *place(block, k, last)? = value;
            }
            k += 1;
        }
        // refine the rest of the block
        if *run > 0 {
            refine(bits, block, k..=last, bit, None)?;
            *run -= 1;
        }
        Ok(())
    }
}

/// Reads one more bit of every non-zero coefficient in `band`, up to the zero that follows `zeros` others; returns the
/// position of that zero.
fn refine(
    bits: &mut Bits<'_>,
    block: &mut Block,
    band: RangeInclusive<usize>,
    bit: i16,
    mut zeros: Option<u8>,
) -> Result<usize> {
    let end = band.end() + 1;
    for k in band {
        let value = &mut block[usize::from(ZIGZAG[k])];
        if *value != 0 {
            if bits.bit()? && *value & bit == 0 {
                *value = value.checked_add(bit * value.signum()).ok_or_else(beyond_range)?;
            }
        } else if zeros == Some(0) {
            return Ok(k);
        } else {
            zeros = zeros.map(|zeros| zeros - 1);
        }
    }
    Ok(end)
}

/// Decodes all coefficients but the first (figure F.13).
fn band_of_whole(bits: &mut Bits<'_>, block: &mut Block, table: &Huffman) -> Result<()> {
    let mut k = 1;
    while k < 64 {
        // most coefficients have few bits
        if let Some(short) = bits.short_coefficient(table)? {
            k += usize::from(short.zeros);
            *place(block, k, 63)? = short.value;
            k += 1;
            continue;
        }
        match halves(bits.symbol(table)?) {
            (15, 0) => k += 16,
            (_, 0) => break,
            (zeros, size) => {
                k += usize::from(zeros);
                *place(block, k, 63)? = coefficient(bits, size)?;
                k += 1;
            }
        }
    }
    Ok(())
}

#[inline(always)]
fn coefficient(bits: &mut Bits<'_>, size: u8) -> Result<i16> {
    match size {
        ..=10 => Ok(bits.signed(size)? as i16),
        _ => Err(Fault::damaged(format!("a coefficient of {size} bits"))),
    }
}

/// Returns the place of coefficient `k` of a block, which must not be beyond `last`.
#[inline(always)]
fn place(block: &mut Block, k: usize, last: usize) -> Result<&mut i16> {
    match k <= last {
        true => Ok(&mut block[usize::from(ZIGZAG[k])]),
        false => Err(Fault::damaged("a coefficient after the last of its block")),
    }
}

fn beyond_range() -> Fault {
    Fault::damaged("a coefficient beyond its range")
}

/// Splits a symbol into its two numbers of four bits.
fn halves(symbol: u8) -> (u8, u8) {
    (symbol >> 4, symbol & 15)
}

fn needed(table: Option<&Huffman>) -> Result<&Huffman> {
    table.ok_or_else(|| Fault::damaged("a scan without its Huffman table"))
}
