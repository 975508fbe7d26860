//! MobileNetV2 (Sandler et al. 2018) and MobileNetV3 (Howard et al. 2019).

use ocelli_graph::{Layer, Node};
use ocelli_layers::{
    Activation::{self, HardSigmoid, HardSwish, Relu, Relu6},
    BatchNorm, BlockNames, ConvNorm, Dense, Dropout, GlobalAvgPool, Init, InvertedResidual, Sequential,
    SqueezeExcitation,
};

/// A network of inverted residuals for devices of little memory, under torchvision's names.
///
/// # Shapes
/// `[N, H, W, C]` → `[N, classes]` logits; published for `[224, 224, 3]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MobileNet {
    classes: usize,
    version: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V2,
    V3Large,
    V3Small,
}

/// A block of the third version: tables 1 and 2 of its paper.
struct Block {
    kernel: usize,
    inner: usize,
    channels: usize,
    gates: Gates,
    activation: Activation,
    stride: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Gates {
    Squeezed,
    None,
}

/// The stages of the second version (table 2): how much wider a block is inside, its channels, the number of blocks, and the
/// stride of the first.
const STAGES_V2: [(usize, usize, usize, usize); 7] =
    [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)];

const fn block(
    [kernel, stride]: [usize; 2],
    [inner, channels]: [usize; 2],
    gates: Gates,
    activation: Activation,
) -> Block {
    Block { kernel, inner, channels, gates, activation, stride }
}

const LARGE: [Block; 15] = [
    block([3, 1], [16, 16], Gates::None, Relu),
    block([3, 2], [64, 24], Gates::None, Relu),
    block([3, 1], [72, 24], Gates::None, Relu),
    block([5, 2], [72, 40], Gates::Squeezed, Relu),
    block([5, 1], [120, 40], Gates::Squeezed, Relu),
    block([5, 1], [120, 40], Gates::Squeezed, Relu),
    block([3, 2], [240, 80], Gates::None, HardSwish),
    block([3, 1], [200, 80], Gates::None, HardSwish),
    block([3, 1], [184, 80], Gates::None, HardSwish),
    block([3, 1], [184, 80], Gates::None, HardSwish),
    block([3, 1], [480, 112], Gates::Squeezed, HardSwish),
    block([3, 1], [672, 112], Gates::Squeezed, HardSwish),
    block([5, 2], [672, 160], Gates::Squeezed, HardSwish),
    block([5, 1], [960, 160], Gates::Squeezed, HardSwish),
    block([5, 1], [960, 160], Gates::Squeezed, HardSwish),
];

const SMALL: [Block; 11] = [
    block([3, 2], [16, 16], Gates::Squeezed, Relu),
    block([3, 2], [72, 24], Gates::None, Relu),
    block([3, 1], [88, 24], Gates::None, Relu),
    block([5, 2], [96, 40], Gates::Squeezed, HardSwish),
    block([5, 1], [240, 40], Gates::Squeezed, HardSwish),
    block([5, 1], [240, 40], Gates::Squeezed, HardSwish),
    block([5, 1], [120, 48], Gates::Squeezed, HardSwish),
    block([5, 1], [144, 48], Gates::Squeezed, HardSwish),
    block([5, 2], [288, 96], Gates::Squeezed, HardSwish),
    block([5, 1], [576, 96], Gates::Squeezed, HardSwish),
    block([5, 1], [576, 96], Gates::Squeezed, HardSwish),
];

impl MobileNet {
    /// Creates MobileNetV2: 3,504,872 parameters with 1000 classes.
    pub fn v2(classes: usize) -> MobileNet {
        MobileNet { classes, version: Version::V2 }
    }

    /// Creates MobileNetV3-Large: 5,483,032 parameters with 1000 classes.
    pub fn v3_large(classes: usize) -> MobileNet {
        MobileNet { classes, version: Version::V3Large }
    }

    /// Creates MobileNetV3-Small: 2,542,856 parameters with 1000 classes.
    pub fn v3_small(classes: usize) -> MobileNet {
        MobileNet { classes, version: Version::V3Small }
    }

    fn features_v2() -> Sequential {
        let unit = |channels, kernel| ConvNorm::new(channels, kernel).activation(Relu6);
        let mut features = Sequential::new().then(unit(32, 3).stride(2));
        let mut inputs = 32;
        for (wider, channels, blocks, stride) in STAGES_V2 {
            for block in 0..blocks {
                let stride = if block == 0 { stride } else { 1 };
                let block = InvertedResidual::new(wider * inputs, channels).stride(stride).names(BlockNames::Conv);
                features = features.then(block);
                inputs = channels;
            }
        }
        features.then(unit(1280, 1))
    }

    fn features_v3(blocks: &[Block]) -> Sequential {
        let norm = || BatchNorm::new().epsilon(1e-3).momentum(0.01);
        let unit = |channels, kernel| ConvNorm::new(channels, kernel).norm(norm()).activation(HardSwish);
        let mut features = Sequential::new().then(unit(16, 3).stride(2));
        for block in blocks {
            let gates = SqueezeExcitation::new(rounded_to_eight(block.inner / 4)).gate(HardSigmoid);
            let layer = InvertedResidual::new(block.inner, block.channels)
                .kernel(block.kernel)
                .stride(block.stride)
                .activation(block.activation)
                .squeeze((block.gates == Gates::Squeezed).then_some(gates))
                .norm(norm());
            features = features.then(layer);
        }
        let channels = blocks.last().map_or(0, |block| 6 * block.channels);
        features.then(unit(channels, 1))
    }
}

/// Rounds a number of channels to a multiple of eight that is not more than a tenth smaller.
fn rounded_to_eight(channels: usize) -> usize {
    let rounded = ((channels + 4) / 8 * 8).max(8);
    if rounded * 10 < channels * 9 { rounded + 8 } else { rounded }
}

impl Layer for MobileNet {
    fn forward(&self, x: &Node) -> Node {
        let dense = |features| Dense::new(features).weight_init(Init::Normal(0.01));
        let (features, classifier) = match self.version {
            Version::V2 => (MobileNet::features_v2(), Sequential::new().then(Dropout(0.2)).then(dense(self.classes))),
            Version::V3Large | Version::V3Small => {
                let (blocks, inner) =
                    if self.version == Version::V3Large { (&LARGE[..], 1280) } else { (&SMALL[..], 1024) };
                let classifier =
                    Sequential::new().then(dense(inner)).then(HardSwish).then(Dropout(0.2)).then(dense(self.classes));
                (MobileNet::features_v3(blocks), classifier)
            }
        };
        x.apply("features", features).apply("avgpool", GlobalAvgPool).apply("classifier", classifier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::size;

    #[test]
    fn counts_are_the_published_ones() {
        assert_eq!(size(MobileNet::v2(1000), 224), (3_504_872, 300_774_272));
        assert_eq!(size(MobileNet::v3_large(1000), 224), (5_483_032, 216_589_760));
        assert_eq!(size(MobileNet::v3_small(1000), 224), (2_542_856, 56_510_400));
    }

    #[test]
    fn channels_are_rounded_as_published() {
        assert_eq!([4, 18, 22, 24, 30, 60, 240].map(rounded_to_eight), [8, 24, 24, 24, 32, 64, 240]);
    }
}
