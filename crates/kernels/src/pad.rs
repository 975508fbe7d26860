//! Padding of images `[N, H, W, C]` beyond their edges, and the adjoint.

#[cfg(test)]
mod tests;

use std::ops::Range;

use ocelli_simd::{InstructionSet, Isa, Kernel, dispatch_on};
use ocelli_tensor::Size;

use crate::Accumulate;
use crate::copy::Block;
use crate::elementwise::chunks::{in_pieces, rows_piece};
use crate::sizes::{LONGEST_AXIS, is_addressable};

/// Contents of the padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum PadMode {
    /// The mirror image, in which the edge is not repeated: `c b | a b c | b a`.
    Reflect,
    /// The edge, repeated: `a a | a b c | c c`.
    Replicate,
    /// Zeros: `0 0 | a b c | 0 0`.
    Zero,
}

/// Settings of a padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct PadSettings {
    /// Contents of the padding.
    pub mode: PadMode,
    /// Rows above.
    pub top: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns to the left.
    pub left: usize,
    /// Columns to the right.
    pub right: usize,
}

/// Error for an image that cannot be padded so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PadError {
    /// The image has too few pixels: a mirror image has one pixel less than the image, and an edge one pixel.
    #[error("{pixels} pixels on axis {axis} cannot be continued by {padding}")]
    TooFew {
        /// `'H'` or `'W'`.
        axis: char,
        /// Size of the image.
        pixels: usize,
        /// Requested padding.
        padding: usize,
    },
    /// A tensor would have more elements than memory has addresses.
    #[error("the padded image overflows the address space")]
    Overflow,
}

/// One axis of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Axis {
    mode: PadMode,
    before: usize,
    size: usize,
    padded: usize,
}

impl Axis {
    fn new(name: char, mode: PadMode, [before, after]: [usize; 2], size: usize) -> Result<Self, PadError> {
        let padding = before.max(after);
        let most = match mode {
            PadMode::Reflect => size.saturating_sub(1),
            PadMode::Replicate if size == 0 => 0,
            PadMode::Replicate | PadMode::Zero => usize::MAX,
        };
        if padding > most {
            return Err(PadError::TooFew { axis: name, pixels: size, padding });
        }
        let padded = (Size::from(size) + before + after).get().filter(|&padded| padded <= LONGEST_AXIS);
        let padded = padded.ok_or(PadError::Overflow)?;
        Ok(Self { mode, before, size, padded })
    }

    /// Returns the pixel at `place` of the padded axis; `None` where that is zero.
    fn source(&self, place: usize) -> Option<usize> {
        let last = self.size.checked_sub(1)?;
        match (self.mode, place.checked_sub(self.before)) {
            (_, Some(inside)) if inside <= last => Some(inside),
            (PadMode::Reflect, Some(after)) => Some(2 * last - after),
            (PadMode::Reflect, None) => Some(self.before - place),
            (PadMode::Replicate, Some(_)) => Some(last),
            (PadMode::Replicate, None) => Some(0),
            (PadMode::Zero, _) => None,
        }
    }

    /// Returns the positions of the padded axis before and after the image.
    fn outside(&self) -> impl Iterator<Item = usize> + use<> {
        (0..self.before).chain(self.before + self.size..self.padded)
    }
}

/// The sizes of a padding, checked once and trusted after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PadGeometry {
    batch: usize,
    rows: Axis,
    columns: Axis,
    channels: usize,
}

impl PadGeometry {
    /// Creates the padding of `input` (`[N, H, W, C]`).
    ///
    /// # Errors
    /// If there are too few pixels, or sizes overflow.
    pub fn new(settings: &PadSettings, [batch, height, width, channels]: [usize; 4]) -> Result<Self, PadError> {
        let PadSettings { mode, top, bottom, left, right } = *settings;
        let rows = Axis::new('H', mode, [top, bottom], height)?;
        let columns = Axis::new('W', mode, [left, right], width)?;
        if !is_addressable([batch, rows.padded, columns.padded, channels]) {
            return Err(PadError::Overflow);
        }
        Ok(Self { batch, rows, columns, channels })
    }

    /// Returns the output's shape, `[N, H', W', C]`.
    pub fn output_shape(&self) -> [usize; 4] {
        [self.batch, self.rows.padded, self.columns.padded, self.channels]
    }

    fn input_row(&self) -> usize {
        self.columns.size * self.channels
    }

    fn output_row(&self) -> usize {
        self.columns.padded * self.channels
    }

    fn assert_fit(&self, input: usize, output: usize) {
        assert_eq!(input, self.batch * self.rows.size * self.input_row(), "the image has the geometry's size");
        assert_eq!(output, self.batch * self.rows.padded * self.output_row(), "so has the padded one");
    }

    /// Returns the elements of the image itself in a row of the padded one.
    fn inside(&self) -> Range<usize> {
        let start = self.columns.before * self.channels;
        start..start + self.input_row()
    }

    /// Returns the elements of a pixel in a row.
    fn pixel(&self, column: usize) -> Range<usize> {
        column * self.channels..(column + 1) * self.channels
    }
}

/// Computes `y`, which is `x` with its padding.
pub fn pad_forward(g: &PadGeometry, x: &[f32], y: &mut [f32]) {
    g.assert_fit(x.len(), y.len());
    let (from, to) = (g.input_row(), g.output_row());
    in_pieces(y, rows_piece(to, to), |start, y| {
        for (i, y) in y.chunks_exact_mut(to).enumerate() {
            let row = start / to + i;
            let Some(source) = g.rows.source(row % g.rows.padded) else {
                y.fill(0.0);
                continue;
            };
            let row = row / g.rows.padded * g.rows.size + source;
            let x = &x[row * from..][..from];
            y[g.inside()].copy_from_slice(x);
            for column in g.columns.outside() {
                let y = &mut y[g.pixel(column)];
                match g.columns.source(column) {
                    Some(source) => y.copy_from_slice(&x[g.pixel(source)]),
                    None => y.fill(0.0),
                }
            }
        }
    });
}

/// Computes each element of `dx` as the sum of the elements of `dy` that show it, row after row.
pub fn pad_backward(g: &PadGeometry, dy: &[f32], dx: &mut [f32]) {
    g.assert_fit(dx.len(), dy.len());
    let set = InstructionSet::current();
    let (to, from) = (g.input_row(), g.output_row());
    in_pieces(dx, rows_piece(to, to), |start, dx| {
        for (i, dx) in dx.chunks_exact_mut(to).enumerate() {
            let (image, row) = ((start / to + i) / g.rows.size, (start / to + i) % g.rows.size);
            let of_row = |place: usize| &dy[(image * g.rows.padded + place) * from..][..from];
            dispatch_on(set, Row { g, dy: of_row(g.rows.before + row), accumulate: Accumulate::Set, dx });
            for place in g.rows.outside().filter(|&place| g.rows.source(place) == Some(row)) {
                dispatch_on(set, Row { g, dy: of_row(place), accumulate: Accumulate::Add, dx });
            }
        }
    });
}

/// Adds the contribution of a row of `dy` to a row of `dx`, or sets it.
struct Row<'a> {
    g: &'a PadGeometry,
    dy: &'a [f32],
    accumulate: Accumulate,
    dx: &'a mut [f32],
}

impl Kernel for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { g, dy, accumulate, dx } = self;
        Block { x: &dy[g.inside()], y: dx, accumulate }.run(isa);
        for column in g.columns.outside() {
            let Some(source) = g.columns.source(column) else { continue };
            let y = &mut dx[g.pixel(source)];
            Block { x: &dy[g.pixel(column)], y, accumulate: Accumulate::Add }.run(isa);
        }
    }
}
