//! The learning curves of a classifier.

use ocelli::{
    plot::{self, Chart, Corner, Scale, charts},
    train::Report,
};
use std::path::Path;

/// Draws loss and accuracy of training and validation by epoch, beside each other.
pub fn draw(report: &Report, path: &Path) -> plot::Result<()> {
    let chart = |title: &str, metric: &str, factor: f64| {
        let scaled = |points: Vec<(f64, f64)>| points.into_iter().map(move |(epoch, value)| (epoch, factor * value));
        Chart::new(title)
            .x_label("epoch")
            .series("training", scaled(report.train(metric)))
            .series("validation", scaled(report.validation(metric)))
    };
    let loss = chart("loss", "loss", 1.0).scale(Scale::Logarithmic);
    charts(&[loss, chart("accuracy, %", "accuracy", 100.0).legend(Corner::LowerRight)], path)
}
