//! Training of face encoders.

use super::faces::{FaceAugmentation, FaceSet};
use crate::{Error, FaceEncoder, Result};
use ocelli_data::IdentityBatches;
use ocelli_graph::{Dim, Layer, Model, Node, Shape, Step, Trace};
use ocelli_losses::{
    ArcFace, ContrastiveLoss, CosineHead, Difference, DistanceStatistics, Mining, TripletLoss, VerificationHead,
    logistic_cross_entropy, softmax_cross_entropy, warm_up,
};
use ocelli_tensor::{Batch, Key, Tensor};
use ocelli_train::{BatchSource, MeanValue, Metric, Optimizer, Report, Sums, Trainer};
use std::{
    ops::Range,
    sync::atomic::{AtomicBool, Ordering},
};

/// The loss that trains an encoder.
#[derive(Clone, Debug, PartialEq)]
pub enum FaceLoss {
    /// Triplets within each batch; semi-hard ones become the hardest between two epochs, if these are given.
    Triplet {
        /// The margin and the choice of triplets.
        triplets: ocelli_losses::MinedTriplets,
        /// The epochs between which the hardness rises from 0 to 1.
        warm_up: Option<Range<f32>>,
    },
    /// Pairs, by the contrastive loss of all of a batch.
    Contrastive(ContrastiveLoss),
    /// Pairs, by a head that says whether both are of one identity.
    Siamese(Difference),
    /// Classification of the identities, with a margin between their angles.
    ArcFace(ArcFace),
    /// Classification of the identities by a softmax of their cosines times this scale.
    Softmax(f32),
}

/// The training of a [`FaceEncoder`] on a [`FaceSet`].
///
/// ```
/// use ocelli_data::{Identities, synthetic_faces};
/// use ocelli_losses::Mining;
/// use ocelli_train::{AdamW, Progress, Trainer};
/// use ocelli_vision::{Architecture, EncoderSettings, FaceEncoder, FaceSet, FaceTraining};
/// let (images, labels) = synthetic_faces::faces(4, 3, 1)?;
/// let faces = FaceSet::new(images, Identities::from_labels(["a", "b", "c", "d"], &labels)?)?;
/// let mut settings = EncoderSettings::residual([112, 92]);
/// settings.architecture = Architecture::Residual { features: 16, stages: 4, width: 2, dropout: 0.1 };
/// let mut encoder = FaceEncoder::untrained(settings, 7)?;
///
/// let training = FaceTraining::new(FaceTraining::triplets(Mining::SemiHard), 2, 2);
/// let trainer = Trainer::new(1).progress(Progress::Silent);
/// let report = training.run(&mut encoder, &faces, trainer, &mut AdamW::new(1e-3))?;
/// println!("{:?}", report.history[0].train.get("active"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct FaceTraining {
    /// The loss.
    pub loss: FaceLoss,
    /// Number of identities in a batch, P.
    pub identities_per_batch: usize,
    /// Number of images of each identity in a batch, K.
    pub images_per_identity: usize,
    /// Number of batches of an epoch that each identity is in.
    pub rounds: usize,
    /// The random changes of images.
    pub augmentation: FaceAugmentation,
    /// The seed of batches and changes.
    pub seed: u64,
}

/// Names of what is measured in every step.
const STATISTICS: [&str; 3] = ["active", "positive_distance", "negative_distance"];

impl FaceTraining {
    /// Makes a training in batches of `identities_per_batch` times `images_per_identity` images.
    pub fn new(loss: FaceLoss, identities_per_batch: usize, images_per_identity: usize) -> FaceTraining {
        let augmentation = FaceAugmentation::default();
        FaceTraining { loss, identities_per_batch, images_per_identity, rounds: 1, augmentation, seed: 0 }
    }

    /// Returns the triplet loss with this choice of triplets.
    pub fn triplets(mining: Mining) -> FaceLoss {
        FaceLoss::Triplet { triplets: TripletLoss::default().mined(mining), warm_up: None }
    }

    /// Trains. `trainer` has the number of epochs, the schedule and what is shown and written; metrics of the distances
    /// are added to it: the share of active triplets or pairs (`active`), and the mean distance within identities and
    /// between them. A collapse of the embeddings is warned of on standard error.
    ///
    /// # Errors
    /// Fails as [`IdentityBatches::new`] and [`Trainer::run`] do; [`Error::Invalid`] if the images have another size than the
    /// encoder reads.
    pub fn run(
        &self,
        encoder: &mut FaceEncoder,
        faces: &FaceSet,
        trainer: Trainer,
        optimizer: &mut dyn Optimizer,
    ) -> Result<Report> {
        let settings = encoder.settings().clone();
        if faces.sample() != settings.sample {
            let (got, expected) = (faces.sample(), settings.sample);
            return Err(Error::Invalid(format!("images of {got:?}, but the encoder reads {expected:?}")));
        }
        let identities = faces.identities().clone();
        let batches = IdentityBatches::new(identities, self.identities_per_batch, self.images_per_identity)?;
        let batches = batches.rounds(self.rounds).seed(self.seed);
        let source = FaceBatches { training: self, faces, encoder: &*encoder, batches };

        // the network to train: the encoder, and a head that is left out afterwards
        let classes = faces.identities().len();
        let architecture = settings.architecture;
        let mut model = Model::trace(self.seed, |t| {
            let dims = [Dim::Batch(self.towers())].into_iter().chain(settings.sample.map(Dim::Fixed));
            let x = t.input("input", Shape::new(dims.collect::<Vec<_>>()));
            let embedding = architecture.forward(&x).l2_normalised(1e-12).named("embedding");
            match self.loss {
                FaceLoss::Siamese(difference) => {
                    let [a, b] = [0, 1].map(|part| embedding.split_batch(part, 2));
                    VerificationHead { difference }.apply("head", &a, &b)
                }
                FaceLoss::ArcFace(_) | FaceLoss::Softmax(_) => embedding.apply("head", CosineHead { classes }),
                FaceLoss::Triplet { .. } | FaceLoss::Contrastive(_) => embedding,
            }
        })?;
        copy_parameters(encoder.model(), &mut model)?;
        // Only the directions of the head's rows matter, and the same step turns a short row further. Encoder and head begin
        // together; rows that turn slowly would hold it back.
        if let FaceLoss::ArcFace(_) | FaceLoss::Softmax(_) = self.loss {
            let rows = model.parameters_mut().value_mut("head.weight").map(Tensor::data_mut).unwrap_or_default();
            rows.iter_mut().for_each(|x| *x *= 0.1);
        }
        let mut trainer = STATISTICS.iter().fold(trainer, |trainer, name| trainer.metric(MeanValue::new(*name)));
        if let FaceLoss::Triplet { triplets, .. } = &self.loss {
            trainer = trainer.metric(Collapse::new(TripletLoss { margin: triplets.margin }));
        }
        let report = trainer.run(&mut model, |t| self.described(t), optimizer, &source, None)?;
        copy_parameters(&model, encoder.model_mut())?;
        Ok(report)
    }

    /// Returns the number of images that one sample consists of.
    fn towers(&self) -> usize {
        if matches!(self.loss, FaceLoss::Siamese(_)) { 2 } else { 1 }
    }

    /// Describes the loss, with names for the statistics.
    fn described(&self, t: &Trace) -> Node {
        let embedding = t.tap("embedding");
        let measured = |statistics: DistanceStatistics| statistics.named();
        // Where distances are not what is learnt from, they are measured all the same.
        let beside = |loss: Node| {
            measured(ContrastiveLoss::default().within_batch(&embedding, &t.labels("labels")));
            loss
        };
        match &self.loss {
            FaceLoss::Triplet { triplets, warm_up: None } => {
                measured(triplets.statistics(&embedding, &t.labels("labels")))
            }
            FaceLoss::Triplet { triplets, warm_up: Some(_) } => {
                let hardness = t.input("hardness", Shape::from([1]));
                measured(triplets.warming_up(&embedding, &t.labels("labels"), &hardness))
            }
            FaceLoss::Contrastive(loss) => measured(loss.within_batch(&embedding, &t.labels("labels"))),
            FaceLoss::Siamese(_) => {
                let [a, b] = [0, 1].map(|part| embedding.split_batch(part, 2));
                measured(ContrastiveLoss::default().of_pairs(&a, &b, &t.labels("labels")));
                logistic_cross_entropy(&t.output(), &t.input("same", [1]))
            }
            FaceLoss::ArcFace(loss) => beside(loss.loss(&t.output(), &t.labels("labels"))),
            FaceLoss::Softmax(scale) => beside(softmax_cross_entropy(&t.output().scale(*scale), &t.labels("labels"))),
        }
    }
}

/// Copies the values of the parameters that both models have.
fn copy_parameters(from: &Model, to: &mut Model) -> Result<()> {
    let paths: Vec<String> = to.parameters().iter().map(|(parameter, _)| parameter.path.clone()).collect();
    for path in paths {
        if let Some(value) = from.parameters().value(&path) {
            to.parameters_mut().set(&path, value.clone())?;
        }
    }
    Ok(())
}

/// The batches of a training: a function of the epoch.
struct FaceBatches<'a> {
    training: &'a FaceTraining,
    faces: &'a FaceSet,
    encoder: &'a FaceEncoder,
    batches: IdentityBatches,
}

impl FaceBatches<'_> {
    /// Copies images, changes each of them and prepares them; `key` is that of the batch.
    fn images(&self, indices: &[usize], key: Key) -> Result<Tensor> {
        let mut images = self.faces.gathered(indices)?;
        let sample = self.faces.sample();
        let length = sample.iter().product::<usize>().max(1);
        for (row, image) in images.data_mut().chunks_exact_mut(length).enumerate() {
            self.training.augmentation.apply(image, sample, &mut key.at(row as u64).stream());
        }
        self.encoder.settings().prepare(&mut images);
        Ok(images)
    }

    fn batch(&self, epoch: u64, number: usize, indices: &[usize]) -> Result<Batch> {
        let key = Key::new(self.training.seed).with("faces").at(epoch).at(number as u64);
        if let FaceLoss::Siamese(_) = self.training.loss {
            let pairs = self.faces.identities().drawn_pairs(indices.len() / 2, key)?;
            let sides = pairs.iter().map(|pair| pair.left).chain(pairs.iter().map(|pair| pair.right));
            let images = self.images(&sides.collect::<Vec<_>>(), key)?;
            let same: Vec<u32> = pairs.iter().map(|pair| u32::from(pair.same)).collect();
            let targets = Tensor::from_vec([pairs.len(), 1], same.iter().map(|same| *same as f32).collect())?;
            return Ok(Batch::new().with("input", images).with("labels", Tensor::from(same)).with("same", targets));
        }
        let position = |index: &usize| self.faces.identities().iter().position(|one| one.samples.contains(index));
        let labels: Vec<u32> = indices.iter().filter_map(position).map(|position| position as u32).collect();
        let mut batch = Batch::new().with("input", self.images(indices, key)?).with("labels", Tensor::from(labels));
        if let FaceLoss::Triplet { warm_up: Some(between), .. } = &self.training.loss {
            let at = epoch as f32 + number as f32 / self.batches.batches().max(1) as f32;
            batch.set("hardness", Tensor::from(vec![warm_up(at, between.clone())]));
        }
        Ok(batch)
    }
}

impl BatchSource for FaceBatches<'_> {
    fn batches(&self) -> usize {
        self.batches.batches()
    }

    fn samples(&self) -> usize {
        let images = self.training.identities_per_batch * self.training.images_per_identity;
        self.batches() * images / self.training.towers()
    }

    fn epoch_from(&self, epoch: u64, first: usize) -> Box<dyn Iterator<Item = ocelli_train::Result<Batch>> + '_> {
        let batches = self.batches.epoch(epoch).into_iter().enumerate().skip(first);
        Box::new(batches.map(move |(number, indices)| {
            self.batch(epoch, number, &indices).map_err(|error| ocelli_train::Error::Data(error.to_string()))
        }))
    }
}

/// The share of the steps in which all embeddings were equal. The first one is warned of.
#[derive(Debug)]
struct Collapse {
    loss: TripletLoss,
    warned: AtomicBool,
}

impl Collapse {
    fn new(loss: TripletLoss) -> Collapse {
        Collapse { loss, warned: AtomicBool::new(false) }
    }
}

impl Metric for Collapse {
    fn name(&self) -> &str {
        "collapsed"
    }

    fn activations(&self) -> Vec<&str> {
        vec!["negative_distance"]
    }

    fn update(&self, sums: &mut Sums, step: &Step<'_>, _: &Batch) -> ocelli_train::Result<()> {
        let negative = step.activation("negative_distance").and_then(|value| value.first().copied());
        let warning = negative.and_then(|negative| self.loss.collapse_warning(step.loss(), negative));
        sums.add(0, 1.0);
        if let Some(warning) = warning {
            sums.add(1, 1.0);
            if !self.warned.swap(true, Ordering::Relaxed) {
                eprintln!("warning: {warning}");
            }
        }
        Ok(())
    }

    fn value(&self, sums: &Sums) -> f64 {
        sums.get(1) / sums.get(0).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Architecture, EncoderSettings, Views};
    use ocelli_data::{Identities, synthetic_faces};
    use ocelli_train::{AdamW, Progress};

    fn small() -> FaceEncoder {
        let mut settings = EncoderSettings::residual(synthetic_faces::SIZE);
        settings.architecture = Architecture::Residual { features: 8, stages: 4, width: 2, dropout: 0.1 };
        settings.views = Views::One;
        FaceEncoder::untrained(settings, 3).unwrap()
    }

    fn faces() -> FaceSet {
        let (images, labels) = synthetic_faces::faces(4, 3, 1).unwrap();
        FaceSet::new(images, Identities::from_labels(["a", "b", "c", "d"], &labels).unwrap()).unwrap()
    }

    fn silent(epochs: u64) -> Trainer {
        Trainer::new(epochs).progress(Progress::Silent)
    }

    #[test]
    fn every_loss_trains_the_encoder_and_says_the_distances() {
        let triplets = TripletLoss::default().mined(Mining::SemiHard);
        let losses = [
            FaceTraining::triplets(Mining::All),
            FaceTraining::triplets(Mining::Hard),
            FaceLoss::Triplet { triplets, warm_up: Some(0.0..1.0) },
            FaceLoss::Contrastive(ContrastiveLoss::default()),
            FaceLoss::Siamese(Difference::Absolute),
            FaceLoss::Siamese(Difference::ChiSquare),
            FaceLoss::ArcFace(ArcFace::default()),
            FaceLoss::Softmax(16.0),
        ];
        for loss in losses {
            let mut encoder = small();
            let before = encoder.fingerprint();
            let training = FaceTraining::new(loss.clone(), 2, 2);
            let report = training.run(&mut encoder, &faces(), silent(1), &mut AdamW::new(1e-3)).unwrap();
            assert_ne!(encoder.fingerprint(), before, "{loss:?}");
            let measured = &report.history[0].train;
            for name in STATISTICS {
                let value = measured.get(name).unwrap();
                assert!((0.0..=2.0).contains(&value), "{loss:?}: {name} is {value}");
            }
            let running = encoder.model().parameters().value("bn1.running_mean").unwrap();
            assert!(running.data().iter().any(|x| *x != 0.0), "running statistics are the encoder's too");
        }
    }

    /// Learning at a rate that throws all images to one place is noticed.
    #[test]
    fn a_forced_collapse_is_counted() {
        let mut encoder = small();
        for path in ["fc.weight", "bn2.weight"] {
            encoder.model_mut().parameters_mut().value_mut(path).unwrap().data_mut().fill(0.0);
        }
        encoder.model_mut().parameters_mut().value_mut("bn2.bias").unwrap().data_mut().fill(1.0);
        let training = FaceTraining::new(FaceTraining::triplets(Mining::Hard), 2, 2);
        let report = training.run(&mut encoder, &faces(), silent(1), &mut AdamW::new(0.0)).unwrap();
        let measured = &report.history[0].train;
        assert_eq!((measured.get("collapsed"), measured.get("active")), (Some(1.0), Some(1.0)));
        assert!((measured.get("loss").unwrap() - 0.2).abs() < 1e-6);
    }

    #[test]
    fn what_cannot_be_trained_is_refused() {
        let error = |faces: &FaceSet, p, k| {
            let training = FaceTraining::new(FaceTraining::triplets(Mining::All), p, k);
            training.run(&mut small(), faces, silent(1), &mut AdamW::new(1e-3)).unwrap_err().to_string()
        };
        assert_eq!(error(&faces(), 5, 2), "batches of 5 identities, but there are 4");
        let other =
            FaceSet::new(Tensor::zeros([4, 8, 8, 1]), Identities::from_labels(["a", "b"], &[0, 0, 1, 1]).unwrap());
        assert_eq!(error(&other.unwrap(), 2, 2), "images of [8, 8, 1], but the encoder reads [112, 92, 1]");
    }
}
