//! dlib's residual encoder of faces (King 2017), whose published weights load without a table.

use ocelli_graph::{Axis, AxisRole, Constant, Dim, Layer, Node, Shape};
use ocelli_kernels::conv::{Conv2dSettings, Padding};
use ocelli_layers::{AvgPool2d, Dense, Distribution, Init, MaxPool2d, Pad2d, Sides};

/// The encoder `dlib_face_recognition_resnet_model_v1`: 29 convolutions, under the names of its published weights.
///
/// # Shapes
/// `[N, H, W, C]` → `[N, 128]`; published for `[150, 150, 3]`, of faces that were aligned by their landmarks, as
/// `(x − mean) / 255` with means of 122.782, 117.001 and 104.298. The published threshold for one person is a Euclidean
/// distance of 0.6; embeddings are not of unit length.
///
/// ```
/// use ocelli_graph::Model;
/// use ocelli_models::DlibFaceEncoder;
/// let model = Model::zeroed(DlibFaceEncoder, [150, 150, 3])?;
/// assert_eq!(model.parameters().trained_count(), 5_614_592);
/// # Ok::<(), ocelli_graph::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DlibFaceEncoder;

/// Blocks in their order: name, channels, and the way the image's size changes.
const BLOCKS: [(&str, usize, Size); 14] = [
    ("conv32_1", 32, Size::Kept),
    ("conv32_2", 32, Size::Kept),
    ("conv32_3", 32, Size::Kept),
    ("conv64_down", 64, Size::Halved),
    ("conv64_1", 64, Size::Kept),
    ("conv64_2", 64, Size::Kept),
    ("conv64_3", 64, Size::Kept),
    ("conv128_down", 128, Size::Halved),
    ("conv128_1", 128, Size::Kept),
    ("conv128_2", 128, Size::Kept),
    ("conv256_down", 256, Size::Halved),
    ("conv256_1", 256, Size::Kept),
    ("conv256_2", 256, Size::Kept),
    ("conv256_down_out", 256, Size::Halved),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    Kept,
    Halved,
}

impl Layer for DlibFaceEncoder {
    fn forward(&self, x: &Node) -> Node {
        let stem = AffineConv { channels: 32, kernel: 7, stride: 2, padding: 0 };
        let mut x = x.apply("conv32_down", stem).relu().apply("pool", MaxPool2d::new(3).stride(2));
        for (name, channels, size) in BLOCKS {
            x = x.apply(name, Block { channels, size });
        }
        x.global_avg_pool().apply("fc", Dense::new(128).bias(false))
    }
}

/// A residual block, whose shortcut averages and adds channels of zeros where the sizes differ.
#[derive(Clone, Copy, Debug)]
struct Block {
    channels: usize,
    size: Size,
}

impl Layer for Block {
    fn forward(&self, x: &Node) -> Node {
        let same = AffineConv { channels: self.channels, kernel: 3, stride: 1, padding: 1 };
        let halved = AffineConv { stride: 2, padding: 0, ..same };
        if self.size == Size::Kept {
            return (x.apply("conv1", same).relu().apply("conv2", same) + x).relu();
        }
        let y = x.apply("conv1", halved).relu().apply("conv2", same);
        let shortcut = widened(&x.apply("shortcut", AvgPool2d::new(2).stride(2)), self.channels);
        // Without padding a convolution may have a row and a column less than the average: zeros take their places.
        let missing = |ours: usize, theirs: usize| theirs.saturating_sub(ours);
        let sides = Sides {
            left: 0,
            top: 0,
            right: missing(y.width(), shortcut.width()),
            bottom: missing(y.height(), shortcut.height()),
        };
        let y = if sides == Sides::from(0) { y } else { y.apply("pad", Pad2d::zeros(sides)) };
        (y + shortcut).relu()
    }
}

/// Adds channels of zeros behind those of `x`.
fn widened(x: &Node, channels: usize) -> Node {
    let missing = channels.saturating_sub(x.channels());
    if missing == 0 {
        return x.clone();
    }
    let mut dims = x.shape().dims().to_vec();
    dims.pop();
    dims.push(Dim::Fixed(missing));
    Node::concat(&[x, &x.trace().filled(0.0, Shape::new(dims))], Axis::C)
}

/// A convolution with a scale and a shift of each channel, `(conv(x) + bias)·scale + shift`: what is left of a batch
/// normalisation. Scale and shift are multiplied into the filters, which inference does once.
#[derive(Clone, Copy, Debug)]
struct AffineConv {
    channels: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
}

impl Layer for AffineConv {
    fn forward(&self, x: &Node) -> Node {
        use AxisRole::{Features, Inputs, KernelHeight, KernelWidth, Outputs};
        let (trace, channels) = (x.trace(), self.channels);
        let axes = ([KernelHeight, KernelWidth, Inputs, Outputs], [self.kernel, self.kernel, x.channels(), channels]);
        let of_channel = |name: &str, value: f32| trace.parameter(name, ([Features], [channels]), Constant(value));
        let filters = trace.parameter("filters", axes, Init::He(Distribution::Normal));
        let (bias, scale, shift) = (of_channel("bias", 0.0), of_channel("scale", 1.0), of_channel("shift", 0.0));
        let settings = Conv2dSettings {
            stride_h: self.stride,
            stride_w: self.stride,
            padding: Padding::uniform(self.padding),
            ..Conv2dSettings::default()
        };
        x.conv2d(settings, &(&filters * &scale), Some(&(bias * &scale + shift)))
    }

    fn kind(&self) -> String {
        "Conv2d".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ocelli_graph::{Model, Summary};

    #[test]
    fn sizes_are_those_of_the_published_network() {
        let summary: Summary = Model::zeroed(DlibFaceEncoder, [150, 150, 3]).unwrap().summary();
        let output = |path: &str| {
            let row = summary.rows.iter().rev().find(|row| row.path.starts_with(path));
            row.unwrap_or_else(|| panic!("{path}")).output.clone()
        };
        assert_eq!(output("pool"), "[N, 35, 35, 32]");
        assert_eq!(output("conv64_down.conv2"), "[N, 17, 17, 64]");
        assert_eq!(output("conv128_down.conv2"), "[N, 8, 8, 128]");
        assert_eq!(output("conv256_down.conv2"), "[N, 3, 3, 256]");
        assert_eq!(output("conv256_down.pad"), "[N, 4, 4, 256]");
        assert_eq!(output("conv256_down_out.pad"), "[N, 2, 2, 256]");
    }
}
