//! The published files themselves, where they are at hand.

use ocelli_data::{Dataset, Images, Part, Statistics, fashion_mnist, find, mnist};
use std::path::Path;

/// Returns the folder of the dataset, or reports that it is absent.
fn folder(name: &str) -> Option<std::path::PathBuf> {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let found = find(name, Some(&shared));
    if let Err(error) = &found {
        println!("skipped: {error}");
    }
    found.ok()
}

fn counts(images: &Images) -> Vec<usize> {
    (0..10).map(|class| images.labels().iter().filter(|label| **label == class).count()).collect()
}

#[test]
fn mnist_is_read_whole() {
    let Some(folder) = folder("mnist") else { return };
    let train = mnist::load(&folder, Part::Train).unwrap();
    assert_eq!((train.len(), train.shape(), train.classes()), (60_000, [28, 28, 1], 10));
    assert_eq!(train.labels()[..10], [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]);
    assert_eq!(counts(&train), [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]);
    let statistics = Statistics::measure(&train).unwrap();
    assert!((statistics.mean[0] - 0.1307).abs() < 1e-4 && (statistics.deviation[0] - 0.3081).abs() < 1e-4);
    let test = mnist::load(&folder, Part::Test).unwrap();
    assert_eq!((test.len(), &test.labels()[..5]), (10_000, &[7, 2, 1, 0, 4][..]));
}

#[test]
fn fashion_mnist_is_read_whole() {
    let Some(folder) = folder("fashion-mnist") else { return };
    let train = fashion_mnist::load(&folder, Part::Train).unwrap();
    assert_eq!((train.len(), counts(&train)), (60_000, vec![6000; 10]));
    assert_eq!(train.class_names()[train.labels()[0] as usize], "Ankle boot");
    assert_eq!(fashion_mnist::load(&folder, Part::Test).unwrap().len(), 10_000);
}

/// Strict decoding refuses no published image.
#[cfg(feature = "images")]
#[test]
fn every_published_image_is_decoded() {
    use ocelli_data::{Frame, Preprocess, Resize, cifar10, image_files::load_archive};
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    for (name, count) in [("train_jpeg_20000.tar.gz", 20_000), ("test_jpeg_2000.tar.gz", 2000)] {
        let path = shared.join("cifar10-subset").join(name);
        if !path.is_file() {
            println!("skipped: {} is absent", path.display());
            continue;
        }
        assert_eq!(load_archive(path, cifar10::CLASS_NAMES.map(String::from).into()).unwrap().len(), count);
    }
    let whole = Preprocess { resize: Resize::Keep, frame: Frame::Whole, ..Preprocess::plain([1, 1]) };
    let mut folders = vec![shared];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            match path.extension().and_then(|ending| ending.to_str()) {
                _ if path.is_dir() => folders.push(path),
                Some("jpg" | "png") => drop(whole.load(&path).unwrap()),
                _ => {}
            }
        }
    }
}
