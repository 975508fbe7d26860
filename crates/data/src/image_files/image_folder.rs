//! Reads images from a folder with one subfolder for each class.

use crate::{Dataset, Error, Preprocess, Result, clutter::is_clutter, dataset::check};
use ocelli_tensor::ShapeText;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// File extensions of images, in either case.
const ENDINGS: [&str; 7] = ["png", "jpg", "jpeg", "bmp", "pgm", "ppm", "pnm"];

/// A dataset of the image files below a folder, with one subfolder for each class, such as `cat/0001.jpg`; each image
/// is decoded and prepared when it is read, so that there may be any number of any size.
///
/// Classes, and the images of each class, are in the order of their names. Files that do not end with `.png`, `.jpg`,
/// `.jpeg`, `.bmp`, `.pgm`, `.ppm` or `.pnm`, hidden files, and the files that operating systems leave beside images
/// (`__MACOSX`, `Thumbs.db`) are skipped, as by [`load_archive`](super::load_archive).
///
/// Not run here, because there is no such folder:
///
/// ```no_run
/// use ocelli_data::{Dataset, Loader, Preprocess, image_files::ImageFolder};
/// let images = ImageFolder::open("animals/train", Preprocess::imagenet([224, 224]))?;
/// println!("{} images of {}", images.len(), images.class_names().join(", "));
/// let loader = Loader::new(images, 32)?.shuffle(7);
/// # Ok::<(), ocelli_data::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ImageFolder {
    files: Vec<(PathBuf, u32)>,
    class_names: Vec<String>,
    preprocess: Preprocess,
    shape: [usize; 3],
}

impl ImageFolder {
    /// Lists the images, and reads the first one: all others must have its size once they are prepared.
    ///
    /// # Errors
    /// [`Error::Io`] if a folder cannot be read; [`Error::Format`] if it has no subfolders, or one of them has no
    /// images; and the errors of [`Preprocess::load`] for the first image.
    pub fn open(folder: impl AsRef<Path>, preprocess: Preprocess) -> Result<ImageFolder> {
        let folder = folder.as_ref();
        let (mut files, mut class_names) = (Vec::new(), Vec::new());
        for (name, path) in entries(folder)?.into_iter().filter(|(_, path)| path.is_dir()) {
            let images: Vec<PathBuf> =
                entries(&path)?.into_iter().map(|(_, path)| path).filter(|path| is_image(path)).collect();
            if images.is_empty() {
                return Err(Error::format(&path, "no images in the folder of this class"));
            }
            let label = class_names.len() as u32;
            files.extend(images.into_iter().map(|path| (path, label)));
            class_names.push(name);
        }
        let Some((first, _)) = files.first() else {
            return Err(Error::format(folder, "no folders, of which each would hold the images of a class"));
        };
        let shape = match *preprocess.load(first)?.shape() {
            [_, height, width, channels] => [height, width, channels],
            ref other => return Err(Error::format(first, format!("no image: {}", ShapeText(other)))),
        };
        Ok(ImageFolder { files, class_names, preprocess, shape })
    }

    /// Returns the path of sample `index`, if there is such a sample.
    pub fn file(&self, index: usize) -> Option<&Path> {
        self.files.get(index).map(|(path, _)| path.as_path())
    }
}

/// Lists the names and paths in a folder, without clutter, in the order of the names.
fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let failed = |source| Error::io(folder, source);
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !is_clutter(&name) {
            entries.push((name, entry.path()));
        }
    }
    entries.sort_unstable();
    Ok(entries)
}

fn is_image(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    path.is_file() && ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known))
}

impl Dataset for ImageFolder {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn shape(&self) -> [usize; 3] {
        self.shape
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn write(&self, index: usize, _epoch: u64, out: &mut [f32]) -> Result<u32> {
        check(self, index, out)?;
        let (path, label) = &self.files[index];
        let image = self.preprocess.load(path)?;
        if image.shape()[1..] != self.shape {
            let (got, expected) = (ShapeText(&image.shape()[1..]), ShapeText(&self.shape));
            return Err(Error::format(path, format!("prepared, its shape is {got}, that of the first one {expected}")));
        }
        out.copy_from_slice(image.data());
        Ok(*label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Channels, Frame, Resize};
    use image::{ImageFormat, Rgb, RgbImage};
    use tempfile::TempDir;

    /// Makes a folder with images of one colour under these names, `height` × 4 pixels each.
    fn folder(images: &[(&str, u8, u32)]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, colour, height) in images {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let image = RgbImage::from_pixel(4, *height, Rgb([*colour, 0, 255]));
            let format = if name.ends_with("png") { ImageFormat::Png } else { ImageFormat::Jpeg };
            image.save_with_format(path, format).unwrap();
        }
        folder
    }

    fn opened(folder: &TempDir, preprocess: Preprocess) -> std::result::Result<ImageFolder, String> {
        let text = |error: Error| error.to_string().replace(&format!("{}", folder.path().display()), "DIR");
        ImageFolder::open(folder.path(), preprocess).map_err(text)
    }

    #[test]
    fn classes_and_images_are_in_the_order_of_their_names() {
        let folder = folder(&[
            ("dog/b.png", 51, 4),
            ("dog/a.JPG", 0, 9),
            ("cat/1.jpeg", 255, 4),
            ("cat/.hidden.png", 9, 4),
            ("cat/._1.jpeg", 9, 4),
            ("__MACOSX/x.png", 9, 4),
            (".cache/x.png", 9, 4),
        ]);
        fs::write(folder.path().join("readme.txt"), "no folder").unwrap();
        fs::write(folder.path().join("dog/labels.csv"), "no image").unwrap();
        let images = opened(&folder, Preprocess::plain([2, 2])).unwrap();
        assert_eq!((images.class_names(), images.shape()), (&["cat".to_string(), "dog".into()][..], [2, 2, 3]));
        let names = |index| images.file(index).map(|path| path.strip_prefix(folder.path()).unwrap().to_owned());
        let expected = ["cat/1.jpeg", "dog/a.JPG", "dog/b.png"].map(|name| Some(PathBuf::from(name)));
        assert_eq!((images.len(), [0, 1, 2].map(names)), (3, expected));
        let mut out = [0.0; 12];
        for (index, label, red) in [(0, 0, 1.0), (1, 1, 0.0), (2, 1, 0.2)] {
            assert_eq!(images.write(index, 5, &mut out).unwrap(), label);
            for pixel in out.chunks_exact(3) {
                assert!((pixel[0] - red).abs() < 0.02 && pixel[1] < 0.02 && pixel[2] > 0.98, "{index}: {pixel:?}");
            }
        }
        assert_eq!(images.write(3, 0, &mut out).unwrap_err().to_string(), "sample 3 of a dataset of 3");
        assert!(images.write(0, 0, &mut out[..5]).is_err());
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let plain = Preprocess::plain([4, 4]);
        let whole = Preprocess { resize: Resize::Keep, frame: Frame::Whole, channels: Channels::Rgb, ..plain.clone() };
        let two = folder(&[("a/1.png", 0, 4), ("b/2.png", 0, 5)]);
        let error = opened(&two, whole).unwrap().write(1, 0, &mut [0.0; 48]).unwrap_err().to_string();
        assert!(
            error.ends_with("b/2.png: prepared, its shape is [5, 4, 3], that of the first one [4, 4, 3]"),
            "{error}"
        );
        let empty = folder(&[]);
        let nothing = "DIR: no folders, of which each would hold the images of a class";
        assert_eq!(opened(&empty, plain.clone()).unwrap_err(), nothing);
        fs::create_dir(two.path().join("c")).unwrap();
        let error = opened(&two, plain.clone()).unwrap_err();
        assert_eq!(error, "DIR/c: no images in the folder of this class");
        fs::write(empty.path().join("d.png"), "").unwrap();
        assert_eq!(opened(&empty, plain.clone()).unwrap_err(), nothing);
        fs::create_dir(empty.path().join("d")).unwrap();
        fs::write(empty.path().join("d/1.png"), "no image").unwrap();
        let error = opened(&empty, plain.clone()).unwrap_err();
        assert!(error.starts_with("DIR/d/1.png: "), "{error}");
        let error = ImageFolder::open(empty.path().join("none"), plain).unwrap_err().to_string();
        assert!(error.contains("none: No such file"), "{error}");
    }
}
