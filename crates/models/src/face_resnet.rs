//! A small residual encoder of faces, to be trained from scratch on few images.

use ocelli_graph::{Layer, Node};
use ocelli_layers::{BatchNorm, Conv2d, Dense, Distribution, Init, Padding, Shortcut};

/// A residual encoder of four stages with one block each (after He et al. 2015), whose last pixels keep their places: they
/// are flattened, as in Deng et al. 2019, because the parts of a face do too.
///
/// # Shapes
/// `[N, H, W, C]` → `[N, features]`, of unit length; made for faces of 112 × 92 or 112 × 112, grey or in colour.
///
/// ```
/// use ocelli_graph::Model;
/// use ocelli_models::FaceResNet;
/// let model = Model::from_layer(FaceResNet::default(), [112, 92, 1], 0)?;
/// assert_eq!(model.summary().rows.last().unwrap().output, "[N, 128]");
/// # Ok::<(), ocelli_graph::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FaceResNet {
    /// Number of features of an embedding.
    pub features: usize,
    /// Channels of the first stage; each of the three others has twice as many as the one before.
    pub width: usize,
    /// Probability with which dropout takes away an element of what is flattened.
    pub dropout: f32,
}

impl Default for FaceResNet {
    /// Makes an encoder to 128 features with 16 channels in its first stage.
    fn default() -> FaceResNet {
        FaceResNet { features: 128, width: 16, dropout: 0.2 }
    }
}

const HE: Init = Init::He(Distribution::Normal);

fn conv(channels: usize, kernel: usize) -> Conv2d {
    Conv2d::new(channels, kernel).padding(Padding::uniform(kernel / 2)).bias(false).weight_init(HE)
}

#[derive(Clone, Copy, Debug)]
struct BasicBlock {
    channels: usize,
    stride: usize,
}

impl Layer for BasicBlock {
    fn forward(&self, x: &Node) -> Node {
        let y = x.apply("conv1", conv(self.channels, 3).stride(self.stride)).apply("bn1", BatchNorm::new()).relu();
        let y = y.apply("conv2", conv(self.channels, 3)).apply("bn2", BatchNorm::new());
        (y + x.apply("shortcut", Shortcut::Projection.to(self.channels, self.stride))).relu()
    }
}

impl Layer for FaceResNet {
    fn forward(&self, x: &Node) -> Node {
        if self.features == 0 || self.width == 0 {
            let reason = format!("{} features and {} channels: both must be 1 or more", self.features, self.width);
            return x.trace().fail("FaceResNet", reason);
        }
        let mut x = x.apply("conv1", conv(self.width, 5).stride(2)).apply("bn1", BatchNorm::new()).relu();
        for stage in 0..4 {
            let channels = self.width.saturating_mul(1 << stage);
            let stride = if stage == 0 { 1 } else { 2 };
            x = x.apply(format!("layer{}", stage + 1), BasicBlock { channels, stride });
        }
        let x = x.flatten().apply("dropout", ocelli_layers::Dropout(self.dropout));
        x.apply("fc", Dense::new(self.features).bias(false)).apply("bn2", BatchNorm::new()).l2_normalised(1e-12)
    }
}
