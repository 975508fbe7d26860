//! Errors of reading and writing ONNX files.

use ocelli_graph as graph;
use std::io;

/// An error of reading or writing an ONNX file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system refused a read or a write.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// Its error.
        source: io::Error,
    },
    /// A file could not be written.
    #[error(transparent)]
    Write(#[from] ocelli_tensor::Error),
    /// The file is no ONNX file, is damaged, or is not as the format wants it.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: String,
        /// The reason, in a sentence.
        reason: String,
    },
    /// The file has operators that are not read; all of them are listed.
    #[error("{path}: {} not read: {}", if operators.len() == 1 { "one operator is" } else { "several operators are" }, operators.join("; "))]
    Operators {
        /// The file.
        path: String,
        /// Each operator with the nodes that it is found at.
        operators: Vec<String>,
    },
    /// A node of the file cannot become a part of a network.
    #[error("{path}: {node}: {reason}")]
    Node {
        /// The file.
        path: String,
        /// The operator and the name of the node.
        node: String,
        /// The reason, in a sentence.
        reason: String,
    },
    /// The network of the file cannot be built.
    #[error("{path}: {source}")]
    Graph {
        /// The file.
        path: String,
        /// The error of the graph.
        source: graph::Error,
    },
    /// A network cannot be written.
    #[error("{layer}: {reason}")]
    Export {
        /// The layer and the operation.
        layer: String,
        /// The reason, in a sentence.
        reason: String,
    },
}

/// A result whose error is that of this crate by default.
pub type Result<T, E = Error> = std::result::Result<T, E>;
