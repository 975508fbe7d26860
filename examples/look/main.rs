//! Looks inside a classifier of images: writes one HTML file with its architecture, its filters, the patches that excite its
//! units, maps of where it looks and how good they are, its activations, weights and embeddings.
//!
//! ```sh
//! cargo run --release --features vision --example look
//! cargo run --release --features vision --example look -- --model runs/lenet/weights.safetensors --images digits
//! cargo run --release --features vision --example look -- --net squeezenet1_1 --weights squeezenet1_1.safetensors --pixels caffe --size 227 --classes imagenet_classes.txt --images photographs
//! ```
//!
//! Without a network it draws its own digits and looks inside a LeNet-5 with random weights, so it runs anywhere. The file
//! needs nothing else, and no network: it can be sent. Ctrl-C writes the parts that are done.

#[path = "../common/mod.rs"]
mod common;
mod images;
#[path = "../common/output.rs"]
mod output;

use clap::{Parser, ValueEnum, builder::PossibleValuesParser};
use common::{Common, exit_on_error, say};
use ocelli::{
    data::synthetic,
    models::{PREPROCESSING, network_names},
    prelude::*,
    train::StopFlag,
    vision::Portrait,
};
use output::check_writable;
use std::{
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Instant,
};

/// Looks inside a classifier of images.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    /// A file that describes its network, as `train_lenet` and `classify --save` write it.
    #[arg(long, conflicts_with_all = ["net", "weights"])]
    model: Option<PathBuf>,
    /// The network that the weights belong to.
    #[arg(long, requires = "weights", value_parser = PossibleValuesParser::new(network_names()))]
    net: Option<String>,
    /// Weights in PyTorch's names: safetensors, or a file of torch.save.
    #[arg(long, requires = "net")]
    weights: Option<PathBuf>,
    /// Preparation of images for `--weights`; default: as published weights of the network expect.
    #[arg(long, value_enum, requires = "weights")]
    pixels: Option<Pixels>,
    /// Height and width of the images that the network sees; default: those that it was published for.
    #[arg(long, requires = "weights", value_parser = clap::value_parser!(u16).range(1..=1024))]
    size: Option<u16>,
    /// File with the names of the classes, one on each line.
    #[arg(long)]
    classes: Option<PathBuf>,
    /// A folder of images, of folders of images, or of MNIST; an archive of folders; records of CIFAR-10. Default: digits that
    /// are drawn.
    #[arg(long)]
    images: Option<PathBuf>,
    /// Largest number of images.
    #[arg(long, default_value_t = 2000)]
    samples: usize,
    /// Number of images that maps are shown of.
    #[arg(long, default_value_t = 4)]
    pictures: usize,
    /// Number of channels of each layer that are shown.
    #[arg(long, default_value_t = 6)]
    channels: usize,
    /// Names of the activations that are shown; default: the last of each size.
    #[arg(long, value_delimiter = ',')]
    layers: Vec<String>,
    /// The HTML file.
    #[arg(long, default_value = "gallery.html")]
    out: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum Pixels {
    /// The middle of the image, standardised by the statistics of ImageNet.
    Imagenet,
    /// The whole image; blue, green, red from 0 to 255, minus their means.
    Caffe,
}

fn main() -> ExitCode {
    exit_on_error(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> ocelli::Result<()> {
    arguments.common.start()?;
    check_writable(&arguments.out)?;
    let (stop, started) = (StopFlag::on_ctrl_c()?, Instant::now());
    let mut subject = subject(arguments)?;
    let (images, origin): (Arc<dyn Dataset>, String) = match &arguments.images {
        Some(path) => (images::open(path, &subject.class_names)?, file_name(path)),
        None => (
            Arc::new(synthetic::digits(arguments.samples, arguments.common.seed)),
            "digits drawn by the program".into(),
        ),
    };
    let all = images.len();
    let images: Arc<dyn Dataset> = match all > arguments.samples {
        true => Arc::new(images.take(0..arguments.samples)?),
        false => images,
    };
    if subject.class_names.is_empty() {
        subject.class_names = images.class_names().to_vec();
    }
    let portrait = Portrait {
        ranking: subject.ranking,
        class_names: subject.class_names,
        note: format!("{} Images: {origin}.", subject.note),
        pictures: arguments.pictures,
        channels: arguments.channels,
        layers: arguments.layers.clone(),
        ..Portrait::new(subject.name, &subject.model, subject.pipeline)
    };
    let mut failed = None;
    let page = portrait.page(images, |what| {
        let seconds = started.elapsed().as_secs_f64();
        failed = failed.take().or(say(format_args!("{seconds:6.1} s  {what}")).err());
        if stop.is_set() || failed.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    page.write(&arguments.out)?;
    let (megabytes, seconds) = (page.html().len() as f64 / 1e6, started.elapsed().as_secs_f64());
    Ok(say(format_args!("wrote {}: {megabytes:.1} MB in {seconds:.1} s", arguments.out.display()))?)
}

/// The last part of a path, for the page: it may be sent to others.
fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// The network that is looked into.
struct Subject {
    name: String,
    model: Model,
    pipeline: Pipeline,
    ranking: Ranking,
    class_names: Vec<String>,
    note: String,
}

fn subject(arguments: &Arguments) -> ocelli::Result<Subject> {
    let names = arguments.classes.as_deref().map(class_names).transpose()?;
    if let Some(path) = &arguments.model {
        let (model, description) = load_network(path)?;
        let network = description.layer()?;
        let pipeline = match WeightFile::open(path)?.metadata().get(PREPROCESSING) {
            Some(text) => serde_json::from_str(text)
                .map_err(|error| format!("{}: how images are prepared: {error}", path.display()))?,
            None => network.pipeline([description.sample[0], description.sample[1]]),
        };
        let note = format!("Weights: {}.", file_name(path));
        let class_names = names.unwrap_or(description.class_names);
        return Ok(Subject { name: network.name.into(), model, pipeline, ranking: network.ranking, class_names, note });
    }
    let (Some(net), Some(weights)) = (&arguments.net, &arguments.weights) else {
        say("no network given: a LeNet-5 with random weights, which has learned nothing")?;
        let network = by_name("lenet5", 10)?;
        return Ok(Subject {
            name: "LeNet-5 with random weights".into(),
            model: Model::from_layer(network.layer, network.sample, arguments.common.seed)?,
            pipeline: Pipeline::mnist([32, 32]),
            ranking: network.ranking,
            class_names: names.unwrap_or_default(),
            note: "The weights are random: the network has learned nothing, and its answers mean nothing.".into(),
        });
    };
    let network = by_name(net, names.as_ref().map(Vec::len))?;
    let [height, width, channels] = network.sample;
    let side = |usual| arguments.size.map_or(usual, usize::from);
    let size = [side(height), side(width)];
    let pipeline = match arguments.pixels {
        Some(Pixels::Imagenet) => Pipeline::imagenet(size),
        Some(Pixels::Caffe) => Pipeline::caffe(size),
        None => network.pipeline(size),
    };
    let file = WeightFile::open(weights)?;
    let loader = network.loader_for(&file);
    let mut model = Model::zeroed(network.layer, [size[0], size[1], channels])?;
    loader.load(&mut model, weights)?;
    let note = format!("Weights: {}.", file_name(weights));
    let class_names = names.unwrap_or_default();
    Ok(Subject { name: net.clone(), model, pipeline, ranking: network.ranking, class_names, note })
}

/// Reads class names, one on each line.
fn class_names(path: &Path) -> Result<Vec<String>, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let names: Vec<String> = text.trim_end().lines().map(|line| line.trim().to_string()).collect();
    match names.is_empty() {
        true => Err(format!("{}: no names of classes, one on each line", path.display())),
        false => Ok(names),
    }
}
