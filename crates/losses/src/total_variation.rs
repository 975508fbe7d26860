//! Total variation: how much neighbouring pixels differ.

use ocelli_graph::{Compiled, Dim, Fault, Grads, Node, Op, Request, Shape};
use std::ops::RangeInclusive;

/// The measure of the difference between neighbouring pixels. `a` and `b` are all pairs of neighbours, in each channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variation {
    /// `Σ |a − b|` over rows and columns: the anisotropic total variation, which keeps edges.
    Absolute,
    /// `Σ (a − b)²` over rows and columns (Mahendran and Vedaldi 2015, equation 5 with β = 2).
    Squared,
    /// `⅔ mean (a − b)²` over rows and over columns, and `⅙` of it over each diagonal, of the image padded by its edge: a
    /// stencil of nine points that is the same in all directions (Crowson 2021).
    NinePoints,
}

/// Computes the total variation of images, summed over the samples (of means, for
/// [`NinePoints`](Variation::NinePoints)).
///
/// # Shapes
/// `[N, H, W, C]` → `[]`.
///
/// ```
/// use ocelli_graph::{Model, Tensor};
/// use ocelli_losses::{Variation, total_variation};
/// let model = Model::build(|x| total_variation(x, Variation::Absolute), [1, 3, 1], 0)?;
/// assert_eq!(model.predict(&Tensor::from_vec([1, 1, 3, 1], vec![0.0, 2.0, 1.0])?)?.data(), [3.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[track_caller]
pub fn total_variation(x: &Node, variation: Variation) -> Node {
    Node::call(TotalVariation(variation), &[x])
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct TotalVariation(Variation);

/// Operands: the images, the gradient of the sum.
#[derive(Clone, Copy, Debug, PartialEq)]
struct TotalVariationBackward(Variation);

/// Pairs of pixels in one direction.
#[derive(Clone, Copy)]
struct Direction {
    /// From the first pixel of a pair to the second, in rows and columns.
    offset: [isize; 2],
    weight: f64,
}

impl Variation {
    fn directions(self, [height, width, channels]: [usize; 3]) -> Vec<Direction> {
        let across = |weight| [Direction { offset: [0, 1], weight }, Direction { offset: [1, 0], weight }];
        match self {
            Variation::Absolute | Variation::Squared => across(1.0).to_vec(),
            Variation::NinePoints => {
                let [height, width, channels] = [height, width, channels].map(|size| size as f64);
                // Along rows and columns there are as many pairs as pixels; along diagonals the padding adds some.
                let diagonal = 1.0 / 6.0 / ((height + 1.0) * (width + 1.0) * channels);
                let diagonals = [[1, 1], [1, -1]].map(|offset| Direction { offset, weight: diagonal });
                [across(2.0 / 3.0 / (height * width * channels)), diagonals].concat()
            }
        }
    }

    fn of(self, difference: f64) -> f64 {
        match self {
            Variation::Absolute => difference.abs(),
            Variation::Squared | Variation::NinePoints => difference * difference,
        }
    }

    fn slope(self, difference: f64) -> f64 {
        match self {
            Variation::Absolute if difference == 0.0 => 0.0,
            Variation::Absolute => difference.signum(),
            Variation::Squared | Variation::NinePoints => 2.0 * difference,
        }
    }
}

/// Calls `f` with the places of the first channel of both pixels of every pair, of which pixels beyond the edge are those at
/// it.
fn each_pair(direction: Direction, [height, width, channels]: [usize; 3], mut f: impl FnMut(usize, usize)) {
    let [down, right] = direction.offset;
    let place = |y: isize, x: isize| {
        let (y, x) = (y.clamp(0, height as isize - 1), x.clamp(0, width as isize - 1));
        (y as usize * width + x as usize) * channels
    };
    // Along a diagonal, a pair may have one pixel or both in the padding and still two different ones of the image.
    let is_diagonal = down != 0 && right != 0;
    let first_row = if is_diagonal { -1 } else { 0 };
    let columns = match right {
        1 if is_diagonal => -1..width as isize,
        -1 => 0..width as isize + 1,
        _ => 0..width as isize,
    };
    for y in first_row..height as isize {
        for x in columns.clone() {
            let (a, b) = (place(y, x), place(y + down, x + right));
            if a != b {
                f(a, b);
            }
        }
    }
}

impl Op for TotalVariation {
    fn operands(&self) -> RangeInclusive<usize> {
        1..=1
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        match x[0].dims() {
            [_, Dim::Fixed(_), Dim::Fixed(_), Dim::Fixed(_)] => Ok(vec![Shape::default()]),
            _ => Err(Fault::Rank { input: 0, expected: "[N, H, W, C]" }),
        }
    }

    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault> {
        let (variation, sizes) = (self.0, sizes(&request.operands[0]));
        Ok(Compiled::new(move |k| {
            let mut sum = 0.0;
            for image in k.input(0).chunks_exact(sizes.iter().product()) {
                for direction in variation.directions(sizes) {
                    let mut total = 0.0;
                    each_pair(direction, sizes, |a, b| {
                        for channel in 0..sizes[2] {
                            total += variation.of(f64::from(image[a + channel]) - f64::from(image[b + channel]));
                        }
                    });
                    sum += direction.weight * total;
                }
            }
            k.output(0)[0] = sum as f32;
        }))
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        vec![g.want(0, || Node::call(TotalVariationBackward(self.0), &[g.x(0), g.dy()]))]
    }
}

impl Op for TotalVariationBackward {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![x[0].clone()])
    }

    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault> {
        let (variation, sizes) = (self.0, sizes(&request.operands[0]));
        Ok(Compiled::new(move |k| {
            let (x, dy) = (k.input(0), f64::from(k.input(1)[0]));
            let dx = k.output(0);
            dx.fill(0.0);
            let elements = sizes.iter().product();
            for (image, dx) in x.chunks_exact(elements).zip(dx.chunks_exact_mut(elements)) {
                for direction in variation.directions(sizes) {
                    each_pair(direction, sizes, |a, b| {
                        for channel in 0..sizes[2] {
                            let (a, b) = (a + channel, b + channel);
                            let slope = variation.slope(f64::from(image[a]) - f64::from(image[b]));
                            let change = (dy * direction.weight * slope) as f32;
                            dx[a] += change;
                            dx[b] -= change;
                        }
                    });
                }
            }
        }))
    }
}

fn sizes(operand: &[usize]) -> [usize; 3] {
    operand[1..].try_into().expect("the shape rule has counted four axes")
}
