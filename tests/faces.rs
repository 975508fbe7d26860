//! Faces, end to end: published weights, the baselines on real faces, and a gallery whose process is killed.
//!
//! Weights and faces are not part of the repository; where they are absent, the tests say so and pass.

use ocelli::{
    data::{Identities, image_files::decode_file},
    models::channels_last,
    prelude::*,
    vision::{
        Eigenfaces, EncoderSettings, FaceEncoder, FaceSet, Fisherfaces, Gallery, VerificationScores, Views,
        evaluate_embeddings,
    },
};
use std::{
    env,
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

mod reference;

fn data(path: &str) -> Option<PathBuf> {
    reference::file("OCELLI_DATA", "data", path)
}

fn dlib() -> Option<FaceEncoder> {
    let weights = data("weights/dlib-face-encoder.safetensors")?;
    Some(FaceEncoder::with_weights(EncoderSettings::dlib(), weights).unwrap())
}

/// All faces, framed for an encoder.
fn faces(settings: &EncoderSettings) -> Option<FaceSet> {
    let (identities, files) = Identities::from_folder(data("faces")?).unwrap();
    let values =
        files.iter().flat_map(|file| settings.framed(&decode_file(file).unwrap()).unwrap().data().to_vec()).collect();
    let [height, width, channels] = settings.sample;
    let images = Tensor::from_vec([files.len(), height, width, channels], values).unwrap();
    Some(FaceSet::new(images, identities).unwrap())
}

#[test]
fn dlibs_encoder_has_the_published_embeddings() {
    let (Some(encoder), Some(path)) = (dlib(), data("weights/dlib-face-reference.safetensors")) else { return };
    let mut file = WeightFile::open(path).unwrap();
    let input = channels_last(&file.read("input").unwrap());
    let expected = file.read("embedding").unwrap();
    let got = encoder.model().predict(&input).unwrap();
    let largest =
        got.data().iter().zip(expected.data()).map(|(got, expected)| (got - expected).abs()).fold(0.0, f32::max);
    assert!(largest < 1e-4, "{largest}");
    let error = reference::relative_error(got.data(), expected.data().iter().map(|x| f64::from(*x)));
    assert!(error < 1e-4, "{error}");
    // The pixels of the first face, from its file, are those of the reference, which Pillow resized.
    if let Some(path) = data("faces/s01/01.pgm") {
        let framed = encoder.settings().framed(&decode_file(path).unwrap()).unwrap();
        let bytes: Vec<f32> = framed.data().iter().map(|value| (255.0 * value).round()).collect();
        let pixels = channels_last(&file.read("pixels").unwrap());
        assert!(bytes == pixels.data()[..bytes.len()]);
    }
}

fn assert_near(name: &str, scores: &VerificationScores, [auc, eer, one_shot]: [f64; 3]) {
    let got = [scores.auc, scores.equal_error_rate, scores.one_shot];
    println!("{name}: {scores:?}");
    for ((got, expected), tolerance) in
        got.into_iter().zip([auc, eer / 100.0, one_shot / 100.0]).zip([0.002, 0.005, 0.01])
    {
        assert!((got - expected).abs() < tolerance, "{name}: {got} for {expected}: {scores:?}");
    }
}

#[test]
fn dlibs_encoder_tells_people_apart_as_it_was_measured() {
    let Some(encoder) = dlib() else { return };
    let Some(faces) = faces(encoder.settings()) else { return };
    let test = faces.with(faces.identities().range(20..30).unwrap()).unwrap();
    let (images, labels) = test.labelled().unwrap();
    let scores = evaluate_embeddings(&encoder.embed(&images).unwrap(), &labels).unwrap().0;
    assert_near("dlib", &scores, [0.9766, 8.9, 91.0]);
    let encoder = encoder.views(Views::WithMirrored);
    let scores = evaluate_embeddings(&encoder.embed(&images).unwrap(), &labels).unwrap().0;
    assert_near("dlib, with the mirror image", &scores, [0.9851, 6.5, 92.7]);
}

#[test]
fn baselines_on_real_faces_are_those_that_were_measured() {
    let Some(faces) = faces(&EncoderSettings::residual([112, 92])) else { return };
    let part = |range| faces.with(faces.identities().range(range).unwrap()).unwrap().labelled().unwrap();
    let ((train, train_labels), (test, test_labels)) = (part(0..20), part(20..30));
    let measured = |x: &Tensor| evaluate_embeddings(x, &test_labels).unwrap().0;
    let pixels = Tensor::from_vec([100, 112 * 92], test.data().to_vec()).unwrap();
    assert_near("raw pixels", &measured(&pixels), [0.942, 14.2, 86.4]);
    let eigenfaces = Eigenfaces::fit(&train, 50).unwrap();
    assert_near("eigenfaces", &measured(&eigenfaces.project(&test).unwrap()), [0.960, 12.4, 85.2]);
    let fisherfaces = Fisherfaces::fit(&train, &train_labels, 100, 19).unwrap();
    assert_near("Fisherfaces", &measured(&fisherfaces.project(&test).unwrap()), [0.976, 7.7, 91.3]);
}

/// The environment variable with the path of the gallery that a child process fills until it is killed.
const FILLED: &str = "OCELLI_TEST_GALLERY";

/// Fills a gallery without end, if it is a child of the test below.
#[test]
fn child_that_enrols_until_it_is_killed() {
    let Some(path) = env::var_os(FILLED) else { return };
    let mut gallery = Gallery::load(&path, 1).unwrap();
    for number in gallery.people().. {
        gallery.enrol(&format!("p{number}"), &[number as f32; 64]).unwrap();
        gallery.save(&path).unwrap();
    }
}

#[test]
fn a_gallery_survives_kills_during_enrolment() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("people.gallery");
    Gallery::new(1, 64, 0.5).save(&path).unwrap();
    let mut people = 0;
    for round in 0..50 {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "child_that_enrols_until_it_is_killed"])
            .env(FILLED, &path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_millis(20 + 3 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        let gallery = Gallery::load(&path, 1).unwrap_or_else(|error| panic!("after kill {round}: {error}"));
        assert!(gallery.people() >= people, "nobody who was enrolled is lost");
        people = gallery.people();
    }
    assert!(people > 0);
}
