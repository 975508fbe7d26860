//! Draws the edges of an image: every ready filter, a filter that is learned, and learned contours.
//!
//! ```sh
//! cargo run --release --features vision --example edges -- photo.jpg --out edges
//! cargo run --release --features vision --example edges -- photo.jpg --trunk hed-vgg16.safetensors --sides hed-sides.safetensors --out edges
//! ```
//!
//! Writes `sheet.png` with all of them, and `contours.png` in full size where there are weights (Xie and Tu 2015).

mod common;

use clap::Parser;
use common::{Common, exit_on_error, say};
use ocelli::{
    data::image_files,
    plot::{Tile, gallery},
    prelude::*,
    vision::{
        edges::{Application, Filter, Hed, learn_filter, magnitude},
        resize,
    },
};
use std::{fs, path::PathBuf, process::ExitCode};

/// Draws the edges of an image.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    /// The image: PNG, JPEG, PNM or BMP.
    image: PathBuf,
    /// Folder for the sheets.
    #[arg(long)]
    out: PathBuf,
    /// Longer side of the images on the sheet in pixels.
    #[arg(long, default_value_t = 240, value_parser = clap::value_parser!(u16).range(1..=2048))]
    size: u16,
    /// Weights of the convolutions of HED.
    #[arg(long, requires = "sides")]
    trunk: Option<PathBuf>,
    /// Weights of the side outputs of HED.
    #[arg(long, requires = "trunk")]
    sides: Option<PathBuf>,
}

fn main() -> ExitCode {
    exit_on_error(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> ocelli::Result<()> {
    arguments.common.start()?;
    let whole = Pipeline::new();
    let image = whole.load(&arguments.image)?;
    let [height, width] = [image.shape()[1], image.shape()[2]];
    let factor = f64::from(arguments.size) / height.max(width) as f64;
    let size = [height, width].map(|side| ((side as f64 * factor).round() as usize).max(1));
    let small = resize(&image, size)?;
    let grey = resize(&whole.grey().load(&arguments.image)?, size)?;
    fs::create_dir_all(&arguments.out)?;

    // every filter, and the strength of edges by Sobel's two
    let mut tiles = vec![tile(&small, "image".into())?];
    for filter in Filter::bank()? {
        let [rows, columns] = filter.size();
        if rows > size[0] || columns > size[1] {
            say(format!("{} of {rows} x {columns} pixels is larger than the image", filter.name()))?;
            continue;
        }
        let response = filter.apply(&grey, &Application::same())?;
        tiles.push(tile(&response, format!("{} {rows} x {columns}", filter.name()))?);
    }
    let [x, y] = [Filter::sobel_x(), Filter::sobel_y()].map(|filter| filter.apply(&grey, &Application::same()));
    let strength = magnitude(&x?, &y?)?;
    tiles.push(tile(&strength, "strength by Sobel".into())?);

    // padding and stride, and a filter that is learned from what Sobel's makes
    if size.iter().all(|side| *side >= 8) {
        for (name, application) in [
            ("Sobel x, no padding, stride 2", Application { stride: 2, ..Application::default() }),
            ("Sobel x, padding 8", Application { padding: Padding::uniform(8), ..Application::default() }),
        ] {
            let response = Filter::sobel_x().apply(&grey, &application)?;
            let (rows, columns) = (response.shape()[1], response.shape()[2]);
            tiles.push(tile(&response, format!("{name}: {rows} x {columns}"))?);
        }
        let target = Filter::sobel_x().apply(&grey, &Application::default())?;
        let learned = learn_filter(&grey, &target, [3, 3], 400)?;
        say(format!("learned from Sobel x, mean squared error {:.1e}:", learned.errors.last().unwrap_or(&0.0)))?;
        for row in learned.taps.data().chunks(3) {
            say(format!("  {:6.2} {:6.2} {:6.2}", row[0], row[1], row[2]))?;
        }
    }

    // contours, dark on light
    if let (Some(trunk), Some(sides)) = (&arguments.trunk, &arguments.sides) {
        let hed = Hed::load(trunk, sides)?;
        let inverted = |mut map: Tensor| {
            map.data_mut().iter_mut().for_each(|p| *p = 1.0 - *p);
            map
        };
        let contours = hed.contours(&small)?;
        for stage in 0..5 {
            let map = Tensor::from_fn([1, size[0], size[1], 1], |at| contours.sides[[0, at[1], at[2], stage]]);
            tiles.push(tile(&inverted(map), format!("contours, stage {}", stage + 1))?);
        }
        tiles.push(tile(&inverted(contours.fused), "contours, fused".into())?);
        let path = arguments.out.join("contours.png");
        image_files::save_png(&inverted(hed.contours(&image)?.fused), &path)?;
        say(format!("wrote {}", path.display()))?;
    }
    let path = arguments.out.join("sheet.png");
    gallery(&format!("Edges of {}", arguments.image.display()), &tiles, 4, &path)?;
    Ok(say(format!("wrote {}", path.display()))?)
}

/// A tile of an image as it is, or of a response from its lowest value to its highest.
fn tile(image: &Tensor, caption: String) -> ocelli::Result<Tile> {
    let (height, width) = (image.shape()[1], image.shape()[2]);
    Ok(match image.shape()[3] {
        1 => Tile::stretched(height, width, image.data(), caption)?,
        _ => Tile::new(height, width, image.data().to_vec(), caption)?,
    })
}
