//! The log of a run: a line of JSON for every epoch.

use super::EpochRecord;
use crate::{Error, MetricValues, Result, tensorboard::EventFile};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::{
    collections::HashMap,
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

/// `log.jsonl` in the folder of a run, and the events for TensorBoard if they are wanted.
pub(super) struct Log {
    path: PathBuf,
    events: Option<EventFile>,
}

impl Log {
    /// Opens the log, and cuts it to the lines of the epochs in `history`: a resumed run writes again what it wrote after its
    /// checkpoint.
    pub(super) fn open(folder: &Path, history: &[EpochRecord], events: Option<EventFile>) -> Result<Log> {
        let log = Log { path: folder.join("log.jsonl"), events };
        let old = fs::read_to_string(&log.path).unwrap_or_default();
        // A line that is lost is written again, without the time that it took.
        let numbered: HashMap<u64, &str> = old.lines().filter_map(|line| Some((epoch_of(line)?, line))).collect();
        let mut text = String::new();
        for record in history {
            match numbered.get(&(record.epoch + 1)) {
                Some(line) => text.push_str(line),
                None => text.push_str(&Value::Object(entry(record)).to_string()),
            }
            text.push('\n');
        }
        ocelli_tensor::write_atomically(&log.path, |file| file.write_all(text.as_bytes()))?;
        Ok(log)
    }

    /// Adds the line of an epoch, with the time that it took.
    pub(super) fn append(&mut self, record: &EpochRecord, images_per_second: f64, seconds: f64) -> Result<()> {
        let mut line = entry(record);
        line.insert("images_per_second".into(), json!(images_per_second.round()));
        line.insert("seconds".into(), json!((seconds * 1000.0).round() / 1000.0));
        // One write: a kill leaves no half of a line.
        let line = format!("{}\n", Value::Object(line));
        let write = || OpenOptions::new().append(true).create(true).open(&self.path)?.write_all(line.as_bytes());
        write().map_err(|source| Error::io(&self.path, source))?;
        match &mut self.events {
            Some(events) => events.append(record.epoch + 1, scalars(record)),
            None => Ok(()),
        }
    }
}

/// Returns the entries of a record, which do not depend on the time that it took.
fn entry(record: &EpochRecord) -> Map<String, Value> {
    let mut line = Map::new();
    line.insert("epoch".into(), json!(record.epoch + 1));
    line.insert("learning_rate".into(), json!(record.learning_rate));
    let mut insert = |kind: &str, values: &MetricValues| {
        line.extend(values.iter().map(|(name, value)| (format!("{kind}_{name}"), json!(value))));
    };
    insert("train", &record.train);
    if let Some(validation) = &record.validation {
        insert("validation", validation);
    }
    line
}

/// Returns the numbers of a record by the names under which TensorBoard groups them.
fn scalars(record: &EpochRecord) -> Vec<(String, f64)> {
    let named = |kind: &'static str, values: &MetricValues| {
        values.iter().map(|(name, value)| (format!("{name}/{kind}"), value)).collect::<Vec<_>>()
    };
    let validation = record.validation.iter().flat_map(|values| named("validation", values));
    let rate = ("learning_rate".to_string(), f64::from(record.learning_rate));
    named("train", &record.train).into_iter().chain(validation).chain([rate]).collect()
}

/// Returns the epoch of a line, or `None` if it is not a line of a log, such as half of one.
fn epoch_of(line: &str) -> Option<u64> {
    /// The rest of a line is skipped without memory for it.
    #[derive(Deserialize)]
    struct Line {
        epoch: u64,
    }
    serde_json::from_str::<Line>(line).ok().map(|line| line.epoch)
}
