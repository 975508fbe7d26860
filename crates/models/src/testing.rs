//! Helpers shared by the tests of the networks.

use ocelli_graph::{Layer, Model, Summary};

/// Returns the summary of a network for square images of three channels.
pub(crate) fn summary(network: impl Layer, size: usize) -> Summary {
    Model::zeroed(network, [size, size, 3]).unwrap_or_else(|error| panic!("{error}")).summary()
}

/// Returns the trained parameters and the multiply-accumulates.
pub(crate) fn size(network: impl Layer, size: usize) -> (usize, u64) {
    let summary = summary(network, size);
    (summary.trained, summary.macs)
}
