//! Galleries of embeddings.

use super::{Reader, answer};
use crate::{drawn::Seed, forms::container, held};
use ocelli::vision::Gallery;
use std::{fs, path::Path};

/// Bytes of a container before its content.
const HEADER: usize = 24;
/// What the content of any container may take.
const ROOM: usize = 1 << 20;

/// The name of the kind, a fingerprint of 0, `features`, a threshold of 1, and what follows.
fn gallery(features: u8, rest: &[Vec<u8>]) -> Vec<u8> {
    let kind = b"gallery of embeddings";
    let head = [&[kind.len() as u8], &kind[..], &[0, features], &1f32.to_le_bytes()].concat();
    container(&[&[head], rest].concat())
}

/// The number of elements of a sequence.
fn count(elements: u32) -> Vec<u8> {
    [&[252], &elements.to_le_bytes()[..]].concat()
}

pub const GALLERY: Reader = Reader {
    name: "gallery",
    seeds: || {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("people.gallery");
        let mut people = Gallery::new(7, 2, 0.5);
        for (name, embedding) in [("ann", [1.0, 0.0]), ("bob", [0.0, 1.0]), ("ann", [0.9, 0.1])] {
            people.enrol(name, &embedding).expect("an embedding of two features");
        }
        people.save(&path).expect("it is written");
        vec![Seed::new(container, [&fs::read(&path).expect("a temporary file")[HEADER..]])]
    },
    words: &[
        &[0],
        &[1],
        &[2],
        &[3],
        b"ann",
        &[251, 0, 1],
        &[252, 0, 0, 1, 0],
        &[253, 255, 255, 255, 255, 255, 255, 255, 255],
    ],
    crafted: &[
        ("names that end too early", || gallery(1, &[count(1_000_000), vec![0; 900_000]])),
        ("100,000 people without a name", || gallery(1, &[count(100_000), vec![0; 100_002]])),
        ("200,000 names, and two of them are one", || {
            let names = (0..200_000).flat_map(|i| format!("\u{8}{:08}", i.min(199_998)).into_bytes()).collect();
            gallery(1, &[count(200_000), names, vec![0, 0]])
        }),
        ("200,000 people without an embedding", || {
            let names = (0..200_000).flat_map(|i| format!("\u{8}{i:08}").into_bytes()).collect();
            gallery(1, &[count(200_000), names, vec![0, 0]])
        }),
        ("a million embeddings of nobody", || {
            gallery(1, &[vec![0], count(1_000_000), vec![0; 1_000_000], count(1_000_000), vec![0; 4_000_000]])
        }),
        ("embeddings of no features", || gallery(0, &[vec![1, 1, b'a'], count(100_000), vec![0; 100_001]])),
        ("an embedding for half a million entries of one person", || {
            let people = vec![0; 500_000];
            gallery(1, &[vec![1, 1, b'a'], count(500_000), people, count(500_000), vec![0; 2_000_000]])
        }),
    ],
    prepare: |_| {
        Box::new(|file: &Path| {
            answer(Gallery::load_any(file), |people| {
                let names: usize = people.names().iter().map(|name| 2 * (size_of::<String>() + name.len())).sum();
                names + 8 * people.len() * (people.features() + 1)
            })
        })
    },
    held: held::nothing_more,
    own: ROOM,
};
