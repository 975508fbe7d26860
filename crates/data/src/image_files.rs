//! Decodes PNG, JPEG, PNM and BMP images from files and memory, and writes PNG files; with the feature `images`.
//!
//! The format is detected from the content, not from the name. Every claim of a file is checked before memory is
//! allocated for it: memory grows with the data that are present. A damaged or truncated image is refused and never
//! completed with invented pixels, so the decoders here count what they decode. Transparent parts are composed on
//! white, and a photograph is turned upright if its camera recorded the orientation.
//!
//! | format | supported |
//! |---|---|
//! | PNG | all of ISO/IEC 15948: 1 to 16 bits, palettes, interlacing |
//! | JPEG | sequential and progressive, 8 bits, grey, colours and inks; as libjpeg decodes it |
//! | PNM | grey and colours (P2, P3, P5, P6), up to 16 bits |
//! | BMP | uncompressed: 1, 4, 8, 24 and 32 bits |

mod archive;
mod bmp;
mod digit_file;
#[cfg(test)]
mod encoders;
mod exif;
mod fault;
mod image_folder;
mod jpeg;
mod manifest;
mod png;
mod pnm;
mod prepare;
mod save;
mod tar;
#[cfg(test)]
mod tests;

pub use archive::load_archive;
pub use digit_file::{digit, digit_of};
pub use image_folder::ImageFolder;
pub use manifest::{Answer, Manifest};
pub use prepare::{load_grey, load_rgb, read_grey, read_rgb};
pub use save::{encode_image, encode_png, save_png};

use crate::{
    Choice, Error, Image, Result,
    dataset::chosen,
    image::{MAX_PIXELS, size_fault},
};
use fault::Fault;
use std::{fs::File, io::Read, path::Path};

/// Largest image file in bytes: text takes a dozen per pixel.
const MAX_FILE_BYTES: u64 = 1 << 30;
/// The name that errors give to an image without a file.
const IN_MEMORY: &str = "an image in memory";

/// Decodes an image file, turns the image upright and composes transparent pixels on white.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; [`Error::Format`] if it is in none of the formats above, is damaged or too
/// large.
pub fn decode_file(path: impl AsRef<Path>) -> Result<Image> {
    let path = path.as_ref();
    decode(&read_file(path)?).map_err(|fault| fault.at(path))
}

/// Decodes a part of an image file, as [`decode_file`] does, and [crops](crate::Dataset::read_part) to it. The colours of a JPEG
/// file are computed only there; its data are read to the end all the same, so that a file that is cut off is refused.
///
/// # Errors
/// The errors of [`decode_file`]; [`Error::Setting`] if the part is not within the image.
pub fn decode_file_part(path: impl AsRef<Path>, part: &mut Choice<'_>) -> Result<Image> {
    let path = path.as_ref();
    decode_part(&read_file(path)?, part)?.map_err(|fault| fault.at(path))
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    let failed = |source| Error::io(path, source);
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    // The length that the system reports is not used to reserve memory: the file is read up to the limit.
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(Error::format(path, format!("more than {MAX_FILE_BYTES} bytes")));
    }
    Ok(bytes)
}

/// Decodes the bytes of an image file, as [`decode_file`] does.
///
/// # Errors
/// [`Error::Format`], as by [`decode_file`].
///
/// ```
/// let image = ocelli_data::image_files::decode_bytes(b"P5 2 1 255 \x00\xFF")?;
/// assert_eq!((image.size(), image.pixels()), ([1, 2], &[0, 255][..]));
/// # Ok::<(), ocelli_data::Error>(())
/// ```
pub fn decode_bytes(bytes: &[u8]) -> Result<Image> {
    decode(bytes).map_err(|fault| fault.at(Path::new(IN_MEMORY)))
}

/// Decodes a part of the bytes of an image file, as [`decode_file_part`] does.
///
/// # Errors
/// The errors of [`decode_file_part`].
///
/// ```
/// let image = ocelli_data::image_files::decode_bytes_part(b"P5 2 1 255 \x00\xFF", &mut |size| [0..size[0], 1..2])?;
/// assert_eq!((image.size(), image.pixels()), ([1, 1], &[255][..]));
/// # Ok::<(), ocelli_data::Error>(())
/// ```
pub fn decode_bytes_part(bytes: &[u8], part: &mut Choice<'_>) -> Result<Image> {
    decode_part(bytes, part)?.map_err(|fault| fault.at(Path::new(IN_MEMORY)))
}

/// Checks that an image can have this size `[H, W]` and at most `most_pixels` pixels.
fn check_size([height, width]: [u32; 2], most_pixels: u64) -> fault::Result<()> {
    if let Some(fault) = size_fault([height, width].map(|side| side as usize)) {
        return Err(Fault::Size(fault));
    }
    match u64::from(height) * u64::from(width) <= most_pixels {
        true => Ok(()),
        false => {
            Err(Fault::Size(format!("{height} x {width} pixels, more than what is left for a file of its length")))
        }
    }
}

/// Decodes the bytes of a file in any format.
fn decode(bytes: &[u8]) -> fault::Result<Image> {
    decode_within(bytes, MAX_PIXELS)
}

/// Decodes a part of the bytes of a file in any format. The outer error is one of the part.
fn decode_part(bytes: &[u8], part: &mut Choice<'_>) -> Result<fault::Result<Image>> {
    if bytes.starts_with(&jpeg::SIGNATURE) {
        return match jpeg::read(bytes, MAX_PIXELS) {
            Ok(coded) => {
                let part = chosen(coded.size(), part)?;
                Ok(coded.decode_part(part))
            }
            Err(fault) => Ok(Err(fault)),
        };
    }
    Ok(match decode(bytes) {
        Ok(mut image) => {
            image.crop(chosen(image.size(), part)?);
            Ok(image)
        }
        fault => fault,
    })
}

/// Decodes the bytes of a file in any format, if the image has at most `most_pixels` pixels.
fn decode_within(bytes: &[u8], most_pixels: u64) -> fault::Result<Image> {
    match bytes {
        [] => Err(Fault::Empty),
        _ if bytes.starts_with(&png::SIGNATURE) => png::decode(bytes, most_pixels),
        _ if bytes.starts_with(&jpeg::SIGNATURE) => jpeg::decode(bytes, most_pixels),
        _ if bytes.starts_with(&bmp::SIGNATURE) => bmp::decode(bytes, most_pixels),
        _ if pnm::is_pnm(bytes) => pnm::decode(bytes, most_pixels),
        _ => Err(Fault::Unknown),
    }
}
