//! Measures how fast images are decoded, augmented and batched, on one core and on all, and beside a training step.
//!
//! ```sh
//! cargo run --release --example loader_bench -- photo.jpg
//! cargo run --release --example loader_bench -- animals/train --net squeezenet1_1 --batch 32
//! ```

mod common;

use clap::Parser;
use common::{Common, exit_on_error, say};
use ocelli::{
    data::{
        Choice, Epoch, Scratch,
        image_files::{ImageFolder, decode_bytes, decode_bytes_part},
    },
    prelude::*,
};
use std::{
    fs,
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// Measures how many images a second are decoded, augmented and batched.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    /// An image file, or a folder with a folder of images for each class.
    data: PathBuf,
    /// Rows and columns of the network's input.
    #[arg(long, default_value_t = 224, value_parser = clap::value_parser!(u16).range(16..=1024))]
    size: u16,
    /// Images in a batch.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    batch: u16,
    /// Seconds for each measurement.
    #[arg(long, default_value_t = 2.0)]
    seconds: f32,
    /// Leaves out files that cannot be decoded, and lists them; default: the first one ends the run.
    #[arg(long)]
    skip_broken: bool,
    /// A network whose training step runs beside the loader.
    #[arg(long)]
    net: Option<String>,
}

/// Encoded images in memory, over and over: what is measured is not the disk.
struct Encoded {
    files: Vec<Vec<u8>>,
    classes: Vec<String>,
}

/// Images of an epoch: more than any measurement reads.
const IMAGES: usize = 1 << 20;

impl Dataset for Encoded {
    fn len(&self) -> usize {
        IMAGES
    }
    fn class_names(&self) -> &[String] {
        &self.classes
    }
    fn label(&self, index: usize) -> ocelli::data::Result<u32> {
        Ok((index % self.classes.len()) as u32)
    }
    fn read(&self, index: usize, image: &mut Image) -> ocelli::data::Result<()> {
        *image = decode_bytes(&self.files[index % self.files.len()])?;
        Ok(())
    }
    fn read_part(&self, index: usize, image: &mut Image, part: &mut Choice<'_>) -> ocelli::data::Result<()> {
        *image = decode_bytes_part(&self.files[index % self.files.len()], part)?;
        Ok(())
    }
}

/// Repeats `work` for some time; returns how often it was done in a second.
fn rate(limit: Duration, mut work: impl FnMut(usize) -> ocelli::Result<()>) -> ocelli::Result<f64> {
    let (started, mut count) = (Instant::now(), 0);
    while started.elapsed() < limit {
        work(count)?;
        count += 1;
    }
    Ok(count as f64 / started.elapsed().as_secs_f64())
}

/// Takes the next batch.
fn next(epoch: &mut Epoch) -> ocelli::Result<Batch> {
    Ok(epoch.next().ok_or("the measurement took longer than an epoch")??)
}

fn main() -> ExitCode {
    exit_on_error(run(&Arguments::parse()))
}

/// Reads up to a thousand files.
fn files(path: &PathBuf) -> ocelli::Result<Vec<(PathBuf, Vec<u8>)>> {
    if path.is_file() {
        return Ok(vec![(path.clone(), fs::read(path)?)]);
    }
    let folder = ImageFolder::open(path)?;
    let paths = (0..folder.len().min(1000)).filter_map(|index| folder.file(index));
    Ok(paths.map(|path| Ok((path.to_path_buf(), fs::read(path)?))).collect::<std::io::Result<_>>()?)
}

fn run(arguments: &Arguments) -> ocelli::Result<()> {
    arguments.common.start()?;
    let limit = Duration::try_from_secs_f32(arguments.seconds).map_err(ocelli::Error::other)?;
    let (size, batch) = ([usize::from(arguments.size); 2], usize::from(arguments.batch));
    let mut files = files(&arguments.data)?;
    if arguments.skip_broken {
        let mut broken = Vec::new();
        files.retain(|(path, bytes)| match decode_bytes(bytes) {
            Ok(_) => true,
            Err(error) => {
                broken.push(format!("left out: {}: {error}", path.display()));
                false
            }
        });
        broken.iter().try_for_each(say)?;
    }
    if files.is_empty() {
        return Err("no image is left to measure with".into());
    }
    let files = files.into_iter().map(|(_, bytes)| bytes).collect();
    let classes = (0..1000).map(|class: u32| class.to_string()).collect();
    let images = Arc::new(Encoded { files, classes });
    let pipeline = Pipeline::imagenet(size)
        .with_transforms([Transform::random_resized_crop(size), Transform::RandomMirror(Mirror::LeftRight)]);
    let [height, width, channels] = pipeline.shape(None)?;

    // one core: decoding alone, the pipeline alone, both
    let (mut image, mut scratch) = (Image::default(), Scratch::default());
    let mut out = vec![0.0; height * width * channels];
    let decoded = rate(limit, |index| Ok(images.read(index, &mut image)?))?;
    images.read(0, &mut image)?;
    let source = image.clone();
    let [rows, columns] = source.size();
    say(format!("images of {rows} x {columns} pixels to {height} x {width}, a second:"))?;
    let key = Key::new(arguments.common.seed);
    let prepared = rate(limit, |index| {
        image.reshape([rows, columns, source.channels()])?.copy_from_slice(source.pixels());
        Ok(pipeline.apply(&mut image, key.at(index as u64), &mut scratch, &mut out)?)
    })?;
    say(format!("{decoded:10.0}  decoded, one core"))?;
    say(format!("{prepared:10.0}  augmented and normalised, one core"))?;

    // batches
    let cores = thread::available_parallelism()?.get();
    let loader =
        |workers| Ok::<_, ocelli::Error>(Loader::new(images.clone(), pipeline.clone(), batch)?.workers(workers));
    for workers in [1, cores] {
        let mut epoch = loader(workers)?.epoch(0);
        next(&mut epoch)?;
        let batches = rate(limit, |_| next(&mut epoch).map(drop))?;
        say(format!("{:10.0}  in batches of {batch}, by {workers} workers", batches * batch as f64))?;
    }

    // beside a training step
    let Some(net) = &arguments.net else { return Ok(()) };
    let mut model = Model::from_layer(by_name(net, 1000)?.layer, [height, width, channels], arguments.common.seed)?;
    let mut objective = model.objective(|t| softmax_cross_entropy(&t.output(), &t.labels("labels")))?;
    let mut sgd = Sgd::new(1e-3);
    let mut epoch = loader(cores)?.epoch(0);
    let first = next(&mut epoch)?;
    let mut step = |batch: &Batch| -> ocelli::Result<()> {
        let step = objective.step(&mut model, batch)?;
        Ok(sgd.step(&mut model, &step)?)
    };
    step(&first)?;
    let alone = rate(limit, |_| step(&first))?;
    let together = rate(limit, |_| step(&next(&mut epoch)?))?;
    say(format!("{:10.0}  trained on, the same batch again and again", alone * batch as f64))?;
    Ok(say(format!("{:10.0}  trained on, with the loader beside", together * batch as f64))?)
}
