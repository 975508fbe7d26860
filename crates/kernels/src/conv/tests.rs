//! Every algorithm, in every pass, against the definition.

mod accuracy;
mod scan;

use proptest::prelude::*;

use super::naive::{Naive, conv2d_backward_data, conv2d_backward_filter, conv2d_forward};
use super::*;
use ocelli_simd::InstructionSet;

use crate::elementwise::testing::on_every_set;
use crate::gemm::left_block_bytes;
use crate::{Accumulate, Activation, Epilogue, scratch};

/// Numbers in [-1, 1) that depend on `seed` alone.
fn numbers(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

fn absolute(values: &[f32]) -> Vec<f32> {
    values.iter().map(|value| value.abs()).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

/// Operands of all passes. Workspaces are full of NaN: an algorithm must not read what it has not written.
struct Case {
    g: Conv2dGeometry,
    x: Vec<f32>,
    w: Vec<f32>,
    bias: Vec<f32>,
    dy: Vec<f32>,
}

impl Case {
    fn new(g: Conv2dGeometry, seed: u64) -> Self {
        Self {
            g,
            x: numbers(seed, g.input_len()),
            w: numbers(seed ^ 1, g.filter_len()),
            bias: numbers(seed ^ 2, g.out_c),
            dy: numbers(seed ^ 3, g.output_len()),
        }
    }

    fn workspace(&self, algorithm: &dyn Algorithm, pass: Pass) -> Vec<f32> {
        vec![f32::NAN; algorithm.workspace(&self.g, pass)]
    }

    /// The filter as the algorithm wants it.
    fn filter(&self, algorithm: &dyn Algorithm, pass: Pass) -> Vec<f32> {
        let mut prepared = vec![f32::NAN; algorithm.prepared_len(&self.g, pass)];
        algorithm.prepare(&self.g, pass, &self.w, &mut prepared);
        if prepared.is_empty() { self.w.clone() } else { prepared }
    }

    fn forward(&self, algorithm: &dyn Algorithm, mut y: Vec<f32>, epilogue: &Epilogue<'_>) -> Vec<f32> {
        let mut workspace = self.workspace(algorithm, Pass::Forward);
        let filter = self.filter(algorithm, Pass::Forward);
        algorithm.forward(&self.g, &self.x, &filter, epilogue, &mut y, &mut workspace);
        y
    }

    /// Without bias or anything else.
    fn bare(&self, algorithm: &dyn Algorithm) -> Vec<f32> {
        self.forward(algorithm, vec![f32::NAN; self.g.output_len()], &Epilogue::default())
    }

    fn backward_data(&self, algorithm: &dyn Algorithm, mut dx: Vec<f32>, accumulate: Accumulate) -> Vec<f32> {
        let mut workspace = self.workspace(algorithm, Pass::BackwardData);
        let filter = self.filter(algorithm, Pass::BackwardData);
        algorithm.backward_data(&self.g, &self.dy, &filter, &mut dx, accumulate, &mut workspace);
        dx
    }

    fn backward_filter(&self, algorithm: &dyn Algorithm, mut dw: Vec<f32>, accumulate: Accumulate) -> Vec<f32> {
        let mut workspace = self.workspace(algorithm, Pass::BackwardFilter);
        algorithm.backward_filter(&self.g, &self.x, &self.dy, &mut dw, accumulate, &mut workspace);
        dw
    }
}

/// Winograd's transforms mix the values of a tile and multiply by constants up to 8 or so: its errors are those of the
/// largest sum around, times this.
const FAST_ERROR: f32 = 8.0;

/// `|got - exact| <= 2 (terms + 2) ε (Σ|a||b| + what was there)`, element by element; for algorithms that are
/// [`Precision::Fast`], with the largest such sum and [`FAST_ERROR`] times as much.
fn assert_close(
    what: &str,
    precision: Precision,
    g: &Conv2dGeometry,
    terms: usize,
    got: &[f32],
    exact: &[f32],
    magnitudes: &[f32],
) {
    assert_eq!(got.len(), exact.len());
    let largest = FAST_ERROR * magnitudes.iter().copied().fold(0.0, f32::max);
    for (index, ((&got, &exact), &magnitude)) in got.iter().zip(exact).zip(magnitudes).enumerate() {
        let magnitude = if precision == Precision::Strict { magnitude } else { largest };
        let bound = 2.0 * (terms + 2) as f32 * f32::EPSILON * magnitude;
        // Written so that NaN fails.
        assert!((got - exact).abs() <= bound, "{what}, element {index}: {got}, not {exact} +- {bound}, in {g:?}");
    }
}

/// Every algorithm, all passes, both ways to accumulate, with and without bias.
fn check(g: Conv2dGeometry, seed: u64) {
    let case = Case::new(g, seed);
    let old_dx = numbers(seed ^ 4, g.input_len());
    let old_dw = numbers(seed ^ 5, g.filter_len());
    let (x, w, dy) = (absolute(&case.x), absolute(&case.w), absolute(&case.dy));
    let mut y_magnitude = vec![0.0; g.output_len()];
    let residual = numbers(seed ^ 6, g.output_len());
    let (bias, residual_magnitude) = (absolute(&case.bias), absolute(&residual));
    let all = Epilogue { bias: Some(&bias), residual: Some(&residual_magnitude), ..Epilogue::of(Accumulate::Add) };
    let old_y = numbers(seed ^ 7, g.output_len());
    y_magnitude.copy_from_slice(&absolute(&old_y));
    conv2d_forward(&g, &x, &w, &all, &mut y_magnitude);
    let mut dx_magnitude = absolute(&old_dx);
    conv2d_backward_data(&g, &dy, &w, &mut dx_magnitude, Accumulate::Add);
    let mut dw_magnitude = absolute(&old_dw);
    conv2d_backward_filter(&g, &x, &dy, &mut dw_magnitude, Accumulate::Add);
    let taps = g.kernel_h * g.kernel_w;

    let epilogues = [
        Epilogue::default(),
        Epilogue::bias(Some(&case.bias)),
        Epilogue { residual: Some(&residual), activation: Activation::Relu, ..Epilogue::bias(Some(&case.bias)) },
        Epilogue { activation: Activation::Clamp { low: -0.5, high: 0.5 }, ..Epilogue::of(Accumulate::Add) },
        // A residual in place.
        Epilogue { bias: Some(&case.bias), activation: Activation::Relu, ..Epilogue::of(Accumulate::Add) },
    ];
    // The definition is slow, so it is computed once for all algorithms and instruction sets.
    let exact = |old: &[f32], compute: &dyn Fn(&mut [f32])| {
        let mut exact = old.to_vec();
        compute(&mut exact);
        exact
    };
    let y =
        epilogues.map(|epilogue| (epilogue, exact(&old_y, &|y| conv2d_forward(&g, &case.x, &case.w, &epilogue, y))));
    let gradients = [Accumulate::Set, Accumulate::Add].map(|accumulate| {
        let dx = exact(&old_dx, &|dx| conv2d_backward_data(&g, &case.dy, &case.w, dx, accumulate));
        let dw = exact(&old_dw, &|dw| conv2d_backward_filter(&g, &case.x, &case.dy, dw, accumulate));
        (accumulate, dx, dw)
    });
    for (algorithm, set) in everything() {
        let what = |pass: &str| format!("{} {pass} on {set}", algorithm.name());
        let close = |pass: &str, terms: usize, got: &[f32], exact: &[f32], magnitudes: &[f32]| {
            assert_close(&what(pass), algorithm.precision(), &g, terms, got, exact, magnitudes);
        };
        if algorithm.supports(&g, Pass::Forward) {
            for (epilogue, exact) in &y {
                let y = set.scoped(|| case.forward(algorithm, old_y.clone(), epilogue));
                close(&format!("forward {:?}", epilogue.activation), g.patch_len(), &y, exact, &y_magnitude);
            }
        }
        for (accumulate, exact_dx, exact_dw) in &gradients {
            if algorithm.supports(&g, Pass::BackwardData) {
                let dx = set.scoped(|| case.backward_data(algorithm, old_dx.clone(), *accumulate));
                let terms = taps * g.group_out_c();
                close(&format!("backward_data {accumulate:?}"), terms, &dx, exact_dx, &dx_magnitude);
            }
            if algorithm.supports(&g, Pass::BackwardFilter) {
                let dw = set.scoped(|| case.backward_filter(algorithm, old_dw.clone(), *accumulate));
                close(&format!("backward_filter {accumulate:?}"), g.output_pixels(), &dw, exact_dw, &dw_magnitude);
            }
        }
    }
}

/// Every algorithm but the definition, on every instruction set of this machine.
fn everything() -> impl Iterator<Item = (&'static dyn Algorithm, InstructionSet)> {
    planned().iter().flat_map(|&algorithm| InstructionSet::available().map(move |set| (algorithm, set)))
}

fn geometry(settings: Conv2dSettings, input: [usize; 4], filter: [usize; 4]) -> Conv2dGeometry {
    Conv2dGeometry::new(&settings, input, filter).unwrap()
}

/// Named cases; the large ones are cut into pieces, bands and slabs.
fn named_cases() -> Vec<(&'static str, Conv2dGeometry)> {
    let plain = Conv2dSettings::default();
    let same = Conv2dSettings { padding: Padding::Same, ..plain };
    let stride_2 = Conv2dSettings { stride_h: 2, stride_w: 2, ..same };
    let dilated = Conv2dSettings { dilation_h: 2, dilation_w: 3, ..same };
    let flipped = Conv2dSettings { mode: ConvMode::Convolution, ..same };
    let uneven = Padding::Explicit { top: 2, bottom: 0, left: 1, right: 3 };
    vec![
        ("one pixel", geometry(plain, [1, 1, 1, 1], [1, 1, 1, 1])),
        ("1x1", geometry(plain, [2, 5, 7, 3], [1, 1, 3, 4])),
        ("1x1 stride 2", geometry(stride_2, [2, 7, 5, 3], [1, 1, 3, 4])),
        ("1x1 padded", geometry(Conv2dSettings { padding: uneven, ..plain }, [1, 4, 4, 2], [1, 1, 2, 3])),
        ("1x1 grouped", geometry(Conv2dSettings { groups: 2, ..plain }, [2, 4, 3, 6], [1, 1, 3, 4])),
        ("1x1 in pieces", geometry(plain, [3, 24, 24, 40], [1, 1, 40, 33])),
        ("1x1 in pieces, more outputs", geometry(plain, [3, 24, 25, 19], [1, 1, 19, 70])),
        ("1x1 of many pixels, transposed", geometry(plain, [2, 46, 45, 16], [1, 1, 16, 35])),
        ("1x1 in blocks of inputs", geometry(plain, [1, 15, 17, 300], [1, 1, 300, 50])),
        ("1x1 in bands of one image", geometry(plain, [1, 41, 40, 32], [1, 1, 32, 32])),
        ("kernel = image", geometry(plain, [5, 5, 5, 16], [5, 5, 16, 12])),
        (
            "kernel = image, flipped",
            geometry(Conv2dSettings { padding: Padding::Valid, ..flipped }, [2, 3, 4, 2], [3, 4, 2, 3]),
        ),
        ("kernel = image, one row", geometry(plain, [3, 1, 6, 2], [1, 6, 2, 3])),
        ("kernel = image, parallel", geometry(plain, [300, 3, 3, 16], [3, 3, 16, 40])),
        ("kernel larger than image", geometry(same, [1, 3, 2, 2], [5, 7, 2, 3])),
        ("3x3 same", geometry(same, [2, 6, 7, 3], [3, 3, 3, 4])),
        ("even kernel", geometry(same, [2, 6, 7, 3], [2, 4, 3, 4])),
        (
            "stride skips pixels",
            geometry(Conv2dSettings { stride_h: 3, stride_w: 4, ..plain }, [2, 8, 10, 2], [2, 2, 2, 3]),
        ),
        ("stride 2, odd width", geometry(stride_2, [2, 9, 11, 3], [3, 3, 3, 5])),
        ("dilated", geometry(dilated, [2, 9, 11, 3], [3, 3, 3, 5])),
        ("flipped", geometry(flipped, [2, 5, 6, 3], [3, 2, 3, 4])),
        ("uneven padding", geometry(Conv2dSettings { padding: uneven, ..plain }, [2, 5, 4, 3], [3, 3, 3, 2])),
        (
            "padding wider than the kernel",
            geometry(Conv2dSettings { padding: Padding::uniform(4), ..plain }, [1, 3, 3, 2], [2, 2, 2, 3]),
        ),
        ("depthwise", geometry(Conv2dSettings { groups: 5, ..same }, [2, 6, 5, 5], [3, 3, 1, 5])),
        ("depthwise, multiplier 2", geometry(Conv2dSettings { groups: 4, ..stride_2 }, [2, 6, 5, 4], [3, 3, 1, 8])),
        ("depthwise in bands", geometry(Conv2dSettings { groups: 37, ..same }, [2, 33, 34, 37], [3, 3, 1, 37])),
        ("depthwise, stride 2", geometry(Conv2dSettings { groups: 27, ..stride_2 }, [2, 15, 14, 27], [5, 4, 1, 27])),
        (
            "depthwise, dilated and flipped",
            geometry(
                Conv2dSettings { groups: 19, ..Conv2dSettings { stride_w: 2, mode: ConvMode::Convolution, ..dilated } },
                [1, 13, 17, 19],
                [3, 4, 1, 19],
            ),
        ),
        ("LeNet-5 conv1 in pieces", geometry(same, [10, 28, 28, 1], [5, 5, 1, 6])),
        ("LeNet-5 conv2 in pieces", geometry(plain, [11, 14, 14, 6], [5, 5, 6, 16])),
        ("5x5, several panels", geometry(same, [2, 13, 14, 33], [5, 5, 33, 70])),
        ("3x3, blocks of outputs", geometry(same, [1, 10, 9, 5], [3, 3, 5, 300])),
        (
            "3x3, blocks of outputs, grouped",
            geometry(Conv2dSettings { groups: 2, ..stride_2 }, [4, 15, 14, 6], [3, 3, 3, 260]),
        ),
        ("5x5, flipped, one panel", geometry(flipped, [1, 9, 6, 40], [5, 5, 40, 20])),
        ("bands of one image", geometry(same, [1, 45, 47, 16], [3, 3, 16, 20])),
        ("bands, stride 2", geometry(stride_2, [1, 70, 61, 16], [3, 5, 16, 20])),
        ("bands, dilated", geometry(dilated, [1, 61, 40, 16], [3, 3, 16, 20])),
        (
            "bands, flipped and grouped",
            geometry(Conv2dSettings { groups: 2, ..flipped }, [2, 45, 47, 16], [3, 3, 8, 20]),
        ),
        ("few channels, 7x7 stride 2", geometry(stride_2, [2, 14, 12, 3], [7, 7, 3, 10])),
        (
            "few channels, 11x11 stride 4, flipped",
            geometry(
                Conv2dSettings { stride_h: 4, stride_w: 4, padding: Padding::uniform(2), ..flipped },
                [1, 27, 28, 3],
                [11, 11, 3, 5],
            ),
        ),
        (
            "few channels, stride and dilation",
            geometry(Conv2dSettings { stride_h: 3, stride_w: 4, ..dilated }, [2, 9, 16, 2], [3, 3, 2, 5]),
        ),
        ("few outputs, 7x7 stride 2", geometry(stride_2, [2, 30, 29, 3], [7, 7, 3, 20])),
        ("few outputs, one", geometry(same, [1, 40, 50, 33], [3, 3, 33, 1])),
        ("few outputs, five of many inputs", geometry(same, [1, 13, 11, 150], [3, 5, 150, 5])),
        ("few outputs, six and stride 2", geometry(stride_2, [3, 9, 10, 20], [5, 5, 20, 6])),
        (
            "few outputs, grouped and flipped",
            geometry(Conv2dSettings { groups: 2, ..flipped }, [2, 9, 30, 34], [3, 3, 17, 4]),
        ),
        ("few outputs of few pixels", geometry(stride_2, [4, 8, 8, 96], [7, 7, 96, 12])),
        ("few tiles of few outputs", geometry(same, [16, 4, 4, 80], [3, 3, 80, 40])),
        ("filter in slabs", geometry(same, [1, 9, 8, 128], [3, 3, 128, 24])),
    ]
}

#[test]
fn named_geometries_equal_the_definition() {
    for (name, g) in named_cases() {
        println!("{name}");
        check(g, 7);
    }
}

#[test]
fn an_empty_batch_has_no_gradient() {
    let g = geometry(Conv2dSettings::default(), [0, 4, 4, 2], [3, 3, 2, 2]);
    check(g, 1);
    for &algorithm in ALGORITHMS.iter().filter(|algorithm| algorithm.supports(&g, Pass::BackwardFilter)) {
        let dw = Case::new(g, 1).backward_filter(algorithm, vec![1.0; g.filter_len()], Accumulate::Set);
        assert!(dw.iter().all(|&dw| dw == 0.0), "{}", algorithm.name());
    }
}

#[test]
fn same_bits_on_any_number_of_threads() {
    let cases = named_cases();
    for &algorithm in planned() {
        for (name, g) in &cases {
            let case = Case::new(*g, 3);
            let run = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let supported = Pass::ALL.into_iter().filter(|&pass| algorithm.supports(g, pass));
                let result = |pass| match pass {
                    Pass::Forward => {
                        case.forward(algorithm, vec![f32::NAN; g.output_len()], &Epilogue::bias(Some(&case.bias)))
                    }
                    Pass::BackwardData => case.backward_data(algorithm, vec![0.5; g.input_len()], Accumulate::Add),
                    Pass::BackwardFilter => case.backward_filter(algorithm, vec![0.5; g.filter_len()], Accumulate::Add),
                };
                let results = pool.install(|| supported.map(result).collect::<Vec<_>>());
                results.concat().iter().map(|value| value.to_bits()).collect::<Vec<_>>()
            };
            let one = run(1);
            assert!(one == run(2) && one == run(3) && one == run(8), "{} on {name}", algorithm.name());
        }
    }
}

#[test]
fn convolution_is_cross_correlation_with_the_flipped_filter() {
    let flipped = Conv2dSettings { mode: ConvMode::Convolution, padding: Padding::Same, ..Default::default() };
    let g = geometry(flipped, [2, 6, 5, 3], [3, 2, 3, 4]);
    let correlation = Conv2dGeometry { mode: ConvMode::CrossCorrelation, ..g };
    let case = Case::new(g, 11);
    let tap = g.group_in_c() * g.out_c;
    let w = case.w.chunks_exact(tap).rev().flatten().copied().collect();
    let turned = Case { g: correlation, w, ..Case::new(correlation, 11) };
    for &algorithm in ALGORITHMS.iter().filter(|algorithm| algorithm.supports(&g, Pass::Forward)) {
        let (y, expected) = (case.bare(algorithm), turned.bare(algorithm));
        for (y, expected) in y.iter().zip(&expected) {
            assert!((y - expected).abs() <= 1e-5, "{}: {y} and {expected}", algorithm.name());
        }
    }
}

#[test]
fn a_delta_filter_in_convolution_mode_shifts_the_image() {
    let settings = Conv2dSettings { mode: ConvMode::Convolution, padding: Padding::Same, ..Default::default() };
    let g = geometry(settings, [1, 1, 4, 1], [1, 3, 1, 1]);
    for &algorithm in ALGORITHMS {
        // (x * δ₊₁)[p] = x[p - 1]: the last tap of a true convolution looks back.
        let case = Case { x: vec![1.0, 2.0, 3.0, 4.0], w: vec![0.0, 0.0, 1.0], ..Case::new(g, 0) };
        if algorithm.supports(&g, Pass::Forward) {
            assert_eq!(case.bare(algorithm), [0.0, 1.0, 2.0, 3.0], "{}", algorithm.name());
        }
    }
}

#[test]
fn algorithms_are_found_by_name_and_by_support() {
    let g = geometry(Conv2dSettings::default(), [1, 4, 4, 2], [3, 3, 2, 2]);
    for &algorithm in ALGORITHMS {
        assert_eq!(by_name(algorithm.name()).map(Algorithm::name), Some(algorithm.name()));
    }
    assert!(by_name("fft").is_none());
    for pass in Pass::ALL {
        assert!(choose(&g, pass, Precision::Fast).algorithm.supports(&g, pass));
        assert_eq!(choose(&g, pass, Precision::Strict).algorithm.precision(), Precision::Strict);
        assert_eq!(Choice::forced("naive", Precision::Fast, &g, pass).algorithm.name(), "naive");
    }
    assert_eq!(ALGORITHMS.last().map(|algorithm| algorithm.name()), Some("naive"));
}

/// 1 × 1 filters, and one as large as its image.
#[test]
fn filters_in_bf16_give_the_bits_of_rounded_ones() {
    let alone = Conv2dSettings::default();
    for (input, filter) in
        [([2, 5, 7, 300], [1, 1, 300, 41]), ([3, 4, 4, 20], [4, 4, 20, 70]), ([1, 1, 1, 9], [1, 1, 9, 5])]
    {
        let case = Case::new(geometry(alone, input, filter), 3);
        let g = &case.g;
        let exact = choose(g, Pass::Forward, Precision::Bf16).algorithm;
        let in_bf16 = exact.in_bf16().unwrap();
        let w: Vec<f32> = case.w.iter().map(|&w| crate::gemm::bf16::rounded(w)).collect();
        on_every_set(|set| {
            let forward = |algorithm: &dyn Algorithm, w: &[f32]| {
                let mut prepared = vec![f32::NAN; algorithm.prepared_len(g, Pass::Forward)];
                algorithm.prepare(g, Pass::Forward, w, &mut prepared);
                let (mut y, mut workspace) = (vec![f32::NAN; g.output_len()], vec![f32::NAN; 1 << 20]);
                let epilogue = Epilogue::bias(Some(&case.bias));
                algorithm.forward(g, &case.x, &prepared, &epilogue, &mut y, &mut workspace);
                (y, prepared.len())
            };
            let ((got, words), (expected, numbers)) = (forward(in_bf16, &case.w), forward(exact, &w));
            assert_eq!(got, expected, "{set}: {g:?}");
            assert!(words <= numbers / 2 + g.patch_len() * 16, "{set}: {words} words for {numbers} numbers");
        });
    }
}

#[test]
fn workspaces_stay_bounded() {
    let same = Conv2dSettings { padding: Padding::Same, ..Default::default() };
    for (input, filter) in [
        ([64, 224, 224, 64], [3, 3, 64, 64]),
        ([64, 14, 14, 512], [3, 3, 512, 512]),
        ([1, 7, 7, 512], [7, 7, 512, 4096]),
        ([256, 28, 28, 1], [5, 5, 1, 6]),
    ] {
        let g = geometry(same, input, filter);
        for pass in Pass::ALL {
            let bytes = 4 * choose(&g, pass, Precision::Fast).algorithm.workspace(&g, pass);
            assert!(bytes <= 32 << 20, "{pass:?} of {input:?} x {filter:?} asks for {bytes} bytes");
        }
    }
}

/// Checks that the scratch memory of a pass is known before, and that hardly more is promised: copies that few columns
/// do not pay for.
#[test]
fn scratch_memory_is_what_was_promised() {
    let same = Conv2dSettings { padding: Padding::Same, ..Default::default() };
    let strided = Conv2dSettings { stride_h: 2, stride_w: 2, ..same };
    for (settings, input, filter) in [
        (same, [2, 13, 17, 3], [3, 3, 3, 20]),
        (same, [3, 14, 14, 256], [3, 3, 256, 72]),
        (same, [2, 28, 20, 300], [3, 3, 300, 270]),
        (strided, [2, 56, 40, 3], [7, 7, 3, 64]),
        (strided, [4, 15, 15, 64], [3, 3, 64, 128]),
        (same, [3, 14, 14, 600], [1, 1, 600, 200]),
        (same, [3, 30, 30, 24], [1, 1, 24, 80]),
        (Conv2dSettings::default(), [6, 6, 6, 64], [6, 6, 64, 130]),
        (Conv2dSettings { groups: 4, ..same }, [2, 20, 20, 16], [5, 5, 4, 24]),
    ] {
        let case = Case::new(geometry(settings, input, filter), 1);
        for set in InstructionSet::available() {
            let taken_and_promised = |algorithm: &dyn Algorithm, pass: Pass| {
                // The current instruction set is a thread's.
                let taken = scratch::recorder::taken(|| {
                    set.scoped(|| match pass {
                        Pass::Forward => drop(case.bare(algorithm)),
                        Pass::BackwardData => {
                            drop(case.backward_data(algorithm, vec![0.0; case.g.input_len()], Accumulate::Set));
                        }
                        Pass::BackwardFilter => {
                            drop(case.backward_filter(algorithm, vec![0.0; case.g.filter_len()], Accumulate::Set));
                        }
                    });
                });
                (taken, set.scoped(|| algorithm.scratch(&case.g, pass)))
            };
            for pass in Pass::ALL {
                let fast = planned().iter();
                for &algorithm in fast.filter(|algorithm| algorithm.supports(&case.g, pass)) {
                    let (taken, promised) = taken_and_promised(algorithm, pass);
                    let what = format!("{set}, {}, {pass:?} of {input:?} x {filter:?}", algorithm.name());
                    assert_eq!(promised.or(taken), promised, "{what}: {taken:?}");
                    // Of the copies of two slabs, the shorter one is small.
                    let most = taken.bytes() + left_block_bytes() + (128 << 10);
                    assert!(promised.bytes() <= most, "{what}: {taken:?} of {promised:?}");
                }
            }
        }
    }
}

/// Plans are made before memory is asked for: a batch that no machine holds is refused there, and not by an overflow here.
#[test]
fn costs_and_workspaces_of_the_largest_shapes_do_not_overflow() {
    let same = Conv2dSettings { padding: Padding::Same, ..Default::default() };
    for (settings, input, filter) in [
        (same, [1 << 20, 4096, 4096, 4096], [3, 3, 4096, 4096]),
        (same, [1 << 20, 4096, 4096, 4096], [1, 1, 4096, 4096]),
        (Conv2dSettings { stride_w: 2, ..same }, [1 << 20, 4096, 4096, 4096], [5, 5, 4096, 4096]),
        (Conv2dSettings { groups: 4096, ..same }, [1 << 20, 4096, 4096, 4096], [3, 3, 1, 4096]),
    ] {
        let g = geometry(settings, input, filter);
        for pass in Pass::ALL {
            for algorithm in ALGORITHMS.iter().filter(|algorithm| algorithm.supports(&g, pass)) {
                let scratch = algorithm.scratch(&g, pass).bytes();
                let sizes = (algorithm.workspace(&g, pass), algorithm.prepared_len(&g, pass), scratch);
                let cost = algorithm.cost(&g, pass);
                assert!(cost.is_finite() && cost > 0.0, "{}: {cost}, {sizes:?}", algorithm.name());
            }
        }
    }
}

/// A drawn convolution of at most a few thousand multiplications.
fn any_geometry() -> impl Strategy<Value = Conv2dGeometry> {
    let sizes = (1_usize..4, 1_usize..12, 1_usize..12);
    let channels = (1_usize..4, 1_usize..4, 1_usize..4);
    let kernel = (1_usize..6, 1_usize..6);
    let steps = (1_usize..4, 1_usize..4, 1_usize..4, 1_usize..4);
    let padding = prop_oneof![
        Just(Padding::Valid),
        Just(Padding::Same),
        (0_usize..4, 0_usize..4, 0_usize..4, 0_usize..4).prop_map(|(top, bottom, left, right)| Padding::Explicit {
            top,
            bottom,
            left,
            right
        }),
    ];
    let mode = prop_oneof![Just(ConvMode::CrossCorrelation), Just(ConvMode::Convolution)];
    (sizes, channels, kernel, steps, padding, mode).prop_filter_map("no window fits", |drawn| {
        let ((batch, in_h, in_w), (groups, group_in_c, group_out_c), (kernel_h, kernel_w), steps, padding, mode) =
            drawn;
        let (stride_h, stride_w, dilation_h, dilation_w) = steps;
        let settings = Conv2dSettings { stride_h, stride_w, dilation_h, dilation_w, padding, groups, mode };
        let input = [batch, in_h, in_w, groups * group_in_c];
        let filter = [kernel_h, kernel_w, group_in_c, groups * group_out_c];
        Conv2dGeometry::new(&settings, input, filter).ok()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn drawn_geometries_equal_the_definition(g in any_geometry(), seed in any::<u64>()) {
        check(g, seed);
    }

    /// `⟨dy, conv(x, w)⟩ = ⟨dx, x⟩ = ⟨dw, w⟩`: the backward passes are the adjoints of the forward pass.
    #[test]
    fn backward_is_adjoint_to_forward(g in any_geometry(), seed in any::<u64>()) {
        let case = Case::new(g, seed);
        let magnitude = {
            let (x, w, dy) = (absolute(&case.x), absolute(&case.w), absolute(&case.dy));
            let mut y = vec![0.0; g.output_len()];
            conv2d_forward(&g, &x, &w, &Epilogue::default(), &mut y);
            dot(&dy, &y)
        };
        let longest = g.patch_len().max(g.output_pixels()).max(g.kernel_h * g.kernel_w * g.group_out_c());
        let bound = 2.0 * (longest + 2) as f64 * f64::from(f32::EPSILON) * magnitude;
        let forward = dot(&case.dy, &case.bare(&Naive));
        for &algorithm in ALGORITHMS {
            let bound = if algorithm.precision() == Precision::Strict { bound } else { bound * f64::from(FAST_ERROR) };
            let products = Pass::ALL.into_iter().filter(|&pass| algorithm.supports(&g, pass)).map(|pass| match pass {
                Pass::Forward => dot(&case.dy, &case.bare(algorithm)),
                Pass::BackwardData => {
                    dot(&case.backward_data(algorithm, vec![f32::NAN; g.input_len()], Accumulate::Set), &case.x)
                }
                Pass::BackwardFilter => {
                    dot(&case.backward_filter(algorithm, vec![f32::NAN; g.filter_len()], Accumulate::Set), &case.w)
                }
            });
            for product in products {
                prop_assert!((forward - product).abs() <= bound, "{}: {forward} and {product}", algorithm.name());
            }
        }
    }
}
