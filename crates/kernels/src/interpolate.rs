//! Interpolation of images `[N, H, W, C]` to another size, by the nearest pixel or between pixels, and the adjoint.
//!
//! A pixel is a square whose position is its centre, and both images cover the same area: `align_corners=False` in
//! PyTorch. So pixel `p` of `to` is at `(p + ½)·from/to − ½` of the input's pixels; positions beyond the outermost
//! centres are moved to these.

use std::ops::Range;

use ocelli_simd::{InstructionSet, Isa, Kernel, dispatch_on};
use ocelli_tensor::{Size, element_count};

use crate::Accumulate;
use crate::copy::Block;
use crate::elementwise::chunks::{in_pieces, rows_piece};

/// Method of interpolation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Interpolation {
    /// The pixel `⌊p·from/to⌋` in each direction.
    Nearest,
    /// The four pixels around it, each weighted by how near it is. A smaller image is made of the pixels around each
    /// position alone: others are not averaged in.
    Bilinear,
}

/// Error for sizes between which an image cannot be interpolated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InterpolationError {
    /// The input or the output has no pixels.
    #[error("{from} pixels on axis {axis} cannot become {to}")]
    NoPixels {
        /// `'H'` or `'W'`.
        axis: char,
        /// Size of the input.
        from: usize,
        /// Requested size.
        to: usize,
    },
    /// A tensor would have more elements than memory has addresses.
    #[error("an image of {height} by {width} pixels overflows the address space")]
    Overflow {
        /// Rows of pixels.
        height: usize,
        /// Columns of pixels.
        width: usize,
    },
}

/// One axis of both images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Axis {
    interpolation: Interpolation,
    from: usize,
    to: usize,
}

/// The two pixels between which a position is, and its distance from the first.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Between {
    low: usize,
    high: usize,
    fraction: f32,
}

impl Between {
    /// Returns the weight of pixel `i`, which is one of the two.
    fn weight(&self, i: usize) -> f32 {
        if i == self.low { 1.0 - self.fraction } else { self.fraction }
    }
}

impl Axis {
    fn between(&self, place: usize) -> Between {
        let last = self.from - 1;
        match self.interpolation {
            // No larger than `from·to`, which was checked.
            Interpolation::Nearest => {
                let low = place * self.from / self.to;
                Between { low, high: low, fraction: 0.0 }
            }
            Interpolation::Bilinear => {
                let place = (place as f64 + 0.5) * (self.from as f64 / self.to as f64) - 0.5;
                let low = (place.max(0.0) as usize).min(last);
                let fraction = if low < last { (place.max(0.0) - low as f64) as f32 } else { 0.0 };
                Between { low, high: (low + 1).min(last), fraction }
            }
        }
    }

    /// Returns the first position for which `f` is true, if it is true from some position on.
    fn first(&self, f: impl Fn(Between) -> bool) -> usize {
        let (mut low, mut high) = (0, self.to);
        while low < high {
            let middle = low + (high - low) / 2;
            if f(self.between(middle)) { high = middle } else { low = middle + 1 }
        }
        low
    }

    /// Returns the positions that read pixel `i`: pixels do not go back from position to position.
    fn readers(&self, i: usize) -> Range<usize> {
        self.first(|between| between.high >= i)..self.first(|between| between.low > i)
    }
}

/// The sizes of an interpolation, checked once and trusted after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterpolationGeometry {
    batch: usize,
    rows: Axis,
    columns: Axis,
    channels: usize,
}

impl InterpolationGeometry {
    /// Creates the interpolation of `input` (`[N, H, W, C]`) to `[height, width]`.
    ///
    /// # Errors
    /// If there are no pixels, or none are requested, or sizes overflow.
    pub fn new(
        interpolation: Interpolation,
        [batch, from_h, from_w, channels]: [usize; 4],
        [height, width]: [usize; 2],
    ) -> Result<Self, InterpolationError> {
        for (axis, from, to) in [('H', from_h, height), ('W', from_w, width)] {
            if from == 0 || to == 0 {
                return Err(InterpolationError::NoPixels { axis, from, to });
            }
        }
        let products = [Size::from(from_h) * height, Size::from(from_w) * width];
        let fits = element_count(&[batch, height, width, channels]).is_some();
        if !fits || products.iter().any(|product| product.get().is_none()) {
            return Err(InterpolationError::Overflow { height, width });
        }
        let rows = Axis { interpolation, from: from_h, to: height };
        let columns = Axis { interpolation, from: from_w, to: width };
        Ok(Self { batch, rows, columns, channels })
    }

    /// Returns the output's shape, `[N, H', W', C]`.
    pub fn output_shape(&self) -> [usize; 4] {
        [self.batch, self.rows.to, self.columns.to, self.channels]
    }

    fn input_row(&self) -> usize {
        self.columns.from * self.channels
    }

    fn output_row(&self) -> usize {
        self.columns.to * self.channels
    }

    fn assert_fit(&self, input: usize, output: usize) {
        assert_eq!(input, self.batch * self.rows.from * self.input_row(), "the image has the geometry's size");
        assert_eq!(output, self.batch * self.rows.to * self.output_row(), "so has the interpolated one");
    }

    /// Returns the elements of a pixel in a row.
    fn pixel(&self, column: usize) -> Range<usize> {
        column * self.channels..(column + 1) * self.channels
    }
}

/// Computes `y`, which is `x` at another size.
pub fn interpolate_forward(g: &InterpolationGeometry, x: &[f32], y: &mut [f32]) {
    g.assert_fit(x.len(), y.len());
    let set = InstructionSet::current();
    let (from, to) = (g.input_row(), g.output_row());
    if to == 0 {
        return;
    }
    in_pieces(y, rows_piece(to, 4 * to), |start, y| {
        for (i, y) in y.chunks_exact_mut(to).enumerate() {
            let (image, place) = ((start / to + i) / g.rows.to, (start / to + i) % g.rows.to);
            let Between { low, high, fraction } = g.rows.between(place);
            let row = |row: usize| &x[(image * g.rows.from + row) * from..][..from];
            match g.rows.interpolation {
                Interpolation::Nearest => copy_row(g, row(low), y),
                Interpolation::Bilinear => {
                    dispatch_on(set, Row { g, x: [row(low), row(high)], fraction, y });
                }
            }
        }
    });
}

fn copy_row(g: &InterpolationGeometry, x: &[f32], y: &mut [f32]) {
    for (column, y) in y.chunks_exact_mut(g.channels).enumerate() {
        y.copy_from_slice(&x[g.pixel(g.columns.between(column).low)]);
    }
}

/// Computes a row between two rows.
struct Row<'a> {
    g: &'a InterpolationGeometry,
    x: [&'a [f32]; 2],
    fraction: f32,
    y: &'a mut [f32],
}

impl Kernel for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { g, x, fraction, y } = self;
        for (column, y) in y.chunks_exact_mut(g.channels).enumerate() {
            let Between { low, high, fraction: across } = g.columns.between(column);
            let corners = [&x[0][g.pixel(low)], &x[0][g.pixel(high)], &x[1][g.pixel(low)], &x[1][g.pixel(high)]];
            let (across, down) = (isa.splat(across), isa.splat(fraction));
            for (block, y) in y.chunks_mut(I::LANES).enumerate() {
                let load = |corner: usize| isa.load_partial(&corners[corner][block * I::LANES..]);
                let above = mix(isa, load(0), load(1), across);
                let below = mix(isa, load(2), load(3), across);
                isa.store_partial(mix(isa, above, below, down), y);
            }
        }
    }
}

/// Returns `a + fraction·(b − a)`.
#[inline(always)]
fn mix<I: Isa>(isa: I, a: I::Vector, b: I::Vector, fraction: I::Vector) -> I::Vector {
    isa.mul_add(fraction, isa.sub(b, a), a)
}

/// Sets each element of `dx` to (or adds to it) the weighted sum of the elements of `dy` that were made of it, row
/// after row.
pub fn interpolate_backward(g: &InterpolationGeometry, dy: &[f32], dx: &mut [f32], accumulate: Accumulate) {
    g.assert_fit(dx.len(), dy.len());
    let set = InstructionSet::current();
    let (to, from) = (g.input_row(), g.output_row());
    if to == 0 {
        return;
    }
    in_pieces(dx, rows_piece(to, 4 * to.max(from)), |start, dx| {
        for (i, dx) in dx.chunks_exact_mut(to).enumerate() {
            let (image, row) = ((start / to + i) / g.rows.from, (start / to + i) % g.rows.from);
            if accumulate == Accumulate::Set {
                dx.fill(0.0);
            }
            for place in g.rows.readers(row) {
                let weight = g.rows.between(place).weight(row);
                let dy = &dy[(image * g.rows.to + place) * from..][..from];
                dispatch_on(set, RowBackward { g, dy, weight, dx });
            }
        }
    });
}

/// Adds the contribution of a row of `dy` to a row of `dx`.
struct RowBackward<'a> {
    g: &'a InterpolationGeometry,
    dy: &'a [f32],
    weight: f32,
    dx: &'a mut [f32],
}

impl Kernel for RowBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { g, dy, weight, dx } = self;
        for (column, dy) in dy.chunks_exact(g.channels).enumerate() {
            let Between { low, high, fraction } = g.columns.between(column);
            if g.rows.interpolation == Interpolation::Nearest {
                Block { x: dy, y: &mut dx[g.pixel(low)], accumulate: Accumulate::Add }.run(isa);
                continue;
            }
            add_weighted(isa, weight * (1.0 - fraction), dy, &mut dx[g.pixel(low)]);
            if high != low {
                add_weighted(isa, weight * fraction, dy, &mut dx[g.pixel(high)]);
            }
        }
    }
}

/// Computes `y += weight·x`.
#[inline(always)]
fn add_weighted<I: Isa>(isa: I, weight: f32, x: &[f32], y: &mut [f32]) {
    let weight = isa.splat(weight);
    for (x, y) in x.chunks(I::LANES).zip(y.chunks_mut(I::LANES)) {
        isa.store_partial(isa.mul_add(weight, isa.load_partial(x), isa.load_partial(y)), y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elementwise::testing::{assert_near, assert_same_bits_on_any_threads, dot, numbers, on_every_set};
    use proptest::prelude::*;

    /// Computes the definition, in `f64`.
    fn naive(interpolation: Interpolation, x: &[f32], from: [usize; 4], [height, width]: [usize; 2]) -> Vec<f64> {
        let [batch, from_h, from_w, channels] = from;
        let around = |place: usize, from: usize, to: usize| match interpolation {
            Interpolation::Nearest => vec![(place * from / to, 1.0)],
            Interpolation::Bilinear => {
                let centre = ((place as f64 + 0.5) * from as f64 / to as f64 - 0.5).clamp(0.0, (from - 1) as f64);
                let pixels = (0..from).map(|i| (i, 1.0 - (centre - i as f64).abs()));
                pixels.filter(|(_, weight)| *weight > 0.0).collect()
            }
        };
        let mut y = Vec::new();
        for (n, row, column, channel) in (0..batch).flat_map(|n| {
            (0..height).flat_map(move |h| (0..width).flat_map(move |w| (0..channels).map(move |c| (n, h, w, c))))
        }) {
            let mut sum = 0.0;
            for (i, down) in around(row, from_h, height) {
                for (j, across) in around(column, from_w, width) {
                    sum += down * across * f64::from(x[((n * from_h + i) * from_w + j) * channels + channel]);
                }
            }
            y.push(sum);
        }
        y
    }

    fn check(interpolation: Interpolation, from: [usize; 4], to: [usize; 2]) {
        let g = InterpolationGeometry::new(interpolation, from, to).unwrap();
        let length = g.output_shape().iter().product();
        let (x, dy) = (numbers(from.iter().product(), 1), numbers(length, 2));
        let expected = naive(interpolation, &x, from, to);
        on_every_set(|set| {
            let mut y = vec![f32::NAN; length];
            interpolate_forward(&g, &x, &mut y);
            let place = (set, interpolation, from, to);
            y.iter().zip(&expected).for_each(|(y, expected)| assert_near(*y, *expected, 1e-5, place));
            // The adjoint: ⟨dy, f(x)⟩ = ⟨dx, x⟩.
            let mut dx = vec![f32::NAN; x.len()];
            interpolate_backward(&g, &dy, &mut dx, Accumulate::Set);
            assert_near(dot(&dy, &y) as f32, dot(&dx, &x), 1e-5 * (length as f64 + 10.0), place);
            let mut added = x.clone();
            interpolate_backward(&g, &dy, &mut added, Accumulate::Add);
            let sums = added.iter().zip(&dx).zip(&x);
            sums.for_each(|((sum, dx), x)| assert_near(*sum, f64::from(dx + x), 1e-4, place));
        });
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn drawn_sizes(
            nearest: bool, batch in 1usize..3, from in [1usize..7, 1usize..7], channels in 1usize..20, to in [1usize..15, 1usize..15]
        ) {
            let interpolation = if nearest { Interpolation::Nearest } else { Interpolation::Bilinear };
            check(interpolation, [batch, from[0], from[1], channels], to);
        }
    }

    /// Checks the result of `torch.nn.functional.interpolate` for `[[0, 1], [2, 3]]`.
    #[test]
    fn twice_the_size_as_pytorch_has_it() {
        let twice = |interpolation| {
            let g = InterpolationGeometry::new(interpolation, [1, 2, 2, 1], [4, 4]).unwrap();
            let mut y = [0.0; 16];
            interpolate_forward(&g, &[0.0, 1.0, 2.0, 3.0], &mut y);
            y
        };
        let bilinear = [[0.0, 0.25, 0.75, 1.0], [0.5, 0.75, 1.25, 1.5], [1.5, 1.75, 2.25, 2.5], [2.0, 2.25, 2.75, 3.0]];
        assert_eq!(twice(Interpolation::Bilinear), bilinear.concat()[..]);
        let nearest = [[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0], [2.0, 2.0, 3.0, 3.0], [2.0, 2.0, 3.0, 3.0]];
        assert_eq!(twice(Interpolation::Nearest), nearest.concat()[..]);
    }

    #[test]
    fn sizes_that_no_image_has_are_refused() {
        let error = |from, to| InterpolationGeometry::new(Interpolation::Nearest, from, to).unwrap_err().to_string();
        assert_eq!(error([1, 0, 2, 3], [4, 4]), "0 pixels on axis H cannot become 4");
        assert_eq!(error([1, 2, 2, 3], [4, 0]), "2 pixels on axis W cannot become 0");
        let most = usize::MAX;
        let sentence = format!("an image of {most} by 2 pixels overflows the address space");
        assert_eq!(error([1, 1, 1, 1], [most, 2]), sentence);
        assert_eq!(error([1, 2, 2, 0], [most, 2]), sentence);
    }

    #[test]
    fn large_images_have_the_same_bits_on_any_threads() {
        let g = InterpolationGeometry::new(Interpolation::Bilinear, [2, 40, 50, 9], [120, 100]).unwrap();
        let (x, dy) = (numbers(2 * 40 * 50 * 9, 1), numbers(2 * 120 * 100 * 9, 2));
        assert_same_bits_on_any_threads(dy.len(), &|y| interpolate_forward(&g, &x, y));
        assert_same_bits_on_any_threads(x.len(), &|dx| interpolate_backward(&g, &dy, dx, Accumulate::Set));
    }
}
