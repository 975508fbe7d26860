//! Broadcasting against one element at a time.

use proptest::prelude::*;

use super::*;
use crate::elementwise::testing::{assert_same_bits_on_any_threads, numbers, on_every_set};

const ALL: [Binary; 4] = [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div];

fn one(op: Binary, a: f32, b: f32) -> f32 {
    match op {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div => a / b,
    }
}

/// Returns the index of the operand's element that meets element `i` of the output.
fn index(dims: &[usize], shape: &[usize], mut i: usize) -> usize {
    let (mut offset, mut stride) = (0, 1);
    for back in 1..=dims.len() {
        let size = dims[dims.len() - back];
        let here = i % size;
        i /= size;
        if let Some(axis) = shape.len().checked_sub(back) {
            offset += if shape[axis] == 1 { 0 } else { here * stride };
            stride *= shape[axis];
        }
    }
    offset
}

fn check(a_shape: &[usize], b_shape: &[usize]) {
    let g = Broadcast::new(a_shape, b_shape).expect("the shapes combine");
    let a = numbers(a_shape.iter().product(), 1);
    let b = numbers(b_shape.iter().product(), 2);
    on_every_set(|set| {
        for op in ALL {
            let expected: Vec<f32> = (0..g.length())
                .map(|i| one(op, a[index(g.dims(), a_shape, i)], b[index(g.dims(), b_shape, i)]))
                .collect();
            let run = |a: Source<'_>, b: Source<'_>, before: &[f32]| {
                let mut y = before.to_vec();
                binary(op, &g, a, b, &mut y);
                y
            };
            let place = (set, op, a_shape, b_shape);
            let fresh = vec![f32::NAN; g.length()];
            assert_eq!(run(Source::Slice(&a), Source::Slice(&b), &fresh), expected, "{place:?}");
            if a_shape == g.dims() {
                assert_eq!(run(Source::InPlace, Source::Slice(&b), &a), expected, "{place:?} on a");
            }
            if b_shape == g.dims() {
                assert_eq!(run(Source::Slice(&a), Source::InPlace, &b), expected, "{place:?} on b");
            }
            if a_shape == g.dims() && b_shape == g.dims() {
                let twice: Vec<f32> = a.iter().map(|&a| one(op, a, a)).collect();
                assert_eq!(run(Source::InPlace, Source::InPlace, &a), twice, "{place:?} twice");
            }
        }
    });
}

#[test]
fn named_shapes() {
    for (a, b) in [
        (&[2, 3, 4, 5][..], &[2, 3, 4, 5][..]),
        (&[2, 3, 4, 5], &[5]),
        (&[2, 3, 4, 5], &[4, 5]),
        (&[2, 3, 4, 5], &[3, 4, 5]),
        (&[2, 3, 4, 5], &[1]),
        (&[2, 3, 4, 5], &[]),
        (&[2, 3, 4, 5], &[2, 1, 1, 5]),
        (&[2, 3, 4, 5], &[2, 3, 4, 1]),
        (&[2, 3, 4, 5], &[2, 1, 1, 1]),
        (&[5], &[2, 3, 4, 5]),
        (&[2, 1, 4, 1], &[3, 1, 70]),
        (&[1, 3, 1, 2, 1, 4], &[5, 1, 2, 1, 3, 1]),
        (&[7, 1], &[1, 9]),
        (&[40, 33], &[33]),
        (&[100, 1], &[100, 1]),
        (&[], &[]),
        (&[0, 3], &[3]),
        (&[3, 0], &[3, 1]),
    ] {
        check(a, b);
    }
}

#[test]
fn shapes_that_do_not_combine() {
    assert_eq!(Broadcast::new(&[2, 3], &[2]), None);
    assert_eq!(Broadcast::new(&[4], &[0]), None);
    assert_eq!(Broadcast::new(&[1; 7], &[1]), None);
}

proptest! {
    #[test]
    fn drawn_shapes(axes in prop::collection::vec((1_usize..6, 0_usize..3), 0..=6), cut in 0_usize..6) {
        let side = |which| axes.iter().map(|&(size, one)| if one == which { 1 } else { size }).collect::<Vec<_>>();
        let (a, b) = (side(1), side(2));
        // Leading axes of 1 may be left out.
        let leading = b.iter().take_while(|&&size| size == 1).count().min(cut);
        check(&a, &b[leading..]);
    }
}

#[test]
fn pieces_are_put_together_right() {
    for (a_shape, b_shape) in
        [(&[500, 400][..], &[400][..]), (&[200_000], &[1]), (&[7000, 30], &[30]), (&[3, 1, 70_000], &[3, 2, 1])]
    {
        let g = Broadcast::new(a_shape, b_shape).expect("the shapes combine");
        let a = numbers(a_shape.iter().product(), 1);
        let b = numbers(b_shape.iter().product(), 2);
        let mut y = vec![0.0; g.length()];
        binary(Binary::Sub, &g, Source::Slice(&a), Source::Slice(&b), &mut y);
        for (i, &y) in y.iter().enumerate() {
            assert_eq!(y, a[index(g.dims(), a_shape, i)] - b[index(g.dims(), b_shape, i)], "{a_shape:?} {i}");
        }
        assert_same_bits_on_any_threads(y.len(), &|y| {
            binary(Binary::Div, &g, Source::Slice(&a), Source::Slice(&b), y);
        });
    }
}
