//! Tables of samples: the idx files of MNIST and the records of CIFAR-10.

use super::{Answer, Reader, all, answer};
use crate::{
    drawn::Seed,
    forms::{gzip, plain},
    held,
};
use ocelli::data::{
    Dataset, Error, Image, Images, cifar10, cifar100, idx,
    image_files::{Answer as Columns, Manifest},
};
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

pub const CIFAR100: Reader = Reader {
    name: "cifar100",
    seeds: || {
        let record = |coarse: u8, fine: u8| [&[coarse], &record(fine)[..]].concat();
        let records = || vec![record(0, 99), record(19, 0)];
        vec![Seed::new(plain, records()), Seed::new(gzip, records())]
    },
    words: &[&[0], &[19], &[20], &[99], &[100], &[0x1F, 0x8B, 8]],
    crafted: &[
        ("records of zeros, deflated a thousand times", || gzip(&[vec![0; 3074 << 14]])),
        ("a record and a half", || vec![3; 3074 + 1500]),
    ],
    prepare: |_| {
        Box::new(|file: &Path| {
            all([cifar100::Labels::Fine, cifar100::Labels::Coarse].map(|labels| samples(cifar100::read(file, labels))))
        })
    },
    held: held::in_gzip,
    own: GZIP,
};

/// The bytes that a table is kept in.
fn table(file: &Path, columns: Columns) -> Answer {
    answer(Manifest::open(file, columns), |manifest| {
        let paths: usize =
            (0..manifest.len()).filter_map(|index| manifest.file(index)).map(|path| path.as_os_str().len()).sum();
        paths + 16 * manifest.len()
    })
}

pub const MANIFEST: Reader = Reader {
    name: "manifest",
    seeds: || {
        vec![
            Seed::plain(*b"image,kind,x,y\n1.png,cat,0.5,3\n2.png,dog,1,-4e-1\n"),
            Seed::plain(*b"\xEF\xBB\xBFkind,image\r\n\"a \"\"b\"\", c\",\"1\n.png\"\r\n\r\nb,2.png\r\n"),
        ]
    },
    words: &[b",", b"\"", b"\"\"", b"\n", b"\r\n", b"image", b"kind", b"NaN", b"1e99", b" ", b"../", b"\0"],
    crafted: &[
        ("a megabyte of commas", || [&b"image"[..], &vec![b','; 1 << 20]].concat()),
        ("a row of a megabyte of commas", || [&b"image,kind\na"[..], &vec![b','; 1 << 20]].concat()),
        ("a megabyte of line ends", || [&b"image\n"[..], &vec![b'\n'; 1 << 20]].concat()),
        ("500,000 rows", || [&b"image\n"[..], &b"a\n".repeat(500_000)].concat()),
        ("a quoted megabyte", || [&b"image\n\""[..], &vec![b'a'; 1 << 20]].concat()),
        ("a megabyte of quotes", || [&b"image\n"[..], &vec![b'"'; 1 << 20]].concat()),
        ("a million classes", || {
            let rows: String = (0..200_000).map(|class| format!("a,{class}\n")).collect();
            format!("image,kind\n{rows}").into_bytes()
        }),
    ],
    prepare: |_| {
        Box::new(|file: &Path| {
            let kinds = Columns::Label { column: "kind".into(), classes: vec![] };
            let places = Columns::Values(vec!["x".into(), "y".into()]);
            all([table(file, Columns::Nothing), table(file, kinds), table(file, places)])
        })
    },
    held: held::nothing_more,
    // The names of as many classes as there may be, twice.
    own: 16 << 20,
};

/// The bytes of the largest sample of a dataset, each read once.
pub fn written(dataset: &impl Dataset) -> Answer {
    let (mut image, mut most) = (Image::default(), 0);
    for index in 0..dataset.len() {
        answer(dataset.read(index, &mut image), |_| 0)?;
        most = most.max(image.pixels().len());
    }
    Ok(most)
}
