//! Faces: trains an encoder, compares two images, enrols people, and finds whom an image shows.
//!
//! ```sh
//! cargo run --release --features vision --example faces -- train --out runs/faces                     # generated faces
//! cargo run --release --features vision --example faces -- train --data faces --out runs/faces
//! cargo run --release --features vision --example faces -- train --data faces --loss triplet --mining semi-hard
//! cargo run --release --features vision --example faces -- verify --model runs/faces/encoder.safetensors a.png b.png
//! cargo run --release --features vision --example faces -- enrol --model ENCODER --gallery people.gallery ann ann1.png ann2.png
//! cargo run --release --features vision --example faces -- identify --model ENCODER --gallery people.gallery someone.png
//! ```
//!
//! `--dlib dlib-face-encoder.safetensors` in place of `--model` takes dlib's published weights, and nothing is trained.

mod baselines;
#[path = "../common/mod.rs"]
mod common;
mod drawings;
mod train;

use clap::{Args, Parser, Subcommand};
use common::{Common, exit_on_error, say};
use ocelli::{
    data::image_files::decode_file,
    prelude::Tensor,
    vision::{EncoderSettings, FaceEncoder, Gallery, Views, distance_matrix},
};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Verifies and recognises faces.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Trains an encoder, measures it beside the baselines on people whom it has not seen, and draws the results.
    Train(train::Arguments),
    /// Says whether two images show one person.
    Verify {
        #[command(flatten)]
        encoder: Encoder,
        /// One image.
        a: PathBuf,
        /// The other image.
        b: PathBuf,
    },
    /// Adds images of a person to a gallery, which is made if it does not exist.
    Enrol {
        #[command(flatten)]
        encoder: Encoder,
        /// The file of the gallery.
        #[arg(long)]
        gallery: PathBuf,
        /// The name of the person.
        name: String,
        /// Images of the person.
        #[arg(required = true)]
        images: Vec<PathBuf>,
    },
    /// Finds whom an image shows.
    Identify {
        #[command(flatten)]
        encoder: Encoder,
        /// The file of the gallery.
        #[arg(long)]
        gallery: PathBuf,
        /// The image.
        image: PathBuf,
    },
}

/// The encoder that a command uses.
#[derive(Args)]
struct Encoder {
    /// An encoder in one file, written by `faces train`.
    #[arg(long, default_value = "runs/faces/encoder.safetensors", conflicts_with = "dlib")]
    model: PathBuf,
    /// dlib's published weights as safetensors, in place of --model.
    #[arg(long)]
    dlib: Option<PathBuf>,
    /// The distance up to which two images show one person; default: the one that is stored with the encoder.
    #[arg(long)]
    threshold: Option<f32>,
}

impl Encoder {
    fn load(&self) -> ocelli::Result<FaceEncoder> {
        let mut encoder = match &self.dlib {
            Some(path) => FaceEncoder::with_weights(EncoderSettings::dlib(), path)?.views(Views::WithMirrored),
            None => FaceEncoder::load(&self.model)?,
        };
        if let Some(threshold) = self.threshold {
            encoder.set_threshold(threshold)?;
        }
        Ok(encoder)
    }
}

fn main() -> ExitCode {
    exit_on_error(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> ocelli::Result<()> {
    arguments.common.start()?;
    match &arguments.command {
        Command::Train(train) => train::run(train, arguments.common.seed),
        Command::Verify { encoder, a, b } => verify(&encoder.load()?, a, b),
        Command::Enrol { encoder, gallery, name, images } => enrol(&encoder.load()?, gallery, name, images),
        Command::Identify { encoder, gallery, image } => identify(&encoder.load()?, gallery, image),
    }
}

fn verify(encoder: &FaceEncoder, a: &Path, b: &Path) -> ocelli::Result<()> {
    let embeddings = [encoder.embed_image(&decode_file(a)?)?, encoder.embed_image(&decode_file(b)?)?].concat();
    let distance = distance_matrix(&Tensor::from_vec([2, encoder.features()], embeddings)?)?.data()[1];
    let threshold = encoder.threshold();
    let answer = if distance <= threshold { "one person" } else { "two persons" };
    Ok(say(format!("{answer}: distance {distance:.3}, threshold {threshold:.3}"))?)
}

fn enrol(encoder: &FaceEncoder, file: &Path, name: &str, images: &[PathBuf]) -> ocelli::Result<()> {
    let fingerprint = encoder.fingerprint();
    let mut gallery = match file.exists() {
        true => Gallery::load(file, fingerprint)?,
        false => Gallery::new(fingerprint, encoder.features(), encoder.threshold()),
    };
    for image in images {
        gallery.enrol(name, &encoder.embed_image(&decode_file(image)?)?)?;
    }
    gallery.save(file)?;
    let (people, embeddings) = (gallery.people(), gallery.len());
    Ok(say(format!("{}: {people} people, {embeddings} images", file.display()))?)
}

fn identify(encoder: &FaceEncoder, file: &Path, image: &Path) -> ocelli::Result<()> {
    let gallery = Gallery::load(file, encoder.fingerprint())?;
    let embedding = encoder.embed_image(&decode_file(image)?)?;
    let found = gallery.identify(&embedding)?;
    let person = found.person.unwrap_or("unknown");
    let nearest = found.nearest.unwrap_or("nobody is enrolled");
    Ok(say(format!("{person} (nearest: {nearest}, at a distance of {:.3})", found.distance))?)
}
