//! Initial values of parameters.

use crate::{Key, ParameterAxis};
use std::fmt::Debug;

/// Fills a parameter with its initial values. The named initialisers (Glorot, He, LeCun, …) are in `ocelli-layers`.
pub trait Initializer: Debug + Send + Sync {
    /// Fills `values`, which lie row-major along `axes`, drawing from `key` alone.
    fn fill(&self, axes: &[ParameterAxis], key: Key, values: &mut [f32]);
}

/// Initialises every element to one value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Constant(
    /// The value.
    pub f32,
);

impl Initializer for Constant {
    fn fill(&self, _axes: &[ParameterAxis], _key: Key, values: &mut [f32]) {
        values.fill(self.0);
    }
}

/// Initialises a parameter from known values, in row-major order; repeated if there are fewer than the parameter has
/// elements.
#[derive(Clone, Debug, PartialEq)]
pub struct Values(
    /// The values.
    pub Vec<f32>,
);

impl Initializer for Values {
    fn fill(&self, _axes: &[ParameterAxis], _key: Key, values: &mut [f32]) {
        values.iter_mut().zip(self.0.iter().cycle()).for_each(|(to, from)| *to = *from);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Uniform numbers in ±½: what a layer crate would give.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Ramp;

    impl Initializer for Ramp {
        fn fill(&self, _axes: &[ParameterAxis], key: Key, values: &mut [f32]) {
            let mut stream = key.stream();
            values.iter_mut().for_each(|value| *value = stream.between(-0.5, 0.5));
        }
    }

    #[test]
    fn known_values_repeat() {
        let mut values = [0.0; 5];
        Values(vec![1.0, 2.0]).fill(&[], Key::new(0), &mut values);
        assert_eq!(values, [1.0, 2.0, 1.0, 2.0, 1.0]);
        Constant(3.0).fill(&[], Key::new(0), &mut values);
        assert_eq!(values, [3.0; 5]);
    }
}
