//! The named tensors that one step of a network reads.

use crate::{Element, ElementKind, Error, Result, Tensor};

/// A tensor of either element type.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Images, features or targets.
    F32(Tensor<f32>),
    /// Labels.
    U32(Tensor<u32>),
}

impl Value {
    /// Returns the size of each axis.
    pub fn shape(&self) -> &[usize] {
        match self {
            Value::F32(tensor) => tensor.shape(),
            Value::U32(tensor) => tensor.shape(),
        }
    }

    /// Returns the element type.
    pub fn kind(&self) -> ElementKind {
        match self {
            Value::F32(_) => ElementKind::F32,
            Value::U32(_) => ElementKind::U32,
        }
    }
}

impl<T: Element> From<Tensor<T>> for Value {
    fn from(tensor: Tensor<T>) -> Value {
        T::value(tensor)
    }
}

impl<T: Element> From<&Tensor<T>> for Value {
    fn from(tensor: &Tensor<T>) -> Value {
        T::value(tensor.clone())
    }
}

/// A set of named tensors, as a loader yields them and a network reads them.
///
/// Images are called `input` and labels `labels` unless a network says otherwise.
///
/// ```
/// use ocelli_tensor::{Batch, Tensor};
/// let batch = Batch::new().with("input", Tensor::zeros([2, 28, 28, 1])).with("labels", Tensor::from(vec![3u32, 7]));
/// assert_eq!(batch.tensor("input")?.shape(), [2, 28, 28, 1]);
/// assert_eq!(batch.labels("labels")?.data(), [3, 7]);
/// assert_eq!(batch.tensor("image").unwrap_err().to_string(), "the batch has no \"image\"; it holds input, labels");
/// # Ok::<(), ocelli_tensor::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// A handful at the most: a linear search is the fastest map.
    values: Vec<(String, Value)>,
}

impl Batch {
    /// Creates a batch without tensors.
    pub fn new() -> Batch {
        Batch::default()
    }

    /// Returns this batch with a tensor added, or replaced if the name is taken.
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Batch {
        self.set(name, value);
        self
    }

    /// Adds a tensor, or replaces the one of this name.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        let (name, value) = (name.into(), value.into());
        match self.values.iter_mut().find(|(known, _)| *known == name) {
            Some(slot) => slot.1 = value,
            None => self.values.push((name, value)),
        }
    }

    /// Returns the tensor called `name`, of either element type.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// Returns the `f32` tensor called `name`.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is none, [`Error::Kind`] if it has another element type.
    pub fn tensor(&self, name: &str) -> Result<&Tensor> {
        match self.find(name)? {
            Value::F32(tensor) => Ok(tensor),
            other => Err(Error::Kind { name: name.into(), expected: ElementKind::F32, got: other.kind() }),
        }
    }

    /// Returns the labels called `name`.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is none, [`Error::Kind`] if it has another element type.
    pub fn labels(&self, name: &str) -> Result<&Tensor<u32>> {
        match self.find(name)? {
            Value::U32(tensor) => Ok(tensor),
            other => Err(Error::Kind { name: name.into(), expected: ElementKind::U32, got: other.kind() }),
        }
    }

    /// Iterates over names and tensors in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Returns the number of samples: the first axis of the first tensor, 0 if there is none.
    pub fn len(&self) -> usize {
        self.values.first().and_then(|(_, value)| value.shape().first().copied()).unwrap_or(0)
    }

    /// Returns true if the batch holds no samples.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn find(&self, name: &str) -> Result<&Value> {
        self.get(name).ok_or_else(|| {
            let known: Vec<_> = self.iter().map(|(name, _)| name).collect();
            let known = if known.is_empty() { "nothing".to_string() } else { known.join(", ") };
            Error::Missing { name: name.into(), known }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_holds_one_tensor() {
        let mut batch = Batch::new().with("x", Tensor::zeros([1, 2]));
        batch.set("x", Tensor::zeros([3, 2]));
        assert_eq!((batch.iter().count(), batch.len()), (1, 3));
        assert!(Batch::new().is_empty());
    }

    #[test]
    fn kinds_are_told_apart() {
        let batch = Batch::new().with("labels", Tensor::from(vec![1u32]));
        assert_eq!(batch.tensor("labels").unwrap_err().to_string(), "\"labels\" holds u32, expected f32");
        assert_eq!(Batch::new().labels("y").unwrap_err().to_string(), "the batch has no \"y\"; it holds nothing");
    }
}
