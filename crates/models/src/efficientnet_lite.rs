//! EfficientNet-Lite0 (Tan and Le 2019; Lite: Google 2020).

use crate::efficientnet::B0;
use ocelli_graph::{Layer, Node};
use ocelli_layers::{Activation, BatchNorm, BlockNames, ConvNorm, Dense, Dropout, InvertedResidual, Padding};

/// EfficientNet-Lite0: inverted residuals (Sandler et al. 2018) of depthwise convolutions without squeeze-and-excitation,
/// for small devices, under the names of the PyTorch port of Google's weights.
///
/// As in TensorFlow, convolutions are padded so that a stride of two leaves half of the pixels, with the odd pixel at the
/// end, and ε of the normalisations is 10⁻³. Every activation is `min(max(x, 0), 6)`.
///
/// # Shapes
/// `[N, H, W, C]` → `[N, classes]` logits; published for `[224, 224, 3]`: 4,652,008 parameters with 1000 classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EfficientNetLite0 {
    classes: usize,
}

impl EfficientNetLite0 {
    /// Creates the network for so many classes.
    pub fn new(classes: usize) -> EfficientNetLite0 {
        EfficientNetLite0 { classes }
    }
}

/// Channels behind the stem.
const STEM: usize = 32;
/// Channels before the classifier.
const HEAD: usize = 1280;

/// The normalisation of the published code; 0.01 is the weight of a batch in the running statistics, as in TensorFlow's momentum
/// of 0.99.
fn norm() -> BatchNorm {
    BatchNorm::new().epsilon(1e-3).momentum(0.01)
}

fn unit(channels: usize, kernel: usize) -> ConvNorm {
    ConvNorm::new(channels, kernel).padding(Padding::Same).norm(norm()).activation(Activation::Relu6)
}

/// Applies the blocks of all stages.
fn blocks(x: &Node) -> Node {
    let blocks = B0.iter().flat_map(|stage| (0..stage.blocks).map(move |block| (stage, block)));
    blocks.enumerate().fold(x.clone(), |x, (number, (stage, block))| {
        let layer = InvertedResidual::new(stage.wider * x.channels(), stage.channels)
            .kernel(stage.kernel)
            .stride(if block == 0 { stage.stride } else { 1 })
            .norm(norm())
            .names(BlockNames::TensorFlow);
        x.apply(number, layer)
    })
}

impl Layer for EfficientNetLite0 {
    fn forward(&self, x: &Node) -> Node {
        let x = unit(STEM, 3).stride(2).apply_as(x, "_conv_stem", "_bn0");
        let x = x.scope("_blocks", blocks);
        let x = unit(HEAD, 1).apply_as(&x, "_conv_head", "_bn1");
        x.global_avg_pool().apply("_dropout", Dropout(0.2)).apply("_fc", Dense::new(self.classes).pytorch_init())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{size, summary};

    #[test]
    fn counts_are_the_published_ones() {
        assert_eq!(size(EfficientNetLite0::new(1000), 224), (4_652_008, 385_187_552));
        let rows = summary(EfficientNetLite0::new(10), 224).rows;
        assert_eq!(rows.iter().filter(|row| row.path.ends_with("_depthwise_conv")).count(), 16);
    }

    /// Whatever the size, a stride leaves half of the pixels, rounded up.
    #[test]
    fn other_sizes_and_classes_fit() {
        assert_eq!(size(EfficientNetLite0::new(5), 97).0, size(EfficientNetLite0::new(5), 32).0);
    }
}
