//! Layers of published networks, as every bench names them: `network.layer`.

#![allow(dead_code, reason = "each bench reads some of the tables")]

mod kernels;
pub mod layer;
mod networks;
pub mod task;

use ocelli::kernels::pool::{PoolGeometry, PoolSettings, Rounding};

use layer::Layer;

/// The distinct layers of a network, in order.
pub struct Network {
    pub name: &'static str,
    pub layers: Vec<Layer>,
}

impl Network {
    /// Returns the published networks, and last `kernels`: not a network, but the sizes by which the kernels are
    /// judged.
    pub fn all() -> [Network; 7] {
        [
            networks::lenet5(),
            networks::resnet20(),
            networks::alexnet(),
            networks::vgg16(),
            networks::resnet50(),
            networks::googlenet(),
            kernels::kernels(),
        ]
    }

    /// Returns the layers, each with the name of the network.
    pub fn named_layers(&self) -> impl Iterator<Item = (&'static str, &Layer)> {
        self.layers.iter().map(|layer| (self.name, layer))
    }

    /// Creates a network, in which layers of equal sizes become one, with the name of the first.
    fn of(name: &'static str, all: impl IntoIterator<Item = Layer>) -> Network {
        let mut layers: Vec<Layer> = Vec::new();
        for layer in all {
            match layers.iter_mut().find(|other| other.operation == layer.operation && other.batch == layer.batch) {
                Some(other) => other.count += layer.count,
                None => layers.push(layer),
            }
        }
        Network { name, layers }
    }
}

/// A pooling of a published network.
#[derive(Clone, Copy)]
pub struct Pooling {
    pub name: &'static str,
    /// Shape of an image, `[H, W, C]`.
    pub input: [usize; 3],
    pub kernel: usize,
    pub stride: usize,
    pub padding: usize,
    pub rounding: Rounding,
}

const fn pooling(name: &'static str, input: [usize; 3], kernel: usize, stride: usize) -> Pooling {
    Pooling { name, input, kernel, stride, padding: 0, rounding: Rounding::Floor }
}

impl Pooling {
    const fn padding(self, padding: usize) -> Self {
        Self { padding, ..self }
    }

    const fn ceil(self) -> Self {
        Self { rounding: Rounding::Ceil, ..self }
    }

    /// Returns the geometry for a batch.
    pub fn geometry(&self, batch: usize) -> PoolGeometry {
        let settings =
            PoolSettings::square(self.kernel).stride(self.stride).padding(self.padding).rounding(self.rounding);
        let [height, width, channels] = self.input;
        PoolGeometry::new(settings, [batch, height, width, channels])
            .unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }
}

/// Pooling layers, benched as maximum and as average.
pub const POOLINGS: &[Pooling] = &[
    pooling("lenet5.pool1", [28, 28, 6], 2, 2),
    pooling("alexnet.pool1", [55, 55, 64], 3, 2),
    pooling("vgg16.pool1", [224, 224, 64], 2, 2),
    pooling("vgg16.pool5", [14, 14, 512], 2, 2),
    pooling("resnet50.pool1", [112, 112, 64], 3, 2).padding(1),
    pooling("googlenet.pool2", [56, 56, 192], 3, 2).ceil(),
    pooling("googlenet.inception3a.pool", [28, 28, 192], 3, 1).padding(1),
];

/// Fills a slice with values in [-1, 1), equal at each run. They are not constant, so that no branch is predicted that
/// would not be otherwise.
pub fn fill(numbers: &mut [f32]) {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for number in numbers {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *number = (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0;
    }
}

/// Returns `len` values of [`fill`].
pub fn numbers(len: usize) -> Vec<f32> {
    let mut numbers = vec![0.0; len];
    fill(&mut numbers);
    numbers
}

/// Returns the batch to compute with: the given one, or 1 where `--test` only checks that the benches run.
pub fn batch(batch: usize) -> usize {
    if std::env::args().any(|argument| argument == "--test") { 1 } else { batch }
}
