//! Shapes with a symbolic batch size.

use ocelli_tensor::{Axis, Size, element_count};
use std::fmt;

/// The size of one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dim {
    /// A size that is known while tracing.
    Fixed(usize),
    /// A multiple of the batch size: `Batch(1)` is N, `Batch(2)` is 2N (two towers concatenated).
    Batch(usize),
}

impl Dim {
    /// The size for `n` samples; `usize::MAX` if it is larger than that.
    ///
    /// ```
    /// use ocelli_graph::Dim;
    /// assert_eq!((Dim::Fixed(3).at(8), Dim::Batch(2).at(8)), (3, 16));
    /// assert_eq!(Dim::Batch(2).at(usize::MAX), usize::MAX);
    /// ```
    pub fn at(self, n: usize) -> usize {
        self.checked_at(n).get().unwrap_or(usize::MAX)
    }

    /// The size for `n` samples, for checked arithmetic.
    pub(crate) fn checked_at(self, n: usize) -> Size {
        match self {
            Dim::Fixed(size) => Size::from(size),
            Dim::Batch(multiple) => Size::from(multiple) * n,
        }
    }

    /// The size, if it does not depend on the batch.
    pub fn fixed(self) -> Option<usize> {
        match self {
            Dim::Fixed(size) => Some(size),
            Dim::Batch(_) => None,
        }
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dim::Fixed(size) => write!(f, "{size}"),
            Dim::Batch(1) => write!(f, "N"),
            Dim::Batch(multiple) => write!(f, "{multiple}N"),
        }
    }
}

/// The shape of a value of the graph, such as `[N, 28, 28, 1]`; `[]` is a scalar.
///
/// ```
/// use ocelli_graph::Shape;
/// let image = Shape::batch(&[28, 28, 1]);
/// assert_eq!(image.to_string(), "[N, 28, 28, 1]");
/// assert_eq!(image.at(64), [64, 28, 28, 1]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Shape(Vec<Dim>);

impl Shape {
    /// Makes a shape of the given axes.
    pub fn new(dims: impl Into<Vec<Dim>>) -> Shape {
        Shape(dims.into())
    }

    /// Makes the shape of a batch of N samples of shape `sample`.
    pub fn batch(sample: &[usize]) -> Shape {
        let sample = sample.iter().map(|&size| Dim::Fixed(size));
        Shape(std::iter::once(Dim::Batch(1)).chain(sample).collect())
    }

    /// The axes.
    pub fn dims(&self) -> &[Dim] {
        &self.0
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// The sizes for `n` samples, each by [`Dim::at`].
    pub fn at(&self, n: usize) -> Vec<usize> {
        self.0.iter().map(|dim| dim.at(n)).collect()
    }

    /// The number of elements for `n` samples; `usize::MAX` if there are more. [`Shape::element_count`] returns `None`
    /// if they cannot be addressed.
    pub fn len(&self, n: usize) -> usize {
        self.checked_len(n).get().unwrap_or(usize::MAX)
    }

    /// The number of elements for `n` samples, for checked arithmetic.
    pub(crate) fn checked_len(&self, n: usize) -> Size {
        self.0.iter().map(|dim| dim.checked_at(n)).product()
    }

    /// The number of elements for `n` samples; `None` if a tensor of that many could not be addressed.
    ///
    /// ```
    /// use ocelli_graph::Shape;
    /// let image = Shape::batch(&[1 << 40, 1 << 10]);
    /// assert_eq!(image.element_count(8), Some(1 << 53));
    /// assert_eq!(image.element_count(1 << 20), None);
    /// ```
    pub fn element_count(&self, n: usize) -> Option<usize> {
        self.checked_len(n).get().and_then(|_| element_count(&self.at(n)))
    }

    /// Returns true if it has no elements at any batch size.
    pub fn is_empty(&self) -> bool {
        self.0.iter().any(|dim| dim.at(1) == 0)
    }

    /// Says why no value of a network can have this shape, beginning with a verb: "has length 0 on axis H, …"; `None` if one
    /// can.
    ///
    /// A shape without objection has an element at least, and the product of any of its sizes for one sample can be addressed.
    pub(crate) fn objection(&self) -> Option<String> {
        let batch = |dim: &Dim| matches!(dim, Dim::Batch(_));
        if let Some(index) = (1..self.rank()).find(|&index| batch(&self.0[index])) {
            let axis = Axis::named(index, self.rank());
            return Some(format!("has N on axis {axis}, but the number of samples is axis 0 and no other"));
        }
        if let Some(index) = self.0.iter().position(|dim| dim.at(1) == 0) {
            return Some(format!("has length 0 on axis {}, and so no elements", Axis::named(index, self.rank())));
        }
        if self.element_count(1).is_none() {
            return Some("has more elements than can be addressed".into());
        }
        None
    }

    /// The size of an axis, if the shape has it and it does not depend on the batch.
    pub fn size(&self, axis: Axis) -> Option<usize> {
        self.dim(axis).and_then(Dim::fixed)
    }

    /// The axis, if the shape has it.
    pub fn dim(&self, axis: Axis) -> Option<Dim> {
        axis.index(self.rank()).map(|index| self.0[index])
    }

    /// The size of the last axis: channels or features. 1 for a scalar.
    pub fn channels(&self) -> usize {
        self.0.last().and_then(|dim| dim.fixed()).unwrap_or(1)
    }

    /// The axes on which a shape of as many axes differs, with both sizes; none if it has more or fewer. With `except`, all
    /// but that one; without, those of size 1 only where nothing else differs, because they may be repeated.
    pub(crate) fn differences(&self, other: &Shape, except: Option<usize>) -> Vec<(Axis, Dim, Dim)> {
        if self.rank() != other.rank() {
            return Vec::new();
        }
        let pairs = self.0.iter().zip(&other.0).enumerate();
        let differing = pairs.filter(|(index, (a, b))| a != b && Some(*index) != except);
        let mut axes: Vec<_> = differing.map(|(index, (a, b))| (Axis::named(index, self.rank()), *a, *b)).collect();
        let repeated = |(_, a, b): &(Axis, Dim, Dim)| [a, b].contains(&&Dim::Fixed(1));
        if except.is_none() && !axes.iter().all(repeated) {
            axes.retain(|axis| !repeated(axis));
        }
        axes
    }

    /// This shape with another last axis.
    pub fn with_channels(&self, channels: usize) -> Shape {
        let mut shape = self.clone();
        if let Some(last) = shape.0.last_mut() {
            *last = Dim::Fixed(channels);
        }
        shape
    }
}

impl<const R: usize> From<[usize; R]> for Shape {
    fn from(sizes: [usize; R]) -> Shape {
        Shape(sizes.into_iter().map(Dim::Fixed).collect())
    }
}

impl From<&[usize]> for Shape {
    fn from(sizes: &[usize]) -> Shape {
        Shape(sizes.iter().copied().map(Dim::Fixed).collect())
    }
}

impl From<&Shape> for Shape {
    fn from(shape: &Shape) -> Shape {
        shape.clone()
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dims: Vec<_> = self.0.iter().map(Dim::to_string).collect();
        write!(f, "[{}]", dims.join(", "))
    }
}
