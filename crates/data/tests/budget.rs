//! Small files take little memory, whatever they claim.

#![cfg(feature = "images")]

use ocelli_data::{Pipeline, cifar10, idx, image_files::load_archive};
use peak_alloc::PeakAlloc;
use std::{fs, path::Path};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Bytes that every read may take, and those for each byte of the file.
const FLOOR: usize = 64 << 10;
const RATIO: usize = 8;

/// Measures the most memory that reading a file took at one time, in addition to what was held before.
fn peak<T, E>(read: impl FnOnce() -> Result<T, E>) -> (usize, bool) {
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    let whole = read().is_ok();
    (MEMORY.peak_usage() - before, whole)
}

/// A file, and the number of bytes of its pixels; 0 where it only claims them.
struct Sample {
    name: String,
    bytes: Vec<u8>,
    pixels: usize,
}

/// Returns every file of the tests, and files that claim much and hold little.
fn samples() -> Vec<Sample> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files");
    let real = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).map(|path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // The archives hold two images of 83 × 61 pixels, no other file has more than 64 × 64.
        let pixels = if name.ends_with(".gz") { 2 * 83 * 61 * 3 } else { 64 * 64 * 3 };
        Sample { name, bytes: fs::read(path).unwrap(), pixels }
    });
    let idx = |sizes: &[u32]| {
        let sizes: Vec<u8> = sizes.iter().flat_map(|size| size.to_be_bytes()).collect();
        [&[0, 0, 8, (sizes.len() / 4) as u8], &sizes[..]].concat()
    };
    let bitmap = b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\0\x40\0\0\0\x10\0\0\x01\0\x18\0";
    let claims = [
        ("images", idx(&[1 << 10, 64, 64])),
        ("labels", idx(&[1 << 20])),
        ("records.bin", vec![3; 3073]),
        ("claim.pgm", b"P5 16384 4096 255 ".to_vec()),
        ("claim.bmp", [&bitmap[..], &[0; 60]].concat()),
        // A size of 2²⁶ pixels, in a header with its checksum, and no data.
        (
            "claim.png",
            b"\x89PNG\r\n\x1A\n\0\0\0\x0DIHDR\0\0\x40\0\0\0\x10\0\x08\x06\0\0\0\x8A\x1D\xF9\x33\0\0\0\0IDAT\x35\xAF\x06\x1E\
              \0\0\0\0IEND\xAE\x42\x60\x82"
                .to_vec(),
        ),
    ];
    let claims = claims.into_iter().map(|(name, bytes)| Sample { name: name.into(), bytes, pixels: 0 });
    real.chain(claims).collect()
}

#[test]
fn a_damaged_file_takes_little_more_memory_than_its_length() {
    let folder = tempfile::tempdir().unwrap();
    let whole = Pipeline::new();
    for Sample { name, bytes, pixels } in samples() {
        let path = folder.path().join(&name);
        for cut in [bytes.len(), bytes.len() - 1, bytes.len() / 2, bytes.len() / 3] {
            for flipped in 0..20 {
                let mut damaged = bytes[..cut].to_vec();
                if let Some(byte) = damaged.get_mut(flipped * 37 % cut.max(1)).filter(|_| flipped > 0) {
                    *byte ^= 1 << (flipped % 8);
                }
                fs::write(&path, &damaged).unwrap();
                let reads = [
                    peak(|| whole.load(&path)),
                    peak(|| idx::read_images(&path)),
                    peak(|| idx::read_labels(&path)),
                    peak(|| cifar10::read(&[&path])),
                    peak(|| load_archive(&path, vec!["cat".into(), "dog".into()])),
                ];
                for (reader, (peak, _)) in reads.into_iter().enumerate().filter(|(_, (_, whole))| !whole) {
                    let limit = FLOOR + RATIO * (damaged.len() + pixels);
                    assert!(peak <= limit, "{name}, {cut} bytes, {flipped}, reader {reader}: {peak} of {limit}");
                }
            }
        }
    }
}
