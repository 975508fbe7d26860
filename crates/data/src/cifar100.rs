//! CIFAR-100: photographs of 32 × 32 pixels in a hundred classes of twenty groups; 50,000 for training and 10,000 for
//! testing (Krizhevsky 2009).
//!
//! In the binary version of the dataset, a record is one byte for the group (the coarse label), one for the class (the fine
//! label) and 3,072 for the image, as in [`cifar10`](crate::cifar10).

use crate::{
    Error, Images, Part, Result,
    cifar10::{PLANES, SIDE, push_pixels},
    unpacked::Unpacked,
};
use std::path::Path;

const RECORD: usize = 2 + PLANES;

pub(crate) const SOURCE: &str =
    "download https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz and unpack it (tar xzf)";

/// The labels of the images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Labels {
    /// The hundred classes.
    Fine,
    /// The twenty groups of five classes.
    Coarse,
}

impl Labels {
    fn names(self) -> Vec<String> {
        let names: &[&str] = match self {
            Labels::Fine => &CLASS_NAMES,
            Labels::Coarse => &GROUP_NAMES,
        };
        names.iter().map(|name| name.to_string()).collect()
    }
}

/// Reads one part of CIFAR-100 from the folder that holds its files, `train.bin` and `test.bin`;
/// [`find`](crate::find) looks for that folder.
///
/// # Errors
/// [`Error::NotFound`] if there is no such file; [`Error::Format`] if it has no records or ends within one, or a label has
/// no class; [`Error::Io`] if it cannot be read.
pub fn load(folder: impl AsRef<Path>, part: Part, labels: Labels) -> Result<Images> {
    let folder = folder.as_ref();
    let name = match part {
        Part::Train => "train.bin",
        Part::Test => "test.bin",
    };
    let path = folder.join(name);
    if !path.is_file() {
        let searched = folder.display().to_string();
        return Err(Error::NotFound { what: name.into(), searched, remedy: SOURCE.into() });
    }
    read(path, labels)
}

/// Returns true if a folder has both files.
pub(crate) fn is_in(folder: &Path) -> bool {
    folder.join("train.bin").is_file() && folder.join("test.bin").is_file()
}

/// Reads the records of one file.
///
/// # Errors
/// Fails as [`load`] does for that file.
pub fn read(path: impl AsRef<Path>, labels: Labels) -> Result<Images> {
    let names = labels.names();
    let mut content = Unpacked::open(path.as_ref())?;
    let (mut pixels, mut found, mut record) = (Vec::new(), Vec::new(), [0; RECORD]);
    for index in 0.. {
        match content.fill(&mut record)? {
            RECORD => {}
            0 if index == 0 => return Err(content.wrong("the file is empty")),
            0 => break,
            rest => return Err(content.wrong(format!("the file ends inside record {index}: {rest} bytes of {RECORD}"))),
        }
        let label = match labels {
            Labels::Coarse => record[0],
            Labels::Fine => record[1],
        };
        if usize::from(label) >= names.len() {
            let classes = names.len();
            return Err(content.wrong(format!("label {label} in record {index}, but there are {classes} classes")));
        }
        found.push(label.into());
        push_pixels(&record[2..], &mut pixels);
    }
    Images::new([SIDE, SIDE, 3], pixels, found, names)
}

/// Names of the groups in the order of the coarse labels.
pub const GROUP_NAMES: [&str; 20] = [
    "aquatic_mammals",
    "fish",
    "flowers",
    "food_containers",
    "fruit_and_vegetables",
    "household_electrical_devices",
    "household_furniture",
    "insects",
    "large_carnivores",
    "large_man-made_outdoor_things",
    "large_natural_outdoor_scenes",
    "large_omnivores_and_herbivores",
    "medium_mammals",
    "non-insect_invertebrates",
    "people",
    "reptiles",
    "small_mammals",
    "trees",
    "vehicles_1",
    "vehicles_2",
];

/// Names of the classes in the order of the fine labels.
#[rustfmt::skip]
pub const CLASS_NAMES: [&str; 100] = [
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle",
    "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle",
    "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur",
    "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard",
    "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain",
    "mouse", "mushroom", "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree",
    "plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket",
    "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider",
    "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone", "television", "tiger", "tractor",
    "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman", "worm",
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn record(coarse: u8, fine: u8) -> Vec<u8> {
        [coarse, fine].into_iter().chain((0..PLANES).map(|at| (at / 1024 * 10) as u8)).collect()
    }

    #[test]
    fn both_kinds_of_labels_are_read() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("train.bin"), [record(4, 0), record(19, 99)].concat()).unwrap();
        fs::write(folder.path().join("test.bin"), record(20, 3)).unwrap();
        let fine = load(folder.path(), Part::Train, Labels::Fine).unwrap();
        let coarse = load(folder.path(), Part::Train, Labels::Coarse).unwrap();
        assert_eq!((fine.labels(), coarse.labels()), (&[0, 99][..], &[4, 19][..]));
        assert_eq!(fine.image(1).unwrap()[..6], [0, 10, 20, 0, 10, 20]);
        let prefix = format!("{}/", folder.path().display());
        let text =
            |labels| load(folder.path(), Part::Test, labels).map_err(|error| error.to_string().replace(&prefix, ""));
        assert_eq!(text(Labels::Coarse).unwrap_err(), "test.bin: label 20 in record 0, but there are 20 classes");
        assert!(text(Labels::Fine).is_ok());
        fs::write(folder.path().join("test.bin"), &record(1, 1)[..100]).unwrap();
        assert_eq!(text(Labels::Fine).unwrap_err(), "test.bin: the file ends inside record 0: 100 bytes of 3074");
    }
}
