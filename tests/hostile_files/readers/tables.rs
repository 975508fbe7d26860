//! Tables of samples: the idx files of MNIST and the records of CIFAR-10.

use super::{Answer, Reader, all, answer};
use crate::{
    drawn::Seed,
    forms::{gzip, plain},
    held,
};
use ocelli::data::{Dataset, Error, Images, cifar10, idx};
use std::{fs, path::Path};

/// The head of a gzip stream, beside the unpacker and its buffer, which take nearly 64 KiB.
const GZIP: usize = 4 << 10;

fn header(kind: u8, sizes: &[u32]) -> Vec<u8> {
    let sizes = sizes.iter().flat_map(|size| size.to_be_bytes());
    [0, 0, 8, kind].into_iter().chain(sizes).collect()
}

fn idx_images() -> Vec<Vec<u8>> {
    vec![header(3, &[3, 4, 5]), (0..60).collect()]
}

fn idx_labels() -> Vec<Vec<u8>> {
    vec![header(1, &[3]), vec![0, 9, 4]]
}

fn samples(images: Result<Images, Error>) -> Answer {
    answer(images, |images| images.pixels().len() + 4 * images.labels().len())
}

pub const IDX: Reader = Reader {
    name: "idx",
    seeds: || {
        [plain, gzip]
            .into_iter()
            .flat_map(|form| [Seed::new(form, idx_images()), Seed::new(form, idx_labels())])
            .collect()
    },
    words: &[&[0, 0, 8, 3], &[0, 0, 8, 1], &[0x1F, 0x8B, 8]],
    crafted: &[
        ("images that claim 1 GB", || header(3, &[1 << 10, 1 << 10, 1 << 10])),
        ("images that claim 2^96 bytes", || header(3, &[u32::MAX; 3])),
        ("labels that claim 4 GB", || header(1, &[u32::MAX])),
        ("labels of zeros, deflated a thousand times", || gzip(&[header(1, &[1 << 25]), vec![0; 1 << 25]])),
        ("images of zeros, deflated a thousand times", || gzip(&[header(3, &[1 << 15, 32, 32]), vec![0; 1 << 25]])),
        ("half of the zeros that it claims", || gzip(&[header(3, &[1 << 15, 32, 32]), vec![0; 1 << 24]])),
        ("zeros after the data", || gzip(&[header(1, &[1]), vec![0; 1 << 25]])),
        ("images of one pixel", || gzip(&[header(3, &[1 << 22, 1, 1]), vec![7; 1 << 22]])),
        ("100,000 empty gzip streams", || gzip(&[]).repeat(100_000)),
    ],
    prepare: |folder| {
        let (images, labels) = (folder.join("images"), folder.join("labels"));
        fs::write(&images, idx_images().concat()).expect("a temporary file");
        fs::write(&labels, idx_labels().concat()).expect("a temporary file");
        let classes = || (0..10).map(|class| class.to_string()).collect();
        Box::new(move |file: &Path| {
            all([
                answer(idx::read_images(file), |images| images.pixels.len()),
                answer(idx::read_labels(file), |labels| labels.len()),
                samples(idx::load(file, &labels, classes())),
                samples(idx::load(&images, file, classes())),
            ])
        })
    },
    held: held::in_gzip,
    own: GZIP,
};

fn record(label: u8) -> Vec<u8> {
    [label].into_iter().chain((0..3072).map(|i| i as u8)).collect()
}

pub const CIFAR10: Reader = Reader {
    name: "cifar10",
    seeds: || {
        let records = || vec![record(0), record(9)];
        vec![Seed::new(plain, records()), Seed::new(gzip, records())]
    },
    words: &[&[0], &[9], &[10], &[0x1F, 0x8B, 8]],
    crafted: &[
        ("records of zeros, deflated a thousand times", || gzip(&[vec![0; 3073 << 14]])),
        ("a record and a half", || [record(3), vec![3; 1500]].concat()),
        ("10,000 records and a byte", || [record(3).repeat(10_000), vec![0]].concat()),
    ],
    prepare: |_| Box::new(|file: &Path| samples(cifar10::read(&[file]))),
    held: held::in_gzip,
    own: GZIP,
};

/// The bytes of all samples of a dataset, each written out once.
pub fn written(dataset: &impl Dataset) -> Answer {
    let mut out = vec![0.0; dataset.shape().iter().product()];
    for index in 0..dataset.len() {
        answer(dataset.write(index, 0, &mut out), |_| 0)?;
    }
    Ok(4 * out.len())
}
