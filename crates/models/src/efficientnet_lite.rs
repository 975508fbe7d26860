//! EfficientNet-Lite0 (Tan and Le 2019; Lite: Google 2020).

use ocelli_graph::{Layer, Node};
use ocelli_layers::{BatchNorm, Conv2d, Dense, Dropout, Init};

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

/// Blocks in a row that differ in their first stride only.
struct Stage {
    blocks: usize,
    kernel: usize,
    /// Stride of the first block.
    stride: usize,
    expansion: usize,
    channels: usize,
}

/// The stages of the paper's table 1, with Lite's constant stem and head.
const STAGES: [Stage; 7] = [
    Stage { blocks: 1, kernel: 3, stride: 1, expansion: 1, channels: 16 },
    Stage { blocks: 2, kernel: 3, stride: 2, expansion: 6, channels: 24 },
    Stage { blocks: 2, kernel: 5, stride: 2, expansion: 6, channels: 40 },
    Stage { blocks: 3, kernel: 3, stride: 2, expansion: 6, channels: 80 },
    Stage { blocks: 3, kernel: 5, stride: 1, expansion: 6, channels: 112 },
    Stage { blocks: 4, kernel: 5, stride: 2, expansion: 6, channels: 192 },
    Stage { blocks: 1, kernel: 3, stride: 1, expansion: 6, channels: 320 },
];

/// Channels behind the stem.
const STEM: usize = 32;
/// Channels before the classifier.
const HEAD: usize = 1280;

/// Applies a convolution without bias called `conv` and a normalisation called `norm`.
fn convolve(x: &Node, [conv, norm]: [&str; 2], layer: Conv2d) -> Node {
    // 0.01 is the weight of a batch in the running statistics, as in TensorFlow's momentum of 0.99
    x.apply(conv, layer.same().bias(false)).apply(norm, BatchNorm::new().epsilon(1e-3).momentum(0.01))
}

/// A convolution with He normal initialisation over the outputs, as the published code has.
fn conv(channels: usize, kernel: usize) -> Conv2d {
    let deviation = (2.0 / (channels * kernel * kernel).max(1) as f32).sqrt();
    Conv2d::new(channels, kernel).weight_init(Init::Normal(deviation))
}

fn relu6(x: &Node) -> Node {
    x.clamp(0.0, 6.0)
}

/// An inverted residual: expanded by a 1×1 convolution, filtered channel by channel, and projected to few channels.
#[derive(Clone, Copy, Debug)]
struct InvertedResidual {
    kernel: usize,
    stride: usize,
    expansion: usize,
    channels: usize,
}

impl Layer for InvertedResidual {
    fn forward(&self, x: &Node) -> Node {
        let wide = x.channels() * self.expansion;
        let expanded = match self.expansion {
            1 => x.clone(),
            _ => relu6(&convolve(x, ["_expand_conv", "_bn0"], conv(wide, 1))),
        };
        let depthwise = conv(wide, self.kernel).groups(wide).stride(self.stride);
        let filtered = relu6(&convolve(&expanded, ["_depthwise_conv", "_bn1"], depthwise));
        let y = convolve(&filtered, ["_project_conv", "_bn2"], conv(self.channels, 1));
        if (self.stride, self.channels) == (1, x.channels()) { y + x } else { y }
    }
}

impl Layer for EfficientNetLite0 {
    fn forward(&self, x: &Node) -> Node {
        let x = relu6(&convolve(x, ["_conv_stem", "_bn0"], conv(STEM, 3).stride(2)));
        let x = x.scope("_blocks", |x| {
            let blocks = STAGES.iter().flat_map(|stage| {
                let &Stage { kernel, expansion, channels, .. } = stage;
                let stride = |number| if number == 0 { stage.stride } else { 1 };
                let block = move |number| InvertedResidual { kernel, stride: stride(number), expansion, channels };
                (0..stage.blocks).map(block)
            });
            blocks.enumerate().fold(x.clone(), |x, (number, block)| x.apply(number, block))
        });
        let x = relu6(&convolve(&x, ["_conv_head", "_bn1"], conv(HEAD, 1)));
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
