//! Checks of what a run is given, and the inputs of a plan.

use crate::{Batch, Error, Graph, Plan, Result, ValueSource, execute::Given};
use ocelli_tensor::ShapeText;
use smallvec::SmallVec;

/// Largest number of inputs of a plan that needs no allocation.
const INPUTS: usize = 8;

/// Returns the batch size that the inputs of the graph have in common; checks their shapes, kinds and that they are
/// finite. Tensors in the batch that the graph does not know are ignored.
pub(crate) fn batch_size(graph: &Graph, batch: &Batch) -> Result<usize> {
    checked_size(graph, None, &|name| batch.get(name).map(Given::from))
}

/// Checks inputs by name like [`batch_size`]; `n` is their batch size if it is known.
pub(crate) fn checked_size<'a>(
    graph: &Graph,
    mut n: Option<usize>,
    get: &dyn Fn(&str) -> Option<Given<'a>>,
) -> Result<usize> {
    let inputs = graph.values.iter().filter_map(|value| match &value.source {
        ValueSource::Input(name) => get(name).map(|given| (name, value, given)),
        _ => None,
    });
    for (name, value, given) in inputs {
        let (dims, sizes) = (value.shape.dims(), given.shape());
        // An input without a batch axis does not determine the batch size.
        if let (Some(crate::Dim::Batch(multiple)), true) = (dims.first(), dims.len() == sizes.len()) {
            if sizes[0] == 0 {
                return Err(Error::EmptyBatch { name: name.clone(), got: ShapeText(sizes).to_string() });
            }
            n.get_or_insert(sizes[0] / multiple);
        }
        let batch = n.unwrap_or(1);
        // Without allocating: this is part of every step.
        let fits = dims.iter().map(|dim| dim.at(batch)).eq(sizes.iter().copied());
        if !fits || batch == 0 {
            return Err(Error::InputShape {
                name: name.clone(),
                expected: value.shape.to_string(),
                got: ShapeText(sizes).to_string(),
                batch: n.filter(|&n| n > 0),
            });
        }
        if value.kind != given.kind() {
            return Err(Error::InputKind { name: name.clone(), expected: value.kind, got: given.kind() });
        }
        check_finite(name, given)?;
    }
    Ok(n.unwrap_or(1))
}

/// Refuses NaN here: it would be found at the loss at best, and nowhere if a maximum swallows it.
fn check_finite(name: &str, value: Given<'_>) -> Result<()> {
    let Given::F32(tensor) = value else { return Ok(()) };
    let Some(at) = ocelli_kernels::finite::first_non_finite(tensor.data()) else { return Ok(()) };
    let mut rest = at;
    let mut index = vec![0; tensor.shape().len()];
    for (axis, &size) in tensor.shape().iter().enumerate().rev() {
        index[axis] = rest % size;
        rest /= size;
    }
    let index = ShapeText(&index).to_string();
    Err(Error::NotFinite { name: name.into(), value: tensor.data()[at], index })
}

/// Takes the plan's inputs from the batch.
pub(crate) fn bind<'a>(plan: &Plan, batch: &'a Batch) -> Result<SmallVec<[Given<'a>; INPUTS]>> {
    let find = |name: &String| {
        batch.get(name).map(Given::from).ok_or_else(|| {
            let known: Vec<_> = batch.iter().map(|(name, _)| name).collect();
            let known = if known.is_empty() { "nothing".into() } else { known.join(", ") };
            Error::MissingInput { name: name.clone(), known }
        })
    };
    plan.inputs.iter().map(find).collect()
}
