//! Converts the rows of a PNG file to pixels.

use crate::image_files::{
    decoded::{DecodedImage, Samples},
    fault::{Fault, Result},
};

/// First row, first column, and the steps between rows and columns, of each pass of an interlaced image (8.2).
const PASSES: [[usize; 4]; 7] =
    [[0, 0, 8, 8], [0, 4, 8, 8], [4, 0, 8, 4], [0, 2, 4, 4], [2, 0, 4, 2], [0, 1, 2, 2], [1, 0, 2, 1]];
/// The single pass of an image that is not interlaced.
const WHOLE: [[usize; 4]; 1] = [[0, 0, 1, 1]];

/// The meaning of the samples of a pixel.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Colour {
    Grey,
    Rgb,
    Indexed,
    GreyAlpha,
    Rgba,
}

/// The description of the pixels, by which the bytes of the rows are decoded.
pub(super) struct Pixels {
    size: [usize; 2],
    depth: usize,
    colour: Colour,
    passes: &'static [[usize; 4]],
    /// Red, green, blue and opacity.
    palette: Vec<[u8; 4]>,
    /// The grey value or colour that is transparent.
    see_through: Option<[u16; 3]>,
}

impl Pixels {
    pub(super) fn new(size: [usize; 2], depth: u8, colour: u8, interlaced: bool) -> Result<Pixels> {
        let colour = match (colour, depth) {
            (0, 1 | 2 | 4 | 8 | 16) => Colour::Grey,
            (2, 8 | 16) => Colour::Rgb,
            (3, 1 | 2 | 4 | 8) => Colour::Indexed,
            (4, 8 | 16) => Colour::GreyAlpha,
            (6, 8 | 16) => Colour::Rgba,
            _ => return Err(Fault::damaged(format!("no colours of kind {colour} have {depth} bits"))),
        };
        let passes: &[_] = if interlaced { &PASSES } else { &WHOLE };
        Ok(Pixels { size, depth: depth.into(), colour, passes, palette: Vec::new(), see_through: None })
    }

    pub(super) fn set_palette(&mut self, bytes: &[u8]) -> Result<()> {
        let (colours, rest) = bytes.as_chunks::<3>();
        if !rest.is_empty() || !(1..=256).contains(&colours.len()) {
            return Err(Fault::damaged(format!("a palette of {} bytes", bytes.len())));
        }
        self.palette = colours.iter().map(|&[red, green, blue]| [red, green, blue, u8::MAX]).collect();
        Ok(())
    }

    pub(super) fn set_transparency(&mut self, bytes: &[u8]) -> Result<()> {
        let word = |index: usize| u16::from_be_bytes([bytes[2 * index], bytes[2 * index + 1]]);
        match (self.colour, bytes.len()) {
            (Colour::Grey, 2) => self.see_through = Some([word(0); 3]),
            (Colour::Rgb, 6) => self.see_through = Some([word(0), word(1), word(2)]),
            (Colour::Indexed, 1..) if bytes.len() <= self.palette.len() => {
                self.palette.iter_mut().zip(bytes).for_each(|(colour, alpha)| colour[3] = *alpha);
            }
            (_, length) => return Err(Fault::damaged(format!("a transparency of {length} bytes"))),
        }
        Ok(())
    }

    /// Returns the number of bytes of all rows with their filters.
    pub(super) fn raw_len(&self) -> usize {
        self.passes.iter().map(|pass| self.pass_len(self.pass_size(pass))).sum()
    }

    /// Returns the rows and columns of one pass.
    fn pass_size(&self, &[top, left, down, right]: &[usize; 4]) -> [usize; 2] {
        [self.size[0].saturating_sub(top).div_ceil(down), self.size[1].saturating_sub(left).div_ceil(right)]
    }

    fn pass_len(&self, [rows, columns]: [usize; 2]) -> usize {
        if columns == 0 { 0 } else { rows * (1 + self.row_len(columns)) }
    }

    fn row_len(&self, columns: usize) -> usize {
        (columns * self.channels() * self.depth).div_ceil(8)
    }

    /// Returns the number of samples per pixel in the file.
    fn channels(&self) -> usize {
        match self.colour {
            Colour::Grey | Colour::Indexed => 1,
            Colour::GreyAlpha => 2,
            Colour::Rgb => 3,
            Colour::Rgba => 4,
        }
    }

    /// Decodes the rows of all passes.
    pub(super) fn decode(&self, mut raw: Vec<u8>) -> Result<DecodedImage> {
        if self.colour == Colour::Indexed && self.palette.is_empty() {
            return Err(Fault::damaged("no palette"));
        }
        let mut passes = &mut raw[..];
        for pass in self.passes {
            let size = self.pass_size(pass);
            let (rows, rest) = passes.split_at_mut(self.pass_len(size));
            passes = rest;
            unfilter(rows, self.row_len(size[1]), self.depth * self.channels() / 8)?;
        }
        let channels = if matches!(self.colour, Colour::Grey | Colour::GreyAlpha) { 1 } else { 3 };
        let shape = [self.size[0], self.size[1], channels];
        if self.is_plain() {
            let rows = raw.chunks_exact(1 + self.row_len(self.size[1])).map(|row| &row[1..]);
            return Ok(DecodedImage::new(shape, Samples::Bytes(rows.collect::<Vec<_>>().concat())));
        }
        let length = shape.iter().product();
        if self.depth == 16 {
            let mut words = vec![0; length];
            self.write(&raw, channels, |at, value| words[at] = value)?;
            return Ok(DecodedImage::new(shape, Samples::Words(words)));
        }
        let mut bytes = vec![0; length];
        self.write(&raw, channels, |at, value| bytes[at] = value as u8)?;
        Ok(DecodedImage::new(shape, Samples::Bytes(bytes)))
    }

    /// Returns true if the bytes of the rows are the samples of the image.
    fn is_plain(&self) -> bool {
        let opaque = matches!(self.colour, Colour::Grey | Colour::Rgb) && self.see_through.is_none();
        opaque && self.depth == 8 && self.passes.len() == 1
    }

    /// Calls `set` with the index and the value of every sample of the image.
    fn write(&self, raw: &[u8], channels: usize, mut set: impl FnMut(usize, u16)) -> Result<()> {
        let (mut passes, table) = (raw, self.table());
        for pass @ [top, left, down, right] in self.passes {
            let size @ [rows, columns] = self.pass_size(pass);
            let (part, rest) = passes.split_at(self.pass_len(size));
            passes = rest;
            if part.is_empty() {
                continue;
            }
            for (y, row) in part.chunks_exact(part.len() / rows).enumerate() {
                for x in 0..columns {
                    let pixel = self.pixel(&row[1..], x, &table)?;
                    let at = ((top + y * down) * self.size[1] + left + x * right) * channels;
                    (0..channels).for_each(|channel| set(at + channel, pixel[channel]));
                }
            }
        }
        Ok(())
    }

    /// Returns the colours on white of pixels that are one sample of 8 bits or fewer.
    fn table(&self) -> Vec<[u16; 3]> {
        match self.colour {
            Colour::Indexed => {
                let colours = self.palette.iter().map(|colour| colour.map(u16::from));
                colours
                    .map(|[red, green, blue, alpha]| [red, green, blue].map(|part| on_white(part, alpha, 255)))
                    .collect()
            }
            Colour::Grey if self.depth <= 8 => {
                let largest = (1 << self.depth) - 1;
                // Scale fewer bits to the full range from black to white.
                let grey =
                    |value: u16| if self.see_through == Some([value; 3]) { 255 } else { value * (255 / largest) };
                (0..=largest).map(|value| [grey(value); 3]).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Returns one pixel composed on white.
    fn pixel(&self, row: &[u8], x: usize, table: &[[u16; 3]]) -> Result<[u16; 3]> {
        let sample = |channel: usize| sample(row, x * self.channels() + channel, self.depth);
        let white = if self.depth == 16 { u16::MAX } else { 255 };
        let opaque = match self.colour {
            Colour::Grey if self.depth == 16 => [sample(0); 3],
            Colour::Grey | Colour::Indexed => {
                let index = usize::from(sample(0));
                let beyond = || Fault::damaged(format!("colour {index} of a palette of {}", table.len()));
                return table.get(index).copied().ok_or_else(beyond);
            }
            Colour::Rgb => [sample(0), sample(1), sample(2)],
            Colour::GreyAlpha => return Ok([on_white(sample(0), sample(1), white); 3]),
            Colour::Rgba => {
                let alpha = sample(3);
                return Ok([0, 1, 2].map(|channel| on_white(sample(channel), alpha, white)));
            }
        };
        Ok(if self.see_through == Some(opaque) { [white; 3] } else { opaque })
    }
}

/// Reads the sample of `depth` bits at `index`.
fn sample(row: &[u8], index: usize, depth: usize) -> u16 {
    match depth {
        8 => row[index].into(),
        16 => u16::from_be_bytes([row[2 * index], row[2 * index + 1]]),
        _ => {
            let bit = index * depth;
            (u16::from(row[bit / 8]) >> (8 - depth - bit % 8)) & ((1 << depth) - 1)
        }
    }
}

fn on_white(colour: u16, alpha: u16, white: u16) -> u16 {
    if alpha == white {
        return colour;
    }
    let (colour, alpha, white) = (u64::from(colour), u64::from(alpha), u64::from(white));
    ((alpha * colour + (white - alpha) * white + white / 2) / white) as u16
}

/// Reverses the filters (9.2): each of `rows` is one byte for the filter and `row_len` of data.
fn unfilter(rows: &mut [u8], row_len: usize, pixel_len: usize) -> Result<()> {
    let pixel_len = pixel_len.max(1);
    let (mut above, mut rest) = (vec![], rows);
    while !rest.is_empty() {
        let (row, below) = rest.split_at_mut(1 + row_len);
        rest = below;
        let (filter, row) = (row[0], &mut row[1..]);
        if above.is_empty() {
            above = vec![0; row_len];
        }
        for at in 0..row_len {
            let (left, corner) = match at.checked_sub(pixel_len) {
                Some(before) => (row[before], above[before]),
                None => (0, 0),
            };
            let predicted = match filter {
                0 => break,
                1 => left,
                2 => above[at],
                3 => ((u16::from(left) + u16::from(above[at])) / 2) as u8,
                4 => paeth(left, above[at], corner),
                _ => return Err(Fault::damaged(format!("no filter has the number {filter}"))),
            };
            row[at] = row[at].wrapping_add(predicted);
        }
        above.copy_from_slice(row);
    }
    Ok(())
}

/// Returns the neighbour that is nearest to `left + above - corner`.
pub(super) fn paeth(left: u8, above: u8, corner: u8) -> u8 {
    let [a, b, c] = [left, above, corner].map(i16::from);
    let [pa, pb, pc] = [(b - c).abs(), (a - c).abs(), (a + b - 2 * c).abs()];
    if pa <= pb && pa <= pc {
        left
    } else if pb <= pc {
        above
    } else {
        corner
    }
}
