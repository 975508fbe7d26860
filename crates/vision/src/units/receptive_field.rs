//! Receptive fields, from the graph.

use crate::{Error, Result, spatial::find};
use ocelli_graph::{
    Call, Dim, Graph, Model, Reach, Tensor, ValueId, ValueSource,
    ops::{AvgPoolOp, Conv2dOp, Gather, MaxPoolOp, PadOp, Permute, Slice},
};
use ocelli_kernels::conv::Axis;
use std::{any::Any, collections::HashMap, ops::Range};

/// The pixels of the input that the units of a spatial activation see: the unit at row `i` sees the rows from
/// `offset + i · step` on, `size` of them, and likewise for columns. Rows before 0 and behind the image are padding.
///
/// ```
/// use ocelli_graph::Model;
/// use ocelli_models::LeNet5;
/// use ocelli_vision::units::ReceptiveField;
/// let model = Model::from_layer(LeNet5::modern(10), [32, 32, 1], 0)?;
/// let field = ReceptiveField::of_layer(&model, "s4")?;
/// assert_eq!((field.size, field.step, field.offset), ([16, 16], [4, 4], [0, 0]));
/// assert_eq!(field.pixels([1, 2]), [4..20, 8..24]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceptiveField {
    /// Rows and columns that a unit sees.
    pub size: [usize; 2],
    /// Rows and columns from one unit's field to the next.
    pub step: [usize; 2],
    /// First row and column of the first unit's field.
    pub offset: [isize; 2],
    /// Rows and columns of the image.
    pub image: [usize; 2],
}

impl ReceptiveField {
    /// Computes the receptive field of the units of the activation called `layer`, with padding, stride, dilation and pooling;
    /// where branches meet, the smallest field that holds theirs. Behind an operation that sees everything, such as a
    /// squeeze-and-excitation, it is the whole image.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name of something else, and if an operation on the way has windows of which it is not known
    /// where they begin.
    pub fn of_layer(model: &Model, layer: &str) -> Result<ReceptiveField> {
        let id = find(model, layer)?.id;
        let (_, [height, width, _]) = crate::spatial::image_input(model)?;
        let whole = ReceptiveField { size: [height, width], step: [0; 2], offset: [0; 2], image: [height, width] };
        Ok(match fields(model.graph(), id)? {
            Some(field) => ReceptiveField { size: field.size, step: field.step, offset: field.offset, ..whole },
            None => whole,
        })
    }

    /// Returns the rows and columns of the image that the unit at `[row, column]` sees; empty if it sees padding alone.
    pub fn pixels(&self, unit: [usize; 2]) -> [Range<usize>; 2] {
        std::array::from_fn(|axis| {
            let first = self.offset[axis].saturating_add_unsigned(unit[axis].saturating_mul(self.step[axis]));
            let end = first.saturating_add_unsigned(self.size[axis]);
            let clipped = |at: isize| usize::try_from(at).unwrap_or(0).min(self.image[axis]);
            clipped(first)..clipped(end)
        })
    }

    /// Cuts out of an image `[1, H, W, C]` or `[H, W, C]` what the unit at `[row, column]` sees, as `[h, w, C]`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an image of another size than the network's.
    pub fn cut(&self, image: &Tensor, unit: [usize; 2]) -> Result<Tensor> {
        let (&[1, height, width, channels] | &[height, width, channels]) = image.shape() else {
            return Err(Error::Invalid("expected one image [H, W, C]".into()));
        };
        if [height, width] != self.image {
            let [rows, columns] = self.image;
            return Err(Error::Invalid(format!(
                "expected an image of {rows} x {columns} pixels, got {height} x {width}"
            )));
        }
        let [rows, columns] = self.pixels(unit);
        let mut patch = Vec::with_capacity(rows.len() * columns.len() * channels);
        for row in rows.clone() {
            let line = row * width;
            patch.extend_from_slice(&image.data()[(line + columns.start) * channels..(line + columns.end) * channels]);
        }
        Ok(Tensor::from_vec([rows.len(), columns.len(), channels], patch)?)
    }
}

/// A field while it grows.
#[derive(Clone, Copy, PartialEq)]
struct Field {
    size: [usize; 2],
    step: [usize; 2],
    offset: [isize; 2],
}

impl Field {
    /// The field behind windows of `size` that begin `before` pixels ahead of the first one.
    fn through(self, size: [usize; 2], stride: [usize; 2], before: [usize; 2]) -> Field {
        let step = |axis: usize| self.step[axis];
        let wider = |axis: usize| size[axis].saturating_sub(1).saturating_mul(step(axis));
        let ahead = |axis: usize| isize::try_from(before[axis].saturating_mul(step(axis))).unwrap_or(isize::MAX);
        Field {
            size: std::array::from_fn(|axis| self.size[axis].saturating_add(wider(axis))),
            step: std::array::from_fn(|axis| step(axis).saturating_mul(stride[axis])),
            offset: std::array::from_fn(|axis| self.offset[axis].saturating_sub(ahead(axis))),
        }
    }

    /// The smallest field that holds both; `None` if they move at different steps.
    fn with(self, other: Field) -> Option<Field> {
        (self.step == other.step).then(|| {
            let end = |field: &Field, axis: usize| field.offset[axis].saturating_add_unsigned(field.size[axis]);
            let offset = std::array::from_fn(|axis| self.offset[axis].min(other.offset[axis]));
            let size = |axis: usize| end(&self, axis).max(end(&other, axis)).abs_diff(offset[axis]);
            Field { size: [size(0), size(1)], step: self.step, offset }
        })
    }
}

/// Returns the field of a value in the input; `None` for all of it.
fn fields(graph: &Graph, wanted: ValueId) -> Result<Option<Field>> {
    let pixel = Field { size: [1; 2], step: [1; 2], offset: [0; 2] };
    // Parameters see nothing of the input and are not in the map.
    let mut fields: HashMap<ValueId, Option<Field>> = HashMap::new();
    for (id, value) in graph.values.iter().enumerate() {
        if matches!(value.source, ValueSource::Input(_)) {
            fields.insert(id, Some(pixel));
        }
    }
    for call in &graph.calls {
        let seen: Vec<Option<Field>> = call.inputs.iter().filter_map(|id| fields.get(id).copied()).collect();
        let Some((first, others)) = seen.split_first() else { continue };
        let shapes: Vec<_> = call.inputs.iter().map(|&id| &graph.values[id].shape).collect();
        let together = others.iter().fold(*first, |a, b| a.zip(*b).and_then(|(a, b)| a.with(b)));
        let field = match call.op.reach(&shapes) {
            Reach::Everything => None,
            Reach::Point if !keeps_places(graph, call) => None,
            Reach::Point => together,
            Reach::Window { size, stride } => match together {
                None => None,
                Some(field) => match before(graph, call, size) {
                    Some(before) => Some(field.through(size, stride, before)),
                    None if call.outputs.iter().any(|&id| id <= wanted) => {
                        let place = if call.path.is_empty() { call.op.kind() } else { call.path.clone() };
                        return Err(Error::Invalid(format!("it is not known where the windows of {place} begin")));
                    }
                    None => None,
                },
            },
        };
        call.outputs.iter().for_each(|&id| {
            fields.insert(id, field);
        });
    }
    Ok(fields.get(&wanted).copied().flatten())
}

/// Returns true if the result of an operation on single elements has them at the same rows and columns.
fn keeps_places(graph: &Graph, call: &Call) -> bool {
    let op: &dyn Any = &*call.op;
    if let Some(slice) = op.downcast_ref::<Slice>() {
        return ![1, 2].contains(&slice.axis) || slice.start == Dim::Fixed(0);
    }
    if let Some(gather) = op.downcast_ref::<Gather>() {
        return ![1, 2].contains(&gather.axis);
    }
    if let Some(permute) = op.downcast_ref::<Permute>() {
        return permute.axes.get(1..3) == Some(&[1, 2]);
    }
    let place = |id: &ValueId| graph.values[*id].shape.dims().get(1..3).filter(|_| graph.values[*id].shape.rank() == 4);
    let result = call.outputs.first().and_then(place);
    result.is_some() && call.inputs.iter().any(|id| place(id) == result)
}

/// Returns the rows and columns of padding ahead of the first window; `None` if it is not known.
fn before(graph: &Graph, call: &Call, span: [usize; 2]) -> Option<[usize; 2]> {
    let op: &dyn Any = &*call.op;
    if let Some(conv) = op.downcast_ref::<Conv2dOp>() {
        let [_, height, width, _] = graph.values[call.inputs[0]].shape.at(1)[..] else { return None };
        let settings = &conv.settings;
        let windows = |axis, side, span, stride| settings.padding.windows(axis, side, span, stride).ok();
        let rows = windows(Axis::H, height, span[0], settings.stride_h)?;
        return Some([rows.before, windows(Axis::W, width, span[1], settings.stride_w)?.before]);
    }
    let pooling = op.downcast_ref::<MaxPoolOp>().map(|op| op.settings);
    let pooling = pooling.or_else(|| op.downcast_ref::<AvgPoolOp>().map(|op| op.settings));
    let pad = op.downcast_ref::<PadOp>().map(|PadOp(pad)| [pad.top, pad.left]);
    pooling.map(|pooling| [pooling.pad_top, pooling.pad_left]).or(pad)
}
