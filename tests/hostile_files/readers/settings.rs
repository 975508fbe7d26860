//! How images are prepared, in JSON.

use super::{
    Answer, Read, Reader,
    images::{blank, encoded, tensor},
};
use crate::{drawn::Seed, held};
use image::{ImageFormat, Rgb, RgbImage};
use ocelli::data::{Frame, Preprocess, Resize};
use std::{fs, path::Path};

/// Settings from the file, for three images.
fn prepare(folder: &Path) -> Read {
    let stroke = RgbImage::from_fn(20, 30, |x, y| Rgb([if x == 9 && (5..25).contains(&y) { 0 } else { 255 }; 3]));
    let files = [blank(16_384, 1, 8, 2), blank(1, 16_384, 8, 2), encoded(stroke, ImageFormat::Png)];
    let mut names = ["row.png", "column.png", "stroke.png"].into_iter();
    let images = files.map(|file| {
        let path = folder.join(names.next().expect("a name for each image"));
        fs::write(&path, file).expect("a temporary file");
        path
    });
    Box::new(move |file: &Path| {
        let text = fs::read(file).expect("a temporary file");
        let settings: Preprocess = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        let answers: Vec<Answer> = images.iter().map(|image| tensor(settings.load(image))).collect();
        super::all::<3>(answers.try_into().expect("an answer for each image"))
    })
}

fn json(resize: &str, frame: &str) -> Vec<u8> {
    let normalisation = r#"{"mean":[0,0,0],"deviation":[1,1,1]}"#;
    format!(r#"{{"resize":{resize},"frame":{frame},"channels":"rgb","normalisation":{normalisation}}}"#).into_bytes()
}

fn text(settings: &Preprocess) -> Seed {
    Seed::plain(serde_json::to_vec(settings).expect("settings are JSON"))
}

pub const PREPROCESS: Reader = Reader {
    name: "preprocess",
    seeds: || {
        let plain = Preprocess::plain([8, 8]);
        vec![
            text(&Preprocess::imagenet([8, 8])),
            text(&plain),
            text(&Preprocess { resize: Resize::Keep, frame: Frame::Pad([40, 32]), ..plain.clone() }),
            text(&Preprocess { resize: Resize::Digit, frame: Frame::Pad([32, 32]), ..plain }),
        ]
    },
    words: &[
        b"[",
        b"]",
        b"{",
        b"}",
        b",",
        b"\"",
        b"\\u0000",
        b"null",
        b"\"stretch\"",
        b"\"shorter_side\"",
        b"\"pad\"",
        b"\"grey\"",
        b"16384",
        b"4096",
        b"1",
    ],
    crafted: &[
        ("one row stretched to one column", || json(r#"{"stretch":[16384,1]}"#, r#""whole""#)),
        ("one column stretched to one row", || json(r#"{"stretch":[1,16384]}"#, r#""whole""#)),
        ("one pixel more of the shorter side", || json(r#"{"shorter_side":2}"#, r#""whole""#)),
        ("the shorter side beyond all limits", || json(r#"{"shorter_side":18446744073709551615}"#, r#""whole""#)),
        ("stretched, and one pixel cut out", || json(r#"{"stretch":[8192,8192]}"#, r#"{"centre_crop":[1,1]}"#)),
        ("100,000 brackets", || vec![b'['; 100_000]),
        ("100,000 braces", || br#"{"resize":"#.repeat(10_000)),
        ("a million means", || {
            let text = format!(r#"{{"normalisation":{{"mean":[{}0]"#, "0,".repeat(1_000_000));
            text.into_bytes()
        }),
        ("a name of a megabyte", || format!(r#"{{"{}":1}}"#, "a".repeat(1 << 20)).into_bytes()),
        ("a number of a megabyte", || json(&format!(r#"{{"shorter_side":{}}}"#, "9".repeat(1 << 20)), r#""whole""#)),
    ],
    prepare,
    held: held::nothing_more,
    // The images decoded, as three `f32` a pixel.
    own: 1 << 20,
};
