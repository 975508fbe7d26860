//! Results have the same bits on one thread and on three.

use super::{expect_equal, gradients::WRT, loss_and_gradients, unless_refused, values};
use crate::{case::Case, noise::Results};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::sync::LazyLock;

pub static THREE: LazyLock<ThreadPool> = LazyLock::new(|| {
    ThreadPoolBuilder::new().num_threads(3).build().expect("a machine that runs this can start three threads")
});

pub fn check(case: &Case) -> Result<bool, String> {
    let here = everything(case)?;
    let there = THREE.install(|| everything(case))?;
    expect_equal("three threads", &here, &there)?;
    Ok(!here.is_empty())
}

/// Results in inference mode, loss and gradients.
fn everything(case: &Case) -> Result<Results, String> {
    // A clone has no memory of earlier runs.
    let model = case.fast.clone();
    let mut results = values(&model, &case.batch, &["output"])?.unwrap_or_default();
    if let Some(mut objective) = unless_refused(case.objective(&model, WRT))? {
        results.extend(loss_and_gradients(&mut objective, &model, &case.batch)?.unwrap_or_default());
    }
    Ok(results)
}
