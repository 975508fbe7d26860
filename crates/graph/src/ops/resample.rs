//! Resizing of images by weights of one's own.

use super::{expect_rank, four};
use crate::{Compiled, Dim, Fault, Grads, Node, Op, Reach, Request, Shape};
use std::ops::RangeInclusive;

/// How the pixels along one axis of an image become others: for each new pixel, which old ones it is a sum of, with
/// their weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// Number of pixels that there are.
    pub from: usize,
    /// For each new pixel, indices and weights of old ones.
    pub taps: Vec<Vec<(usize, f32)>>,
}

/// Resizes an image, each pixel a weighted sum over rows and over columns. Every separable interpolation is one, with
/// any idea of where pixels lie: the usual ones have [`Interpolate`](super::Interpolate), which is faster.
///
/// # Shapes
/// `[N, H, W, C]` → `[N, H', W', C]`.
///
/// Backward keeps nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Resample {
    /// Rows.
    pub rows: Sampling,
    /// Columns.
    pub columns: Sampling,
}

/// The adjoint of [`Resample`]. Operand: `dy`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ResampleBackward {
    /// The resizing.
    pub resample: Resample,
    /// Shape of the input.
    pub shape: Shape,
}

impl Sampling {
    fn check(&self, axis: &str, size: Dim) -> Result<usize, Fault> {
        if size != Dim::Fixed(self.from) {
            let expected = format!("{} pixels on axis {axis}", self.from);
            return Err(Fault::Operand { input: 0, expected, got: size.to_string() });
        }
        match self.taps.iter().flatten().find(|(index, _)| *index >= self.from) {
            Some((index, _)) => {
                Err(Fault::Setting(format!("there is no pixel {index} of {} on axis {axis}", self.from)))
            }
            None => Ok(self.taps.len()),
        }
    }
}

impl Op for Resample {
    fn operands(&self) -> RangeInclusive<usize> {
        1..=1
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        expect_rank(x, 0, 4, "[N, H, W, C]")?;
        let dims = x[0].dims();
        let (height, width) = (self.rows.check("H", dims[1])?, self.columns.check("W", dims[2])?);
        Ok(vec![Shape::new([dims[0], Dim::Fixed(height), Dim::Fixed(width), dims[3]])])
    }

    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault> {
        let (op, [_, height, width, channels]) = (self.clone(), four(&request.operands[0]));
        Ok(Compiled::new(move |k| {
            let x = k.input(0);
            let y = k.output(0);
            let (image, row) = (height * width * channels, op.columns.taps.len() * channels);
            for (y, x) in y.chunks_exact_mut(op.rows.taps.len() * row).zip(x.chunks_exact(image)) {
                for (y, rows) in y.chunks_exact_mut(row).zip(&op.rows.taps) {
                    for (y, columns) in y.chunks_exact_mut(channels).zip(&op.columns.taps) {
                        y.fill(0.0);
                        for ((i, of_row), (j, of_column)) in pairs(rows, columns) {
                            let (weight, x) = (of_row * of_column, &x[(i * width + j) * channels..][..channels]);
                            y.iter_mut().zip(x).for_each(|(y, x)| *y += weight * x);
                        }
                    }
                }
            }
        }))
    }

    fn reach(&self, x: &[&Shape]) -> Reach {
        let sizes = x[0].at(1);
        let span = |sampling: &Sampling| {
            let span = |taps: &Vec<(usize, f32)>| {
                let indices = || taps.iter().map(|(index, _)| *index);
                indices().max().unwrap_or(0) - indices().min().unwrap_or(0) + 1
            };
            sampling.taps.iter().map(span).max().unwrap_or(1)
        };
        let stride = [(sizes[1], &self.rows), (sizes[2], &self.columns)]
            .map(|(from, sampling)| (from / sampling.taps.len().max(1)).max(1));
        Reach::Window { size: [span(&self.rows), span(&self.columns)], stride }
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        let backward = ResampleBackward { resample: self.clone(), shape: g.x(0).shape() };
        vec![Some(Node::call(backward, &[g.dy()]))]
    }
}

/// Every tap of a row with every tap of a column.
fn pairs<'a>(
    rows: &'a [(usize, f32)],
    columns: &'a [(usize, f32)],
) -> impl Iterator<Item = ((usize, f32), (usize, f32))> + 'a {
    rows.iter().flat_map(move |row| columns.iter().map(move |column| (*row, *column)))
}

impl Op for ResampleBackward {
    fn infer(&self, _: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![self.shape.clone()])
    }

    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault> {
        let (op, [_, height, width, channels]) = (self.resample.clone(), four(&request.results[0]));
        Ok(Compiled::new(move |k| {
            let dy = k.input(0);
            let dx = k.output(0);
            dx.fill(0.0);
            let (image, row) = (height * width * channels, op.columns.taps.len() * channels);
            for (dx, dy) in dx.chunks_exact_mut(image).zip(dy.chunks_exact(op.rows.taps.len() * row)) {
                for (dy, rows) in dy.chunks_exact(row).zip(&op.rows.taps) {
                    for (dy, columns) in dy.chunks_exact(channels).zip(&op.columns.taps) {
                        for ((i, of_row), (j, of_column)) in pairs(rows, columns) {
                            let (weight, at) = (of_row * of_column, (i * width + j) * channels);
                            dx[at..][..channels].iter_mut().zip(dy).for_each(|(dx, dy)| *dx += weight * dy);
                        }
                    }
                }
            }
        }))
    }
}

impl Node {
    /// Resizes an image, each pixel a weighted sum over rows and over columns.
    #[track_caller]
    pub fn resampled(&self, rows: Sampling, columns: Sampling) -> Node {
        Node::call(Resample { rows, columns }, &[self])
    }
}
