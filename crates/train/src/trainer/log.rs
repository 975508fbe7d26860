//! A line of JSON for every epoch.

use super::EpochRecord;
use crate::{Error, Result};
use serde_json::json;
use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

/// `log.jsonl` in the folder of a run.
pub(super) struct Log {
    path: PathBuf,
}

impl Log {
    /// The log with the lines of the epochs in `history` and no others: what a run wrote after its checkpoint is written
    /// again when it is resumed.
    pub(super) fn open(folder: &Path, history: &[EpochRecord]) -> Result<Log> {
        let log = Log { path: folder.join("log.jsonl") };
        let old = fs::read_to_string(&log.path).unwrap_or_default();
        let kept: Vec<&str> = old.lines().take(history.len()).collect();
        let mut text = kept.join("\n");
        if !text.is_empty() {
            text.push('\n');
        }
        ocelli_tensor::write_atomically(&log.path, |file| file.write_all(text.as_bytes()))?;
        Ok(log)
    }

    pub(super) fn append(&self, record: &EpochRecord, images_per_second: f64, seconds: f64) -> Result<()> {
        let train = &record.train;
        let mut line = json!({
            "epoch": record.epoch + 1,
            "learning_rate": record.learning_rate,
            "train_loss": train.loss(),
            "train_accuracy": train.top1(),
            "images_per_second": images_per_second.round(),
            "seconds": (seconds * 1000.0).round() / 1000.0,
        });
        if let Some(validation) = &record.validation {
            line["validation_loss"] = json!(validation.loss());
            line["validation_accuracy"] = json!(validation.top1());
            line["validation_top5"] = json!(validation.top5());
        }
        let write = || {
            let mut file = OpenOptions::new().append(true).create(true).open(&self.path)?;
            writeln!(file, "{line}")
        };
        let io = |source| Error::Tensor(ocelli_tensor::Error::Io { what: self.path.display().to_string(), source });
        write().map_err(io)
    }
}
