//! An image as frequencies and decorrelated colours, in which gradient steps change large and small structures alike.

use crate::Result;
use ocelli_graph::Tensor;
use ocelli_kernels::{
    Accumulate, Epilogue,
    gemm::{Matrix, MatrixMut, gemm},
};

/// The square root of the covariance of the colours of ImageNet, divided by its largest column norm, as published with *Feature
/// Visualization* (Olah, Mordvintsev and Schubert 2017): rows are red, green and blue.
const COLOURS: [[f32; 3]; 3] = [[0.5628, 0.1948, 0.0433], [0.5845, 0.0, -0.1082], [0.5845, -0.1948, 0.0649]];

/// A basis of images `[H, W, C]`: cosines along both axes, scaled by 1/frequency as in photographs, and colours that are
/// decorrelated. Its transforms are matrix products.
#[derive(Debug)]
pub(super) struct Frequencies {
    height: usize,
    width: usize,
    channels: usize,
    /// Cosines along the height, `[H, H]`, and along the width, `[W, W]`: frequencies by pixels.
    rows: Vec<f32>,
    columns: Vec<f32>,
    /// The factor of each frequency, `[H, W]`.
    scale: Vec<f32>,
    colours: [[f32; 3]; 3],
}

impl Frequencies {
    /// Creates the basis. `reversed` channels are blue, green and red.
    pub(super) fn new([height, width, channels]: [usize; 3], order: ocelli_data::Channels) -> Frequencies {
        let largest = height.max(width) as f32;
        let frequency = |row: usize, column: usize| {
            (row as f32 / (2 * height) as f32).hypot(column as f32 / (2 * width) as f32).max(1.0 / largest)
        };
        let pairs = (0..height).flat_map(|row| (0..width).map(move |column| (row, column)));
        let scale = pairs.map(|(row, column)| 1.0 / frequency(row, column)).collect();
        let mut colours = COLOURS;
        if order == ocelli_data::Channels::Bgr {
            colours.reverse();
        }
        Frequencies { height, width, channels, rows: cosines(height), columns: cosines(width), scale, colours }
    }

    /// Number of coefficients, which are planes `[C, H, W]`.
    pub(super) fn len(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Makes the image `[1, H, W, C]` of coefficients.
    pub(super) fn image(&self, coefficients: &[f32]) -> Result<Tensor> {
        let pixels = self.height * self.width;
        let mut planes = Vec::with_capacity(coefficients.len());
        for plane in coefficients.chunks_exact(pixels) {
            let scaled: Vec<f32> = plane.iter().zip(&self.scale).map(|(c, scale)| c * scale).collect();
            planes.extend(self.transformed(&scaled, Way::ToPixels));
        }
        let mut image = Tensor::try_zeros([1, self.height, self.width, self.channels])?;
        for (at, pixel) in image.data_mut().chunks_exact_mut(self.channels).enumerate() {
            let own = |channel: usize| planes[channel * pixels + at];
            for (channel, value) in pixel.iter_mut().enumerate() {
                *value = match self.channels {
                    3 => (0..3).map(|other| self.colours[channel][other] * own(other)).sum(),
                    _ => own(channel),
                };
            }
        }
        Ok(image)
    }

    /// Turns the gradient `[1, H, W, C]` of an image into that of its coefficients: the adjoint of [`Frequencies::image`].
    pub(super) fn gradient(&self, image: &Tensor) -> Vec<f32> {
        let pixels = self.height * self.width;
        let mut gradient = Vec::with_capacity(self.len());
        for channel in 0..self.channels {
            let colour = |pixel: &[f32]| match self.channels {
                3 => (0..3).map(|other| self.colours[other][channel] * pixel[other]).sum(),
                _ => pixel[channel],
            };
            let plane: Vec<f32> = image.data().chunks_exact(self.channels).map(colour).collect();
            let plane = self.transformed(&plane, Way::ToFrequencies);
            gradient.extend(plane.iter().zip(&self.scale).map(|(value, scale)| value * scale));
        }
        debug_assert_eq!(gradient.len(), pixels * self.channels);
        gradient
    }

    /// Multiplies a plane with the cosines along both axes.
    fn transformed(&self, plane: &[f32], way: Way) -> Vec<f32> {
        let (height, width) = (self.height, self.width);
        let (rows, columns) = (Matrix::new(&self.rows, height, height), Matrix::new(&self.columns, width, width));
        // to pixels: Rᵀ·S·C; to frequencies: R·X·Cᵀ
        let (left, right) = match way {
            Way::ToPixels => (rows.transposed(), columns),
            Way::ToFrequencies => (rows, columns.transposed()),
        };
        let set = Epilogue::of(Accumulate::Set);
        let (mut half, mut whole) = (vec![0.0; plane.len()], vec![0.0; plane.len()]);
        gemm(left, Matrix::new(plane, height, width), MatrixMut::new(&mut half, height, width), &set);
        gemm(Matrix::new(&half, height, width), right, MatrixMut::new(&mut whole, height, width), &set);
        whole
    }
}

#[derive(Clone, Copy)]
enum Way {
    ToPixels,
    ToFrequencies,
}

/// The orthonormal discrete cosine transform (type II) as a matrix, frequencies by pixels.
fn cosines(count: usize) -> Vec<f32> {
    let norm = |frequency: usize| (if frequency == 0 { 1.0 } else { 2.0 } / count as f64).sqrt();
    let value = |frequency: usize, pixel: usize| {
        let angle = std::f64::consts::PI * (2 * pixel + 1) as f64 * frequency as f64 / (2 * count) as f64;
        (norm(frequency) * angle.cos()) as f32
    };
    (0..count).flat_map(|frequency| (0..count).map(move |pixel| value(frequency, pixel))).collect()
}
