//! A small residual encoder of faces, to be trained from scratch on few images.

use ocelli_graph::{Layer, Node};
use ocelli_layers::{
    BasicBlock, BatchNorm, Conv2d, Dense, Distribution, Dropout, Init, Normalisation, Padding, Residual, Shortcut,
};

/// A residual encoder of a few stages with one block each (after He et al. 2015), whose last pixels keep their places: they
/// are flattened, as in Deng et al. 2019, because the parts of a face do too.
///
/// # Shapes
/// `[N, H, W, C]` → `[N, features]`, of unit length; made for faces of 112 × 92 or 112 × 112, grey or in colour, or of half
/// that size with a stage less.
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
    /// Number of stages, 1 to 4. Before the first the image has half its size; each other halves it again.
    pub stages: usize,
    /// Channels of the first stage; each other has twice as many as the one before.
    pub width: usize,
    /// Probability with which dropout takes away an element of what is flattened.
    pub dropout: f32,
}

impl Default for FaceResNet {
    /// Makes an encoder to 128 features, of four stages with 16 channels in the first.
    fn default() -> FaceResNet {
        FaceResNet { features: 128, stages: 4, width: 16, dropout: 0.2 }
    }
}

impl Layer for FaceResNet {
    fn forward(&self, x: &Node) -> Node {
        if self.features == 0 || self.width == 0 {
            let reason = format!("{} features and {} channels: both must be 1 or more", self.features, self.width);
            return x.trace().fail("FaceResNet", reason);
        }
        if !(1..=4).contains(&self.stages) {
            return x.trace().fail("FaceResNet", format!("{} stages: 1 to 4 can be made", self.stages));
        }
        let he = Init::He(Distribution::Normal);
        let first = Conv2d::new(self.width, 5).padding(Padding::uniform(2)).stride(2).weight_init(he);
        let mut x = Normalisation::Batch.convolve(x, ["conv1", "bn1"], first).relu();
        for stage in 0..self.stages {
            let stride = if stage == 0 { 1 } else { 2 };
            let body = BasicBlock::new(self.width.saturating_mul(1 << stage)).stride(stride);
            let block = Residual::new(body).stride(stride).shortcut(Shortcut::Projection);
            x = x.apply(format!("layer{}", stage + 1), block);
        }
        let x = x.flatten().apply("dropout", Dropout(self.dropout));
        x.apply("fc", Dense::new(self.features).bias(false)).apply("bn2", BatchNorm::new()).l2_normalised(1e-12)
    }
}
