//! The objective of a style transfer at one size.

use super::{Style, StyleTransfer};
use crate::resize::resize;
use crate::{Result, VggFeatures};
use ocelli_graph::{Batch, Mode, Model, Node, Objective, Tensor, Trace, Wrt};
use ocelli_losses::{content_cost, gram_cost, style_gram, total_variation};

/// The names of the costs in the objective.
pub(super) const CONTENT: &str = "content_cost";
pub(super) const STYLE: &str = "style_cost";
pub(super) const VARIATION: &str = "variation";

/// The network and the cost of an image of one size.
pub(super) struct CostAtScale {
    pub(super) model: Model,
    pub(super) objective: Objective,
    pub(super) recomputes: bool,
}

/// A style transfer at one size: the cost of an image, and what the image is compared with.
pub(super) struct AtScale {
    pub(super) cost: CostAtScale,
    /// Targets and masks, by name.
    pub(super) targets: Batch,
}

/// The pixels that take one style, or one mixture of styles.
struct Region {
    /// Its share of the style cost.
    share: f32,
    /// For each layer, pixels of the image for one that the mask covers; empty without a mask.
    factors: Vec<f32>,
}

/// Returns the size `[H, W]` of an image whose longer side becomes `side`.
pub(super) fn size_for(image: &Tensor, side: usize) -> [usize; 2] {
    let [height, width] = [image.shape()[1], image.shape()[2]];
    let longer = height.max(width).max(1) as f64;
    [height, width].map(|length| ((length as f64 * side as f64 / longer).round() as usize).max(1))
}

fn target_name(kind: &str, number: usize) -> String {
    format!("{kind} target {number}")
}

fn mask_name(style: usize, layer: usize) -> String {
    format!("mask {style} {layer}")
}

impl StyleTransfer {
    /// The number of stages that the deepest layer needs.
    fn stages(&self, features: &VggFeatures) -> Result<usize> {
        let mut stages = 0;
        for (layer, _) in self.content_layers.iter().chain(&self.style_layers) {
            stages = stages.max(features.stage_of(layer)? + 1);
        }
        Ok(stages)
    }

    fn paths(&self, features: &VggFeatures, layers: &[(String, f32)]) -> Result<Vec<String>> {
        layers.iter().map(|(layer, _)| features.path(layer)).collect()
    }

    /// Returns the features with the pooling and the border of these settings.
    pub(super) fn features(&self, features: &VggFeatures) -> VggFeatures {
        let features = features.clone().pooling(self.pooling);
        match self.first_border {
            Some(border) => features.first_border(border),
            None => features,
        }
    }

    /// Groups styles: those without a mask are one target, each with a mask one of its own.
    fn groups(styles: &[Style]) -> Vec<Vec<usize>> {
        let (masked, whole): (Vec<usize>, Vec<usize>) = (0..styles.len()).partition(|&i| styles[i].mask.is_some());
        let whole = (!whole.is_empty()).then_some(whole);
        whole.into_iter().chain(masked.into_iter().map(|i| vec![i])).collect()
    }

    /// Describes the cost of the image.
    fn cost(&self, trace: &Trace, paths: [&[String]; 2], regions: &[Region]) -> Node {
        let zero = || trace.filled(0.0, ocelli_graph::Shape::default());
        let sum = |terms: Vec<Node>| terms.into_iter().reduce(|sum, term| &sum + &term).unwrap_or_else(zero);
        let mut content = Vec::new();
        for (number, (path, (_, weight))) in paths[0].iter().zip(&self.content_layers).enumerate() {
            let x = trace.tap(path);
            let target = trace.input(&target_name("content", number), x.shape());
            content.push(content_cost(&x, &target, self.content_normalisation) * *weight);
        }
        let mut style = Vec::new();
        for (layer, (path, (_, weight))) in paths[1].iter().zip(&self.style_layers).enumerate() {
            let x = trace.tap(path);
            let channels = x.channels();
            for (number, region) in regions.iter().enumerate() {
                let name = target_name("style", layer * regions.len() + number);
                let target = trace.input(&name, [channels, channels]);
                let gram = match region.factors.get(layer) {
                    None => style_gram(&x, self.style_normalisation),
                    Some(factor) => {
                        let mask = trace.input(&mask_name(number, layer), [x.height(), x.width(), 1]);
                        style_gram(&(&x * mask), self.style_normalisation) * *factor
                    }
                };
                style.push(gram_cost(&gram, &target, self.style_normalisation) * (weight * region.share));
            }
        }
        let content = sum(content).named(CONTENT);
        let style = sum(style).named(STYLE);
        let variation = match self.gamma > 0.0 {
            true => total_variation(&trace.tap("input"), self.variation),
            false => zero(),
        };
        content * self.alpha + style * self.beta + variation.named(VARIATION) * self.gamma
    }

    /// Makes the objective for images `[H, W]` whose pixels take the styles of so many regions.
    fn cost_at_scale(&self, features: &VggFeatures, size: [usize; 2], regions: &[Region]) -> Result<CostAtScale> {
        let stages = self.stages(features)?;
        let paths = [self.paths(features, &self.content_layers)?, self.paths(features, &self.style_layers)?];
        let paths = [&paths[0][..], &paths[1][..]];
        let mut model = features.model(stages, size, Node::clone)?;
        let make = |model: &Model| -> Result<Objective> {
            let cost = |trace: &Trace| self.cost(trace, paths, regions);
            let objective = model.objective_of(Mode::Infer, Wrt::Values(&["input"]), cost)?;
            Ok(objective.watching(&[CONTENT, STYLE, VARIATION])?)
        };
        let mut objective = make(&model)?;
        let mut recomputes = false;
        if let Some(limit) = self.memory_limit
            && objective.plan(&model, 1)?.peak_bytes() > limit
        {
            for stage in 1..=stages {
                model.recompute(&format!("stage{stage}"))?;
            }
            objective = make(&model)?;
            recomputes = true;
        }
        Ok(CostAtScale { model, objective, recomputes })
    }

    /// Makes the objective as [`StyleTransfer::at_scale`] does, with targets left open: to plan, and to compute nothing.
    pub(super) fn planned(&self, features: &VggFeatures, size: [usize; 2], styles: &[Style]) -> Result<CostAtScale> {
        let layers = self.style_layers.len();
        let region = |group: Vec<usize>| {
            let factors = if styles[group[0]].mask.is_some() { vec![1.0; layers] } else { Vec::new() };
            Region { share: 1.0, factors }
        };
        let regions: Vec<Region> = StyleTransfer::groups(styles).into_iter().map(region).collect();
        self.cost_at_scale(features, size, &regions)
    }

    /// Makes the objective for a content image of its final size; the style images are resized to `side`.
    pub(super) fn at_scale(
        &self,
        features: &VggFeatures,
        content: &Tensor,
        styles: &[Style],
        side: usize,
    ) -> Result<AtScale> {
        let stages = self.stages(features)?;
        let size = [content.shape()[1], content.shape()[2]];
        let paths = [self.paths(features, &self.content_layers)?, self.paths(features, &self.style_layers)?];
        let model = features.model(stages, size, Node::clone)?;
        let mut targets = Batch::new();

        // the activations of the content
        let names: Vec<&str> = paths[0].iter().map(String::as_str).collect();
        for (number, value) in model.run(&Batch::new().with("input", content), &names)?.into_iter().enumerate() {
            targets.set(target_name("content", number), value);
        }
        // the Gram matrices of the styles, those without masks mixed by their shares
        let groups = StyleTransfer::groups(styles);
        let mut regions = Vec::new();
        let total: f32 = styles.iter().map(|style| style.weight).sum();
        for (number, group) in groups.iter().enumerate() {
            let masked = styles[group[0]].mask.as_ref();
            let share = group.iter().map(|&i| styles[i].weight).sum::<f32>() / total;
            let mixed = self.mixed_grams(features, stages, group.iter().map(|&i| &styles[i]), side, &paths[1])?;
            for (layer, gram) in mixed.into_iter().enumerate() {
                targets.set(target_name("style", layer * groups.len() + number), gram);
            }
            let mut factors = Vec::new();
            if let Some(mask) = masked {
                for (layer, path) in paths[1].iter().enumerate() {
                    let graph = model.graph();
                    let shape = graph.find(path).map(|id| graph.values[id].shape.at(1)).unwrap_or_default();
                    let mut mask = resize(mask, [shape[1], shape[2]])?;
                    // Gram matrices are sums over pixels, and this one is to be the mean over the region.
                    mask.data_mut().iter_mut().for_each(|m| *m = m.max(0.0).sqrt());
                    let covered: f32 = mask.data().iter().map(|m| m * m).sum();
                    factors.push(mask.len() as f32 / covered.max(1e-6));
                    targets.set(mask_name(number, layer), mask);
                }
            }
            regions.push(Region { share, factors });
        }
        Ok(AtScale { cost: self.cost_at_scale(features, size, &regions)?, targets })
    }

    fn mixed_grams<'s>(
        &self,
        features: &VggFeatures,
        stages: usize,
        styles: impl Iterator<Item = &'s Style>,
        side: usize,
        paths: &[String],
    ) -> Result<Vec<Tensor>> {
        let mut mixed: Vec<Tensor> = Vec::new();
        let mut total = 0.0;
        for style in styles {
            let size = size_for(&style.image, side);
            let names: Vec<String> = (0..paths.len()).map(|layer| format!("gram {layer}")).collect();
            let grams = |y: &Node| {
                for (path, name) in paths.iter().zip(&names) {
                    style_gram(&y.trace().tap(path), self.style_normalisation).named(name);
                }
                y.clone()
            };
            let model = features.model(stages, size, grams)?;
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let found = model.run(&Batch::new().with("input", resize(&style.image, size)?), &names)?;
            total += style.weight;
            if mixed.is_empty() {
                mixed = found.iter().map(|gram| Tensor::zeros(gram.shape())).collect();
            }
            for (sum, gram) in mixed.iter_mut().zip(&found) {
                sum.data_mut().iter_mut().zip(gram.data()).for_each(|(sum, gram)| *sum += style.weight * gram);
            }
        }
        mixed.iter_mut().for_each(|gram| gram.data_mut().iter_mut().for_each(|gram| *gram /= total));
        Ok(mixed)
    }
}
