//! The Inception block.

use crate::{Activation, Branches, Conv2d, Distribution, Init, MaxPool2d, Sequential};
use ocelli_graph::{Layer, Node};
use std::{fmt, sync::Arc};

type AnyLayer = Box<dyn Layer + Send + Sync>;
type Unit = dyn Fn(usize, usize) -> AnyLayer + Send + Sync;

/// The width of a branch with a large filter: `32`, or `[16, 32]` with a 1×1 convolution of 16 channels before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tower {
    /// Channels of the 1×1 convolution before the large one, if there is one.
    pub bottleneck: Option<usize>,
    /// Channels of the large convolution.
    pub channels: usize,
}

impl From<usize> for Tower {
    fn from(channels: usize) -> Tower {
        Tower { bottleneck: None, channels }
    }
}

impl From<[usize; 2]> for Tower {
    fn from([bottleneck, channels]: [usize; 2]) -> Tower {
        Tower { bottleneck: Some(bottleneck), channels }
    }
}

/// Applies filters of several sizes and a pooling to the same input and concatenates their results (Szegedy et al.
/// 2014, fig. 2).
///
/// # Shapes
/// `[N, H, W, C]` → `[N, H, W, sum of the branches' channels]`; without a projection the pooling keeps `C`.
///
/// # Parameters
/// The parameters of the branches `branch1` (1×1), `branch2` (3×3), `branch3` (5×5) and `branch4` (pooling). The layers
/// of a branch of two steps are called `0` and `1`; a step is `conv` and a ReLU unless [`unit`](Inception::unit) is
/// set.
///
/// ```
/// use ocelli_graph::Model;
/// use ocelli_layers::Inception;
/// // The block 3a of GoogLeNet, and one as simple as can be.
/// let block = Inception::new(64, [96, 128], [16, 32], 32);
/// let model = Model::from_layer(block, [28, 28, 192], 0)?;
/// assert_eq!(model.summary().rows.last().unwrap().output, "[N, 28, 28, 256]");
/// let naive = Model::from_layer(Inception::new(64, 128, 32, None), [28, 28, 192], 0)?;
/// assert_eq!(naive.summary().rows.last().unwrap().output, "[N, 28, 28, 416]");
/// # Ok::<(), ocelli_graph::Error>(())
/// ```
#[derive(Clone)]
pub struct Inception {
    conv1: usize,
    conv3: Tower,
    conv5: Tower,
    pool: Option<usize>,
    large_kernel: usize,
    unit: Arc<Unit>,
}

impl Inception {
    /// Makes a block from the channels of the 1×1, 3×3 and 5×5 branches, and of the 1×1 convolution after the pooling
    /// if there is one.
    pub fn new(
        conv1: usize,
        conv3: impl Into<Tower>,
        conv5: impl Into<Tower>,
        pool: impl Into<Option<usize>>,
    ) -> Inception {
        Inception {
            conv1,
            conv3: conv3.into(),
            conv5: conv5.into(),
            pool: pool.into(),
            large_kernel: 5,
            unit: Arc::new(|channels, kernel| Box::new(conv_relu(channels, kernel))),
        }
    }

    /// Sets the size of the largest filter; the default is 5.
    pub fn large_kernel(mut self, kernel: usize) -> Inception {
        self.large_kernel = kernel;
        self
    }

    /// Sets the layer that stands for a convolution, by its channels and the size of its filter. It must keep height
    /// and width.
    pub fn unit<L: Layer + Send + Sync + 'static>(
        mut self,
        unit: impl Fn(usize, usize) -> L + Send + Sync + 'static,
    ) -> Inception {
        self.unit = Arc::new(move |channels, kernel| Box::new(unit(channels, kernel)));
        self
    }

    fn tower(&self, tower: Tower, kernel: usize) -> AnyLayer {
        let large = (self.unit)(tower.channels, kernel);
        match tower.bottleneck {
            Some(channels) => Box::new(Sequential::new().then((self.unit)(channels, 1)).then(large)),
            None => large,
        }
    }
}

fn conv_relu(channels: usize, kernel: usize) -> Sequential {
    let conv = Conv2d::new(channels, kernel).same().weight_init(Init::He(Distribution::Normal));
    Sequential::new().named("conv", conv).named("relu", Activation::Relu)
}

impl Layer for Inception {
    fn forward(&self, x: &Node) -> Node {
        let pool = Sequential::new().then(MaxPool2d::new(3).stride(1).padding(1));
        let pool = match self.pool {
            Some(channels) => pool.then((self.unit)(channels, 1)),
            None => pool,
        };
        Branches::new()
            .named("branch1", (self.unit)(self.conv1, 1))
            .named("branch2", self.tower(self.conv3, 3))
            .named("branch3", self.tower(self.conv5, self.large_kernel))
            .named("branch4", pool)
            .forward(x)
    }
}

impl fmt::Debug for Inception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inception")
            .field("conv1", &self.conv1)
            .field("conv3", &self.conv3)
            .field("conv5", &self.conv5)
            .field("pool", &self.pool)
            .field("large_kernel", &self.large_kernel)
            .finish_non_exhaustive()
    }
}
