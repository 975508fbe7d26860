//! Reads images from a folder with one subfolder for each class.

use super::{decode_file, decode_file_part};
use crate::{Choice, Dataset, Error, Image, Result, clutter::is_clutter, dataset::check, error::shortened};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// File extensions of images, in either case.
const ENDINGS: [&str; 7] = ["png", "jpg", "jpeg", "bmp", "pgm", "ppm", "pnm"];
/// Maximum number of characters of the names that an error quotes.
const MAX_QUOTED: usize = 200;

/// A dataset of the image files below a folder, with one subfolder for each class, such as `cat/0001.jpg`; each image
/// is decoded when it is read, so that there may be any number of any size.
///
/// Classes, and the images of each class, are in the order of their names. Files that do not end with `.png`, `.jpg`,
/// `.jpeg`, `.bmp`, `.pgm`, `.ppm` or `.pnm`, hidden files, and the files that operating systems leave beside images
/// (`__MACOSX`, `Thumbs.db`) are skipped, as by [`load_archive`](super::load_archive).
///
/// Not run here, because there is no such folder:
///
/// ```no_run
/// use ocelli_data::{Dataset, Loader, Pipeline, image_files::ImageFolder};
/// let images = ImageFolder::open("animals/train")?;
/// println!("{} images of {}", images.len(), images.class_names().join(", "));
/// let loader = Loader::new(images, Pipeline::imagenet([224, 224]), 32)?.shuffle(7);
/// # Ok::<(), ocelli_data::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ImageFolder {
    files: Vec<(PathBuf, u32)>,
    class_names: Vec<String>,
}

impl ImageFolder {
    /// Lists the images of the classes.
    ///
    /// # Errors
    /// [`Error::Io`] if a folder cannot be read; [`Error::Format`] if it has no subfolders, or one of them has no
    /// images.
    pub fn open(folder: impl AsRef<Path>) -> Result<ImageFolder> {
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
        if files.is_empty() {
            return Err(Error::format(folder, "no folders, of which each would hold the images of a class"));
        }
        Ok(ImageFolder { files, class_names })
    }

    /// Lists the images for training, in the folder `train`, and those for validation, in `val` or else in `test`.
    ///
    /// # Errors
    /// The errors of [`ImageFolder::open`]; [`Error::Format`] if the classes of the two differ.
    pub fn open_parts(folder: impl AsRef<Path>) -> Result<(ImageFolder, ImageFolder)> {
        let folder = folder.as_ref();
        let held = if folder.join("val").is_dir() { "val" } else { "test" };
        let (train, held) = (ImageFolder::open(folder.join("train"))?, ImageFolder::open(folder.join(held))?);
        if train.class_names != held.class_names {
            let [train, held] = [train, held].map(|part| shortened(&part.class_names.join(", "), MAX_QUOTED));
            return Err(Error::format(folder, format!("classes differ: {train} for training, then {held}")));
        }
        Ok((train, held))
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

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn label(&self, index: usize) -> Result<u32> {
        check(self, index)?;
        Ok(self.files[index].1)
    }

    fn read(&self, index: usize, image: &mut Image) -> Result<()> {
        check(self, index)?;
        *image = decode_file(&self.files[index].0)?;
        Ok(())
    }

    fn read_part(&self, index: usize, image: &mut Image, part: &mut Choice<'_>) -> Result<()> {
        check(self, index)?;
        *image = decode_file_part(&self.files[index].0, part)?;
        Ok(())
    }

    fn name(&self, index: usize) -> String {
        self.file(index).map_or_else(|| format!("sample {index}"), |path| path.display().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image_files::encoders::{jpeg, png};
    use tempfile::TempDir;

    /// Makes a folder with images of one colour under these names, `height` × 4 pixels each.
    fn folder(images: &[(&str, u8, usize)]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, colour, height) in images {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let (size, pixel) = ([*height, 4], |_, _| [*colour, 0, 255]);
            fs::write(path, if name.ends_with("png") { png(size, pixel) } else { jpeg(size, pixel) }).unwrap();
        }
        folder
    }

    fn opened(folder: &TempDir) -> std::result::Result<ImageFolder, String> {
        let text = |error: Error| error.to_string().replace(&format!("{}", folder.path().display()), "DIR");
        ImageFolder::open(folder.path()).map_err(text)
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
        let images = opened(&folder).unwrap();
        assert_eq!((images.class_names(), images.size()), (&["cat".to_string(), "dog".into()][..], None));
        let names = |index| images.file(index).map(|path| path.strip_prefix(folder.path()).unwrap().to_owned());
        let expected = ["cat/1.jpeg", "dog/a.JPG", "dog/b.png"].map(|name| Some(PathBuf::from(name)));
        assert_eq!((images.len(), [0, 1, 2].map(names)), (3, expected));
        let mut image = Image::default();
        for (index, label, red, height) in [(0, 0, 255u8, 4), (1, 1, 0, 9), (2, 1, 51, 4)] {
            images.read(index, &mut image).unwrap();
            assert_eq!((images.label(index).unwrap(), image.size()), (label, [height, 4]));
            for pixel in image.pixels().as_chunks::<3>().0 {
                assert!(pixel[0].abs_diff(red) < 4 && pixel[1] < 4 && pixel[2] > 251, "{index}: {pixel:?}");
            }
        }
        assert!(images.name(2).ends_with("dog/b.png"));
        assert_eq!(images.read(3, &mut image).unwrap_err().to_string(), "sample 3 of a dataset of 3");
    }

    #[test]
    fn parts_have_the_same_classes() {
        let whole =
            folder(&[("train/a/1.png", 0, 4), ("train/b/1.png", 0, 4), ("test/a/2.png", 0, 4), ("val/b/2.png", 0, 4)]);
        let parts = |folder: &TempDir| ImageFolder::open_parts(folder.path());
        let text = parts(&whole).unwrap_err().to_string();
        assert!(text.ends_with("classes differ: a, b for training, then b"), "{text}");
        fs::create_dir(whole.path().join("val/a")).unwrap();
        fs::copy(whole.path().join("test/a/2.png"), whole.path().join("val/a/3.png")).unwrap();
        let (train, held) = parts(&whole).unwrap();
        assert_eq!((train.class_counts().unwrap(), held.class_counts().unwrap()), (vec![1, 1], vec![1, 1]));
        assert!(held.name(0).ends_with("val/a/3.png"));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let two = folder(&[("a/1.png", 0, 4), ("b/2.png", 0, 5)]);
        let empty = folder(&[]);
        let nothing = "DIR: no folders, of which each would hold the images of a class";
        assert_eq!(opened(&empty).unwrap_err(), nothing);
        fs::create_dir(two.path().join("c")).unwrap();
        assert_eq!(opened(&two).unwrap_err(), "DIR/c: no images in the folder of this class");
        fs::write(empty.path().join("d.png"), "").unwrap();
        assert_eq!(opened(&empty).unwrap_err(), nothing);
        fs::create_dir(empty.path().join("d")).unwrap();
        fs::write(empty.path().join("d/1.png"), "no image").unwrap();
        let error = opened(&empty).unwrap().read(0, &mut Image::default()).unwrap_err().to_string();
        assert!(error.ends_with("d/1.png: not a PNG, JPEG, PNM or BMP image that can be read"), "{error}");
        let error = ImageFolder::open(empty.path().join("none")).unwrap_err().to_string();
        assert!(error.contains("none: No such file"), "{error}");
    }
}
