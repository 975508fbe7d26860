//! Values clamped to bounds.

use ocelli_simd::{BinaryFunction, Isa, UnaryFunction};

use super::{Source, map, map2};

/// A lower and an upper bound, both part of the range; infinite where there is none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    low: f32,
    high: f32,
}

impl Bounds {
    /// Creates the bounds from `low` to `high`; `None` if `low` is above `high` or either is NaN.
    pub fn new(low: f32, high: f32) -> Option<Self> {
        (low <= high).then_some(Self { low, high })
    }
}

/// Clamps each element to the bounds: `y[i]` is `x[i]`, or the bound that it is beyond; NaN stays NaN.
pub fn clamp(bounds: Bounds, x: Source<'_>, y: &mut [f32]) {
    map(Clamp(bounds), x, y);
}

/// Computes `dx[i] = dy[i]` where `x[i]` is within the bounds or on one of them, else 0.
pub fn clamp_backward(bounds: Bounds, x: &[f32], dy: Source<'_>, dx: &mut [f32]) {
    map2(Clamp(bounds), dy, x, dx);
}

#[derive(Clone, Copy)]
struct Clamp(Bounds);

impl UnaryFunction for Clamp {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, x: I::Vector) -> I::Vector {
        isa.min(isa.splat(self.0.high), isa.max(isa.splat(self.0.low), x))
    }
}

impl BinaryFunction for Clamp {
    #[inline(always)]
    fn apply<I: Isa>(self, isa: I, dy: I::Vector, x: I::Vector) -> I::Vector {
        let above = isa.less_or_equal(isa.splat(self.0.low), x);
        let below = isa.less_or_equal(x, isa.splat(self.0.high));
        isa.select(isa.mask_and(above, below), dy, isa.zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elementwise::testing::on_every_set;

    #[test]
    fn bounds_belong_to_the_range() {
        let x: Vec<f32> = (0..37).map(|i| i as f32 * 0.25 - 4.5).collect();
        let dy: Vec<f32> = (0..37).map(|i| 1.0 + i as f32).collect();
        for (low, high) in [(-1.0, 2.0), (f32::NEG_INFINITY, 0.5), (-0.5, f32::INFINITY), (1.0, 1.0)] {
            let bounds = Bounds::new(low, high).unwrap();
            let expected: Vec<f32> = x.iter().map(|x| x.clamp(low, high)).collect();
            let gradient = |(x, dy): (&f32, &f32)| if (low..=high).contains(x) { *dy } else { 0.0 };
            let expected_dx: Vec<f32> = x.iter().zip(&dy).map(gradient).collect();
            on_every_set(|set| {
                let (mut y, mut in_place) = (vec![0.0; x.len()], x.clone());
                clamp(bounds, Source::Slice(&x), &mut y);
                clamp(bounds, Source::InPlace, &mut in_place);
                assert_eq!((&y, &in_place), (&expected, &expected), "{set}");
                let (mut dx, mut in_place) = (vec![0.0; x.len()], dy.clone());
                clamp_backward(bounds, &x, Source::Slice(&dy), &mut dx);
                clamp_backward(bounds, &x, Source::InPlace, &mut in_place);
                assert_eq!((&dx, &in_place), (&expected_dx, &expected_dx), "{set}");
            });
        }
    }

    #[test]
    fn nan_stays_and_is_no_bound() {
        on_every_set(|set| {
            let mut y = [f32::NAN];
            clamp(Bounds::new(-1.0, 1.0).unwrap(), Source::InPlace, &mut y);
            assert!(y[0].is_nan(), "{set}");
        });
        assert_eq!([Bounds::new(f32::NAN, 1.0), Bounds::new(0.0, f32::NAN), Bounds::new(1.0, 0.0)], [None; 3]);
    }
}
