//! Euclidean radial basis function units with fixed codes.

use ocelli_graph::{AxisRole, Layer, Node, Values};
use ocelli_tensor::Size;

/// Computes the squared distance of the features to each of some fixed codes (LeCun et al. 1998, eq. 7): the smaller,
/// the better the class fits.
///
/// # Shapes
/// `[N, D]` → `[N, codes]`.
///
/// # Parameters
/// `codes` `[codes, D]`, fixed.
#[derive(Clone, Debug, PartialEq)]
pub struct RadialBasis {
    codes: Vec<f32>,
    classes: usize,
}

impl RadialBasis {
    /// Makes a layer from `classes` codes one after the other.
    pub fn new(classes: usize, codes: impl Into<Vec<f32>>) -> RadialBasis {
        RadialBasis { codes: codes.into(), classes }
    }
}

impl Layer for RadialBasis {
    fn forward(&self, x: &Node) -> Node {
        let features = x.shape().channels();
        if (Size::from(self.classes) * features).get() != Some(self.codes.len()) {
            let got = self.codes.len();
            let reason = format!("{got} values are not {} codes of {features} features", self.classes);
            return x.trace().fail("RadialBasis", reason);
        }
        let axes = ([AxisRole::Outputs, AxisRole::Inputs], [self.classes, features]);
        let codes = x.trace().state("codes", axes, Values(self.codes.clone()));
        x.squared_distance(&codes)
    }
}
