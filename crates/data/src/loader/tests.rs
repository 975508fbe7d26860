use super::*;
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

/// A dataset whose sample `i` is an image of 1 × 2 pixels, `i` and 255, with the label `i`.
struct Numbered {
    names: Vec<String>,
    written: Arc<AtomicUsize>,
    trouble: fn(usize) -> Result<()>,
    pause: Duration,
}

impl Numbered {
    fn new(len: usize) -> Numbered {
        let names = (0..len).map(|class| class.to_string()).collect();
        Numbered { names, written: Arc::default(), trouble: |_| Ok(()), pause: Duration::ZERO }
    }
}

impl Dataset for Numbered {
    fn len(&self) -> usize {
        self.names.len()
    }
    fn class_names(&self) -> &[String] {
        &self.names
    }
    fn label(&self, index: usize) -> Result<u32> {
        Ok(index as u32)
    }
    fn read(&self, index: usize, image: &mut Image) -> Result<()> {
        (self.trouble)(index)?;
        std::thread::sleep(self.pause);
        self.written.fetch_add(1, Ordering::Relaxed);
        image.reshape([1, 2, 1])?.copy_from_slice(&[index as u8, 255]);
        Ok(())
    }
    fn size(&self) -> Option<[usize; 2]> {
        Some([1, 2])
    }
}

/// Makes a loader of these samples as they are.
fn loader(dataset: impl Dataset + 'static, batch_size: usize) -> Loader {
    Loader::new(dataset, Pipeline::new().grey(), batch_size).unwrap()
}

fn labels(epoch: Epoch) -> Vec<Vec<u32>> {
    epoch.map(|batch| batch.unwrap().labels("labels").unwrap().data().to_vec()).collect()
}

#[test]
fn batches_in_order_and_the_last_one() {
    let loader = loader(Numbered::new(7), 3);
    assert_eq!(labels(loader.epoch(0)), [vec![0, 1, 2], vec![3, 4, 5], vec![6]]);
    assert_eq!((loader.batches(), loader.samples()), (3, 7));
    let loader = loader.last_batch(LastBatch::Drop);
    assert_eq!(labels(loader.epoch(0)), [[0, 1, 2], [3, 4, 5]]);
    assert_eq!((loader.batches(), loader.samples()), (2, 6));
}

#[test]
fn tensors_have_their_names_and_shapes() {
    let loader = loader(Numbered::new(5), 2).names("images", "digits");
    let batch = loader.epoch(9).nth(1).unwrap().unwrap();
    assert_eq!(batch.tensor("images").unwrap().shape(), [2, 1, 2, 1]);
    assert_eq!(batch.tensor("images").unwrap().data(), [2.0 / 255.0, 1.0, 3.0 / 255.0, 1.0]);
    assert_eq!(batch.labels("digits").unwrap().data(), [2, 3]);
}

#[test]
fn shuffling_is_a_permutation_of_seed_and_epoch() {
    let order = |seed, epoch| labels(loader(Numbered::new(50), 8).shuffle(seed).epoch(epoch)).concat();
    let first = order(1, 0);
    assert_eq!(first, order(1, 0));
    assert_ne!(first, order(1, 1));
    assert_ne!(first, order(2, 0));
    let mut sorted = first.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..50).collect::<Vec<_>>());
    assert_ne!(first, sorted);
}

#[test]
fn prefetching_and_resuming_change_nothing() {
    let loader = loader(Numbered::new(50), 8).shuffle(3);
    let expected = labels(loader.clone().prefetch(0).epoch(4));
    for depth in [0, 1, 2, 100, usize::MAX] {
        let loader = loader.clone().prefetch(depth);
        for first in 0..=expected.len() {
            assert_eq!(labels(loader.epoch_from(4, first)), expected[first..], "depth {depth} from {first}");
        }
        assert_eq!(loader.epoch_from(4, usize::MAX).count(), 0);
    }
}

#[test]
fn settings_without_sense_are_errors_or_empty() {
    assert_eq!(Loader::new(Numbered::new(5), Pipeline::new(), 0).unwrap_err().to_string(), "a batch size of 0");
    assert_eq!(labels(loader(Numbered::new(3), usize::MAX).epoch(0)), [[0, 1, 2]]);
    assert_eq!(loader(Numbered::new(0), 5).epoch(0).count(), 0);
    assert_eq!(loader(Numbered::new(4), 5).last_batch(LastBatch::Drop).epoch(0).count(), 0);
}

#[test]
fn an_error_or_a_panic_ends_the_epoch_with_an_error() {
    let failing: fn(usize) -> Result<()> = |index| match index {
        4 => Err(Error::Setting("the fourth is broken".into())),
        _ => Ok(()),
    };
    let panicking: fn(usize) -> Result<()> = |index| {
        assert!(index != 4, "no number {index}");
        Ok(())
    };
    for (trouble, text) in
        [(failing, "the fourth is broken"), (panicking, "sample 4: the dataset panicked: no number 4")]
    {
        for depth in [0, 1, 5] {
            let loader = loader(Numbered { trouble, ..Numbered::new(20) }, 2).prefetch(depth);
            let mut epoch = loader.epoch(0);
            assert!(epoch.next().unwrap().is_ok() && epoch.next().unwrap().is_ok());
            assert_eq!(epoch.next().unwrap().unwrap_err().to_string(), text, "depth {depth}");
            assert!(epoch.next().is_none());
        }
    }
}

#[test]
fn dropping_an_epoch_stops_its_thread_within_a_sample() {
    let dataset = Numbered { pause: Duration::from_millis(5), ..Numbered::new(10_000) };
    let written = dataset.written.clone();
    let loader = loader(dataset, 1000);
    let started = Instant::now();
    let epoch = loader.epoch(0);
    while written.load(Ordering::Relaxed) == 0 {
        std::thread::yield_now();
    }
    drop(epoch);
    let count = written.load(Ordering::Relaxed);
    // A whole batch would be 1,000 samples and five seconds.
    assert!(count < 500, "{count} samples in {:?}", started.elapsed());
    std::thread::sleep(Duration::from_millis(30));
    assert_eq!(written.load(Ordering::Relaxed), count, "the thread went on");
}

#[test]
fn dropping_an_epoch_whose_channel_is_full_does_not_hang() {
    let dataset = Numbered::new(1000);
    let written = dataset.written.clone();
    let mut epoch = loader(dataset, 1).prefetch(2).workers(1).epoch(0);
    epoch.next().unwrap().unwrap();
    while written.load(Ordering::Relaxed) < 4 {
        std::thread::yield_now();
    }
    drop(epoch);
    // One was taken, two waited, and the thread held the next.
    assert_eq!(written.load(Ordering::Relaxed), 4);
}

/// A dataset whose sample 2 has a label without a class.
struct Mislabelled;

impl Dataset for Mislabelled {
    fn len(&self) -> usize {
        3
    }
    fn class_names(&self) -> &[String] {
        static NAMES: std::sync::LazyLock<[String; 2]> = std::sync::LazyLock::new(|| ["a".into(), "b".into()]);
        &*NAMES
    }
    fn label(&self, index: usize) -> Result<u32> {
        Ok(index as u32)
    }
    fn read(&self, _index: usize, image: &mut Image) -> Result<()> {
        image.reshape([1, 1, 1]).map(|pixels| pixels.fill(0))
    }
    fn size(&self) -> Option<[usize; 2]> {
        Some([1, 1])
    }
}

#[test]
fn a_label_out_of_range_is_named_with_its_sample() {
    for prefetch in [0, 2] {
        let mut epoch = loader(Mislabelled, 2).prefetch(prefetch).epoch(0);
        assert_eq!(epoch.next().unwrap().unwrap().labels("labels").unwrap().data(), [0, 1]);
        let error = epoch.next().unwrap().unwrap_err();
        assert_eq!(error.to_string(), "sample 2 has the label 2, but there are 2 classes");
        assert!(epoch.next().is_none());
    }
}

#[test]
fn augmented_batches_have_the_same_bytes_for_any_number_of_workers_and_others_in_each_epoch() {
    let pipeline = Pipeline::mnist([28, 28]).with_transforms([
        crate::Transform::RandomCrop { margin: 3, border: crate::Border::Reflect },
        crate::Transform::random_resized_crop([24, 20]),
        crate::Transform::RandomMirror(crate::Mirror::LeftRight),
    ]);
    let loader = Loader::new(crate::synthetic::digits(60, 1), pipeline, 7).unwrap().shuffle(5);
    let batches = |workers, prefetch, epoch| -> Vec<Batch> {
        let loader = loader.clone().workers(workers).prefetch(prefetch);
        loader.epoch(epoch).collect::<Result<_>>().unwrap()
    };
    let (first, second) = (batches(1, 0, 0), batches(1, 0, 1));
    assert_eq!(first.len(), 9);
    for workers in [1, 2, 5] {
        for prefetch in [1, 4] {
            assert!(batches(workers, prefetch, 0) == first && batches(workers, prefetch, 1) == second, "{workers}");
        }
    }
    // A sample is drawn differently in each epoch, wherever it is.
    let of_label = |batches: &[Batch], sample: u32| {
        let order = loader.indices(if batches == first { 0 } else { 1 });
        let at = order.iter().position(|index| *index == sample as usize).unwrap();
        batches[at / 7].tensor("input").unwrap().rows(at % 7..at % 7 + 1)
    };
    let changed = (0..60).filter(|sample| of_label(&first, *sample) != of_label(&second, *sample)).count();
    assert!(changed > 55, "{changed}");
    assert_ne!(loader.clone().seed(6).indices(0), loader.indices(0));
}

#[test]
fn broken_samples_are_left_out_and_listed() {
    let trouble: fn(usize) -> Result<()> = |index| match index {
        4 | 10 => Err(Error::Format { file: format!("{index}.png"), reason: "damaged".into() }),
        _ => Ok(()),
    };
    let broken = |depth| loader(Numbered { trouble, ..Numbered::new(12) }, 5).prefetch(depth);
    let failed = broken(2).epoch(0).find_map(std::result::Result::err).unwrap();
    assert_eq!(failed.to_string(), "4.png: damaged");
    for depth in [0, 3] {
        let loader = broken(depth).broken(Broken::Skip);
        assert_eq!(labels(loader.epoch(0)), [vec![0, 1, 2, 3], vec![5, 6, 7, 8, 9], vec![11]]);
        assert_eq!(labels(loader.epoch(1)).len(), 3);
        let listed = loader.broken_samples();
        let expected = [("sample 4", "4.png: damaged"), ("sample 10", "10.png: damaged")];
        assert_eq!(listed, expected.map(|(name, reason)| (name.to_string(), reason.to_string())));
    }
    let alone = broken(0).broken(Broken::Skip);
    let none = Loader { batch_size: 1, ..alone }.epoch(0).nth(4).unwrap().unwrap_err();
    assert_eq!(none.to_string(), "no sample of a batch can be read");
}

/// Samples with two real targets, or with nothing.
struct Aimed(Targets);

impl Dataset for Aimed {
    fn len(&self) -> usize {
        3
    }
    fn class_names(&self) -> &[String] {
        &[]
    }
    fn label(&self, _index: usize) -> Result<u32> {
        Err(Error::Setting("no labels".into()))
    }
    fn read(&self, _index: usize, image: &mut Image) -> Result<()> {
        image.reshape([1, 1, 1]).map(|pixels| pixels.fill(0))
    }
    fn size(&self) -> Option<[usize; 2]> {
        Some([1, 1])
    }
    fn targets(&self) -> Targets {
        self.0
    }
    fn write_targets(&self, index: usize, out: &mut [f32]) -> Result<()> {
        out.copy_from_slice(&[index as f32, 0.5]);
        Ok(())
    }
}

#[test]
fn targets_may_be_numbers_or_nothing() {
    let values = loader(Aimed(Targets::Values(2)), 2).names("input", "place");
    let batches: Vec<Batch> = values.epoch(0).collect::<Result<_>>().unwrap();
    assert_eq!(batches[0].tensor("place").unwrap(), &Tensor::from_vec([2, 2], vec![0.0, 0.5, 1.0, 0.5]).unwrap());
    assert_eq!(batches[1].tensor("place").unwrap().data(), [2.0, 0.5]);
    let nothing = loader(Aimed(Targets::Nothing), 2).epoch(0).next().unwrap().unwrap();
    assert_eq!(nothing.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["input"]);
}

#[test]
fn a_function_that_panics_or_fails_ends_the_epoch() {
    let failing = |depth| {
        GeneratedBatches::new(5, 1, |epoch, number| {
            assert!(number != 2, "no batch {number} of epoch {epoch}");
            Ok(Batch::new())
        })
        .prefetch(depth)
    };
    for depth in [0, 1, 4] {
        let mut epoch = failing(depth).epoch(7);
        assert!(epoch.by_ref().take(2).all(|batch| batch.is_ok()));
        let error = epoch.next().unwrap().unwrap_err().to_string();
        assert_eq!(error, "batch 2: its function panicked: no batch 2 of epoch 7");
        assert!(epoch.next().is_none());
    }
}
