//! Pictures in files and in memory: PNG, JPEG, PNM and BMP are read, PNG is written; with the feature `images`.
//!
//! A file is told by its content, not by its name. Whatever it claims is checked before memory is taken for it: memory grows
//! with what its data hold. A picture that is damaged or was cut off is refused, never finished by invention, for which the
//! decoders here count what they decode. Transparent parts are seen on white paper, and a photograph is turned upright where
//! its camera noted how.
//!
//! | format | what is read |
//! |---|---|
//! | PNG | all of ISO/IEC 15948: 1 to 16 bits, palettes, interlacing |
//! | JPEG | sequential and progressive, 8 bits, grey, colours and inks; as libjpeg decodes it |
//! | PNM | grey and colours (P2, P3, P5, P6), up to 16 bits |
//! | BMP | uncompressed: 1, 4, 8, 24 and 32 bits |

mod archive;
mod bmp;
mod digit;
mod exif;
mod fault;
mod image_folder;
mod jpeg;
mod picture;
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
use fault::Fault;
use ocelli_tensor::Tensor;
use picture::Picture;
use resize::Values;
use std::{fs::File, io::Read, ops::Range, path::Path};

/// Rows or columns of a picture, at the most: beyond cameras and scanners in common use.
const MAX_SIDE: u32 = 16_384;
/// Pixels of a picture, at the most.
const MAX_PIXELS: u64 = 1 << 26;
/// Pixels that are made of a picture which has fewer, at the most. The settings may come from a file of weights, and a picture
/// may be tiny.
const MAX_ENLARGED_PIXELS: usize = 1 << 24;
/// Bytes of a picture's file, at the most: text takes a dozen for a pixel.
const MAX_FILE_BYTES: u64 = 1 << 30;
/// Where a picture lies that has no file.
const IN_MEMORY: &str = "a picture in memory";

/// Reads a picture as grey values `[1, H, W, 1]` from 0 (black) to 1 (white), resized to `size` = `[H, W]`.
///
/// Resizing stretches if the proportions differ, and averages when it makes a picture smaller.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; [`Error::Format`] if it is in none of the formats above, is damaged or too large;
/// [`Error::Setting`] if `size` has a 0, more pixels than a file may have, or more than 2²⁴ where the picture has fewer.
pub fn load_grey(path: impl AsRef<Path>, size: [usize; 2]) -> Result<Tensor> {
    let size = checked(size)?;
    stretched(load(path.as_ref())?, Channels::Grey, size)
}

/// Reads a picture as red, green and blue `[1, H, W, 3]` from 0 to 1, resized to `size` = `[H, W]`.
///
/// # Errors
/// As [`load_grey`].
pub fn load_rgb(path: impl AsRef<Path>, size: [usize; 2]) -> Result<Tensor> {
    let size = checked(size)?;
    stretched(load(path.as_ref())?, Channels::Rgb, size)
}

/// Decodes the bytes of a picture file as grey values `[1, H, W, 1]`, as [`load_grey`] does.
///
/// # Errors
/// As [`load_grey`].
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

/// Decodes the bytes of a picture file as red, green and blue `[1, H, W, 3]`, as [`load_rgb`] does.
///
/// # Errors
/// As [`load_grey`].
pub fn read_rgb(bytes: &[u8], size: [usize; 2]) -> Result<Tensor> {
    let size = checked(size)?;
    stretched(read(bytes)?, Channels::Rgb, size)
}

fn stretched(picture: Picture, channels: Channels, size: [usize; 2]) -> Result<Tensor> {
    let values = resized(&picture, channels, size, size.map(|side| 0..side))?;
    Ok(Tensor::from_vec([1, size[0], size[1], channels.count()], values.data)?)
}

/// The values of a picture, resized, in the rows and columns that are kept.
fn resized(picture: &Picture, channels: Channels, wanted: [usize; 2], kept: [Range<usize>; 2]) -> Result<Values> {
    check_enlarged(picture.size(), wanted)?;
    let write_row = |y: usize, out: &mut [f32]| picture.write_row(y, channels, out);
    Ok(Values::resized_part(picture.size(), channels.count(), write_row, wanted, kept))
}

/// A size that a caller asks for.
fn checked(size: [usize; 2]) -> Result<[usize; 2]> {
    match size_fault(size.map(|side| u32::try_from(side).unwrap_or(u32::MAX))) {
        Some(fault) => Err(Error::Setting(format!("cannot resize to {fault}"))),
        None => Ok(size),
    }
}

/// An error if `wanted` makes more of a picture of size `have` than is made of small ones. Both sizes are checked.
fn check_enlarged(have: [usize; 2], wanted: [usize; 2]) -> Result<()> {
    let [before, after] = [have, wanted].map(|[height, width]| height * width);
    if after <= before.max(MAX_ENLARGED_PIXELS) {
        return Ok(());
    }
    let [[height, width], [rows, columns]] = [have, wanted];
    let reason = format!("{rows} x {columns} pixels are too many to make of {height} x {width}");
    Err(Error::Setting(format!("{reason}: the limit for smaller pictures is {MAX_ENLARGED_PIXELS}")))
}

/// Why a picture cannot have this size `[H, W]`.
fn size_fault([height, width]: [u32; 2]) -> Option<String> {
    let pixels = u64::from(height) * u64::from(width);
    if pixels == 0 {
        return Some(format!("{height} x {width} pixels"));
    }
    let too_large = height > MAX_SIDE || width > MAX_SIDE || pixels > MAX_PIXELS;
    let limits = format!("the limits are {MAX_SIDE} on a side and {MAX_PIXELS} in all");
    too_large.then(|| format!("{height} x {width} pixels: {limits}"))
}

/// Decodes a file, upright and without transparency.
fn load(path: &Path) -> Result<Picture> {
    let failed = |source| Error::io(path, source);
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    // Nothing is made room for by a length that the system tells: what follows is read as far as it goes.
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(Error::format(path, format!("more than {MAX_FILE_BYTES} bytes")));
    }
    decode(&bytes).map_err(|fault| fault.at(path))
}

/// Decodes the bytes of a file that lies nowhere.
fn read(bytes: &[u8]) -> Result<Picture> {
    decode(bytes).map_err(|fault| fault.at(Path::new(IN_MEMORY)))
}

/// An error unless a picture can have this size `[H, W]`, with so many pixels at the most.
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
fn decode(bytes: &[u8]) -> fault::Result<Picture> {
    decode_within(bytes, MAX_PIXELS)
}

/// Decodes the bytes of a file in any format, if it has no more than so many pixels.
fn decode_within(bytes: &[u8], most_pixels: u64) -> fault::Result<Picture> {
    match bytes {
        [] => Err(Fault::Empty),
        _ if bytes.starts_with(&png::SIGNATURE) => png::decode(bytes, most_pixels),
        _ if bytes.starts_with(&jpeg::SIGNATURE) => jpeg::decode(bytes, most_pixels),
        _ if bytes.starts_with(&bmp::SIGNATURE) => bmp::decode(bytes, most_pixels),
        _ if pnm::is_pnm(bytes) => pnm::decode(bytes, most_pixels),
        _ => Err(Fault::Unknown),
    }
}
