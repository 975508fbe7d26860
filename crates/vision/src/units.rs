//! The causes of a unit's activation: receptive fields, the patches of images with the highest activations, their projections back to the
//! pixels, and the filters of the first layer (Zeiler and Fergus 2013).

mod filters;
mod peaks;
mod projection;
mod receptive_field;
#[cfg(test)]
mod tests;

pub use filters::first_filters;
pub use peaks::{LayerPeaks, Peak, find_peaks};
pub use projection::Projector;
pub use receptive_field::ReceptiveField;
