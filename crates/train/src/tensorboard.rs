//! Files of events for TensorBoard: scalars by step.
//!
//! Such a file is a list of records, each a length, the masked CRC-32C of the length, an `Event` in the format of protocol
//! buffers, and the masked CRC-32C of that (TensorFlow's `tfrecord` format, `event.proto` and `summary.proto`).

use crate::Result;
use ocelli_tensor::write_atomically;
use std::{path::PathBuf, time::SystemTime};

/// A file of events, which is written as a whole each time: a run has a few kilobytes of them.
pub(crate) struct EventFile {
    path: PathBuf,
    records: Vec<u8>,
}

impl EventFile {
    /// Begins a new file in a folder. Its name has the time, so that TensorBoard reads the files of a run that was resumed
    /// one after the other.
    pub(crate) fn new(folder: &std::path::Path) -> EventFile {
        let path = folder.join(format!("events.out.tfevents.{:.0}.ocelli", seconds() * 1e3));
        let mut file = EventFile { path, records: Vec::new() };
        // Event { wall_time = 1, file_version = 3 }
        let mut event = Vec::new();
        double(&mut event, 1, seconds());
        bytes(&mut event, 3, b"brain.Event:2");
        file.record(&event);
        file
    }

    /// Adds the values of a step, and writes the file.
    pub(crate) fn append(&mut self, step: u64, values: impl IntoIterator<Item = (String, f64)>) -> Result<()> {
        // Event { wall_time = 1, step = 2, summary = 5: Summary { value = 1: Value { tag = 1, simple_value = 2 } } }
        let mut summary = Vec::new();
        for (name, value) in values {
            let mut scalar = Vec::new();
            bytes(&mut scalar, 1, name.as_bytes());
            scalar.push(2 << 3 | 5);
            scalar.extend((value as f32).to_le_bytes());
            bytes(&mut summary, 1, &scalar);
        }
        let mut event = Vec::new();
        double(&mut event, 1, seconds());
        event.push(2 << 3);
        number(&mut event, step);
        bytes(&mut event, 5, &summary);
        self.record(&event);
        Ok(write_atomically(&self.path, |file| file.write_all(&self.records))?)
    }

    fn record(&mut self, event: &[u8]) {
        let length = (event.len() as u64).to_le_bytes();
        self.records.extend(length);
        self.records.extend(masked_crc(&length).to_le_bytes());
        self.records.extend(event);
        self.records.extend(masked_crc(event).to_le_bytes());
    }
}

/// Seconds since 1970.
fn seconds() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// Writes a number in seven bits a byte, the lowest first.
fn number(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7F {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Writes field `tag` of 64 bits.
fn double(out: &mut Vec<u8>, tag: u8, value: f64) {
    out.push(tag << 3 | 1);
    out.extend(value.to_le_bytes());
}

/// Writes field `tag` of bytes: a text or a message.
fn bytes(out: &mut Vec<u8>, tag: u8, value: &[u8]) {
    out.push(tag << 3 | 2);
    number(out, value.len() as u64);
    out.extend(value);
}

/// The CRC-32C (Castagnoli) of some bytes, rotated and moved as TensorFlow masks it.
fn masked_crc(data: &[u8]) -> u32 {
    crc32c(data).rotate_right(15).wrapping_add(0xA282_EAD8)
}

/// The CRC-32C, bit by bit: records are short.
fn crc32c(data: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82F6_3B78 } else { crc >> 1 };
    !data.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), step))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check value of the CRC catalogue, and the header of every file of events as TensorFlow writes it.
    #[test]
    fn checksums_are_the_published_ones() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
        assert_eq!(masked_crc(&24u64.to_le_bytes()).to_le_bytes(), [0xA3, 0x7F, 0x4B, 0x22]);
    }

    #[test]
    fn numbers_take_seven_bits_a_byte() {
        let written = |value| {
            let mut out = Vec::new();
            number(&mut out, value);
            out
        };
        assert_eq!((written(0), written(127), written(300)), (vec![0], vec![127], vec![0xAC, 2]));
    }

    #[test]
    fn records_follow_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = EventFile::new(folder.path());
        file.append(1, [("train/loss".to_string(), 0.5)]).unwrap();
        file.append(2, [("train/loss".to_string(), 0.25)]).unwrap();
        let written = std::fs::read(&file.path).unwrap();
        let (mut rest, mut events) = (&written[..], Vec::new());
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            assert_eq!(rest[8..12], masked_crc(&rest[..8]).to_le_bytes());
            let event = &rest[12..12 + length];
            assert_eq!(rest[12 + length..16 + length], masked_crc(event).to_le_bytes());
            events.push(event.to_vec());
            rest = &rest[16 + length..];
        }
        assert_eq!(events.len(), 3);
        assert!(events[0].ends_with(b"\x1A\x0Dbrain.Event:2"));
        let value = [b"\x0A\x0Atrain/loss\x15" as &[u8], &0.25f32.to_le_bytes()].concat();
        assert!(events[2].ends_with(&value) && events[2][9..11] == [0x10, 2]);
    }
}
