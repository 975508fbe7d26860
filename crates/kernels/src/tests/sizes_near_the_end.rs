//! Sizes near the end of the numbers: refused, or good for whatever is computed from them.

use super::draw::{Draw, cases};
use crate::broadcast::{Broadcast, MAX_RANK};
use crate::conv::{ALGORITHMS, Conv2dGeometry, Conv2dSettings, ConvMode, Padding, Pass, Precision, choose};
use crate::copy::{BlockCopy, copy_blocks};
use crate::gemm::{
    Bf16Matrix, Matrix, MatrixMut, Order, PackedMatrix, bf16_len, gemm_bf16_scratch, gemm_packed_scratch, gemm_scratch,
    packed_len,
};
use crate::pad::{PadGeometry, PadMode, PadSettings, pad_backward, pad_forward};
use crate::pool::{
    AdaptiveGeometry, CountPadding, PoolGeometry, PoolSettings, Rounding, adaptive_backward, adaptive_forward,
    average_backward, average_forward, max_backward, max_forward,
};
use crate::reduce::{Reduction, spread, sum};
use crate::softmax::{CrossEntropy, cross_entropy_forward};
use crate::{Accumulate, batch_norm, layer_norm};

/// Few enough elements to run a kernel on.
const FEW: usize = 1 << 12;

fn sizes<const N: usize>(draw: &mut Draw) -> [usize; N] {
    [0; N].map(|_| draw.size())
}

/// A small size, mostly; one in five may be any.
fn mostly_small<const N: usize>(draw: &mut Draw) -> [usize; N] {
    [0; N].map(|_| if draw.once_in(5) { draw.size() } else { draw.between(1..=6) })
}

fn padding(draw: &mut Draw) -> Padding {
    let [top, bottom, left, right] = mostly_small(draw);
    let explicit = Padding::Explicit { top, bottom, left, right };
    draw.one_of(&[Padding::Valid, Padding::Same, explicit])
}

#[test]
fn convolutions() {
    let (mut accepted, mut large) = (0, 0);
    for case in 0..cases(20_000) {
        let draw = &mut Draw::of_case(case);
        let [stride_h, stride_w, dilation_h, dilation_w, mut groups] = mostly_small(draw);
        let [batch, in_h, in_w, group_in_c, kernel_h, kernel_w, group_out_c] = mostly_small(draw);
        if draw.once_in(2) {
            groups = 1;
        }
        let mode = draw.one_of(&[ConvMode::CrossCorrelation, ConvMode::Convolution]);
        let settings =
            Conv2dSettings { stride_h, stride_w, dilation_h, dilation_w, padding: padding(draw), groups, mode };
        let input = [batch, in_h, in_w, group_in_c.wrapping_mul(groups)];
        let filter = [kernel_h, kernel_w, group_in_c, group_out_c.wrapping_mul(groups)];
        let Ok(g) = Conv2dGeometry::new(&settings, input, filter) else { continue };
        accepted += 1;
        large += usize::from(g.input_len().max(g.output_len()).max(g.filter_len()) > 1 << 31);
        for pass in Pass::ALL {
            for algorithm in ALGORITHMS.iter().filter(|algorithm| algorithm.supports(&g, pass)) {
                let cost = algorithm.cost(&g, pass);
                assert!(cost.is_finite() && cost >= 0.0, "{} {pass:?} costs {cost}: {g:?}", algorithm.name());
                let _ = (algorithm.workspace(&g, pass), algorithm.prepared_len(&g, pass));
                let _ = algorithm.scratch(&g, pass).bytes();
            }
            let _ = choose(&g, pass, Precision::Strict).to_string();
        }
    }
    println!("{accepted} accepted, {large} of them large");
}

#[test]
fn poolings() {
    for case in 0..cases(20_000) {
        let draw = &mut Draw::of_case(case);
        let [kernel_h, kernel_w, stride_h, stride_w] = mostly_small(draw);
        let [pad_top, pad_bottom, pad_left, pad_right] =
            [0; 4].map(|_| if draw.once_in(9) { draw.size() } else { draw.between(0..=2) });
        let rounding = draw.one_of(&[Rounding::Floor, Rounding::Ceil]);
        let settings =
            PoolSettings { kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_bottom, pad_left, pad_right, rounding };
        let Ok(g) = PoolGeometry::new(settings, mostly_small(draw)) else { continue };
        if g.input_length().max(g.output_length()) <= FEW && g.batch.max(g.channels) <= FEW {
            let (x, mut y) = (vec![1.0; g.input_length()], vec![0.0; g.output_length()]);
            let (mut indices, mut dx) = (y.clone(), x.clone());
            max_forward(&g, &x, &mut y, Some(&mut indices));
            assert!(y.iter().all(|&y| y == 1.0), "{g:?}");
            max_backward(&g, &y, &indices, &mut dx, Accumulate::Set);
            assert_eq!(dx.iter().sum::<f32>(), y.len() as f32, "{g:?}");
            average_forward(&g, CountPadding::Exclude, &x, &mut y);
            assert!(y.iter().all(|&y| (y - 1.0).abs() < 1e-6), "{g:?}");
            average_backward(&g, CountPadding::Include, &y, &mut dx, Accumulate::Set);
        }
    }
}

#[test]
fn adaptive_poolings() {
    for case in 0..cases(20_000) {
        let draw = &mut Draw::of_case(case);
        let Ok(g) = AdaptiveGeometry::new(mostly_small(draw), mostly_small(draw)) else { continue };
        let (input, output) = (g.batch * g.in_h * g.in_w * g.channels, g.batch * g.out_h * g.out_w * g.channels);
        if input.max(output) <= FEW {
            let (x, mut y) = (vec![1.0; input], vec![0.0; output]);
            adaptive_forward(&g, &x, &mut y);
            assert!(y.iter().all(|&y| (y - 1.0).abs() < 1e-6), "{g:?}");
            adaptive_backward(&g, &y, &mut vec![0.0; input], Accumulate::Set);
        }
    }
}

#[test]
fn paddings() {
    for case in 0..cases(20_000) {
        let draw = &mut Draw::of_case(case);
        let [top, bottom, left, right] = mostly_small(draw);
        let mode = draw.one_of(&[PadMode::Zero, PadMode::Replicate, PadMode::Reflect]);
        let input: [usize; 4] = mostly_small(draw);
        let Ok(g) = PadGeometry::new(&PadSettings { mode, top, bottom, left, right }, input) else { continue };
        let length: usize = g.output_shape().iter().product();
        if length <= FEW {
            let (x, mut y) = (vec![1.0; input.iter().product()], vec![0.0; length]);
            pad_forward(&g, &x, &mut y);
            pad_backward(&g, &y, &mut x.clone());
        }
    }
}

#[test]
fn shapes_of_sums_and_broadcasts() {
    for case in 0..cases(20_000) {
        let draw = &mut Draw::of_case(case);
        let rank = draw.between(0..=MAX_RANK + 1);
        let (a, mut b): (Vec<usize>, Vec<usize>) = (0..rank).map(|_| (draw.size(), draw.size())).unzip();
        let axes: Vec<usize> = (0..rank).filter(|_| draw.once_in(2)).collect();
        if let Some(g) = Reduction::new(&a, &axes) {
            assert!(rank <= MAX_RANK && g.reduced_length() <= g.length().max(1) || g.length() == 0);
            let _ = g.scratch().bytes();
            if g.length().max(g.reduced_length()) <= FEW {
                let mut y = vec![0.0; g.reduced_length()];
                sum(&g, &vec![1.0; g.length()], &mut y, 1.0, Accumulate::Set);
                assert_eq!(y.iter().sum::<f32>(), g.length() as f32, "{a:?} over {axes:?}");
                spread(&g, &y, &mut vec![0.0; g.length()], 1.0, Accumulate::Set);
            }
        }
        for (a, b) in a.iter().zip(&mut b) {
            *b = if draw.once_in(2) { *a } else { 1 };
        }
        let _ = Broadcast::new(&a, &b).map(|g| g.length());
    }
}

#[test]
fn memory_of_products_and_normalisations() {
    let orders = [Order::RowMajor, Order::ColumnMajor];
    for case in 0..cases(20_000) {
        let draw = &mut Draw::of_case(case);
        let [rows, depth, columns] = sizes(draw);
        for (left, right) in orders.into_iter().flat_map(|left| orders.map(|right| (left, right))) {
            let _ = gemm_scratch([rows, depth, columns], left, right).bytes();
        }
        let _ = (gemm_packed_scratch(rows, depth, Order::ColumnMajor).bytes(), packed_len(depth, columns));
        let _ = (gemm_bf16_scratch(rows, depth, columns, Order::ColumnMajor).bytes(), bf16_len(depth, columns));
        let _ = (batch_norm::scratch(rows, columns).bytes(), layer_norm::layer_norm_scratch(rows, columns).bytes());
    }
}

/// A product of sizes that wraps around to the length of the slice would let the kernel read anywhere.
#[test]
fn matrices_whose_size_wraps_around_are_refused() {
    let half = 1 << (usize::BITS / 2);
    let refused = |f: fn(usize)| assert!(std::panic::catch_unwind(|| f(half)).is_err());
    refused(|half| _ = Matrix::new(&[], half, half));
    refused(|half| _ = MatrixMut::new(&mut [], half, half));
    refused(|half| _ = PackedMatrix::from_packed(&[], half, half));
    refused(|half| _ = Bf16Matrix::from_packed(&[], half, half));
}

#[test]
fn labels_whose_number_wraps_around_are_refused() {
    let loss = CrossEntropy { classes: 1 << (usize::BITS - 1), class_weights: None, smoothing: 0.0 };
    assert!(std::panic::catch_unwind(|| cross_entropy_forward(loss, &[], &[0, 0], &mut [])).is_err());
}

#[test]
fn blocks_whose_reach_wraps_around_are_refused() {
    let [source_stride, destination_stride] = [usize::MAX / 2 + 2, 2];
    let g =
        BlockCopy { source_offset: 0, source_stride, destination_offset: 0, destination_stride, block: 1, count: 3 };
    let copy = |g: BlockCopy| {
        std::panic::catch_unwind(move || copy_blocks(&g, &[1.0; 8], &mut [0.0; 8], Accumulate::Set)).is_err()
    };
    assert!(copy(g));
    assert!(copy(BlockCopy { source_stride: destination_stride, destination_stride: source_stride, ..g }));
}
