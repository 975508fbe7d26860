//! Conversions from and to `ndarray`: views share memory, owned arrays are copied if their layout or alignment requires it.

use crate::{Element, Tensor};
use ndarray::{Array, ArrayBase, ArrayView, ArrayViewD, ArrayViewMutD, Data, Dimension, IxDyn};

impl<T: Element> Tensor<T> {
    /// Returns an `ndarray` view of this tensor; nothing is copied.
    ///
    /// ```
    /// use ocelli_tensor::Tensor;
    /// let x = Tensor::from_vec([2, 2], vec![1.0, 2.0, 3.0, 4.0])?;
    /// assert_eq!(x.view().sum(), 10.0);
    /// # Ok::<(), ocelli_tensor::Error>(())
    /// ```
    pub fn view(&self) -> ArrayViewD<'_, T> {
        ArrayView::from_shape(IxDyn(self.shape()), self.data()).expect("a tensor's data fills its shape")
    }

    /// Returns a mutable `ndarray` view of this tensor, which is copied first only if another tensor shares the storage.
    pub fn view_mut(&mut self) -> ArrayViewMutD<'_, T> {
        let shape = IxDyn(self.shape());
        ArrayViewMutD::from_shape(shape, self.data_mut()).expect("a tensor's data fills its shape")
    }

    /// Copies any `ndarray` array or view into a tensor, in logical (row-major) order.
    pub fn from_ndarray<S: Data<Elem = T>, D: Dimension>(array: &ArrayBase<S, D>) -> Tensor<T> {
        let mut tensor = Tensor::blank(array.shape());
        match array.as_slice() {
            Some(data) => tensor.data_mut().copy_from_slice(data),
            None => tensor.data_mut().iter_mut().zip(array).for_each(|(to, from)| *to = *from),
        }
        tensor
    }
}

/// Reuses the array's memory if it is aligned and in standard layout, and copies it otherwise.
impl<T: Element, D: Dimension> From<Array<T, D>> for Tensor<T> {
    fn from(array: Array<T, D>) -> Tensor<T> {
        let shape = array.shape().to_vec();
        if !array.is_standard_layout() {
            return Tensor::from_ndarray(&array);
        }
        match array.into_raw_vec_and_offset() {
            (data, None | Some(0)) if data.len() == shape.iter().product::<usize>() => {
                Tensor::from_vec(shape, data).expect("the array's data fills its shape")
            }
            (data, offset) => {
                let start = offset.unwrap_or(0);
                let data = data[start..start + shape.iter().product::<usize>()].to_vec();
                Tensor::from_vec(shape, data).expect("the array's data fills its shape")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, Axis, Slice, array};

    #[test]
    fn views_show_the_same_memory() {
        let mut x = Tensor::from_fn([2, 3], |i| (i[0] * 3 + i[1]) as f32);
        assert_eq!(x.view().as_ptr(), x.data().as_ptr());
        x.view_mut()[[1, 2]] = 50.0;
        assert_eq!(x[[1, 2]], 50.0);
    }

    #[test]
    fn transposed_and_sliced_arrays_keep_their_logical_order() {
        let a = array![[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]];
        assert_eq!(Tensor::from_ndarray(&a.t()).data(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        assert_eq!(Tensor::from(a.clone().reversed_axes()).data(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        assert_eq!(Tensor::from_ndarray(&a.slice_axis(Axis(1), Slice::from(1..))).data(), [2.0, 3.0, 5.0, 6.0]);
        assert_eq!(Tensor::from(a.index_axis_move(Axis(0), 1)).data(), [4.0, 5.0, 6.0]);
        let labels: Tensor<u32> = Array2::from_elem((1, 2), 7u32).into();
        assert_eq!(labels.shape(), [1, 2]);
    }
}
