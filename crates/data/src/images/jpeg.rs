//! JPEG files, of which a damaged one is refused.
//!
//! Decoders of JPEG go on where data are missing or make no sense, and fill the rest with grey, as browsers do. Here that
//! would be an answer to a picture which nobody took: the data must be decodable to the end, and the end must be there.

use super::{format_of_decoder, size_fault};
use crate::{Error, Result};
use image::{DynamicImage, GrayImage, RgbImage, metadata::Orientation};
use std::path::Path;
use zune_jpeg::{
    JpegDecoder,
    errors::DecodeErrors,
    zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
};

/// Decodes the bytes of a file that lies at `path`, upright.
pub(super) fn decode(path: &Path, bytes: &[u8]) -> Result<DynamicImage> {
    if !is_whole(bytes) {
        return Err(Error::format(path, "the picture ends too early"));
    }
    let wrong = |error| match error {
        DecodeErrors::Unsupported(_) => Error::format(path, super::NO_PICTURE),
        error => format_of_decoder(path, error),
    };
    // Odd headers do no harm; what is strict is the decoding of pixels.
    let options = DecoderOptions::default().set_strict_mode(false).set_max_width(usize::MAX).set_max_height(usize::MAX);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(wrong)?;
    let (width, height) = decoder.dimensions().unwrap_or_default();
    let [height, width] = [height, width].map(|side| u32::try_from(side).unwrap_or(u32::MAX));
    if let Some(fault) = size_fault([height, width]) {
        return Err(Error::format(path, fault));
    }
    let is_grey = decoder.input_colorspace() == Some(ColorSpace::Luma);
    let colours = if is_grey { ColorSpace::Luma } else { ColorSpace::RGB };
    decoder.set_options(options.set_strict_mode(true).jpeg_set_out_colorspace(colours));
    let pixels = decoder.decode().map_err(wrong)?;
    let picture = match is_grey {
        true => GrayImage::from_raw(width, height, pixels).map(DynamicImage::from),
        false => RgbImage::from_raw(width, height, pixels).map(DynamicImage::from),
    };
    let mut picture = picture.ok_or_else(|| Error::format(path, "damaged picture (fewer pixels than it claims)"))?;
    // A note that cannot be read turns nothing.
    if let Some(orientation) = decoder.exif().and_then(|note| Orientation::from_exif_chunk(note)) {
        picture.apply_orientation(orientation);
    }
    Ok(picture)
}

/// Whether the marker of the end follows a scan (ITU-T T.81, annex B): a file that was cut off lacks it.
fn is_whole(bytes: &[u8]) -> bool {
    const RESTARTS: std::ops::RangeInclusive<u8> = 0xD0..=0xD7;
    const START_OF_IMAGE: u8 = 0xD8;
    const END_OF_IMAGE: u8 = 0xD9;
    const START_OF_SCAN: u8 = 0xDA;
    let (mut at, mut scanned) = (0, false);
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        // 0xFF before 0 is a byte of data, before 0xFF it fills up.
        let Some(found) = rest.windows(2).position(|pair| pair[0] == 0xFF && !matches!(pair[1], 0 | 0xFF)) else {
            return false;
        };
        let marker = rest[found + 1];
        at += found + 2;
        match marker {
            END_OF_IMAGE => return scanned,
            START_OF_IMAGE => continue,
            marker if RESTARTS.contains(&marker) => continue,
            _ => scanned |= marker == START_OF_SCAN,
        }
        // A segment with its length, within which anything may look like a marker: the end of a thumbnail.
        let Some(&[high, low]) = bytes.get(at..at + 2) else { return false };
        at += usize::from(u16::from_be_bytes([high, low]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::decode;
    use image::{ImageFormat, Luma, Rgb};
    use std::io::Cursor;

    fn encoded(picture: impl Into<DynamicImage>) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        picture.into().write_to(&mut bytes, ImageFormat::Jpeg).unwrap();
        bytes.into_inner()
    }

    fn colours() -> Vec<u8> {
        encoded(RgbImage::from_fn(37, 29, |x, y| Rgb([(x * 37 + y) as u8, (x * y) as u8, (y * 71) as u8])))
    }

    /// What is said of a file with these bytes, and what comes out of one that can be read.
    fn outcome(bytes: &[u8]) -> std::result::Result<DynamicImage, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("picture.jpg");
        std::fs::write(&path, bytes).unwrap();
        decode(&path).map_err(|error| error.to_string().replace(&format!("{}/", folder.path().display()), ""))
    }

    #[test]
    fn colours_and_grey_are_read() {
        let picture = outcome(&encoded(RgbImage::from_pixel(20, 9, Rgb([200, 90, 10])))).unwrap().to_rgb8();
        assert_eq!((picture.width(), picture.height()), (20, 9));
        let near = |pixel: &Rgb<u8>| pixel.0.iter().zip([200, 90, 10]).all(|(a, b)| a.abs_diff(b) < 6);
        assert!(picture.pixels().all(near));
        let grey = outcome(&encoded(GrayImage::from_pixel(5, 6, Luma([77])))).unwrap();
        assert!(matches!(&grey, DynamicImage::ImageLuma8(pixels) if pixels.pixels().all(|p| p.0[0].abs_diff(77) < 3)));
    }

    #[test]
    fn a_file_that_was_cut_off_is_refused() {
        let whole = colours();
        for len in 3..whole.len() {
            assert_eq!(outcome(&whole[..len]).unwrap_err(), "picture.jpg: the picture ends too early", "{len} bytes");
        }
        // What cameras put behind the end is not looked at.
        assert_eq!(outcome(&[&whole[..], b"more"].concat()).unwrap(), outcome(&whole).unwrap());
    }

    #[test]
    fn the_end_of_a_thumbnail_is_not_that_of_the_picture() {
        let whole = colours();
        let thumbnail = [&[0xFF, 0xE1, 0, 8, 0xFF, 0xDA, 0, 2, 0xFF, 0xD9][..], &whole[2..]].concat();
        let with_thumbnail = [&whole[..2], &thumbnail[..]].concat();
        assert!(outcome(&with_thumbnail).is_ok());
        assert!(outcome(&with_thumbnail[..with_thumbnail.len() - 2]).is_err());
    }

    #[test]
    fn every_damage_is_one_sentence_or_a_picture() {
        let whole = colours();
        let mut refused = 0;
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x5A;
            if let Err(text) = outcome(&damaged) {
                refused += 1;
                assert!(text.starts_with("picture.jpg: ") && text.lines().count() == 1, "byte {at}: {text:?}");
            }
        }
        assert!(refused > 20, "{refused}");
    }

    #[test]
    fn data_that_cannot_be_decoded_are_refused() {
        let mut damaged = colours();
        let scan = damaged.windows(2).position(|pair| pair == [0xFF, 0xDA]).unwrap();
        let middle = scan + 14..damaged.len() - 2;
        // No code of Huffman's consists of ones alone.
        damaged[middle].chunks_exact_mut(2).for_each(|pair| pair.copy_from_slice(&[0xFF, 0]));
        let text = outcome(&damaged).unwrap_err();
        assert!(text.starts_with("picture.jpg: damaged picture ("), "{text}");
    }

    #[test]
    fn absurd_sizes_are_refused() {
        let mut large = colours();
        let frame = large.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
        large[frame + 5..frame + 9].copy_from_slice(&[0xFF; 4]);
        let limits = "the limits are 16384 on a side and 67108864 in all";
        assert_eq!(outcome(&large).unwrap_err(), format!("picture.jpg: 65535 x 65535 pixels: {limits}"));
    }
}
