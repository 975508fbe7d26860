//! What the tests of the networks share.

use ocelli_graph::{Layer, Model, Summary};

/// The table of a network for square pictures of three channels.
pub(crate) fn summary(network: impl Layer, size: usize) -> Summary {
    Model::zeroed(network, [size, size, 3]).unwrap_or_else(|error| panic!("{error}")).summary()
}

/// Trained parameters and multiply-accumulates.
pub(crate) fn size(network: impl Layer, size: usize) -> (usize, u64) {
    let summary = summary(network, size);
    (summary.trained, summary.macs)
}
