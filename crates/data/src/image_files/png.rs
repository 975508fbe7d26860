//! Decodes PNG files (ISO/IEC 15948) and refuses damaged ones.
//!
//! Memory grows with the rows that the data hold, not with the size that the header claims.

mod rows;
mod write;

pub(super) use write::encode;

use super::{
    check_size,
    decoded::DecodedImage,
    exif,
    fault::{Fault, Result},
};
use flate2::Crc;
use miniz_oxide::inflate::{
    TINFLStatus as Status,
    core::{DecompressorOxide, decompress, inflate_flags as flags},
};
use rows::Pixels;

/// The first eight bytes of every PNG file.
pub(super) const SIGNATURE: [u8; 8] = *b"\x89PNG\r\n\x1A\n";

/// Decodes the bytes of a file, turns the image upright and composes transparent pixels on white.
pub(super) fn decode(bytes: &[u8], most_pixels: u64) -> Result<DecodedImage> {
    let mut chunks = Chunks { rest: &bytes[SIGNATURE.len()..] };
    let header = chunks.next()?;
    if header.kind != *b"IHDR" {
        return Err(Fault::damaged("it does not begin with its header"));
    }
    let mut pixels = pixels(header.checked()?, most_pixels)?;
    let mut data = Data::new(pixels.raw_len());
    let (mut begun, mut orientation) = (false, 1);
    loop {
        let chunk = chunks.next()?;
        match &chunk.kind {
            b"PLTE" => pixels.set_palette(chunk.checked()?)?,
            b"tRNS" => pixels.set_transparency(chunk.checked()?)?,
            b"IDAT" => {
                begun = true;
                data.unpack(chunk.checked()?)?;
            }
            b"IEND" if begun => break,
            b"eXIf" => orientation = exif::orientation(chunk.data).unwrap_or(1),
            // A lower-case first letter marks a chunk that a decoder may skip.
            kind if kind[0].is_ascii_lowercase() => {}
            kind => return Err(Fault::damaged(format!("a chunk \"{}\"", kind.escape_ascii()))),
        }
    }
    Ok(pixels.decode(data.finish()?)?.turned(orientation))
}

/// A chunk of a file.
struct Chunk<'a> {
    kind: [u8; 4],
    data: &'a [u8],
    checksum: u32,
}

impl<'a> Chunk<'a> {
    /// Returns the data if their checksum is right.
    fn checked(&self) -> Result<&'a [u8]> {
        let mut crc = Crc::new();
        crc.update(&self.kind);
        crc.update(self.data);
        match crc.sum() == self.checksum {
            true => Ok(self.data),
            false => Err(Fault::damaged(format!("the checksum of a chunk \"{}\" is wrong", self.kind.escape_ascii()))),
        }
    }
}

struct Chunks<'a> {
    rest: &'a [u8],
}

impl<'a> Chunks<'a> {
    fn next(&mut self) -> Result<Chunk<'a>> {
        let (length, rest) = self.rest.split_first_chunk().ok_or(Fault::Early)?;
        let (kind, rest) = rest.split_first_chunk().ok_or(Fault::Early)?;
        let (data, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize).ok_or(Fault::Early)?;
        let (checksum, rest) = rest.split_first_chunk().ok_or(Fault::Early)?;
        self.rest = rest;
        Ok(Chunk { kind: *kind, data, checksum: u32::from_be_bytes(*checksum) })
    }
}

/// Reads the description of the pixels from the header.
fn pixels(header: &[u8], most_pixels: u64) -> Result<Pixels> {
    let &[w0, w1, w2, w3, h0, h1, h2, h3, depth, colour, compression, filter, interlace] = header else {
        return Err(Fault::damaged(format!("a header of {} bytes", header.len())));
    };
    let [height, width] = [[h0, h1, h2, h3], [w0, w1, w2, w3]].map(u32::from_be_bytes);
    check_size([height, width], most_pixels)?;
    if compression != 0 || filter != 0 || interlace > 1 {
        return Err(Fault::damaged("unknown compression, filter or interlacing"));
    }
    Pixels::new([height as usize, width as usize], depth, colour, interlace == 1)
}

/// The rows while they are unpacked, in one piece: repeated data are found there, without a separate window.
struct Data {
    unpacker: Box<DecompressorOxide>,
    /// The rows, with zeros where data are still to come.
    raw: Vec<u8>,
    unpacked: usize,
    expected: usize,
    ended: bool,
}

impl Data {
    /// Bytes allocated first, until there are more data.
    const PIECE: usize = 4096;

    fn new(expected: usize) -> Data {
        Data { unpacker: Box::default(), raw: Vec::new(), unpacked: 0, expected, ended: false }
    }

    /// Unpacks the data of one chunk.
    fn unpack(&mut self, mut packed: &[u8]) -> Result<()> {
        const FLAGS: u32 = flags::TINFL_FLAG_PARSE_ZLIB_HEADER
            | flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF
            | flags::TINFL_FLAG_HAS_MORE_INPUT;
        while !self.ended {
            self.make_room()?;
            let (status, read, written) = decompress(&mut self.unpacker, packed, &mut self.raw, self.unpacked, FLAGS);
            self.unpacked += written;
            packed = &packed[read..];
            match status {
                Status::Done => self.ended = true,
                Status::HasMoreOutput => {}
                Status::NeedsMoreInput => break,
                _ => return Err(Fault::damaged("its data cannot be unpacked")),
            }
        }
        Ok(())
    }

    /// Doubles the buffer when it is full, up to one byte more than expected, to detect excess data.
    fn make_room(&mut self) -> Result<()> {
        if self.unpacked > self.expected {
            return Err(Fault::damaged("its data go on after the last row"));
        }
        if self.unpacked == self.raw.len() {
            let more = self.unpacked.max(Self::PIECE).min(self.expected + 1 - self.unpacked);
            self.raw.reserve_exact(more);
            self.raw.resize(self.unpacked + more, 0);
        }
        Ok(())
    }

    /// Returns the rows if they are complete.
    fn finish(mut self) -> Result<Vec<u8>> {
        if self.unpacked > self.expected {
            return Err(Fault::damaged("its data go on after the last row"));
        }
        if self.unpacked < self.expected || !self.ended {
            return Err(Fault::Early);
        }
        self.raw.truncate(self.expected);
        Ok(self.raw)
    }
}

#[cfg(test)]
mod tests;
