//! AlexNet (Krizhevsky, Sutskever and Hinton 2012), in torchvision's form and as published.

use ocelli_graph::{Layer, Node};
use ocelli_layers::{
    Activation, AdaptiveAvgPool2d, Conv2d, Dense, Dropout, Flatten, Init, LocalResponseNorm, MaxPool2d, Padding,
    Sequential,
};

/// AlexNet in torchvision's form, which is that of Krizhevsky 2014: one group, fewer filters, no response normalisation.
///
/// # Shapes
/// `[N, H, W, C]` → `[N, classes]` logits, for images of 63 pixels or more; published for `[224, 224, 3]`. 61,100,840
/// parameters with 1000 classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlexNet {
    classes: usize,
}

impl AlexNet {
    /// Creates the network in torchvision's form for `classes` classes.
    pub fn new(classes: usize) -> AlexNet {
        AlexNet { classes }
    }

    /// Creates the network of the paper for `classes` classes.
    pub fn of_2012(classes: usize) -> AlexNetOf2012 {
        AlexNetOf2012 { classes, groups: 2 }
    }
}

impl Layer for AlexNet {
    fn forward(&self, x: &Node) -> Node {
        let conv = |channels, kernel: usize, padding| {
            Conv2d::new(channels, kernel).padding(Padding::uniform(padding)).pytorch_init()
        };
        let dense = |features| Dense::new(features).pytorch_init();
        let pool = || MaxPool2d::new(3).stride(2);
        let features = Sequential::new()
            .then(conv(64, 11, 2).stride(4))
            .then(Activation::Relu)
            .then(pool())
            .then(conv(192, 5, 2))
            .then(Activation::Relu)
            .then(pool())
            .then(conv(384, 3, 1))
            .then(Activation::Relu)
            .then(conv(256, 3, 1))
            .then(Activation::Relu)
            .then(conv(256, 3, 1))
            .then(Activation::Relu)
            .then(pool());
        let classifier = Sequential::new()
            .then(Dropout(0.5))
            .then(dense(4096))
            .then(Activation::Relu)
            .then(Dropout(0.5))
            .then(dense(4096))
            .then(Activation::Relu)
            .then(dense(self.classes));
        let x = x.apply("features", features).apply("avgpool", AdaptiveAvgPool2d::new(6));
        x.apply("flatten", Flatten).apply("classifier", classifier)
    }
}

/// AlexNet as published: response normalisation, overlapping pooling, and the second, fourth and fifth convolution in
/// two groups, one for each GPU of the paper.
///
/// Dropout is inverted (scaled while training), which is the paper's halving at test time with other constants.
///
/// # Shapes
/// `[N, H, W, C]` → `[N, classes]` logits; published for `[227, 227, 3]` (the paper's text says 224, which does not fit its
/// arithmetic). 60,965,224 parameters with 1000 classes.
///
/// # Parameters
/// `conv1` to `conv5`, `fc6` to `fc8`, each `weight` and `bias`, initialised as in section 5 of the paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlexNetOf2012 {
    classes: usize,
    groups: usize,
}

impl AlexNetOf2012 {
    /// Removes the groups, so that every convolution sees all channels: 62,378,344 parameters, often quoted as those of
    /// AlexNet.
    pub fn ungrouped(mut self) -> AlexNetOf2012 {
        self.groups = 1;
        self
    }
}

impl Layer for AlexNetOf2012 {
    fn forward(&self, x: &Node) -> Node {
        let conv = |channels, kernel: usize, padding, bias| {
            let conv = Conv2d::new(channels, kernel).padding(Padding::uniform(padding));
            conv.weight_init(Init::Normal(0.01)).bias_init(Init::Constant(bias))
        };
        let dense =
            |features, bias| Dense::new(features).weight_init(Init::Normal(0.01)).bias_init(Init::Constant(bias));
        let pool = || MaxPool2d::new(3).stride(2);

        let x = x.apply("conv1", conv(96, 11, 0, 0.0).stride(4)).relu();
        let x = x.apply("norm1", LocalResponseNorm::of_sum(5)).apply("pool1", pool());
        let x = x.apply("conv2", conv(256, 5, 2, 1.0).groups(self.groups)).relu();
        let x = x.apply("norm2", LocalResponseNorm::of_sum(5)).apply("pool2", pool());
        let x = x.apply("conv3", conv(384, 3, 1, 0.0)).relu();
        let x = x.apply("conv4", conv(384, 3, 1, 1.0).groups(self.groups)).relu();
        let x = x.apply("conv5", conv(256, 3, 1, 1.0).groups(self.groups)).relu().apply("pool5", pool()).flatten();
        let x = x.apply("fc6", dense(4096, 1.0)).relu().dropout(0.5);
        let x = x.apply("fc7", dense(4096, 1.0)).relu().dropout(0.5);
        x.apply("fc8", dense(self.classes, 0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::size;

    #[test]
    fn torchvisions_form_has_61_100_840_parameters() {
        assert_eq!(size(AlexNet::new(1000), 224), (61_100_840, 714_188_480));
        size(AlexNet::new(3), 63);
    }

    #[test]
    fn the_network_of_2012_has_60_965_224_parameters() {
        assert_eq!(size(AlexNet::of_2012(1000), 227), (60_965_224, 724_406_816));
        assert_eq!(size(AlexNet::of_2012(1000).ungrouped(), 227).0, 62_378_344);
        let summary = crate::testing::summary(AlexNet::of_2012(1000), 227);
        let counts: Vec<usize> = summary.rows.iter().map(|row| row.parameters).filter(|&count| count > 0).collect();
        assert_eq!(counts, [34_944, 307_456, 885_120, 663_936, 442_624, 37_752_832, 16_781_312, 4_097_000]);
        let convolutions = summary.rows.iter().filter(|row| row.path.starts_with("conv"));
        assert_eq!(convolutions.map(|row| row.macs).sum::<u64>(), 665_784_864);
    }
}
