//! A plan in words.

use super::{Plan, PlanStep, Preparing};
use std::fmt::Write as _;

impl Plan {
    /// The steps in order, one a line: path, operation, result, where its first result lies in the arena, and how the
    /// kernel goes about it: the algorithm of each convolution and why.
    ///
    /// ```
    /// let model = ocelli_graph::Model::build(|x| x.relu().named("relu"), [3], 0)?;
    /// let text = model.plan(2, &["output"])?.explain();
    /// assert!(text.starts_with("2 samples, 1 steps"), "{text}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn explain(&self) -> String {
        let bytes = self.peak_bytes();
        let mut text = format!("{} samples, {} steps, {bytes} bytes of memory\n", self.batch, self.steps.len());
        let rows: Vec<[String; 4]> = self.steps.iter().map(row).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths = [width(0), width(1), width(2)];
        for (number, [path, kind, result, how]) in rows.iter().enumerate() {
            let [a, b, c] = widths;
            let line = format!("{number:>4}  {path:<a$}  {kind:<b$}  {result:<c$}  {how}");
            let _ = writeln!(text, "{}", line.trim_end());
        }
        text
    }
}

fn row(step: &PlanStep) -> [String; 4] {
    let x: Vec<Vec<usize>> = step.operands.iter().map(|operand| operand.shape.clone()).collect();
    let mut how: Vec<String> = step.op.explain(&x, &step.output_shapes).into_iter().collect();
    match step.preparing {
        Some(Preparing::Once) => how.push("weights prepared once".into()),
        Some(Preparing::EachRun) => how.push("weights prepared at each step".into()),
        None => {}
    }
    if step.is_in_place() {
        how.push("in place".into());
    }
    if step.accumulates() {
        how.push("added to what is there".into());
    }
    let piece = step.pieces.first().cloned().unwrap_or(0..0);
    let result = format!("{:?} at {}", step.output_shapes[0], piece.start * size_of::<f32>());
    [step.path.clone(), step.op.kind(), result, how.join("; ")]
}
