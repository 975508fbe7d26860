//! The accuracy of the transforms; that they are right at all is tested with all algorithms.

use ocelli_simd::InstructionSet;

use super::{Winograd2, Winograd2Of5, Winograd4};
use crate::conv::naive::Naive;
use crate::conv::{Algorithm, Conv2dGeometry, Conv2dSettings, Padding, Pass};
use crate::{Accumulate, Epilogue};

/// Numbers of mean 0 and variance 1.
fn numbers(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0) * 3.0_f32.sqrt()
    };
    (0..len).map(|_| next()).collect()
}

/// `‖got − exact‖ / ‖exact‖`
fn relative_error(got: &[f32], exact: &[f32]) -> f64 {
    let squares = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
    let error = squares(&mut got.iter().zip(exact).map(|(got, exact)| f64::from(*got) - f64::from(*exact)));
    (error / squares(&mut exact.iter().map(|exact| f64::from(*exact)))).sqrt()
}

fn run(algorithm: &dyn Algorithm, g: &Conv2dGeometry, pass: Pass) -> Vec<f32> {
    let w = numbers(2, g.filter_len());
    let mut filter = vec![0.0; algorithm.prepared_len(g, pass)];
    algorithm.prepare(g, pass, &w, &mut filter);
    let filter = if filter.is_empty() { &w } else { &filter };
    let mut workspace = vec![0.0; algorithm.workspace(g, pass)];
    let (x, dy) = (numbers(1, g.input_len()), numbers(3, g.output_len()));
    let mut result = Vec::new();
    match pass {
        Pass::Forward => {
            result.resize(g.output_len(), 0.0);
            algorithm.forward(g, &x, filter, &Epilogue::default(), &mut result, &mut workspace);
        }
        Pass::BackwardData => {
            result.resize(g.input_len(), 0.0);
            algorithm.backward_data(g, &dy, filter, &mut result, Accumulate::Set, &mut workspace);
        }
        Pass::BackwardFilter => {
            result.resize(g.filter_len(), 0.0);
            algorithm.backward_filter(g, &x, &dy, &mut result, Accumulate::Set, &mut workspace);
        }
    }
    result
}

/// Asserts bounds of the errors of F(2×2) and F(4×4), or, for a filter of 5×5, of F(2×2).
fn assert_accurate(pass: Pass, input: [usize; 4], filter: [usize; 4], bounds: &[f64]) {
    let settings = Conv2dSettings { padding: Padding::Same, ..Default::default() };
    let g = Conv2dGeometry::new(&settings, input, filter).unwrap();
    let exact = run(&Naive, &g, pass);
    let algorithms: &[&dyn Algorithm] =
        if filter[0] == 5 { &[&Winograd2Of5::NEW] } else { &[&Winograd2::NEW, &Winograd4::NEW] };
    for (&algorithm, bound) in algorithms.iter().zip(bounds) {
        for set in InstructionSet::available() {
            let error = relative_error(&set.scoped(|| run(algorithm, &g, pass)), &exact);
            println!("{} {pass:?} on {set}: {error:.2e}", algorithm.name());
            assert!(error <= *bound, "{} {pass:?} on {set}: {error:.2e}", algorithm.name());
        }
    }
}

#[test]
fn outputs_of_512_channels_are_accurate() {
    assert_accurate(Pass::Forward, [1, 13, 14, 512], [3, 3, 512, 8], &[1e-6, 1.5e-6]);
    assert_accurate(Pass::Forward, [1, 13, 14, 512], [5, 5, 512, 8], &[1.5e-6]);
}

#[test]
fn input_gradients_of_512_channels_are_accurate() {
    assert_accurate(Pass::BackwardData, [1, 13, 14, 8], [3, 3, 8, 512], &[1e-6, 1.5e-6]);
    assert_accurate(Pass::BackwardData, [1, 13, 14, 8], [5, 5, 8, 512], &[1.5e-6]);
}

#[test]
fn filter_gradients_of_large_images_are_accurate() {
    assert_accurate(Pass::BackwardFilter, [2, 112, 110, 8], [3, 3, 8, 8], &[3e-6, 3e-6]);
    assert_accurate(Pass::BackwardFilter, [2, 112, 110, 8], [5, 5, 8, 8], &[3e-6]);
}

/// A task that has an odd number of panels writes no columns of the next task: sums that are added to show it, whichever
/// task comes first.
#[test]
fn odd_panels_of_a_task_leave_the_columns_of_the_next_alone() {
    let settings = Conv2dSettings { padding: Padding::Same, ..Default::default() };
    // 13 and 6 panels of 16 columns, cut for 4 and 2 tasks; 208 and 96 channels of GoogLeNet.
    for (pass, input, filter) in [
        (Pass::Forward, [2, 14, 14, 96], [3, 3, 96, 208]),
        (Pass::Forward, [2, 28, 28, 32], [3, 3, 32, 96]),
        (Pass::BackwardData, [2, 14, 14, 208], [3, 3, 208, 96]),
        (Pass::Forward, [2, 14, 14, 96], [5, 5, 96, 208]),
    ] {
        let g = Conv2dGeometry::new(&settings, input, filter).unwrap();
        let exact = run(&Naive, &g, pass);
        let algorithms: [&dyn Algorithm; 3] = [&Winograd2::NEW, &Winograd4::NEW, &Winograd2Of5::NEW];
        for algorithm in algorithms.into_iter().filter(|algorithm| algorithm.supports(&g, pass)) {
            for set in InstructionSet::available() {
                let got = set.scoped(|| added(algorithm, &g, pass));
                let error = relative_error(&got, &exact);
                assert!(error <= 2e-6, "{} {pass:?} on {set}: {error:.2e}", algorithm.name());
            }
        }
    }
}

/// The result of a forward or backward-data pass, added to zeros.
fn added(algorithm: &dyn Algorithm, g: &Conv2dGeometry, pass: Pass) -> Vec<f32> {
    let w = numbers(2, g.filter_len());
    let mut filter = vec![0.0; algorithm.prepared_len(g, pass)];
    algorithm.prepare(g, pass, &w, &mut filter);
    if pass == Pass::BackwardData {
        let mut dx = vec![0.0; g.input_len()];
        algorithm.backward_data(g, &numbers(3, g.output_len()), &filter, &mut dx, Accumulate::Add, &mut []);
        return dx;
    }
    let mut y = vec![0.0; g.output_len()];
    algorithm.forward(g, &numbers(1, g.input_len()), &filter, &Epilogue::of(Accumulate::Add), &mut y, &mut []);
    y
}
