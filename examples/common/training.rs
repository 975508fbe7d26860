//! Helpers of the examples that train classifiers: the last line of a run.

use super::say;
use ocelli::train::{Evaluation, Report};
use std::{io, time::Instant};

/// Prints the test accuracy of a run, the only result that is not known before its end.
pub fn say_accuracy(evaluation: &Evaluation, report: &Report, started: Instant) -> io::Result<()> {
    let (right, all) = (evaluation.confusion.correct(), evaluation.confusion.samples());
    let share = evaluation.confusion.accuracy().unwrap_or(0.0);
    let (epochs, seconds) = (report.history.len(), started.elapsed().as_secs_f64());
    say(format!("test accuracy: {share:.4} ({right} of {all}), {epochs} epochs, {seconds:.1} s"))
}
