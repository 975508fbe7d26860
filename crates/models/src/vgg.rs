//! VGG (Simonyan and Zisserman 2014).

use ocelli_graph::{Layer, Node};
use ocelli_layers::{
    Activation, AdaptiveAvgPool2d, AvgPool2d, BatchNorm, Conv2d, Dense, Dropout, Flatten, Init, MaxPool2d, Sequential,
};

/// VGG: 3×3 convolutions in five stages with a pooling after each, and three dense layers, under torchvision's names.
///
/// # Shapes
/// `[N, H, W, C]` → `[N, classes]` logits, for images of 32 pixels or more; published for `[224, 224, 3]`.
///
/// ```
/// use ocelli_graph::Model;
/// use ocelli_models::Vgg;
/// // Style transfer uses conv4_2 of VGG-19, which is `features.21`.
/// let model = Model::zeroed(Vgg::vgg19(1000).average_pooling(), [64, 64, 3])?;
/// assert!(model.graph().find("features.21").is_some());
/// # Ok::<(), ocelli_graph::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vgg {
    classes: usize,
    /// Number of convolutions in each stage.
    depths: [usize; 5],
    normalised: bool,
    pooling: Pooling,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pooling {
    Max,
    Average,
}

/// Channels in each stage.
const WIDTHS: [usize; 5] = [64, 128, 256, 512, 512];

impl Vgg {
    fn new(depths: [usize; 5], classes: usize) -> Vgg {
        Vgg { classes, depths, normalised: false, pooling: Pooling::Max }
    }

    /// Creates VGG-11 (configuration A): 132,863,336 parameters with 1000 classes.
    pub fn vgg11(classes: usize) -> Vgg {
        Vgg::new([1, 1, 2, 2, 2], classes)
    }

    /// Creates VGG-13 (configuration B): 133,047,848 parameters with 1000 classes.
    pub fn vgg13(classes: usize) -> Vgg {
        Vgg::new([2, 2, 2, 2, 2], classes)
    }

    /// Creates VGG-16 (configuration D): 138,357,544 parameters with 1000 classes.
    pub fn vgg16(classes: usize) -> Vgg {
        Vgg::new([2, 2, 3, 3, 3], classes)
    }

    /// Creates VGG-19 (configuration E): 143,667,240 parameters with 1000 classes.
    pub fn vgg19(classes: usize) -> Vgg {
        Vgg::new([2, 2, 4, 4, 4], classes)
    }

    /// Adds a batch normalisation after each convolution, as torchvision's `vgg16_bn` and its like have.
    pub fn batch_norm(mut self) -> Vgg {
        self.normalised = true;
        self
    }

    /// Replaces max pooling by average pooling, for style transfer, where gradients then flow more evenly (Gatys et al.
    /// 2015).
    pub fn average_pooling(mut self) -> Vgg {
        self.pooling = Pooling::Average;
        self
    }

    fn features(&self) -> Sequential {
        let mut features = Sequential::new();
        for (depth, channels) in self.depths.into_iter().zip(WIDTHS) {
            for _ in 0..depth {
                // He normal over the outputs: 9·channels.
                let deviation = (2.0 / (9 * channels) as f32).sqrt();
                features = features.then(Conv2d::new(channels, 3).same().weight_init(Init::Normal(deviation)));
                if self.normalised {
                    features = features.then(BatchNorm::new());
                }
                features = features.then(Activation::Relu);
            }
            features = match self.pooling {
                Pooling::Max => features.then(MaxPool2d::new(2)),
                Pooling::Average => features.then(AvgPool2d::new(2)),
            };
        }
        features
    }
}

impl Layer for Vgg {
    fn forward(&self, x: &Node) -> Node {
        let dense = |features| Dense::new(features).weight_init(Init::Normal(0.01));
        let classifier = Sequential::new()
            .then(dense(4096))
            .then(Activation::Relu)
            .then(Dropout(0.5))
            .then(dense(4096))
            .then(Activation::Relu)
            .then(Dropout(0.5))
            .then(dense(self.classes));
        let x = x.apply("features", self.features()).apply("avgpool", AdaptiveAvgPool2d::new(7));
        x.apply("flatten", Flatten).apply("classifier", classifier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{size, summary};

    #[test]
    fn counts_are_the_published_ones() {
        assert_eq!(size(Vgg::vgg11(1000), 224), (132_863_336, 7_609_090_048));
        assert_eq!(size(Vgg::vgg13(1000), 224), (133_047_848, 11_308_466_176));
        assert_eq!(size(Vgg::vgg16(1000), 224), (138_357_544, 15_470_264_320));
        assert_eq!(size(Vgg::vgg19(1000), 224), (143_667_240, 19_632_062_464));
        assert_eq!(size(Vgg::vgg16(1000).batch_norm(), 224), (138_365_992, 15_470_264_320));
        assert_eq!(size(Vgg::vgg19(1000).batch_norm(), 224).0, 143_678_248);
        let convolutions = |network| {
            let rows = summary(network, 224).rows;
            rows.iter().filter(|row| row.path.starts_with("features")).map(|row| row.parameters).sum::<usize>()
        };
        assert_eq!((convolutions(Vgg::vgg16(1000)), convolutions(Vgg::vgg19(1000))), (14_714_688, 20_024_384));
    }

    #[test]
    fn other_sizes_classes_and_poolings_fit() {
        assert_eq!(size(Vgg::vgg16(10).average_pooling(), 64).0, size(Vgg::vgg16(10), 32).0);
    }
}
