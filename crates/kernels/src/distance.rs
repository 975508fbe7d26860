//! Squared distances of one point from many, as a search for the nearest takes them.

use ocelli_simd::{Isa, Kernel, dispatch};

/// Points whose sums are under way at once: each sum waits for its last addition.
const POINTS: usize = 4;

/// Elements from what is read to what is fetched meanwhile. (From memory a search of 51 MB took 2.6 ms with it, 2.9 without,
/// and as long for a quarter and for four times as many; from a cache 1.1 ms either way.)
const AHEAD: usize = 1 << 13;

/// Computes `distances[i] = ‖x − points[i]‖²`, on the calling thread. Equal points have equal distances, wherever they
/// stand.
///
/// # Shapes
/// `x: [features]`, `points: [N, features]`, `distances: [N]`
///
/// # Panics
/// If the lengths do not agree.
pub fn squared_distances(x: &[f32], points: &[f32], distances: &mut [f32]) {
    assert_eq!(points.len(), x.len() * distances.len(), "a distance for each point of {} features", x.len());
    if x.is_empty() {
        return distances.fill(0.0);
    }
    dispatch(SquaredDistances { x, points, distances });
}

struct SquaredDistances<'a> {
    x: &'a [f32],
    points: &'a [f32],
    distances: &'a mut [f32],
}

impl Kernel for SquaredDistances<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { x, points, distances } = self;
        let mut groups = points.chunks_exact(POINTS * x.len());
        let mut places = distances.chunks_exact_mut(POINTS);
        for (group, place) in (&mut groups).zip(&mut places) {
            place.copy_from_slice(&distances_of::<I, POINTS>(isa, x, group));
        }
        for (point, place) in groups.remainder().chunks_exact(x.len()).zip(places.into_remainder()) {
            [*place] = distances_of::<I, 1>(isa, x, point);
        }
    }
}

/// Computes the squared distances of `N` points. Each has the bits that it would have alone.
#[inline(always)]
fn distances_of<I: Isa, const N: usize>(isa: I, x: &[f32], points: &[f32]) -> [f32; N] {
    let points: [&[f32]; N] = std::array::from_fn(|i| &points[i * x.len()..][..x.len()]);
    let mut sums = [isa.zero(); N];
    let whole = x.len() - x.len() % I::LANES;
    for at in (0..whole).step_by(I::LANES) {
        let x = isa.load(&x[at..whole]);
        for (sum, point) in sums.iter_mut().zip(points) {
            isa.prefetch_second_level(point.as_ptr().wrapping_add(at + AHEAD));
            let difference = isa.sub(x, isa.load(&point[at..whole]));
            *sum = isa.mul_add(difference, difference, *sum);
        }
    }
    if whole < x.len() {
        let x = isa.load_partial(&x[whole..]);
        for (sum, point) in sums.iter_mut().zip(points) {
            let difference = isa.sub(x, isa.load_partial(&point[whole..]));
            *sum = isa.mul_add(difference, difference, *sum);
        }
    }
    let mut distances = [0.0; N];
    for (distance, sum) in distances.iter_mut().zip(sums) {
        *distance = isa.sum(sum);
    }
    distances
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elementwise::testing::{assert_near, numbers, on_every_set};

    #[test]
    fn distances_are_those_of_the_definition_on_every_set() {
        on_every_set(|set| {
            for features in [0, 1, 7, 16, 33, 128] {
                for count in [0, 1, 3, 4, 9] {
                    let (x, points) = (numbers(features, 1), numbers(features * count, 2));
                    let mut distances = vec![f32::NAN; count];
                    squared_distances(&x, &points, &mut distances);
                    for (i, distance) in distances.iter().enumerate() {
                        let point = &points[i * features..][..features];
                        let squares = x.iter().zip(point).map(|(x, y)| (f64::from(*x) - f64::from(*y)).powi(2));
                        assert_near(*distance, squares.sum(), 1e-3, (set, features, count, i));
                    }
                }
            }
        });
    }

    #[test]
    fn equal_points_have_equal_distances_wherever_they_stand() {
        on_every_set(|set| {
            let (x, point) = (numbers(37, 1), numbers(37, 2));
            let mut distances = [0.0; 2 * POINTS + 3];
            squared_distances(&x, &point.repeat(distances.len()), &mut distances);
            assert_eq!(distances, [distances[0]; 2 * POINTS + 3], "{set}");
        });
    }
}
