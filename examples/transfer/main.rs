//! Makes a classifier of one's own from a folder of images and a pretrained network.
//!
//! ```sh
//! cargo run --release --example transfer -- --data flowers --net squeezenet1_1 --weights squeezenet1_1.safetensors --pixels caffe --size 227
//! cargo run --release --example transfer -- --data flowers --net resnet18 --weights resnet18-f37072fd.pth --mode last --train layer4.1
//! cargo run --release --example transfer -- --data flowers --net resnet18_folded --cut layer3 --weights to_layer3.safetensors --mode all
//! cargo run --release --features onnx --example transfer -- --data flowers --onnx model.onnx --pixels imagenet
//! ```
//!
//! `--data` has a folder of images for each class: `train/rose/1.jpg` and `val/rose/2.jpg`. The network gets a new last
//! layer, which is trained alone (`head`), with some of the layers before it (`last`), or with all of them (`all`). `--cut`
//! takes the network up to one of its activations and puts a classifier there, for weights of which only the first
//! layers are at hand. Without `--weights` the network begins at random, to compare with. A network from an ONNX file is
//! treated in the same way, and becomes one again; one that ends in probabilities needs a `--cut` before them.
//!
//! Into `--out` go the network in one file, which `predict` and `classify` read; learning curves, the confusion matrix, a
//! sheet of the worst mistakes, and `report.json`.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/curves.rs"]
mod curves;
#[path = "../common/onnx.rs"]
mod onnx;
#[path = "../common/pixels.rs"]
mod pixels;
mod pretrained;
mod report;

use clap::{Parser, ValueEnum, builder::PossibleValuesParser};
use common::{Common, exit_on_error, say};
use ocelli::{
    data::{Broken, image_files::ImageFolder},
    models::network_names,
    prelude::*,
    train::{Finetune, Outcome, RateFinder, RunFolder, StopFlag, TrunkStatistics, Unfreezing},
};
use pixels::Pixels;
use pretrained::Pretrained;
use std::{path::PathBuf, process::ExitCode, time::Instant};

/// Trains a pretrained network for classes of one's own.
#[derive(Parser, Debug)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Folder with folders train and val that have a folder of images for each class.
    #[arg(long)]
    data: PathBuf,
    /// The pretrained network.
    #[arg(long, required_unless_present = "onnx", value_parser = PossibleValuesParser::new(network_names()))]
    net: Option<String>,
    /// Its weights: safetensors, or a file of torch.save; default: random ones.
    #[arg(long)]
    weights: Option<PathBuf>,
    /// An ONNX file with a pretrained network and its weights, in place of both.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["net", "weights"])]
    onnx: Option<PathBuf>,
    /// The part of the network that is trained.
    #[arg(long, value_enum, default_value_t = Mode::Head)]
    mode: Mode,
    /// With --mode last: a layer or block that is trained beside the head, such as layer4.1; may be repeated. Default: the
    /// last three layers with weights.
    #[arg(long)]
    train: Vec<String>,
    /// With --mode all: epochs after which the next stage of the network joins; default: all stages at once.
    #[arg(long, default_value_t = 0)]
    stage_epochs: u64,
    /// Activation behind which a new classifier replaces the network, such as layer3.
    #[arg(long)]
    cut: Option<String>,
    /// Number of epochs; default: 40 for the head alone, else 15.
    #[arg(long)]
    epochs: Option<u64>,
    /// With --mode last and all: epochs in which the head of a pretrained network is trained alone at first, on features that are
    /// computed once; 0 begins with a random head.
    #[arg(long, default_value_t = 40)]
    head_epochs: u64,
    /// Batch size.
    #[arg(long, default_value_t = 32)]
    batch: usize,
    /// Learning rate; with --mode all that of the head, and the rest has a tenth. Default: for the head alone 0.001, or 0.03
    /// with --cut, where features are small; behind a trained head 0.0003 with --mode last and 0.001 with --mode all;
    /// behind a random one 0.0005.
    #[arg(long)]
    rate: Option<f32>,
    /// Draws the loss by learning rate into --out, and stops.
    #[arg(long)]
    find_rate: bool,
    /// Share of each label that is given to all classes alike (Szegedy et al. 2016).
    #[arg(long, default_value_t = 0.0)]
    label_smoothing: f32,
    /// Weighs classes by the inverse of their number of images.
    #[arg(long)]
    balance: bool,
    /// Decay of a moving average of the weights, such as 0.99.
    #[arg(long)]
    average: Option<f32>,
    /// Preparation of images; default: as the ONNX file says, or as published weights of the network expect.
    #[arg(long, value_enum)]
    pixels: Option<Pixels>,
    /// Height and width of the images that the network sees; default: those that it was published for.
    #[arg(long)]
    size: Option<usize>,
    /// Leaves out images that cannot be read, and lists them at the end; default: the first one ends the run.
    #[arg(long)]
    skip_broken: bool,
    /// Folder to write everything to.
    #[arg(long, default_value = "runs/transfer")]
    out: PathBuf,
    /// Continues the run in --out.
    #[arg(long)]
    resume: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// The new layer alone, on features that are computed once, without augmentation.
    Head,
    /// The new layer and some before it.
    Last,
    /// Everything, the rest at a tenth of the head's rate.
    All,
}

impl Arguments {
    fn finetune(&self) -> Finetune {
        match self.mode {
            Mode::Head => Finetune::Head,
            Mode::Last if self.train.is_empty() => Finetune::Last(3),
            Mode::Last => Finetune::Layers(self.train.clone()),
            Mode::All => {
                let statistics =
                    if self.is_pretrained() { TrunkStatistics::Pretrained } else { TrunkStatistics::Batch };
                let usual = Unfreezing { stage_epochs: self.stage_epochs, statistics, ..Unfreezing::default() };
                Finetune::All(if self.begins_with_head() { Unfreezing { head_epochs: 0, ..usual } } else { usual })
            }
        }
    }

    fn epochs(&self) -> u64 {
        self.epochs.unwrap_or(if self.mode == Mode::Head { 40 } else { 15 })
    }

    fn is_pretrained(&self) -> bool {
        self.weights.is_some() || self.onnx.is_some()
    }

    /// True if the head is trained alone before it is trained with other layers.
    fn begins_with_head(&self) -> bool {
        self.mode != Mode::Head && self.is_pretrained() && self.head_epochs > 0
    }

    fn head_rate(&self) -> f32 {
        if self.cut.is_some() { 3e-2 } else { 1e-3 }
    }

    fn rate(&self) -> f32 {
        self.rate.unwrap_or(match self.mode {
            Mode::Head => self.head_rate(),
            Mode::Last if self.begins_with_head() => 3e-4,
            Mode::All if self.begins_with_head() => 1e-3,
            Mode::Last | Mode::All => 5e-4,
        })
    }

    /// Returns the treatment of images that cannot be read.
    fn broken(&self) -> Broken {
        if self.skip_broken { Broken::Skip } else { Broken::Fail }
    }

    /// Returns the loss, with weights for the classes if they are to be balanced.
    fn loss(&self, images: &dyn Dataset) -> ocelli::Result<CrossEntropy> {
        let loss = CrossEntropy::new().label_smoothing(self.label_smoothing);
        if !self.balance {
            return Ok(loss);
        }
        let counts = images.class_counts()?;
        let weight = |count: usize| images.len() as f32 / (counts.len() * count.max(1)) as f32;
        Ok(loss.class_weights(counts.iter().map(|&count| weight(count)).collect::<Vec<_>>()))
    }
}

/// Returns the pipeline of training: images are moved by up to an eighth of their side, and mirrored at random.
fn augmented(pipeline: &Pipeline, side: usize) -> Pipeline {
    let moved = Transform::RandomCrop { margin: side / 8, border: Border::Reflect };
    pipeline.clone().then(moved).then(Transform::RandomMirror(Mirror::LeftRight))
}

fn main() -> ExitCode {
    exit_on_error(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> ocelli::Result<()> {
    arguments.common.start()?;
    let (started, seed) = (Instant::now(), arguments.common.seed);
    let folder = RunFolder::open(&arguments.out)?;
    let out = folder.path();

    // the images and the network
    let (train, val) = ImageFolder::open_parts(&arguments.data)?;
    let names = train.class_names().to_vec();
    let (learnt, watched) = (train.len(), val.len());
    say(format!("{learnt} images for training, {watched} for validation, {} classes", names.len()))?;
    let mut pretrained = Pretrained::open(arguments, &names)?;
    let (pipeline, input) = (pretrained.pipeline.clone(), pretrained.input.clone());
    let cross_entropy = arguments.loss(&train)?;
    let loss = |t: &Trace| cross_entropy.loss(&t.output(), &t.labels("labels"));
    let mut adam = Adam::new(arguments.rate());

    // the head's features are computed once, of images that are the same in every epoch; otherwise images are augmented
    let augmented = match arguments.mode {
        Mode::Head => pipeline.clone(),
        Mode::Last | Mode::All => augmented(&pipeline, pretrained.size[0]),
    };
    let loader = |pipeline| -> ocelli::Result<Loader> {
        let loader = Loader::new(train.clone(), pipeline, arguments.batch)?.names(&input, "labels");
        Ok(loader.shuffle(seed).seed(seed).broken(arguments.broken()))
    };
    let source = loader(augmented)?;
    let validation = Loader::new(val.clone(), pipeline.clone(), 50)?.names(&input, "labels");
    let validation = validation.broken(arguments.broken());
    let stop = StopFlag::on_ctrl_c()?;
    let trainer = |epochs, finetune, folder: &RunFolder| {
        let trainer = Trainer::new(epochs)
            .finetune(finetune)
            .schedule(Schedule::warm_up(1.0, Schedule::Cosine { last: 0.0 }))
            .metric(Accuracy::new())
            .monitor(Monitor::highest("accuracy"))
            .run_folder(folder)
            .tensorboard()
            .stop_flag(stop.clone());
        if arguments.resume { trainer.resume() } else { trainer }
    };
    let stopped = || say(format!("stopped; go on with --resume --out {}", out.display()));
    if arguments.begins_with_head() && !arguments.find_rate {
        say("first the head alone, so that its random weights do not spoil the layers that are trained with it")?;
        let folder = RunFolder::open(out.join("head"))?;
        let trainer = trainer(arguments.head_epochs, Finetune::Head, &folder);
        let mut adam = Adam::new(arguments.head_rate());
        let trained = trainer.run(&mut pretrained.model, loss, &mut adam, &loader(pipeline)?, Some(&validation))?;
        if trained.outcome == Outcome::Interrupted {
            return Ok(stopped()?);
        }
    }
    let trainer = trainer(arguments.epochs(), arguments.finetune(), &folder);
    let trainer = match arguments.average {
        Some(decay) => trainer.average_parameters(decay),
        None => trainer,
    };
    if arguments.find_rate {
        arguments.finetune().apply(&mut pretrained.model, u64::MAX)?;
        let curve = RateFinder::new(1e-6, 1.0).run(&pretrained.model, loss, &mut adam, &source)?;
        report::draw_rates(&curve, &out.join("rates.png"))?;
        let suggestion = curve.suggestion().map_or("none".into(), |rate| format!("{rate:.1e}"));
        return Ok(say(format!("suggested learning rate: {suggestion}; the curve is in {}", out.display()))?);
    }
    let trained = trainer.run(&mut pretrained.model, loss, &mut adam, &source, Some(&validation))?;
    if trained.outcome == Outcome::Interrupted {
        return Ok(stopped()?);
    }

    // everything that is written
    let file = pretrained.write(out)?;
    curves::draw(&trained, &out.join("curves.png"))?;
    let answers = report::Answers::of(&pretrained.model, &validation)?;
    answers.draw(&val, &names, out)?;
    let seconds = started.elapsed().as_secs_f64();
    answers.write_json(&format!("{arguments:?}"), &names, &trained, seconds, &out.join("report.json"))?;
    for (name, reason) in source.broken_samples().into_iter().chain(validation.broken_samples()) {
        say(format!("left out: {name}: {reason}"))?;
    }
    let (right, share) = (answers.confusion.correct(), answers.confusion.accuracy().unwrap_or(0.0));
    say(&answers.confusion)?;
    say(format!("written to {}: {file}, curves, confusion, mistakes, report", out.display()))?;
    Ok(say(format!("validation accuracy: {share:.4} ({right} of {}), {seconds:.1} s", answers.len()))?)
}
