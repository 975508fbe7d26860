use super::*;
use crate::Accumulate;
use ocelli_simd::InstructionSet;
use proptest::prelude::*;

fn numbers(len: usize) -> Vec<f32> {
    // Few different values, so that windows have equals.
    (0..len).map(|i| ((i * 7919) % 23) as f32 * 0.25 - 2.0).collect()
}

fn close(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-5 * (1.0 + b.abs()))
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

fn check(settings: PoolSettings, input: [usize; 4]) {
    let Ok(g) = PoolGeometry::new(&settings, input) else { return };
    let (x, dy) = (numbers(g.input_len()), numbers(g.output_len()));
    let (expected, expected_places) = naive::max_forward(&g, &x);
    for set in InstructionSet::available() {
        set.scoped(|| {
            let (mut y, mut places) = (vec![9.0; g.output_len()], vec![9.0; g.output_len()]);
            max_forward(&g, &x, &mut y, Some(&mut places));
            assert_eq!((&y, &places), (&expected, &expected_places), "{g:?}");
            max_forward(&g, &x, &mut y, None);
            assert_eq!(y, expected);
            let mut dx = vec![9.0; g.input_len()];
            max_backward(&g, &dy, &places, &mut dx, Accumulate::Set);
            assert!(close(&dx, &naive::max_backward(&g, &dy, &places)), "{g:?}");
            let once = dx.clone();
            max_backward(&g, &dy, &places, &mut dx, Accumulate::Add);
            assert!(close(&dx, &once.iter().map(|v| 2.0 * v).collect::<Vec<_>>()));
            for count in [CountPadding::Include, CountPadding::Exclude] {
                average_forward(&g, count, &x, &mut y);
                assert!(close(&y, &naive::average_forward(&g, count, &x)), "{count:?} {g:?}");
                average_backward(&g, count, &dy, &mut dx, Accumulate::Set);
                let (left, right) = (dot(&y, &dy), dot(&x, &dx));
                assert!((left - right).abs() <= 1e-4 * (1.0 + left.abs()), "{left} {right} {g:?}");
            }
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn any_geometry(
        (kernel_h, kernel_w) in (1usize..5, 1usize..5),
        (stride_h, stride_w) in (1usize..4, 1usize..4),
        pads in [0usize..3, 0usize..3, 0usize..3, 0usize..3],
        input in [1usize..3, 1usize..10, 1usize..10, 1usize..20],
        ceil in any::<bool>(),
    ) {
        let rounding = if ceil { Rounding::Ceil } else { Rounding::Floor };
        let [pad_top, pad_bottom, pad_left, pad_right] = pads;
        let settings =
            PoolSettings { kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_bottom, pad_left, pad_right, rounding };
        check(settings, input);
    }

    #[test]
    fn any_adaptive(input in [1usize..3, 1usize..10, 1usize..10, 1usize..5], out in [1usize..6, 1usize..6]) {
        let len = |h: usize, w: usize| input[0] * h * w * input[3];
        let (x, dy) = (numbers(len(input[1], input[2])), numbers(len(out[0], out[1])));
        let (mut y, mut dx) = (vec![0.0; dy.len()], vec![0.0; x.len()]);
        adaptive_forward(input, out, &x, &mut y);
        adaptive_backward(input, out, &dy, &mut dx, Accumulate::Set);
        prop_assert!((dot(&y, &dy) - dot(&x, &dx)).abs() < 1e-3);
        let constant = vec![2.5; x.len()];
        adaptive_forward(input, out, &constant, &mut y);
        prop_assert!(y.iter().all(|v| (v - 2.5).abs() < 1e-5));
    }
}

#[test]
fn many_pictures_go_to_threads_and_keep_their_bits() {
    let g = PoolGeometry::new(&PoolSettings { stride_h: 2, stride_w: 2, ..PoolSettings::square(3) }, [9, 65, 63, 6]).unwrap();
    let (x, dy) = (numbers(g.input_len()), numbers(g.output_len()));
    let run = |threads| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
            let (mut y, mut places) = (vec![0.0; g.output_len()], vec![0.0; g.output_len()]);
            let mut dx = vec![0.0; g.input_len()];
            max_forward(&g, &x, &mut y, Some(&mut places));
            max_backward(&g, &dy, &places, &mut dx, Accumulate::Set);
            (y, places, dx)
        })
    };
    let one = run(1);
    assert!([2, 8].iter().all(|&threads| run(threads) == one));
    assert_eq!((one.0, one.1), naive::max_forward(&g, &x));
}

#[test]
fn nan_stays() {
    let g = PoolGeometry::new(&PoolSettings::square(2), [1, 2, 2, 1]).unwrap();
    for at in 0..4 {
        let mut x = [1.0, 2.0, 3.0, 4.0];
        x[at] = f32::NAN;
        let mut y = [0.0];
        max_forward(&g, &x, &mut y, None);
        assert!(y[0].is_nan(), "NaN at {at}");
    }
}

#[test]
fn contradictions_are_sentences() {
    let error = |settings: PoolSettings| PoolGeometry::new(&settings, [1, 4, 4, 1]).unwrap_err().to_string();
    assert_eq!(error(PoolSettings::square(0)), "kernel_h must be at least 1, got 0");
    assert_eq!(error(PoolSettings { stride_w: 0, ..PoolSettings::square(2) }), "stride_w must be at least 1, got 0");
    assert_eq!(error(PoolSettings::square(5)), "a window of 5 pixels on axis H does not fit into 4");
    assert_eq!(
        error(PoolSettings { pad_left: 2, ..PoolSettings::square(3) }),
        "padding 2 on axis W is more than half of a window of 3"
    );
}
