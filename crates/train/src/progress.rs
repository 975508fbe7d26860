//! What a person sees while training.

use crate::{EpochRecord, Scores};
use std::{io::IsTerminal, time::Instant};

/// How progress is shown, on standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    /// Bars on a terminal, lines elsewhere.
    #[default]
    Auto,
    /// A bar for each epoch. Without the feature `progress` they are lines.
    Bars,
    /// A line for each epoch.
    Lines,
    /// Nothing.
    Silent,
}

/// Shows one run.
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

    /// An epoch begins, `done` samples into it.
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

    /// A step is done.
    pub(crate) fn step(&mut self, scores: &Scores) {
        #[cfg(feature = "progress")]
        if let Some(bar) = &self.bar {
            bar.set_position(scores.samples());
            bar.set_message(format!("loss {:.4}, accuracy {:.2} %", scores.loss(), 100.0 * scores.top1()));
        }
        let _ = scores;
    }

    /// An epoch is done.
    pub(crate) fn end(&mut self, record: &EpochRecord, images_per_second: f64) {
        #[cfg(feature = "progress")]
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        if self.shown == Progress::Silent {
            return;
        }
        let train = &record.train;
        let validation = record.validation.map_or(String::new(), |scores| {
            format!(", validation loss {:.4}, accuracy {:.2} %", scores.loss(), 100.0 * scores.top1())
        });
        eprintln!(
            "epoch {:>3}/{}: loss {:.4}, accuracy {:.2} %{validation}; {images_per_second:.0} images/s, {:.1} s",
            record.epoch + 1,
            self.epochs,
            train.loss(),
            100.0 * train.top1(),
            self.started.elapsed().as_secs_f64(),
        );
    }

    /// Something to say in between.
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
