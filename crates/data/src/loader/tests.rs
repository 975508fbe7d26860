use super::*;
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

/// A dataset whose sample `i` is an image of 1 × 2 pixels that holds `i` and the epoch, with the label `i`.
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
    fn shape(&self) -> [usize; 3] {
        [1, 2, 1]
    }
    fn class_names(&self) -> &[String] {
        &self.names
    }
    fn write(&self, index: usize, epoch: u64, out: &mut [f32]) -> Result<u32> {
        (self.trouble)(index)?;
        std::thread::sleep(self.pause);
        self.written.fetch_add(1, Ordering::Relaxed);
        out.copy_from_slice(&[index as f32, epoch as f32]);
        Ok(index as u32)
    }
}

fn labels(epoch: Epoch) -> Vec<Vec<u32>> {
    epoch.map(|batch| batch.unwrap().labels("labels").unwrap().data().to_vec()).collect()
}

#[test]
fn batches_in_order_and_the_last_one() {
    let loader = Loader::new(Numbered::new(7), 3).unwrap();
    assert_eq!(labels(loader.epoch(0)), [vec![0, 1, 2], vec![3, 4, 5], vec![6]]);
    assert_eq!((loader.batches(), loader.samples()), (3, 7));
    let loader = loader.last_batch(LastBatch::Drop);
    assert_eq!(labels(loader.epoch(0)), [[0, 1, 2], [3, 4, 5]]);
    assert_eq!((loader.batches(), loader.samples()), (2, 6));
}

#[test]
fn tensors_have_their_names_and_shapes() {
    let loader = Loader::new(Numbered::new(5), 2).unwrap().names("images", "digits");
    let batch = loader.epoch(9).nth(1).unwrap().unwrap();
    assert_eq!(batch.tensor("images").unwrap().shape(), [2, 1, 2, 1]);
    assert_eq!(batch.tensor("images").unwrap().data(), [2.0, 9.0, 3.0, 9.0]);
    assert_eq!(batch.labels("digits").unwrap().data(), [2, 3]);
}

#[test]
fn shuffling_is_a_permutation_of_seed_and_epoch() {
    let order = |seed, epoch| labels(Loader::new(Numbered::new(50), 8).unwrap().shuffle(seed).epoch(epoch)).concat();
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
    let loader = Loader::new(Numbered::new(50), 8).unwrap().shuffle(3);
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
    assert_eq!(Loader::new(Numbered::new(5), 0).unwrap_err().to_string(), "a batch size of 0");
    assert_eq!(labels(Loader::new(Numbered::new(3), usize::MAX).unwrap().epoch(0)), [[0, 1, 2]]);
    assert_eq!(Loader::new(Numbered::new(0), 5).unwrap().epoch(0).count(), 0);
    assert_eq!(Loader::new(Numbered::new(4), 5).unwrap().last_batch(LastBatch::Drop).epoch(0).count(), 0);
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
            let loader = Loader::new(Numbered { trouble, ..Numbered::new(20) }, 2).unwrap().prefetch(depth);
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
    let loader = Loader::new(dataset, 1000).unwrap();
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
    let mut epoch = Loader::new(dataset, 1).unwrap().prefetch(2).epoch(0);
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
    fn shape(&self) -> [usize; 3] {
        [1, 1, 1]
    }
    fn class_names(&self) -> &[String] {
        static NAMES: std::sync::LazyLock<[String; 2]> = std::sync::LazyLock::new(|| ["a".into(), "b".into()]);
        &*NAMES
    }
    fn write(&self, index: usize, _epoch: u64, _out: &mut [f32]) -> Result<u32> {
        Ok(index as u32)
    }
}

#[test]
fn a_label_out_of_range_is_named_with_its_sample() {
    for prefetch in [0, 2] {
        let mut epoch = Loader::new(Mislabelled, 2).unwrap().prefetch(prefetch).epoch(0);
        assert_eq!(epoch.next().unwrap().unwrap().labels("labels").unwrap().data(), [0, 1]);
        let error = epoch.next().unwrap().unwrap_err();
        assert_eq!(error.to_string(), "sample 2 has the label 2, but there are 2 classes");
        assert!(epoch.next().is_none());
    }
}
