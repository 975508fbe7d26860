//! A filter learned from examples, by gradient descent.

use crate::{Error, Result};
use ocelli_graph::{Batch, Model, Node, Tensor};
use ocelli_layers::Conv2d;
use ocelli_losses::mse;
use ocelli_train::{Adam, Optimizer};

/// A filter that was learned.
#[derive(Clone, Debug)]
pub struct LearnedFilter {
    /// `[kernel_h, kernel_w]`
    pub taps: Tensor,
    /// The mean squared error before each step.
    pub errors: Vec<f32>,
}

/// Learns the filter of `size` that makes `targets` of `images`, both `[N, H, W, 1]` with targets as small as a filter
/// without padding makes them, in so many steps of Adam.
///
/// ```
/// use ocelli_graph::{Key, Tensor};
/// use ocelli_vision::edges::{Application, Filter, learn_filter};
/// let images = Tensor::uniform([4, 12, 12, 1], Key::new(1));
/// let targets = Filter::sobel_x().apply(&images, &Application::default())?;
/// let learned = learn_filter(&images, &targets, [3, 3], 400)?;
/// assert!(learned.taps.data().iter().zip(Filter::sobel_x().taps().data()).all(|(a, b)| (a - b).abs() < 0.05));
/// # Ok::<(), ocelli_vision::Error>(())
/// ```
///
/// # Errors
/// [`Error::Invalid`] for other shapes, [`Error::Graph`] if images are smaller than the filter or targets of another size.
pub fn learn_filter(images: &Tensor, targets: &Tensor, size: [usize; 2], steps: usize) -> Result<LearnedFilter> {
    let (&[_, height, width, 1], &[_, rows, columns, 1]) = (images.shape(), targets.shape()) else {
        return Err(Error::Invalid("a filter is learned from images [N, H, W, 1]".into()));
    };
    let network = |x: &Node| x.apply("filter", Conv2d::new(1, size).bias(false));
    let mut model = Model::build(network, [height, width, 1], 0)?;
    let mut objective = model.objective(|t| mse(&t.output(), &t.input("target", [rows, columns, 1])))?;
    let batch = Batch::new().with("input", images).with("target", targets);
    let (mut adam, mut errors) = (Adam::new(0.05), Vec::with_capacity(steps.min(1 << 16)));
    for _ in 0..steps {
        let step = objective.step(&mut model, &batch)?;
        errors.push(step.loss());
        adam.step(&mut model, &step)?;
    }
    let weight = model.parameters().value("filter.weight").map_or(&[][..], Tensor::data);
    Ok(LearnedFilter { taps: Tensor::from_vec(size, weight.to_vec())?, errors })
}
