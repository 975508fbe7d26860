//! Padding against its definition, and the adjoint against the forward pass.

use super::*;
use crate::elementwise::testing::{assert_near, assert_same_bits_on_any_threads, dot, numbers, on_every_set};

const MODES: [PadMode; 3] = [PadMode::Reflect, PadMode::Replicate, PadMode::Zero];

fn settings(mode: PadMode, [top, bottom, left, right]: [usize; 4]) -> PadSettings {
    PadSettings { mode, top, bottom, left, right }
}

fn row(mode: PadMode, left: usize, right: usize) -> Vec<f32> {
    let g = PadGeometry::new(&settings(mode, [0, 0, left, right]), [1, 1, 3, 1]).unwrap();
    let mut y = vec![0.0; 3 + left + right];
    pad_forward(&g, &[1.0, 2.0, 3.0], &mut y);
    y
}

#[test]
fn rows_are_continued() {
    assert_eq!(row(PadMode::Reflect, 2, 1), [3.0, 2.0, 1.0, 2.0, 3.0, 2.0]);
    assert_eq!(row(PadMode::Replicate, 2, 4), [1.0, 1.0, 1.0, 2.0, 3.0, 3.0, 3.0, 3.0, 3.0]);
    assert_eq!(row(PadMode::Zero, 2, 4), [0.0, 0.0, 1.0, 2.0, 3.0, 0.0, 0.0, 0.0, 0.0]);
}

#[test]
fn both_passes_are_adjoint() {
    on_every_set(|set| {
        for mode in MODES {
            for ([batch, h, w, c], pads) in [
                ([1, 1, 1, 1], [0; 4]),
                ([2, 3, 5, 1], [1, 2, 0, 4]),
                ([3, 4, 3, 17], [3, 0, 2, 1]),
                ([2, 9, 8, 40], [1, 1, 3, 3]),
            ] {
                let g = PadGeometry::new(&settings(mode, pads), [batch, h, w, c]).unwrap();
                let [_, out_h, out_w, _] = g.output_shape();
                assert_eq!([out_h, out_w], [h + pads[0] + pads[1], w + pads[2] + pads[3]]);
                let (x, dy) = (numbers(batch * h * w * c, 1), numbers(batch * out_h * out_w * c, 2));
                let (mut y, mut dx) = (vec![f32::NAN; dy.len()], vec![f32::NAN; x.len()]);
                pad_forward(&g, &x, &mut y);
                pad_backward(&g, &dy, &mut dx);
                let source = |place: usize, before: usize, size: usize| {
                    let (place, last) = (place as isize - before as isize, size as isize - 1);
                    let inside = match mode {
                        PadMode::Reflect if place < 0 => -place,
                        PadMode::Reflect if place > last => 2 * last - place,
                        PadMode::Zero if !(0..=last).contains(&place) => return None,
                        _ => place.clamp(0, last),
                    };
                    Some(inside as usize)
                };
                for (i, &y) in y.iter().enumerate() {
                    let (pixel, channel) = (i / c, i % c);
                    let (image, row, column) = (pixel / out_w / out_h, pixel / out_w % out_h, pixel % out_w);
                    let source = source(row, pads[0], h).zip(source(column, pads[2], w));
                    let expected = source.map(|(row, column)| x[((image * h + row) * w + column) * c + channel]);
                    assert_eq!(y, expected.unwrap_or(0.0), "{set} {mode:?} {i}");
                }
                assert_near(dot(&x, &dx) as f32, dot(&y, &dy), 1e-5 * dy.len() as f64, (set, mode, pads));
                // Nothing is lost or counted twice, but what is a gradient of zeros.
                let sum = |numbers: &[f32]| numbers.iter().map(|&x| f64::from(x)).sum::<f64>();
                if mode != PadMode::Zero {
                    assert_near(sum(&dx) as f32, sum(&dy), 1e-5 * dy.len() as f64, (set, mode, pads));
                }
            }
        }
    });
}

#[test]
fn images_that_are_too_small_are_refused() {
    let error = |mode, pads, input| PadGeometry::new(&settings(mode, pads), input).unwrap_err().to_string();
    assert_eq!(error(PadMode::Reflect, [0, 0, 3, 0], [1, 9, 3, 1]), "3 pixels on axis W cannot be continued by 3");
    assert_eq!(error(PadMode::Replicate, [0, 1, 0, 0], [1, 0, 3, 1]), "0 pixels on axis H cannot be continued by 1");
    assert_eq!(
        error(PadMode::Replicate, [usize::MAX, 1, 0, 0], [1, 2, 3, 1]),
        "the padded image overflows the address space"
    );
    let large = PadGeometry::new(&settings(PadMode::Replicate, [1 << 40, 0, 1 << 40, 0]), [1, 2, 3, 1]);
    assert_eq!(large, Err(PadError::Overflow));
}

#[test]
fn zeros_surround_even_nothing() {
    let g = PadGeometry::new(&settings(PadMode::Zero, [1, 0, 2, 1]), [2, 0, 3, 2]).unwrap();
    assert_eq!(g.output_shape(), [2, 1, 6, 2]);
    let mut y = [f32::NAN; 24];
    pad_forward(&g, &[], &mut y);
    assert_eq!(y, [0.0; 24]);
    pad_backward(&g, &y, &mut []);
}

#[test]
fn threads_change_no_bit() {
    for mode in MODES {
        let g = PadGeometry::new(&settings(mode, [2; 4]), [5, 60, 50, 20]).unwrap();
        let (x, dy) = (numbers(5 * 60 * 50 * 20, 1), numbers(5 * 64 * 54 * 20, 2));
        assert_same_bits_on_any_threads(dy.len(), &|y| pad_forward(&g, &x, y));
        assert_same_bits_on_any_threads(x.len(), &|dx| pad_backward(&g, &dy, dx));
    }
}
