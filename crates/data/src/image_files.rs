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
mod decoded;
mod digit;
mod exif;
mod fault;
mod image_folder;
mod jpeg;
mod png;
mod pnm;
mod prepare;
mod resize;
mod save;
mod tar;
#[cfg(test)]
mod tests;

pub use archive::load_archive;
pub use digit::{digit, digit_of};
pub use image_folder::ImageFolder;
pub use save::{encode_png, save_png};

use crate::{Channels, Error, Result};
use decoded::DecodedImage;
use fault::Fault;
use ocelli_tensor::Tensor;
use resize::Values;
use std::{fs::File, io::Read, ops::Range, path::Path};

/// Largest height or width of an image: beyond cameras and scanners in common use.
const MAX_SIDE: u32 = 16_384;
/// Largest number of pixels of an image.
const MAX_PIXELS: u64 = 1 << 26;
/// Largest number of pixels that a smaller image is enlarged to. The settings may come from a file of weights, and an
/// image may be tiny.
const MAX_ENLARGED_PIXELS: usize = 1 << 24;
/// Largest image file in bytes: text takes a dozen per pixel.
const MAX_FILE_BYTES: u64 = 1 << 30;
/// The name that errors give to an image without a file.
const IN_MEMORY: &str = "an image in memory";

/// Reads an image as grey values `[1, H, W, 1]` from 0 (black) to 1 (white), resized to `size` = `[H, W]`.
///
/// Resizing stretches if the proportions differ, and averages if it reduces the size.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; [`Error::Format`] if it is in none of the formats above, is damaged or too large;
/// [`Error::Setting`] if `size` has a 0, more pixels than a file may have, or more than 2²⁴ where the image has fewer.
pub fn load_grey(path: impl AsRef<Path>, size: [usize; 2]) -> Result<Tensor> {
    let size = checked(size)?;
    stretched(load(path.as_ref())?, Channels::Grey, size)
}

/// Reads an image as red, green and blue `[1, H, W, 3]` from 0 to 1, resized to `size` = `[H, W]`.
///
/// # Errors
/// The errors of [`load_grey`].
pub fn load_rgb(path: impl AsRef<Path>, size: [usize; 2]) -> Result<Tensor> {
    let size = checked(size)?;
    stretched(load(path.as_ref())?, Channels::Rgb, size)
}

/// Decodes the bytes of an image file as grey values `[1, H, W, 1]`, as [`load_grey`] does.
///
/// # Errors
/// The errors of [`load_grey`].
///
/// ```
/// let grey = ocelli_data::image_files::read_grey(b"P5 2 1 255 \x00\xFF", [1, 2])?;
/// assert_eq!((grey.shape(), grey.data()), (&[1, 1, 2, 1][..], &[0.0, 1.0][..]));
/// # Ok::<(), ocelli_data::Error>(())
/// ```
pub fn read_grey(bytes: &[u8], size: [usize; 2]) -> Result<Tensor> {
    let size = checked(size)?;
    stretched(read(bytes)?, Channels::Grey, size)
}

/// Decodes the bytes of an image file as red, green and blue `[1, H, W, 3]`, as [`load_rgb`] does.
///
/// # Errors
/// The errors of [`load_grey`].
pub fn read_rgb(bytes: &[u8], size: [usize; 2]) -> Result<Tensor> {
    let size = checked(size)?;
    stretched(read(bytes)?, Channels::Rgb, size)
}

fn stretched(image: DecodedImage, channels: Channels, size: [usize; 2]) -> Result<Tensor> {
    let values = resized(&image, channels, size, size.map(|side| 0..side))?;
    Ok(Tensor::from_vec([1, size[0], size[1], channels.count()], values.data)?)
}

/// Resizes an image and returns the values of the rows and columns `kept`.
fn resized(image: &DecodedImage, channels: Channels, wanted: [usize; 2], kept: [Range<usize>; 2]) -> Result<Values> {
    check_enlarged(image.size(), wanted)?;
    let write_row = |y: usize, out: &mut [f32]| image.write_row(y, channels, out);
    Ok(Values::resized_part(image.size(), channels.count(), write_row, wanted, kept))
}

/// Checks a size that a caller requests.
fn checked(size: [usize; 2]) -> Result<[usize; 2]> {
    match size_fault(size.map(|side| u32::try_from(side).unwrap_or(u32::MAX))) {
        Some(fault) => Err(Error::Setting(format!("cannot resize to {fault}"))),
        None => Ok(size),
    }
}

/// Checks that resizing from `have` to `wanted` does not enlarge beyond the limit. Both sizes are checked already.
fn check_enlarged(have: [usize; 2], wanted: [usize; 2]) -> Result<()> {
    let [before, after] = [have, wanted].map(|[height, width]| height * width);
    if after <= before.max(MAX_ENLARGED_PIXELS) {
        return Ok(());
    }
    let [[height, width], [rows, columns]] = [have, wanted];
    let reason = format!("{rows} x {columns} pixels are too many to make of {height} x {width}");
    Err(Error::Setting(format!("{reason}: the limit for smaller images is {MAX_ENLARGED_PIXELS}")))
}

/// Returns the reason why an image cannot have this size `[H, W]`, if there is one.
fn size_fault([height, width]: [u32; 2]) -> Option<String> {
    let pixels = u64::from(height) * u64::from(width);
    if pixels == 0 {
        return Some(format!("{height} x {width} pixels"));
    }
    let too_large = height > MAX_SIDE || width > MAX_SIDE || pixels > MAX_PIXELS;
    let limits = format!("the limits are {MAX_SIDE} on a side and {MAX_PIXELS} in all");
    too_large.then(|| format!("{height} x {width} pixels: {limits}"))
}

/// Decodes a file, turns the image upright and composes transparent pixels on white.
fn load(path: &Path) -> Result<DecodedImage> {
    let failed = |source| Error::io(path, source);
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    // The length that the system reports is not used to reserve memory: the file is read up to the limit.
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(Error::format(path, format!("more than {MAX_FILE_BYTES} bytes")));
    }
    decode(&bytes).map_err(|fault| fault.at(path))
}

/// Decodes the bytes of an image in memory.
fn read(bytes: &[u8]) -> Result<DecodedImage> {
    decode(bytes).map_err(|fault| fault.at(Path::new(IN_MEMORY)))
}

/// Checks that an image can have this size `[H, W]` and at most `most_pixels` pixels.
fn check_size(size @ [height, width]: [u32; 2], most_pixels: u64) -> fault::Result<()> {
    if let Some(fault) = size_fault(size) {
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
fn decode(bytes: &[u8]) -> fault::Result<DecodedImage> {
    decode_within(bytes, MAX_PIXELS)
}

/// Decodes the bytes of a file in any format, if the image has at most `most_pixels` pixels.
fn decode_within(bytes: &[u8], most_pixels: u64) -> fault::Result<DecodedImage> {
    match bytes {
        [] => Err(Fault::Empty),
        _ if bytes.starts_with(&png::SIGNATURE) => png::decode(bytes, most_pixels),
        _ if bytes.starts_with(&jpeg::SIGNATURE) => jpeg::decode(bytes, most_pixels),
        _ if bytes.starts_with(&bmp::SIGNATURE) => bmp::decode(bytes, most_pixels),
        _ if pnm::is_pnm(bytes) => pnm::decode(bytes, most_pixels),
        _ => Err(Fault::Unknown),
    }
}
