//! A line search that ends at the strong Wolfe conditions: algorithms 3.5 (bracketing) and 3.6 (zoom) of Nocedal and
//! Wright 2006 with the cubic interpolation and the safeguards of Schmidt's minFunc, which PyTorch uses too.

use super::dot;

/// The settings of a search.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    /// c₁, for the decrease of the cost.
    pub(super) decrease: f64,
    /// c₂, for the slope that remains.
    pub(super) curvature: f64,
    /// Largest number of evaluations.
    pub(super) evaluations: usize,
}

/// The line `x + t·direction`, and what is known at `t = 0`.
pub(super) struct Line<'a> {
    pub(super) x: &'a [f32],
    pub(super) direction: &'a [f32],
    pub(super) cost: f64,
    /// The derivative of the cost in `t`, negative.
    pub(super) slope: f64,
    pub(super) gradient: &'a [f32],
}

/// The result of a search.
pub(super) struct Found {
    /// The point with the lowest cost, unless that is the start.
    pub(super) end: Option<End>,
    pub(super) evaluations: usize,
}

/// The point where a search ends.
pub(super) struct End {
    pub(super) x: Vec<f32>,
    pub(super) cost: f64,
    pub(super) gradient: Vec<f32>,
}

/// A point on the line.
#[derive(Clone, Copy, Debug)]
struct Point {
    t: f64,
    cost: f64,
    slope: f64,
}

impl Line<'_> {
    fn at(&self, t: f64, x: &mut [f32]) {
        let moved = |(x, d): (&f32, &f32)| (f64::from(*x) + t * f64::from(*d)) as f32;
        x.iter_mut().zip(self.x.iter().zip(self.direction).map(moved)).for_each(|(x, moved)| *x = moved);
    }

    /// Searches from `t = 1`.
    pub(super) fn search<E>(
        &self,
        settings: &Settings,
        evaluate: &mut impl FnMut(&[f32], &mut [f32]) -> Result<f64, E>,
    ) -> Result<Found, E> {
        let mut x = vec![0.0; self.x.len()];
        // the gradient at the latest point, and at the one with the lowest cost so far
        let (mut latest, mut lowest) = (vec![0.0; self.x.len()], self.gradient.to_vec());
        let mut evaluations = 0;
        let mut visit = |t: f64, gradient: &mut Vec<f32>| -> Result<Point, E> {
            self.at(t, &mut x);
            evaluations += 1;
            let cost = evaluate(&x, gradient)?;
            Ok(match cost.is_finite() {
                true => Point { t, cost, slope: dot(gradient, self.direction) },
                false => Point { t, cost: f64::INFINITY, slope: f64::INFINITY },
            })
        };
        let falls = |point: &Point| point.cost <= self.cost + settings.decrease * point.t * self.slope;
        let is_flat = |point: &Point| point.slope.abs() <= -settings.curvature * self.slope;

        // bracket an interval that holds a point with both conditions
        let start = Point { t: 0.0, cost: self.cost, slope: self.slope };
        let (mut before, mut point) = (start, visit(1.0, &mut latest)?);
        let mut left = settings.evaluations - 1;
        let mut done = false;
        loop {
            if !falls(&point) || (before.t > 0.0 && point.cost >= before.cost) || left == 0 {
                break;
            }
            done = is_flat(&point);
            if done || point.slope >= 0.0 {
                break;
            }
            let (nearest, farthest) = (point.t + 0.01 * (point.t - before.t), 10.0 * point.t);
            let t = minimum_of_cubic(before, point).unwrap_or(farthest).clamp(nearest, farthest);
            std::mem::swap(&mut latest, &mut lowest);
            before = point;
            point = visit(t, &mut latest)?;
            left -= 1;
        }
        let (mut low, mut high) = (before, point);
        if point.cost < before.cost {
            (low, high) = (point, before);
            std::mem::swap(&mut latest, &mut lowest);
        }

        // narrow it
        let mut near_an_end = false;
        while !done && left > 0 {
            let (first, last) = (low.t.min(high.t), low.t.max(high.t));
            // Points that lie closer than this cannot be told apart.
            if last - first <= f64::from(f32::EPSILON) * last {
                break;
            }
            let mut t = minimum_of_cubic(low, high).unwrap_or(0.5 * (first + last)).clamp(first, last);
            let margin = 0.1 * (last - first);
            if (last - t).min(t - first) < margin {
                // A second trial near an end, or one at it, moves inwards.
                if near_an_end || t >= last || t <= first {
                    t = if last - t < t - first { last - margin } else { first + margin };
                    near_an_end = false;
                } else {
                    near_an_end = true;
                }
            } else {
                near_an_end = false;
            }
            point = visit(t, &mut latest)?;
            left -= 1;
            if !falls(&point) || point.cost >= low.cost {
                high = point;
                if high.cost < low.cost {
                    (low, high) = (high, low);
                    std::mem::swap(&mut latest, &mut lowest);
                }
            } else {
                done = is_flat(&point);
                if !done && point.slope * (high.t - low.t) >= 0.0 {
                    high = low;
                }
                low = point;
                std::mem::swap(&mut latest, &mut lowest);
            }
        }
        let mut end = None;
        if low.t > 0.0 && low.cost < self.cost {
            self.at(low.t, &mut x);
            end = Some(End { x, cost: low.cost, gradient: lowest });
        }
        Ok(Found { end, evaluations })
    }
}

/// Returns the minimum of the cubic through two points with their slopes (Nocedal and Wright 2006, equation 3.59), or
/// `None` if it has none.
fn minimum_of_cubic(a: Point, b: Point) -> Option<f64> {
    let (a, b) = if a.t <= b.t { (a, b) } else { (b, a) };
    let d1 = a.slope + b.slope - 3.0 * (a.cost - b.cost) / (a.t - b.t);
    let square = d1 * d1 - a.slope * b.slope;
    if square.is_nan() || square < 0.0 {
        return None;
    }
    let d2 = square.sqrt();
    let t = b.t - (b.t - a.t) * ((b.slope + d2 - d1) / (b.slope - a.slope + 2.0 * d2));
    t.is_finite().then_some(t)
}
