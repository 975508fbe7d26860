//! Gradients of several steps as one.

use crate::Gradients;

/// The mean of the gradients of several steps: a large batch in pieces. Its memory is allocated once.
///
/// ```
/// # use ocelli_graph::{Batch, Constant, Model, Tensor};
/// # let mut model = Model::build(|x| x * x.trace().parameter("w", [3], Constant(1.0)), [3], 0)?;
/// # let mut objective = model.objective(|t| t.output().square().mean())?;
/// # let pieces = [Batch::new().with("input", Tensor::full([2, 3], 1.0))];
/// use ocelli_train::{Accumulated, Optimizer, Sgd};
/// let (mut sgd, mut sum) = (Sgd::new(0.1), Accumulated::new());
/// for piece in &pieces {
///     sum.add(&objective.step(&mut model, piece)?);
/// }
/// sgd.step(&mut model, &sum)?;
/// sum.clear();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Accumulated {
    sums: Vec<(String, Vec<f32>)>,
    steps: usize,
}

impl Accumulated {
    /// Nothing yet.
    pub fn new() -> Accumulated {
        Accumulated::default()
    }

    /// Adds the gradients of a step.
    pub fn add(&mut self, gradients: &dyn Gradients) {
        let (mut at, scale, first) = (0, gradients.scale(), self.steps == 0);
        gradients.each(&mut |path, gradient| {
            if at == self.sums.len() {
                self.sums.push((path.to_string(), vec![0.0; gradient.len()]));
            }
            let sum = self.sums[at].1.iter_mut().zip(gradient);
            if first {
                sum.for_each(|(sum, g)| *sum = scale * g)
            } else {
                sum.for_each(|(sum, g)| *sum += scale * g)
            }
            at += 1;
        });
        self.steps += 1;
    }

    /// How many steps were added.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Begins again; keeps the memory.
    pub fn clear(&mut self) {
        self.steps = 0;
    }
}

impl Gradients for Accumulated {
    fn each(&self, f: &mut dyn FnMut(&str, &[f32])) {
        // Sums that were cleared are memory and no gradients.
        if self.steps > 0 {
            self.sums.iter().for_each(|(path, sum)| f(path, sum));
        }
    }

    fn scale(&self) -> f32 {
        1.0 / self.steps.max(1) as f32
    }
}
