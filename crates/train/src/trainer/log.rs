//! A line of JSON for every epoch.

use super::EpochRecord;
use crate::{Error, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::HashMap,
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
        // A line that is lost is written again, without the time that it took.
        let numbered: HashMap<u64, &str> = old.lines().filter_map(|line| Some((epoch_of(line)?, line))).collect();
        let mut text = String::new();
        for record in history {
            match numbered.get(&(record.epoch + 1)) {
                Some(line) => text.push_str(line),
                None => text.push_str(&entry(record).to_string()),
            }
            text.push('\n');
        }
        ocelli_tensor::write_atomically(&log.path, |file| file.write_all(text.as_bytes()))?;
        Ok(log)
    }

    pub(super) fn append(&self, record: &EpochRecord, images_per_second: f64, seconds: f64) -> Result<()> {
        let mut line = entry(record);
        line["images_per_second"] = json!(images_per_second.round());
        line["seconds"] = json!((seconds * 1000.0).round() / 1000.0);
        // One write: a kill leaves no half of a line.
        let line = format!("{line}\n");
        let write = || OpenOptions::new().append(true).create(true).open(&self.path)?.write_all(line.as_bytes());
        let io = |source| Error::Tensor(ocelli_tensor::Error::Io { what: self.path.display().to_string(), source });
        write().map_err(io)
    }
}

/// What a record has to say; nothing in it depends on how long it took.
fn entry(record: &EpochRecord) -> Value {
    let train = &record.train;
    let mut line = json!({
        "epoch": record.epoch + 1,
        "learning_rate": record.learning_rate,
        "train_loss": train.loss(),
        "train_accuracy": train.top1(),
    });
    if let Some(validation) = &record.validation {
        line["validation_loss"] = json!(validation.loss());
        line["validation_accuracy"] = json!(validation.top1());
        line["validation_top5"] = json!(validation.top5());
    }
    line
}

/// The epoch that a line is about; `None` for what is no line of a log, such as half of one.
fn epoch_of(line: &str) -> Option<u64> {
    /// All else in a line is passed over without memory for it.
    #[derive(Deserialize)]
    struct Line {
        epoch: u64,
    }
    serde_json::from_str::<Line>(line).ok().map(|line| line.epoch)
}
