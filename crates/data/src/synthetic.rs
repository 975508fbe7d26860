//! Handwritten digits that are drawn without any file.
//!
//! Each digit is a few strokes, in two or three ways of writing it, whose points are moved at random; the whole is turned,
//! sheared, stretched and shifted, drawn with a pen of random width and strength, and covered with specks and noise. A
//! digit is a function of the seed and its number alone. It is about as hard as MNIST for a convolutional network, and
//! harder for a linear model, which shifts and turns confuse.

use crate::Images;
use ocelli_tensor::{Key, Stream};
use rayon::prelude::*;

/// Rows and columns of an image.
pub const SIZE: usize = 28;

/// Number of points between two points of a curve.
const FINENESS: usize = 7;

type Point = [f32; 2];

/// The strokes of a digit, given by points (x, y) with y down, in a box of 1 by 1.
#[derive(Clone, Copy)]
enum Stroke {
    /// Straight lines from point to point.
    Straight(&'static [Point]),
    /// A smooth curve through the points.
    Smooth(&'static [Point]),
}
use Stroke::{Smooth, Straight};

const ZERO: &[&[Stroke]] = &[
    &[Smooth(&[
        [0.5, 0.04],
        [0.26, 0.16],
        [0.18, 0.5],
        [0.27, 0.85],
        [0.5, 0.96],
        [0.74, 0.84],
        [0.82, 0.5],
        [0.74, 0.16],
        [0.5, 0.04],
    ])],
    &[Smooth(&[
        [0.56, 0.05],
        [0.32, 0.2],
        [0.28, 0.6],
        [0.42, 0.93],
        [0.64, 0.85],
        [0.72, 0.45],
        [0.6, 0.1],
        [0.46, 0.08],
    ])],
];
const ONE: &[&[Stroke]] = &[
    &[Straight(&[[0.5, 0.04], [0.5, 0.96]])],
    &[Straight(&[[0.32, 0.24], [0.53, 0.04], [0.53, 0.96]])],
    &[Straight(&[[0.34, 0.2], [0.52, 0.04], [0.52, 0.95]]), Straight(&[[0.3, 0.95], [0.74, 0.95]])],
];
const TWO: &[&[Stroke]] = &[
    &[
        Smooth(&[[0.2, 0.28], [0.32, 0.09], [0.6, 0.05], [0.77, 0.24], [0.68, 0.48], [0.4, 0.74], [0.2, 0.94]]),
        Straight(&[[0.2, 0.94], [0.82, 0.93]]),
    ],
    &[Smooth(&[
        [0.22, 0.22],
        [0.48, 0.04],
        [0.74, 0.2],
        [0.62, 0.52],
        [0.34, 0.86],
        [0.2, 0.86],
        [0.34, 0.78],
        [0.58, 0.92],
        [0.84, 0.88],
    ])],
];
const THREE: &[&[Stroke]] = &[
    &[
        Smooth(&[[0.22, 0.16], [0.46, 0.04], [0.74, 0.14], [0.7, 0.36], [0.42, 0.47]]),
        Smooth(&[[0.42, 0.47], [0.76, 0.56], [0.8, 0.8], [0.52, 0.96], [0.2, 0.86]]),
    ],
    &[
        Straight(&[[0.24, 0.06], [0.76, 0.06], [0.44, 0.42]]),
        Smooth(&[[0.44, 0.42], [0.76, 0.52], [0.8, 0.78], [0.52, 0.96], [0.2, 0.86]]),
    ],
];
const FOUR: &[&[Stroke]] = &[
    &[Straight(&[[0.3, 0.05], [0.2, 0.56], [0.84, 0.56]]), Straight(&[[0.67, 0.14], [0.65, 0.96]])],
    &[Straight(&[[0.84, 0.64], [0.16, 0.64], [0.62, 0.05], [0.62, 0.96]])],
];
const FIVE: &[&[Stroke]] = &[
    &[
        Straight(&[[0.78, 0.06], [0.3, 0.06], [0.26, 0.45]]),
        Smooth(&[[0.26, 0.45], [0.52, 0.38], [0.78, 0.54], [0.76, 0.8], [0.5, 0.96], [0.2, 0.86]]),
    ],
    &[
        Smooth(&[[0.32, 0.08], [0.27, 0.42], [0.5, 0.4], [0.76, 0.56], [0.72, 0.84], [0.46, 0.96], [0.22, 0.86]]),
        Straight(&[[0.32, 0.08], [0.8, 0.06]]),
    ],
];
const SIX: &[&[Stroke]] = &[
    &[Smooth(&[
        [0.68, 0.05],
        [0.42, 0.2],
        [0.25, 0.5],
        [0.25, 0.78],
        [0.44, 0.96],
        [0.68, 0.92],
        [0.77, 0.72],
        [0.62, 0.54],
        [0.4, 0.57],
        [0.26, 0.74],
    ])],
    &[Smooth(&[
        [0.4, 0.04],
        [0.28, 0.36],
        [0.24, 0.72],
        [0.42, 0.96],
        [0.7, 0.9],
        [0.74, 0.68],
        [0.52, 0.56],
        [0.28, 0.68],
    ])],
];
const SEVEN: &[&[Stroke]] = &[
    &[Straight(&[[0.2, 0.06], [0.8, 0.06], [0.42, 0.96]])],
    &[Straight(&[[0.2, 0.06], [0.8, 0.06], [0.44, 0.96]]), Straight(&[[0.36, 0.5], [0.76, 0.5]])],
    &[Smooth(&[[0.18, 0.14], [0.5, 0.08], [0.82, 0.06], [0.62, 0.4], [0.48, 0.96]])],
];
const EIGHT: &[&[Stroke]] = &[
    &[Smooth(&[
        [0.5, 0.48],
        [0.27, 0.3],
        [0.36, 0.08],
        [0.62, 0.06],
        [0.73, 0.26],
        [0.5, 0.48],
        [0.25, 0.7],
        [0.34, 0.94],
        [0.66, 0.94],
        [0.76, 0.7],
        [0.5, 0.48],
    ])],
    &[
        Smooth(&[[0.5, 0.46], [0.28, 0.26], [0.5, 0.05], [0.72, 0.26], [0.5, 0.46]]),
        Smooth(&[[0.5, 0.46], [0.24, 0.72], [0.5, 0.96], [0.76, 0.72], [0.5, 0.46]]),
    ],
];
const NINE: &[&[Stroke]] = &[
    &[
        Smooth(&[[0.74, 0.3], [0.6, 0.07], [0.36, 0.1], [0.26, 0.32], [0.4, 0.5], [0.62, 0.46], [0.74, 0.28]]),
        Straight(&[[0.74, 0.28], [0.68, 0.96]]),
    ],
    &[
        Smooth(&[[0.74, 0.3], [0.6, 0.07], [0.36, 0.1], [0.26, 0.32], [0.4, 0.5], [0.62, 0.46], [0.74, 0.28]]),
        Smooth(&[[0.74, 0.28], [0.75, 0.6], [0.62, 0.9], [0.34, 0.94]]),
    ],
];
const DIGITS: [&[&[Stroke]]; 10] = [ZERO, ONE, TWO, THREE, FOUR, FIVE, SIX, SEVEN, EIGHT, NINE];

/// Draws `count` digits; digit `i` is a function of `seed` and `i` alone, and so is its class.
///
/// ```
/// let digits = ocelli_data::synthetic::digits(100, 42);
/// assert_eq!(digits.labels().len(), 100);
/// assert_eq!(digits.image(7), ocelli_data::synthetic::digits(8, 42).image(7));
/// ```
pub fn digits(count: usize, seed: u64) -> Images {
    let key = Key::new(seed).with("synthetic digits");
    let mut pixels = vec![0u8; count * SIZE * SIZE];
    let mut labels = vec![0u32; count];
    pixels.par_chunks_mut(SIZE * SIZE).zip(&mut labels).enumerate().for_each(|(i, (pixels, label))| {
        let mut stream = key.at(i as u64).stream();
        *label = stream.below(10) as u32;
        draw(*label as usize, &mut stream, pixels);
    });
    let names = (0..10).map(|digit: u32| digit.to_string()).collect();
    Images::new([SIZE, SIZE, 1], pixels, labels, names).expect("as many labels below ten as images were drawn")
}

/// A random affine map of the unit box into the image.
struct Affine {
    matrix: [Point; 2],
    centre: Point,
}

impl Affine {
    fn random(stream: &mut Stream) -> Affine {
        let (sine, cosine) = (0.2 * stream.normal()).clamp(-0.5, 0.5).sin_cos();
        let shear = (0.25 * stream.normal()).clamp(-0.55, 0.55);
        let (wide, high) = (stream.between(12.0, 19.0), stream.between(15.0, 20.5));
        // Turn · shear · stretch.
        let matrix = [[cosine * wide, (cosine * shear - sine) * high], [sine * wide, (sine * shear + cosine) * high]];
        let middle = (SIZE as f32 - 1.0) / 2.0;
        let centre = [middle + stream.between(-3.0, 3.0), middle + stream.between(-3.0, 3.0)];
        Affine { matrix, centre }
    }

    fn apply(&self, [x, y]: Point) -> Point {
        let (x, y) = (x - 0.5, y - 0.5);
        std::array::from_fn(|i| self.centre[i] + self.matrix[i][0] * x + self.matrix[i][1] * y)
    }
}

fn draw(digit: usize, stream: &mut Stream, pixels: &mut [u8]) {
    let variants = DIGITS[digit];
    let strokes = variants[stream.below(variants.len())];
    let affine = Affine::random(stream);
    let unsteadiness = stream.between(0.01, 0.045);
    let radius = stream.between(0.7, 1.9);
    let strength = stream.between(0.6, 1.0);
    let mut ink = [0.0f32; SIZE * SIZE];
    for stroke in strokes {
        let points = match stroke {
            Straight(points) | Smooth(points) => *points,
        };
        let moved: Vec<Point> = points
            .iter()
            .map(|[x, y]| affine.apply([x + unsteadiness * stream.normal(), y + unsteadiness * stream.normal()]))
            .collect();
        let line = if matches!(stroke, Smooth(_)) { curve(&moved) } else { moved };
        line.windows(2).for_each(|ends| segment(ends[0], ends[1], radius, strength, &mut ink));
    }
    // Add specks that belong to no digit.
    for _ in 0..stream.below(4) {
        let at = [stream.between(0.0, SIZE as f32), stream.between(0.0, SIZE as f32)];
        let to = [at[0] + 2.0 * stream.normal(), at[1] + 2.0 * stream.normal()];
        segment(at, to, stream.between(0.3, 0.8), stream.between(0.2, 0.7), &mut ink);
    }
    let noise = stream.between(0.0, 0.14);
    for (pixel, ink) in pixels.iter_mut().zip(ink) {
        *pixel = (255.0 * (ink + noise * stream.normal()).clamp(0.0, 1.0)).round() as u8;
    }
}

/// Returns a smooth curve through points (Catmull and Rom 1974).
fn curve(points: &[Point]) -> Vec<Point> {
    let at = |i: isize| points[i.clamp(0, points.len() as isize - 1) as usize];
    let mut line = Vec::with_capacity(points.len() * FINENESS);
    for i in 0..points.len().saturating_sub(1) as isize {
        let (before, from, to, after) = (at(i - 1), at(i), at(i + 1), at(i + 2));
        for step in 0..FINENESS {
            let t = step as f32 / FINENESS as f32;
            line.push(std::array::from_fn(|axis| {
                let (p, q, r, s) = (before[axis], from[axis], to[axis], after[axis]);
                let slope = r - p;
                let bend = 2.0 * p - 5.0 * q + 4.0 * r - s;
                let twist = 3.0 * (q - r) + s - p;
                q + 0.5 * t * (slope + t * (bend + t * twist))
            }));
        }
    }
    line.extend(points.last());
    line
}

/// Draws a line with round ends; each pixel keeps its strongest ink.
fn segment(from: Point, to: Point, radius: f32, strength: f32, ink: &mut [f32; SIZE * SIZE]) {
    let reach = radius + 1.0;
    let bounds = |axis: usize| {
        let (low, high) = (from[axis].min(to[axis]) - reach, from[axis].max(to[axis]) + reach);
        (low.max(0.0) as usize)..((high + 1.0).clamp(0.0, SIZE as f32) as usize)
    };
    let along = [to[0] - from[0], to[1] - from[1]];
    let square = along[0] * along[0] + along[1] * along[1];
    for row in bounds(1) {
        for column in bounds(0) {
            let away = [column as f32 - from[0], row as f32 - from[1]];
            let t = ((away[0] * along[0] + away[1] * along[1]) / square.max(1e-9)).clamp(0.0, 1.0);
            let distance = (away[0] - t * along[0]).hypot(away[1] - t * along[1]);
            let cover = strength * (radius + 0.5 - distance).clamp(0.0, 1.0);
            let pixel = &mut ink[row * SIZE + column];
            *pixel = pixel.max(cover);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dataset;

    #[test]
    fn digits_are_a_function_of_the_seed_on_any_number_of_threads() {
        let on =
            |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| digits(200, 1));
        let one = on(1);
        for threads in [2, 8] {
            assert_eq!((on(threads).pixels(), on(threads).labels()), (one.pixels(), one.labels()));
        }
        assert_ne!(digits(200, 2).pixels(), one.pixels());
        assert_eq!(one.shape(), [SIZE, SIZE, 1]);
    }

    #[test]
    fn every_class_is_there_and_every_image_has_ink() {
        let images = digits(2000, 3);
        for digit in 0..10 {
            let count = images.labels().iter().filter(|label| **label == digit).count();
            assert!((150..250).contains(&count), "{count} of digit {digit}");
        }
        for image in images.pixels().chunks(SIZE * SIZE) {
            let ink: u32 = image.iter().map(|pixel| u32::from(*pixel)).sum();
            assert!((20 * 255..400 * 255).contains(&ink), "{ink}");
        }
    }

    /// A linear model learns something, and far from all: what the shifts and turns are for.
    #[test]
    fn a_linear_model_stays_below_95_per_cent() {
        const FEATURES: usize = SIZE * SIZE;
        let (train, test) = (digits(8000, 5), digits(1000, 6));
        let mut w = vec![0.0f32; FEATURES * 10];
        let scores = |w: &[f32], image: &[u8]| -> [f32; 10] {
            let mut scores = [0.0; 10];
            for (pixel, w) in image.iter().zip(w.chunks_exact(10)) {
                let x = f32::from(*pixel) / 255.0;
                scores.iter_mut().zip(w).for_each(|(score, w)| *score += x * w);
            }
            scores
        };
        for epoch in 0..6 {
            let rate = 0.05 / (1.0 + epoch as f32);
            for (image, label) in train.pixels().chunks(FEATURES).zip(train.labels()) {
                let scores = scores(&w, image);
                let top = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let exponentials = scores.map(|score| (score - top).exp());
                let sum: f32 = exponentials.iter().sum();
                let gradient: [f32; 10] = std::array::from_fn(|class| {
                    exponentials[class] / sum - if class == *label as usize { 1.0 } else { 0.0 }
                });
                for (pixel, w) in image.iter().zip(w.chunks_exact_mut(10)) {
                    let x = rate * f32::from(*pixel) / 255.0;
                    w.iter_mut().zip(gradient).for_each(|(w, g)| *w -= x * g);
                }
            }
        }
        let right = test.pixels().chunks(FEATURES).zip(test.labels()).filter(|(image, label)| {
            let scores = scores(&w, image);
            let best = (0..10).fold(0, |best, class| if scores[class] > scores[best] { class } else { best });
            best == **label as usize
        });
        let accuracy = right.count() as f32 / 1000.0;
        assert!((0.5..0.95).contains(&accuracy), "{accuracy}");
    }
}
