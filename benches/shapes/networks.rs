//! The tables of six published networks.

use super::Network;
use super::layer::{Layer, convolution, dense};

/// Batch of images of 224 × 224.
const LARGE: usize = 8;
/// Batch of CIFAR's images.
const CIFAR: usize = 128;
/// Batch of digits.
const DIGITS: usize = 64;

/// LeNet-5 (LeCun et al. 1998) on digits in a frame of 32 × 32, every map connected to every map.
pub fn lenet5() -> Network {
    let layers = [
        convolution([32, 32, 1], [5, 5, 1, 6]).padding(0).layer("c1", DIGITS),
        convolution([14, 14, 6], [5, 5, 6, 16]).padding(0).layer("c3", DIGITS),
        convolution([5, 5, 16], [5, 5, 16, 120]).padding(0).layer("c5", DIGITS),
        dense("f6", [120, 84], DIGITS),
        dense("output", [84, 10], DIGITS),
    ];
    Network::of("lenet5", layers)
}

/// ResNet-20 for CIFAR-10 (He et al. 2015, section 4.2), shortcuts without parameters.
pub fn resnet20() -> Network {
    let mut layers = vec![convolution([32, 32, 3], [3, 3, 3, 16]).layer("stem", CIFAR)];
    let mut channels = 16;
    for (stage, width) in [16, 32, 64].into_iter().enumerate() {
        for block in 0..3 {
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            let name = |conv| format!("stage{}.{block}.conv{conv}", stage + 1);
            let side = (32 >> stage) * stride;
            let first = convolution([side, side, channels], [3, 3, channels, width]).stride(stride);
            layers.push(first.layer(name(1), CIFAR));
            let side = side / stride;
            layers.push(convolution([side, side, width], [3, 3, width, width]).layer(name(2), CIFAR));
            channels = width;
        }
    }
    layers.push(dense("fc", [64, 10], CIFAR));
    Network::of("resnet20", layers)
}

/// AlexNet on one device (Krizhevsky 2014), as torchvision has it.
pub fn alexnet() -> Network {
    let layers = [
        convolution([224, 224, 3], [11, 11, 3, 64]).stride(4).padding(2).layer("conv1", LARGE),
        convolution([27, 27, 64], [5, 5, 64, 192]).layer("conv2", LARGE),
        convolution([13, 13, 192], [3, 3, 192, 384]).layer("conv3", LARGE),
        convolution([13, 13, 384], [3, 3, 384, 256]).layer("conv4", LARGE),
        convolution([13, 13, 256], [3, 3, 256, 256]).layer("conv5", LARGE),
        dense("fc6", [9216, 4096], LARGE),
        dense("fc7", [4096, 4096], LARGE),
        dense("fc8", [4096, 1000], LARGE),
    ];
    Network::of("alexnet", layers)
}

/// VGG-16 (Simonyan and Zisserman 2014, configuration D).
pub fn vgg16() -> Network {
    let mut layers = Vec::new();
    let (mut side, mut channels) = (224, 3);
    for (stage, (depth, width)) in [(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)].into_iter().enumerate() {
        for conv in 1..=depth {
            let convolution = convolution([side, side, channels], [3, 3, channels, width]);
            layers.push(convolution.layer(format!("conv{}_{conv}", stage + 1), LARGE));
            channels = width;
        }
        side /= 2;
    }
    layers.push(dense("fc6", [25088, 4096], LARGE));
    layers.push(dense("fc7", [4096, 4096], LARGE));
    layers.push(dense("fc8", [4096, 1000], LARGE));
    Network::of("vgg16", layers)
}

/// ResNet-50 (He et al. 2015) in the version 1.5, where the 3 × 3 convolution of a block has the stride.
pub fn resnet50() -> Network {
    let mut layers = vec![convolution([224, 224, 3], [7, 7, 3, 64]).stride(2).layer("conv1", LARGE)];
    let (mut side, mut channels) = (56, 64);
    for (stage, (blocks, width)) in [(3, 64), (4, 128), (6, 256), (3, 512)].into_iter().enumerate() {
        let expanded = 4 * width;
        for block in 0..blocks {
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            let name = |conv| format!("layer{}.{block}.{conv}", stage + 1);
            let small = side / stride;
            let conv1 = convolution([side, side, channels], [1, 1, channels, width]);
            let conv2 = convolution([side, side, width], [3, 3, width, width]).stride(stride);
            let conv3 = convolution([small, small, width], [1, 1, width, expanded]);
            layers.push(conv1.layer(name("conv1"), LARGE));
            layers.push(conv2.layer(name("conv2"), LARGE));
            layers.push(conv3.layer(name("conv3"), LARGE));
            if block == 0 {
                let downsample = convolution([side, side, channels], [1, 1, channels, expanded]).stride(stride);
                layers.push(downsample.layer(name("downsample"), LARGE));
            }
            (side, channels) = (small, expanded);
        }
    }
    layers.push(dense("fc", [2048, 1000], LARGE));
    Network::of("resnet50", layers)
}

/// Filters of the branches of an inception module (Szegedy et al. 2014, table 1).
struct Inception {
    name: &'static str,
    /// Filters of the 1 × 1 convolution.
    ones: usize,
    /// Filters of the reduction before the 3 × 3 convolution, and of that.
    threes: [usize; 2],
    /// Filters of the reduction before the 5 × 5 convolution, and of that.
    fives: [usize; 2],
    /// Filters of the projection after the pooling.
    pool: usize,
}

const fn inception(name: &'static str, ones: usize, threes: [usize; 2], fives: [usize; 2], pool: usize) -> Inception {
    Inception { name, ones, threes, fives, pool }
}

const INCEPTIONS_28: [Inception; 2] =
    [inception("3a", 64, [96, 128], [16, 32], 32), inception("3b", 128, [128, 192], [32, 96], 64)];
const INCEPTIONS_14: [Inception; 5] = [
    inception("4a", 192, [96, 208], [16, 48], 64),
    inception("4b", 160, [112, 224], [24, 64], 64),
    inception("4c", 128, [128, 256], [24, 64], 64),
    inception("4d", 112, [144, 288], [32, 64], 64),
    inception("4e", 256, [160, 320], [32, 128], 128),
];
const INCEPTIONS_7: [Inception; 2] =
    [inception("5a", 256, [160, 320], [32, 128], 128), inception("5b", 384, [192, 384], [48, 128], 128)];

impl Inception {
    fn layers(&self, side: usize, channels: usize) -> [Layer; 6] {
        let convolution = |kernel: usize, channels: usize, filters: usize, branch: &str| {
            convolution([side, side, channels], [kernel, kernel, channels, filters])
                .layer(format!("inception{}.{branch}", self.name), LARGE)
        };
        let ([reduce3, threes], [reduce5, fives]) = (self.threes, self.fives);
        [
            convolution(1, channels, self.ones, "1x1"),
            convolution(1, channels, reduce3, "3x3_reduce"),
            convolution(3, reduce3, threes, "3x3"),
            convolution(1, channels, reduce5, "5x5_reduce"),
            convolution(5, reduce5, fives, "5x5"),
            convolution(1, channels, self.pool, "pool_proj"),
        ]
    }

    fn channels(&self) -> usize {
        self.ones + self.threes[1] + self.fives[1] + self.pool
    }
}

/// GoogLeNet (Szegedy et al. 2014), without the auxiliary classifiers.
pub fn googlenet() -> Network {
    let mut layers = vec![
        convolution([224, 224, 3], [7, 7, 3, 64]).stride(2).layer("conv1", LARGE),
        convolution([56, 56, 64], [1, 1, 64, 64]).layer("conv2_reduce", LARGE),
        convolution([56, 56, 64], [3, 3, 64, 192]).layer("conv2", LARGE),
    ];
    let mut channels = 192;
    for (side, modules) in [(28, &INCEPTIONS_28[..]), (14, &INCEPTIONS_14), (7, &INCEPTIONS_7)] {
        for module in modules {
            layers.extend(module.layers(side, channels));
            channels = module.channels();
        }
    }
    layers.push(dense("fc", [1024, 1000], LARGE));
    Network::of("googlenet", layers)
}
