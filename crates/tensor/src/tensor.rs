//! The tensor itself.

use crate::{Element, Error, Result, ShapeText, buffer::ALIGNMENT, buffer::Buffer, element_count};
use std::{ops::Range, sync::Arc};

/// An array of elements in row-major order with a shape; contiguous, 64-byte aligned, cheap to clone, copied on write.
///
/// `Tensor` is a tensor of `f32`; labels are `Tensor<u32>`.
#[derive(Clone, Debug)]
pub struct Tensor<T: Element = f32> {
    storage: Arc<Buffer<T>>,
    /// First element of this tensor in the storage; a multiple of the alignment.
    start: usize,
    len: usize,
    shape: Vec<usize>,
}

impl<T: Element> Tensor<T> {
    /// Creates zeros of either element type. Public only as `zeros`, for `f32`, so that callers need not write the type.
    pub(crate) fn blank(shape: impl Into<Vec<usize>>) -> Tensor<T> {
        Tensor::try_blank(shape).unwrap_or_else(|error| panic!("{error}"))
    }

    fn try_blank(shape: impl Into<Vec<usize>>) -> Result<Tensor<T>> {
        let shape = shape.into();
        let len = element_count(&shape).ok_or_else(|| Error::TooLarge(ShapeText(&shape).to_string()))?;
        Ok(Tensor { storage: Arc::new(Buffer::zeros(len)), start: 0, len, shape })
    }

    /// Creates a tensor whose elements all have one value.
    ///
    /// # Panics
    /// If the sizes multiply to more than can be addressed.
    pub fn full(shape: impl Into<Vec<usize>>, value: T) -> Tensor<T> {
        let mut tensor = Tensor::blank(shape);
        tensor.data_mut().fill(value);
        tensor
    }

    /// Creates a tensor from elements in row-major order. The vector's memory is reused if it is aligned, and copied otherwise.
    ///
    /// # Errors
    /// [`Error::Length`] if `data` does not fill `shape`.
    ///
    /// ```
    /// use ocelli_tensor::Tensor;
    /// let x = Tensor::from_vec([2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0])?;
    /// assert_eq!(x[[1, 0]], 4.0);
    /// assert!(Tensor::from_vec([2, 2], vec![1.0]).is_err());
    /// # Ok::<(), ocelli_tensor::Error>(())
    /// ```
    pub fn from_vec(shape: impl Into<Vec<usize>>, data: Vec<T>) -> Result<Tensor<T>> {
        let shape = shape.into();
        match element_count(&shape) {
            Some(len) if len == data.len() => {
                Ok(Tensor { storage: Arc::new(Buffer::from_vec(data)), start: 0, len, shape })
            }
            Some(expected) => Err(Error::Length { shape: ShapeText(&shape).to_string(), expected, got: data.len() }),
            None => Err(Error::TooLarge(ShapeText(&shape).to_string())),
        }
    }

    /// Creates a tensor whose element at each index is `f(index)`.
    ///
    /// ```
    /// let eye = ocelli_tensor::Tensor::from_fn([3, 3], |i| if i[0] == i[1] { 1.0 } else { 0.0 });
    /// assert_eq!(eye[[2, 2]], 1.0);
    /// ```
    pub fn from_fn(shape: impl Into<Vec<usize>>, mut f: impl FnMut(&[usize]) -> T) -> Tensor<T> {
        let mut tensor = Tensor::blank(shape);
        let shape = tensor.shape.clone();
        let mut index = vec![0; shape.len()];
        for value in tensor.data_mut() {
            *value = f(&index);
            for axis in (0..shape.len()).rev() {
                index[axis] += 1;
                if index[axis] < shape[axis] {
                    break;
                }
                index[axis] = 0;
            }
        }
        tensor
    }

    /// Returns the size of each axis; `[]` for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns true if the tensor has no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the elements in row-major order.
    pub fn data(&self) -> &[T] {
        &self.storage.as_slice()[self.start..self.start + self.len]
    }

    /// Returns the elements for writing. They are copied first if another tensor shares them.
    pub fn data_mut(&mut self) -> &mut [T] {
        if Arc::get_mut(&mut self.storage).is_none() {
            self.storage = Arc::new(Buffer::from_slice(self.data()));
            self.start = 0;
        }
        let storage = Arc::get_mut(&mut self.storage).expect("the storage was just made or found to be unshared");
        &mut storage.as_mut_slice()[self.start..self.start + self.len]
    }

    /// Converts the tensor into the vector of its elements.
    pub fn into_vec(self) -> Vec<T> {
        self.data().to_vec()
    }

    /// Returns a tensor of the same elements with another shape; it shares the storage.
    ///
    /// # Errors
    /// [`Error::Length`] if the new shape has another number of elements.
    pub fn reshape(&self, shape: impl Into<Vec<usize>>) -> Result<Tensor<T>> {
        let shape = shape.into();
        match element_count(&shape) {
            Some(len) if len == self.len => Ok(Tensor { shape, ..self.clone() }),
            Some(expected) => Err(Error::Length { shape: ShapeText(&shape).to_string(), expected, got: self.len }),
            None => Err(Error::TooLarge(ShapeText(&shape).to_string())),
        }
    }

    /// Slices the first axis, such as samples of a batch. The slice shares the storage if it starts at an aligned element, and
    /// is copied otherwise, so that every tensor is aligned.
    ///
    /// # Panics
    /// If the tensor is a scalar or the range is not within its first axis.
    pub fn rows(&self, range: Range<usize>) -> Tensor<T> {
        let count = *self.shape.first().expect("a scalar has no rows");
        assert!(
            range.start <= range.end && range.end <= count,
            "rows {range:?} of a tensor of shape {}",
            ShapeText(&self.shape)
        );
        let row = self.len.checked_div(count).unwrap_or(0);
        let (first, len) = (range.start * row, range.len() * row);
        let mut shape = self.shape.clone();
        shape[0] = range.len();
        if (first * size_of::<T>()).is_multiple_of(ALIGNMENT) {
            return Tensor { storage: self.storage.clone(), start: self.start + first, len, shape };
        }
        let data = &self.data()[first..first + len];
        Tensor { storage: Arc::new(Buffer::from_slice(data)), start: 0, len, shape }
    }

    /// Returns true if the two tensors share their storage.
    pub fn shares_storage(&self, other: &Tensor<T>) -> bool {
        Arc::ptr_eq(&self.storage, &other.storage)
    }

    fn offset(&self, index: &[usize]) -> usize {
        assert!(
            index.len() == self.shape.len() && index.iter().zip(&self.shape).all(|(i, size)| i < size),
            "index {index:?} of a tensor of shape {}",
            ShapeText(&self.shape)
        );
        index.iter().zip(&self.shape).fold(0, |offset, (i, size)| offset * size + i)
    }
}

impl Tensor<f32> {
    /// Creates a tensor of zeros.
    ///
    /// # Panics
    /// If the sizes multiply to more than can be addressed; [`Tensor::try_zeros`] is for shapes from outside.
    pub fn zeros(shape: impl Into<Vec<usize>>) -> Tensor {
        Tensor::blank(shape)
    }

    /// Creates a tensor of zeros of a shape from outside.
    ///
    /// # Errors
    /// [`Error::TooLarge`] if the sizes multiply to more than can be addressed.
    pub fn try_zeros(shape: impl Into<Vec<usize>>) -> Result<Tensor> {
        Tensor::try_blank(shape)
    }

    /// Creates a tensor of independent elements, uniform in `[-1, 1)`, drawn from `key`.
    pub fn uniform(shape: impl Into<Vec<usize>>, key: crate::Key) -> Tensor {
        let mut tensor = Tensor::zeros(shape);
        let mut stream = key.stream();
        tensor.data_mut().iter_mut().for_each(|value| *value = 2.0 * stream.unit() - 1.0);
        tensor
    }

    /// Creates a scalar.
    pub fn scalar(value: f32) -> Tensor {
        Tensor::full([], value)
    }

    /// Returns the index of the largest element of each row of `[N, C]`; the first of equals.
    ///
    /// # Panics
    /// If the tensor does not have two axes.
    pub fn argmax_rows(&self) -> Vec<usize> {
        assert_eq!(self.shape.len(), 2, "argmax_rows wants [N, C], got {}", ShapeText(&self.shape));
        let classes = self.shape[1].max(1);
        let best =
            |row: &[f32]| row.iter().enumerate().fold(0, |best, (i, value)| if *value > row[best] { i } else { best });
        self.data().chunks(classes).map(best).collect()
    }
}

impl<T: Element> PartialEq for Tensor<T> {
    fn eq(&self, other: &Self) -> bool {
        self.shape == other.shape && self.data() == other.data()
    }
}

impl<T: Element, const R: usize> std::ops::Index<[usize; R]> for Tensor<T> {
    type Output = T;
    fn index(&self, index: [usize; R]) -> &T {
        &self.data()[self.offset(&index)]
    }
}

impl<T: Element, const R: usize> std::ops::IndexMut<[usize; R]> for Tensor<T> {
    fn index_mut(&mut self, index: [usize; R]) -> &mut T {
        let offset = self.offset(&index);
        &mut self.data_mut()[offset]
    }
}

/// Converts labels into a tensor with one axis.
impl<T: Element> From<Vec<T>> for Tensor<T> {
    fn from(data: Vec<T>) -> Tensor<T> {
        let len = data.len();
        Tensor { storage: Arc::new(Buffer::from_vec(data)), start: 0, len, shape: vec![len] }
    }
}

#[cfg(test)]
mod tests;
