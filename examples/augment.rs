//! Draws a sheet of what augmentations make of an image, each at several strengths.
//!
//! ```sh
//! cargo run --release --example augment -- cat.jpg --out sheet.png
//! ```

mod common;

use clap::Parser;
use common::{Common, exit_on_error, say};
use ocelli::{
    data::{Affine, Operation, PrincipalColours, Scratch, image_files::decode_file},
    plot::{Tile, gallery},
    prelude::*,
};
use std::{path::PathBuf, process::ExitCode};

/// Draws a sheet of what augmentations make of an image, each at several strengths.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    /// The image, as a PNG, JPEG, PNM or BMP file.
    image: PathBuf,
    /// The file to write.
    #[arg(long, default_value = "augmentations.png")]
    out: PathBuf,
    /// Rows and columns of an image on the sheet.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u16).range(16..=512))]
    side: u16,
}

/// Images in a row of the sheet.
const STRENGTHS: usize = 5;

/// A row of the sheet: what is drawn, with a caption for each strength.
type Row = Vec<(String, Transform)>;

/// Makes a row of operations at given strengths.
fn row<T: Copy + std::fmt::Display>(name: &str, strengths: [T; STRENGTHS], operation: impl Fn(T) -> Operation) -> Row {
    strengths
        .into_iter()
        .map(|strength| (format!("{name} {strength}"), Transform::Apply(operation(strength))))
        .collect()
}

/// Makes a row of several draws of one transform.
fn drawn(name: &str, transform: Transform) -> Row {
    (1..=STRENGTHS).map(|draw| (format!("{name}, draw {draw}"), transform.clone())).collect()
}

/// Returns the rows of the sheet, for images of `side` × `side` pixels.
fn rows(side: usize) -> Vec<Row> {
    let border = Border::Reflect;
    let affine = |map| Operation::Affine { map, border: Border::Black };
    let still = Affine::identity();
    let corners = |share: f32| {
        let by = share * side as f32;
        Operation::Perspective {
            corners: [[by, by / 2.0], [-by / 2.0, by], [-by, -by], [0.0, -by]],
            border: Border::Black,
        }
    };
    let simple = [
        Operation::Mirror(Mirror::LeftRight),
        Operation::Mirror(Mirror::TopBottom),
        Operation::Equalise,
        Operation::AutoContrast,
        Operation::Grey,
    ];
    let name = |operation: &Operation| match operation {
        Operation::Mirror(Mirror::LeftRight) => "mirror left-right".to_string(),
        Operation::Mirror(Mirror::TopBottom) => "mirror top-bottom".to_string(),
        other => format!("{other:?}").to_lowercase(),
    };
    vec![
        simple.iter().map(|operation| (name(operation), Transform::Apply(*operation))).collect(),
        row("turn", [-60.0, -20.0, 10.0, 30.0, 90.0], |angle| affine(Affine { angle, ..still })),
        row("shear", [-30.0, -15.0, 10.0, 20.0, 40.0], |x| affine(Affine { shear: [x, 0.0], ..still })),
        row("scale", [0.5, 0.8, 1.2, 1.6, 2.5], |scale| affine(Affine { scale, ..still })),
        row("move", [-40.0, -15.0, 5.0, 20.0, 50.0], |x| affine(Affine { translate: [x, x / 2.0], ..still })),
        row("perspective", [0.05, 0.1, 0.2, 0.3, 0.4], corners),
        row("brightness", [0.2, 0.6, 1.2, 1.6, 2.5], Operation::Brightness),
        row("contrast", [0.0, 0.5, 1.3, 2.0, 4.0], Operation::Contrast),
        row("saturation", [0.0, 0.5, 1.5, 2.0, 4.0], Operation::Saturation),
        row("hue", [-0.4, -0.1, 0.05, 0.2, 0.5], Operation::Hue),
        row("gamma", [0.3, 0.6, 1.4, 2.0, 4.0], Operation::Gamma),
        row("posterise", [6, 4, 3, 2, 1], Operation::Posterise),
        row("solarise", [250, 200, 128, 64, 0], Operation::Solarise),
        row("sharpness", [0.0, 0.5, 2.0, 4.0, 8.0], Operation::Sharpness),
        row("blur", [0.5, 1.0, 2.0, 3.0, 5.0], |deviation| Operation::Blur { size: 31, deviation }),
        row("noise", [5.0, 10.0, 20.0, 40.0, 80.0], |deviation| Operation::Noise { deviation, seed: 1 }),
        row("shift red, blue", [-60, -30, 15, 30, 60], |by| Operation::Shift([by, 0, -by])),
        drawn("random crop", Transform::RandomCrop { margin: side / 6, border }),
        drawn("random resized crop", Transform::random_resized_crop([side, side])),
        drawn("PCA colour", Transform::PcaColour { deviation: 0.3, colours: PrincipalColours::imagenet() }),
        drawn("colour jitter", Transform::ColourJitter { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 }),
        drawn("erasing", Transform::RandomErasing { area: [0.02, 0.33], ratio: [0.3, 3.3], colour: [124, 116, 104] }),
        drawn("RandAugment 2, 9", Transform::RandAugment { operations: 2, magnitude: 9, border: Border::Black }),
        drawn("TrivialAugmentWide", Transform::TrivialAugmentWide(Border::Black)),
    ]
}

fn main() -> ExitCode {
    exit_on_error(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> ocelli::Result<()> {
    arguments.common.start()?;
    let (side, key) = (usize::from(arguments.side), Key::new(arguments.common.seed));
    let image = decode_file(&arguments.image)?;
    let (mut scratch, mut tiles) = (Scratch::default(), Vec::new());
    for (caption, transform) in rows(side).into_iter().flatten() {
        let square = [Transform::ShorterSide(side), Transform::CentreCrop([side, side])];
        let pipeline = Pipeline::new().with_transforms(square).then(transform);
        let mut values = Tensor::zeros([side, side, 3]);
        let key = key.at(tiles.len() as u64);
        pipeline.apply(&mut image.clone(), key, &mut scratch, values.data_mut())?;
        tiles.push(Tile::from_tensor(&values, caption)?);
    }
    let title = format!("Augmentations of {}", arguments.image.display());
    gallery(&title, &tiles, STRENGTHS, &arguments.out)?;
    Ok(say(format!("{} images, written to {}", tiles.len(), arguments.out.display()))?)
}
