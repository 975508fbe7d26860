//! DenseNet (Huang et al. 2017).

use ocelli_graph::{Axis, Layer, Node};
use ocelli_layers::{AvgPool2d, BatchNorm, Conv2d, Dense, Distribution, Init, MaxPool2d, Padding};

/// A network in which each layer reads the results of all layers before it in its block, under torchvision's names.
///
/// # Shapes
/// `[N, H, W, C]` → `[N, classes]` logits; published for `[224, 224, 3]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DenseNet {
    classes: usize,
    /// Number of layers in each block.
    depths: [usize; 4],
    /// Channels that a layer adds.
    growth: usize,
}

impl DenseNet {
    /// Creates DenseNet-121: 7,978,856 parameters with 1000 classes.
    pub fn densenet121(classes: usize) -> DenseNet {
        DenseNet { classes, depths: [6, 12, 24, 16], growth: 32 }
    }
}

fn conv(channels: usize, kernel: usize) -> Conv2d {
    let padding = Padding::uniform(kernel / 2);
    Conv2d::new(channels, kernel).padding(padding).bias(false).weight_init(Init::He(Distribution::Normal))
}

/// A layer of a block: a 1×1 convolution to four times the growth, then 3×3; a normalisation and a ReLU before each
/// ("DenseNet-B").
struct DenseLayer {
    growth: usize,
}

impl Layer for DenseLayer {
    fn forward(&self, x: &Node) -> Node {
        let x = x.apply("norm1", BatchNorm::new()).relu().apply("conv1", conv(4 * self.growth, 1));
        x.apply("norm2", BatchNorm::new()).relu().apply("conv2", conv(self.growth, 3))
    }
}

/// Halves channels and size between two blocks ("DenseNet-C").
struct Transition;

impl Layer for Transition {
    fn forward(&self, x: &Node) -> Node {
        let y = x.apply("norm", BatchNorm::new()).relu().apply("conv", conv(x.channels() / 2, 1));
        y.apply("pool", AvgPool2d::new(2))
    }
}

impl DenseNet {
    fn features(&self, x: &Node) -> Node {
        let x = x.apply("conv0", conv(64, 7).stride(2)).apply("norm0", BatchNorm::new()).relu();
        let mut x = x.apply("pool0", MaxPool2d::new(3).stride(2).padding(1));
        for (block, depth) in (1..).zip(self.depths) {
            x = x.scope(format!("denseblock{block}"), |x| {
                (1..=depth).fold(x.clone(), |x, layer| {
                    let y = x.apply(format!("denselayer{layer}"), DenseLayer { growth: self.growth });
                    Node::concat(&[&x, &y], Axis::C)
                })
            });
            if block < self.depths.len() {
                x = x.apply(format!("transition{block}"), Transition);
            }
        }
        x.apply("norm5", BatchNorm::new()).relu()
    }
}

impl Layer for DenseNet {
    fn forward(&self, x: &Node) -> Node {
        let x = x.scope("features", |x| self.features(x));
        x.global_avg_pool().apply("classifier", Dense::new(self.classes).pytorch_init().bias_init(Init::Constant(0.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::size;

    #[test]
    fn counts_are_the_published_ones() {
        assert_eq!(size(DenseNet::densenet121(1000), 224), (7_978_856, 2_834_161_664));
    }
}
