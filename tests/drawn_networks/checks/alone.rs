//! In inference a sample has the results that it has among others.

use super::values;
use crate::{
    case::Case,
    noise::{Reference, Results, changed},
};
use ocelli::{
    graph::{ValueInfo, ValueSource},
    prelude::*,
};

pub fn check(case: &Case) -> Result<bool, String> {
    let n = case.network.batch;
    // The last axis of one number for each sample is the samples: a softmax of it is over the batch.
    let is_row = |value: &ValueInfo| value.shape.rank() == 1 && value.source == ValueSource::Call;
    let mixes = case.network.mixes_samples() || case.network.sample.is_empty();
    if mixes || n < 2 || case.fast.graph().values.iter().any(is_row) {
        return Ok(false);
    }
    let Some(together) = values(&case.strict, &case.batch, &["output"])? else { return Ok(false) };
    let Ok(input) = case.batch.tensor("input") else { return Ok(false) };
    for sample in [0, n - 1] {
        let alone = Batch::new().with("input", input.rows(sample..sample + 1));
        let row = |results: &Results| -> Results {
            let each = |(name, numbers): &(String, Vec<f32>)| {
                let len = numbers.len() / n;
                (name.clone(), numbers[sample * len..(sample + 1) * len].to_vec())
            };
            results.iter().map(each).collect()
        };
        let mut scratch = case.strict.clone();
        let mut reference = Reference::new(row(&together), |draw| {
            let batch = changed(&mut scratch, &case.strict, &case.batch, Reference::change(), draw);
            Some(row(&values(&scratch, &batch, &["output"]).ok()??))
        });
        for (who, model) in [("strict", &case.strict), ("fast", &case.fast)] {
            let who = format!("{who}, sample {sample} alone");
            let got = values(model, &alone, &["output"])?.ok_or_else(|| format!("{who}: refused"))?;
            reference.compare(&who, &got)?;
        }
    }
    Ok(true)
}
