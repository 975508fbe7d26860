//! Networks in and out of ONNX files.
//!
//! [`Import`] reads a file as an ordinary [`Model`](ocelli_graph::Model), in five stages:
//!
//! ```text
//! bytes → messages → nodes → values: constants folded, layouts resolved → trace → Model
//! ```
//!
//! - *Messages* are read in place, without recursion, by the module `wire`: names and data are borrowed from the file.
//! - *Nodes* are read in order, by one table from operator to handler; what an operator means in the file's version is the
//!   handler's business. Operators that are missing in the table are listed all at once, before anything else.
//! - *Values* are constants or parts of the network. Constants are folded: shapes, axes and amounts are known when
//!   reading ends, and the number of samples stays a symbol in them.
//! - *Layouts* are resolved once. The file speaks of `[N, C, H, W]`, a value lies in `[N, H, W, C]`, and a `Layout` keeps
//!   both: a transposition or a flattening is another list of axes, and no element moves. Filters, and the rows of a
//!   dense layer behind a flattened image, are moved while they are read.
//! - The *trace* is that of any network. Initialisers become parameters under their names, running statistics states,
//!   other constants states. So the result is summarised, planned, fused, run, trained and saved like any other.
//!
//! [`Export`] goes the other way: a table from the types of operations to rules writes one call after the other, with the
//! same `Layout` between the network's axes and the file's. What ONNX has no operator for is a function of operators in
//! the domain `ocelli`, which other programs run and which is read back as the operation that it was.
//!
//! Images are `[N, H, W, C]` in the model, inputs and results alike; values of another number of axes are as in the file.

#![forbid(unsafe_code)]

mod constant;
mod error;
mod export;
mod import;
mod layout;
mod proto;
mod wire;

pub use constant::{Constant, Elements, read_tensor_file};
pub use error::{Error, Result};
pub use export::{CallWriter, Export, Setting};
pub use import::{Import, Imported, OPERATORS, Output, OutputKind, read_metadata};
