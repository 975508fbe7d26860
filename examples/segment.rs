//! Trains a U-Net to say of every pixel which shape it belongs to, on drawn shapes for which no file is needed.
//!
//! ```sh
//! cargo run --release --example segment
//! ```
//!
//! Writes weights, checkpoint and log into `--out`, and `shapes.png`: images of the test, what is true, and what was predicted.

mod common;

use clap::Parser;
use common::{Common, exit_on_error, say};
use ocelli::{
    data::drawn_shapes::{self, CLASS_NAMES},
    models::UNet,
    plot::{Tile, gallery},
    prelude::*,
    train::{MeanIou, RunFolder, StopFlag, evaluate},
};
use std::{path::PathBuf, process::ExitCode};

/// Trains a U-Net on drawn shapes.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Number of images to train on.
    #[arg(long, default_value_t = 2000)]
    samples: u64,
    /// Rows and columns of an image; a multiple of 8.
    #[arg(long, default_value_t = 64)]
    size: usize,
    /// Channels of the first stage.
    #[arg(long, default_value_t = 16)]
    width: usize,
    /// Number of epochs.
    #[arg(long, default_value_t = 10)]
    epochs: u64,
    /// Folder to write everything to.
    #[arg(long, default_value = "runs/segment")]
    out: PathBuf,
    /// Continues the run in --out.
    #[arg(long)]
    resume: bool,
}

/// Images of a batch.
const BATCH: u64 = 16;
/// Images for validation, and as many for the test.
const HELD: u64 = 160;
/// Images that are shown.
const SHOWN: usize = 6;

fn main() -> ExitCode {
    exit_on_error(run(&Arguments::parse()))
}

/// Draws images by their numbers in batches.
fn drawn(first: u64, count: u64, arguments: &Arguments) -> Vec<Batch> {
    let last = first + count;
    let starts = (first..last).step_by(BATCH as usize);
    let batch = |start| drawn_shapes::batch(start..last.min(start + BATCH), arguments.size, arguments.common.seed);
    starts.map(batch).collect()
}

fn run(arguments: &Arguments) -> ocelli::Result<()> {
    arguments.common.start()?;
    if arguments.size == 0 || !arguments.size.is_multiple_of(8) || arguments.samples == 0 {
        return Err("--size must be a multiple of 8, and --samples at least 1".into());
    }
    let out = RunFolder::open(&arguments.out)?;
    let (validation, test) = (drawn(0, HELD, arguments), drawn(HELD, HELD, arguments));
    let train = drawn(2 * HELD, arguments.samples, arguments);

    let network = UNet::new(CLASS_NAMES.len()).width(arguments.width).depth(3);
    let mut model = Model::from_layer(network, [arguments.size, arguments.size, 3], arguments.common.seed)?;
    say(model.summary_for(BATCH as usize)?)?;
    let labels = [arguments.size, arguments.size];
    let loss = |t: &Trace| softmax_cross_entropy(&t.output(), &t.label_map("labels", labels));
    let mut trainer = Trainer::new(arguments.epochs)
        .schedule(Schedule::Cosine { last: 0.0 })
        .metric(MeanIou::new())
        .metric(Accuracy::new())
        .monitor(Monitor::highest("mean_iou"))
        .restore_best()
        .run_folder(&out)
        .stop_flag(StopFlag::on_ctrl_c()?);
    if arguments.resume {
        trainer = trainer.resume();
    }
    trainer.run(&mut model, loss, &mut Adam::new(2e-3), &train, Some(&validation))?;
    save_weights(&model, out.join("weights.safetensors"), &Default::default())?;

    let values = evaluate(&model, loss, &test, &[&MeanIou::new(), &Accuracy::new()])?;
    let [iou, right] = ["mean_iou", "accuracy"].map(|name| 100.0 * values.get(name).unwrap_or(0.0));
    draw(&model, &test, arguments)?;
    Ok(say(format!("test: mean IoU {iou:.2} %, {right:.2} % of the pixels right"))?)
}

/// Draws images of the test with what is true and what was predicted.
fn draw(model: &Model, test: &[Batch], arguments: &Arguments) -> ocelli::Result<()> {
    let (size, batch) = (arguments.size, &test[0]);
    let (input, labels) = (batch.tensor("input")?, batch.labels("labels")?);
    let scores = model.predict(input)?;
    let scores = scores.data().chunks_exact(CLASS_NAMES.len());
    let best = |scores: &[f32]| {
        (0..scores.len()).fold(0, |best, class| if scores[class] > scores[best] { class } else { best })
    };
    let predicted: Vec<u32> = scores.map(|scores| best(scores) as u32).collect();
    let (area, mut tiles) = (size * size, Vec::new());
    for image in 0..SHOWN.min(input.shape()[0]) {
        let pixels = input.data()[image * area * 3..][..area * 3].iter().map(|x| (x + 2.0) / 4.0).collect();
        let [truth, predicted] = [labels.data(), &predicted].map(|all| &all[image * area..][..area]);
        let same = truth.iter().zip(predicted).filter(|(truth, predicted)| truth == predicted).count();
        let share = format!("{:.1} % right", 100.0 * same as f32 / area as f32);
        tiles.push(Tile::new(size, size, pixels, "image")?);
        tiles.push(Tile::new(size, size, coloured(truth), "truth")?);
        tiles.push(Tile::new(size, size, coloured(predicted), share)?);
    }
    let path = arguments.out.join("shapes.png");
    gallery("Images of the test: discs red, squares green, triangles blue", &tiles, 6, &path)?;
    Ok(())
}

/// Gives every class a colour.
fn coloured(classes: &[u32]) -> Vec<f32> {
    const COLOURS: [[f32; 3]; 4] = [[0.9, 0.9, 0.9], [0.85, 0.25, 0.2], [0.25, 0.65, 0.3], [0.2, 0.35, 0.8]];
    classes.iter().flat_map(|class| COLOURS[*class as usize]).collect()
}
