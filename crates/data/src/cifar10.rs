//! CIFAR-10: photographs of 32 × 32 pixels in ten classes; 50,000 for training and 10,000 for testing (Krizhevsky
//! 2009).
//!
//! In the binary version of the dataset, a record is one byte for the label and 3,072 for the image: its red, its green
//! and its blue plane, each row by row. Any number of records make a file.

use crate::{Error, Images, Part, Result, unpacked::Unpacked};
use std::{
    fs,
    path::{Path, PathBuf},
};

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;
const RECORD: usize = 1 + 3 * PLANE;

pub(crate) const SOURCE: &str =
    "download https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz and unpack it (tar xzf)";

/// Names of the classes in the order of the labels.
pub const CLASS_NAMES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// Reads one part of CIFAR-10 from the folder that holds its files; [`find`](crate::find) looks for that folder.
///
/// For training these are the files `data_batch_1.bin` to `data_batch_5.bin`, for the test `test_batch.bin`; files with
/// some of the records are read too, if their names begin with `train` or `test` and end with `.bin`. Several are read in
/// the order of their names.
///
/// # Errors
/// [`Error::NotFound`] if the folder has no such file, or the errors of [`read`].
pub fn load(folder: impl AsRef<Path>, part: Part) -> Result<Images> {
    let folder = folder.as_ref();
    let files = files(folder, part);
    if files.is_empty() {
        let what = match part {
            Part::Train => "data_batch_1.bin",
            Part::Test => "test_batch.bin",
        };
        let searched = folder.display().to_string();
        return Err(Error::NotFound { what: what.into(), searched, remedy: SOURCE.into() });
    }
    read(&files)
}

/// Returns true if a folder has files of either part.
pub(crate) fn is_in(folder: &Path) -> bool {
    [Part::Train, Part::Test].iter().any(|part| !files(folder, *part).is_empty())
}

/// Lists the files of a part in the order of their names; empty if the folder cannot be read.
fn files(folder: &Path, part: Part) -> Vec<PathBuf> {
    let prefixes: &[&str] = match part {
        Part::Train => &["data_batch_", "train"],
        Part::Test => &["test"],
    };
    let is_of_part = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.ends_with(".bin") && prefixes.iter().any(|prefix| name.starts_with(prefix))
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_of_part).collect();
    files.sort_unstable();
    files
}

/// Reads the records of all `files`, one file after the other.
///
/// # Errors
/// [`Error::Format`] if a file has no records or ends within one, or a label has no class;
/// [`Error::Io`] if it cannot be read.
pub fn read(files: &[impl AsRef<Path>]) -> Result<Images> {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for file in files {
        read_records(file.as_ref(), &mut pixels, &mut labels)?;
    }
    Images::new([SIDE, SIDE, 3], pixels, labels, CLASS_NAMES.map(String::from).into())
}

fn read_records(path: &Path, pixels: &mut Vec<u8>, labels: &mut Vec<u32>) -> Result<()> {
    let mut content = Unpacked::open(path)?;
    let mut record = [0; RECORD];
    for index in 0.. {
        match content.fill(&mut record)? {
            RECORD => {}
            0 if index == 0 => return Err(content.wrong("the file is empty")),
            0 => break,
            rest => return Err(content.wrong(format!("the file ends inside record {index}: {rest} bytes of {RECORD}"))),
        }
        let label = record[0];
        if usize::from(label) >= CLASS_NAMES.len() {
            let classes = CLASS_NAMES.len();
            return Err(content.wrong(format!("label {label} in record {index}, but there are {classes} classes")));
        }
        labels.push(label.into());
        let (red, rest) = record[1..].split_at(PLANE);
        let (green, blue) = rest.split_at(PLANE);
        let colours = red.iter().zip(green).zip(blue);
        pixels.extend(colours.flat_map(|((red, green), blue)| [*red, *green, *blue]));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dataset;

    fn record(label: u8, first: u8) -> Vec<u8> {
        let planes = (0..3 * PLANE).map(|i| first.wrapping_add((i / PLANE * 50 + i % PLANE % 49) as u8));
        [label].into_iter().chain(planes).collect()
    }

    #[test]
    fn planes_become_pixels_and_files_follow_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: Vec<u8>| fs::write(folder.path().join(name), bytes).unwrap();
        write("data_batch_2.bin", record(9, 3));
        write("data_batch_1.bin", [record(0, 1), record(7, 2)].concat());
        write("train_more.bin", record(1, 4));
        write("test_batch.bin", record(5, 0));
        write("batches.meta.txt", b"airplane".to_vec());
        let images = load(folder.path(), Part::Train).unwrap();
        assert_eq!((images.shape(), images.labels()), ([32, 32, 3], &[0, 7, 9, 1][..]));
        for (index, first) in [1, 2, 3, 4].into_iter().enumerate() {
            let planes = &record(0, first)[1..];
            for (i, pixel) in images.image(index).unwrap().iter().enumerate() {
                assert_eq!(*pixel, planes[i % 3 * PLANE + i / 3], "image {index}, byte {i}");
            }
        }
        assert_eq!(load(folder.path(), Part::Test).unwrap().labels(), [5]);
    }

    #[test]
    fn damaged_files_are_said_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let text = |bytes: &[u8]| {
            fs::write(folder.path().join("test.bin"), bytes).unwrap();
            let prefix = format!("{}/", folder.path().display());
            load(folder.path(), Part::Test).unwrap_err().to_string().replace(&prefix, "")
        };
        assert_eq!(text(&[]), "test.bin: the file is empty");
        let two = [record(0, 0), record(10, 0)].concat();
        assert_eq!(text(&two), "test.bin: label 10 in record 1, but there are 10 classes");
        assert_eq!(text(&two[..RECORD + 5]), "test.bin: the file ends inside record 1: 5 bytes of 3073");
    }

    #[test]
    fn missing_files_are_named_with_their_source() {
        let folder = tempfile::tempdir().unwrap();
        let text = load(folder.path(), Part::Train).unwrap_err().to_string();
        assert_eq!(text, format!("data_batch_1.bin not found in {}; {SOURCE}", folder.path().display()));
    }
}
