//! Arrays of NumPy.

use super::{Reader, all, answer};
use crate::{drawn::Seed, held};
use ocelli::tensor::Tensor;
use std::path::Path;

fn with_header(header: &str) -> Vec<u8> {
    [b"\x93NUMPY\x01\0", &(header.len() as u16).to_le_bytes()[..], header.as_bytes()].concat()
}

fn shaped(shape: &str) -> Vec<u8> {
    with_header(&format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}\n"))
}

pub const NPY: Reader = Reader {
    name: "npy",
    seeds: || {
        let mut floats = Vec::new();
        Tensor::<f32>::full([2, 3], 0.5).write_npy(&mut floats).expect("memory takes all bytes");
        let mut labels = Vec::new();
        Tensor::from(vec![1u32, 2]).write_npy(&mut labels).expect("memory takes all bytes");
        let second = [b"\x93NUMPY\x02\0\x76\0\0\0", &floats[10..]].concat();
        vec![Seed::plain(floats), Seed::plain(labels), Seed::plain(second)]
    },
    words: &[
        b"'descr':",
        b"'fortran_order':",
        b"'shape':",
        b"(",
        b")",
        b",",
        b"'<f4'",
        b"'<u4'",
        b"True",
        b"\x93NUMPY",
    ],
    crafted: &[
        ("a shape of 16 GB", || shaped("4294967296,")),
        ("a shape of 2^128 elements", || shaped("18446744073709551615, 18446744073709551615")),
        ("a shape with a zero beside 2^128", || shaped("18446744073709551615, 18446744073709551615, 0")),
        ("30,000 axes", || shaped(&"1,".repeat(30_000))),
        ("a header that claims 4 GB", || [&b"\x93NUMPY\x02\0"[..], &u32::MAX.to_le_bytes()].concat()),
        ("a header of 60,000 brackets", || with_header(&"(".repeat(60_000))),
    ],
    prepare: |_| {
        Box::new(|file: &Path| {
            all([
                answer(Tensor::<f32>::load_npy(file), |tensor| 4 * tensor.len()),
                answer(Tensor::<u32>::load_npy(file), |tensor| 4 * tensor.len()),
            ])
        })
    },
    held: held::nothing_more,
    own: 0,
};
