//! Maps of the last spatial activation: how much each place of it adds to a score.

use super::{Attribution, Rules, ScoreGradient};
use crate::{
    Error, Result,
    spatial::{SpatialLayer, find, last_spatial_layer},
};
use ocelli_graph::{
    Graph, Model, Tensor, ValueId, ValueSource,
    ops::{AdaptiveAvgPoolOp, LinearOp, ReduceKind, ReduceOp},
};
use std::any::Any;

impl Attribution<'_> {
    /// A class activation map (Zhou et al. 2016, eq. 2) `[h, w]`, for a network that ends in a mean over all places and at most
    /// one dense layer: the terms of the score at each place, so that the map sums to the score less its bias.
    ///
    /// # Errors
    /// The errors of [`Attribution::saliency`], and [`Error::Invalid`] for a network that ends otherwise.
    pub fn cam(&mut self, image: &Tensor, class: usize) -> Result<Tensor> {
        self.check_image(image)?;
        let layer = last_spatial_layer(self.model)?;
        let weights = pooled_weights(self.model, &layer, class)?;
        let batch = ocelli_graph::Batch::new().with(&self.input, image);
        let activation = self.model.run(&batch, &[&layer.name])?.swap_remove(0);
        let [height, width, channels] = layer.shape;
        let share = self.sign() / (height * width) as f32;
        let place = |place: &[f32]| share * place.iter().zip(&weights).map(|(a, w)| a * w).sum::<f32>();
        Ok(Tensor::from_vec([height, width], activation.data().chunks_exact(channels).map(place).collect())?)
    }

    /// Grad-CAM (Selvaraju et al. 2017, eq. 1 and 2) `[h, w]` at the last spatial activation: its channels weighted by their
    /// mean gradient, summed, negative sums as 0.
    ///
    /// # Errors
    /// The errors of [`Attribution::saliency`], and [`Error::Invalid`] if no activation has places.
    pub fn grad_cam(&mut self, image: &Tensor, class: usize) -> Result<Tensor> {
        let layer = last_spatial_layer(self.model)?;
        self.grad_cam_at(&layer.name, image, class)
    }

    /// [Grad-CAM](Attribution::grad_cam) at the activation called `layer`.
    ///
    /// # Errors
    /// The errors of [`Attribution::grad_cam`], and [`Error::Invalid`] for a name of something else.
    pub fn grad_cam_at(&mut self, layer: &str, image: &Tensor, class: usize) -> Result<Tensor> {
        self.map_at(layer, image, class, |places| {
            let weights = places.channel_sums(|_, g| g / places.count() as f32);
            places.map(|channel, a, _| a * weights[channel], Negative::Zero)
        })
    }

    /// Grad-CAM++ (Chattopadhay et al. 2018, eq. 10 and 19) `[h, w]` at the last spatial activation, for the exponential of the
    /// score, whose derivatives are powers of the gradient.
    ///
    /// # Errors
    /// The errors of [`Attribution::grad_cam`].
    pub fn grad_cam_plus_plus(&mut self, image: &Tensor, class: usize) -> Result<Tensor> {
        let layer = last_spatial_layer(self.model)?;
        self.map_at(&layer.name, image, class, |places| {
            let sums = places.channel_sums(|a, _| a);
            let weights = places.channel_sums_of(|channel, _, g| {
                let (square, cube) = (g * g, g * g * g);
                let denominator = 2.0 * square + sums[channel] * cube;
                let alpha = if denominator.abs() > f32::MIN_POSITIVE { square / denominator } else { 0.0 };
                alpha * g.max(0.0)
            });
            places.map(|channel, a, _| a * weights[channel], Negative::Zero)
        })
    }

    /// HiResCAM (Draelos and Carin 2020, eq. 3) `[h, w]` at the last spatial activation: gradient times activation, summed over
    /// the channels. Where the rest of the network is linear, the map sums to the score less its bias.
    ///
    /// # Errors
    /// The errors of [`Attribution::grad_cam`].
    pub fn hires_cam(&mut self, image: &Tensor, class: usize) -> Result<Tensor> {
        let layer = last_spatial_layer(self.model)?;
        self.map_at(&layer.name, image, class, |places| places.map(|_, a, g| a * g, Negative::Kept))
    }

    /// LayerCAM (Jiang et al. 2021, eq. 4 and 5) `[h, w]` at the activation called `layer`: positive gradients times activation,
    /// summed over the channels, negative sums as 0. It is sharp in early layers too.
    ///
    /// # Errors
    /// The errors of [`Attribution::grad_cam_at`].
    pub fn layer_cam(&mut self, layer: &str, image: &Tensor, class: usize) -> Result<Tensor> {
        self.map_at(layer, image, class, |places| places.map(|_, a, g| a * g.max(0.0), Negative::Zero))
    }

    fn map_at(
        &mut self,
        layer: &str,
        image: &Tensor,
        class: usize,
        map: impl FnOnce(&Places) -> Vec<f32>,
    ) -> Result<Tensor> {
        self.check_image(image)?;
        let [height, width, channels] = find(self.model, layer)?.shape;
        let places = Places { of: self.gradient(Rules::Own, layer, image, class)?, channels };
        Ok(Tensor::from_vec([height, width], map(&places))?)
    }
}

/// The treatment of negative sums over the channels.
#[derive(Clone, Copy, PartialEq)]
enum Negative {
    Kept,
    Zero,
}

/// An activation of one image and its gradient, place by place.
struct Places {
    of: ScoreGradient,
    channels: usize,
}

impl Places {
    fn count(&self) -> usize {
        self.of.value.len() / self.channels
    }

    fn pairs(&self) -> impl Iterator<Item = (usize, f32, f32)> {
        let values = self.of.value.data().iter().zip(self.of.gradient.data()).enumerate();
        values.map(|(at, (a, g))| (at % self.channels, *a, *g))
    }

    /// Sums a function of activation and gradient over all places of each channel.
    fn channel_sums(&self, term: impl Fn(f32, f32) -> f32) -> Vec<f32> {
        self.channel_sums_of(|_, a, g| term(a, g))
    }

    fn channel_sums_of(&self, term: impl Fn(usize, f32, f32) -> f32) -> Vec<f32> {
        let mut sums = vec![0f64; self.channels];
        self.pairs().for_each(|(channel, a, g)| sums[channel] += f64::from(term(channel, a, g)));
        sums.into_iter().map(|sum| sum as f32).collect()
    }

    /// Sums a function of channel, activation and gradient over the channels of each place.
    fn map(&self, term: impl Fn(usize, f32, f32) -> f32, negative: Negative) -> Vec<f32> {
        let terms: Vec<f32> = self.pairs().map(|(channel, a, g)| term(channel, a, g)).collect();
        let sum = |place: &[f32]| place.iter().sum::<f32>();
        let sums = terms.chunks_exact(self.channels).map(sum);
        sums.map(|sum| if negative == Negative::Zero { sum.max(0.0) } else { sum }).collect()
    }
}

/// Returns the weight of each channel's mean in the score of a class, of a network that ends in a mean over all places and at
/// most one dense layer.
fn pooled_weights(model: &Model, layer: &SpatialLayer, class: usize) -> Result<Vec<f32>> {
    let graph = model.graph();
    let other = || {
        let reason = "a class activation map needs a network that ends in a mean over all places and one dense layer";
        Error::Invalid(format!("{reason}; Grad-CAM does not"))
    };
    let output = graph.find("output").ok_or_else(other)?;
    let dense = producer(graph, output).filter(|(op, _)| op.is::<LinearOp>());
    let pooled = match &dense {
        Some((_, inputs)) => inputs[0],
        None => output,
    };
    if without_views(graph, pooled) != Some(without_dropout(graph, layer.id)) {
        return Err(other());
    }
    match dense {
        None => Ok((0..layer.shape[2]).map(|channel| if channel == class { 1.0 } else { 0.0 }).collect()),
        Some((_, inputs)) => {
            let ValueSource::Parameter(path) = &graph.values[inputs[1]].source else { return Err(other()) };
            let weights = model.parameters().value(path).ok_or_else(other)?;
            let classes = weights.shape()[1];
            Ok(weights.data().iter().skip(class).step_by(classes).copied().collect())
        }
    }
}

fn producer(graph: &Graph, id: ValueId) -> Option<(&dyn Any, &[ValueId])> {
    let call = graph.calls.iter().find(|call| call.outputs.first() == Some(&id))?;
    Some((&*call.op, &call.inputs))
}

/// Goes back through dropout, which is the identity in inference, and flattening to the activation whose mean over all places
/// this is; `None` if it is none.
fn without_views(graph: &Graph, mut id: ValueId) -> Option<ValueId> {
    loop {
        let call = graph.calls.iter().find(|call| call.outputs.first() == Some(&id))?;
        let op: &dyn Any = &*call.op;
        let is_mean = op.downcast_ref::<ReduceOp>().is_some_and(|op| op.kind == ReduceKind::Mean && op.axes == [1, 2])
            || op.downcast_ref::<AdaptiveAvgPoolOp>().is_some_and(|op| (op.out_h, op.out_w) == (1, 1));
        id = *call.inputs.first()?;
        if is_mean {
            return Some(without_dropout(graph, id));
        }
        if !call.op.is_view() && !is_dropout(op) {
            return None;
        }
    }
}

fn is_dropout(op: &dyn Any) -> bool {
    op.is::<ocelli_graph::ops::DropoutOp>()
}

fn without_dropout(graph: &Graph, mut id: ValueId) -> ValueId {
    while let Some((op, inputs)) = producer(graph, id) {
        if !is_dropout(op) {
            break;
        }
        id = inputs[0];
    }
    id
}
