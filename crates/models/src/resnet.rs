//! ResNet (He, Zhang, Ren and Sun 2015) for large images, and its wide and grouped relatives.

use ocelli_graph::{Layer, Node};
use ocelli_layers::{
    BasicBlock, Bottleneck, Conv2d, Dense, Init, MaxPool2d, Normalisation, Padding, Residual, Shortcut, Strided,
};

/// A residual network for ImageNet, under torchvision's names. Shortcuts are 1×1 projections where shapes change (paper
/// option B).
///
/// # Shapes
/// `[N, H, W, C]` → `[N, classes]` logits; published for `[224, 224, 3]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResNet {
    classes: usize,
    /// Number of blocks in each stage.
    depths: [usize; 4],
    block: BlockKind,
    shortcut: Option<Shortcut>,
    normalisation: Normalisation,
}

/// The convolutions of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BlockKind {
    /// Two 3×3 convolutions.
    Basic,
    /// 1×1, 3×3, and 1×1 to four times the channels.
    Bottleneck {
        groups: usize,
        /// Channels of a group in the first stage.
        group_width: usize,
        strided: Strided,
    },
}

impl ResNet {
    fn new(block: BlockKind, depths: [usize; 4], classes: usize) -> ResNet {
        ResNet { classes, depths, block, shortcut: Some(Shortcut::Projection), normalisation: Normalisation::Batch }
    }

    fn bottleneck(depths: [usize; 4], classes: usize, [groups, group_width]: [usize; 2]) -> ResNet {
        ResNet::new(BlockKind::Bottleneck { groups, group_width, strided: Strided::Middle }, depths, classes)
    }

    /// Creates ResNet-18: 11,689,512 parameters with 1000 classes.
    pub fn resnet18(classes: usize) -> ResNet {
        ResNet::new(BlockKind::Basic, [2, 2, 2, 2], classes)
    }

    /// Creates ResNet-34: 21,797,672 parameters with 1000 classes.
    pub fn resnet34(classes: usize) -> ResNet {
        ResNet::new(BlockKind::Basic, [3, 4, 6, 3], classes)
    }

    /// Creates ResNet-50: 25,557,032 parameters with 1000 classes.
    pub fn resnet50(classes: usize) -> ResNet {
        ResNet::bottleneck([3, 4, 6, 3], classes, [1, 64])
    }

    /// Creates ResNet-101: 44,549,160 parameters with 1000 classes.
    pub fn resnet101(classes: usize) -> ResNet {
        ResNet::bottleneck([3, 4, 23, 3], classes, [1, 64])
    }

    /// Creates ResNet-152: 60,192,808 parameters with 1000 classes.
    pub fn resnet152(classes: usize) -> ResNet {
        ResNet::bottleneck([3, 8, 36, 3], classes, [1, 64])
    }

    /// Creates ResNet-50 with 3×3 convolutions of twice the channels (Zagoruyko and Komodakis 2016): 68,883,240
    /// parameters with 1000 classes.
    pub fn wide_resnet50_2(classes: usize) -> ResNet {
        ResNet::bottleneck([3, 4, 6, 3], classes, [1, 128])
    }

    /// Creates ResNet-101 with 3×3 convolutions of twice the channels: 126,886,696 parameters with 1000 classes.
    pub fn wide_resnet101_2(classes: usize) -> ResNet {
        ResNet::bottleneck([3, 4, 23, 3], classes, [1, 128])
    }

    /// Creates ResNet-50 with 3×3 convolutions in 32 groups (Xie et al. 2016): 25,028,904 parameters with 1000 classes.
    pub fn resnext50_32x4d(classes: usize) -> ResNet {
        ResNet::bottleneck([3, 4, 6, 3], classes, [32, 4])
    }

    /// Moves the stride of bottlenecks to their first 1×1 convolution, as published, from the 3×3. Parameters are the
    /// same, results are not. Networks without bottlenecks do not change.
    pub fn v1(mut self) -> ResNet {
        if let BlockKind::Bottleneck { strided, .. } = &mut self.block {
            *strided = Strided::First;
        }
        self
    }

    /// Removes the shortcuts: the plain networks that the paper compares with.
    pub fn plain(mut self) -> ResNet {
        self.shortcut = None;
        self
    }

    /// Removes the batch normalisations and adds biases to the convolutions, for weights into which normalisations were
    /// folded.
    pub fn folded(mut self) -> ResNet {
        self.normalisation = Normalisation::Folded;
        self
    }

    /// Sets the kind of shortcut.
    pub fn shortcut(mut self, shortcut: Shortcut) -> ResNet {
        self.shortcut = Some(shortcut);
        self
    }

    /// Makes the body of a block; `width` is the number of channels of a basic block and of the stage's 1×1 convolutions in
    /// ResNet-50.
    fn body(&self, width: usize, stride: usize) -> Box<dyn Layer> {
        match self.block {
            BlockKind::Basic => {
                let body = BasicBlock::new(width).stride(stride).normalisation(self.normalisation);
                Box::new(body.weight_init(he_of_outputs))
            }
            BlockKind::Bottleneck { groups, group_width, strided } => {
                let body = Bottleneck::new(width * group_width / 64 * groups, 4 * width)
                    .stride(stride)
                    .strided(strided)
                    .groups(groups)
                    .normalisation(self.normalisation);
                Box::new(body.weight_init(he_of_outputs))
            }
        }
    }
}

/// Applies stages `layer1`, `layer2`, … with `depths` blocks `0`, `1`, … each; `block` makes a block from the index of
/// its stage and its stride, which is 2 where a stage other than the first begins.
pub(crate) fn stages<B: Layer>(x: &Node, depths: &[usize], block: impl Fn(usize, usize) -> B) -> Node {
    depths.iter().enumerate().fold(x.clone(), |x, (stage, &depth)| {
        x.scope(format!("layer{}", stage + 1), |x| {
            (0..depth).fold(x.clone(), |x, i| x.apply(i, block(stage, if i == 0 && stage > 0 { 2 } else { 1 })))
        })
    })
}

/// PyTorch's He normal initialisation over the outputs.
fn he_of_outputs(channels: usize, kernel: usize) -> Init {
    Init::Normal((2.0 / (channels * kernel * kernel).max(1) as f32).sqrt())
}

impl Layer for ResNet {
    fn forward(&self, x: &Node) -> Node {
        let first = Conv2d::new(64, 7).stride(2).padding(Padding::uniform(3)).weight_init(he_of_outputs(64, 7));
        let x = self.normalisation.convolve(x, ["conv1", "bn1"], first).relu();
        let x = x.apply("maxpool", MaxPool2d::new(3).stride(2).padding(1));
        let x = stages(&x, &self.depths, |stage, stride| {
            Residual::new(self.body(64 << stage, stride))
                .stride(stride)
                .shortcut(self.shortcut)
                .shortcut_name("downsample")
                .normalisation(self.normalisation)
                .weight_init(he_of_outputs)
        });
        x.global_avg_pool().apply("fc", Dense::new(self.classes).pytorch_init())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::size;

    #[test]
    fn counts_are_the_published_ones() {
        assert_eq!(size(ResNet::resnet18(1000), 224), (11_689_512, 1_814_073_344));
        assert_eq!(size(ResNet::resnet34(1000), 224), (21_797_672, 3_663_761_408));
        assert_eq!(size(ResNet::resnet50(1000), 224), (25_557_032, 4_089_184_256));
        assert_eq!(size(ResNet::resnet101(1000), 224), (44_549_160, 7_801_405_440));
        assert_eq!(size(ResNet::resnet152(1000), 224), (60_192_808, 11_513_626_624));
        assert_eq!(size(ResNet::wide_resnet50_2(1000), 224).0, 68_883_240);
        assert_eq!(size(ResNet::resnext50_32x4d(1000), 224).0, 25_028_904);
    }

    #[test]
    fn version_1_has_the_parameters_of_version_1_5_and_less_work() {
        assert_eq!(size(ResNet::resnet50(1000).v1(), 224), (25_557_032, 3_857_973_248));
        assert_eq!(ResNet::resnet18(10).v1(), ResNet::resnet18(10));
    }

    /// A bias takes the place of scale and shift.
    #[test]
    fn folded_networks_have_biases() {
        let channels = 64 * 5 + 128 * 5 + 256 * 5 + 512 * 5;
        assert_eq!(size(ResNet::resnet18(1000).folded(), 224).0, 11_689_512 - channels);
        let bottlenecks = ResNet::resnet50(10).folded();
        let names: Vec<_> = crate::testing::summary(bottlenecks, 64).rows.into_iter().map(|row| row.path).collect();
        assert!(names.contains(&"layer1.0.downsample.0".to_string()) && !names.iter().any(|name| name.contains("bn")));
    }

    #[test]
    fn other_shortcuts_sizes_and_classes_fit() {
        let projections = size(ResNet::resnet18(10), 33).0;
        let plain = size(ResNet::resnet18(10).plain(), 33).0;
        assert_eq!(size(ResNet::resnet18(10).shortcut(Shortcut::ZeroPad), 33).0, plain);
        assert_eq!(projections - plain, 64 * 128 + 128 * 256 + 256 * 512 + 2 * (128 + 256 + 512));
    }
}
