//! SqueezeNet (Iandola et al. 2016).

use ocelli_graph::{Layer, Node};
use ocelli_layers::{Activation, Branches, Conv2d, Distribution, Dropout, GlobalAvgPool, Init, MaxPool2d, Sequential};

/// SqueezeNet: fire modules that reach AlexNet's accuracy with a fiftieth of its parameters, under torchvision's names.
///
/// # Shapes
/// `[N, H, W, C]` → `[N, classes]` logits, for images of 29 pixels or more; published for `[224, 224, 3]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SqueezeNet {
    classes: usize,
    version: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V1_0,
    V1_1,
}

impl SqueezeNet {
    /// Creates the network of the paper: 1,248,424 parameters with 1000 classes.
    pub fn v1_0(classes: usize) -> SqueezeNet {
        SqueezeNet { classes, version: Version::V1_0 }
    }

    /// Creates the authors' later version, which pools earlier: 1,235,496 parameters with 1000 classes and 2.4 times
    /// less work.
    pub fn v1_1(classes: usize) -> SqueezeNet {
        SqueezeNet { classes, version: Version::V1_1 }
    }
}

/// A fire module: a 1×1 convolution to few channels, then 1×1 and 3×3 convolutions side by side.
#[derive(Clone, Copy, Debug)]
struct Fire {
    squeeze: usize,
    /// Channels of either convolution.
    expand: usize,
}

fn conv(channels: usize, kernel: usize) -> Conv2d {
    Conv2d::new(channels, kernel).weight_init(Init::He(Distribution::Uniform))
}

impl Layer for Fire {
    fn forward(&self, x: &Node) -> Node {
        let x = x.apply("squeeze", conv(self.squeeze, 1)).relu();
        let expand =
            Branches::new().named("expand1x1", conv(self.expand, 1)).named("expand3x3", conv(self.expand, 3).same());
        // A ReLU over both halves is equal to one over each of them.
        expand.forward(&x).relu()
    }
}

impl SqueezeNet {
    fn features(&self) -> Sequential {
        let fire = |squeeze, expand| Fire { squeeze, expand };
        let pool = || MaxPool2d::new(3).stride(2).ceil();
        let first = match self.version {
            Version::V1_0 => conv(96, 7),
            Version::V1_1 => conv(64, 3),
        };
        let features = Sequential::new().then(first.stride(2)).then(Activation::Relu).then(pool());
        let features = features.then(fire(16, 64)).then(fire(16, 64));
        match self.version {
            Version::V1_0 => features
                .then(fire(32, 128))
                .then(pool())
                .then(fire(32, 128))
                .then(fire(48, 192))
                .then(fire(48, 192))
                .then(fire(64, 256))
                .then(pool())
                .then(fire(64, 256)),
            Version::V1_1 => features
                .then(pool())
                .then(fire(32, 128))
                .then(fire(32, 128))
                .then(pool())
                .then(fire(48, 192))
                .then(fire(48, 192))
                .then(fire(64, 256))
                .then(fire(64, 256)),
        }
    }
}

impl Layer for SqueezeNet {
    fn forward(&self, x: &Node) -> Node {
        let classifier = Sequential::new()
            .then(Dropout(0.5))
            .then(Conv2d::new(self.classes, 1).weight_init(Init::Normal(0.01)))
            .then(Activation::Relu)
            .then(GlobalAvgPool);
        x.apply("features", self.features()).apply("classifier", classifier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::size;

    #[test]
    fn counts_are_the_published_ones() {
        assert_eq!(size(SqueezeNet::v1_0(1000), 224).0, 1_248_424);
        assert_eq!(size(SqueezeNet::v1_1(1000), 224).0, 1_235_496);
        assert_eq!(size(SqueezeNet::v1_0(10), 29).0, size(SqueezeNet::v1_0(10), 224).0);
    }
}
