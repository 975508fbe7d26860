//! How images are prepared, in JSON.

use super::{
    Answer, Read, Reader,
    images::{blank, tensor},
};
use crate::{drawn::Seed, encoders, held};
use ocelli::{
    data::{Border, Pipeline, Scratch, Transform, image_files::decode_file},
    tensor::{Key, Tensor},
};
use std::{fs, path::Path};

/// Settings from the file, for three images.
fn prepare(folder: &Path) -> Read {
    let stroke = encoders::png([30, 20], |x, y| [if x == 9 && (5..25).contains(&y) { 0 } else { 255 }; 3]);
    let files = [blank(16_384, 1, 8, 2), blank(1, 16_384, 8, 2), stroke];
    let mut names = ["row.png", "column.png", "stroke.png"].into_iter();
    let images = files.map(|file| {
        let path = folder.join(names.next().expect("a name for each image"));
        fs::write(&path, file).expect("a temporary file");
        path
    });
    Box::new(move |file: &Path| {
        let text = fs::read(file).expect("a temporary file");
        let settings: Pipeline = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        let answers: Vec<Answer> = images.iter().map(|image| tensor(prepared(&settings, image))).collect();
        super::all::<3>(answers.try_into().expect("an answer for each image"))
    })
}

/// What the settings make of an image: what is drawn is drawn once.
fn prepared(settings: &Pipeline, path: &Path) -> ocelli::data::Result<Tensor> {
    if !settings.is_random() {
        return settings.load(path);
    }
    let mut image = decode_file(path)?;
    let mut out = Tensor::try_zeros(settings.shape(Some(image.size()))?)?;
    settings.apply(&mut image, Key::new(1), &mut Scratch::default(), out.data_mut())?;
    Ok(out)
}

fn json(steps: &str) -> Vec<u8> {
    let normalisation = r#"{"mean":[0,0,0],"deviation":[1,1,1]}"#;
    format!(r#"{{"transforms":[{steps}],"filter":"bilinear","channels":"rgb","normalisation":{normalisation}}}"#)
        .into_bytes()
}

fn text(settings: &Pipeline) -> Seed {
    Seed::plain(serde_json::to_vec(settings).expect("settings are JSON"))
}

pub const PIPELINE: Reader = Reader {
    name: "pipeline",
    seeds: || {
        let steps = |steps: &[Transform]| text(&Pipeline::new().with_transforms(steps));
        vec![
            text(&Pipeline::imagenet([8, 8])),
            text(&Pipeline::stretch([8, 8])),
            steps(&[Transform::Pad([40, 32])]),
            steps(&[Transform::Digit, Transform::Pad([32, 32])]),
            steps(&[
                Transform::random_resized_crop([9, 7]),
                Transform::RandAugment { operations: 2, magnitude: 9, border: Border::Reflect },
                Transform::Sometimes { probability: 0.5, transforms: vec![Transform::RandomGamma([0.5, 2.0])] },
            ]),
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
        ("one row stretched to one column", || json(r#"{"stretch":[16384,1]}"#)),
        ("one column stretched to one row", || json(r#"{"stretch":[1,16384]}"#)),
        ("one pixel more of the shorter side", || json(r#"{"shorter_side":2}"#)),
        ("the shorter side beyond all limits", || json(r#"{"shorter_side":18446744073709551615}"#)),
        ("stretched, and one pixel cut out", || json(r#"{"stretch":[8192,8192]},{"centre_crop":[1,1]}"#)),
        ("an image enlarged again and again", || {
            json(&[r#"{"stretch":[4096,4096]},{"stretch":[1,1]}"#; 100].join(","))
        }),
        ("an image enlarged beside itself", || {
            json(r#"{"one_of":[{"stretch":[4096,4096]},{"stretch":[4095,4096]}]},{"stretch":[1,1]}"#)
        }),
        ("a megapixel again and again", || json(&[r#"{"stretch":[1024,1024]},{"stretch":[1,1]}"#; 100].join(","))),
        ("100,000 transforms", || json(&[r#""digit""#; 100_000].join(","))),
        ("100,000 brackets", || vec![b'['; 100_000]),
        ("100,000 braces", || br#"{"transforms":[{"shorter_side":"#.repeat(10_000)),
        ("a million means", || {
            let text = format!(r#"{{"normalisation":{{"mean":[{}0]"#, "0,".repeat(1_000_000));
            text.into_bytes()
        }),
        ("a name of a megabyte", || format!(r#"{{"{}":1}}"#, "a".repeat(1 << 20)).into_bytes()),
        ("a number of a megabyte", || json(&format!(r#"{{"shorter_side":{}}}"#, "9".repeat(1 << 20)))),
    ],
    prepare,
    held: held::nothing_more,
    // The images decoded, and as three `f32` a pixel; and a megapixel between two transforms, before and after one.
    own: (1 << 20) + 2 * (3 << 20),
};
