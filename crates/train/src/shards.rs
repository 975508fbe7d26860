//! Batches in shards, whose gradients are summed in a fixed tree.
//!
//! A batch is cut into a fixed number of shards. Each is a step of its own, with batch statistics of its own, from the same
//! parameters and running statistics. What the shards give, gradients, new running statistics and the loss, is summed in a
//! binary tree over the shards that depends on nothing but their number:
//!
//! ```text
//! sum(a..b) = sum(a..m) + sum(m..b)    with m = (a + b) / 2
//! ```
//!
//! So several processes that each compute a subtree, and put the sums together in the tree's order, have the bits of one process
//! that computes all shards.

use crate::{Error, Gradients, Result};
use ocelli_graph::{Model, Objective, Step};
use ocelli_tensor::{Batch, Tensor, Value};
use std::ops::Range;

/// The number of shards that each batch is cut into.
///
/// The shards are as equal as can be: `shard` has the samples `shard·N / count .. (shard + 1)·N / count`. In a batch of fewer
/// samples than shards some are empty and count for nothing.
///
/// ```
/// use ocelli_train::BatchShards;
/// let shards = BatchShards::new(4)?;
/// assert_eq!((0..4).map(|shard| shards.samples(10, shard)).collect::<Vec<_>>(), [0..2, 2..5, 5..7, 7..10]);
/// # Ok::<(), ocelli_train::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchShards(usize);

/// Most shards of a batch.
const MOST: usize = 1 << 16;

/// Eight, which 1, 2, 4 or 8 processes can share.
impl Default for BatchShards {
    fn default() -> BatchShards {
        BatchShards(8)
    }
}

impl BatchShards {
    /// Cuts each batch into `count` shards.
    ///
    /// # Errors
    /// [`Error::Setting`] for none, or more than 65,536.
    pub fn new(count: usize) -> Result<BatchShards> {
        if !(1..=MOST).contains(&count) {
            return Err(Error::Setting(format!("a batch can be cut into 1 to {MOST} shards, not {count}")));
        }
        Ok(BatchShards(count))
    }

    /// Returns the number of shards.
    pub fn count(self) -> usize {
        self.0
    }

    /// Returns the samples of a shard in a batch of so many.
    pub fn samples(self, batch: usize, shard: usize) -> Range<usize> {
        // Both factors are below 2⁶⁴, and a product of them is not.
        let at = |shard: usize| (shard as u128 * batch as u128 / self.0 as u128) as usize;
        at(shard)..at(shard + 1)
    }

    /// Returns the shards of a rank among `ranks` processes, which are a subtree of the sum.
    ///
    /// # Errors
    /// [`Error::Setting`] unless `ranks` is a power of two that divides the number of shards, and `rank` is below it.
    pub fn of_rank(self, rank: usize, ranks: usize) -> Result<Range<usize>> {
        if !ranks.is_power_of_two() || !self.0.is_multiple_of(ranks) || rank >= ranks {
            let reason = format!("{} shards cannot be shared by {ranks} processes", self.0);
            return Err(Error::Setting(format!(
                "{reason}: their number must be a power of two that divides the shards"
            )));
        }
        let each = self.0 / ranks;
        Ok(rank * each..(rank + 1) * each)
    }
}

/// The sum over a subtree of shards: each weighs as much as it has samples.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShardSum {
    /// Number of samples.
    pub samples: usize,
    /// The sum of losses, each times its samples.
    pub loss: f64,
    /// Gradients in the order in which backward makes them, then new values of the state; see [`ShardedObjective::places`].
    pub numbers: Vec<f32>,
}

impl ShardSum {
    /// Adds a shard, which is the subtree to the right of this one.
    fn add_step(&mut self, step: &Step<'_>) {
        let weight = step.batch() as f32;
        let parts = step.gradients().chain(step.updates()).map(|(_, part)| part);
        if self.numbers.is_empty() {
            parts.for_each(|part| self.numbers.extend(part.iter().map(|number| weight * number)));
        } else {
            let mut rest = self.numbers.as_mut_slice();
            for part in parts {
                let (left, after) = rest.split_at_mut(part.len());
                left.iter_mut().zip(part).for_each(|(left, number)| *left += weight * number);
                rest = after;
            }
        }
        self.samples += step.batch();
        self.loss += weighted_loss(step);
    }

    /// Adds the sum of the subtree to the right of this one. An empty sum is that of no shard.
    pub fn add(&mut self, right: &ShardSum) {
        if self.numbers.is_empty() {
            self.numbers.clone_from(&right.numbers);
        } else {
            add_all(&mut self.numbers, &right.numbers);
        }
        self.samples += right.samples;
        self.loss += right.loss;
    }
}

/// Returns the sum of the losses of a step's samples.
fn weighted_loss(step: &Step<'_>) -> f64 {
    step.batch() as f64 * f64::from(step.loss())
}

/// The sum's numbers while the last shard is computed.
struct LastShard<'s> {
    /// The numbers that are final.
    numbers: Vec<f32>,
    /// Samples of the shard.
    weight: f32,
    /// The subtrees to its left, the nearest first.
    left: &'s [ShardSum],
    made: &'s mut (dyn FnMut(&[f32]) + Send),
}

impl LastShard<'_> {
    /// Adds the subtrees to the next part of the shard.
    fn add(&mut self, part: &[f32]) {
        let start = self.numbers.len();
        self.numbers.extend(part.iter().map(|number| self.weight * number));
        let sum = &mut self.numbers[start..];
        for left in self.left.iter().filter(|left| !left.numbers.is_empty()) {
            sum.iter_mut().zip(&left.numbers[start..]).for_each(|(right, left)| *right += left);
        }
        (self.made)(sum);
    }
}

/// Adds numbers to as many others: the sum of two neighbours in the tree. None are those of no shard.
pub fn add_all(left: &mut [f32], right: &[f32]) {
    left.iter_mut().zip(right).for_each(|(left, right)| *left += right);
}

/// The place of one gradient or one state among the numbers of a [`ShardSum`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberPlace {
    /// Path of the parameter or state.
    pub path: String,
    /// Where its numbers lie.
    pub range: Range<usize>,
}

/// A function that is called with the step of every shard and its part of the batch.
type Each<'e> = dyn FnMut(&Step<'_>, &Batch) -> Result<()> + 'e;

/// An objective whose steps are taken in shards.
///
/// ```
/// # use ocelli_graph::{Batch, Constant, Model, Tensor};
/// # let mut model = Model::build(|x| x * x.trace().parameter("w", [3], Constant(1.0)), [3], 0)?;
/// # let objective = model.objective(|t| t.output().square().mean())?;
/// # let batch = Batch::new().with("input", Tensor::full([16, 3], 1.0));
/// use ocelli_train::{BatchShards, Optimizer, Sgd, ShardedObjective};
/// let mut sharded = ShardedObjective::new(&model, objective, BatchShards::new(8)?);
/// let sum = sharded.step(&mut model, &batch, |_, _| Ok(()))?;
/// Sgd::new(0.1).step(&mut model, &sum)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ShardedObjective {
    objective: Objective,
    shards: BatchShards,
    /// The places of all values, those of gradients first.
    places: Vec<NumberPlace>,
    gradients: usize,
    steps: u64,
    /// The sum of the last step.
    sum: ShardSum,
    /// Memory of sums that were added to others: that of new ones would be cleared by the system first.
    spare: Vec<Vec<f32>>,
}

/// The mean of the gradients of a batch in shards.
#[derive(Clone, Debug)]
pub struct ShardedStep<'o> {
    places: &'o [NumberPlace],
    sum: &'o ShardSum,
}

impl ShardedStep<'_> {
    /// Returns the mean loss over all samples.
    pub fn loss(&self) -> f64 {
        self.sum.loss / self.sum.samples.max(1) as f64
    }
}

impl Gradients for ShardedStep<'_> {
    fn each(&self, f: &mut dyn FnMut(&str, &[f32])) {
        self.places.iter().for_each(|place| f(&place.path, &self.sum.numbers[place.range.clone()]));
    }

    fn scale(&self) -> f32 {
        1.0 / self.sum.samples.max(1) as f32
    }

    fn samples(&self) -> usize {
        self.sum.samples
    }
}

impl ShardedObjective {
    /// Takes the steps of an objective of this model in shards.
    pub fn new(model: &Model, objective: Objective, shards: BatchShards) -> ShardedObjective {
        let objective = if shards.count() > 1 { objective.preparing_once() } else { objective };
        let mut end = 0;
        let place = |path: &str| {
            let start = end;
            end += model.parameters().value(path).map_or(0, Tensor::len);
            NumberPlace { path: path.to_string(), range: start..end }
        };
        let places: Vec<NumberPlace> = objective.gradient_names().chain(objective.update_names()).map(place).collect();
        let (gradients, steps) = (objective.gradient_names().count(), objective.steps());
        ShardedObjective { objective, shards, places, gradients, steps, sum: ShardSum::default(), spare: Vec::new() }
    }

    /// Returns the shards of a batch.
    pub fn shards(&self) -> BatchShards {
        self.shards
    }

    /// Returns the objective; its own count of steps is that of shards.
    pub fn objective(&self) -> &Objective {
        &self.objective
    }

    /// Returns the number of steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Continues the count of an earlier run, so that a resumed run draws what an uninterrupted one would have drawn.
    pub fn set_steps(&mut self, steps: u64) {
        self.steps = steps;
    }

    /// Returns the places of gradients, in the order in which backward makes them, then those of states.
    pub fn places(&self) -> &[NumberPlace] {
        &self.places
    }

    /// Computes all shards of a batch, calls `each` with every one in order, and updates the model's running statistics to the
    /// mean of what the shards make of them.
    ///
    /// # Errors
    /// The errors of [`Objective::step`] and of `each`; nothing is updated then.
    pub fn step(
        &mut self,
        model: &mut Model,
        batch: &Batch,
        each: impl FnMut(&Step<'_>, &Batch) -> Result<()>,
    ) -> Result<ShardedStep<'_>> {
        let sum = self.sum(model, batch, 0..self.shards.count(), each)?;
        self.finish(model, sum)
    }

    /// Sums the shards of a range, which must be a subtree of the sum, and calls `each` with every shard and its part of the
    /// batch. Nothing is updated. `batch` is the whole one.
    ///
    /// # Errors
    /// The errors of [`Objective::step`] and of `each`.
    pub fn sum(
        &mut self,
        model: &Model,
        batch: &Batch,
        shards: Range<usize>,
        mut each: impl FnMut(&Step<'_>, &Batch) -> Result<()>,
    ) -> Result<ShardSum> {
        self.subtree(model, batch, shards, &mut each)
    }

    /// Sums as [`ShardedObjective::sum`], and calls `made` with each part of the sum's numbers, from the first to the last,
    /// as soon as it is final: gradients while backward of the last shard goes on. Whoever exchanges them with other
    /// processes meanwhile has less to wait for in the end.
    ///
    /// # Errors
    /// The errors of [`Objective::step`] and of `each`.
    pub fn sum_watched(
        &mut self,
        model: &Model,
        batch: &Batch,
        shards: Range<usize>,
        mut each: impl FnMut(&Step<'_>, &Batch) -> Result<()>,
        mut made: impl FnMut(&[f32]) + Send,
    ) -> Result<ShardSum> {
        let (mut left, mut range) = (Vec::new(), shards);
        while range.len() > 1 {
            let middle = range.start.midpoint(range.end);
            left.push(self.subtree(model, batch, range.start..middle, &mut each)?);
            range.start = middle;
        }
        left.reverse();
        if range.clone().all(|shard| self.shards.samples(batch.len(), shard).is_empty()) {
            let sum = left.into_iter().fold(ShardSum::default(), |right, mut left| {
                left.add(&right);
                left
            });
            made(&sum.numbers);
            return Ok(sum);
        }
        let part = self.draw_for(batch, range.start);
        let numbers = self.empty_sum().numbers;
        let mut last = LastShard { numbers, weight: part.len() as f32, left: &left, made: &mut made };
        let step = self.objective.evaluate_watched(model, &part, &mut |_, gradient| last.add(gradient))?;
        each(&step, &part)?;
        let mut seen = 0;
        for (_, part) in step.gradients().chain(step.updates()) {
            if seen == last.numbers.len() {
                last.add(part);
            }
            seen += part.len();
        }
        let own = ShardSum { samples: step.batch(), loss: weighted_loss(&step), numbers: Vec::new() };
        let numbers = last.numbers;
        let of_left = |right: ShardSum, left: &ShardSum| ShardSum {
            samples: left.samples + right.samples,
            loss: left.loss + right.loss,
            numbers: Vec::new(),
        };
        let sum = ShardSum { numbers, ..left.iter().fold(own, of_left) };
        self.spare.extend(left.into_iter().map(|left| left.numbers));
        Ok(sum)
    }

    fn subtree(&mut self, model: &Model, batch: &Batch, shards: Range<usize>, each: &mut Each<'_>) -> Result<ShardSum> {
        match shards.len() {
            0 => Ok(ShardSum::default()),
            1 => {
                let mut sum = self.empty_sum();
                self.add_shard(model, batch, shards.start, each, &mut sum)?;
                Ok(sum)
            }
            _ => {
                let middle = shards.start.midpoint(shards.end);
                let mut sum = self.subtree(model, batch, shards.start..middle, each)?;
                if shards.end - middle == 1 {
                    self.add_shard(model, batch, middle, each, &mut sum)?;
                } else {
                    let right = self.subtree(model, batch, middle..shards.end, each)?;
                    sum.add(&right);
                    self.spare.push(right.numbers);
                }
                Ok(sum)
            }
        }
    }

    /// Adds a shard to the sum of the subtree to its left.
    fn add_shard(
        &mut self,
        model: &Model,
        batch: &Batch,
        shard: usize,
        each: &mut Each<'_>,
        sum: &mut ShardSum,
    ) -> Result<()> {
        if self.shards.samples(batch.len(), shard).is_empty() {
            return Ok(());
        }
        let part = self.draw_for(batch, shard);
        let step = self.objective.evaluate(model, &part)?;
        each(&step, &part)?;
        sum.add_step(&step);
        Ok(())
    }

    /// Returns the sum of no shard, with memory for one.
    fn empty_sum(&mut self) -> ShardSum {
        let len = self.places.last().map_or(0, |place| place.range.end);
        let mut numbers = self.spare.pop().unwrap_or_else(|| std::mem::take(&mut self.sum.numbers));
        numbers.clear();
        numbers.reserve_exact(len);
        ShardSum { numbers, ..ShardSum::default() }
    }

    /// Returns a shard's part of a batch, and lets the objective draw for it: every shard has a dropout of its own.
    fn draw_for(&mut self, batch: &Batch, shard: usize) -> Batch {
        let steps = self.steps.wrapping_mul(self.shards.count() as u64);
        self.objective.set_steps(steps.wrapping_add(shard as u64));
        part_of(batch, self.shards.samples(batch.len(), shard))
    }

    /// Ends a step with the sum over all shards: updates the model's running statistics and returns the gradients.
    ///
    /// # Errors
    /// [`Error::Data`] if there was no sample, or the sum is not one of this objective.
    pub fn finish(&mut self, model: &mut Model, sum: ShardSum) -> Result<ShardedStep<'_>> {
        let numbers = self.places.last().map_or(0, |place| place.range.end);
        if sum.samples == 0 || sum.numbers.len() != numbers {
            return Err(Error::Data(format!(
                "a sum of {} samples and {} numbers is not one of {numbers}",
                sum.samples,
                sum.numbers.len()
            )));
        }
        let factor = 1.0 / sum.samples as f32;
        for NumberPlace { path, range } in &self.places[self.gradients..] {
            if let Some(value) = model.parameters_mut().value_mut(path) {
                let new = sum.numbers[range.clone()].iter().map(|number| factor * number);
                value.data_mut().iter_mut().zip(new).for_each(|(value, new)| *value = new);
            }
        }
        self.steps += 1;
        self.sum = sum;
        Ok(ShardedStep { places: &self.places[..self.gradients], sum: &self.sum })
    }
}

/// The samples `rows` of every tensor of a batch.
fn part_of(batch: &Batch, rows: Range<usize>) -> Batch {
    batch.iter().fold(Batch::new(), |part, (name, value)| match value {
        Value::F32(tensor) => part.with(name, tensor.rows(rows.clone())),
        Value::U32(tensor) => part.with(name, tensor.rows(rows.clone())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Optimizer, Sgd};
    use ocelli_graph::{Key, Node};
    use ocelli_layers::{BatchNorm, Conv2d, Dense};
    use ocelli_losses::softmax_cross_entropy;

    fn network(x: &Node) -> Node {
        let x = x.apply("conv", Conv2d::new(4, 3).bias(false)).apply("bn", BatchNorm::new()).relu();
        x.scope("drop", |x| x.dropout(0.2)).flatten().apply("fc", Dense::new(3))
    }

    fn model() -> Model {
        Model::build(network, [6, 6, 2], 1).unwrap()
    }

    fn objective(model: &Model) -> Objective {
        model.objective(|t| softmax_cross_entropy(&t.output(), &t.labels("labels"))).unwrap()
    }

    fn batch(samples: usize, number: u64) -> Batch {
        let input = Tensor::uniform([samples, 6, 6, 2], Key::new(number));
        let labels: Vec<u32> = (0..samples as u32).map(|i| i % 3).collect();
        Batch::new().with("input", input).with("labels", Tensor::from(labels))
    }

    fn bits(model: &Model) -> Vec<u32> {
        model.parameters().iter().flat_map(|(_, value)| value.data().iter().map(|x| x.to_bits())).collect()
    }

    /// Parameters after some steps, of which `ranks` processes compute a subtree each.
    fn trained(ranks: usize, threads: usize) -> Vec<u32> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let (mut model, shards) = (model(), BatchShards::new(8).unwrap());
            let mut sharded = ShardedObjective::new(&model, objective(&model), shards);
            let mut sgd = Sgd::new(0.1).momentum(0.9);
            // The last batch is a short one.
            for number in 0..6 {
                let batch = batch(if number == 5 { 13 } else { 32 }, number);
                let mut sums: Vec<ShardSum> = (0..ranks)
                    .map(|rank| {
                        let own = shards.of_rank(rank, ranks).unwrap();
                        sharded.sum(&model, &batch, own, |_, _| Ok(())).unwrap()
                    })
                    .collect();
                while sums.len() > 1 {
                    sums = sums
                        .chunks(2)
                        .map(|pair| {
                            let mut sum = pair[0].clone();
                            sum.add(&pair[1]);
                            sum
                        })
                        .collect();
                }
                let step = sharded.finish(&mut model, sums.remove(0)).unwrap();
                sgd.step(&mut model, &step).unwrap();
            }
            bits(&model)
        })
    }

    #[test]
    fn any_number_of_processes_and_threads_has_the_same_bits() {
        let one = trained(1, 1);
        for (ranks, threads) in [(1, 2), (1, 3), (2, 1), (4, 2), (8, 3)] {
            assert_eq!(trained(ranks, threads), one, "{ranks} processes with {threads} threads");
        }
    }

    /// Short batches have shards without samples, also at the end of a range.
    #[test]
    fn a_watched_sum_is_the_same_and_is_told_in_its_order() {
        let (model, shards) = (model(), BatchShards::new(8).unwrap());
        let mut sharded = ShardedObjective::new(&model, objective(&model), shards);
        for samples in [1, 2, 3, 5, 8, 13, 32] {
            let batch = batch(samples, 7);
            for ranks in [1, 2, 4, 8] {
                for own in (0..ranks).map(|rank| shards.of_rank(rank, ranks).unwrap()) {
                    let (mut told, mut parts) = (Vec::new(), 0);
                    let made = |part: &[f32]| {
                        told.extend_from_slice(part);
                        parts += 1;
                    };
                    let watched = sharded.sum_watched(&model, &batch, own.clone(), |_, _| Ok(()), made).unwrap();
                    assert_eq!(watched, sharded.sum(&model, &batch, own.clone(), |_, _| Ok(())).unwrap());
                    assert_eq!(told, watched.numbers, "{samples} samples, {ranks} ranks");
                    assert!(parts > 1 || shards.samples(samples, own.end - 1).is_empty());
                }
            }
        }
    }

    #[test]
    fn gradients_and_running_statistics_are_the_means_of_the_shards() {
        let (mut model, shards) = (model(), BatchShards::new(4).unwrap());
        let (batch, start) = (batch(12, 3), model.clone());
        let mut sharded = ShardedObjective::new(&model, objective(&model), shards);
        let mut means: std::collections::BTreeMap<String, Vec<f64>> = Default::default();
        let mut loss = 0.0;
        for shard in 0..4 {
            let mut alone = objective(&start);
            alone.set_steps(shard as u64);
            let step = alone.evaluate(&start, &part_of(&batch, shards.samples(12, shard))).unwrap();
            loss += f64::from(step.loss()) / 4.0;
            for (path, part) in step.gradients().chain(step.updates()) {
                let mean = means.entry(path.into()).or_insert_with(|| vec![0.0; part.len()]);
                mean.iter_mut().zip(part).for_each(|(mean, number)| *mean += f64::from(*number) / 4.0);
            }
        }
        let close = |got: &[f32], expected: &[f64]| {
            got.len() == expected.len() && got.iter().zip(expected).all(|(got, e)| (f64::from(*got) - e).abs() < 1e-6)
        };
        let step = sharded.step(&mut model, &batch, |_, _| Ok(())).unwrap();
        assert!((step.loss() - loss).abs() < 1e-6);
        let mut count = 0;
        step.each(&mut |path, gradient| {
            let gradient: Vec<f32> = gradient.iter().map(|g| step.scale() * g).collect();
            assert!(close(&gradient, &means[path]), "{path}");
            count += 1;
        });
        assert_eq!(count, 5);
        for state in ["bn.running_mean", "bn.running_var"] {
            assert!(close(model.parameters().value(state).unwrap().data(), &means[state]), "{state}");
            assert_ne!(model.parameters().value(state), start.parameters().value(state));
        }
    }

    #[test]
    fn shards_cover_a_batch_once_and_empty_ones_count_for_nothing() {
        for (count, batch) in [(1, 5), (3, 10), (8, 3), (8, 128)] {
            let shards = BatchShards::new(count).unwrap();
            let rows: Vec<usize> = (0..count).flat_map(|shard| shards.samples(batch, shard)).collect();
            assert!(rows.into_iter().eq(0..batch));
        }
        let mut model = model();
        let mut sharded = ShardedObjective::new(&model, objective(&model), BatchShards::new(8).unwrap());
        assert_eq!(sharded.step(&mut model, &batch(3, 0), |_, _| Ok(())).unwrap().samples(), 3);
        let refused = BatchShards::new(8).unwrap().of_rank(0, 3).unwrap_err().to_string();
        assert!(refused.contains("8 shards cannot be shared by 3 processes"), "{refused}");
        assert!(BatchShards::new(0).is_err());
    }
}
