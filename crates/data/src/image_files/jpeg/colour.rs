//! Converts the components of a JPEG file to red, green and blue, by the conventions of JFIF and Adobe and in the
//! integer arithmetic of libjpeg.

use super::{frame::JpegFrame, upsample::Plane};
use crate::image_files::fault::Result;

/// The colour information in application segments.
#[derive(Clone, Copy, Default)]
pub(super) struct Hints {
    jfif: bool,
    adobe: Option<u8>,
}

impl Hints {
    /// Reads the colour information of a segment, if it has any.
    pub(super) fn read(&mut self, data: &[u8]) {
        self.jfif |= data.starts_with(b"JFIF\0");
        if let Some([_, _, _, _, _, _, transform, ..]) = data.strip_prefix(b"Adobe") {
            self.adobe = Some(*transform);
        }
    }
}

/// The colour space of the components.
#[derive(Clone, Copy, PartialEq)]
enum Space {
    Grey,
    Rgb,
    /// Luma and two chroma components.
    YCbCr,
    /// Cyan, magenta, yellow and black, stored inverted: 255 means no ink.
    Cmyk,
    /// Luma and two chroma components in place of the first three inks, and black.
    Ycck,
}

impl Space {
    fn from_components(names: &[u8], hints: Hints) -> Space {
        match (names, hints) {
            ([_], _) => Space::Grey,
            ([_, _, _], Hints { jfif: true, .. }) => Space::YCbCr,
            ([_, _, _], Hints { adobe: Some(transform), .. }) => {
                if transform == 0 {
                    Space::Rgb
                } else {
                    Space::YCbCr
                }
            }
            (b"RGB", _) => Space::Rgb,
            ([_, _, _], _) => Space::YCbCr,
            (_, Hints { adobe: None | Some(0), .. }) => Space::Cmyk,
            _ => Space::Ycck,
        }
    }
}

/// Converts a whole frame; returns its pixels and the number of channels, 1 or 3.
pub(super) fn convert(frame: JpegFrame, hints: Hints) -> Result<(Vec<u8>, usize)> {
    let names: Vec<u8> = frame.components.iter().map(|component| component.name).collect();
    let space = Space::from_components(&names, hints);
    let [height, width] = frame.size;
    let planes: Vec<Plane> =
        frame.components.into_iter().map(|component| Plane::new(component, frame.largest)).collect::<Result<_>>()?;
    let mut rows = vec![vec![0; width]; planes.len()];
    let channels = if space == Space::Grey { 1 } else { 3 };
    let mut pixels = Vec::with_capacity(height * width * channels);
    for y in 0..height {
        rows.iter_mut().zip(&planes).for_each(|(row, plane)| plane.write_row(y, row));
        match &rows[..] {
            [grey] => pixels.extend(grey),
            [a, b, c] => {
                let colours = a.iter().zip(b).zip(c).map(|((a, b), c)| [*a, *b, *c]);
                pixels.extend(colours.flat_map(|colour| if space == Space::YCbCr { rgb(colour) } else { colour }));
            }
            [a, b, c, k] => {
                let inks = a.iter().zip(b).zip(c).map(|((a, b), c)| [*a, *b, *c]).zip(k);
                pixels.extend(inks.flat_map(|(inks, black)| {
                    let inks = if space == Space::Ycck { rgb(inks).map(|value| 255 - value) } else { inks };
                    inks.map(|ink| printed(ink, *black))
                }));
            }
            _ => unreachable!("a frame has 1, 3 or 4 components"),
        }
    }
    Ok((pixels, channels))
}

const fn fixed(value: f64) -> i32 {
    (value * 65536.0 + 0.5) as i32
}

/// Converts luma and two chroma components to red, green and blue (JFIF 1.02).
fn rgb([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let red = y + ((const { fixed(1.402) } * cr + HALF) >> 16);
    let green = y + ((-const { fixed(0.34414) } * cb - const { fixed(0.71414) } * cr + HALF) >> 16);
    let blue = y + ((const { fixed(1.772) } * cb + HALF) >> 16);
    [red, green, blue].map(|value| value.clamp(0, 255) as u8)
}

/// Returns the brightness of an ink with black over it; both are 255 where there is none, as Adobe stores them.
fn printed(ink: u8, black: u8) -> u8 {
    let product = u32::from(ink) * u32::from(black);
    ((product + 127) / 255) as u8
}
