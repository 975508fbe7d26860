//! Trains residual networks on CIFAR-10, by the recipe of He, Zhang, Ren and Sun (2015, section 4.2).
//!
//! ```sh
//! cargo run --release --example train_cifar -- --data DIR --depth 20
//! cargo run --release --example train_cifar -- --data DIR --depth 56 --shortcut plain --out runs/plain56
//! ```
//!
//! `DIR` holds the files `data_batch_1.bin` to `data_batch_5.bin` and `test_batch.bin`, or has them in
//! `cifar-10-batches-bin`; files with some of the records do as well. Or it holds images of any kind, as PNG, JPEG, PNM or
//! BMP files with a folder for each class: `train/cat/1.png` and `test/cat/1.png`, or `val` in the place of `test`. The
//! network in one file, checkpoint, log and curves are written into `--out`; `--resume` continues a stopped run.
//! `predict` classifies images with that file:
//!
//! ```sh
//! cargo run --release --example predict -- --weights runs/cifar/weights.safetensors cat.png
//! ```

mod common;
#[path = "common/curves.rs"]
mod curves;
#[path = "common/training.rs"]
mod training;

use clap::{Parser, ValueEnum};
use common::{Common, exit_on_error, say};
use ocelli::{
    data::{
        Images, Mixing, Part, cifar10, find,
        image_files::{ImageFolder, load_archive},
    },
    models::{Network, NetworkDescription, save_network},
    plot,
    prelude::*,
    tensor::Key,
    train::{Outcome, RunFolder, StopFlag},
};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Instant,
};
use training::say_accuracy;

/// Trains residual networks on CIFAR-10.
#[derive(Parser, Debug)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Folder with the files of CIFAR-10, or with folders train and test that have a folder of images for each class;
    /// $OCELLI_DATA and ./data are searched for the former too.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Number of layers: 20, 32, 44, 56 or 110.
    #[arg(long, default_value_t = 20)]
    depth: usize,
    /// The shortcut that is added to the result of a block.
    #[arg(long, value_enum, default_value_t = Kind::A)]
    shortcut: Kind,
    /// Number of epochs. The paper has 182 (64,000 steps).
    #[arg(long, default_value_t = 182)]
    epochs: u64,
    /// Batch size.
    #[arg(long, default_value_t = 128)]
    batch: usize,
    /// Learning rate of the first half of the steps.
    #[arg(long, default_value_t = 0.1)]
    rate: f32,
    /// The changes of images in training.
    #[arg(long, value_enum, default_value_t = Augment::Paper)]
    augment: Augment,
    /// Number of images to train on; default: all.
    #[arg(long)]
    samples: Option<usize>,
    /// Folder to write everything to.
    #[arg(long, default_value = "runs/cifar")]
    out: PathBuf,
    /// Continues the run in --out.
    #[arg(long)]
    resume: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Every second pixel, with channels of zeros.
    #[value(name = "A")]
    A,
    /// Projections where the sizes differ.
    #[value(name = "B")]
    B,
    /// No shortcuts: the plain networks, which become worse with depth.
    #[value(name = "plain")]
    Plain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Augment {
    /// None.
    None,
    /// The paper's: images are moved by up to 4 pixels, with the mean around them, and mirrored at random.
    Paper,
    /// The paper's, and mixup with α = 0.2 (Zhang et al. 2018).
    Mixup,
    /// The paper's, and CutMix with α = 1 (Yun et al. 2019).
    #[value(name = "cutmix")]
    CutMix,
    /// The paper's, and one operation of TrivialAugment (Müller and Hutter 2021).
    Trivial,
}

impl Augment {
    fn mixing(self) -> Option<Mixing> {
        match self {
            Augment::Mixup => Some(Mixing::Mixup { alpha: 0.2 }),
            Augment::CutMix => Some(Mixing::CutMix { alpha: 1.0 }),
            Augment::None | Augment::Paper | Augment::Trivial => None,
        }
    }

    /// Returns the pipeline of training.
    fn pipeline(self, pipeline: &Pipeline) -> Pipeline {
        if self == Augment::None {
            return pipeline.clone();
        }
        let mean = &pipeline.normalisation.mean;
        let border = Border::Colour(std::array::from_fn(|channel| (255.0 * mean[channel]).round() as u8));
        let moved = pipeline.clone().then(Transform::RandomCrop { margin: 4, border });
        let mirrored = moved.then(Transform::RandomMirror(Mirror::LeftRight));
        if self == Augment::Trivial { mirrored.then(Transform::TrivialAugmentWide(border)) } else { mirrored }
    }
}

impl Arguments {
    fn network(&self, classes: usize) -> Result<Network, String> {
        let reason = |_| format!("no network of {} layers; there are 20, 32, 44, 56 and 110", self.depth);
        by_name(&self.name(), classes).map_err(reason)
    }

    /// Returns the name for `by_name`.
    fn name(&self) -> String {
        let depth = self.depth;
        match self.shortcut {
            Kind::A => format!("cifar_resnet{depth}"),
            Kind::B => format!("cifar_resnet{depth}_b"),
            Kind::Plain => format!("cifar_plain{depth}"),
        }
    }

    /// Returns the schedule: a tenth of the rate after half of the steps, a hundredth after three quarters. 110 layers
    /// do not start to learn at 0.1: they use a tenth of it for 400 steps, or for a tenth of a short run.
    fn schedule(&self, batches: usize) -> Schedule {
        let epochs = self.epochs as f32;
        let warm_up = if self.depth == 110 { (400.0 / batches as f32).min(epochs / 10.0) } else { 0.0 };
        let at = [0.5, 0.75].map(|share| share * epochs - warm_up).into();
        let steps = Schedule::MultiStep { at, factor: 0.1 };
        if warm_up == 0.0 {
            return steps;
        }
        Schedule::ConstantWarmUp { epochs: warm_up, factor: 0.1, then: Box::new(steps) }
    }
}

/// The parts of the dataset.
struct Datasets {
    /// Images for training.
    train: Arc<dyn Dataset>,
    /// Images for validation.
    watch: Arc<dyn Dataset>,
    /// Images for the test, used once, at the end.
    test: Arc<dyn Dataset>,
}

/// Reads JPEG images of CIFAR-10 that may lie beside a part of its records, a folder for each class.
fn jpegs(folder: &Path, part: Part) -> Result<Option<Images>, ocelli::data::Error> {
    let name = match part {
        Part::Train => "train_jpeg_20000.tar.gz",
        Part::Test => "test_jpeg_2000.tar.gz",
    };
    let path = folder.join(name);
    path.is_file().then(|| load_archive(path, cifar10::CLASS_NAMES.map(String::from).into())).transpose()
}

/// The images for training, for validation if they are separate, and for the test.
type Parts = (Arc<dyn Dataset>, Option<Arc<dyn Dataset>>, Arc<dyn Dataset>);

/// Reads CIFAR-10, or folders with a folder of images for each class.
fn parts(data: Option<&Path>) -> ocelli::Result<Parts> {
    if let Some(folder) = data.filter(|folder| folder.join("train").is_dir()) {
        let (train, test) = ImageFolder::open_parts(folder)?;
        return Ok((Arc::new(train), None, Arc::new(test)));
    }
    let folder = find("cifar-10", data).map_err(|error| {
        format!("{error}; or name a folder with images of one's own as train/CLASS/*.png and test/CLASS/*.png")
    })?;
    let (train, test) = (cifar10::load(&folder, Part::Train)?, cifar10::load(&folder, Part::Test)?);
    let train: Arc<dyn Dataset> = match jpegs(&folder, Part::Train)? {
        Some(more) => Arc::new(train.chain(more)?),
        None => Arc::new(train),
    };
    let watch = jpegs(&folder, Part::Test)?.map(|watch| Arc::new(watch) as Arc<dyn Dataset>);
    Ok((train, watch, Arc::new(test)))
}

/// Reads the images in a folder. Those for validation are the JPEG images for the test, if there are any; else a
/// tenth of those for training, as in the paper.
fn datasets(arguments: &Arguments) -> ocelli::Result<Datasets> {
    let key = Key::new(arguments.common.seed);
    let (train, watch, test) = parts(arguments.data.as_deref())?;
    // Samples are drawn, because archives have their classes one after the other.
    let samples = arguments.samples.unwrap_or(train.len()).min(train.len());
    let (_, train) = train.split(samples, key.with("samples"))?;
    let (train, watch): (Arc<dyn Dataset>, Arc<dyn Dataset>) = match watch {
        Some(watch) => (Arc::new(train), watch),
        None => {
            let (train, watch) = train.split(samples / 10, key.with("watch"))?;
            (Arc::new(train), Arc::new(watch))
        }
    };
    Ok(Datasets { train, watch, test })
}

/// Returns the pipeline of every image: standardised by the statistics of those for training.
fn pipeline(train: &dyn Dataset) -> ocelli::Result<Pipeline> {
    Ok(Pipeline::stretch([32, 32]).normalised_by(Statistics::measure(train)?))
}

/// Writes the network with all that `predict` and `classify` need.
fn save(arguments: &Arguments, model: &Model, names: &[String], pipeline: &Pipeline) -> ocelli::Result<()> {
    let (name, path) = (arguments.name(), arguments.out.join("weights.safetensors"));
    let description = NetworkDescription::new(&name, names)?.preprocessing(pipeline)?;
    Ok(save_network(model, &description, path)?)
}

fn main() -> ExitCode {
    exit_on_error(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> ocelli::Result<()> {
    arguments.common.start()?;
    let (started, seed) = (Instant::now(), arguments.common.seed);
    // Held until the end: more is written than the trainer does.
    let folder = RunFolder::open(&arguments.out)?;
    let out = folder.path();
    let Datasets { train, watch, test } = datasets(arguments)?;
    let (learnt, watched, tested) = (train.len(), watch.len(), test.len());
    say(format!("{learnt} images for training, {watched} for validation, {tested} for the test"))?;
    let names = test.class_names().to_vec();
    let network = arguments.network(names.len())?;
    let pipeline = pipeline(&train)?;
    let train = Loader::new(train, arguments.augment.pipeline(&pipeline), arguments.batch)?.shuffle(seed);
    let (watch, test) = (Loader::new(watch, pipeline.clone(), 250)?, Loader::new(test, pipeline.clone(), 250)?);
    // the labels of mixed images are shares of the classes, and so are the others then
    let mixing = arguments.augment.mixing();
    let (train, watch, test) = match mixing {
        Some(mixing) => (train.mixing(mixing)?, watch.soft_labels()?, test.soft_labels()?),
        None => (train, watch, test),
    };

    let mut model = Model::from_layer(network.layer, [32, 32, 3], seed)?;
    say(model.summary_for(arguments.batch)?)?;
    let mut trainer = Trainer::new(arguments.epochs)
        .schedule(arguments.schedule(train.batches()))
        .metric(Accuracy::new())
        .monitor(Monitor::highest("accuracy"))
        .run_folder(&folder)
        .checkpoint_every(100)
        .stop_flag(StopFlag::on_ctrl_c()?);
    if arguments.resume {
        trainer = trainer.resume();
    }
    let mut sgd = Sgd::new(arguments.rate).momentum(0.9).weight_decay(1e-4);
    let loss = |t: &Trace| match mixing {
        Some(_) => soft_cross_entropy(&t.output(), &t.input("labels", [names.len()])),
        None => softmax_cross_entropy(&t.output(), &t.labels("labels")),
    };
    let report = trainer.run(&mut model, loss, &mut sgd, &train, if watched > 0 { Some(&watch) } else { None })?;

    save(arguments, &model, &names, &pipeline)?;
    if !report.history.is_empty() {
        curves::draw(&report, &out.join("curves.png"))?;
    }
    if report.outcome == Outcome::Interrupted {
        return Ok(say(format!("stopped; go on with --resume --out {}", out.display()))?);
    }

    let evaluation = evaluate_classifier(&model, loss, &test, Ranking::Largest)?;
    plot::confusion(evaluation.confusion.counts(), &names, out.join("confusion.png"))?;
    say(&evaluation.confusion)?;
    say(format!("written to {}: weights, checkpoint, log, curves and confusion", out.display()))?;
    Ok(say_accuracy(&evaluation, &report, started)?)
}
