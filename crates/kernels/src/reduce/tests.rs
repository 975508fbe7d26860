//! Sums against `f64`, and their adjoint.

use proptest::prelude::*;

use super::*;
use crate::elementwise::testing::{assert_near, assert_same_bits_on_any_threads, dot, numbers, on_every_set};

/// Returns the index in the result that element `i` of the full tensor is added to.
fn target(dims: &[usize], summed: &[usize], mut i: usize) -> usize {
    let (mut offset, mut stride) = (0, 1);
    for axis in (0..dims.len()).rev() {
        let here = i % dims[axis];
        i /= dims[axis];
        if !summed.contains(&axis) {
            offset += here * stride;
            stride *= dims[axis];
        }
    }
    offset
}

fn check(dims: &[usize], summed: &[usize]) {
    let g = Reduction::new(dims, summed).expect("the axes are the shape's");
    let x = numbers(g.length(), 1);
    let before = numbers(g.reduced_length(), 2);
    let mut exact = vec![0.0; g.reduced_length()];
    let mut sizes = vec![0.0; g.reduced_length()];
    for (i, &x) in x.iter().enumerate() {
        exact[target(dims, summed, i)] += f64::from(x);
        sizes[target(dims, summed, i)] += f64::from(x.abs());
    }
    on_every_set(|set| {
        for accumulate in [Accumulate::Set, Accumulate::Add] {
            let mut y = before.clone();
            sum(&g, &x, &mut y, 0.5, accumulate);
            for i in 0..y.len() {
                let start = if accumulate == Accumulate::Add { f64::from(before[i]) } else { 0.0 };
                let tolerance = 1e-6 * (sizes[i] + start.abs());
                assert_near(y[i], start + 0.5 * exact[i], tolerance, (set, dims, summed, i));
            }
            let mut full = x.clone();
            spread(&g, &before, &mut full, -3.0, accumulate);
            for i in 0..full.len() {
                let start = if accumulate == Accumulate::Add { f64::from(x[i]) } else { 0.0 };
                let expected = start - 3.0 * f64::from(before[target(dims, summed, i)]);
                assert_near(full[i], expected, 1e-6 * (1.0 + expected.abs()), (set, dims, summed, i));
            }
        }
        // ⟨before, sum(x)⟩ = ⟨spread(before), x⟩
        let mut y = before.clone();
        sum(&g, &x, &mut y, 2.0, Accumulate::Set);
        let mut full = x.clone();
        spread(&g, &before, &mut full, 2.0, Accumulate::Set);
        let tolerance = 1e-5 * (1.0 + sizes.iter().sum::<f64>());
        assert!((dot(&before, &y) - dot(&full, &x)).abs() <= tolerance, "{set} {dims:?} {summed:?}");
    });
}

#[test]
fn named_reductions() {
    for (dims, summed) in [
        (&[2, 3, 4, 5][..], &[0, 1, 2][..]),
        (&[2, 3, 4, 5], &[1, 2]),
        (&[2, 3, 4, 5], &[3]),
        (&[2, 3, 4, 5], &[0, 1, 2, 3]),
        (&[2, 3, 4, 5], &[]),
        (&[2, 3, 4, 5], &[0, 2]),
        (&[2, 3, 4, 5], &[1, 3]),
        (&[3, 4, 2, 3, 5, 2], &[0, 2, 4]),
        (&[3, 4, 2, 3, 5, 2], &[1, 3, 5]),
        (&[1000, 1], &[0]),
        (&[300, 64], &[0]),
        (&[300, 65], &[0]),
        (&[300, 200], &[0]),
        (&[3, 5000], &[1]),
        (&[], &[]),
        (&[1, 1], &[0]),
        (&[0, 3], &[0]),
        (&[3, 0], &[0]),
    ] {
        check(dims, summed);
    }
}

/// Widths around those of vectors and of folded rows.
#[test]
fn every_width_of_a_table() {
    for columns in (1..70).chain([127, 128, 129]) {
        check(&[135, columns], &[0]);
        check(&[5, columns], &[1]);
    }
}

proptest! {
    #[test]
    fn drawn_reductions(dims in prop::collection::vec(1_usize..7, 0..=6), choice: u8) {
        let summed: Vec<usize> = (0..dims.len()).filter(|axis| choice >> axis & 1 == 1).collect();
        check(&dims, &summed);
    }
}

#[test]
fn axes_that_are_not_there() {
    assert_eq!(Reduction::new(&[2, 3], &[2]), None);
    assert_eq!(Reduction::new(&[1; 7], &[]), None);
}

/// A long sum of positive terms, where errors add up.
#[test]
fn millions_of_terms_stay_accurate() {
    let x: Vec<f32> = numbers(3_000_000, 5).into_iter().map(f32::abs).collect();
    for (dims, summed) in
        [(&[3_000_000][..], &[0][..]), (&[1_000_000, 3], &[0]), (&[46_875, 64], &[0]), (&[2, 1_500_000], &[1])]
    {
        let g = Reduction::new(dims, summed).expect("the axes are the shape's");
        let mut exact = vec![0.0; g.reduced_length()];
        for (i, &x) in x.iter().enumerate() {
            exact[target(dims, summed, i)] += f64::from(x);
        }
        on_every_set(|set| {
            let mut y = vec![0.0; g.reduced_length()];
            sum(&g, &x, &mut y, 1.0, Accumulate::Set);
            for (&y, &exact) in y.iter().zip(&exact) {
                assert_near(y, exact, 3e-7 * exact, (set, dims));
            }
        });
        assert_same_bits_on_any_threads(g.reduced_length(), &|y| sum(&g, &x, y, 0.3, Accumulate::Add));
    }
}

#[test]
fn large_sums_over_several_axes() {
    for (dims, summed) in [
        (&[40, 50, 60, 3][..], &[1, 2][..]),
        (&[8, 40, 8, 64], &[0, 2]),
        (&[300, 7, 100], &[0, 2]),
        (&[64, 900, 5], &[1]),
    ] {
        check(dims, summed);
        let g = Reduction::new(dims, summed).expect("the axes are the shape's");
        let x = numbers(g.length(), 1);
        assert_same_bits_on_any_threads(g.reduced_length(), &|y| sum(&g, &x, y, 1.0, Accumulate::Set));
        let small = numbers(g.reduced_length(), 4);
        assert_same_bits_on_any_threads(g.length(), &|y| spread(&g, &small, y, 1.0, Accumulate::Add));
    }
}

#[test]
fn scratch_memory_is_what_was_promised() {
    for (dims, summed) in [
        (&[2, 3, 5, 7][..], &[0, 1, 2][..]),
        (&[8, 20, 20, 64], &[0, 1, 2]),
        (&[8, 20, 20, 64], &[1, 2]),
        (&[300, 5000], &[0]),
        (&[300_000], &[0]),
        (&[300_000], &[]),
    ] {
        let g = Reduction::new(dims, summed).expect("the axes are the shape's");
        let (x, mut y) = (numbers(g.length(), 1), vec![0.0; g.reduced_length()]);
        let taken = crate::scratch::recorder::taken(|| sum(&g, &x, &mut y, 1.0, Accumulate::Set));
        assert_eq!(taken, g.scratch(), "{dims:?} over {summed:?}");
    }
}
