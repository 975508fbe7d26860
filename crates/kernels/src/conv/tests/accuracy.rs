//! Relative L2 error of the algorithms at the channel counts of deep layers, over a sample of the result.

use super::*;

/// Results that are computed exactly.
const SAMPLES: usize = 300;

/// Numbers of mean 0 and variance 1 (uniform).
fn unit_variance(seed: u64, len: usize) -> Vec<f32> {
    numbers(seed, len).iter().map(|x| x * 3.0_f32.sqrt()).collect()
}

/// The bounds that the documentation states. F(2×2, 3×3) is the smaller of Winograd's two tiles.
fn bound(algorithm: &dyn Algorithm, pass: Pass) -> f64 {
    match (pass, algorithm.precision(), algorithm.name()) {
        (Pass::BackwardFilter, ..) => 3e-6,
        (_, Precision::Strict, _) => 5e-7,
        (_, Precision::Fast, "winograd2") => 1e-6,
        (_, Precision::Fast | Precision::Bf16, _) => 1.5e-6,
    }
}

/// `y[p, o]`, exactly.
fn exact_output(case: &Case, index: usize) -> f64 {
    let g = &case.g;
    let (pixel, o) = (index / g.out_c, index % g.out_c);
    let (row, column) = (pixel / g.out_w % g.out_h, pixel % g.out_w);
    let image = pixel / (g.out_h * g.out_w);
    let first = o / g.group_out_c() * g.group_in_c();
    let mut sum = 0.0;
    for tap in 0..g.kernel_h * g.kernel_w {
        let at = (g.input_row(row, tap / g.kernel_w), g.input_column(column, tap % g.kernel_w));
        let (Some(row), Some(column)) = at else { continue };
        for c in 0..g.group_in_c() {
            let x = case.x[((image * g.in_h + row) * g.in_w + column) * g.in_c + first + c];
            sum += f64::from(x) * f64::from(case.w[(tap * g.group_in_c() + c) * g.out_c + o]);
        }
    }
    sum
}

/// `dx`: what `y` depends on an input by, summed over all outputs that read it.
fn exact_input(case: &Case, index: usize) -> f64 {
    let g = &case.g;
    let (pixel, c) = (index / g.in_c, index % g.in_c);
    let (row, column) = (pixel / g.in_w % g.in_h, pixel % g.in_w);
    let image = pixel / (g.in_h * g.in_w);
    let (group, c) = (c / g.group_in_c(), c % g.group_in_c());
    let mut sum = 0.0;
    for tap in 0..g.kernel_h * g.kernel_w {
        let rows = (0..g.out_h).filter(|&out| g.input_row(out, tap / g.kernel_w) == Some(row));
        for out_row in rows {
            let columns = (0..g.out_w).filter(|&out| g.input_column(out, tap % g.kernel_w) == Some(column));
            for out_column in columns {
                for o in group * g.group_out_c()..(group + 1) * g.group_out_c() {
                    let dy = case.dy[((image * g.out_h + out_row) * g.out_w + out_column) * g.out_c + o];
                    sum += f64::from(dy) * f64::from(case.w[(tap * g.group_in_c() + c) * g.out_c + o]);
                }
            }
        }
    }
    sum
}

/// `dw[k, c, o]`, exactly.
fn exact_filter(case: &Case, index: usize) -> f64 {
    let g = &case.g;
    let (o, c) = (index % g.out_c, index / g.out_c % g.group_in_c());
    let tap = index / (g.out_c * g.group_in_c());
    let channel = o / g.group_out_c() * g.group_in_c() + c;
    let mut sum = 0.0;
    for pixel in 0..g.output_pixels() {
        let (image, row, column) = (pixel / (g.out_h * g.out_w), pixel / g.out_w % g.out_h, pixel % g.out_w);
        let at = (g.input_row(row, tap / g.kernel_w), g.input_column(column, tap % g.kernel_w));
        let (Some(row), Some(column)) = at else { continue };
        let x = case.x[((image * g.in_h + row) * g.in_w + column) * g.in_c + channel];
        sum += f64::from(x) * f64::from(case.dy[pixel * g.out_c + o]);
    }
    sum
}

/// `‖got − exact‖ / ‖exact‖` over [`SAMPLES`] places.
fn relative_error(got: &[f32], exact: impl Fn(usize) -> f64) -> f64 {
    let (mut difference, mut norm) = (0.0, 0.0);
    for sample in 0..SAMPLES {
        // A step that is odd and prime to the sizes goes through pixels and channels alike.
        let index = sample * 7919 % got.len();
        let exact = exact(index);
        difference += (f64::from(got[index]) - exact).powi(2);
        norm += exact * exact;
    }
    (difference / norm).sqrt()
}

#[test]
fn deep_layers_keep_the_stated_accuracy() {
    let same = Conv2dSettings { padding: Padding::Same, ..Conv2dSettings::default() };
    for (settings, filter) in [(same, [3, 3, 512, 512]), (Conv2dSettings { groups: 512, ..same }, [3, 3, 1, 512])] {
        let g = geometry(settings, [1, 14, 14, 512], filter);
        let mut case = Case::new(g, 5);
        case.x = unit_variance(1, g.input_len());
        case.w = unit_variance(2, g.filter_len());
        case.dy = unit_variance(3, g.output_len());
        // The definition is slow here, and the baseline is `matrixmultiply`'s to answer for.
        let own = ALGORITHMS.iter().copied().filter(|algorithm| !["naive", "im2col"].contains(&algorithm.name()));
        for algorithm in own {
            for pass in Pass::ALL.into_iter().filter(|&pass| algorithm.supports(&g, pass)) {
                let error = match pass {
                    Pass::Forward => relative_error(&case.bare(algorithm), |index| exact_output(&case, index)),
                    Pass::BackwardData => {
                        let dx = case.backward_data(algorithm, vec![f32::NAN; g.input_len()], Accumulate::Set);
                        relative_error(&dx, |index| exact_input(&case, index))
                    }
                    Pass::BackwardFilter => {
                        let dw = case.backward_filter(algorithm, vec![f32::NAN; g.filter_len()], Accumulate::Set);
                        relative_error(&dw, |index| exact_filter(&case, index))
                    }
                };
                println!("{} {pass:?}: {error:.2e}", algorithm.name());
                assert!(error <= bound(algorithm, pass), "{} {pass:?}: {error:.2e}", algorithm.name());
            }
        }
    }
}
