//! No bytes make the reader panic, and none make it allocate more than they could fill.

use super::torch_writer::*;
use crate::weights::{
    WeightFile,
    budget::Budget,
    pickle::{Pickle, PickleError},
};
use proptest::prelude::*;

/// Runs a pickle that is a part of a file of `file_len` bytes.
fn unpickle(mut program: &[u8], file_len: u64) -> Result<Pickle, PickleError> {
    let len = program.len() as u64;
    crate::weights::pickle::unpickle(&mut program, len, &mut Budget::for_file(file_len))
}

/// Makes a file with everything that the reader knows.
fn good() -> TorchFile {
    let numbers: Vec<f32> = (0..60).map(|i| i as f32).collect();
    let tensors = vec![
        ("conv.weight".to_string(), view(0, 0, &[5, 3, 2, 2], &[12, 4, 2, 1])),
        ("fc.weight".to_string(), view(0, 0, &[6, 10], &[1, 6])),
        ("fc.bias".to_string(), view(1, 1, &[2], &[1])),
    ];
    TorchFile {
        root: dict([("state_dict", Py::Ordered(tensors)), ("epoch", Py::Int(70_000)), ("best", Py::Float(0.1))]),
        storages: vec![floats(&numbers), Storage { class: "HalfStorage", len: 3, bytes: vec![1; 6] }],
    }
}

fn safetensors() -> Vec<u8> {
    let header = br#"{"__metadata__":{"a":"b"},"x":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},
        "y":{"dtype":"BF16","shape":[2],"data_offsets":[24,28]}}"#;
    [&(header.len() as u64).to_le_bytes()[..], header, &[7; 28]].concat()
}

/// The names that the pickle machine knows.
const OPERATIONS: &[u8] =
    b"(012NKMJGUXTCB)tl]ae}dsuqrhjcRbQ.\x80\x81\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8d\x8e\x93\x94\x95";

/// Reads all that there is; whatever it is, it is within what the file could hold.
fn read_all(bytes: Vec<u8>) {
    // Numbers of one byte become numbers of four; deflate packs a thousand bytes into one; small views may be expanded.
    let most = bytes.len() * 4 * 1032 + (1 << 20);
    let Ok(mut file) = WeightFile::from_bytes("w", bytes) else { return };
    let names: Vec<String> = file.tensors().map(|(name, _)| name.to_string()).collect();
    for name in names {
        if let Ok(tensor) = file.read(&name) {
            assert!(tensor.len() <= most);
        }
    }
}

#[test]
fn every_truncation() {
    let mut files: Vec<Vec<u8>> = good().forms().into_iter().map(|(_, bytes)| bytes).collect();
    files.push(safetensors());
    for bytes in files {
        for len in 0..bytes.len() {
            assert!(WeightFile::from_bytes("w", &bytes[..len]).is_err(), "{len} of {} bytes", bytes.len());
        }
    }
}

#[test]
fn every_byte_changed() {
    let mut files: Vec<Vec<u8>> = good().forms().into_iter().map(|(_, bytes)| bytes).collect();
    files.push(safetensors());
    for bytes in files {
        for place in 0..bytes.len() {
            for change in [1, 0x80, 0xFF] {
                let mut bytes = bytes.clone();
                bytes[place] ^= change;
                read_all(bytes);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn several_bytes_changed(
        form in 0..6usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = good().forms().into_iter().map(|(_, bytes)| bytes).nth(form).unwrap_or_else(safetensors);
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        read_all(bytes);
    }

    /// Programs of operations that exist, with any arguments.
    #[test]
    fn any_program(
        program in prop::collection::vec(prop_oneof![
            3 => prop::sample::select(OPERATIONS.to_vec()),
            1 => any::<u8>(),
        ], 0..200)
    ) {
        let _ = unpickle(&program, program.len() as u64);
    }
}

/// Values that are in themselves, and a million tuples in each other, are no reason to recurse.
#[test]
fn nesting_without_end() {
    let deep = [&[0x80, 2, b')'][..], &vec![0x85; 1_000_000], b"."].concat();
    unpickle(&deep, 1 << 30).unwrap();
    let circular = [&[0x80, 2][..], b"}q\x00X\x01\x00\x00\x00ah\x00s."].concat();
    unpickle(&circular, circular.len() as u64).unwrap();
    let endless = vec![b'N'; 5 << 20];
    let error = unpickle(&endless, endless.len() as u64).unwrap_err();
    assert!(matches!(&error, PickleError::Broken(reason) if reason.contains("bytes of memory")), "{error:?}");
}
