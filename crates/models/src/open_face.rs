//! OpenFace's nn4.small2 (Amos et al. 2016): FaceNet's Inception encoder (Schroff et al. 2015), smaller.

use ocelli_graph::{Axis, Layer, Node};
use ocelli_kernels::pool::{CountPadding, PoolSettings};
use ocelli_layers::{BatchNorm, Conv2d, Dense, LocalResponseNorm, MaxPool2d, Pad2d, Padding, Sides};

/// The encoder nn4.small2, under the names of Keras-OpenFace. The results of its blocks are called `inception_3a` to
/// `inception_5b`.
///
/// # Shapes
/// `[N, H, W, C]` → `[N, 128]`, of unit length; published for `[96, 96, 3]` with values from 0 to 1.
///
/// ```
/// use ocelli_graph::Model;
/// use ocelli_models::OpenFaceEncoder;
/// let model = Model::zeroed(OpenFaceEncoder, [96, 96, 3])?;
/// assert_eq!(model.parameters().trained_count(), 3_733_968);
/// # Ok::<(), ocelli_graph::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFaceEncoder;

/// An Inception block. A branch of two convolutions is `[bottleneck, channels]`.
#[derive(Clone, Copy, Debug)]
struct Block {
    name: &'static str,
    stride: usize,
    conv3: [usize; 2],
    conv5: Option<[usize; 2]>,
    pool: Pool,
    /// Channels of the convolution behind the pooling, if there is one.
    projection: Option<usize>,
    conv1: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
enum Pool {
    Max,
    /// The root of the sum of squares, of windows of 3 × 3 that do not overlap.
    Euclidean,
}

/// The blocks of `nn4.small2.def.lua`.
#[rustfmt::skip]
const BLOCKS: [Block; 7] = [
    Block { name: "inception_3a", stride: 1, conv3: [96, 128], conv5: Some([16, 32]), pool: Pool::Max, projection: Some(32), conv1: Some(64) },
    Block { name: "inception_3b", stride: 1, conv3: [96, 128], conv5: Some([32, 64]), pool: Pool::Euclidean, projection: Some(64), conv1: Some(64) },
    Block { name: "inception_3c", stride: 2, conv3: [128, 256], conv5: Some([32, 64]), pool: Pool::Max, projection: None, conv1: None },
    Block { name: "inception_4a", stride: 1, conv3: [96, 192], conv5: Some([32, 64]), pool: Pool::Euclidean, projection: Some(128), conv1: Some(256) },
    Block { name: "inception_4e", stride: 2, conv3: [160, 256], conv5: Some([64, 128]), pool: Pool::Max, projection: None, conv1: None },
    Block { name: "inception_5a", stride: 1, conv3: [96, 384], conv5: None, pool: Pool::Euclidean, projection: Some(96), conv1: Some(256) },
    Block { name: "inception_5b", stride: 1, conv3: [96, 384], conv5: None, pool: Pool::Max, projection: Some(96), conv1: Some(256) },
];

/// Applies a convolution, its normalisation and ReLU; `number` is behind the names `conv` and `bn`.
fn unit(x: &Node, prefix: &str, number: &str, channels: usize, kernel: usize, stride: usize) -> Node {
    let conv = Conv2d::new(channels, kernel).stride(stride).padding(Padding::uniform(kernel / 2)).pytorch_init();
    x.apply(format!("{prefix}conv{number}"), conv).apply(format!("{prefix}bn{number}"), BatchNorm::new()).relu()
}

impl Pool {
    fn apply(self, x: &Node, name: &str) -> Node {
        match self {
            Pool::Max => x.apply(name, MaxPool2d::new(3).stride(2)),
            Pool::Euclidean => {
                let mean = x.square().avg_pool(PoolSettings::square(3).stride(3), CountPadding::Include);
                // The root has no slope at zero.
                (mean * 9.0 + 1e-12).sqrt()
            }
        }
    }
}

impl Block {
    fn apply(&self, x: &Node) -> Node {
        let name = self.name;
        let branch = |kernel: usize, [bottleneck, channels]: [usize; 2]| {
            let prefix = format!("{name}_{kernel}x{kernel}_");
            unit(&unit(x, &prefix, "1", bottleneck, 1, 1), &prefix, "2", channels, kernel, self.stride)
        };
        // the branches in the order of the concatenation
        let conv3 = branch(3, self.conv3);
        let [height, width] = [conv3.height(), conv3.width()];
        let mut branches = vec![conv3];
        branches.extend(self.conv5.map(|widths| branch(5, widths)));
        let pooled = self.pool.apply(x, &format!("{name}_pool"));
        let pooled = match self.projection {
            Some(channels) => unit(&pooled, &format!("{name}_pool_"), "", channels, 1, 1),
            None => pooled,
        };
        branches.push(centred(&pooled, [height, width], &format!("{name}_pad")));
        branches.extend(self.conv1.map(|channels| unit(x, &format!("{name}_1x1_"), "", channels, 1, 1)));
        Node::concat(&branches.iter().collect::<Vec<_>>(), Axis::C)
    }
}

/// Surrounds the image with zeros, so that it has this size; an odd row or column goes to the end, as in Torch's
/// `DepthConcat`.
fn centred(x: &Node, [height, width]: [usize; 2], name: &str) -> Node {
    let [rows, columns] = [height.saturating_sub(x.height()), width.saturating_sub(x.width())];
    let sides = Sides { top: rows / 2, bottom: rows - rows / 2, left: columns / 2, right: columns - columns / 2 };
    if sides == Sides::from(0) { x.clone() } else { x.apply(name, Pad2d::zeros(sides)) }
}

impl Layer for OpenFaceEncoder {
    fn forward(&self, x: &Node) -> Node {
        let pool = || MaxPool2d::new(3).stride(2).padding(1);
        let x = unit(x, "", "1", 64, 7, 2).apply("pool1", pool()).apply("norm1", LocalResponseNorm::of_mean(5));
        let x = unit(&unit(&x, "", "2", 64, 1, 1), "", "3", 192, 3, 1);
        let mut x = x.apply("norm2", LocalResponseNorm::of_mean(5)).apply("pool2", pool());
        for block in BLOCKS {
            x = block.apply(&x).named(block.name);
        }
        x.global_avg_pool().apply("dense", Dense::new(128).pytorch_init()).l2_normalised(1e-10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ocelli_graph::Model;

    #[test]
    fn work_and_parameters_are_those_of_the_published_layout() {
        let model = Model::zeroed(OpenFaceEncoder, [96, 96, 3]).unwrap();
        assert_eq!(model.parameters().trained_count(), 3_733_968);
        let pads: Vec<String> = model
            .summary()
            .rows
            .iter()
            .filter(|row| row.path.ends_with("_pad"))
            .map(|row| format!("{} {}", row.path, row.output))
            .collect();
        let expected = [
            "inception_3a_pad [N, 12, 12, 32]",
            "inception_3b_pad [N, 12, 12, 64]",
            "inception_3c_pad [N, 6, 6, 320]",
            "inception_4a_pad [N, 6, 6, 128]",
            "inception_4e_pad [N, 3, 3, 640]",
            "inception_5a_pad [N, 3, 3, 96]",
            "inception_5b_pad [N, 3, 3, 96]",
        ];
        assert_eq!(pads, expected);
        // Other sizes and grey images are as good.
        Model::zeroed(OpenFaceEncoder, [112, 92, 1]).unwrap();
    }
}
