//! `faces train`: training, measurement beside the baselines, report.

use super::{baselines, drawings, say};
use clap::{Args, ValueEnum};
use ocelli::{
    data::{Identities, Image, image_files::decode_file, synthetic_faces},
    losses::{ArcFace, ContrastiveLoss, Difference, Mining, TripletLoss},
    prelude::{AdamW, Key, Schedule, Tensor, Trainer},
    train::{RunFolder, StopFlag},
    vision::{
        Architecture, EncoderSettings, FaceAugmentation, FaceEncoder, FaceLoss, FaceSet, FaceTraining, Length,
        VerificationScores, Views, evaluate_embeddings,
    },
};
use serde::Serialize;
use std::{path::PathBuf, time::Instant};

/// Height and width of the images that an encoder from scratch reads: few images teach little about fine detail.
const SIZE: [usize; 2] = [56, 46];

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
    #[arg(long, default_value_t = 24)]
    epochs: u64,
    /// Number of identities in a batch.
    #[arg(long, default_value_t = 12)]
    identities: usize,
    /// Number of images of each identity in a batch.
    #[arg(long, default_value_t = 4)]
    images: usize,
    /// Number of batches of an epoch in which each identity is.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// Number of people, drawn by the seed of the split, who are tested and not trained on; default: a third.
    #[arg(long)]
    held_out: Option<usize>,
    /// Seed of the split; without it, the last people in the order of their names are held out.
    #[arg(long)]
    split: Option<u64>,
    /// The identity of a face's mirror image in training.
    #[arg(long, value_enum, default_value_t = Mirrored::AnotherPerson)]
    mirrored: Mirrored,
    /// Number of people to compose for each person to train on, of that person's upper half and another's lower half.
    #[arg(long, default_value_t = 2)]
    composed: usize,
    /// Learning rate.
    #[arg(long, default_value_t = 4e-3)]
    rate: f32,
    /// Decay of the moving average of the weights, which is the encoder in the end.
    #[arg(long, default_value_t = 0.99)]
    average: f32,
    /// Channels of the first stage of the encoder.
    #[arg(long, default_value_t = 16)]
    width: usize,
    /// dlib's published weights as safetensors, to measure that encoder too.
    #[arg(long)]
    dlib: Option<PathBuf>,
    /// Trains dlib's encoder further, in place of one from scratch: `--loss triplet --rate 1e-5 --epochs 8 --composed 0 --identities 10
    /// --mirrored same-person` suit it.
    #[arg(long, requires = "dlib")]
    finetune: bool,
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

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mirrored {
    /// Another image of the same person.
    SamePerson,
    /// An image of another person, so that there are twice as many to tell apart.
    AnotherPerson,
    /// Nothing: there are none.
    Absent,
}

/// The scores of one method.
#[derive(Serialize)]
pub struct Row {
    pub method: String,
    #[serde(flatten)]
    pub scores: VerificationScores,
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
            (Loss::Arcface, _) => FaceLoss::ArcFace(ArcFace { scale: 16.0, margin: 0.2 }),
            (Loss::Softmax, _) => FaceLoss::Softmax(16.0),
        }
    }

    /// Makes the encoder that is trained.
    fn encoder(&self, seed: u64) -> ocelli::Result<FaceEncoder> {
        if let (true, Some(path)) = (self.finetune, &self.dlib) {
            let settings =
                EncoderSettings { views: Views::WithMirrored, length: Length::Unit, ..EncoderSettings::dlib() };
            return Ok(FaceEncoder::with_weights(settings, path)?);
        }
        let mut settings = EncoderSettings::residual(SIZE);
        if let Architecture::Residual { width, .. } = &mut settings.architecture {
            *width = self.width;
        }
        Ok(FaceEncoder::untrained(settings, seed)?)
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
pub fn framed(settings: &EncoderSettings, originals: &[Image]) -> ocelli::Result<Tensor> {
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
    let mut encoder = arguments.encoder(seed)?;
    let people = identities.len();
    let held_out = arguments.held_out.unwrap_or((people / 3).max(1));
    let (train, test) = match arguments.split {
        Some(split) => identities.split(held_out, Key::new(split))?,
        None => {
            let trained = people.saturating_sub(held_out);
            (identities.range(0..trained)?, identities.range(trained..people)?)
        }
    };
    let faces = FaceSet::new(framed(encoder.settings(), &originals)?, train)?;
    let tested = faces.with(test)?;
    let (test_images, test_labels) = tested.labelled()?;

    // the baselines
    say(format!(
        "{} people to train on, {held_out} to test on: {} images",
        faces.identities().len(),
        test_labels.len()
    ))?;
    let mut results = Vec::new();
    baselines::measure(&originals, &faces, &tested, arguments.dlib.as_deref(), |row| {
        say(line(&row.method, &row.scores))?;
        results.push(row);
        Ok(())
    })?;

    // training
    let composed = faces.with_composed_people(arguments.composed, Key::new(seed))?;
    let learnt = match arguments.mirrored {
        Mirrored::AnotherPerson => composed.with_mirrored_people()?,
        Mirrored::SamePerson | Mirrored::Absent => composed,
    };
    let mirror = if arguments.mirrored == Mirrored::SamePerson { 0.5 } else { 0.0 };
    let training = FaceTraining {
        rounds: arguments.rounds,
        augmentation: FaceAugmentation { mirror, ..FaceAugmentation::default() },
        seed,
        ..FaceTraining::new(arguments.loss(), arguments.identities.min(learnt.identities().len()), arguments.images)
    };
    let trainer = Trainer::new(arguments.epochs)
        .schedule(Schedule::warm_up(2.0, Schedule::Cosine { last: 0.01 }))
        .average_parameters(arguments.average)
        .run_folder(&out)
        .stop_flag(StopFlag::on_ctrl_c()?);
    let mut optimizer = AdamW::new(arguments.rate).weight_decay(0.05);
    let report = training.run(&mut encoder, &learnt, trainer, &mut optimizer)?;

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
