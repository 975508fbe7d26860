//! Partial connections between the maps of a convolution, as in LeNet-5's C3.

use crate::{Compiled, Fault, Grads, Node, Op, Request, Shape};
use std::{ops::RangeInclusive, sync::Arc};

/// The input maps that each output map of a convolution sees (LeCun et al. 1998, table I).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionTable {
    inputs: usize,
    /// Input maps that each output map sees, ascending.
    seen: Vec<Vec<usize>>,
}

/// Errors of a connection table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionError {
    /// An output sees an input that does not exist.
    #[error("output map {output} sees input map {input}, but there are {inputs}")]
    NoSuchInput {
        /// The output map.
        output: usize,
        /// The input map it names.
        input: usize,
        /// Number of input maps.
        inputs: usize,
    },
    /// An output sees nothing.
    #[error("output map {output} sees no input map")]
    Unconnected {
        /// The output map.
        output: usize,
    },
}

impl ConnectionTable {
    /// Makes a table for `inputs` input maps: `outputs` lists, for each output map, the input maps that it sees.
    ///
    /// # Errors
    /// [`ConnectionError`] if an output sees no input, or one that does not exist.
    pub fn new(inputs: usize, outputs: &[&[usize]]) -> Result<ConnectionTable, ConnectionError> {
        let mut seen = Vec::new();
        for (output, maps) in outputs.iter().enumerate() {
            if let Some(&input) = maps.iter().find(|&&input| input >= inputs) {
                return Err(ConnectionError::NoSuchInput { output, input, inputs });
            }
            if maps.is_empty() {
                return Err(ConnectionError::Unconnected { output });
            }
            let mut maps = maps.to_vec();
            maps.sort_unstable();
            maps.dedup();
            seen.push(maps);
        }
        Ok(ConnectionTable { inputs, seen })
    }

    /// Number of input maps.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Number of output maps.
    pub fn outputs(&self) -> usize {
        self.seen.len()
    }

    /// Number of connected pairs of an output and an input.
    pub fn len(&self) -> usize {
        self.seen.iter().map(Vec::len).sum()
    }

    /// Returns true if nothing is connected.
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    /// The connected pairs `(input, output)`, in the order of their weights: by output, then by input.
    pub fn pairs(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.seen.iter().enumerate().flat_map(|(output, inputs)| inputs.iter().map(move |&input| (input, output)))
    }
}

/// Expands weights `[kernel_h, kernel_w, connections]` to a filter `[kernel_h, kernel_w, in, out]` with zeros where
/// nothing is connected: the convolution itself need not know of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct Connections(
    /// The table.
    pub Arc<ConnectionTable>,
);

/// The adjoint of [`Connections`]: gathers the gradients of the connected pairs.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ConnectionsBackward(
    /// The table.
    pub Arc<ConnectionTable>,
);

impl Op for Connections {
    fn operands(&self) -> RangeInclusive<usize> {
        1..=1
    }

    fn infer(&self, w: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        let sizes = super::weight_sizes(w, 0, 3, "weights [kernel_h, kernel_w, connections]")?;
        if sizes[2] != self.0.len() {
            let expected = format!("{} connections", self.0.len());
            return Err(Fault::Operand { input: 0, expected, got: sizes[2].to_string() });
        }
        Ok(vec![Shape::from([sizes[0], sizes[1], self.0.inputs(), self.0.outputs()])])
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        let op = self.clone();
        Ok(Compiled::new(move |k| {
            let (w, outputs) = (k.input(0), op.0.outputs());
            let filter = k.output(0);
            filter.fill(0.0);
            for (w, tap) in w.chunks_exact(op.0.len()).zip(filter.chunks_exact_mut(op.0.inputs() * outputs)) {
                w.iter().zip(op.0.pairs()).for_each(|(w, (input, output))| tap[input * outputs + output] = *w);
            }
        }))
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        vec![Some(Node::call(ConnectionsBackward(self.0.clone()), &[g.dy()]))]
    }
}

impl Op for ConnectionsBackward {
    fn infer(&self, dy: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        let sizes = dy[0].at(1);
        Ok(vec![Shape::from([sizes[0], sizes[1], self.0.len()])])
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        let op = self.clone();
        Ok(Compiled::new(move |k| {
            let (filter, outputs) = (k.input(0), op.0.outputs());
            let taps = filter.chunks_exact(op.0.inputs() * outputs);
            for (w, tap) in k.output(0).chunks_exact_mut(op.0.len()).zip(taps) {
                w.iter_mut().zip(op.0.pairs()).for_each(|(w, (input, output))| *w = tap[input * outputs + output]);
            }
        }))
    }
}
