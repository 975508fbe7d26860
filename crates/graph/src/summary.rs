//! The network as a table.

use crate::{Call, Graph, Mode, Model, Reach, Result, ValueId, ValueSource, Wrt, path::is_within};
use std::{collections::HashMap, fmt};

/// One operation of the network.
#[derive(Clone, Debug, PartialEq)]
pub struct SummaryRow {
    /// Path of its layer; empty at the top.
    pub path: String,
    /// Name of the layer if it consists of this operation alone, else of the operation.
    pub kind: String,
    /// The shape of its first result.
    pub output: String,
    /// Number of trained parameters that no earlier row counted.
    pub parameters: usize,
    /// Multiply-accumulates a sample; `u64::MAX` if there are more.
    pub macs: u64,
    /// Height and width of the receptive field in the input, in pixels; `None` for the whole input.
    pub receptive_field: Option<[usize; 2]>,
}

/// The network as a table with totals; printed by `Display`.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// One row an operation.
    pub rows: Vec<SummaryRow>,
    /// Number of parameters that gradients change.
    pub trained: usize,
    /// Number of parameters that gradients do not change: frozen ones, running statistics, fixed codes.
    pub fixed: usize,
    /// Multiply-accumulates a sample.
    pub macs: u64,
    /// Batch size that the memory is for.
    pub batch: usize,
    /// Size of all parameters, in bytes.
    pub parameter_bytes: usize,
    /// Bytes that inference takes beside the parameters: activations, and weights in the form that kernels read;
    /// `usize::MAX` if they are more than can be addressed.
    pub inference_bytes: usize,
    /// Bytes that a training step with the mean of the output as its loss takes beside the parameters: activations,
    /// gradients and workspace; `None` if the network has no gradient, `usize::MAX` if they are more than can be addressed.
    pub training_bytes: Option<usize>,
}

/// Receptive field of one element in the input, per axis: its size in pixels, and the pixels from one element to the
/// next.
#[derive(Clone, Copy, PartialEq)]
struct Field {
    size: [usize; 2],
    step: [usize; 2],
}

impl Field {
    const PIXEL: Field = Field { size: [1, 1], step: [1, 1] };

    fn through(self, window: [usize; 2], stride: [usize; 2]) -> Field {
        let axis = |i: usize| self.size[i].saturating_add(window[i].saturating_sub(1).saturating_mul(self.step[i]));
        let step = |i: usize| self.step[i].saturating_mul(stride[i]);
        Field { size: [axis(0), axis(1)], step: [step(0), step(1)] }
    }
}

impl Summary {
    /// # Errors
    /// [`Error::NoSamples`](crate::Error::NoSamples), [`Error::TooLarge`](crate::Error::TooLarge) and
    /// [`Error::Compile`](crate::Error::Compile).
    pub(crate) fn for_batch(model: &Model, batch: usize) -> Result<Summary> {
        let inference = inference_bytes(model, batch)?;
        Ok(Summary::new(model, batch, inference, training_bytes(model, batch).transpose()?))
    }

    /// Summarises a network for one sample: its values can be addressed, but not always the memory of its plans, which
    /// is then `usize::MAX`.
    pub(crate) fn for_one_sample(model: &Model) -> Summary {
        let or_most = |bytes: Result<usize>| bytes.unwrap_or(usize::MAX);
        Summary::new(model, 1, or_most(inference_bytes(model, 1)), training_bytes(model, 1).map(or_most))
    }

    fn new(model: &Model, batch: usize, inference_bytes: usize, training_bytes: Option<usize>) -> Summary {
        let rows = rows(model);
        Summary {
            trained: model.parameters().trained_count(),
            fixed: model.parameters().fixed_count(),
            macs: rows.iter().fold(0, |sum, row| sum.saturating_add(row.macs)),
            batch,
            parameter_bytes: model.parameters().bytes(),
            inference_bytes,
            training_bytes,
            rows,
        }
    }
}

fn inference_bytes(model: &Model, batch: usize) -> Result<usize> {
    Ok(model.plan(batch, &["output"])?.peak_bytes())
}

/// Bytes of a training step; `None` if there is no gradient.
fn training_bytes(model: &Model, batch: usize) -> Option<Result<usize>> {
    let mut objective = model.objective_of(Mode::Train, Wrt::Parameters, |trace| trace.output().mean()).ok()?;
    Some(objective.plan(model, batch).map(|plan| plan.peak_bytes()))
}

fn rows(model: &Model) -> Vec<SummaryRow> {
    let graph = model.graph();
    let mut counted: Vec<&str> = Vec::new();
    // `None` means the whole input. Parameters see nothing of the input and are not in the map.
    let mut fields: HashMap<ValueId, Option<Field>> = HashMap::new();
    for (id, value) in graph.values.iter().enumerate() {
        if matches!(value.source, ValueSource::Input(_)) {
            fields.insert(id, Some(Field::PIXEL));
        }
    }
    let mut rows = Vec::new();
    // Calls that see only parameters (the expansion of a connection table) have no row; the next one counts theirs.
    let mut parameters = 0;
    for call in &graph.calls {
        for &id in &call.inputs {
            let ValueSource::Parameter(path) = &graph.values[id].source else { continue };
            if !counted.contains(&path.as_str()) {
                counted.push(path);
                let trained = model.parameters().get(path).is_some_and(crate::Parameter::is_trained);
                parameters += if trained { graph.values[id].shape.len(1) } else { 0 };
            }
        }
        let shapes = graph.shapes(&call.inputs);
        let seen: Vec<Option<Field>> = call.inputs.iter().filter_map(|id| fields.get(id).copied()).collect();
        let field = widest(&seen).map(|field| match call.op.reach(&shapes) {
            Reach::Point => field,
            Reach::Window { size, stride } => field.map(|field| field.through(size, stride)),
            Reach::Everything => None,
        });
        let Some(field) = field else { continue };
        call.outputs.iter().for_each(|&id| {
            fields.insert(id, field);
        });
        rows.push(SummaryRow {
            path: call.path.clone(),
            kind: if is_whole_layer(graph, call) { call.kind.clone() } else { call.op.kind() },
            output: graph.values[call.outputs[0]].shape.to_string(),
            parameters: std::mem::take(&mut parameters),
            macs: call.op.macs(&shapes, &graph.shapes(&call.outputs)),
            receptive_field: field.map(|field| field.size),
        });
    }
    rows
}

/// Returns true if the layer of a call consists of it alone. Otherwise all rows of a block of layers would bear the
/// block's name.
fn is_whole_layer(graph: &Graph, call: &Call) -> bool {
    graph.calls.iter().filter(|other| is_within(&other.path, &call.path)).nth(1).is_none()
}

/// The largest of the fields of the operands; `None` if no operand sees the input.
fn widest(fields: &[Option<Field>]) -> Option<Option<Field>> {
    let mut fields = fields.iter().copied();
    let first = fields.next()?;
    Some(fields.fold(first, |widest, field| match (widest, field) {
        (Some(a), Some(b)) => {
            let larger = |x: [usize; 2], y: [usize; 2]| [x[0].max(y[0]), x[1].max(y[1])];
            Some(Field { size: larger(a.size, b.size), step: larger(a.step, b.step) })
        }
        _ => None,
    }))
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = |row: &SummaryRow| match row.receptive_field {
            Some([h, w]) => format!("{h}×{w}"),
            None => "all".to_string(),
        };
        // the table, with columns as wide as their widest cell
        let header = ["path", "operation", "output", "parameters", "mult-adds", "sees"].map(String::from);
        let mut table = vec![header];
        table.extend(self.rows.iter().map(|row| {
            let path = if row.path.is_empty() { "·".to_string() } else { row.path.clone() };
            let blank_zero = |number: u64| if number == 0 { String::new() } else { grouped(number) };
            let (parameters, macs) = (blank_zero(row.parameters as u64), blank_zero(row.macs));
            [path, row.kind.clone(), row.output.clone(), parameters, macs, field(row)]
        }));
        let mut widths = [0usize; 6];
        for row in &table {
            widths.iter_mut().zip(row).for_each(|(width, cell)| *width = (*width).max(cell.chars().count()));
        }
        let line = "─".repeat(widths.iter().sum::<usize>() + 2 * 5);
        for (number, row) in table.iter().enumerate() {
            let [path, kind, output, parameters, macs, field] = row;
            let [a, b, c, d, e, _] = widths;
            let text = format!("{path:a$}  {kind:b$}  {output:c$}  {parameters:>d$}  {macs:>e$}  {field}");
            writeln!(f, "{}", text.trim_end())?;
            if number == 0 || number == table.len() - 1 {
                writeln!(f, "{line}")?;
            }
        }
        // the totals
        let fixed = if self.fixed == 0 { String::new() } else { format!(" and {} fixed", grouped(self.fixed as u64)) };
        writeln!(f, "parameters: {} trained{fixed}, {}", grouped(self.trained as u64), bytes(self.parameter_bytes))?;
        writeln!(f, "multiply-accumulates a sample: {}", grouped(self.macs))?;
        let parameters = ("parameters", self.parameter_bytes);
        let inference = [("activations and prepared weights", self.inference_bytes), parameters];
        writeln!(f, "memory of inference for a batch of {}: {}", self.batch, sum(&inference))?;
        let Some(training) = self.training_bytes else { return write!(f, "no training step: there is no gradient") };
        let training = [
            ("activations, gradients and workspace", training),
            parameters,
            ("momentum", self.trained * size_of::<f32>()),
        ];
        write!(f, "memory of a training step for a batch of {}: {}", self.batch, sum(&training))
    }
}

/// Writes a total in bytes, and the bytes of each part.
fn sum(parts: &[(&str, usize)]) -> String {
    let all = parts.iter().fold(0usize, |sum, (_, count)| sum.saturating_add(*count));
    let parts: Vec<String> = parts.iter().map(|(what, count)| format!("{what} {}", bytes(*count))).collect();
    format!("{} ({})", bytes(all), parts.join(", "))
}

/// Writes 1234567 as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn bytes(count: usize) -> String {
    if count == usize::MAX {
        return "more than can be addressed".into();
    }
    let count = count as f64;
    match count {
        _ if count < 1024.0 => format!("{count} B"),
        _ if count < 1024.0 * 1024.0 => format!("{:.1} KiB", count / 1024.0),
        _ if count < 1024.0 * 1024.0 * 1024.0 => format!("{:.1} MiB", count / (1024.0 * 1024.0)),
        _ => format!("{:.2} GiB", count / (1024.0 * 1024.0 * 1024.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_easily() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!((bytes(12), bytes(2048), bytes(5 << 20)), ("12 B".into(), "2.0 KiB".into(), "5.0 MiB".into()));
        assert_eq!(bytes(usize::MAX), "more than can be addressed");
        assert_eq!(sum(&[("a", 1024), ("b and c", 512)]), "1.5 KiB (a 1.0 KiB, b and c 512 B)");
    }
}
