//! Maximum, average and adaptive pooling, forward and backward, and padding.

use super::super::draw::Draw;
use super::{check, each_case, unwritten};
use crate::Accumulate;
use crate::elementwise::testing::numbers;
use crate::pad::{PadGeometry, PadMode, PadSettings, pad_backward, pad_forward};
use crate::pool::{
    AdaptiveGeometry, CountPadding, PoolGeometry, PoolSettings, Rounding, adaptive_backward, adaptive_forward,
    average_backward, average_forward, max_backward, max_forward,
};

fn image(draw: &mut Draw) -> [usize; 4] {
    [draw.between(1..=3), draw.between(1..=12), draw.between(1..=12), draw.between(1..=70)]
}

fn geometry(draw: &mut Draw) -> PoolGeometry {
    loop {
        let [kernel_h, kernel_w, stride_h, stride_w] = [0; 4].map(|_| draw.between(1..=4));
        let settings = PoolSettings {
            kernel_h,
            kernel_w,
            stride_h,
            stride_w,
            pad_top: draw.between(0..=kernel_h / 2),
            pad_bottom: draw.between(0..=kernel_h / 2),
            pad_left: draw.between(0..=kernel_w / 2),
            pad_right: draw.between(0..=kernel_w / 2),
            rounding: draw.one_of(&[Rounding::Floor, Rounding::Ceil]),
        };
        if let Ok(g) = PoolGeometry::new(settings, image(draw)) {
            return g;
        }
    }
}

#[test]
fn poolings() {
    each_case(60, |draw| {
        let g = geometry(draw);
        let (x, dy) = (numbers(g.input_length(), 1), numbers(g.output_length(), 2));
        let mut indices = dy.clone();
        max_forward(&g, &x, &mut dy.clone(), Some(&mut indices));
        let what = format!("{g:?}");
        check(&what, &[&x], &|| vec![unwritten(dy.len()); 3], &|x, y| {
            let [y, indices, alone] = y else { unreachable!("three outputs") };
            max_forward(&g, x[0], y, Some(indices));
            max_forward(&g, x[0], alone, None);
        });
        check(&what, &[&dy, &indices], &|| vec![unwritten(x.len()), x.clone()], &|dy, dx| {
            max_backward(&g, dy[0], dy[1], dx[0], Accumulate::Set);
            max_backward(&g, dy[0], dy[1], dx[1], Accumulate::Add);
        });
        for count in [CountPadding::Include, CountPadding::Exclude] {
            check(&what, &[&x], &|| vec![unwritten(dy.len())], &|x, y| average_forward(&g, count, x[0], y[0]));
            check(&what, &[&dy], &|| vec![unwritten(x.len()), x.clone()], &|dy, dx| {
                average_backward(&g, count, dy[0], dx[0], Accumulate::Set);
                average_backward(&g, count, dy[0], dx[1], Accumulate::Add);
            });
        }
    });
}

#[test]
fn adaptive_poolings() {
    each_case(60, |draw| {
        let (output, input) = ([draw.between(1..=9), draw.between(1..=9)], image(draw));
        let g = AdaptiveGeometry::new(output, input).expect("there are pixels");
        let x = numbers(input.iter().product(), 1);
        let dy = numbers(g.batch * g.out_h * g.out_w * g.channels, 2);
        let what = format!("{g:?}");
        check(&what, &[&x], &|| vec![unwritten(dy.len())], &|x, y| adaptive_forward(&g, x[0], y[0]));
        check(&what, &[&dy], &|| vec![unwritten(x.len()), x.clone()], &|dy, dx| {
            adaptive_backward(&g, dy[0], dx[0], Accumulate::Set);
            adaptive_backward(&g, dy[0], dx[1], Accumulate::Add);
        });
    });
}

#[test]
fn paddings() {
    each_case(60, |draw| {
        let [top, bottom, left, right] = [0; 4].map(|_| draw.between(0..=3));
        let (input, mode) = (image(draw), draw.one_of(&[PadMode::Zero, PadMode::Replicate, PadMode::Reflect]));
        let Ok(g) = PadGeometry::new(&PadSettings { mode, top, bottom, left, right }, input) else { return };
        let x = numbers(input.iter().product(), 1);
        let dy = numbers(g.output_shape().iter().product(), 2);
        let what = format!("{g:?}");
        check(&what, &[&x], &|| vec![unwritten(dy.len())], &|x, y| pad_forward(&g, x[0], y[0]));
        check(&what, &[&dy], &|| vec![unwritten(x.len())], &|dy, dx| pad_backward(&g, dy[0], dx[0]));
    });
}
