//! Rectangles of one colour.

use crate::{Image, image::luminance};

/// Fills what a rectangle has of the image.
pub(super) fn erase(image: &mut Image, first: [usize; 2], size: [usize; 2], colour: [u8; 3]) {
    let (channels, row) = (image.channels(), image.row());
    let end = [0, 1].map(|axis| first[axis].saturating_add(size[axis]).min(image.size()[axis]));
    let first = [0, 1].map(|axis| first[axis].min(end[axis]));
    let colour = if channels == 1 { [luminance(colour); 3] } else { colour };
    for line in image.pixels_mut().chunks_exact_mut(row).take(end[0]).skip(first[0]) {
        let part = &mut line[first[1] * channels..end[1] * channels];
        part.chunks_exact_mut(channels).for_each(|pixel| pixel.copy_from_slice(&colour[..channels]));
    }
}
