//! Networks described as graphs: tracing, differentiation, memory plan, execution.
//!
//! A network is a Rust function over symbolic [`Node`]s. It is *traced* once, with a symbolic batch size; every shape
//! and every mistake is known before the first batch. Once per (requested values, mode, batch size) the trace is
//! lowered, differentiated, pruned and laid out in memory, and the resulting [`Plan`] is executed as often as needed in
//! that memory:
//!
//! ```text
//! describe              plan                                                run
//! fn(&Node) -> Node  →  lower(mode) · fuse · differentiate · prune · fold · memory  →  kernels over one arena
//! ```
//!
//! The main decision is that gradients are nodes of the same graph. Values that need no gradient are never computed or
//! kept for one, a loss is composed like a layer, and the memory plan sees forward and backward at once.
//!
//! ```
//! use ocelli_graph::{Batch, Constant, Model, Tensor};
//!
//! // y = mean((w · x)²) with one parameter.
//! let model = Model::build(|x| x * x.trace().parameter("w", [3], Constant(2.0)), [3], 0)?;
//! let mut objective = model.objective(|t| t.output().square().mean())?;
//!
//! let mut model = model;
//! let batch = Batch::new().with("input", Tensor::from_vec([1, 3], vec![1.0, 2.0, 3.0])?);
//! let step = objective.step(&mut model, &batch)?;
//! assert!((step.loss() - 4.0 * 14.0 / 3.0).abs() < 1e-5);
//! assert_eq!(step.gradient("w").unwrap().len(), 3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod backward_rules;
mod check_gradients;
mod classes;
mod compile;
mod contract;
mod describe;
mod diagnose;
mod differentiate;
mod error;
mod execute;
mod function;
mod graph;
mod identity;
mod inference;
mod initial;
mod input_shape;
mod inputs;
mod kernel_context;
mod layer;
mod lock;
mod lookup;
mod memory;
mod model;
mod names;
mod node;
mod objective;
mod op;
pub mod ops;
mod parameter_axes;
mod parameters;
mod part;
mod passes;
mod path;
mod plan;
mod recent;
mod results;
mod shape;
mod summary;
mod trace;
mod until;

pub use backward_rules::BackwardRules;
pub use check_gradients::{GradientError, check_gradients, check_gradients_at};
pub use compile::{Compiled, PreparedOperand, Request};
pub use differentiate::Grads;
pub use error::{BuildError, Error, Fault, Result};
pub use function::{LayerFunction, NetworkFunction};
pub use graph::{Call, Graph, ParameterRole, ParameterSpec, ValueId, ValueInfo, ValueSource};
pub use identity::OpIdentity;
pub use inference::{Inference, Outputs, Session};
pub use initial::{Constant, Initializer, Values};
pub use input_shape::InputShape;
pub use kernel_context::KernelContext;
pub use layer::{Func, Layer, Recomputed, Shared, func};
pub use model::Model;
pub use node::Node;
pub use objective::{Made, Objective, Step, Wrt};
pub use ocelli_kernels::{Accumulate, Scratch, conv::Precision};
pub use ocelli_tensor::{Axis, Batch, ElementKind, Key, Tensor, Value};
pub use op::{Mode, Op, Reach};
pub use parameter_axes::{AxisRole, ParameterAxis, ParameterShape};
pub use parameters::{CopyReport, Parameter, Parameters};
pub use plan::{Plan, PlanStep};
pub use shape::{Dim, Shape};
pub use summary::{Summary, SummaryRow};
pub use trace::Trace;
pub use until::Until;

#[cfg(test)]
mod tests;
