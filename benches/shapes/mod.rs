//! Layers of published networks, as every bench names them: `network.layer`.

#![allow(dead_code, reason = "each bench reads some of the tables")]

use std::time::Duration;

use criterion::Criterion;
use ocelli::kernels::conv::{Conv2dGeometry, Conv2dSettings, Padding};
use ocelli::kernels::pool::{PoolGeometry, PoolSettings, Rounding};

/// A convolution of a published network.
#[derive(Clone, Copy)]
pub struct Convolution {
    pub name: &'static str,
    /// `[H, W, C]`.
    pub input: [usize; 3],
    /// `[kernel_h, kernel_w, C / groups, filters]`.
    pub filter: [usize; 4],
    pub stride: usize,
    pub padding: usize,
    pub groups: usize,
    /// The batch of a training step, benched beside a batch of 1.
    pub batch: usize,
}

const fn convolution(name: &'static str, input: [usize; 3], filter: [usize; 4]) -> Convolution {
    Convolution { name, input, filter, stride: 1, padding: 0, groups: 1, batch: 8 }
}

impl Convolution {
    const fn stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    const fn padding(self, padding: usize) -> Self {
        Self { padding, ..self }
    }

    const fn groups(self, groups: usize) -> Self {
        Self { groups, ..self }
    }

    const fn batch(self, batch: usize) -> Self {
        Self { batch, ..self }
    }

    /// The geometry for a batch.
    pub fn geometry(&self, batch: usize) -> Conv2dGeometry {
        let settings = Conv2dSettings {
            stride_h: self.stride,
            stride_w: self.stride,
            padding: Padding::uniform(self.padding),
            groups: self.groups,
            ..Conv2dSettings::default()
        };
        let [height, width, channels] = self.input;
        Conv2dGeometry::new(&settings, [batch, height, width, channels], self.filter)
            .unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }
}

/// LeNet-5 (LeCun et al. 1998, on 28 × 28 digits), AlexNet (Krizhevsky 2014; `alexnet2012` has the groups of the
/// first one), VGG-16, ResNet-50, GoogLeNet on 224 × 224, and ResNet-20 on CIFAR.
pub const CONVOLUTIONS: &[Convolution] = &[
    convolution("lenet5.conv1", [28, 28, 1], [5, 5, 1, 6]).padding(2).batch(64),
    convolution("lenet5.conv2", [14, 14, 6], [5, 5, 6, 16]).batch(64),
    convolution("lenet5.conv3", [5, 5, 16], [5, 5, 16, 120]).batch(64),
    convolution("resnet20.stem", [32, 32, 3], [3, 3, 3, 16]).padding(1).batch(64),
    convolution("resnet20.stage1", [32, 32, 16], [3, 3, 16, 16]).padding(1).batch(64),
    convolution("resnet20.stage2_first", [32, 32, 16], [3, 3, 16, 32]).stride(2).padding(1).batch(64),
    convolution("resnet20.stage2", [16, 16, 32], [3, 3, 32, 32]).padding(1).batch(64),
    convolution("resnet20.stage3", [8, 8, 64], [3, 3, 64, 64]).padding(1).batch(64),
    convolution("alexnet.conv1", [224, 224, 3], [11, 11, 3, 64]).stride(4).padding(2),
    convolution("alexnet.conv2", [27, 27, 64], [5, 5, 64, 192]).padding(2),
    convolution("alexnet.conv3", [13, 13, 192], [3, 3, 192, 384]).padding(1),
    convolution("alexnet.conv4", [13, 13, 384], [3, 3, 384, 256]).padding(1),
    convolution("alexnet2012.conv2", [27, 27, 96], [5, 5, 48, 256]).padding(2).groups(2),
    convolution("vgg16.conv1_1", [224, 224, 3], [3, 3, 3, 64]).padding(1),
    convolution("vgg16.conv1_2", [224, 224, 64], [3, 3, 64, 64]).padding(1),
    convolution("vgg16.conv2_1", [112, 112, 64], [3, 3, 64, 128]).padding(1),
    convolution("vgg16.conv3_1", [56, 56, 128], [3, 3, 128, 256]).padding(1),
    convolution("vgg16.conv4_2", [28, 28, 512], [3, 3, 512, 512]).padding(1),
    convolution("vgg16.conv5_1", [14, 14, 512], [3, 3, 512, 512]).padding(1),
    convolution("resnet50.conv1", [224, 224, 3], [7, 7, 3, 64]).stride(2).padding(3),
    convolution("resnet50.layer1.conv2", [56, 56, 64], [3, 3, 64, 64]).padding(1),
    convolution("resnet50.layer1.conv3", [56, 56, 64], [1, 1, 64, 256]),
    convolution("resnet50.layer2.0.conv2", [56, 56, 128], [3, 3, 128, 128]).stride(2).padding(1),
    convolution("resnet50.layer2.0.downsample", [56, 56, 256], [1, 1, 256, 512]).stride(2),
    convolution("resnet50.layer3.conv2", [14, 14, 256], [3, 3, 256, 256]).padding(1),
    convolution("resnet50.layer4.conv1", [7, 7, 2048], [1, 1, 2048, 512]),
    convolution("resnet50.layer4.conv2", [7, 7, 512], [3, 3, 512, 512]).padding(1),
    convolution("googlenet.inception3a.1x1", [28, 28, 192], [1, 1, 192, 64]),
    convolution("googlenet.inception3a.3x3", [28, 28, 96], [3, 3, 96, 128]).padding(1),
    convolution("googlenet.inception3a.5x5", [28, 28, 16], [5, 5, 16, 32]).padding(2),
    convolution("googlenet.inception5b.3x3", [7, 7, 192], [3, 3, 192, 384]).padding(1),
];

/// A fully connected layer.
#[derive(Clone, Copy)]
pub struct Dense {
    pub name: &'static str,
    pub inputs: usize,
    pub outputs: usize,
    /// The batch of a training step, benched beside a batch of 1.
    pub batch: usize,
}

/// Fully connected layers; the largest, `vgg16.fc6`, is left out for its 400 MB.
pub const DENSE: &[Dense] = &[
    Dense { name: "lenet5.fc1", inputs: 120, outputs: 84, batch: 64 },
    Dense { name: "alexnet.fc6", inputs: 9216, outputs: 4096, batch: 32 },
    Dense { name: "vgg16.fc7", inputs: 4096, outputs: 4096, batch: 32 },
    Dense { name: "resnet50.fc", inputs: 2048, outputs: 1000, batch: 32 },
];

/// A pooling of a published network.
#[derive(Clone, Copy)]
pub struct Pooling {
    pub name: &'static str,
    /// `[H, W, C]`.
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

    /// The geometry for a batch.
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

/// Numbers in [-1, 1), the same at each run. They are not constant, so that no branch is foretold that would not be.
pub fn numbers(len: usize) -> Vec<f32> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// Runs one bench file. Kernels take micro- to milliseconds: a second of samples each is steady to some per cent, and
/// a whole family takes minutes.
pub fn run(benches: &[fn(&mut Criterion)]) {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    for bench in benches {
        bench(&mut criterion);
    }
    criterion.final_summary();
}
