//! Progress on standard error.

use crate::{
    EpochRecord,
    metric::{Measurement, MetricList},
};
use std::{io::IsTerminal, time::Instant};

/// The form in which progress is shown on standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    /// Bars are shown on a terminal, lines elsewhere.
    #[default]
    Auto,
    /// Every epoch has a bar, or a line without the feature `progress`.
    Bars,
    /// Every epoch has a line.
    Lines,
    /// Nothing is shown.
    Silent,
}

/// The progress of one run.
pub(crate) struct Reporter {
    shown: Progress,
    epochs: u64,
    #[cfg(feature = "progress")]
    samples: usize,
    started: Instant,
    #[cfg(feature = "progress")]
    bar: Option<indicatif::ProgressBar>,
}

impl Reporter {
    pub(crate) fn new(progress: Progress, epochs: u64, samples: usize) -> Reporter {
        let shown = match progress {
            Progress::Auto if std::io::stderr().is_terminal() => Progress::Bars,
            Progress::Auto => Progress::Lines,
            Progress::Bars if cfg!(not(feature = "progress")) => Progress::Lines,
            other => other,
        };
        let _ = samples;
        Reporter {
            shown,
            epochs,
            #[cfg(feature = "progress")]
            samples,
            started: Instant::now(),
            #[cfg(feature = "progress")]
            bar: None,
        }
    }

    /// Begins an epoch, `done` samples into it.
    pub(crate) fn begin(&mut self, epoch: u64, done: u64) {
        #[cfg(feature = "progress")]
        if self.shown == Progress::Bars {
            let template = "epoch {prefix} [{bar:30}] {pos:>6}/{len} {msg}  {per_sec} images/s, {eta} left";
            let style = indicatif::ProgressStyle::with_template(template)
                .unwrap_or_else(|_| indicatif::ProgressStyle::default_bar())
                .with_key("per_sec", |state: &indicatif::ProgressState, w: &mut dyn std::fmt::Write| {
                    let _ = write!(w, "{:.0}", state.per_sec());
                });
            let bar = indicatif::ProgressBar::new(self.samples as u64).with_style(style.progress_chars("=> "));
            bar.set_prefix(format!("{}/{}", epoch + 1, self.epochs));
            bar.set_position(done);
            bar.reset_eta();
            self.bar = Some(bar);
        }
        let _ = (epoch, done);
    }

    /// Shows the metrics of the epoch so far.
    pub(crate) fn step(&mut self, running: &Measurement, metrics: &MetricList<'_>) {
        #[cfg(feature = "progress")]
        if let Some(bar) = &self.bar {
            bar.set_position(running.samples());
            bar.set_message(metrics.format(&running.values(metrics)));
        }
        let _ = (running, metrics);
    }

    /// Ends an epoch with its line.
    pub(crate) fn end(&mut self, record: &EpochRecord, metrics: &MetricList<'_>, images_per_second: f64) {
        #[cfg(feature = "progress")]
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        if self.shown == Progress::Silent {
            return;
        }
        let train = metrics.format(&record.train);
        let validation = match &record.validation {
            Some(values) => format!(", validation {}", metrics.format(values)),
            None => String::new(),
        };
        eprintln!(
            "epoch {:>3}/{}: {train}{validation}; {images_per_second:.0} images/s, {:.1} s",
            record.epoch + 1,
            self.epochs,
            self.started.elapsed().as_secs_f64(),
        );
    }

    /// Shows a sentence between epochs.
    pub(crate) fn say(&mut self, sentence: &str) {
        #[cfg(feature = "progress")]
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        if self.shown != Progress::Silent {
            eprintln!("{sentence}");
        }
    }
}
