//! How much data a file really has: what its packed streams unpack to, found without the readers that are tested.

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use std::io::{ErrorKind, Read};

/// What unpacks to more is not unpacked further.
const MOST: u64 = 4 << 30;
/// Pixels that one byte of a scan of JPEG can hold at the most: each block of 8 × 8 has a code of at least one bit.
const JPEG_PIXELS_PER_BYTE: usize = 8 * 64;

/// Bytes that come out of an unpacker before it ends or complains.
fn unpacked(from: impl Read) -> usize {
    let (mut from, mut piece, mut count) = (from.take(MOST), [0; 4096], 0);
    loop {
        match from.read(&mut piece) {
            Ok(0) => return count,
            Ok(more) => count += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return count,
        }
    }
}

/// A file that is not packed has no more data than bytes.
pub fn nothing_more(_file: &[u8]) -> usize {
    0
}

/// Bytes in gzip streams.
pub fn in_gzip(file: &[u8]) -> usize {
    if file.starts_with(&[0x1F, 0x8B]) { unpacked(MultiGzDecoder::new(file)) } else { 0 }
}

/// Bytes in the deflated files of a zip archive, wherever in it they lie.
pub fn in_zip(file: &[u8]) -> usize {
    let starts = file.windows(4).enumerate().filter(|(_, window)| window == b"PK\x03\x04").map(|(start, _)| start);
    let content = |start: usize| {
        let length = |at: usize| Some(usize::from(u16::from_le_bytes(*file.get(start + at..)?.first_chunk()?)));
        let (name, extra) = (length(26)?, length(28)?);
        file.get(start + 30 + name + extra..)
    };
    starts.filter_map(content).map(|content| unpacked(DeflateDecoder::new(content))).sum()
}

/// Bytes of the pixels that an image has.
pub fn in_image(file: &[u8]) -> usize {
    match file {
        [0x89, ..] => in_png(file).unwrap_or(0),
        [b'B', b'M', ..] => in_bitmap(file).unwrap_or(0),
        [0xFF, ..] => in_jpeg(file).unwrap_or(0),
        _ => 0,
    }
}

/// Pixels whose data are there, in the form in which they are decoded: one byte for each channel, two if it has 16 bits, a
/// colour for each index.
fn in_png(file: &[u8]) -> Option<usize> {
    let (mut at, mut header, mut packed, mut transparent) = (8, None, Vec::new(), 0);
    while let Some(length) = file.get(at..at + 4) {
        let length = u32::from_be_bytes(*length.first_chunk()?) as usize;
        let Some(kind) = file.get(at + 4..at + 8).filter(|kind| *kind != b"IEND") else { break };
        let content = &file[at + 8..file.len().min((at + 8).saturating_add(length))];
        match kind {
            b"IHDR" => header = header.or(content.first_chunk::<13>()),
            b"IDAT" => packed.extend(content),
            b"tRNS" => transparent = 1,
            _ => {}
        }
        at += 12 + length;
    }
    let header = header?;
    let width = u32::from_be_bytes(*header.first_chunk()?) as usize;
    let depth = usize::from(header[8]);
    let (stored, decoded) = match header[9] {
        0 => (1, 1),
        2 => (3, 3),
        3 => (1, 3),
        4 => (2, 2),
        _ => (4, 4),
    };
    let row = 1 + (width * stored * depth).div_ceil(8);
    let rows = unpacked(ZlibDecoder::new(&packed[..])).div_ceil(row);
    Some(rows * width * (decoded + transparent) * depth.div_ceil(8))
}

/// Pixels that the largest frame claims, as far as the file's bytes can hold them; three bytes each.
fn in_jpeg(file: &[u8]) -> Option<usize> {
    let is_frame = |window: &[u8]| window[0] == 0xFF && matches!(window[1], 0xC0..=0xC2);
    let claimed = file.windows(9).filter(|window| is_frame(window)).map(|window| {
        let side = |at: usize| usize::from(u16::from_be_bytes([window[at], window[at + 1]]));
        side(5).next_multiple_of(16) * side(7).next_multiple_of(16)
    });
    Some(3 * claimed.max()?.min(file.len() * JPEG_PIXELS_PER_BYTE))
}

/// Three bytes for each pixel of a bitmap that the bytes of the file can hold.
fn in_bitmap(file: &[u8]) -> Option<usize> {
    let bits = usize::from(u16::from_le_bytes(*file.get(28..)?.first_chunk()?));
    Some(3 * file.len() * 8 / bits.clamp(1, 32))
}

/// Bytes in a packed archive, and of the pixels of the images in it.
pub fn in_archive(file: &[u8]) -> usize {
    let mut content = Vec::new();
    // What came before a damage stays.
    let _ = MultiGzDecoder::new(file).take(MOST).read_to_end(&mut content);
    let blocks = content.chunks(512).enumerate();
    let images = blocks.filter(|(_, block)| block.starts_with(b"\x89PNG") || block.starts_with(&[0xFF, 0xD8]));
    let pixels: usize = images.map(|(number, _)| in_image(&content[number * 512..])).sum();
    content.len() + pixels
}
