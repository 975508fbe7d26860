use super::*;
use crate::Dataset;
use flate2::{Compression, write::GzEncoder};
use std::{io::Write, path::PathBuf};
use tempfile::TempDir;

fn file_of(sizes: &[u32], data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, sizes.len() as u8];
    sizes.iter().for_each(|size| bytes.extend(size.to_be_bytes()));
    bytes.extend(data);
    bytes
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A folder with one file; errors are shown without the folder's name.
struct OneFile {
    folder: TempDir,
    path: PathBuf,
}

impl OneFile {
    fn new(bytes: &[u8]) -> OneFile {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, bytes).unwrap();
        OneFile { folder, path }
    }

    fn text(&self, error: Error) -> String {
        error.to_string().replace(&format!("{}/", self.folder.path().display()), "")
    }
}

fn images_error(bytes: &[u8]) -> String {
    let file = OneFile::new(bytes);
    file.text(read_images(&file.path).unwrap_err())
}

fn labels_error(bytes: &[u8]) -> String {
    let file = OneFile::new(bytes);
    file.text(read_labels(&file.path).unwrap_err())
}

#[test]
fn raw_and_packed_files_are_told_apart_by_content() {
    let bytes = file_of(&[2, 1, 3], &[1, 2, 3, 4, 5, 6]);
    let expected = IdxImages { count: 2, height: 1, width: 3, pixels: vec![1, 2, 3, 4, 5, 6] };
    assert_eq!(read_images(&OneFile::new(&bytes).path).unwrap(), expected);
    assert_eq!(read_images(&OneFile::new(&packed(&bytes)).path).unwrap(), expected);
    let (first, second) = bytes.split_at(9);
    let members = [packed(first), packed(second)].concat();
    assert_eq!(read_images(&OneFile::new(&members).path).unwrap(), expected);
    assert_eq!(read_labels(&OneFile::new(&file_of(&[2], &[7, 9])).path).unwrap(), [7, 9]);
}

#[test]
fn another_kind_of_file_is_recognised() {
    let expected = "expected idx images (magic number 0x00000803)";
    for (bytes, what) in [
        (file_of(&[1], &[0]), "this is idx labels"),
        (packed(&packed(&file_of(&[1], &[0]))), "this is a gzip file inside a gzip file"),
        (vec![0, 0, 13, 2, 0], "idx data of f32 with 2 axes"),
        (vec![0, 0, 8, 4, 0], "idx data of u8 with 4 axes"),
        (b"\x89PNG\r\n".to_vec(), "this is a PNG image"),
        (b"\xFF\xD8\xFF\xE0".to_vec(), "this is a JPEG image"),
        (b"PK\x03\x04".to_vec(), "this is a zip archive"),
        (b"\x93NUMPY".to_vec(), "this is a NumPy array"),
        (b"<!DOCTYPE html>".to_vec(), "this is a web page"),
        (b"hello".to_vec(), "not an idx file (it starts with 0x68656c6c)"),
    ] {
        assert_eq!(images_error(&bytes), format!("file: {what}, {expected}"));
    }
    let text = labels_error(&file_of(&[1, 1, 1], &[0]));
    assert_eq!(text, "file: this is idx images, expected idx labels (magic number 0x00000801)");
}

#[test]
fn a_truncated_file_says_where_it_ends() {
    let bytes = file_of(&[3, 2, 2], &[0; 12]);
    for (len, end) in [
        (0, "is empty"),
        (3, "ends inside its magic number"),
        (4, "ends inside its header"),
        (15, "ends inside its header"),
        (16, "ends inside image 0 of 3"),
        (27, "ends inside image 2 of 3"),
    ] {
        assert_eq!(images_error(&bytes[..len]), format!("file: the file {end}"));
        if len > 0 {
            assert_eq!(images_error(&packed(&bytes[..len])), format!("file: the file {end}"), "packed");
        }
    }
    assert_eq!(labels_error(&file_of(&[5], &[1, 2])), "file: the file ends inside label 2 of 5");
}

#[test]
fn trailing_bytes_are_refused() {
    let mut bytes = file_of(&[3, 2, 2], &[0; 12]);
    bytes.push(0);
    assert_eq!(images_error(&bytes), "file: the file goes on after the last of its 3 images");
    assert_eq!(images_error(&packed(&bytes)), "file: the file goes on after the last of its 3 images");
    assert_eq!(labels_error(&file_of(&[1], &[1, 2])), "file: the file goes on after the last of its 1 labels");
}

#[test]
fn empty_and_absurd_sizes_are_refused_before_anything_is_allocated() {
    assert_eq!(images_error(&file_of(&[0, 28, 28], &[])), "file: no images");
    assert_eq!(images_error(&file_of(&[1, 0, 28], &[])), "file: images of 0 x 28 pixels");
    assert_eq!(images_error(&file_of(&[1, 28, 0], &[])), "file: images of 28 x 0 pixels");
    assert_eq!(labels_error(&file_of(&[0], &[])), "file: no labels");
    let limit = |file: &[u8]| {
        let bytes = (16 << 20) + 256 * file.len();
        format!("are more than the {bytes} bytes that a file of its length may hold")
    };
    let most = u32::MAX;
    let (images, labels) = (file_of(&[most, most, most], &[]), file_of(&[most], &[]));
    assert_eq!(
        images_error(&images),
        format!("file: 4294967295 images of 18446744065119617025 bytes each {}", limit(&images))
    );
    assert_eq!(labels_error(&labels), format!("file: 4294967295 labels of 1 bytes each {}", limit(&labels)));
    let gigabyte = file_of(&[1 << 20, 32, 32], &[0; 99]);
    assert_eq!(images_error(&gigabyte), format!("file: 1048576 images of 1024 bytes each {}", limit(&gigabyte)));
    // Within the limit, but not in the file.
    assert_eq!(images_error(&file_of(&[1 << 10, 32, 32], &[0; 99])), "file: the file ends inside image 0 of 1024");
}

#[test]
fn labels_that_pack_well_do_not_fill_the_memory() {
    // A gigabyte of zeros is 1 MB of gzip; here are some of them, whose header is true.
    let count = 60 << 20;
    let bytes = packed(&file_of(&[count], &vec![0; count as usize]));
    assert!(labels_error(&bytes).starts_with("file: 62914560 labels of 1 bytes each are more than the "));
    // A thousand times the file is accepted where that is still little.
    let few = packed(&file_of(&[1 << 20], &vec![0; 1 << 20]));
    assert!(few.len() < 8000);
    assert_eq!(read_labels(&OneFile::new(&few).path).unwrap().len(), 1 << 20);
}

#[test]
fn damaged_gzip_data_are_said_to_be() {
    let whole = packed(&file_of(&[300], &(0..300).map(|i| (i * i % 251) as u8).collect::<Vec<_>>()));
    assert_eq!(labels_error(&whole[..whole.len() / 2]), "file: the gzip data end too early");
    assert_eq!(labels_error(&whole[..whole.len() - 3]), "file: the gzip data end too early");
    let mut checksum = whole.clone();
    let at = whole.len() - 6;
    checksum[at] ^= 1;
    assert!(labels_error(&checksum).starts_with("file: corrupt gzip data ("), "{}", labels_error(&checksum));
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x55;
        // Some header bytes (time, system) carry no meaning; everything else must be found, and nothing may panic.
        if at >= 10 {
            let text = labels_error(&damaged);
            assert!(text.starts_with("file: "), "byte {at}: {text}");
        } else {
            let _ = read_labels(&OneFile::new(&damaged).path);
        }
    }
}

#[test]
fn a_missing_file_and_a_folder_are_named() {
    let file = OneFile::new(&[]);
    let none = file.folder.path().join("none");
    assert!(file.text(read_images(&none).unwrap_err()).starts_with("none: No such file"));
    assert!(
        read_images(file.folder.path()).unwrap_err().to_string().starts_with(&file.folder.path().display().to_string())
    );
}

fn pair(images: &[u8], labels: &[u8]) -> std::result::Result<Images, String> {
    let folder = tempfile::tempdir().unwrap();
    let (i, l) = (folder.path().join("train-images"), folder.path().join("train-labels"));
    std::fs::write(&i, images).unwrap();
    std::fs::write(&l, labels).unwrap();
    let names = (0..10).map(|class| class.to_string()).collect();
    let prefix = format!("{}/", folder.path().display());
    load(&i, &l, names).map_err(|error| error.to_string().replace(&prefix, ""))
}

#[test]
fn images_and_labels_must_belong_together() {
    let images = file_of(&[3, 1, 2], &[0, 255, 1, 2, 3, 4]);
    let loaded = pair(&images, &file_of(&[3], &[9, 0, 4])).unwrap();
    assert_eq!((loaded.shape(), loaded.labels(), loaded.classes()), ([1, 2, 1], &[9, 0, 4][..], 10));
    assert_eq!(pair(&images, &file_of(&[2], &[0, 0])).unwrap_err(), "train-labels: 3 images but 2 labels");
    assert_eq!(
        pair(&images, &file_of(&[3], &[0, 10, 0])).unwrap_err(),
        "train-labels: label 10 at index 1, but there are 10 classes"
    );
    let swapped = pair(&file_of(&[1], &[0]), &images).unwrap_err();
    assert_eq!(swapped, "train-images: this is idx labels, expected idx images (magic number 0x00000803)");
}
