//! The container of the training state: magic, version, length, checksum, and a `bincode` payload.

mod bounded;

use crate::{Error, Result};
use bounded::decode;
use ocelli_tensor::write_atomically;
use serde::{Serialize, de::DeserializeOwned};
use std::{fs::File, io::Read, path::Path};

const MAGIC: &[u8; 8] = b"OCELLICK";
const VERSION: u32 = 1;
/// Magic, version, payload length, checksum.
const HEADER: usize = 8 + 4 + 8 + 4;

/// Writes a value as a container. The write is atomic: a kill at any moment leaves the old file or the new one.
///
/// # Errors
/// [`Error::Tensor`] if the file cannot be written, [`Error::Checkpoint`] if the value cannot be encoded.
pub fn write_container(path: impl AsRef<Path>, value: &impl Serialize) -> Result<()> {
    let path = path.as_ref();
    let wrong = |reason: String| Error::Checkpoint { path: path.display().to_string(), reason };
    let payload =
        bincode::serde::encode_to_vec(value, bincode::config::standard()).map_err(|error| wrong(error.to_string()))?;
    Ok(write_atomically(path, |file| {
        file.write_all(MAGIC)?;
        file.write_all(&VERSION.to_le_bytes())?;
        file.write_all(&(payload.len() as u64).to_le_bytes())?;
        file.write_all(&crc32fast::hash(&payload).to_le_bytes())?;
        file.write_all(&payload)
    })?)
}

/// Reads a container. Memory is allocated for what the file holds, whatever it claims: 1 MiB and eight bytes for each of the
/// file are the most.
///
/// # Errors
/// [`Error::Checkpoint`] for a file of another kind or version, a truncated, extended or damaged one, or one with another
/// content.
pub fn read_container<T: DeserializeOwned>(path: impl AsRef<Path>) -> Result<T> {
    let path = path.as_ref();
    let wrong = |reason: String| Error::Checkpoint { path: path.display().to_string(), reason };
    let mut bytes = Vec::new();
    let mut file = File::open(path).map_err(|error| wrong(error.to_string()))?;
    file.read_to_end(&mut bytes).map_err(|error| wrong(error.to_string()))?;
    if bytes.len() < MAGIC.len() || &bytes[..MAGIC.len()] != MAGIC {
        return Err(wrong("not a checkpoint of Ocelli".into()));
    }
    let Some((header, payload)) = bytes.split_at_checked(HEADER) else {
        return Err(wrong(format!("truncated: {} bytes, the header alone has {HEADER}", bytes.len())));
    };
    let number = |range: std::ops::Range<usize>| {
        header[range].iter().rev().fold(0u64, |number, byte| number << 8 | u64::from(*byte))
    };
    let (version, length, checksum) = (number(8..12), number(12..20), number(20..24));
    if version != u64::from(VERSION) {
        return Err(wrong(format!("has version {version}, this library reads version {VERSION}")));
    }
    if payload.len() as u64 != length {
        let state = if (payload.len() as u64) < length { "truncated" } else { "has bytes after its end" };
        return Err(wrong(format!("{state}: {} bytes of content, {length} expected", payload.len())));
    }
    if u64::from(crc32fast::hash(payload)) != checksum {
        return Err(wrong("damaged: the checksum does not match".into()));
    }
    let (value, read) =
        decode(payload).map_err(|error| wrong(format!("its content is not what was expected: {error}")))?;
    if read != payload.len() {
        return Err(wrong("its content is longer than was expected".into()));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn values_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.ocelli");
        let value = (vec![1.5f32, -0.0], "name".to_string(), u64::MAX);
        write_container(&path, &value).unwrap();
        assert_eq!(read_container::<(Vec<f32>, String, u64)>(&path).unwrap(), value);
    }

    #[test]
    fn broken_files_say_how() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.ocelli");
        write_container(&path, &vec![1.0f32; 100]).unwrap();
        let whole = fs::read(&path).unwrap();
        let error = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            let error = read_container::<Vec<f32>>(&path).unwrap_err().to_string();
            error.rsplit_once("state.ocelli: ").expect("the file is named").1.to_string()
        };
        assert_eq!(error(b"PK\x03\x04 a zip file"), "not a checkpoint of Ocelli");
        assert_eq!(error(b""), "not a checkpoint of Ocelli");
        assert_eq!(error(&whole[..15]), "truncated: 15 bytes, the header alone has 24");
        assert!(error(&whole[..whole.len() - 1]).starts_with("truncated: "));
        assert!(error(&[&whole[..], b"x"].concat()).starts_with("has bytes after its end: "));
        let mut damaged = whole.clone();
        damaged[60] ^= 1;
        assert_eq!(error(&damaged), "damaged: the checksum does not match");
        let mut newer = whole.clone();
        newer[8] = 9;
        assert_eq!(error(&newer), "has version 9, this library reads version 1");
        let mut lying = whole.clone();
        lying[12..20].fill(0xFF);
        assert!(error(&lying).starts_with("truncated: "));
        fs::write(&path, &whole).unwrap();
        assert!(read_container::<Vec<String>>(&path).is_err());
        fs::remove_file(&path).unwrap();
        assert!(read_container::<Vec<f32>>(&path).is_err());
    }

    #[test]
    fn a_string_that_claims_more_than_the_file_is_not_allocated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.ocelli");
        // One string of 50 GiB.
        let payload = [&[1u8, 253][..], &(50u64 << 30).to_le_bytes()].concat();
        let mut bytes = [&MAGIC[..], &VERSION.to_le_bytes(), &(payload.len() as u64).to_le_bytes()].concat();
        bytes.extend(crc32fast::hash(&payload).to_le_bytes());
        bytes.extend(payload);
        fs::write(&path, bytes).unwrap();
        let error = read_container::<Vec<String>>(&path).unwrap_err().to_string();
        assert!(error.contains("UnexpectedEnd"), "{error}");
    }

    /// Whatever the bytes, a broken file is an error and neither a panic nor a large allocation.
    #[test]
    fn every_damaged_byte_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.ocelli");
        write_container(&path, &vec![1.0f32; 20]).unwrap();
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x40;
            fs::write(&path, &damaged).unwrap();
            assert!(read_container::<Vec<f32>>(&path).is_err(), "byte {at}");
        }
    }
}
