//! Converts the components of a JPEG file to red, green and blue, by the conventions of JFIF and Adobe and in the
//! integer arithmetic of libjpeg.

use super::{frame::JpegFrame, upsample::Plane};
use crate::image_files::fault::Result;
use ocelli_simd::{Isa, Kernel, dispatch};

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
    let channels = if space == Space::Grey { 1 } else { 3 };
    let mut pixels = vec![0; height * width * channels];
    dispatch(Conversion { planes: &planes, space, width, pixels: &mut pixels });
    Ok((pixels, channels))
}

/// The conversion of all rows of an image, in the vectors of the machine.
struct Conversion<'a> {
    planes: &'a [Plane],
    space: Space,
    width: usize,
    pixels: &'a mut [u8],
}

impl Kernel for Conversion<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _isa: I) {
        if let [grey] = self.planes {
            let rows = self.pixels.chunks_exact_mut(self.width);
            return rows.enumerate().for_each(|(y, row)| grey.write_row(y, row));
        }
        let mut rows = vec![vec![0; self.width]; self.planes.len()];
        for (y, pixels) in self.pixels.chunks_exact_mut(3 * self.width).enumerate() {
            rows.iter_mut().zip(self.planes).for_each(|(row, plane)| plane.write_row(y, row));
            let pixels = pixels.as_chunks_mut().0;
            let inks = rows[0].iter().zip(&rows[1]).zip(&rows[2]).map(|((a, b), c)| [*a, *b, *c]);
            match (self.space, &rows[..]) {
                (Space::YCbCr, _) => {
                    for (pixel, colour) in pixels.iter_mut().zip(inks) {
                        *pixel = rgb(colour);
                    }
                }
                (Space::Cmyk, [_, _, _, blacks]) => {
                    for ((pixel, inks), black) in pixels.iter_mut().zip(inks).zip(blacks) {
                        *pixel = printed(inks, *black);
                    }
                }
                (Space::Ycck, [_, _, _, blacks]) => {
                    for ((pixel, inks), black) in pixels.iter_mut().zip(inks).zip(blacks) {
                        *pixel = printed(rgb(inks).map(|value| 255 - value), *black);
                    }
                }
                _ => pixels.iter_mut().zip(inks).for_each(|(pixel, colour)| *pixel = colour),
            }
        }
    }
}

const fn fixed(value: f64) -> i32 {
    (value * 65536.0 + 0.5) as i32
}

/// Converts luma and two chroma components to red, green and blue (JFIF 1.02).
#[inline(always)]
fn rgb([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let red = y + ((const { fixed(1.402) } * cr + HALF) >> 16);
    let green = y + ((-const { fixed(0.34414) } * cb - const { fixed(0.71414) } * cr + HALF) >> 16);
    let blue = y + ((const { fixed(1.772) } * cb + HALF) >> 16);
    [byte(red), byte(green), byte(blue)]
}

#[inline(always)]
fn byte(value: i32) -> u8 {
    value.clamp(0, 255) as u8
}

/// Returns the brightness of inks with black over them; all are 255 where there is none, as Adobe stores them.
#[inline(always)]
fn printed(inks: [u8; 3], black: u8) -> [u8; 3] {
    inks.map(|ink| ((u32::from(ink) * u32::from(black) + 127) / 255) as u8)
}
