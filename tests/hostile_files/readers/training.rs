//! What a training run leaves: containers, checkpoints and logs.

use super::{Answer, Read, Reader, answer};
use crate::{drawn::Seed, forms::container, held};
use ocelli::{
    prelude::{Accuracy, Adam, Batch, Dense, Model, Node, Tensor, Trace, Trainer, softmax_cross_entropy},
    tensor::Key,
    train::{EarlyStopping, Progress, read_container, write_container},
};
use std::{fs, path::Path};

/// Bytes of a container before its content.
const HEADER: usize = 24;
/// What the content of any container may take, such as a long history of a small network.
const ROOM: usize = 1 << 20;
/// What a run of the small network takes: its model, its objective with arena, and the optimiser.
const RUN: usize = 256 << 10;

type Content = (Vec<f32>, Vec<String>, Option<u64>, Vec<(u8, bool)>, Vec<Vec<u32>>);

fn network(x: &Node) -> Node {
    x.apply("fc", Dense::new(2))
}

fn loss(trace: &Trace) -> Node {
    softmax_cross_entropy(&trace.output(), &trace.labels("labels"))
}

/// Two epochs of one batch, from the checkpoint in `folder` if there is one.
fn run(folder: &Path) -> Answer {
    let mut model = Model::build(network, [3], 0).expect("a network of one layer");
    let labels = Tensor::from(vec![0u32, 1]);
    let batches = vec![Batch::new().with("input", Tensor::uniform([2, 3], Key::new(0))).with("labels", labels)];
    let trainer = Trainer::new(2).folder(folder).progress(Progress::Silent).metric(Accuracy::new());
    let trainer = trainer.early_stopping(EarlyStopping { patience: 5, min_delta: 0.0 }).restore_best().resume();
    answer(trainer.run(&mut model, loss, &mut Adam::new(0.1), &batches, Some(&batches)), |_| 0)
}

/// The file of this name in the folder of a run.
fn left_by_a_run(name: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    run(folder.path()).expect("a run of the small network");
    fs::read(folder.path().join(name)).expect("a file of the run")
}

/// Resumes a run that is complete but for one file.
fn resumed(folder: &Path, name: &'static str) -> Read {
    let folder = folder.to_path_buf();
    let others: Vec<(&str, Vec<u8>)> =
        ["checkpoint.ocelli", "log.jsonl"].iter().map(|other| (*other, left_by_a_run(other))).collect();
    Box::new(move |file: &Path| {
        for (other, bytes) in &others {
            fs::write(folder.join(other), bytes).expect("a temporary file");
        }
        fs::copy(file, folder.join(name)).expect("a temporary file");
        run(&folder)
    })
}

/// A container whose content claims a sequence of `length` elements.
fn claims(length: u64) -> Vec<u8> {
    container(&[vec![253], length.to_le_bytes().to_vec()])
}

pub const CONTAINER: Reader = Reader {
    name: "container",
    seeds: || {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("container");
        let content: Content = (vec![0.5; 3], vec!["a".into()], Some(7), vec![(1, true)], vec![vec![1, 2], vec![]]);
        write_container(&path, &content).expect("it is written");
        vec![Seed::new(container, [&fs::read(&path).expect("a temporary file")[HEADER..]])]
    },
    words: &[
        &[251, 0, 1],
        &[252, 0, 0, 1, 0],
        &[253, 0, 0, 0, 0, 1, 0, 0, 0],
        &[253, 255, 255, 255, 255, 255, 255, 255, 255],
    ],
    crafted: &[
        ("a million empty texts", || {
            container(&[vec![0, 252], 1_000_000u32.to_le_bytes().to_vec(), vec![0; 1_000_100]])
        }),
        ("a million texts that end too early", || {
            container(&[vec![0, 252], 1_000_001u32.to_le_bytes().to_vec(), vec![0; 1_000_000]])
        }),
        ("a list that claims 2^60 numbers", || claims(1 << 60)),
        ("a list that claims 1 GB", || claims(1 << 28)),
        ("a list that claims a megabyte", || claims(1 << 18)),
        ("a text that claims a megabyte", || container(&[vec![0, 1, 252], (1u32 << 20).to_le_bytes().to_vec()])),
        ("a text that claims 2^64 bytes", || container(&[vec![0, 1, 253], vec![0xFF; 8]])),
        ("a million empty lists", || {
            container(&[vec![0, 0, 0, 0, 252], 1_000_000u32.to_le_bytes().to_vec(), vec![0; 1_000_000]])
        }),
    ],
    prepare: |_| {
        Box::new(|file: &Path| {
            answer(read_container::<Content>(file), |(numbers, texts, _, pairs, lists)| {
                let texts: usize = texts.iter().map(|text| size_of::<String>() + text.len()).sum();
                let lists: usize = lists.iter().map(|list| size_of::<Vec<u32>>() + 4 * list.len()).sum();
                4 * numbers.len() + texts + 2 * pairs.len() + lists
            })
        })
    },
    held: held::nothing_more,
    own: ROOM,
};

pub const CHECKPOINT: Reader = Reader {
    name: "checkpoint",
    seeds: || vec![Seed::new(container, [&left_by_a_run("checkpoint.ocelli")[HEADER..]])],
    words: &[
        &[251, 255, 255],
        &[252, 0, 0, 1, 0],
        &[253, 255, 255, 255, 255, 255, 255, 255, 255],
        b"fc.weight",
        &[0],
        &[1],
    ],
    crafted: &[
        ("a list that claims 2^60 settings", || claims(1 << 60)),
        ("a million settings without texts", || {
            container(&[vec![252], 1_000_000u32.to_le_bytes().to_vec(), vec![0; 2_000_000]])
        }),
        ("a million parameters without name and data", || {
            container(&[vec![0, 252], 1_000_000u32.to_le_bytes().to_vec(), vec![0; 3_000_000]])
        }),
        ("a million parameters that end too early", || {
            container(&[vec![0, 252], 1_000_000u32.to_le_bytes().to_vec(), vec![0; 2_000_000]])
        }),
    ],
    prepare: |folder| resumed(folder, "checkpoint.ocelli"),
    held: held::nothing_more,
    own: RUN + ROOM,
};

pub const RUN_LOG: Reader = Reader {
    name: "run_log",
    seeds: || vec![Seed::plain(left_by_a_run("log.jsonl"))],
    words: &[b"{", b"}", b"[", b"]", b"\n", b"\"epoch\":", b"1", b"2", b"\"", b"\\u0000", b"1e999"],
    crafted: &[
        ("100,000 brackets", || vec![b'['; 100_000]),
        ("a million empty lines", || vec![b'\n'; 1_000_000]),
        ("100,000 lines of epochs", || {
            (0..100_000).flat_map(|epoch| format!("{{\"epoch\":{epoch}}}\n").into_bytes()).collect()
        }),
        ("a line of a megabyte for an epoch that is not", || {
            format!("{{\"epoch\":9,\"a\":\"{}\"}}", "a".repeat(1 << 20)).into_bytes()
        }),
        ("a line of a million numbers", || format!("{{\"epoch\":1,\"a\":[{}0]}}", "0,".repeat(1_000_000)).into_bytes()),
        ("bytes that are no text", || vec![0xFF; 1 << 20]),
    ],
    prepare: |folder| resumed(folder, "log.jsonl"),
    held: held::nothing_more,
    own: RUN,
};
