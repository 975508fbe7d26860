//! A plan in words.

use super::{OperandLocation, Plan, PlanStep};
use std::fmt::Write as _;

impl Plan {
    /// Describes the steps in order, one a line: path, operations, result, its bytes and its offset in the arena, and
    /// the algorithm of the kernel, with the reason for each convolution. In inference, the constants computed once
    /// from the parameters follow.
    ///
    /// ```
    /// let model = ocelli_graph::Model::build(|x| x.relu().named("relu"), [3], 0)?;
    /// let text = model.plan(2, &["output"])?.explain();
    /// assert!(text.starts_with("2 samples, 1 steps, 64 bytes of memory"), "{text}");
    /// assert!(text.contains("[2, 3], 24 bytes at 0"), "{text}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn explain(&self) -> String {
        let (bytes, steps) = (self.peak_bytes(), self.steps.len());
        let mut text = format!("{} samples, {steps} steps, {bytes} bytes of memory\n", self.batch);
        table(&mut text, &self.steps);
        if !self.constants.all().steps.is_empty() {
            let _ =
                writeln!(text, "once for each version of the parameters, {} bytes of these:", self.constant_bytes());
            table(&mut text, &self.constants.all().steps);
        }
        text
    }
}

fn table(text: &mut String, steps: &[PlanStep]) {
    let rows: Vec<[String; 4]> = steps.iter().map(row).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let [a, b, c] = [width(0), width(1), width(2)];
    for (number, [path, kind, result, how]) in rows.iter().enumerate() {
        let line = format!("{number:>4}  {path:<a$}  {kind:<b$}  {result:<c$}  {how}");
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

fn row(step: &PlanStep) -> [String; 4] {
    let piece = step.pieces.first().cloned().unwrap_or(0..0);
    let place = piece.start * size_of::<f32>();
    let result = format!("{:?}, {} bytes at {place}", step.output_shapes[0], step.result_bytes());
    [step.path.clone(), step.op.kind(), result, step.notes().join("; ")]
}

impl PlanStep {
    /// Size of its first result, in bytes.
    pub(super) fn result_bytes(&self) -> usize {
        self.pieces.first().map_or(0, |piece| piece.len() * size_of::<f32>())
    }

    /// Describes the algorithm of its kernel, in clauses.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> = self.compiled.note().map(str::to_string).into_iter().collect();
        if self.operands.iter().any(|operand| matches!(operand.location, OperandLocation::Prepared(_))) {
            notes.push("weights prepared once".into());
        }
        if self.prepares {
            notes.push("weights prepared at each step".into());
        }
        if self.is_in_place() {
            notes.push("in place".into());
        }
        if self.accumulates() {
            notes.push("added to what is there".into());
        }
        if self.has_workspace {
            let workspace = &self.pieces[self.output_shapes.len()];
            notes.push(format!("workspace of {} bytes", workspace.len() * size_of::<f32>()));
        }
        notes
    }
}
