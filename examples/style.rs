//! Paints a photograph in the style of a painting (Gatys, Ecker and Bethge 2015).
//!
//! ```sh
//! cargo run --release --features onnx,vision --example style -- --content town.jpg --style starry_night.jpg --weights vgg19.safetensors --out out.png
//! cargo run --release --features onnx,vision --example style -- --content town.jpg --style a.jpg --style b.jpg --preset modern --weights vgg19.safetensors --out out.png
//! cargo run --release --features onnx,vision --example style -- --content town.jpg --style wave.jpg --weights vgg19_normalised.safetensors --decoders wct.safetensors --out out.png
//! cargo run --release --features onnx,vision --example style -- --content town.jpg --onnx multistyle26.onnx --share 0,0,0.5,0.5 --out out.png
//! ```
//!
//! `--weights` takes any cut of a VGG, as `features.N` or `convS_N`; layers beyond it are left out of the costs. Without
//! weights the filters are random: the command then runs anywhere, and paints textures rather than styles. With
//! `--decoders` the image is made in one pass through the network (Huang and Belongie 2017, Li et al. 2017), and with
//! `--onnx` by a network that was trained for its styles (Johnson et al. 2016, Dumoulin et al. 2017). Ctrl-C keeps the best
//! image so far.

mod common;

use clap::{Parser, ValueEnum};
use common::{Common, exit_on_error, say};
use ocelli::{
    data::image_files,
    onnx::Import,
    plot::{Chart, Scale as Axis, charts},
    prelude::*,
    train::StopFlag,
    vision::{
        VggFeatures, resize,
        style::{Colour, FastStyle, PixelOptimizer, Start, Statistic, Style, StyleTransfer},
    },
};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

/// Paints a photograph in the style of a painting.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    /// The photograph: PNG, JPEG, PNM or BMP.
    #[arg(long)]
    content: PathBuf,
    /// The painting; several are mixed.
    #[arg(long, required_unless_present = "onnx")]
    style: Vec<PathBuf>,
    /// Shares of the paintings, or of the styles that a network knows; default: equal.
    #[arg(long, value_delimiter = ',')]
    share: Vec<f32>,
    /// Masks of the paintings, in their order: white where the photograph takes the style.
    #[arg(long)]
    mask: Vec<PathBuf>,
    /// Weights of a VGG, cut anywhere; default: random filters.
    #[arg(long)]
    weights: Option<PathBuf>,
    /// The network whose random filters are taken where there are no weights.
    #[arg(long, value_enum, default_value_t = Net::Vgg19)]
    net: Net,
    /// Decoders for the fast style transfer.
    #[arg(long, requires = "weights")]
    decoders: Option<PathBuf>,
    /// An ONNX file with a network that paints in its own styles: its input is an image, and perhaps a share of each style.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["style", "weights", "mask"])]
    onnx: Option<PathBuf>,
    /// The statistics that the fast style transfer exchanges.
    #[arg(long, value_enum, default_value_t = Fast::Adain)]
    statistic: Fast,
    /// The settings to start from.
    #[arg(long, value_enum, default_value_t = Preset::Gatys)]
    preset: Preset,
    /// Longer side of the image in pixels.
    #[arg(long, default_value_t = 384, value_parser = clap::value_parser!(u16).range(1..=8192))]
    size: u16,
    /// Weight of the content.
    #[arg(long)]
    alpha: Option<f32>,
    /// Weight of the style.
    #[arg(long)]
    beta: Option<f32>,
    /// Weight of the variation between neighbouring pixels.
    #[arg(long)]
    tv: Option<f32>,
    /// Number of steps at each scale.
    #[arg(long)]
    steps: Option<usize>,
    /// Optimiser of the pixels.
    #[arg(long, value_enum)]
    optimizer: Option<Optimiser>,
    /// Image to start from.
    #[arg(long, value_enum)]
    init: Option<Init>,
    /// Keeps the colours of the photograph.
    #[arg(long, value_enum, num_args = 0..=1, default_missing_value = "luminance")]
    keep_colour: Option<KeepColour>,
    /// Smallest scale in pixels, from which sizes grow by √2; default: that of the preset.
    #[arg(long)]
    coarsest: Option<usize>,
    /// Memory in MiB above which activations are computed again in place of being kept.
    #[arg(long)]
    memory: Option<usize>,
    /// Writes the image every so many steps, beside the result.
    #[arg(long, default_value_t = 0)]
    every: usize,
    /// Result, as a PNG file.
    #[arg(long)]
    out: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum Net {
    Vgg16,
    Vgg19,
}

#[derive(Clone, Copy, ValueEnum)]
enum Fast {
    /// Mean and deviation of each channel.
    Adain,
    /// Mean and covariance: whitening and colouring.
    Wct,
}

#[derive(Clone, Copy, ValueEnum)]
enum Preset {
    Gatys,
    Course,
    Modern,
}

#[derive(Clone, Copy, ValueEnum)]
enum Optimiser {
    Lbfgs,
    Adam,
}

#[derive(Clone, Copy, ValueEnum)]
enum Init {
    Content,
    Style,
    Noise,
}

#[derive(Clone, Copy, ValueEnum)]
enum KeepColour {
    /// The result gives the luminance alone.
    Luminance,
    /// The colours of the painting are matched to those of the photograph.
    Match,
}

fn main() -> ExitCode {
    exit_on_error(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> ocelli::Result<()> {
    arguments.common.start()?;
    let whole = Pipeline::new();
    let content = whole.load(&arguments.content)?;
    if let Some(file) = &arguments.onnx {
        return paint_by_network(arguments, file, &content);
    }
    let styles = styles(arguments, &whole)?;
    let features = features(arguments)?;
    if let Some(decoders) = &arguments.decoders {
        return paint_fast(arguments, features, decoders, &content, &styles);
    }
    let transfer = settings(arguments)?.fitted_to(&features)?;
    let names = |layers: &[(String, f32)]| layers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    say(format!("content in {}; style in {}", names(&transfer.content_layers), names(&transfer.style_layers)))?;
    for memory in transfer.plan(&features, &content, &styles)? {
        let [height, width] = memory.size;
        let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
        let again = if memory.recomputes { ", activations computed again" } else { "" };
        let (network, optimizer) = (mib(memory.network), mib(memory.optimizer));
        say(format!("{width} x {height} pixels: {network:.0} MiB and {optimizer:.0} MiB for the optimiser{again}"))?;
    }

    let stop = StopFlag::on_ctrl_c()?;
    let (started, mut curve, mut failed) = (Instant::now(), Vec::new(), None);
    let stylised = transfer.run(&features, &content, &styles, &stop, |step| {
        curve.push(step.total);
        let every = (step.steps / 10).max(1);
        if step.step == 1 || step.step % every == 0 {
            let seconds = started.elapsed().as_secs_f64();
            let line = format!(
                "scale {} step {:4} of {}: total {:.4e}, content {:.3e}, style {:.3e}, variation {:.3e}, {seconds:.1} s",
                step.scale + 1, step.step, step.steps, step.total, step.content, step.style, step.variation,
            );
            failed = failed.take().or(say(line).err());
        }
        if arguments.every > 0 && step.step % arguments.every == 0 {
            let name = beside(&arguments.out, &format!("-{}-{:04}.png", step.scale + 1, step.step));
            if let Err(error) = image_files::save_png(step.image, name) {
                eprintln!("warning: {error}");
            }
        }
        if failed.is_some() {
            stop.set();
        }
    })?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    image_files::save_png(&stylised.image, &arguments.out)?;
    if curve.is_empty() {
        return Ok(say(format!("wrote {}, after no step", arguments.out.display()))?);
    }
    let points = curve.iter().enumerate().map(|(step, total)| (step as f64 + 1.0, *total));
    let chart = Chart::new("total cost").x_label("step").scale(Axis::Logarithmic).series("total", points);
    let chart_file = beside(&arguments.out, "-curve.png");
    charts(&[chart], &chart_file)?;
    if let [first, .., last] = stylised.totals[..] {
        let fell = stylised.totals.windows(2).filter(|pair| pair[1] < pair[0]).count();
        let (steps, factor) = (stylised.totals.len() - 1, first / last);
        say(format!(
            "total cost {first:.4e} to {last:.4e}: a factor of {factor:.1}; it fell at {fell} of {steps} steps"
        ))?;
    }
    let stopped = if stylised.stopped { ", stopped early" } else { "" };
    Ok(say(format!("wrote {} and {}{stopped}", arguments.out.display(), chart_file.display()))?)
}

/// A file beside the result, with its name and another ending.
fn beside(out: &Path, ending: &str) -> PathBuf {
    let stem = out.file_stem().unwrap_or_default().to_string_lossy();
    out.with_file_name(format!("{stem}{ending}"))
}

fn styles(arguments: &Arguments, whole: &Pipeline) -> ocelli::Result<Vec<Style>> {
    let mut styles = Vec::new();
    for (number, path) in arguments.style.iter().enumerate() {
        let mut style = Style::new(whole.load(path)?);
        style.weight = arguments.share.get(number).copied().unwrap_or(1.0);
        if let Some(mask) = arguments.mask.get(number) {
            style.mask = Some(whole.clone().grey().load(mask)?);
        }
        styles.push(style);
    }
    Ok(styles)
}

fn features(arguments: &Arguments) -> ocelli::Result<VggFeatures> {
    match &arguments.weights {
        Some(path) => Ok(VggFeatures::load(path)?),
        None => {
            say("no --weights: the filters are random, which paints textures rather than styles")?;
            let stages: &[usize] = match arguments.net {
                Net::Vgg16 => &[2, 2, 3, 3, 1],
                Net::Vgg19 => &[2, 2, 4, 4, 1],
            };
            Ok(VggFeatures::random(stages, arguments.common.seed))
        }
    }
}

fn settings(arguments: &Arguments) -> ocelli::Result<StyleTransfer> {
    let mut transfer = match arguments.preset {
        Preset::Gatys => StyleTransfer::gatys(),
        Preset::Course => StyleTransfer::course(),
        Preset::Modern => StyleTransfer::modern(),
    };
    let size = usize::from(arguments.size);
    let [first_steps, steps] = match arguments.preset {
        Preset::Gatys | Preset::Course => [200, 200],
        Preset::Modern => [1000, 500],
    };
    let coarsest = arguments.coarsest.unwrap_or(if transfer.scales.len() > 1 { 128 } else { size });
    let steps = arguments.steps.map_or([first_steps, steps], |steps| [steps; 2]);
    transfer.scales = StyleTransfer::coarse_to_fine(coarsest, size, steps);
    transfer.alpha = arguments.alpha.unwrap_or(transfer.alpha);
    transfer.beta = arguments.beta.unwrap_or(transfer.beta);
    transfer.gamma = arguments.tv.unwrap_or(transfer.gamma);
    transfer.memory_limit = arguments.memory.map(|mib| mib << 20);
    match arguments.optimizer {
        Some(Optimiser::Lbfgs) => transfer.optimizer = PixelOptimizer::Lbfgs { history: 10 },
        Some(Optimiser::Adam) => transfer.optimizer = PixelOptimizer::Adam { rate: 0.02, averaged: None },
        None => {}
    }
    match arguments.init {
        Some(Init::Content) => transfer.start = Start::Content,
        Some(Init::Style) => transfer.start = Start::Style,
        Some(Init::Noise) => transfer.start = Start::Noise(arguments.common.seed),
        None => {}
    }
    match arguments.keep_colour {
        Some(KeepColour::Luminance) => transfer.colour = Colour::LuminanceOnly,
        Some(KeepColour::Match) => transfer.colour = Colour::Matched,
        None => {}
    }
    Ok(transfer)
}

fn paint_fast(
    arguments: &Arguments,
    features: VggFeatures,
    decoders: &Path,
    content: &Tensor,
    styles: &[Style],
) -> ocelli::Result<()> {
    let fast = FastStyle::load(features, decoders)?;
    let statistic = match arguments.statistic {
        Fast::Adain => Statistic::MeanAndDeviation,
        Fast::Wct => Statistic::Covariance,
    };
    let fitted = |image: &Tensor| resize(image, size_of(image, arguments.size));
    let (content, style) = (fitted(content)?, fitted(&styles[0].image)?);
    let started = Instant::now();
    let image = fast.run(&content, &style, statistic, arguments.alpha.unwrap_or(1.0))?;
    let seconds = started.elapsed().as_secs_f64();
    image_files::save_png(&image, &arguments.out)?;
    Ok(say(format!("wrote {} in {seconds:.2} s", arguments.out.display()))?)
}

/// Height and width of an image whose longer side gets so many pixels.
fn size_of(image: &Tensor, longer: u16) -> [usize; 2] {
    let [height, width] = [image.shape()[1], image.shape()[2]];
    let factor = f64::from(longer) / height.max(width) as f64;
    [height, width].map(|side| ((side as f64 * factor).round() as usize).max(1))
}

/// Halvings of the image in networks that paint: its sides are multiples of `1 << HALVINGS`.
const HALVINGS: u32 = 2;

/// Paints in one pass through a network that was trained for its styles.
fn paint_by_network(arguments: &Arguments, file: &Path, content: &Tensor) -> ocelli::Result<()> {
    let size = size_of(content, arguments.size).map(|side| side.next_multiple_of(1 << HALVINGS));
    let imported = Import::new().image_size(size).read(file)?;
    let graph = imported.model.graph();
    let mut batch = Batch::new();
    for name in &imported.inputs {
        let shape = graph.find(name).map(|value| graph.values[value].shape.at(1)).unwrap_or_default();
        batch = match shape[..] {
            [_, height, width, _] => batch.with(name, resize(content, [height, width])?),
            _ => batch.with(name, shares(arguments, shape).map_err(|reason| format!("{}: {reason}", file.display()))?),
        };
    }
    let started = Instant::now();
    let image = imported.model.run(&batch, &["output"])?.swap_remove(0);
    let seconds = started.elapsed().as_secs_f64();
    image_files::save_png(&image, &arguments.out)?;
    Ok(say(format!("wrote {} in {seconds:.2} s", arguments.out.display()))?)
}

/// The share of each style that a network knows; those that are not said are 0.
fn shares(arguments: &Arguments, shape: Vec<usize>) -> Result<Tensor, String> {
    let (known, given): (usize, f32) = (shape.iter().product(), arguments.share.iter().sum());
    if arguments.share.len() > known {
        return Err(format!("{} shares, but the network knows {known} styles", arguments.share.len()));
    }
    if !arguments.share.is_empty() && (arguments.share.iter().any(|share| *share < 0.0) || given <= 0.0) {
        return Err("shares are not negative, and one of them is above 0".into());
    }
    let share = |style: usize| match arguments.share.get(style) {
        Some(share) => share / given,
        None if arguments.share.is_empty() => 1.0 / known as f32,
        None => 0.0,
    };
    Tensor::from_vec(shape, (0..known).map(share).collect()).map_err(|error| error.to_string())
}
