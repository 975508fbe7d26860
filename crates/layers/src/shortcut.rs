//! The shortcuts of residual blocks.

use crate::{AvgPool2d, Conv2d, Distribution, Init, Normalisation};
use ocelli_graph::{Axis, Dim, Layer, Node, Shape};
use ocelli_kernels::pool::{CountPadding, PoolSettings};

/// The branch that is added to the result of a residual block (He et al. 2015, section 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortcut {
    /// The input, which must have the shape of the result.
    Identity,
    /// Option A: every `stride`-th pixel of the input in both directions, with channels of zeros added, half of them
    /// before and half after. No parameters.
    ZeroPad,
    /// Option B: a 1×1 convolution and its normalisation where the shapes differ; elsewhere the input.
    /// Frozen (`Model::freeze`) it is a fixed projection.
    Projection,
    /// A mean over `stride` × `stride` pixels and a projection of it, where the shapes differ: unlike a strided projection it
    /// sees every pixel (He et al. 2018, *Bag of tricks*, fig. 2c: "ResNet-D").
    PooledProjection,
}

impl Shortcut {
    /// Makes a layer of the shortcut, to `channels` channels and one pixel in every `stride`.
    pub fn to(self, channels: usize, stride: usize) -> ShortcutLayer {
        ShortcutLayer {
            shortcut: self,
            channels,
            stride,
            normalisation: Normalisation::Batch,
            weight_init: Init::He(Distribution::Normal),
        }
    }
}

/// A [`Shortcut`] to a given number of channels.
///
/// # Shapes
/// `[N, H, W, C]` → `[N, ⌈H / stride⌉, ⌈W / stride⌉, channels]`. With stride 1 and `C = channels` it is the identity.
///
/// # Parameters
/// A projection has `0.weight` `[1, 1, C, channels]`, and the parameters of the normalisation below `1` or a bias. Behind a
/// mean these are `1.weight` and those below `2`.
#[derive(Clone, Copy, Debug)]
pub struct ShortcutLayer {
    shortcut: Shortcut,
    channels: usize,
    stride: usize,
    normalisation: Normalisation,
    weight_init: Init,
}

impl ShortcutLayer {
    /// Sets the normalisation after a projection.
    pub fn normalisation(mut self, normalisation: Normalisation) -> ShortcutLayer {
        self.normalisation = normalisation;
        self
    }

    /// Sets the initialiser of a projection's weights; the default is He normal.
    pub fn weight_init(mut self, init: Init) -> ShortcutLayer {
        self.weight_init = init;
        self
    }

    /// Takes every `stride`-th pixel: windows of one pixel.
    fn sampled(&self, x: &Node) -> Node {
        if self.stride == 1 {
            return x.clone();
        }
        x.avg_pool(PoolSettings::square(1).stride(self.stride), CountPadding::Include)
    }

    fn zero_padded(&self, x: &Node) -> Node {
        let given = x.channels();
        let Some(missing) = self.channels.checked_sub(given) else {
            let expected =
                format!("at most {} channels on axis C (zeros are added, none is taken away)", self.channels);
            let reason = format!("expected {expected}, got {given} in {}", x.description());
            return x.trace().fail("Shortcut", reason);
        };
        let x = self.sampled(x);
        let zeros = |channels: usize| {
            let mut dims = x.shape().dims().to_vec();
            dims.pop();
            dims.push(Dim::Fixed(channels));
            x.trace().filled(0.0, Shape::new(dims))
        };
        let before = missing / 2;
        let parts =
            [(before > 0).then(|| zeros(before)), Some(x.clone()), (missing > 0).then(|| zeros(missing - before))];
        Node::concat(&parts.iter().flatten().collect::<Vec<_>>(), Axis::C)
    }
}

impl Layer for ShortcutLayer {
    fn forward(&self, x: &Node) -> Node {
        if self.stride == 1 && x.channels() == self.channels {
            return x.clone();
        }
        let projection = || Conv2d::new(self.channels, 1).weight_init(self.weight_init);
        match self.shortcut {
            Shortcut::Identity => x.clone(),
            Shortcut::ZeroPad => self.zero_padded(x),
            Shortcut::Projection => self.normalisation.convolve(x, ["0", "1"], projection().stride(self.stride)),
            Shortcut::PooledProjection => {
                // Incomplete windows at the end are means of the pixels that they have.
                let pool = AvgPool2d::new(self.stride).ceil().count_padding(CountPadding::Exclude);
                let pooled = if self.stride == 1 { x.clone() } else { x.apply("0", pool) };
                self.normalisation.convolve(&pooled, ["1", "2"], projection())
            }
        }
    }

    fn kind(&self) -> String {
        "Shortcut".into()
    }
}
