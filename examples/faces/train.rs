//! `faces train`: training, measurement beside the baselines, report.

use super::{drawings, say};
use clap::{Args, ValueEnum};
use ocelli::{
    data::{Identities, Image, image_files::decode_file, synthetic_faces},
    losses::{ArcFace, ContrastiveLoss, Difference, Mining, TripletLoss},
    prelude::{AdamW, Key, Schedule, Tensor, Trainer},
    train::{RunFolder, StopFlag},
    vision::{
        Architecture, Eigenfaces, EncoderSettings, FaceEncoder, FaceLoss, FaceSet, FaceTraining, Fisherfaces,
        VerificationScores, Views, evaluate_embeddings,
    },
};
use serde::Serialize;
use std::{path::PathBuf, time::Instant};

/// Principal components of the eigenfaces, and of the Fisherfaces (Belhumeur et al. 1997).
const COMPONENTS: [usize; 2] = [50, 100];

#[derive(Args)]
pub struct Arguments {
    /// Folder with a subfolder of images for each person; without it, faces are drawn.
    #[arg(long)]
    data: Option<PathBuf>,
    /// The loss.
    #[arg(long, value_enum, default_value_t = Loss::Arcface)]
    loss: Loss,
    /// The choice of triplets within a batch, of the triplet loss.
    #[arg(long, value_enum, default_value_t = Triplets::SemiHard)]
    mining: Triplets,
    /// Number of epochs.
    #[arg(long, default_value_t = 60)]
    epochs: u64,
    /// Number of identities in a batch.
    #[arg(long, default_value_t = 10)]
    identities: usize,
    /// Number of images of each identity in a batch.
    #[arg(long, default_value_t = 5)]
    images: usize,
    /// Number of batches of an epoch in which each identity is.
    #[arg(long, default_value_t = 2)]
    rounds: usize,
    /// Number of people, drawn by the seed of the split, who are tested and not trained on; default: a third.
    #[arg(long)]
    held_out: Option<usize>,
    /// Seed of the split; without it, the last people in the order of their names are held out.
    #[arg(long)]
    split: Option<u64>,
    /// Learning rate.
    #[arg(long, default_value_t = 1e-3)]
    rate: f32,
    /// Channels of the first stage of the encoder.
    #[arg(long, default_value_t = 16)]
    width: usize,
    /// dlib's published weights as safetensors, to measure that encoder too.
    #[arg(long)]
    dlib: Option<PathBuf>,
    /// Share of pairs of two persons that the stored threshold may accept; default: that of equal errors.
    #[arg(long)]
    false_accepts: Option<f64>,
    /// Folder to write the encoder, the report and the drawings to.
    #[arg(long, default_value = "runs/faces")]
    out: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum Loss {
    Triplet,
    Contrastive,
    Siamese,
    ChiSquare,
    Arcface,
    Softmax,
}

#[derive(Clone, Copy, ValueEnum)]
enum Triplets {
    All,
    Hard,
    SemiHard,
    /// Semi-hard at first, the hardest in the end.
    WarmUp,
}

/// The scores of one method.
#[derive(Serialize)]
struct Row {
    method: String,
    #[serde(flatten)]
    scores: VerificationScores,
}

#[derive(Serialize)]
struct Report<'a> {
    people_trained: usize,
    people_tested: usize,
    images_tested: usize,
    epochs: usize,
    seconds: f64,
    threshold: f32,
    history: &'a [ocelli::train::EpochRecord],
    results: &'a [Row],
}

impl Arguments {
    fn loss(&self) -> FaceLoss {
        let triplets = |mining| TripletLoss::default().mined(mining);
        match (self.loss, self.mining) {
            (Loss::Triplet, Triplets::All) => FaceTraining::triplets(Mining::All),
            (Loss::Triplet, Triplets::Hard) => FaceTraining::triplets(Mining::Hard),
            (Loss::Triplet, Triplets::SemiHard) => FaceTraining::triplets(Mining::SemiHard),
            (Loss::Triplet, Triplets::WarmUp) => {
                let epochs = self.epochs as f32;
                FaceLoss::Triplet { triplets: triplets(Mining::SemiHard), warm_up: Some(0.2 * epochs..0.8 * epochs) }
            }
            (Loss::Contrastive, _) => FaceLoss::Contrastive(ContrastiveLoss::default()),
            (Loss::Siamese, _) => FaceLoss::Siamese(Difference::Absolute),
            (Loss::ChiSquare, _) => FaceLoss::Siamese(Difference::ChiSquare),
            // A few identities need a softer softmax than the tens of thousands of the paper.
            (Loss::Arcface, _) => FaceLoss::ArcFace(ArcFace { scale: 16.0, margin: 0.3 }),
            (Loss::Softmax, _) => FaceLoss::Softmax(16.0),
        }
    }

    /// Reads or draws the images as they are, and whom they show.
    fn originals(&self, seed: u64) -> ocelli::Result<(Vec<Image>, Identities)> {
        let Some(folder) = &self.data else {
            let (people, each) = (30, 10);
            let (images, labels) = synthetic_faces::faces(people, each, seed)?;
            let [height, width] = synthetic_faces::SIZE;
            let bytes = |grey: &[f32]| {
                let pixels = grey.iter().map(|value| (255.0 * value).round() as u8).collect();
                Image::new([height, width, 1], pixels)
            };
            let images: Result<Vec<Image>, _> = images.data().chunks(height * width).map(bytes).collect();
            let names = (1..=people).map(|person| format!("drawn {person}"));
            return Ok((images?, Identities::from_labels(names, &labels)?));
        };
        let (identities, files) = Identities::from_folder(folder)?;
        let images: Result<Vec<Image>, _> = files.iter().map(decode_file).collect();
        Ok((images?, identities))
    }
}

/// Frames images for an encoder, as one tensor.
fn framed(settings: &EncoderSettings, originals: &[Image]) -> ocelli::Result<Tensor> {
    let mut values = Vec::new();
    for original in originals {
        values.extend_from_slice(settings.framed(original)?.data());
    }
    let [height, width, channels] = settings.sample;
    Ok(Tensor::from_vec([originals.len(), height, width, channels], values)?)
}

pub fn run(arguments: &Arguments, seed: u64) -> ocelli::Result<()> {
    let started = Instant::now();
    let out = RunFolder::open(&arguments.out)?;

    // the people to train on, and those to test
    let (originals, identities) = arguments.originals(seed)?;
    let mut settings = EncoderSettings::residual([112, 92]);
    if let Architecture::Residual { width, .. } = &mut settings.architecture {
        *width = arguments.width;
    }
    let people = identities.len();
    let held_out = arguments.held_out.unwrap_or((people / 3).max(1));
    let (train, test) = match arguments.split {
        Some(split) => identities.split(held_out, Key::new(split))?,
        None => {
            let trained = people.saturating_sub(held_out);
            (identities.range(0..trained)?, identities.range(trained..people)?)
        }
    };
    let faces = FaceSet::new(framed(&settings, &originals)?, train)?;
    let tested = faces.with(test)?;
    let (test_images, test_labels) = tested.labelled()?;

    // the baselines
    let mut results = Vec::new();
    let mut measure = |method: &str, embeddings: &Tensor| -> ocelli::Result<()> {
        let (scores, _) = evaluate_embeddings(embeddings, &test_labels)?;
        say(line(method, &scores))?;
        results.push(Row { method: method.into(), scores });
        Ok(())
    };
    let (train_images, train_labels) = faces.labelled()?;
    say(format!(
        "{} people to train on, {} to test on: {} images",
        faces.identities().len(),
        held_out,
        test_labels.len()
    ))?;
    let pixels =
        Tensor::from_vec([test_labels.len(), test_images.len() / test_labels.len()], test_images.data().to_vec())?;
    measure("raw pixels", &pixels)?;
    let [eigen, fisher] = COMPONENTS;
    let components = eigen.min(train_labels.len() - 1);
    measure(
        &format!("eigenfaces ({components})"),
        &Eigenfaces::fit(&train_images, components)?.project(&test_images)?,
    )?;
    let directions = faces.identities().len() - 1;
    let components = fisher.min(train_labels.len() - directions - 1);
    let fisherfaces = Fisherfaces::fit(&train_images, &train_labels, components, directions)?;
    measure(&format!("Fisherfaces ({components}, {directions})"), &fisherfaces.project(&test_images)?)?;
    if let Some(path) = &arguments.dlib {
        let encoder = FaceEncoder::with_weights(EncoderSettings::dlib(), path)?;
        let samples = tested.identities().samples();
        let chosen: Vec<Image> = samples.iter().map(|&sample| originals[sample].clone()).collect();
        let images = framed(encoder.settings(), &chosen)?;
        measure("dlib", &encoder.embed(&images)?)?;
        measure("dlib, with the mirror image", &encoder.views(Views::WithMirrored).embed(&images)?)?;
    }

    // training
    let mut encoder = FaceEncoder::untrained(settings, seed)?;
    let training = FaceTraining {
        rounds: arguments.rounds,
        seed,
        ..FaceTraining::new(arguments.loss(), arguments.identities, arguments.images)
    };
    let trainer = Trainer::new(arguments.epochs)
        .schedule(Schedule::warm_up(2.0, Schedule::Cosine { last: 0.01 }))
        .run_folder(&out)
        .stop_flag(StopFlag::on_ctrl_c()?);
    let mut optimizer = AdamW::new(arguments.rate).weight_decay(0.05);
    let report = training.run(&mut encoder, &faces, trainer, &mut optimizer)?;

    // measurement, and the threshold that is stored
    let embeddings = encoder.embed(&test_images)?;
    let (scores, roc) = evaluate_embeddings(&embeddings, &test_labels)?;
    let threshold = arguments.false_accepts.map_or(roc.equal_error_threshold(), |rate| roc.threshold_at(rate));
    encoder.set_threshold(threshold)?;
    let file = out.join("encoder.safetensors");
    encoder.save(&file)?;
    say(line("this encoder", &scores))?;
    results.push(Row { method: "this encoder".into(), scores });
    let seconds = started.elapsed().as_secs_f64();
    let report = Report {
        people_trained: faces.identities().len(),
        people_tested: tested.identities().len(),
        images_tested: test_labels.len(),
        epochs: report.history.len(),
        seconds,
        threshold,
        history: &report.history,
        results: &results,
    };
    let text = serde_json::to_string_pretty(&report).map_err(ocelli::Error::other)?;
    ocelli::tensor::write_atomically(out.join("report.json"), |file| file.write_all(text.as_bytes()))?;
    drawings::draw(out.path(), &tested, &embeddings, &test_labels, &roc, threshold)?;
    Ok(say(format!("{}: threshold {threshold:.3}, {seconds:.0} s", out.path().display()))?)
}

fn line(method: &str, scores: &VerificationScores) -> String {
    let VerificationScores { auc, equal_error_rate, tar_at_1_percent, tar_at_0_1_percent, one_shot } = scores;
    let percent = |share: &f64| 100.0 * share;
    format!(
        "{method:<28} AUC {auc:.4}  EER {:5.2} %  TAR at FAR 1 % {:5.1} %, at 0.1 % {:5.1} %  one-shot {:5.1} %",
        percent(equal_error_rate),
        percent(tar_at_1_percent),
        percent(tar_at_0_1_percent),
        percent(one_shot)
    )
}
