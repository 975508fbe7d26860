//! Notations for the shape of an input.

use crate::Shape;

/// The shape of an input, written as sizes or as a [`Shape`]. Sizes are those of a sample, as for
/// [`Model::build`](crate::Model::build): `[4]` is `[N, 4]`. A [`Shape`] is taken as it is: `Shape::from([4])` has no
/// samples.
pub trait InputShape {
    /// Returns the whole shape.
    fn into_shape(self) -> Shape;
}

macro_rules! sizes_of_a_sample {
    ($([$($generics:tt)*] $sizes:ty;)*) => { $(
        impl<$($generics)*> InputShape for $sizes {
            fn into_shape(self) -> Shape {
                Shape::batch(&self[..])
            }
        }
    )* };
}
sizes_of_a_sample! {
    [const R: usize] [usize; R];
    [const R: usize] &[usize; R];
    [] &[usize];
    [] Vec<usize>;
    [] &Vec<usize>;
}

impl InputShape for Shape {
    fn into_shape(self) -> Shape {
        self
    }
}

impl InputShape for &Shape {
    fn into_shape(self) -> Shape {
        self.clone()
    }
}
