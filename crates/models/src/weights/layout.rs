//! The order of numbers in files: the one place that knows PyTorch's layouts and ours.

use super::strided::{copy_between, copy_strided, row_major};
use ocelli_graph::{FeatureLayout, Parameter, Tensor};

/// A tensor that lies as the parameter does, such as its gradient, in the layout of files: PyTorch's.
pub fn in_file_layout(parameter: &Parameter, tensor: &Tensor) -> Tensor {
    let layout = FileLayout::of(parameter, tensor.shape());
    let mut result = Tensor::zeros(layout.shape.clone());
    layout.to_file(tensor.data(), result.data_mut());
    result
}

/// Pictures or activations as PyTorch has them: `[N, H, W, C]` → `[N, C, H, W]`. What has not four axes stays as it is.
pub fn channels_first(tensor: &Tensor) -> Tensor {
    permuted(tensor, [0, 3, 1, 2])
}

/// The opposite of [`channels_first`]: `[N, C, H, W]` → `[N, H, W, C]`.
///
/// ```
/// use ocelli_graph::Tensor;
/// use ocelli_models::{channels_first, channels_last};
/// let pytorch = Tensor::from_fn([2, 3, 4, 5], |i| (i[1] * 100 + i[2] * 10 + i[3]) as f32);
/// let ours = channels_last(&pytorch);
/// assert_eq!((ours.shape(), ours[[1, 3, 4, 2]]), (&[2, 4, 5, 3][..], 234.0));
/// assert_eq!(channels_first(&ours), pytorch);
/// ```
pub fn channels_last(tensor: &Tensor) -> Tensor {
    permuted(tensor, [0, 2, 3, 1])
}

/// Numbers of a cache line.
const LINE: usize = 16;

fn permuted(tensor: &Tensor, axes: [usize; 4]) -> Tensor {
    let Ok(shape) = <[usize; 4]>::try_from(tensor.shape()) else { return tensor.clone() };
    let (shape, strides) = (axes.map(|axis| shape[axis]), axes.map(|axis| row_major(&shape)[axis]));
    let mut result = Tensor::zeros(shape);
    copy_strided(tensor.data(), &shape, &strides, result.data_mut());
    result
}

/// How a parameter lies in a file.
///
/// | parameter | in the model | in a file |
/// |---|---|---|
/// | filter | `[kernel_h, kernel_w, in, out]` | `[out, in, kernel_h, kernel_w]` |
/// | filter of a transposed convolution | `[kernel_h, kernel_w, out, in]` | `[in, out, kernel_h, kernel_w]` |
/// | connections of a filter | `[kernel_h, kernel_w, connections]` | `[connections, kernel_h, kernel_w]` |
/// | matrix | `[in, out]` | `[out, in]` |
/// | matrix behind a flattened picture | `[height · width · channels, out]` | `[out, channels · height · width]` |
/// | anything else | as it is | as it is |
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileLayout {
    /// The shape in the file.
    pub(super) shape: Vec<usize>,
    /// The axes of the parameter, a flattened picture's apart.
    sizes: Vec<usize>,
    /// The order of these axes in the file.
    axes: Vec<usize>,
}

impl FileLayout {
    /// Of a parameter of this shape.
    pub(super) fn of(parameter: &Parameter, shape: &[usize]) -> FileLayout {
        // Only weights of layers: a state like fixed codes is no matrix to multiply with.
        let is_weight = parameter.path.rsplit('.').next() == Some("weight");
        let sizes = match (parameter.features, shape) {
            (FeatureLayout::Picture { height, width, channels }, &[rows, out]) if height * width * channels == rows => {
                vec![height, width, channels, out]
            }
            _ => shape.to_vec(),
        };
        let axes: Vec<usize> = match sizes.len() {
            2 if is_weight => vec![1, 0],
            3 if is_weight => vec![2, 0, 1],
            4 if is_weight => vec![3, 2, 0, 1],
            rank => (0..rank).collect(),
        };
        let mut layout = FileLayout { shape: Vec::new(), sizes, axes };
        layout.shape = layout.in_file_order(&layout.sizes);
        if shape.len() == 2 {
            // The axes of a picture are one again.
            layout.shape = vec![layout.shape[0], layout.shape[1..].iter().product()];
        }
        layout
    }

    /// Whether numbers lie in the file as they do in the model.
    pub(super) fn is_same(&self) -> bool {
        self.axes.is_sorted()
    }

    fn in_file_order(&self, list: &[usize]) -> Vec<usize> {
        self.axes.iter().map(|&axis| list[axis]).collect()
    }

    /// The model's numbers in the file's order.
    pub(super) fn to_file(&self, model: &[f32], file: &mut [f32]) {
        let strides = self.in_file_order(&row_major(&self.sizes));
        copy_strided(model, &self.in_file_order(&self.sizes), &strides, file);
    }

    /// How many numbers of a file are best put into the model at a time, at least `least`: whole entries of the file's first
    /// axis, which are neighbours in the model, by cache lines.
    pub(super) fn piece(&self, least: usize) -> usize {
        if self.is_same() {
            return least;
        }
        let entry = self.entry().max(1);
        least.div_ceil(entry).next_multiple_of(LINE).saturating_mul(entry)
    }

    /// Numbers of one entry of the file's first axis.
    fn entry(&self) -> usize {
        self.in_file_order(&self.sizes).iter().skip(1).product()
    }

    /// Puts a piece of the file's numbers into the model's order: as many as [`FileLayout::piece`] says, or the last ones,
    /// with `first` others before them.
    pub(super) fn piece_to_model(&self, first: usize, piece: &[f32], model: &mut [f32]) {
        if self.is_same() {
            return model[first..first + piece.len()].copy_from_slice(piece);
        }
        let (to, in_file) = (row_major(&self.sizes), row_major(&self.in_file_order(&self.sizes)));
        let mut from = vec![0; self.axes.len()];
        self.axes.iter().zip(in_file).for_each(|(&axis, stride)| from[axis] = stride);
        let (mut sizes, entry, axis) = (self.sizes.clone(), self.entry().max(1), self.axes[0]);
        sizes[axis] = piece.len() / entry;
        copy_between(&sizes, piece, &from, &mut model[first / entry * to[axis]..], &to);
    }

    /// The file's numbers in the model's order.
    #[cfg(test)]
    fn to_model(&self, file: &[f32], model: &mut [f32]) {
        self.piece_to_model(0, file, model);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ocelli_graph::ParameterRole;

    fn layout(path: &str, shape: &[usize], features: FeatureLayout) -> FileLayout {
        let parameter = Parameter { path: path.into(), role: ParameterRole::Trained, features, frozen: false };
        FileLayout::of(&parameter, shape)
    }

    #[test]
    fn shapes_are_those_of_pytorch() {
        let shape = |path: &str, shape: &[usize]| layout(path, shape, FeatureLayout::Plain).shape;
        assert_eq!(shape("c.weight", &[5, 7, 3, 8]), [8, 3, 5, 7]);
        assert_eq!(shape("c.weight", &[5, 7, 60]), [60, 5, 7]);
        assert_eq!(shape("fc.weight", &[3, 8]), [8, 3]);
        assert_eq!(shape("s.weight", &[6]), [6]);
        assert_eq!(shape("output.codes", &[10, 84]), [10, 84]);
        let picture = FeatureLayout::Picture { height: 2, width: 3, channels: 4 };
        assert_eq!(layout("fc.weight", &[24, 8], picture).shape, [8, 24]);
    }

    #[test]
    fn numbers_go_there_and_back() {
        let picture = FeatureLayout::Picture { height: 2, width: 3, channels: 4 };
        for layout in [
            layout("c.weight", &[2, 3, 4, 5], FeatureLayout::Plain),
            layout("fc.weight", &[24, 5], picture),
            layout("c.weight", &[2, 3, 20], FeatureLayout::Plain),
            layout("c.bias", &[120], FeatureLayout::Plain),
        ] {
            let model: Vec<f32> = (0..120).map(|i| i as f32).collect();
            let (mut file, mut back) = (vec![0.0; 120], vec![0.0; 120]);
            layout.to_file(&model, &mut file);
            layout.to_model(&file, &mut back);
            assert_eq!(back, model, "{layout:?}");
            assert_eq!(layout.is_same(), file == model);
        }
    }

    #[test]
    fn pieces_come_to_the_same() {
        let picture = FeatureLayout::Picture { height: 2, width: 3, channels: 4 };
        for layout in [
            layout("c.weight", &[3, 3, 2, 37], FeatureLayout::Plain),
            layout("c.weight", &[1, 1, 5, 33], FeatureLayout::Plain),
            layout("c.weight", &[3, 2, 20], FeatureLayout::Plain),
            layout("fc.weight", &[24, 17], picture),
            layout("fc.weight", &[1, 1], FeatureLayout::Plain),
            layout("c.bias", &[120], FeatureLayout::Plain),
        ] {
            let file: Vec<f32> = (0..layout.sizes.iter().product()).map(|i| i as f32).collect();
            let (mut whole, mut pieces) = (vec![0.0; file.len()], vec![0.0; file.len()]);
            layout.to_model(&file, &mut whole);
            for least in [1, 30, 1000] {
                let len = layout.piece(least);
                assert!(len >= least);
                pieces.fill(-1.0);
                for (i, piece) in file.chunks(len).enumerate() {
                    layout.piece_to_model(i * len, piece, &mut pieces);
                }
                assert_eq!(pieces, whole, "{layout:?} by {len}");
            }
        }
    }

    /// The number of output `o` for row `h`, column `w` and channel `c` of the picture is at `[o, (c, h, w)]` in the file.
    #[test]
    fn columns_behind_a_picture_have_channels_first() {
        let (height, width, channels, out) = (2, 3, 4, 5);
        let layout = layout("fc.weight", &[24, out], FeatureLayout::Picture { height, width, channels });
        let model: Vec<f32> = (0..120).map(|i| i as f32).collect();
        let mut file = vec![0.0; 120];
        layout.to_file(&model, &mut file);
        for (o, h, w, c) in [(0, 0, 0, 0), (4, 1, 2, 3), (2, 0, 1, 3), (3, 1, 0, 2)] {
            let ours = model[((h * width + w) * channels + c) * out + o];
            assert_eq!(file[o * 24 + (c * height + h) * width + w], ours);
        }
    }
}
