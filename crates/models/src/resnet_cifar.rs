//! ResNet (He, Zhang, Ren and Sun 2015, section 4.2) for images of 32 × 32 pixels.

use crate::resnet::stages;
use ocelli_graph::{Layer, Node};
use ocelli_layers::{BasicBlock, Conv2d, Dense, Distribution, Init, Normalisation, Padding, Residual, Shortcut};

/// A residual network of `6n + 2` layers with 16, 32 and 64 channels. Names are those of the usual PyTorch
/// implementation (Idelbayev, `pytorch_resnet_cifar10`), whose published weights load without renaming.
///
/// # Shapes
/// `[N, H, W, C]` → `[N, classes]` logits; published for `[32, 32, 3]` and 10 classes.
///
/// ```
/// use ocelli_graph::Model;
/// use ocelli_models::CifarResNet;
/// let model = Model::from_layer(CifarResNet::resnet20(10), [32, 32, 3], 0)?;
/// assert_eq!(model.parameters().trained_count(), 269_722);
/// # Ok::<(), ocelli_graph::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CifarResNet {
    classes: usize,
    /// Number of blocks in each of the three stages.
    depth: usize,
    shortcut: Option<Shortcut>,
}

impl CifarResNet {
    fn new(depth: usize, classes: usize) -> CifarResNet {
        CifarResNet { classes, depth, shortcut: Some(Shortcut::ZeroPad) }
    }

    /// Creates ResNet-20: 269,722 parameters with 10 classes.
    pub fn resnet20(classes: usize) -> CifarResNet {
        CifarResNet::new(3, classes)
    }

    /// Creates ResNet-32: 464,154 parameters with 10 classes.
    pub fn resnet32(classes: usize) -> CifarResNet {
        CifarResNet::new(5, classes)
    }

    /// Creates ResNet-44: 658,586 parameters with 10 classes.
    pub fn resnet44(classes: usize) -> CifarResNet {
        CifarResNet::new(7, classes)
    }

    /// Creates ResNet-56: 853,018 parameters with 10 classes.
    pub fn resnet56(classes: usize) -> CifarResNet {
        CifarResNet::new(9, classes)
    }

    /// Creates ResNet-110: 1,727,962 parameters with 10 classes. The paper warms it up at a rate of 0.01.
    pub fn resnet110(classes: usize) -> CifarResNet {
        CifarResNet::new(18, classes)
    }

    /// Sets the kind of shortcut; default [`Shortcut::ZeroPad`], the paper's option A.
    pub fn shortcut(mut self, shortcut: Shortcut) -> CifarResNet {
        self.shortcut = Some(shortcut);
        self
    }

    /// Removes the shortcuts: the plain networks that the paper compares with, which become worse with depth.
    pub fn plain(mut self) -> CifarResNet {
        self.shortcut = None;
        self
    }
}

const HE: Init = Init::He(Distribution::Normal);

impl Layer for CifarResNet {
    fn forward(&self, x: &Node) -> Node {
        let first = Conv2d::new(16, 3).padding(Padding::uniform(1)).weight_init(HE);
        let x = Normalisation::Batch.convolve(x, ["conv1", "bn1"], first).relu();
        let x = stages(&x, &[self.depth; 3], |stage, stride| {
            let body = BasicBlock::new(16 << stage).stride(stride);
            Residual::new(body).stride(stride).shortcut(self.shortcut)
        });
        x.global_avg_pool().apply("linear", Dense::new(self.classes).pytorch_init().weight_init(HE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::size;

    #[test]
    fn counts_are_the_published_ones() {
        type Make = fn(usize) -> CifarResNet;
        let cases: [(Make, usize, usize); 5] = [
            (CifarResNet::resnet20, 269_722, 272_474),
            (CifarResNet::resnet32, 464_154, 466_906),
            (CifarResNet::resnet44, 658_586, 661_338),
            (CifarResNet::resnet56, 853_018, 855_770),
            (CifarResNet::resnet110, 1_727_962, 1_730_714),
        ];
        for (make, zero_padded, projected) in cases {
            assert_eq!(size(make(10), 32).0, zero_padded);
            assert_eq!(size(make(10).shortcut(Shortcut::Projection), 32).0, projected);
            assert_eq!(size(make(10).plain(), 32).0, zero_padded);
        }
    }

    #[test]
    fn work_is_the_published_one() {
        assert_eq!(size(CifarResNet::resnet20(10), 32).1, 40_551_040);
        let millions = |network| (size(network, 32).1 as f64 / 1e5).round() / 10.0;
        assert_eq!(millions(CifarResNet::resnet32(10)), 68.9);
        assert_eq!(millions(CifarResNet::resnet44(10)), 97.2);
        assert_eq!(millions(CifarResNet::resnet56(10)), 125.5);
        assert_eq!(millions(CifarResNet::resnet110(10)), 252.9);
    }
}
