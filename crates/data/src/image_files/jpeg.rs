//! Decodes JPEG files (ITU-T T.81): sequential and progressive, 8 bits, Huffman coding.
//!
//! Common decoders, as in browsers, go on where data are missing or make no sense, and fill the rest with grey. A
//! network would then classify an image that nobody took, so this decoder counts: every block of every component must
//! be coded to its last bit, and each scan must end where its last block does. A complete file decodes to the same bits
//! as libjpeg with its default settings.

mod colour;
mod frame;
mod huffman;
mod scan;
mod segments;
mod transform;
mod upsample;

use super::{
    exif,
    fault::{Fault, Result},
};
use crate::{Image, image::upright_size};
use frame::JpegFrame;
use segments::{Segments, Tables, marker};
use std::ops::Range;

/// The first three bytes of every JPEG file.
pub(super) const SIGNATURE: [u8; 3] = [0xFF, marker::START_OF_IMAGE, 0xFF];

/// Maximum number of scans of an image. Encoders write about ten; thousands of empty ones would fit into a small file.
const MAX_SCANS: usize = 100;

/// Decodes the bytes of a file and turns the image upright.
pub(super) fn decode(bytes: &[u8], most_pixels: u64) -> Result<Image> {
    let coded = read(bytes, most_pixels)?;
    let all = coded.size().map(|side| 0..side);
    coded.decode_part(all)
}

/// A file whose coefficients were read.
pub(super) struct CodedImage {
    frame: JpegFrame,
    orientation: u8,
    hints: colour::Hints,
}

impl CodedImage {
    /// Returns the rows and columns of the upright image.
    pub(super) fn size(&self) -> [usize; 2] {
        upright_size(self.frame.size, self.orientation)
    }

    /// Computes the pixels of a part of the upright image.
    pub(super) fn decode_part(mut self, part: [Range<usize>; 2]) -> Result<Image> {
        let upright = !(2..=8).contains(&self.orientation);
        let within = if upright { self.frame.cut_around(part.clone()) } else { part };
        let [height, width] = self.frame.size;
        let (samples, channels) = colour::convert(self.frame, self.hints)?;
        let mut image = Image::decoded([height, width, channels], samples).turned(self.orientation);
        image.crop(within);
        Ok(image)
    }
}

/// Reads the coefficients of a file to its end, and checks that all are there.
pub(super) fn read(bytes: &[u8], most_pixels: u64) -> Result<CodedImage> {
    let mut segments = Segments::new(bytes, 2);
    let (mut tables, mut frame, mut scans) = (Tables::default(), None::<JpegFrame>, 0);
    let (mut orientation, mut hints) = (1, colour::Hints::default());
    // read segment by segment to the end marker
    loop {
        let kind = segments.next_marker()?;
        if kind == marker::END_OF_IMAGE {
            break;
        }
        let data = segments.data()?;
        match kind {
            marker::QUANTISATION => tables.set_quantisation(data)?,
            marker::HUFFMAN => tables.set_huffman(data)?,
            marker::RESTART_INTERVAL => tables.set_restart_interval(data)?,
            marker::SEQUENTIAL | marker::EXTENDED | marker::PROGRESSIVE if frame.is_none() => {
                frame = Some(JpegFrame::new(data, kind == marker::PROGRESSIVE, most_pixels)?);
            }
            marker::SEQUENTIAL..=marker::LAST_FRAME if frame.is_none() => {
                return Err(Fault::Unsupported("JPEG images without loss or with arithmetic coding"));
            }
            marker::START_OF_SCAN => {
                scans += 1;
                let frame = frame.as_mut().ok_or_else(|| Fault::damaged("a scan before its frame"))?;
                if scans > MAX_SCANS {
                    return Err(Fault::damaged(format!("more than {MAX_SCANS} scans")));
                }
                segments.at = scan::decode(data, bytes, segments.at, frame, &tables)?;
            }
            marker::EXIF => {
                hints.read(data);
                if let Some(note) = data.strip_prefix(b"Exif\0\0") {
                    orientation = exif::orientation(note).unwrap_or(1);
                }
            }
            marker::JFIF | marker::ADOBE => hints.read(data),
            marker::APPLICATION..=marker::LAST_APPLICATION | marker::COMMENT => {}
            other => return Err(Fault::damaged(format!("a segment 0x{other:02x} out of place"))),
        }
    }
    // check that the image is complete
    let frame = frame.filter(|_| scans > 0).ok_or(Fault::Early)?;
    frame.check_complete()?;
    Ok(CodedImage { frame, orientation, hints })
}

#[cfg(test)]
mod tests;
