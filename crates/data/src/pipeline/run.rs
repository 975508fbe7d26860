//! Runs the transforms of a pipeline on an image.

use super::{Border, Channels, Mirror, Pipeline, Transform};
use crate::{
    Error, Image, Result,
    digit::{BLANK, SIZE as DIGIT, centred_digit},
    image::luminance,
    resize::{Part, Resizer},
};
use ocelli_tensor::{Key, Stream};
use std::{mem::swap, ops::Range};

/// The memory that a [`Pipeline`] works in, kept from image to image: one for each thread that prepares samples.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    /// The result of a transform, which then changes places with the image.
    next: Image,
    resizer: Resizer,
}

impl Pipeline {
    /// Applies the transforms to an image.
    pub(super) fn run_transforms(&self, image: &mut Image, key: Key, scratch: &mut Scratch) -> Result<()> {
        let mut at = 0;
        while let Some(transform) = self.transforms.get(at) {
            // The size is known, so that every fault is found before the transform.
            let size = transform.size_after(Some(image.size()))?.unwrap_or(image.size());
            let mut random = key.at(at as u64).stream();
            at += 1;
            match transform {
                Transform::ShorterSide(_) | Transform::Stretch(_) => {
                    // Of what is cropped behind it, nothing else is computed.
                    let mut kept = size.map(|side| 0..side);
                    if let Some(crop @ Transform::CentreCrop(wanted)) = self.transforms.get(at) {
                        crop.size_after(Some(size))?;
                        kept = middle(size, *wanted);
                        at += 1;
                    }
                    self.resize(image, image.size().map(|side| 0..side), size, kept, scratch);
                }
                Transform::CentreCrop(wanted) => crop(image, middle(image.size(), *wanted)),
                Transform::Pad(wanted) => pad(image, *wanted, &mut scratch.next),
                Transform::Digit => {
                    let digit = centred_digit(image).ok_or_else(|| Error::Setting(BLANK.into()))?;
                    image.reshape_checked([DIGIT, DIGIT, 1]).copy_from_slice(&digit);
                }
                Transform::RandomCrop { margin, border } => {
                    let mut shift = || random.below(2 * margin + 1) as isize - *margin as isize;
                    let by = [shift(), shift()];
                    moved(image, by, *border, &mut scratch.next);
                }
                Transform::RandomResizedCrop { size, area, ratio } => {
                    let part = random_part(image.size(), *area, *ratio, &mut random);
                    self.resize(image, part, *size, size.map(|side| 0..side), scratch);
                }
                Transform::RandomMirror(direction) => {
                    if random.below(2) == 1 {
                        mirror(image, *direction);
                    }
                }
            }
        }
        Ok(())
    }

    /// Resizes a part of an image and keeps some rows and columns of the result.
    fn resize(
        &self,
        image: &mut Image,
        part: [Range<usize>; 2],
        wanted: [usize; 2],
        kept: [Range<usize>; 2],
        scratch: &mut Scratch,
    ) {
        if part.clone().map(|range| range.len()) == wanted {
            // Nothing is resized: what is kept is cropped.
            return crop(
                image,
                [0, 1].map(|axis| part[axis].start + kept[axis].start..part[axis].start + kept[axis].end),
            );
        }
        scratch.resizer.resize(Part::new(image, part), wanted, kept, self.filter, &mut scratch.next);
        swap(image, &mut scratch.next);
    }

    /// Writes the channels of an image, normalised.
    pub(super) fn write(&self, image: &Image, out: &mut [f32]) -> Result<()> {
        let channels = self.channels.count();
        let expected = image.size()[0] * image.size()[1] * channels;
        if out.len() != expected {
            return Err(Error::Room { expected, got: out.len() });
        }
        let maps = self.normalisation.maps(channels)?;
        // A division, not a product with 1/255: 255 must give exactly 1.
        let value = |channel: usize, byte: u8| {
            let (factor, shift) = maps[channel];
            factor * (f32::from(byte) / 255.0) + shift
        };
        let pixels = image.pixels();
        match (self.channels, image.channels()) {
            (Channels::Grey, 1) => out.iter_mut().zip(pixels).for_each(|(out, grey)| *out = value(0, *grey)),
            (Channels::Grey, _) => {
                let colours = pixels.as_chunks().0;
                out.iter_mut().zip(colours).for_each(|(out, colour)| *out = value(0, luminance(*colour)));
            }
            (_, 1) => {
                let pixel = |grey: &u8| [0, 1, 2].map(|channel| value(channel, *grey));
                out.as_chunks_mut().0.iter_mut().zip(pixels).for_each(|(out, grey)| *out = pixel(grey));
            }
            (order, _) => {
                let from = if order == Channels::Bgr { [2, 1, 0] } else { [0, 1, 2] };
                let pixel = |colour: &[u8; 3]| [0, 1, 2].map(|channel| value(channel, colour[from[channel]]));
                let colours = pixels.as_chunks().0;
                out.as_chunks_mut().0.iter_mut().zip(colours).for_each(|(out, colour)| *out = pixel(colour));
            }
        }
        Ok(())
    }
}

/// Returns the middle `wanted` rows and columns of `size`, rounded as torchvision does.
fn middle(size: [usize; 2], wanted: [usize; 2]) -> [Range<usize>; 2] {
    [0, 1].map(|axis| {
        let first = ((size[axis] - wanted[axis]) as f64 / 2.0).round_ties_even() as usize;
        first..first + wanted[axis]
    })
}

/// Crops an image in its own memory.
fn crop(image: &mut Image, [rows, columns]: [Range<usize>; 2]) {
    let (channels, from) = (image.channels(), image.row());
    let to = columns.len() * channels;
    if (rows.len(), to) == (image.size()[0], from) {
        return;
    }
    for (y, row) in rows.clone().enumerate() {
        let begin = row * from + columns.start * channels;
        image.pixels_mut().copy_within(begin..begin + to, y * to);
    }
    image.reshape_checked([rows.len(), columns.len(), channels]);
}

/// Puts an image in the middle of black.
fn pad(image: &mut Image, [rows, columns]: [usize; 2], next: &mut Image) {
    let (channels, [height, width]) = (image.channels(), image.size());
    let (line, left) = (columns * channels, (columns - width) / 2 * channels);
    let out = next.reshape_checked([rows, columns, channels]);
    out.fill(0);
    let lines = out.chunks_exact_mut(line).skip((rows - height) / 2);
    let row = image.row();
    lines
        .zip(image.pixels().chunks_exact(row))
        .for_each(|(line, values)| line[left..left + row].copy_from_slice(values));
    swap(image, next);
}

/// Shows the image from `by` = rows and columns further on.
fn moved(image: &mut Image, by: [isize; 2], border: Border, next: &mut Image) {
    let (channels, [height, width]) = (image.channels(), image.size());
    let colour = border.colour(channels);
    let out = next.reshape_checked([height, width, channels]);
    for (y, line) in out.chunks_exact_mut(width * channels).enumerate() {
        let row = border.place(y as isize + by[0], height);
        for (x, pixel) in line.chunks_exact_mut(channels).enumerate() {
            match (row, border.place(x as isize + by[1], width)) {
                (Some(row), Some(column)) => {
                    let from = (row * width + column) * channels;
                    pixel.copy_from_slice(&image.pixels()[from..from + channels]);
                }
                _ => pixel.copy_from_slice(&colour[..channels]),
            }
        }
    }
    swap(image, next);
}

impl Border {
    /// Returns the colour of what lies outside, where it is one.
    fn colour(self, channels: usize) -> [u8; 3] {
        match self {
            Border::Colour(colour) if channels == 1 => [luminance(colour); 3],
            Border::Colour(colour) => colour,
            Border::Black | Border::Edge | Border::Reflect => [0; 3],
        }
    }

    /// Returns the place on an axis of this length that is seen at `at`, if that is one of the image.
    fn place(self, at: isize, length: usize) -> Option<usize> {
        let last = length as isize - 1;
        if (0..=last).contains(&at) {
            return Some(at as usize);
        }
        match self {
            Border::Black | Border::Colour(_) => None,
            Border::Edge => Some(at.clamp(0, last) as usize),
            Border::Reflect if last == 0 => Some(0),
            Border::Reflect => {
                let folded = at.rem_euclid(2 * last);
                Some(folded.min(2 * last - folded) as usize)
            }
        }
    }
}

/// Draws the rows and columns of a part with a share of the area and a ratio of width to height, as torchvision does: the
/// largest part in the middle with an admissible ratio if ten draws do not fit.
fn random_part(size: [usize; 2], area: [f32; 2], ratio: [f32; 2], random: &mut Stream) -> [Range<usize>; 2] {
    let [height, width] = size.map(|side| side as f32);
    let [low, high] = ratio.map(f32::ln);
    for _ in 0..10 {
        let pixels = height * width * random.between(area[0], area[1]);
        let ratio = random.between(low, high).exp();
        let part = [(pixels / ratio).sqrt(), (pixels * ratio).sqrt()].map(|side| side.round_ties_even() as usize);
        if (1..=size[0]).contains(&part[0]) && (1..=size[1]).contains(&part[1]) {
            return [0, 1].map(|axis| {
                let first = random.below(size[axis] - part[axis] + 1);
                first..first + part[axis]
            });
        }
    }
    let rounded = |side: f32, axis: usize| (side.round_ties_even() as usize).clamp(1, size[axis]);
    let part = match width / height {
        narrow if narrow < ratio[0] => [rounded(width / ratio[0], 0), size[1]],
        wide if wide > ratio[1] => [size[0], rounded(height * ratio[1], 1)],
        _ => size,
    };
    [0, 1].map(|axis| {
        let first = (size[axis] - part[axis]) / 2;
        first..first + part[axis]
    })
}

/// Mirrors an image in its own memory.
fn mirror(image: &mut Image, direction: Mirror) {
    let (row, channels) = (image.row(), image.channels());
    match direction {
        Mirror::LeftRight => image.pixels_mut().chunks_exact_mut(row).for_each(|row| match channels {
            1 => row.reverse(),
            _ => row.as_chunks_mut::<3>().0.reverse(),
        }),
        Mirror::TopBottom => {
            let height = image.size()[0];
            let (top, bottom) = image.pixels_mut().split_at_mut(height.div_ceil(2) * row);
            let below = bottom.chunks_exact_mut(row).rev();
            top.chunks_exact_mut(row).zip(below).for_each(|(above, below)| above.swap_with_slice(below));
        }
    }
}
