//! Labels and settings that cannot be meant, and batches of unequal sizes.

use super::*;
use ocelli_graph::Constant;

/// `[N, 3] → [N, 3]` without dropout.
fn scaled() -> Model {
    Model::build(|x| x * x.trace().parameter("w", [3], Constant(0.5)), [3], 0).unwrap()
}

fn square(t: &Trace) -> Node {
    t.output().square().mean()
}

fn batch(samples: usize, labels: &[u32]) -> Batch {
    let x = Tensor::uniform([samples, 3], Key::new(4));
    Batch::new().with("input", x).with("labels", Tensor::from(labels.to_vec()))
}

/// Returns the errors of a training with an accuracy, and of both evaluations.
fn error_of(batches: Vec<Batch>) -> [String; 3] {
    let trainer = Trainer::new(1).metric(Accuracy::new()).progress(Progress::Silent);
    let train = trainer.run(&mut scaled(), square, &mut Sgd::new(0.1), &batches, None).unwrap_err();
    let evaluated = crate::evaluate(&scaled(), square, &batches, &[&Accuracy::new()]).unwrap_err();
    let classified = crate::evaluate_classifier(&scaled(), square, &batches, Ranking::Largest).unwrap_err();
    [train, evaluated, classified].map(|error| error.to_string())
}

/// The same reason at a batch of training and of both evaluations.
fn at_batch(number: usize, reason: &str) -> [String; 3] {
    ["epoch 1", "evaluation", "evaluation"].map(|place| format!("{place}, batch {number}: {reason}"))
}

#[test]
fn three_labels_for_four_samples_are_an_error_with_its_batch() {
    let reason = "the data: labels of the shape [3] for 4 samples with 12 scores";
    let good = batch(4, &[0, 1, 2, 0]);
    assert_eq!(error_of(vec![good, batch(4, &[0, 1, 2])]), at_batch(2, reason));
    // Six labels would share the scores out evenly.
    assert!(error_of(vec![batch(4, &[0; 6])])[0].contains("labels of the shape [6] for 4 samples"));
}

#[test]
fn a_label_out_of_range_is_named_with_batch_and_sample() {
    let reason = "the data: label 3 of sample 1 is not below the 3 classes";
    assert_eq!(error_of(vec![batch(2, &[2, 3])]), at_batch(1, reason));
}

/// One score for each sample has a sign and no classes.
#[test]
fn labels_beside_a_single_score_are_only_numbers() {
    let network = |x: &Node| x.matmul(&x.trace().parameter("w", [3, 1], Noise));
    let mut model = Model::build(network, [3], 0).unwrap();
    let trainer = Trainer::new(1).progress(Progress::Silent);
    let train = vec![batch(2, &[1, 0])];
    trainer.run(&mut model, square, &mut Sgd::new(0.1), &train, None).unwrap();
    let error = trainer.metric(Accuracy::new()).run(&mut model, square, &mut Sgd::new(0.1), &train, None).unwrap_err();
    let reason = "an accuracy ranks the scores of two or more classes";
    assert_eq!(error.to_string(), format!("the value \"output\" has one score for each label: {reason}"));
}

/// Ten samples in one batch, or accumulated over 4 + 4 + 2 of them: one step, and one mean.
#[test]
fn unequal_pieces_are_learnt_from_as_the_whole() {
    let whole = batch(10, &[0, 1, 2, 0, 1, 2, 0, 1, 2, 0]);
    let (x, labels) = (whole.tensor("input").unwrap(), whole.labels("labels").unwrap());
    let piece = |range: std::ops::Range<usize>| {
        Batch::new().with("input", x.rows(range.clone())).with("labels", labels.rows(range))
    };
    let learnt = |batches: Vec<Batch>| {
        let mut model = scaled();
        let trainer = Trainer::new(3).metric(Accuracy::new()).accumulate(batches.len()).progress(Progress::Silent);
        let report = trainer.run(&mut model, square, &mut Sgd::new(0.1), &batches, Some(&batches)).unwrap();
        (model.parameters().value("w").unwrap().clone(), report.history)
    };
    let (expected, history) = learnt(vec![whole.clone()]);
    for cuts in [vec![4, 8], vec![1], vec![9], vec![1, 2, 3], vec![7, 9], (1..10).collect()] {
        let ends = cuts.iter().copied().chain([10]);
        let starts = std::iter::once(0).chain(cuts.iter().copied());
        let (w, pieces) = learnt(starts.zip(ends).map(|(start, end)| piece(start..end)).collect());
        let near = |a: f64, b: f64| (a - b).abs() < 1e-6;
        assert!(
            w.data().iter().zip(expected.data()).all(|(a, b)| near((*a).into(), (*b).into())),
            "{cuts:?}: {w:?}, not {expected:?}"
        );
        for (pieces, whole) in pieces.iter().zip(&history) {
            assert!(near(pieces.train.loss(), whole.train.loss()), "{cuts:?}");
            assert_eq!(pieces.train.get("accuracy"), whole.train.get("accuracy"));
            assert!(
                near(pieces.validation.as_ref().unwrap().loss(), whole.validation.as_ref().unwrap().loss()),
                "{cuts:?}"
            );
        }
    }
}

#[test]
fn a_folder_that_another_run_has_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let folder = RunFolder::open(parent.path().join("run")).unwrap();
    let train = source(&StopFlag::new(), None);
    let base = || Trainer::new(1).progress(Progress::Silent);
    let run = |trainer: Trainer| trainer.run(&mut model(), loss, &mut Sgd::new(0.1), &train, None);
    let error = run(base().folder(folder.path())).unwrap_err();
    assert!(matches!(&error, Error::FolderInUse { path } if path.ends_with("run")), "{error}");
    assert!(!Trainer::checkpoint_path(folder.path()).exists());
    run(base().run_folder(&folder)).unwrap();
    // The folder is still the caller's, and then free.
    assert!(run(base().folder(folder.path())).is_err());
    let path = folder.path().to_path_buf();
    drop(folder);
    run(base().folder(&path).resume()).unwrap();
    run(base().folder(&path).resume()).unwrap();
}

#[test]
fn a_model_that_is_frozen_altogether_trains_nothing() {
    let mut model = model();
    model.freeze("").unwrap();
    let train = source(&StopFlag::new(), None);
    let trainer = Trainer::new(1).progress(Progress::Silent);
    let error = trainer.run(&mut model, loss, &mut Sgd::new(0.1), &train, None).unwrap_err().to_string();
    assert_eq!(
        error,
        "nothing is trained: there is no gradient for a parameter that is not frozen; `model.unfreeze(path)` leaves a layer to be \
                   trained, and objectives are made after it"
    );
}
