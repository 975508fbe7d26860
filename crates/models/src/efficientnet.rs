//! EfficientNet (Tan and Le 2019).

use ocelli_graph::{Layer, Node};
use ocelli_layers::{
    Activation, ConvNorm, Dense, Dropout, GlobalAvgPool, Init, InvertedResidual, Sequential, SqueezeExcitation,
};

/// A network of inverted residuals whose stages were found by search, under torchvision's names.
///
/// # Shapes
/// `[N, H, W, C]` → `[N, classes]` logits; published for `[224, 224, 3]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EfficientNet {
    classes: usize,
}

/// A stage of table 1.
pub(crate) struct Stage {
    pub(crate) kernel: usize,
    /// How many times wider a block is inside than its input.
    pub(crate) wider: usize,
    pub(crate) channels: usize,
    pub(crate) blocks: usize,
    /// Stride of the first block.
    pub(crate) stride: usize,
}

const fn stage([kernel, stride]: [usize; 2], wider: usize, channels: usize, blocks: usize) -> Stage {
    Stage { kernel, wider, channels, blocks, stride }
}

/// The stages of EfficientNet-B0, which are those of Lite0 too.
pub(crate) const B0: [Stage; 7] = [
    stage([3, 1], 1, 16, 1),
    stage([3, 2], 6, 24, 2),
    stage([5, 2], 6, 40, 2),
    stage([3, 2], 6, 80, 3),
    stage([5, 1], 6, 112, 3),
    stage([5, 2], 6, 192, 4),
    stage([3, 1], 6, 320, 1),
];

/// The probability that a sample skips the last block while training; it grows from 0 at the first.
const LAST_DROP: f32 = 0.2;

impl EfficientNet {
    /// Creates EfficientNet-B0: 5,288,548 parameters with 1000 classes.
    pub fn b0(classes: usize) -> EfficientNet {
        EfficientNet { classes }
    }

    fn features() -> Sequential {
        let unit = |channels, kernel| ConvNorm::new(channels, kernel).activation(Activation::Silu);
        let all: usize = B0.iter().map(|stage| stage.blocks).sum();
        let mut features = Sequential::new().then(unit(32, 3).stride(2));
        let (mut inputs, mut number) = (32, 0);
        for stage in &B0 {
            let mut blocks = Sequential::new();
            for block in 0..stage.blocks {
                let gates = SqueezeExcitation::new((inputs / 4).max(1)).activation(Activation::Silu);
                let layer = InvertedResidual::new(stage.wider * inputs, stage.channels)
                    .kernel(stage.kernel)
                    .stride(if block == 0 { stage.stride } else { 1 })
                    .activation(Activation::Silu)
                    .squeeze(gates)
                    .stochastic_depth(LAST_DROP * number as f32 / all as f32);
                blocks = blocks.then(layer);
                (inputs, number) = (stage.channels, number + 1);
            }
            features = features.then(blocks);
        }
        features.then(unit(4 * inputs, 1))
    }
}

impl Layer for EfficientNet {
    fn forward(&self, x: &Node) -> Node {
        // Torchvision's initialisation: uniform in ±1 / √classes.
        let init = Init::Uniform(1.0 / (self.classes.max(1) as f32).sqrt());
        let classifier = Sequential::new().then(Dropout(0.2)).then(Dense::new(self.classes).weight_init(init));
        x.apply("features", EfficientNet::features()).apply("avgpool", GlobalAvgPool).apply("classifier", classifier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::size;

    #[test]
    fn counts_are_the_published_ones() {
        assert_eq!(size(EfficientNet::b0(1000), 224), (5_288_548, 385_814_752));
    }
}
