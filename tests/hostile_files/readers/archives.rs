//! Archives of images in folders of classes.

use super::{Reader, answer, images::blank};
use crate::{
    drawn::Seed,
    forms::{gzip, plain, tar, tar_gz, tar_header},
    held,
};
use ocelli::data::image_files::load_archive;
use std::path::Path;

fn entries() -> Vec<Vec<u8>> {
    let image = || blank(3, 2, 8, 2);
    vec![b"5train/".to_vec(), vec![], b"0train/a/1.png".to_vec(), image(), b"0train/b/2.png".to_vec(), image()]
}

/// A record of an extended header: its length in digits, a key and a value.
fn record(key: &str, value: &str) -> Vec<u8> {
    let rest = format!(" {key}={value}\n");
    let length = |digits: usize| digits + rest.len();
    let digits = (1..20).find(|&digits| length(digits).to_string().len() == digits).expect("a number of digits fits");
    format!("{}{rest}", length(digits)).into_bytes()
}

fn with_first(kind: u8, name: &[u8], content: Vec<u8>) -> Vec<Vec<u8>> {
    let mut parts = vec![[&[kind], name].concat(), content];
    parts.extend(entries());
    parts
}

fn packed(parts: Vec<Vec<u8>>) -> Vec<u8> {
    tar_gz(&parts)
}

pub const ARCHIVE: Reader = Reader {
    name: "archive",
    seeds: || {
        vec![
            Seed::new(tar_gz, entries()),
            Seed::new(tar, entries()),
            Seed::new(tar_gz, with_first(b'L', b"././@LongLink", b"train/a/a long name.png\0".to_vec())),
            Seed::new(tar_gz, with_first(b'x', b"PaxHeaders/1", record("path", "train/b/3.png"))),
            Seed::new(tar_gz, with_first(b'g', b"pax_global_header", record("comment", "none"))),
            Seed::new(plain, [gzip(&[tar(&entries())])]),
        ]
    },
    words: &[b"ustar\x0000", b"ustar  \0", b"path=", b"size=", b"../", b"/", b"\0", b"././@LongLink", b"._1.png"],
    crafted: &[
        ("zeros, deflated a thousand times", || gzip(&[vec![0; 1 << 25]])),
        ("a file of zeros, deflated a thousand times", || packed(with_first(b'0', b"a/0.png", vec![0; 1 << 24]))),
        ("a file beside the images, of zeros", || packed(with_first(b'0', b"a/.DS_Store", vec![0; 1 << 24]))),
        ("a GNU long name of 16 MiB", || packed(with_first(b'L', b"././@LongLink", vec![b'a'; 1 << 24]))),
        ("a GNU long link of 16 MiB", || packed(with_first(b'K', b"././@LongLink", vec![b'a'; 1 << 24]))),
        ("a PAX header of 16 MiB", || packed(with_first(b'x', b"PaxHeaders/1", record("path", &"a".repeat(1 << 24))))),
        ("a global PAX header of 16 MiB", || packed(with_first(b'g', b"global", record("path", &"a".repeat(1 << 24))))),
        ("200,000 PAX records", || packed(with_first(b'x', b"PaxHeaders/1", record("a", "b").repeat(200_000)))),
        ("a PAX header that claims a size", || packed(with_first(b'x', b"P", record("size", "18446744073709551615")))),
        ("a long name before a long name, often", || {
            let name = [&tar_header(b'L', b"././@LongLink", 8)[..], b"abcdefg\0", &[0; 504]].concat();
            gzip(&[name.repeat(20_000), tar(&entries())])
        }),
        ("a header that claims 8 GB", || gzip(&[tar_header(b'0', b"train/a/1.png", 0o77777777777).to_vec()])),
        ("a sparse file that claims 8 GB", || {
            let mut header = tar_header(b'S', b"train/a/1.png", 0);
            header[386..397].fill(b'0');
            header[398..409].fill(b'0');
            header[483..495].copy_from_slice(b"77777777777\0");
            header[257..265].copy_from_slice(b"ustar  \0");
            header[148..156].fill(b' ');
            let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
            header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            gzip(&[header.to_vec(), vec![0; 1024]])
        }),
        ("100,000 empty files", || gzip(&[tar_header(b'0', b"train/a/.empty", 0).repeat(100_000), tar(&entries())])),
        ("100,000 folders", || gzip(&[tar_header(b'5', b"train/a", 0).repeat(100_000), tar(&entries())])),
        ("10,000 images", || {
            let entry =
                [tar_header(b'0', b"train/a/1.png", blank(3, 2, 8, 2).len()).to_vec(), blank(3, 2, 8, 2)].concat();
            let length = entry.len().next_multiple_of(512);
            gzip(&[[entry.clone(), vec![0; length - entry.len()]].concat().repeat(10_000), vec![0; 1024]])
        }),
        ("an image of zeros, deflated a thousand times", || {
            packed(vec![b"0train/a/1.png".to_vec(), blank(2048, 2048, 8, 0)])
        }),
        ("an image whose head claims all", || {
            let mut image = blank(2, 2, 8, 2);
            image[16..24].copy_from_slice(&[0, 0, 0x20, 0, 0, 0, 0x20, 0]);
            let sum = crate::forms::crc32(&image[12..29]);
            image[29..33].copy_from_slice(&sum.to_be_bytes());
            packed(vec![b"0train/a/1.png".to_vec(), image])
        }),
    ],
    prepare: |_| {
        Box::new(|file: &Path| {
            let images = load_archive(file, vec!["a".into(), "b".into()]);
            answer(images, |images| images.pixels().len() + 4 * images.labels().len())
        })
    },
    held: held::in_archive,
    own: 0,
};
