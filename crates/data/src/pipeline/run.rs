//! Runs the transforms of a pipeline on an image.

use super::{Border, Channels, Corner, Pipeline, Transform, draw, transform};
use crate::{
    Error, Image, Result,
    digit::{BLANK, SIZE as DIGIT, centred_digit},
    image::luminance,
    operation::Workspace,
    resize::{Part, Resizer},
};
use ocelli_tensor::{Key, Stream};
use std::{array, mem::swap, ops::Range};

/// The memory that a [`Pipeline`] works in, kept from image to image: one for each thread that prepares samples.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    workspace: Workspace,
    resizer: Resizer,
    /// Pixels that the transforms may still make of an image.
    left: usize,
    /// Most pixels that an image between two transforms may have.
    most: usize,
    /// The size of the whole image, if the part that the first transform reads was cut out already.
    whole: Option<[usize; 2]>,
}

/// Most pixels that all transforms of a pipeline make, for each of the image: a pipeline may come from a file.
const MAX_RATIO: usize = 16;
/// Pixels that every image counts as: small ones may be enlarged.
const MANY_PIXELS: usize = 1 << 22;
/// Pixels that an image between two transforms may have, however small the image was and however small the result is.
const BETWEEN_PIXELS: usize = 1 << 20;
/// Pixels that an image between two transforms may have for each of the result.
const BETWEEN_RATIO: usize = 4;

impl Scratch {
    /// Takes the pixels of an image that a transform makes from those that are left.
    fn charge(&mut self, [height, width]: [usize; 2]) -> Result<()> {
        let pixels = height * width;
        if pixels > self.most {
            let reason = "are too many between two transforms, for an image and a result that are much smaller";
            return Err(Error::Setting(format!("{height} x {width} pixels {reason}")));
        }
        let Some(left) = self.left.checked_sub(pixels) else {
            let text = format!("the transforms make more than {MAX_RATIO} times the pixels of the image");
            return Err(Error::Setting(text));
        };
        self.left = left;
        Ok(())
    }
}

impl Pipeline {
    /// Applies the transforms to an image.
    pub(super) fn run_transforms(&self, image: &mut Image, key: Key, scratch: &mut Scratch) -> Result<()> {
        let pixels = |[height, width]: [usize; 2]| height * width;
        let size = scratch.whole.unwrap_or(image.size());
        let result = transform::size_after_all(&self.transforms, Some(size))?.map_or(0, pixels);
        scratch.left = MAX_RATIO * pixels(size).max(MANY_PIXELS);
        scratch.most = pixels(size).max(BETWEEN_RATIO * result).max(BETWEEN_PIXELS);
        self.run(&self.transforms, image, key, scratch)
    }

    /// Returns the rows and columns that the first transform reads of an image of this size, where it reads a part that a decoder
    /// need not look beyond.
    pub(crate) fn first_part(&self, size: [usize; 2], key: Key) -> [Range<usize>; 2] {
        match self.transforms.first() {
            Some(first @ Transform::RandomResizedCrop { area, ratio, .. }) if first.size_after(Some(size)).is_ok() => {
                random_part(size, *area, *ratio, &mut key.at(0).stream())
            }
            _ => size.map(|side| 0..side),
        }
    }

    /// Applies the pipeline to an image of `whole` rows and columns of which only the [first part](Pipeline::first_part) is there:
    /// the result is the same.
    pub(crate) fn apply_to_part(
        &self,
        whole: [usize; 2],
        image: &mut Image,
        key: Key,
        scratch: &mut Scratch,
        out: &mut [f32],
    ) -> Result<()> {
        let cuts = matches!(self.transforms.first(), Some(Transform::RandomResizedCrop { .. }));
        scratch.whole = cuts.then_some(whole);
        self.apply(image, key, scratch, out)
    }

    fn run(&self, transforms: &[Transform], image: &mut Image, key: Key, scratch: &mut Scratch) -> Result<()> {
        let mut at = 0;
        while let Some(transform) = transforms.get(at) {
            // The size is known, so that every fault is found before the transform.
            let whole = scratch.whole.take();
            let before = whole.unwrap_or(image.size());
            let size = transform.size_after(Some(before))?.unwrap_or(before);
            let key = key.at(at as u64);
            let mut random = key.stream();
            at += 1;
            let mut kept = size.map(|side| 0..side);
            if let (Transform::ShorterSide(_) | Transform::Stretch(_), Some(crop @ Transform::CentreCrop(wanted))) =
                (transform, transforms.get(at))
            {
                // Of what is cropped behind it, nothing else is computed.
                crop.size_after(Some(size))?;
                kept = middle(size, *wanted);
                at += 1;
            }
            scratch.charge(kept.each_ref().map(Range::len))?;
            match transform {
                Transform::ShorterSide(_) | Transform::Stretch(_) => {
                    self.resize(image, image.size().map(|side| 0..side), size, kept, scratch);
                }
                Transform::CentreCrop(wanted) => image.crop(middle(image.size(), *wanted)),
                Transform::CornerCrop { size: wanted, corner } => {
                    let [below, right] = [0, 1].map(|axis| image.size()[axis] - wanted[axis]);
                    let first = match corner {
                        Corner::TopLeft => [0, 0],
                        Corner::TopRight => [0, right],
                        Corner::BottomLeft => [below, 0],
                        Corner::BottomRight => [below, right],
                    };
                    image.crop([0, 1].map(|axis| first[axis]..first[axis] + wanted[axis]));
                }
                Transform::Pad(wanted) => pad(image, *wanted, &mut scratch.workspace.next),
                Transform::Digit => {
                    let digit = centred_digit(image).ok_or_else(|| Error::Setting(BLANK.into()))?;
                    image.reshape_checked([DIGIT, DIGIT, 1]).copy_from_slice(&digit);
                }
                Transform::RandomCrop { margin, border } => {
                    let mut shift = || random.below(2 * margin + 1) as isize - *margin as isize;
                    let by = [shift(), shift()];
                    moved(image, by, *border, &mut scratch.workspace.next);
                }
                Transform::RandomResizedCrop { size, area, ratio } => {
                    let part = match whole {
                        Some(_) => image.size().map(|side| 0..side),
                        None => random_part(image.size(), *area, *ratio, &mut random),
                    };
                    self.resize(image, part, *size, size.map(|side| 0..side), scratch);
                }
                Transform::Sometimes { probability, transforms } => {
                    if random.unit() < *probability {
                        self.run(transforms, image, key.with("sometimes"), scratch)?;
                    }
                }
                Transform::OneOf(transforms) => {
                    let one = random.below(transforms.len());
                    self.run(&transforms[one..=one], image, key.with("one of"), scratch)?;
                }
                // The others keep the size, and are operations with parameters that are drawn.
                other => draw::operations(other, image.size(), &mut random, &mut |operation| {
                    operation.apply(image, &mut scratch.workspace);
                }),
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
            return image
                .crop([0, 1].map(|axis| part[axis].start + kept[axis].start..part[axis].start + kept[axis].end));
        }
        scratch.resizer.resize(Part::new(image, part), wanted, kept, self.filter, &mut scratch.workspace.next);
        swap(image, &mut scratch.workspace.next);
    }

    /// Writes the channels of an image, normalised.
    pub(super) fn write(&self, image: &Image, out: &mut [f32]) -> Result<()> {
        let channels = self.channels.count();
        let expected = image.size()[0] * image.size()[1] * channels;
        if out.len() != expected {
            return Err(Error::Room { expected, got: out.len() });
        }
        // A byte has 256 values. A division, not a product with 1/255: 255 must give exactly 1.
        let table = |(factor, shift): (f32, f32)| -> [f32; 256] {
            array::from_fn(|byte| factor * (byte as f32 / 255.0) + shift)
        };
        let tables = self.normalisation.maps(channels)?.map(table);
        let value = |channel: usize, byte: u8| tables[channel][usize::from(byte)];
        let pixels = image.pixels();
        let colours = pixels.as_chunks::<3>().0;
        match (self.channels, image.channels()) {
            (Channels::Grey, 1) => out.iter_mut().zip(pixels).for_each(|(out, grey)| *out = value(0, *grey)),
            (Channels::Grey, _) => {
                out.iter_mut().zip(colours).for_each(|(out, colour)| *out = value(0, luminance(*colour)));
            }
            (_, 1) => {
                let out = out.as_chunks_mut().0;
                out.iter_mut()
                    .zip(pixels)
                    .for_each(|(out, grey)| *out = [value(0, *grey), value(1, *grey), value(2, *grey)]);
            }
            (Channels::Rgb, _) => {
                let out = out.as_chunks_mut().0;
                out.iter_mut()
                    .zip(colours)
                    .for_each(|(out, [r, g, b])| *out = [value(0, *r), value(1, *g), value(2, *b)]);
            }
            (Channels::Bgr, _) => {
                let out = out.as_chunks_mut().0;
                out.iter_mut()
                    .zip(colours)
                    .for_each(|(out, [r, g, b])| *out = [value(0, *b), value(1, *g), value(2, *r)]);
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
    pub(crate) fn colour(self, channels: usize) -> [u8; 3] {
        match self {
            Border::Colour(colour) if channels == 1 => [luminance(colour); 3],
            Border::Colour(colour) => colour,
            Border::Black | Border::Edge | Border::Reflect => [0; 3],
        }
    }

    /// Returns the place on an axis of this length that is seen at `at`, if that is one of the image.
    pub(crate) fn place(self, at: isize, length: usize) -> Option<usize> {
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
