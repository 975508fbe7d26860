//! Images of drawn shapes with a class for every pixel, for segmentation without any file.
//!
//! Discs, squares and triangles of random place, size, angle and colour lie over each other on a background that changes
//! smoothly; noise covers all. An image is a function of the seed and its number alone.

use ocelli_tensor::{Batch, Key, Stream, Tensor};
use rayon::prelude::*;
use std::ops::Range;

/// Names of the classes of a pixel, by their numbers.
pub const CLASS_NAMES: [&str; 4] = ["background", "disc", "square", "triangle"];

/// How many numbers of shapes in an image there are, from two.
const MOST: usize = 5;

/// An image of drawn shapes.
#[derive(Clone, Debug, PartialEq)]
pub struct DrawnShapes {
    /// Rows and columns.
    pub size: usize,
    /// Red, green and blue between 0 and 1, row by row.
    pub pixels: Vec<f32>,
    /// The class of each pixel, row by row.
    pub classes: Vec<u32>,
}

/// A shape in the plane of the image.
struct Shape {
    /// 1, 2 or 3.
    class: u32,
    /// Column and row of the centre, in pixels.
    centre: [f32; 2],
    radius: f32,
    sine: f32,
    cosine: f32,
    colour: [f32; 3],
}

impl Shape {
    fn random(stream: &mut Stream, size: f32) -> Shape {
        let (sine, cosine) = stream.between(0.0, std::f32::consts::TAU).sin_cos();
        Shape {
            class: 1 + stream.below(CLASS_NAMES.len() - 1) as u32,
            centre: [stream.between(0.1, 0.9) * size, stream.between(0.1, 0.9) * size],
            radius: stream.between(0.12, 0.3) * size,
            sine,
            cosine,
            colour: std::array::from_fn(|_| stream.unit()),
        }
    }

    /// Returns true if the middle of a pixel lies inside.
    fn covers(&self, column: usize, row: usize) -> bool {
        let (dx, dy) = (column as f32 + 0.5 - self.centre[0], row as f32 + 0.5 - self.centre[1]);
        let (x, y) = (self.cosine * dx + self.sine * dy, self.cosine * dy - self.sine * dx);
        let r = self.radius;
        match self.class {
            1 => x * x + y * y < r * r,
            2 => x.abs().max(y.abs()) < 0.8 * r,
            // The equilateral triangle in the circle: its sides are half a radius from the centre.
            _ => y > -0.5 * r && 0.866 * x.abs() + 0.5 * y < 0.5 * r,
        }
    }
}

/// Draws image number `index` of a seed, of `size` by `size` pixels.
///
/// ```
/// use ocelli_data::drawn_shapes::{CLASS_NAMES, image};
/// let shapes = image(7, 64, 42);
/// assert_eq!((shapes.pixels.len(), shapes.classes.len()), (64 * 64 * 3, 64 * 64));
/// assert!(shapes.classes.iter().all(|class| (*class as usize) < CLASS_NAMES.len()));
/// ```
pub fn image(index: u64, size: usize, seed: u64) -> DrawnShapes {
    let mut stream = Key::new(seed).with("drawn shapes").at(index).stream();
    let length = size as f32;
    let shapes: Vec<Shape> = (0..2 + stream.below(MOST)).map(|_| Shape::random(&mut stream, length)).collect();
    let [from, to]: [[f32; 3]; 2] = std::array::from_fn(|_| std::array::from_fn(|_| stream.unit()));
    let (down, right) = (stream.unit(), stream.unit());
    let noise = stream.between(0.02, 0.12);
    let (mut pixels, mut classes) = (Vec::with_capacity(size * size * 3), Vec::with_capacity(size * size));
    for row in 0..size {
        for column in 0..size {
            let part = (down * row as f32 + right * column as f32) / (2.0 * length);
            // The last shape lies on top.
            let top = shapes.iter().rfind(|shape| shape.covers(column, row));
            let colour =
                top.map_or_else(|| std::array::from_fn(|i| from[i] + part * (to[i] - from[i])), |shape| shape.colour);
            classes.push(top.map_or(0, |shape| shape.class));
            pixels.extend(colour.map(|value| (value + noise * stream.normal()).clamp(0.0, 1.0)));
        }
    }
    DrawnShapes { size, pixels, classes }
}

/// Draws a range of images as a batch: `input` `[N, size, size, 3]`, centred on 0, and `labels` `[N, size, size]`.
///
/// # Panics
/// If the range or the size is empty.
pub fn batch(range: Range<u64>, size: usize, seed: u64) -> Batch {
    assert!(!range.is_empty() && size > 0, "a batch of drawn shapes has images, and these have pixels");
    let images: Vec<DrawnShapes> = range.into_par_iter().map(|index| image(index, size, seed)).collect();
    let pixels: Vec<f32> =
        images.iter().flat_map(|shapes| shapes.pixels.iter().map(|pixel| 4.0 * pixel - 2.0)).collect();
    let classes: Vec<u32> = images.iter().flat_map(|shapes| shapes.classes.iter().copied()).collect();
    let input = Tensor::from_vec([images.len(), size, size, 3], pixels).expect("each image has three numbers a pixel");
    let labels = Tensor::from_vec([images.len(), size, size], classes).expect("each pixel has a class");
    Batch::new().with("input", input).with("labels", labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_is_seen_and_images_are_a_function_of_seed_and_number() {
        let drawn = batch(0..200, 32, 3);
        let labels = drawn.labels("labels").unwrap();
        for class in 0..CLASS_NAMES.len() as u32 {
            let share = labels.data().iter().filter(|label| **label == class).count() as f32 / labels.len() as f32;
            assert!((0.05..0.8).contains(&share), "{share} of class {class}");
        }
        assert_eq!(drawn.tensor("input").unwrap().rows(7..9), *batch(7..9, 32, 3).tensor("input").unwrap());
        assert_ne!(image(0, 32, 3), image(0, 32, 4));
    }
}
