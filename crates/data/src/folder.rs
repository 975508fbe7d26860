//! The search for the files of a published dataset.

use crate::{Error, Images, Result, idx};
use std::path::{Path, PathBuf};

/// The environment variable that names the folder of all datasets.
const VARIABLE: &str = "OCELLI_DATA";

/// A part of a published dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The samples for training.
    Train,
    /// The samples for testing.
    Test,
}

impl Part {
    /// Returns the beginning of the file names of this part.
    fn prefix(self) -> &'static str {
        match self {
            Part::Train => "train",
            Part::Test => "t10k",
        }
    }
}

/// A dataset that is published as four idx files.
pub(crate) struct Published {
    /// The name of the dataset and of its folder.
    pub name: &'static str,
    /// The source of the files, as a clause.
    pub source: &'static str,
    /// Names of the classes in the order of the labels.
    pub class_names: [&'static str; 10],
}

/// The rule by which [`find`] recognises the folder of a dataset.
struct KnownFolder {
    dataset: &'static str,
    folder: &'static str,
    source: &'static str,
    is_in: fn(&Path) -> bool,
}

impl KnownFolder {
    const fn for_idx_files(published: &Published) -> KnownFolder {
        KnownFolder { dataset: published.name, folder: published.name, source: published.source, is_in: has_idx_files }
    }
}

/// The rule for each dataset that [`find`] knows.
const KNOWN_FOLDERS: [KnownFolder; 3] = [
    KnownFolder::for_idx_files(&crate::mnist::PUBLISHED),
    KnownFolder::for_idx_files(&crate::fashion_mnist::PUBLISHED),
    KnownFolder {
        dataset: "cifar-10",
        folder: "cifar-10-batches-bin",
        source: crate::cifar10::SOURCE,
        is_in: crate::cifar10::is_in,
    },
];

fn has_idx_files(folder: &Path) -> bool {
    [Part::Train, Part::Test].iter().any(|part| existing(folder, *part, Kind::Images).is_some())
}

/// Finds the folder with the files of `dataset`: `"mnist"`, `"fashion-mnist"` or `"cifar-10"`.
///
/// Looks into the `given` folder, then into the one that the environment variable `OCELLI_DATA` names, then into
/// `data` in the current folder; in each first into the folder of the dataset's name (of CIFAR-10
/// `cifar-10-batches-bin`) and then into the folder itself. MNIST and Fashion-MNIST use the same file names, so keep only
/// one of them outside a folder of its name.
///
/// # Errors
/// [`Error::NotFound`] with the places searched and the source of the files; [`Error::Setting`] for another name.
///
/// ```
/// use ocelli_data::{Part, find, mnist};
/// match find("mnist", None) {
///     Ok(folder) => assert_eq!(mnist::load(folder, Part::Train)?.labels().len(), 60_000),
///     Err(missing) => println!("{missing}"),
/// }
/// # Ok::<(), ocelli_data::Error>(())
/// ```
pub fn find(dataset: &str, given: Option<&Path>) -> Result<PathBuf> {
    let variable = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
    find_within(dataset, given.map(Path::to_path_buf).into_iter().chain(variable).chain([PathBuf::from("data")]))
}

fn find_within(dataset: &str, roots: impl Iterator<Item = PathBuf>) -> Result<PathBuf> {
    let Some(place) = KNOWN_FOLDERS.iter().find(|place| place.dataset == dataset) else {
        let known = KNOWN_FOLDERS.map(|place| place.dataset).join(", ");
        return Err(Error::Setting(format!("no dataset is called \"{dataset}\"; there are {known}")));
    };
    let mut searched = Vec::new();
    for root in roots {
        for folder in [root.join(place.folder), root] {
            if (place.is_in)(&folder) {
                return Ok(folder);
            }
            searched.push(folder.display().to_string());
        }
    }
    let remedy = format!("{}, then name their folder or set {VARIABLE}", place.source);
    Err(Error::NotFound { what: dataset.into(), searched: searched.join(", "), remedy })
}

/// The content of one of the four files.
#[derive(Clone, Copy)]
enum Kind {
    Images,
    Labels,
}

/// Returns the names under which a file is in circulation: as published first, then unpacked, then with a dot, as some
/// unpackers write it.
fn names(part: Part, kind: Kind) -> [String; 4] {
    let (kind, axes) = match kind {
        Kind::Images => ("images", 3),
        Kind::Labels => ("labels", 1),
    };
    let name = |separator, end| format!("{}-{kind}{separator}idx{axes}-ubyte{end}", part.prefix());
    [name('-', ".gz"), name('-', ""), name('.', ".gz"), name('.', "")]
}

fn existing(folder: &Path, part: Part, kind: Kind) -> Option<PathBuf> {
    names(part, kind).iter().map(|name| folder.join(name)).find(|path| path.is_file())
}

/// Reads one part of a published dataset.
pub(crate) fn load(published: &Published, folder: &Path, part: Part) -> Result<Images> {
    let file = |kind| {
        existing(folder, part, kind).ok_or_else(|| Error::NotFound {
            what: names(part, kind)[0].clone(),
            searched: folder.display().to_string(),
            remedy: published.source.into(),
        })
    };
    let class_names = published.class_names.map(String::from).into();
    idx::load(&file(Kind::Images)?, &file(Kind::Labels)?, class_names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_first_folder_with_the_files_wins() {
        let root = tempfile::tempdir().unwrap();
        let (a, b) = (root.path().join("a"), root.path().join("b"));
        fs::create_dir_all(a.join("mnist")).unwrap();
        fs::create_dir_all(b.join("mnist")).unwrap();
        let found = || find_within("mnist", [a.clone(), b.clone()].into_iter());
        let text = found().unwrap_err().to_string();
        let (a_text, b_text) = (a.display(), b.display());
        let places = format!("{a_text}/mnist, {a_text}, {b_text}/mnist, {b_text}");
        let source = "download it from https://ossci-datasets.s3.amazonaws.com/mnist/ \
                      (a mirror of http://yann.lecun.com/exdb/mnist/)";
        assert_eq!(text, format!("mnist not found in {places}; {source}, then name their folder or set OCELLI_DATA"));
        for (file, folder) in [
            (b.join("t10k-images.idx3-ubyte"), b.clone()),
            (b.join("mnist/train-images-idx3-ubyte"), b.join("mnist")),
            (a.join("train-images.idx3-ubyte.gz"), a.clone()),
            (a.join("mnist/train-images-idx3-ubyte.gz"), a.join("mnist")),
        ] {
            fs::write(file, "").unwrap();
            assert_eq!(found().unwrap(), folder);
        }
    }

    #[test]
    fn the_given_folder_comes_first_and_an_unknown_name_is_said() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("train-images-idx3-ubyte"), "").unwrap();
        assert_eq!(find("fashion-mnist", Some(root.path())).unwrap(), root.path());
        let text = find("minst", None).unwrap_err().to_string();
        assert_eq!(text, "no dataset is called \"minst\"; there are mnist, fashion-mnist, cifar-10");
    }

    #[test]
    fn a_missing_file_is_named_with_its_source() {
        let root = tempfile::tempdir().unwrap();
        let text = crate::fashion_mnist::load(root.path(), Part::Test).unwrap_err().to_string();
        let folder = root.path().display();
        let source = "download it from https://github.com/zalandoresearch/fashion-mnist";
        assert_eq!(text, format!("t10k-images-idx3-ubyte.gz not found in {folder}; {source}"));
        fs::write(root.path().join("t10k-images.idx3-ubyte"), "").unwrap();
        let text = crate::fashion_mnist::load(root.path(), Part::Test).unwrap_err().to_string();
        assert_eq!(text, format!("t10k-labels-idx1-ubyte.gz not found in {folder}; {source}"));
    }
}
