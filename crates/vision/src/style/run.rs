//! The optimisation of the image, scale by scale.

use super::{
    Colour, PixelOptimizer, Start, Style, StyleTransfer,
    colour::{match_colours, with_colours_of},
    scale::{AtScale, CONTENT, CostAtScale, STYLE, VARIATION, size_for},
};
use crate::resize::resize;
use crate::{Result, VggFeatures, moments::Moments};
use ocelli_graph::{Key, Step, Tensor};
use ocelli_train::{Lbfgs, StopFlag};

/// The state after a step, for whoever watches.
#[derive(Clone, Copy, Debug)]
pub struct StyleStep<'a> {
    /// The scale, counted from 0.
    pub scale: usize,
    /// The step at this scale, counted from 1.
    pub step: usize,
    /// The number of steps at this scale.
    pub steps: usize,
    /// α J_content + β J_style + γ variation.
    pub total: f64,
    /// J_content of the image; with Adam, of the image before the step, as the total is.
    pub content: f32,
    /// J_style there.
    pub style: f32,
    /// The variation there.
    pub variation: f32,
    /// The image `[1, H, W, 3]`; pixels may lie a little outside of 0 to 1.
    pub image: &'a Tensor,
}

/// The result of a style transfer.
#[derive(Clone, Debug)]
pub struct Stylised {
    /// The image `[1, H, W, 3]`, from 0 to 1.
    pub image: Tensor,
    /// The total cost at the start and after every step of the last scale.
    pub totals: Vec<f64>,
    /// True if the flag ended it before its steps were done.
    pub stopped: bool,
}

/// The memory that a scale will take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScaleMemory {
    /// Height and width of the image.
    pub size: [usize; 2],
    /// Bytes of activations, gradients and workspace.
    pub network: usize,
    /// Bytes of the optimiser.
    pub optimizer: usize,
    /// True if activations are computed again for backward.
    pub recomputes: bool,
}

impl StyleTransfer {
    /// Plans the memory of every scale, before anything is optimised.
    ///
    /// # Errors
    /// The errors of [`StyleTransfer::run`] that do not depend on what the optimisation does.
    pub fn plan(&self, features: &VggFeatures, content: &Tensor, styles: &[Style]) -> Result<Vec<ScaleMemory>> {
        self.check(content, styles)?;
        let features = self.features(features);
        let mut plans = Vec::new();
        for scale in &self.scales {
            let size = size_for(content, scale.side);
            let mut cost = self.planned(&features, size, styles)?;
            let elements = size[0] * size[1] * 3;
            let optimizer = match self.optimizer {
                PixelOptimizer::Lbfgs { history } => Lbfgs::new().history(history).bytes(elements),
                PixelOptimizer::Adam { .. } => 4 * elements * size_of::<f32>(),
            };
            let network = cost.objective.plan(&cost.model, 1)?.peak_bytes();
            plans.push(ScaleMemory { size, network, optimizer, recomputes: cost.recomputes });
        }
        Ok(plans)
    }

    /// Runs the style transfer. `watch` sees every step; when the flag is set, the best image so far is the result.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) for settings and shapes that cannot be used, [`Error::Graph`](crate::Error::Graph)
    /// if the image is too small for the network.
    pub fn run(
        &self,
        features: &VggFeatures,
        content: &Tensor,
        styles: &[Style],
        stop: &StopFlag,
        mut watch: impl FnMut(&StyleStep<'_>),
    ) -> Result<Stylised> {
        self.check(content, styles)?;
        let features = self.features(features);
        let styles: Vec<Style> = match self.colour {
            Colour::Matched => {
                let matched =
                    |style: &Style| Ok(Style { image: match_colours(&style.image, content)?, ..style.clone() });
                styles.iter().map(matched).collect::<Result<_>>()?
            }
            Colour::Style | Colour::LuminanceOnly => styles.to_vec(),
        };
        let mut image = self.first_image(content, &styles, size_for(content, self.scales[0].side))?;
        let mut moments = None;
        let mut totals = Vec::new();
        for (number, scale) in self.scales.iter().enumerate() {
            let size = size_for(content, scale.side);
            image = resize(&image, size)?;
            let mut at = self.at_scale(&features, &resize(content, size)?, &styles, scale.side)?;
            totals.clear();
            let mut report = |step: usize, total: f64, costs: [f32; 3], image: &Tensor| {
                let [content, style, variation] = costs;
                watch(&StyleStep { scale: number, step, steps: scale.steps, total, content, style, variation, image });
            };
            match self.optimizer {
                PixelOptimizer::Lbfgs { history } => {
                    let run = ScaleRun { at: &mut at, steps: scale.steps, stop, totals: &mut totals };
                    run.lbfgs(history, &mut image, &mut report)?;
                }
                PixelOptimizer::Adam { rate, averaged } => {
                    let before = match moments.take() {
                        Some(moments) => Moments::resampled(moments, size)?,
                        None => Moments::new([1, size[0], size[1], 3], BETAS),
                    };
                    let run = ScaleRun { at: &mut at, steps: scale.steps, stop, totals: &mut totals };
                    moments = Some(run.adam([Some(rate), averaged], before, &mut image, &mut report)?);
                }
            }
            if stop.is_set() {
                break;
            }
        }
        image.data_mut().iter_mut().for_each(|value| *value = value.clamp(0.0, 1.0));
        if self.colour == Colour::LuminanceOnly {
            image = with_colours_of(&image, content)?;
        }
        Ok(Stylised { image, totals, stopped: stop.is_set() })
    }

    fn first_image(&self, content: &Tensor, styles: &[Style], size: [usize; 2]) -> Result<Tensor> {
        Ok(match self.start {
            Start::Content => resize(content, size)?,
            Start::Style => resize(&styles[0].image, size)?,
            Start::Noise(seed) => {
                let mut stream = Key::new(seed).with("start of a style transfer").stream();
                Tensor::from_fn([1, size[0], size[1], 3], |_| 0.5 + 0.1 * stream.normal())
            }
        })
    }
}

/// Reads the three costs of a step.
fn costs(step: &Step<'_>) -> [f32; 3] {
    [CONTENT, STYLE, VARIATION].map(|name| step.activation(name).and_then(|cost| cost.first().copied()).unwrap_or(0.0))
}

/// The optimisation at one scale.
struct ScaleRun<'a> {
    at: &'a mut AtScale,
    steps: usize,
    stop: &'a StopFlag,
    totals: &'a mut Vec<f64>,
}

type Report<'a> = dyn FnMut(usize, f64, [f32; 3], &Tensor) + 'a;

impl ScaleRun<'_> {
    fn lbfgs(self, history: usize, image: &mut Tensor, report: &mut Report<'_>) -> Result<()> {
        let AtScale { cost: CostAtScale { model, objective, .. }, targets } = self.at;
        // the first trial changes a pixel by a hundredth on average
        let mut lbfgs = Lbfgs::new().history(history).first_step(0.01 * image.len() as f32);
        for number in 1..=self.steps {
            let (step, costs) = lbfgs.step_input(model, objective, targets, ("input", image), costs)?;
            if self.totals.is_empty() {
                self.totals.push(step.before);
            }
            let Some(costs) = costs else { break };
            self.totals.push(step.after);
            report(number, step.after, costs, image);
            if self.stop.is_set() {
                break;
            }
        }
        Ok(())
    }

    /// Adam, whose settings are the rate and the decay of the average.
    fn adam(
        self,
        [rate, averaged]: [Option<f32>; 2],
        mut moments: Moments,
        image: &mut Tensor,
        report: &mut Report<'_>,
    ) -> Result<Moments> {
        let AtScale { cost: CostAtScale { model, objective, .. }, targets } = self.at;
        let mut average = averaged.map(|decay| Average::new(decay, image.len()));
        let mut best: Option<(f64, Tensor)> = None;
        for number in 1..=self.steps {
            let step = objective.evaluate(model, &targets.clone().with("input", &*image))?;
            let (total, latest) = (f64::from(step.loss()), costs(&step));
            if average.is_none() && best.as_ref().is_none_or(|(lowest, _)| total < *lowest) {
                best = Some((total, image.clone()));
            }
            self.totals.push(total);
            let gradient = step.gradient("input").unwrap_or_default();
            moments.step(image.data_mut(), gradient, rate.unwrap_or(0.02));
            image.data_mut().iter_mut().for_each(|value| *value = value.clamp(0.0, 1.0));
            if let Some(average) = &mut average {
                average.add(image.data());
            }
            report(number, total, latest, image);
            if self.stop.is_set() {
                break;
            }
        }
        match average {
            Some(average) => average.read(image.data_mut()),
            None => *image = best.map_or_else(|| image.clone(), |(_, best)| best),
        }
        Ok(moments)
    }
}

/// Decays of the moments: the second is shorter than usual, because the cost has no noise.
const BETAS: [f32; 2] = [0.9, 0.99];

/// An exponential average over the iterates, without the bias of its start.
struct Average {
    decay: f32,
    sum: Vec<f32>,
    missing: f32,
}

impl Average {
    fn new(decay: f32, len: usize) -> Average {
        Average { decay, sum: vec![0.0; len], missing: 1.0 }
    }

    fn add(&mut self, x: &[f32]) {
        self.missing *= self.decay;
        self.sum.iter_mut().zip(x).for_each(|(sum, x)| *sum = self.decay * *sum + (1.0 - self.decay) * x);
    }

    fn read(&self, x: &mut [f32]) {
        let weight = 1.0 - self.missing;
        if weight > 0.0 {
            x.iter_mut().zip(&self.sum).for_each(|(x, sum)| *x = sum / weight);
        }
    }
}
