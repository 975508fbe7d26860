//! The sizes by which the kernels are judged, family by family; `docs/benchmarks.md` has the targets.

use super::Network;
use super::layer::{Layer, convolution, dense};

/// Convolutions of 3 × 3 as VGG-16 has them: channels and side of the image.
const THREES: [[usize; 2]; 5] = [[64, 224], [128, 112], [256, 56], [512, 28], [512, 14]];
/// Convolutions of 3 × 3 with the few channels of CIFAR networks, batch 128: channels and side of the image.
const FEW_CHANNELS: [[usize; 2]; 3] = [[16, 32], [32, 16], [64, 8]];
/// Pointwise convolutions of ResNet-50: input channels, output channels, side.
const ONES: [[usize; 3]; 4] = [[64, 256, 56], [256, 64, 56], [1024, 256, 14], [512, 2048, 7]];
/// Matrix products `[m, k] · [k, n]`: squares, and the patches of ResNet-50's convolutions of 3 × 3.
const PRODUCTS: [[usize; 3]; 7] = [
    [1024, 1024, 1024],
    [2048, 2048, 2048],
    [4096, 4096, 4096],
    [25088, 576, 64],
    [6272, 1152, 128],
    [1568, 2304, 256],
    [392, 4608, 512],
];

/// Returns every family of kernels.
pub fn kernels() -> Network {
    let three = |[channels, side]: [usize; 2], batch| {
        let layer = convolution([side, side, channels], [3, 3, channels, channels]);
        layer.layer(format!("3x3.{channels}@{side}"), batch)
    };
    let products = PRODUCTS.map(|[m, k, n]| dense(format!("product.{m}x{k}x{n}"), [k, n], m));
    let ones = ONES.map(|[channels, filters, side]| {
        convolution([side, side, channels], [1, 1, channels, filters])
            .layer(format!("1x1.{channels}-{filters}@{side}"), 8)
    });
    let others: [Layer; 7] = [
        convolution([224, 224, 3], [3, 3, 3, 64]).layer("3x3.3-64@224", 8),
        convolution([224, 224, 3], [7, 7, 3, 64]).stride(2).layer("7x7/2.3-64@224", 8),
        convolution([224, 224, 3], [11, 11, 3, 64]).stride(4).padding(2).layer("11x11/4.3-64@224", 8),
        convolution([28, 28, 16], [5, 5, 16, 32]).layer("5x5.16-32@28", 16),
        convolution([56, 56, 128], [3, 3, 128, 128]).stride(2).layer("3x3/2.128@56", 8),
        convolution([27, 27, 96], [5, 5, 48, 256]).groups(2).layer("5x5.96-256@27.groups2", 8),
        convolution([56, 56, 128], [3, 3, 1, 128]).groups(128).layer("3x3.128@56.depthwise", 8),
    ];
    let layers = products
        .into_iter()
        .chain(THREES.map(|size| three(size, 8)))
        .chain(THREES.map(|size| three(size, 1)))
        .chain(FEW_CHANNELS.map(|size| three(size, 128)))
        .chain(ones)
        .chain(others);
    Network::of("kernels", layers)
}
