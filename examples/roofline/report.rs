//! The rows that are printed and written.

use ocelli::tensor::write_atomically;
use serde::Serialize;
use serde_json::{Value, json};
use std::{fmt, path::Path};

use super::shapes::Network;
use super::shapes::layer::{Convolution, Dense, Layer, Operation};

/// The measurement of one layer in one pass.
#[derive(Serialize)]
pub struct Row {
    pub net: &'static str,
    pub layer: String,
    pub pass: &'static str,
    pub batch: usize,
    pub threads: usize,
    pub isa: &'static str,
    pub algorithm: &'static str,
    pub ms: f64,
    pub gflops: f64,
    pub peak_share: f64,
}

impl Row {
    /// Returns the names of the columns of [`line`](Self::line).
    pub fn header() -> String {
        format!(
            "{:28}{:>6}  {:8}{:>6}  {:14}{:>10}{:>10}{:>9}{:>9}",
            "layer", "count", "pass", "batch", "algorithm", "ms", "GFLOP/s", "of peak", "of copy"
        )
    }

    /// Formats the row. `copy_share` is the share of the bandwidth of a copy, each operand counted once.
    pub fn line(&self, count: usize, copy_share: f64) -> String {
        let Self { layer, pass, batch, algorithm, ms, gflops, peak_share, .. } = self;
        format!(
            "{layer:28}{count:>6}  {pass:8}{batch:>6}  {algorithm:14}{ms:>10.3}{gflops:>10.1}{peak_share:>9.3}{copy_share:>9.3}"
        )
    }
}

/// The sums over all rows of one pass.
#[derive(Default)]
pub struct Summary {
    rows: usize,
    milliseconds: f64,
    gflop: f64,
    /// Sum of the logarithms of the shares.
    logarithms: f64,
}

impl Summary {
    /// Adds a layer as often as the network has it.
    pub fn add(&mut self, layer: &Layer, row: &Row) {
        self.rows += 1;
        self.milliseconds += layer.count as f64 * row.ms;
        self.gflop += layer.count as f64 * row.ms * row.gflops / 1e3;
        self.logarithms += row.peak_share.ln();
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rows == 0 {
            return f.write_str("no such layers");
        }
        let rate = self.gflop / self.milliseconds * 1e3;
        let mean = (self.logarithms / self.rows as f64).exp();
        let label = "all, as often as they occur; geometric mean of the shares";
        write!(f, "{label:64}{:>10.3}{rate:>10.1}{mean:>9.3}", self.milliseconds)
    }
}

/// Returns the sizes of all layers.
pub fn shapes(network: &Network) -> Vec<Value> {
    let net = network.name;
    let shape = |Layer { name, operation, batch, count }: &Layer| match operation {
        Operation::Convolution(Convolution { input, filter, stride, padding, groups }) => json!({
            "net": net, "layer": name, "count": count, "batch": batch,
            "input": input, "filter": filter, "stride": stride, "padding": padding, "groups": groups,
        }),
        Operation::Dense(Dense { inputs, outputs }) => json!({
            "net": net, "layer": name, "count": count, "batch": batch, "inputs": inputs, "outputs": outputs,
        }),
    };
    network.layers.iter().map(shape).collect()
}

/// Writes a list as JSON with one element on each line.
pub fn write<T: Serialize>(path: &Path, rows: &[T]) -> ocelli::Result<()> {
    let lines = rows.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>().map_err(ocelli::Error::other)?;
    Ok(write_atomically(path, |file| writeln!(file, "[\n{}\n]", lines.join(",\n")))?)
}
