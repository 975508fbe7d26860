//! The order of elements in files: the one place that knows PyTorch's layouts and ours.

use super::strided::{copy_between, copy_strided, row_major};
use ocelli_graph::{AxisRole, Parameter, Tensor};
use ocelli_tensor::Size;

/// Converts a tensor in the layout of a parameter, such as its gradient, to the layout of files, which is PyTorch's.
pub fn in_file_layout(parameter: &Parameter, tensor: &Tensor) -> Tensor {
    let layout = FileLayout::for_parameter(parameter, tensor.shape());
    let mut result = Tensor::zeros(layout.shape.clone());
    layout.to_file(tensor.data(), result.data_mut());
    result
}

/// Converts images or activations to PyTorch's order: `[N, H, W, C]` → `[N, C, H, W]`. Tensors of another rank are
/// unchanged.
pub fn channels_first(tensor: &Tensor) -> Tensor {
    permuted(tensor, [0, 3, 1, 2])
}

/// Converts images or activations from PyTorch's order: `[N, C, H, W]` → `[N, H, W, C]`; the inverse of
/// [`channels_first`].
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

/// Elements in a cache line.
const LINE: usize = 16;

fn permuted(tensor: &Tensor, axes: [usize; 4]) -> Tensor {
    let Ok(shape) = <[usize; 4]>::try_from(tensor.shape()) else { return tensor.clone() };
    let (shape, strides) = (axes.map(|axis| shape[axis]), axes.map(|axis| row_major(&shape)[axis]));
    let mut result = Tensor::zeros(shape);
    copy_strided(tensor.data(), &shape, &strides, result.data_mut());
    result
}

/// The layout of a parameter in a file, by the [roles](AxisRole) of its axes.
///
/// | parameter | in the model | in a file |
/// |---|---|---|
/// | filter | `[kernel_h, kernel_w, in, out]` | `[out, in, kernel_h, kernel_w]` |
/// | filter of a transposed convolution | `[kernel_h, kernel_w, out, in]` | `[in, out, kernel_h, kernel_w]` |
/// | connections of a filter | `[kernel_h, kernel_w, connections]` | `[connections, kernel_h, kernel_w]` |
/// | matrix | `[in, out]` | `[out, in]` |
/// | matrix behind a flattened image | `[height · width · channels, out]` | `[out, channels · height · width]` |
/// | codes | `[out, in]` | `[out, in]` |
/// | any other | as it is | as it is |
///
/// In files outputs come first, then inputs, then the window of a filter or the pixels of a flattened image. A
/// parameter with an axis of another role has the same layout as in the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileLayout {
    /// The shape in the file.
    pub(super) shape: Vec<usize>,
    /// The axes of the parameter, those of a flattened image separately.
    sizes: Vec<usize>,
    /// The order of these axes in the file.
    axes: Vec<usize>,
}

/// The position of an axis in a file, in this order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum FileAxis {
    Outputs,
    Inputs,
    Window,
}

/// Returns the axes that files order, with their sizes, for one axis of a parameter: three for a flattened image,
/// otherwise the axis itself; `None` if files leave the axis where it is.
fn parts(role: AxisRole, size: usize) -> Option<Vec<(FileAxis, usize)>> {
    Some(match role {
        AxisRole::FlattenedInputs { height, width, channels }
            if Size::product_of(&[height, width, channels]).get() == Some(size) =>
        {
            vec![(FileAxis::Window, height), (FileAxis::Window, width), (FileAxis::Inputs, channels)]
        }
        AxisRole::Inputs | AxisRole::FlattenedInputs { .. } => vec![(FileAxis::Inputs, size)],
        AxisRole::Outputs | AxisRole::Connections { .. } => vec![(FileAxis::Outputs, size)],
        AxisRole::KernelHeight | AxisRole::KernelWidth => vec![(FileAxis::Window, size)],
        AxisRole::Unnamed | AxisRole::Features => return None,
    })
}

impl FileLayout {
    /// Returns the layout of a parameter, or of a tensor like it, of this shape.
    pub(super) fn for_parameter(parameter: &Parameter, shape: &[usize]) -> FileLayout {
        let axes = parameter.axes.iter().zip(shape).map(|(axis, &size)| parts(axis.role, size));
        let axes: Option<Vec<_>> = axes.collect();
        let Some(axes) = axes.filter(|axes| axes.len() == shape.len()) else {
            return FileLayout { shape: shape.to_vec(), sizes: shape.to_vec(), axes: (0..shape.len()).collect() };
        };
        let (positions, sizes): (Vec<FileAxis>, Vec<usize>) = axes.iter().flatten().copied().unzip();
        let mut order: Vec<usize> = (0..sizes.len()).collect();
        order.sort_by_key(|&part| positions[part]);
        // In the shape, the axes of an image are merged again.
        let mut whole: Vec<usize> = (0..shape.len()).collect();
        whole.sort_by_key(|&axis| axes[axis].iter().map(|(position, _)| *position).min());
        FileLayout { shape: whole.iter().map(|&axis| shape[axis]).collect(), sizes, axes: order }
    }

    /// Returns true if elements have the same order in the file and in the model.
    pub(super) fn is_same(&self) -> bool {
        self.axes.is_sorted()
    }

    fn in_file_order(&self, list: &[usize]) -> Vec<usize> {
        self.axes.iter().map(|&axis| list[axis]).collect()
    }

    /// Copies the model's elements to the file's order.
    pub(super) fn to_file(&self, model: &[f32], file: &mut [f32]) {
        let strides = self.in_file_order(&row_major(&self.sizes));
        copy_strided(model, &self.in_file_order(&self.sizes), &strides, file);
    }

    /// Returns the best number of elements of a file to put into the model at a time, at least `least`: whole entries
    /// of the file's first axis, which are neighbours in the model, by cache lines.
    pub(super) fn piece(&self, least: usize) -> usize {
        if self.is_same() {
            return least;
        }
        let entry = self.entry().max(1);
        least.div_ceil(entry).next_multiple_of(LINE).saturating_mul(entry)
    }

    /// Returns the number of elements in one entry of the file's first axis.
    fn entry(&self) -> usize {
        self.in_file_order(&self.sizes).iter().skip(1).product()
    }

    /// Copies a piece of the file's elements to the model's order: as many as [`FileLayout::piece`] returns, or the
    /// last ones, after `first` others.
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

    /// Copies the file's elements to the model's order.
    #[cfg(test)]
    fn to_model(&self, file: &[f32], model: &mut [f32]) {
        self.piece_to_model(0, file, model);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ocelli_graph::{
        AxisRole::{Connections, Features, FlattenedInputs, Inputs, KernelHeight, KernelWidth, Outputs, Unnamed},
        ParameterAxis, ParameterRole,
    };

    type Axis = (AxisRole, usize);

    fn layout(axes: &[Axis]) -> FileLayout {
        let shape: Vec<usize> = axes.iter().map(|(_, size)| *size).collect();
        let axes = axes.iter().map(|&(role, size)| ParameterAxis { role, size }).collect();
        // The name says nothing.
        let parameter = Parameter { path: "c.weight".into(), role: ParameterRole::Trained, axes, frozen: false };
        FileLayout::for_parameter(&parameter, &shape)
    }

    fn filter([height, width, inputs, outputs]: [usize; 4]) -> [Axis; 4] {
        [(KernelHeight, height), (KernelWidth, width), (Inputs, inputs), (Outputs, outputs)]
    }

    fn connections([height, width, count]: [usize; 3]) -> [Axis; 3] {
        [(KernelHeight, height), (KernelWidth, width), (Connections { inputs: 6, outputs: 16 }, count)]
    }

    fn behind_a_image([height, width, channels]: [usize; 3], outputs: usize) -> [Axis; 2] {
        [(FlattenedInputs { height, width, channels }, height * width * channels), (Outputs, outputs)]
    }

    #[test]
    fn shapes_are_those_of_pytorch() {
        let shape = |axes: &[Axis]| layout(axes).shape;
        assert_eq!(shape(&filter([5, 7, 3, 8])), [8, 3, 5, 7]);
        assert_eq!(shape(&connections([5, 7, 60])), [60, 5, 7]);
        assert_eq!(shape(&[(Inputs, 3), (Outputs, 8)]), [8, 3]);
        assert_eq!(shape(&behind_a_image([2, 3, 4], 8)), [8, 24]);
        assert_eq!(shape(&[(Features, 6)]), [6]);
        assert_eq!(shape(&[(Outputs, 10), (Inputs, 84)]), [10, 84], "codes");
        assert_eq!(shape(&[(Unnamed, 3), (Unnamed, 8)]), [3, 8]);
        assert_eq!(shape(&[(Unnamed, 3), (Outputs, 8)]), [3, 8]);
    }

    #[test]
    fn numbers_go_there_and_back() {
        for layout in [
            layout(&filter([2, 3, 4, 5])),
            layout(&behind_a_image([2, 3, 4], 5)),
            layout(&connections([2, 3, 20])),
            layout(&[(Outputs, 120)]),
            layout(&[(Unnamed, 10), (Unnamed, 12)]),
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
        for layout in [
            layout(&filter([3, 3, 2, 37])),
            layout(&filter([1, 1, 5, 33])),
            layout(&connections([3, 2, 20])),
            layout(&behind_a_image([2, 3, 4], 17)),
            layout(&[(Inputs, 1), (Outputs, 1)]),
            layout(&[(Outputs, 120)]),
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

    /// The element for output `o` and row `h`, column `w`, channel `c` of the image is at `[o, (c, h, w)]` in the file.
    #[test]
    fn columns_behind_a_image_have_channels_first() {
        let (height, width, channels, out) = (2, 3, 4, 5);
        let layout = layout(&behind_a_image([height, width, channels], out));
        let model: Vec<f32> = (0..120).map(|i| i as f32).collect();
        let mut file = vec![0.0; 120];
        layout.to_file(&model, &mut file);
        for (o, h, w, c) in [(0, 0, 0, 0), (4, 1, 2, 3), (2, 0, 1, 3), (3, 1, 0, 2)] {
            let ours = model[((h * width + w) * channels + c) * out + o];
            assert_eq!(file[o * 24 + (c * height + h) * width + w], ours);
        }
    }
}
