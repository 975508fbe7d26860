//! The gradients of several steps as those of one.

use crate::Gradients;

/// The mean of the gradients of several steps, for a large batch in pieces of any sizes. Its memory is allocated once.
///
/// Each step weighs as much as it has samples, so that the mean is that of the whole batch for every loss that is itself a
/// mean over samples. A loss that is a sum, or a mean weighted by classes, has other gradients in pieces than as a whole.
///
/// ```
/// # use ocelli_graph::{Batch, Constant, Model, Tensor};
/// # let mut model = Model::build(|x| x * x.trace().parameter("w", [3], Constant(1.0)), [3], 0)?;
/// # let mut objective = model.objective(|t| t.output().square().mean())?;
/// # let pieces = [Batch::new().with("input", Tensor::full([2, 3], 1.0))];
/// use ocelli_train::{AccumulatedGradients, Optimizer, Sgd};
/// let (mut sgd, mut sum) = (Sgd::new(0.1), AccumulatedGradients::new());
/// for piece in &pieces {
///     sum.add(&objective.step(&mut model, piece)?);
/// }
/// sgd.step(&mut model, &sum)?;
/// sum.clear();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct AccumulatedGradients {
    sums: Vec<Sum>,
    steps: usize,
    samples: usize,
}

/// The sum for one parameter.
#[derive(Clone, Debug)]
struct Sum {
    path: String,
    values: Vec<f32>,
    /// False for memory of an earlier mean to which nothing was added since.
    in_use: bool,
}

impl AccumulatedGradients {
    /// Creates a mean of no steps.
    pub fn new() -> AccumulatedGradients {
        AccumulatedGradients::default()
    }

    /// Adds the gradients of a step, with the weight of its samples. A parameter that a step has no gradient for has a gradient
    /// of zero there.
    pub fn add(&mut self, gradients: &dyn Gradients) {
        let samples = gradients.samples();
        let (mut at, factor) = (0, gradients.scale() * samples as f32);
        gradients.each(&mut |path, gradient| {
            let sum = self.sum_for(at, path, gradient.len());
            let pairs = sum.values.iter_mut().zip(gradient);
            if sum.in_use {
                pairs.for_each(|(sum, g)| *sum += factor * g);
            } else {
                pairs.for_each(|(sum, g)| *sum = factor * g);
                sum.in_use = true;
            }
            at += 1;
        });
        self.steps += 1;
        self.samples += samples;
    }

    /// Returns the sum for a parameter, which has the index `expected` as long as every step has gradients for the same ones.
    fn sum_for(&mut self, expected: usize, path: &str, len: usize) -> &mut Sum {
        let fits = |sum: &Sum| sum.path == path && sum.values.len() == len;
        let at =
            if self.sums.get(expected).is_some_and(fits) { Some(expected) } else { self.sums.iter().position(fits) };
        let at = at.unwrap_or_else(|| {
            self.sums.push(Sum { path: path.to_string(), values: vec![0.0; len], in_use: false });
            self.sums.len() - 1
        });
        &mut self.sums[at]
    }

    /// Returns the number of steps that were added.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Begins a new mean and keeps the memory.
    pub fn clear(&mut self) {
        (self.steps, self.samples) = (0, 0);
        self.sums.iter_mut().for_each(|sum| sum.in_use = false);
    }
}

impl Gradients for AccumulatedGradients {
    fn each(&self, f: &mut dyn FnMut(&str, &[f32])) {
        self.sums.iter().filter(|sum| sum.in_use).for_each(|sum| f(&sum.path, &sum.values));
    }

    fn scale(&self) -> f32 {
        1.0 / self.samples.max(1) as f32
    }

    fn samples(&self) -> usize {
        self.samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ocelli_graph::{Batch, Constant, Key, Model, Tensor};

    /// Named gradients of so many samples.
    struct Named<'a>(&'a [(&'a str, &'a [f32])], usize);

    impl Gradients for Named<'_> {
        fn each(&self, f: &mut dyn FnMut(&str, &[f32])) {
            self.0.iter().for_each(|(path, gradient)| f(path, gradient));
        }
        fn samples(&self) -> usize {
            self.1
        }
    }

    fn means(sum: &AccumulatedGradients) -> Vec<(String, Vec<f32>)> {
        let mut list = Vec::new();
        sum.each(&mut |path, g| list.push((path.to_string(), g.iter().map(|g| sum.scale() * g).collect())));
        list
    }

    #[test]
    fn a_short_last_piece_weighs_less() {
        let mut sum = AccumulatedGradients::new();
        sum.add(&Named(&[("w", &[1.0])], 4));
        sum.add(&Named(&[("w", &[1.0])], 4));
        sum.add(&Named(&[("w", &[6.0])], 2));
        assert_eq!(means(&sum), [("w".to_string(), vec![2.0])]);
        // A sum of sums weighs as much as its samples too.
        let mut outer = AccumulatedGradients::new();
        outer.add(&sum);
        outer.add(&Named(&[("w", &[-2.0])], 30));
        assert_eq!(means(&outer), [("w".to_string(), vec![-1.0])]);
    }

    #[test]
    fn steps_may_have_gradients_for_different_parameters() {
        let mut sum = AccumulatedGradients::new();
        sum.add(&Named(&[("a", &[2.0]), ("b", &[4.0, 4.0])], 1));
        sum.add(&Named(&[("b", &[2.0, 0.0]), ("c", &[8.0])], 1));
        let expected = [("a", vec![1.0]), ("b", vec![3.0, 2.0]), ("c", vec![4.0])];
        assert_eq!(means(&sum), expected.clone().map(|(path, g)| (path.to_string(), g)));
        // What was there before is no gradient of what comes now.
        sum.clear();
        assert_eq!(means(&sum), []);
        sum.add(&Named(&[("c", &[1.0])], 3));
        assert_eq!(means(&sum), [("c".to_string(), vec![1.0])]);
    }

    /// However ten samples are cut, the gradient is that of the ten.
    #[test]
    fn pieces_of_any_sizes_are_the_whole_batch() {
        let network = |x: &ocelli_graph::Node| (x * x.trace().parameter("w", [3], Constant(0.7))).tanh();
        let mut model = Model::build(network, [3], 0).unwrap();
        let mut objective = model.objective(|t| (t.output() - 0.3).square().mean()).unwrap();
        let x = Tensor::uniform([10, 3], Key::new(5));
        let batch = |range| Batch::new().with("input", x.rows(range));
        let whole = objective.step(&mut model, &batch(0..10)).unwrap().gradient("w").unwrap().to_vec();
        // Each of the 512 subsets of the nine places between two samples is a cut.
        for cut in 0..1 << 9 {
            let mut sum = AccumulatedGradients::new();
            let mut first = 0;
            for last in 1..=10 {
                if last == 10 || cut >> (last - 1) & 1 == 1 {
                    sum.add(&objective.step(&mut model, &batch(first..last)).unwrap());
                    first = last;
                }
            }
            assert_eq!(sum.samples(), 10);
            for (whole, pieces) in whole.iter().zip(&means(&sum)[0].1) {
                assert!((whole - pieces).abs() <= 1e-6, "cut {cut:b}: {pieces} in place of {whole}");
            }
        }
    }
}
