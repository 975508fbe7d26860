//! U-Net (Ronneberger et al. 2015).

use ocelli_graph::{Axis, Layer, Node};
use ocelli_layers::{Activation, Conv2d, ConvNorm, ConvTranspose2d, Distribution, Init, MaxPool2d, Sequential};

/// A network that gives every pixel a class: stages that halve the image, as many that double it by transposed convolution, and
/// between stages of one size a connection that keeps what the halving loses.
///
/// It has batch normalisations and zero padding, so that the result is as large as the image, where the paper crops.
///
/// # Shapes
/// `[N, H, W, C]` → `[N, H, W, classes]` logits; `H` and `W` must be multiples of `2^depth`.
///
/// # Parameters
/// Two [`ConvNorm`] `0` and `1` below `down1`, `down2`, …, `bottom`, …, `up2`, `up1`; the transposed convolutions `enlarge2`,
/// `enlarge1`; and the 1×1 convolution `head`.
///
/// ```
/// use ocelli_graph::Model;
/// use ocelli_models::UNet;
/// let model = Model::from_layer(UNet::new(4).width(16).depth(3), [64, 64, 3], 0)?;
/// assert_eq!(model.summary().rows.last().unwrap().output, "[N, 64, 64, 4]");
/// # Ok::<(), ocelli_graph::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UNet {
    classes: usize,
    width: usize,
    depth: usize,
}

impl UNet {
    /// Creates the network of the paper's width and depth: 64 channels, which double with each of four halvings.
    pub fn new(classes: usize) -> UNet {
        UNet { classes, width: 64, depth: 4 }
    }

    /// Sets the channels of the first stage.
    pub fn width(mut self, channels: usize) -> UNet {
        self.width = channels;
        self
    }

    /// Sets how many times the image is halved.
    pub fn depth(mut self, halvings: usize) -> UNet {
        self.depth = halvings;
        self
    }

    /// Channels of the stage behind so many halvings.
    fn channels(&self, halvings: usize) -> usize {
        self.width.saturating_mul(1usize.checked_shl(halvings as u32).unwrap_or(usize::MAX))
    }

    fn stage(&self, halvings: usize) -> Sequential {
        let unit = || ConvNorm::new(self.channels(halvings), 3).activation(Activation::Relu);
        Sequential::new().then(unit()).then(unit())
    }
}

impl Layer for UNet {
    fn forward(&self, x: &Node) -> Node {
        // No image can be halved so often.
        if self.depth >= usize::BITS as usize {
            return x.trace().fail("UNet", format!("a image cannot be halved {} times", self.depth));
        }
        let he = Init::He(Distribution::Normal);
        let (mut x, mut kept) = (x.clone(), Vec::new());
        for stage in 0..self.depth {
            let number = stage + 1;
            let y = x.apply(format!("down{number}"), self.stage(stage));
            x = y.apply(format!("pool{number}"), MaxPool2d::new(2));
            kept.push(y);
        }
        x = x.apply("bottom", self.stage(self.depth));
        for (stage, kept) in kept.iter().enumerate().rev() {
            let number = stage + 1;
            let enlarge = ConvTranspose2d::new(self.channels(stage), 2).stride(2).weight_init(he);
            let y = x.apply(format!("enlarge{number}"), enlarge);
            x = Node::concat(&[kept, &y], Axis::C).apply(format!("up{number}"), self.stage(stage));
        }
        x.apply("head", Conv2d::new(self.classes, 1).weight_init(he))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::summary;
    use ocelli_graph::Model;

    #[test]
    fn the_result_is_as_large_as_the_image() {
        let summary = summary(UNet::new(2), 32);
        assert_eq!(summary.rows.last().unwrap().output, "[N, 32, 32, 2]");
        assert_eq!(summary.trained, 31_037_698);
    }

    #[test]
    fn other_sizes_are_refused_in_a_sentence() {
        let refused = Model::zeroed(UNet::new(2).depth(2), [30, 32, 3]).unwrap_err().to_string();
        assert!(refused.contains("(Concat)"), "{refused}");
        let refused = Model::zeroed(UNet::new(2).depth(usize::MAX), [32, 32, 3]).unwrap_err().to_string();
        assert!(refused.starts_with("(UNet): a image cannot be halved"), "{refused}");
        assert!(Model::zeroed(UNet::new(2).depth(40), [32, 32, 3]).is_err());
        assert!(Model::zeroed(UNet::new(usize::MAX).width(usize::MAX), [32, 32, 3]).is_err());
    }
}
