//! Looks inside a classifier of images: writes one HTML file with its architecture, its filters, the patches that excite its
//! units, maps of where it looks and how good they are, its activations, weights and embeddings.
//!
//! ```sh
//! cargo run --release --features vision --example look
//! cargo run --release --features vision --example look -- --model runs/lenet/weights.safetensors --images digits
//! cargo run --release --features onnx,vision --example look -- --onnx model.onnx --pixels imagenet --images photographs
//! cargo run --release --features vision --example look -- --net squeezenet1_1 --weights squeezenet1_1.safetensors --pixels caffe --size 227 --classes imagenet_classes.txt --images photographs
//! ```
//!
//! Without a network it draws its own digits and looks inside a LeNet-5 with random weights, so it runs anywhere. The file
//! needs nothing else, and no network: it can be sent. Ctrl-C writes the parts that are done.

#[path = "../common/mod.rs"]
mod common;
mod images;
#[path = "../common/onnx.rs"]
mod onnx;
#[path = "../common/output.rs"]
mod output;
#[path = "../common/pixels.rs"]
mod pixels;

use clap::{ArgGroup, Parser, builder::PossibleValuesParser};
use common::{Common, exit_on_error, say};
use ocelli::{data::synthetic, models::network_names, prelude::*, train::StopFlag, vision::Portrait};
use output::check_writable;
use pixels::{Pixels, stored_pipeline};
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
#[command(group = ArgGroup::new("source").args(["weights", "onnx"]))]
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
    /// An ONNX file with a network and its weights.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["model", "net", "weights"])]
    onnx: Option<PathBuf>,
    /// Preparation of images; default: as the file says, or as published weights of the network expect.
    #[arg(long, value_enum, requires = "source")]
    pixels: Option<Pixels>,
    /// Height and width of the images that the network sees; default: those that it was published for.
    #[arg(long, requires = "source", value_parser = clap::value_parser!(u16).range(1..=1024))]
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
    let mut subject = match arguments {
        Arguments { model: Some(path), .. } => described(path)?,
        Arguments { onnx: Some(path), .. } => imported(arguments, path)?,
        Arguments { net: Some(net), weights: Some(weights), .. } => published(arguments, net, weights)?,
        _ => untrained(arguments.common.seed)?,
    };
    if let Some(path) = &arguments.classes {
        subject.class_names = class_names(path)?;
    }
    Ok(subject)
}

/// A network in a file that describes it.
fn described(path: &Path) -> ocelli::Result<Subject> {
    let (model, description) = load_network(path)?;
    let network = description.layer()?;
    let usual = || network.pipeline([description.sample[0], description.sample[1]]);
    let pipeline = stored_pipeline(path, WeightFile::open(path)?.metadata())?.unwrap_or_else(usual);
    Ok(Subject {
        name: network.name.into(),
        model,
        pipeline,
        ranking: network.ranking,
        class_names: description.class_names,
        note: format!("Weights: {}.", file_name(path)),
    })
}

/// A network from an ONNX file.
fn imported(arguments: &Arguments, path: &Path) -> ocelli::Result<Subject> {
    let model = onnx::read_images(path, arguments.size.map(|size| [usize::from(size); 2]))?;
    let metadata = onnx::read_metadata(path)?;
    let description = onnx::describe(&model, &metadata)?;
    let (_, sample) = onnx::image_input(&model)?;
    let pipeline = match (arguments.pixels, stored_pipeline(path, &metadata)?) {
        (Some(pixels), _) => pixels.pipeline(sample),
        (None, Some(stored)) => stored,
        (None, None) => {
            return Err(format!("{} does not say how images are prepared; --pixels does", path.display()).into());
        }
    };
    let named = description.network.as_ref().and_then(|_| description.layer().ok());
    Ok(Subject {
        name: named.as_ref().map_or_else(|| file_name(path), |network| network.name.into()),
        model,
        pipeline,
        ranking: named.map_or(Ranking::Largest, |network| network.ranking),
        class_names: description.class_names,
        note: format!("Weights: {}.", file_name(path)),
    })
}

/// A network of the library with weights from a file.
fn published(arguments: &Arguments, net: &str, weights: &Path) -> ocelli::Result<Subject> {
    let names = arguments.classes.as_deref().map(class_names).transpose()?;
    let network = by_name(net, names.as_ref().map(Vec::len))?;
    let [height, width, channels] = network.sample;
    let side = |usual| arguments.size.map_or(usual, usize::from);
    let sample = [side(height), side(width), channels];
    let usual = || network.pipeline([sample[0], sample[1]]);
    let pipeline = arguments.pixels.map_or_else(usual, |pixels| pixels.pipeline(sample));
    let file = WeightFile::open(weights)?;
    let (loader, ranking) = (network.loader_for(&file), network.ranking);
    let mut model = Model::zeroed(network.layer, sample)?;
    loader.load(&mut model, weights)?;
    let note = format!("Weights: {}.", file_name(weights));
    Ok(Subject { name: net.into(), model, pipeline, ranking, class_names: Vec::new(), note })
}

fn untrained(seed: u64) -> ocelli::Result<Subject> {
    say("no network given: a LeNet-5 with random weights, which has learned nothing")?;
    let network = by_name("lenet5", 10)?;
    Ok(Subject {
        name: "LeNet-5 with random weights".into(),
        model: Model::from_layer(network.layer, network.sample, seed)?,
        pipeline: Pipeline::mnist([32, 32]),
        ranking: network.ranking,
        class_names: Vec::new(),
        note: "The weights are random: the network has learned nothing, and its answers mean nothing.".into(),
    })
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
