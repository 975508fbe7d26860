//! Trains LeNet-5 to read digits.
//!
//! Without arguments it trains on synthetic digits, for which no file is needed. Everything is written into `--out`:
//! the network in one file, checkpoint, log, and images of the curves, the first filters, the confusions and the
//! mistakes.

mod common;
#[path = "common/curves.rs"]
mod curves;
#[path = "common/training.rs"]
mod training;

use clap::{Parser, ValueEnum};
use common::{Common, exit_on_error, say};
use ocelli::{
    data::{Images, Part, Scratch, fashion_mnist, find, image_files::save_png, mnist, synthetic},
    losses::maximum_a_posteriori,
    models::{NetworkDescription, PENALTY, save_network},
    plot::{self, Tile},
    prelude::*,
    tensor::Key,
    train::{Evaluation, Outcome, RunFolder, StopFlag},
};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};
use training::say_accuracy;

/// Trains LeNet-5 to read digits.
#[derive(Parser, Debug)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    /// The dataset.
    #[arg(long, value_enum, default_value_t = Which::Synthetic)]
    dataset: Which,
    /// Folder with the files of MNIST and Fashion-MNIST; then $OCELLI_DATA and ./data are searched.
    #[arg(long)]
    data: Option<PathBuf>,
    /// The modern network, or the one of the paper.
    #[arg(long, value_enum, default_value_t = Variant::Modern)]
    variant: Variant,
    /// Number of epochs.
    #[arg(long)]
    epochs: Option<u64>,
    /// Batch size.
    #[arg(long)]
    batch: Option<usize>,
    /// Largest learning rate.
    #[arg(long)]
    rate: Option<f32>,
    /// Number of images to train on, from the first, or of synthetic images to draw.
    #[arg(long)]
    samples: Option<usize>,
    /// Number of images for validation; the test set is used once, at the end.
    #[arg(long, default_value_t = 1000)]
    validation: usize,
    /// Folder to write everything to.
    #[arg(long, default_value = "runs/lenet")]
    out: PathBuf,
    /// Continues the run in --out.
    #[arg(long)]
    resume: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Which {
    Synthetic,
    Mnist,
    FashionMnist,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Variant {
    Modern,
    #[value(name = "1998")]
    Of1998,
}

impl Which {
    /// Returns the pipeline of the images of any file: digits are converted to the convention of MNIST, then all is as in
    /// training.
    fn pipeline(self) -> Pipeline {
        match self {
            Which::FashionMnist => {
                Pipeline::mnist([32, 32]).with_transforms([Transform::Stretch([28, 28]), Transform::Pad([32, 32])])
            }
            Which::Synthetic | Which::Mnist => Pipeline::digits([32, 32]),
        }
    }
}

impl Variant {
    fn model(self, seed: u64) -> Result<Model, ocelli::graph::Error> {
        match self {
            Variant::Modern => Model::from_layer(LeNet5::modern(10), [32, 32, 1], seed),
            Variant::Of1998 => Model::from_layer(LeNet5::of_1998(), [32, 32, 1], seed),
        }
    }

    fn loss(self, t: &Trace) -> Node {
        match self {
            Variant::Modern => softmax_cross_entropy(&t.output(), &t.labels("labels")),
            Variant::Of1998 => maximum_a_posteriori(&t.output(), &t.labels("labels"), PENALTY),
        }
    }

    fn ranking(self) -> Ranking {
        match self {
            Variant::Modern => Ranking::Largest,
            Variant::Of1998 => Ranking::Smallest,
        }
    }

    /// Returns the name for `by_name`.
    fn name(self) -> &'static str {
        match self {
            Variant::Modern => "lenet5",
            Variant::Of1998 => "lenet5_1998",
        }
    }

    /// Returns epochs, batch size, learning rate and weight decay.
    fn recipe(self) -> (u64, usize, f32, f32) {
        match self {
            Variant::Modern => (12, 64, 0.02, 5e-4),
            Variant::Of1998 => (20, 32, 0.002, 0.02),
        }
    }
}

/// Maximum number of synthetic digits, which stay in memory, 784 bytes each.
const MOST_SYNTHETIC: usize = 1_000_000;

fn main() -> ExitCode {
    exit_on_error(run(&Arguments::parse()))
}

/// Reads or draws the images for training and for the test.
fn images(arguments: &Arguments) -> ocelli::Result<(Images, Images)> {
    let given = arguments.data.as_deref();
    Ok(match arguments.dataset {
        Which::Synthetic => {
            let count = arguments.samples.unwrap_or(30_000);
            if count > MOST_SYNTHETIC {
                return Err(format!("--samples {count}: no more than {MOST_SYNTHETIC} digits are drawn").into());
            }
            let seed = arguments.common.seed;
            (synthetic::digits(count, seed), synthetic::digits(10_000, seed.wrapping_add(1)))
        }
        Which::Mnist => {
            let folder = find("mnist", given)?;
            (mnist::load(&folder, Part::Train)?, mnist::load(&folder, Part::Test)?)
        }
        Which::FashionMnist => {
            let folder = find("fashion-mnist", given)?;
            (fashion_mnist::load(&folder, Part::Train)?, fashion_mnist::load(&folder, Part::Test)?)
        }
    })
}

fn run(arguments: &Arguments) -> ocelli::Result<()> {
    arguments.common.start()?;
    let started = Instant::now();
    let (variant, seed) = (arguments.variant, arguments.common.seed);
    // Held until the end: more is written than the trainer does.
    let folder = RunFolder::open(&arguments.out)?;
    let out = folder.path();
    let (epochs, batch, rate, decay) = variant.recipe();
    let (epochs, batch) = (arguments.epochs.unwrap_or(epochs), arguments.batch.unwrap_or(batch));

    let (train, test) = images(arguments)?;
    let names = train.class_names().to_vec();
    let count = arguments.samples.unwrap_or(train.len()).min(train.len());
    let put_aside = arguments.validation.min(count / 5);
    let (train, validation) = train.take(0..count)?.split(put_aside, Key::new(seed).with("validation"))?;
    let (learnt, watched, tested) = (train.len(), validation.len(), test.len());
    say(format!("{learnt} images to learn from, {watched} to watch with, {tested} to test"))?;
    let pipeline = Pipeline::mnist([32, 32]);
    let train = Loader::new(train, pipeline.clone(), batch)?.shuffle(seed);
    let validation = Loader::new(validation, pipeline.clone(), 250)?;
    let test_images = test.clone();
    let test = Loader::new(test, pipeline, 250)?;

    let mut model = variant.model(seed)?;
    say(model.summary_for(batch)?)?;

    let mut trainer = Trainer::new(epochs)
        .schedule(Schedule::Cosine { last: 0.0 })
        .metric(Accuracy::new().ranking(variant.ranking()))
        .monitor(Monitor::highest("accuracy"))
        .run_folder(&folder)
        .checkpoint_every(500)
        .stop_flag(StopFlag::on_ctrl_c()?);
    if arguments.resume {
        trainer = trainer.resume();
    }
    let mut sgd = Sgd::new(arguments.rate.unwrap_or(rate)).momentum(0.9).weight_decay(decay);
    let loss = |t: &Trace| variant.loss(t);
    let report = trainer.run(&mut model, loss, &mut sgd, &train, if watched > 0 { Some(&validation) } else { None })?;

    let description = NetworkDescription::new(variant.name(), &names)?.preprocessing(&arguments.dataset.pipeline())?;
    save_network(&model, &description, out.join("weights.safetensors"))?;
    if report.outcome == Outcome::Interrupted {
        return Ok(say(format!("stopped; go on with --resume --out {}", out.display()))?);
    }

    let evaluation = evaluate_classifier(&model, loss, &test, variant.ranking())?;
    curves::draw(&report, &out.join("curves.png"))?;
    plot::confusion(evaluation.confusion.counts(), &names, out.join("confusion.png"))?;
    filters(&model, out)?;
    mistakes(&evaluation, &test_images, &names, out)?;
    sample(&test_images, out)?;
    say(&evaluation.confusion)?;
    let written = "weights, checkpoint, log, curves, filters, confusion, mistakes, and a digit";
    say(format!("written to {}: {written}", out.display()))?;
    Ok(say_accuracy(&evaluation, &report, started)?)
}

/// Draws the filters of the first layer as images.
fn filters(model: &Model, out: &Path) -> ocelli::Result<()> {
    let weight = model.parameters().value("c1.weight").ok_or("there is no c1.weight")?;
    let [height, width, _, channels] = weight.shape()[..] else { return Err("c1.weight is no filter".into()) };
    let tile = |channel: usize| {
        let values: Vec<f32> = weight.data().iter().skip(channel).step_by(channels).copied().collect();
        Tile::stretched(height, width, &values[..height * width], format!("{channel}"))
    };
    let tiles = (0..channels).map(tile).collect::<plot::Result<Vec<_>>>()?;
    Ok(plot::gallery("filters of the first layer", &tiles, 6, out.join("filters.png"))?)
}

/// Draws the first misclassified test images, with their labels and predictions.
fn mistakes(evaluation: &Evaluation, test: &Images, names: &[String], out: &Path) -> ocelli::Result<()> {
    let pairs = evaluation.predictions.iter().zip(test.labels());
    let wrong = pairs.enumerate().filter(|(_, (prediction, label))| prediction != label);
    let [height, width, _] = test.shape();
    let short = |class: u32| names.get(class as usize).map_or("?", |name| &name[..name.len().min(7)]);
    let tile = |(i, (&prediction, &label)): (usize, (&u32, &u32))| {
        let pixels = test.image(i)?.iter().map(|pixel| 1.0 - f32::from(*pixel) / 255.0).collect();
        Some(Tile::new(height, width, pixels, format!("{} → {}", short(label), short(prediction))))
    };
    let tiles = wrong.take(40).filter_map(tile).collect::<plot::Result<Vec<_>>>()?;
    Ok(plot::gallery("misread: label → prediction", &tiles, 10, out.join("mistakes.png"))?)
}

/// Writes the first test image as a file, dark on light, as an example for `predict`.
fn sample(test: &Images, out: &Path) -> ocelli::Result<()> {
    let [height, width, _] = test.shape();
    let pixels = test.image(0).ok_or("there is no test image")?.iter().map(|pixel| 255 - pixel).collect();
    let mut image = Image::new([height, width, 1], pixels)?;
    let mut large = Tensor::zeros([1, 224, 224, 1]);
    let enlarged = Pipeline::stretch([224, 224]).grey();
    enlarged.apply(&mut image, Key::new(0), &mut Scratch::default(), large.data_mut())?;
    Ok(save_png(&large, out.join("digit.png"))?)
}
