//! Writes PNG files.

use super::{SIGNATURE, rows::paeth};
use flate2::{Compression, Crc, write::ZlibEncoder};
use std::io::{self, Write};

/// Encodes pixels `[H, W, C]` as the bytes of a PNG file, C = 1 (grey) or 3 (red, green and blue).
pub(crate) fn encode([height, width, channels]: [u32; 3], pixels: &[u8]) -> io::Result<Vec<u8>> {
    let mut file = SIGNATURE.to_vec();
    let colour = if channels == 1 { 0 } else { 2 };
    let size = [width.to_be_bytes(), height.to_be_bytes()].concat();
    append(&mut file, b"IHDR", &[&size[..], &[8, colour, 0, 0, 0]].concat());
    let (pixel_len, row_len) = (channels as usize, (width * channels) as usize);
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::default());
    let (mut above, mut filtered) = (vec![0; row_len], vec![0; row_len]);
    for row in pixels.chunks_exact(row_len) {
        for (at, out) in filtered.iter_mut().enumerate() {
            let (left, corner) = match at.checked_sub(pixel_len) {
                Some(before) => (row[before], above[before]),
                None => (0, 0),
            };
            *out = row[at].wrapping_sub(paeth(left, above[at], corner));
        }
        packed.write_all(&[4])?;
        packed.write_all(&filtered)?;
        above.copy_from_slice(row);
    }
    append(&mut file, b"IDAT", &packed.finish()?);
    append(&mut file, b"IEND", &[]);
    Ok(file)
}

fn append(file: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    let mut checksum = Crc::new();
    checksum.update(kind);
    checksum.update(data);
    file.extend((data.len() as u32).to_be_bytes());
    file.extend(kind);
    file.extend(data);
    file.extend(checksum.sum().to_be_bytes());
}
