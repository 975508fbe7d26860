//! Windows bitmaps without compression: 1, 4 or 8 bits with a palette, 24 or 32 bits.

use super::{
    check_size,
    decoded::{DecodedImage, Samples},
    fault::{Fault, Result},
};

/// The first two bytes of every such file.
pub(super) const SIGNATURE: [u8; 2] = *b"BM";
/// Bytes before the header that describes the image.
const FILE_HEADER: usize = 14;
/// Lengths of the headers with 32-bit sizes, from the shortest of Windows 3.1 to the fifth version.
const INFO_HEADERS: [usize; 6] = [40, 52, 56, 64, 108, 124];
/// Bit masks of red, green and blue in a pixel of 32 bits, whose bytes are blue, green and red in this order.
const MASKS: [u32; 3] = [0x00FF_0000, 0x0000_FF00, 0x0000_00FF];

/// Decodes the bytes of a file.
pub(super) fn decode(bytes: &[u8], most_pixels: u64) -> Result<DecodedImage> {
    let word = |at: usize| bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map(u32::from_le_bytes);
    let field = |at: usize| word(FILE_HEADER + at).ok_or(Fault::Early);
    let (offset, header) = (word(10).ok_or(Fault::Early)? as usize, field(0)? as usize);
    if !INFO_HEADERS.contains(&header) {
        return Err(Fault::Unsupported("BMP images with a header of another length"));
    }
    // A negative height means that the first row is the top one.
    let (width, height) = (field(4)?, field(8)? as i32);
    check_size([height.unsigned_abs(), width], most_pixels)?;
    let (bits, compression) = ((field(12)? >> 16) as usize, field(16)?);
    let masked = compression == 3 && bits == 32 && [field(40)?, field(44)?, field(48)?] == MASKS;
    if !matches!(bits, 1 | 4 | 8 | 24 | 32) || (compression != 0 && !masked) {
        return Err(Fault::Unsupported("BMP images that are compressed or of other colours"));
    }
    let [rows, columns] = [height.unsigned_abs(), width].map(|side| side as usize);
    let row_len = (columns * bits).div_ceil(32) * 4;
    let end = offset.checked_add(rows * row_len).ok_or(Fault::Early)?;
    let data = bytes.get(offset..end).ok_or(Fault::Early)?;
    let palette = match bits {
        ..=8 => palette(bytes, FILE_HEADER + header, field(32)?, bits)?,
        _ => &[],
    };
    let mut pixels = Vec::with_capacity(rows * columns * 3);
    for y in 0..rows {
        let y = if height > 0 { rows - 1 - y } else { y };
        let row = &data[y * row_len..(y + 1) * row_len];
        for x in 0..columns {
            let [blue, green, red] = match bits {
                24 | 32 => [0, 1, 2].map(|channel| row[x * bits / 8 + channel]),
                _ => {
                    let index = usize::from(row[x * bits / 8]) >> (8 - bits - x * bits % 8) & ((1 << bits) - 1);
                    let beyond = || Fault::damaged(format!("colour {index} of a palette of {}", palette.len()));
                    let [blue, green, red, _] = palette.get(index).ok_or_else(beyond)?;
                    [*blue, *green, *red]
                }
            };
            pixels.extend([red, green, blue]);
        }
    }
    Ok(DecodedImage::new([rows, columns, 3], Samples::Bytes(pixels)))
}

/// Returns the colours that follow the header; as many as `bits` can index, where the header gives no number.
fn palette(bytes: &[u8], at: usize, count: u32, bits: usize) -> Result<&[[u8; 4]]> {
    let count = match count {
        0 => 1 << bits,
        count if count <= 1 << bits => count as usize,
        count => return Err(Fault::damaged(format!("a palette of {count} colours for {bits} bits"))),
    };
    Ok(bytes.get(at..at + 4 * count).ok_or(Fault::Early)?.as_chunks().0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image_files::decode;

    /// Makes a file with these bits, height, palette and rows.
    fn file(bits: u16, width: u32, height: i32, palette: &[[u8; 4]], rows: &[u8]) -> Vec<u8> {
        let offset = (FILE_HEADER + INFO_HEADERS[0] + 4 * palette.len()) as u32;
        let mut bytes = b"BM\0\0\0\0\0\0\0\0".to_vec();
        bytes.extend([offset, INFO_HEADERS[0] as u32, width, height as u32].map(u32::to_le_bytes).concat());
        bytes.extend([1u16, bits].map(u16::to_le_bytes).concat());
        bytes.extend([0, 0, 0, 0, palette.len() as u32, 0].map(u32::to_le_bytes).concat());
        [&bytes[..], palette.as_flattened(), rows].concat()
    }

    fn rgb(bytes: &[u8]) -> Vec<u8> {
        decode(bytes).unwrap().into_rgb_bytes()
    }

    #[test]
    fn colours_and_palettes_are_read_from_below_and_from_above() {
        let rows = [3, 2, 1, 0, 6, 5, 4, 0];
        assert_eq!(rgb(&file(24, 1, 2, &[], &rows)), [4, 5, 6, 1, 2, 3]);
        assert_eq!(rgb(&file(24, 1, -2, &[], &rows)), [1, 2, 3, 4, 5, 6]);
        assert_eq!(rgb(&file(32, 2, 1, &[], &rows)), [1, 2, 3, 4, 5, 6]);
        let palette = [[0, 0, 255, 0], [255, 0, 0, 0]];
        assert_eq!(rgb(&file(1, 3, 1, &palette, &[0b0100_0000, 0, 0, 0])), [255, 0, 0, 0, 0, 255, 255, 0, 0]);
        assert_eq!(rgb(&file(4, 2, 1, &palette, &[0x10, 0, 0, 0])), [0, 0, 255, 255, 0, 0]);
        assert_eq!(rgb(&file(8, 1, 1, &palette, &[1, 0, 0, 0])), [0, 0, 255]);
    }

    #[test]
    fn every_end_and_every_absurdity_is_an_error() {
        let palette = [[0, 0, 255, 0], [255, 0, 0, 0]];
        let whole = file(8, 1, 1, &palette, &[1, 0, 0, 0]);
        for len in 2..whole.len() {
            assert_eq!(decode(&whole[..len]).unwrap_err(), Fault::Early, "{len} bytes");
        }
        let text = |bytes: &[u8]| decode(bytes).unwrap_err().to_string();
        assert_eq!(text(&file(24, 16_384, 4096, &[], &[0; 9])), "the image ends too early");
        assert!(text(&file(24, u32::MAX, i32::MIN, &[], &[])).starts_with("2147483648 x 4294967295 pixels: "));
        assert_eq!(text(&file(8, 1, 1, &palette, &[2, 0, 0, 0])), "damaged image (colour 2 of a palette of 2)");
        let mut header = whole.clone();
        header[14] = 41;
        assert_eq!(text(&header), "BMP images with a header of another length are not read");
        assert!(text(&file(16, 1, 1, &[], &[0; 4])).ends_with(" are not read"));
        assert!(text(&file(1, 1, 1, &[[0; 4]; 3], &[0; 4])).starts_with("damaged image (a palette of 3 colours"));
    }
}
