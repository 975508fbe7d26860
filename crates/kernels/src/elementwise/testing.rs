//! Helpers that the tests of several kernels share.

use ocelli_simd::InstructionSet;

/// Returns values between -2 and 2 that look random, none of them zero.
pub(crate) fn numbers(length: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32 + 0.5) / (1 << 22) as f32 - 2.0
        })
        .collect()
}

/// Runs `f` on every set that this machine has.
pub(crate) fn on_every_set(f: impl Fn(InstructionSet)) {
    for set in InstructionSet::available() {
        set.scoped(|| f(set));
    }
}

/// Asserts that `f` writes the same bits into a slice of this length on 1, 2, 3 and 8 threads.
#[track_caller]
pub(crate) fn assert_same_bits_on_any_threads(length: usize, f: &(dyn Fn(&mut [f32]) + Sync)) {
    let mut results = [1, 2, 3, 8].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads can be started");
        let mut y = vec![0.25; length];
        pool.install(|| f(&mut y));
        y.into_iter().map(f32::to_bits).collect::<Vec<_>>()
    });
    let first = results[0].split_off(0);
    assert!(results[1..].iter().all(|other| *other == first), "the bits depend on the number of threads");
}

/// Asserts that two values differ by no more than `tolerance` (and that both are NaN if one is).
#[track_caller]
pub(crate) fn assert_near(got: f32, expected: f64, tolerance: f64, place: impl std::fmt::Debug) {
    let near = (f64::from(got) - expected).abs() <= tolerance
        || f64::from(got) == expected
        || (got.is_nan() && expected.is_nan());
    assert!(near, "{place:?}: {got:e}, not {expected:e} within {tolerance:e}");
}

/// Returns `Σ a b` in `f64`.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}
