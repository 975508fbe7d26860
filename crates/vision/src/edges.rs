//! Edges: filters over images by the library's own convolutions, an edge filter that is learned, and learned contours.

mod filter;
mod hed;
mod learned;
#[cfg(test)]
mod tests;

pub use filter::{Application, Filter, magnitude};
pub use hed::{Contours, Hed};
pub use learned::{LearnedFilter, learn_filter};
