//! The baselines of an encoder: pixels, eigenfaces, Fisherfaces, and dlib's encoder as it was published.

use super::train::{Row, framed};
use ocelli::{
    data::Image,
    prelude::Tensor,
    vision::{
        Eigenfaces, EncoderSettings, FaceEncoder, FaceSet, Fisherfaces, VerificationScores, Views, evaluate_embeddings,
    },
};
use std::path::Path;

/// Height and width of the images that the baselines read: those of the faces that they were published for.
const SIZE: [usize; 2] = [112, 92];

/// Principal components of the eigenfaces, and of the Fisherfaces (Belhumeur et al. 1997).
const COMPONENTS: [usize; 2] = [50, 100];

/// Measures the baselines on the people of `tested`, having fitted them to those of `trained`; both are of `originals`.
pub fn measure(
    originals: &[Image],
    trained: &FaceSet,
    tested: &FaceSet,
    dlib: Option<&Path>,
    mut report: impl FnMut(Row) -> ocelli::Result<()>,
) -> ocelli::Result<()> {
    let images = framed(&EncoderSettings::residual(SIZE), originals)?;
    let part = |people: &FaceSet| FaceSet::new(images.clone(), people.identities().clone())?.labelled();
    let ((train, train_labels), (test, labels)) = (part(trained)?, part(tested)?);
    let mut measured = |method: String, embeddings: &Tensor| -> ocelli::Result<()> {
        let scores: VerificationScores = evaluate_embeddings(embeddings, &labels)?.0;
        report(Row { method, scores })
    };
    let pixels = Tensor::from_vec([labels.len(), test.len() / labels.len()], test.data().to_vec())?;
    measured("raw pixels".into(), &pixels)?;

    let [eigen, fisher] = COMPONENTS;
    let components = eigen.min(train_labels.len() - 1);
    let eigenfaces = Eigenfaces::fit(&train, components)?;
    measured(format!("eigenfaces ({components})"), &eigenfaces.project(&test)?)?;
    let directions = trained.identities().len() - 1;
    let components = fisher.min(train_labels.len() - directions - 1);
    let fisherfaces = Fisherfaces::fit(&train, &train_labels, components, directions)?;
    measured(format!("Fisherfaces ({components}, {directions})"), &fisherfaces.project(&test)?)?;

    let Some(path) = dlib else { return Ok(()) };
    let encoder = FaceEncoder::with_weights(EncoderSettings::dlib(), path)?;
    let samples = tested.identities().samples();
    let chosen: Vec<Image> = samples.iter().map(|&sample| originals[sample].clone()).collect();
    let images = framed(encoder.settings(), &chosen)?;
    measured("dlib".into(), &encoder.embed(&images)?)?;
    measured("dlib, with the mirror image".into(), &encoder.views(Views::WithMirrored).embed(&images)?)
}
