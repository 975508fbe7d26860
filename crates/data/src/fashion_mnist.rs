//! Fashion-MNIST: articles of clothing in the format of MNIST, harder to tell apart than digits (Xiao, Rasul and
//! Vollgraf 2017).

use crate::{Images, Part, Result, folder, folder::Published};
use std::path::Path;

pub(crate) const PUBLISHED: Published = Published {
    name: "fashion-mnist",
    source: "download it from https://github.com/zalandoresearch/fashion-mnist",
    class_names: [
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ],
};

/// Reads one part of Fashion-MNIST from the folder that holds its files; [`find`](crate::find) looks for that folder.
/// The file names are those of [`mnist`](crate::mnist::load).
///
/// # Errors
/// [`Error::NotFound`](crate::Error::NotFound), or the errors of [`idx::load`](crate::idx::load).
pub fn load(folder: impl AsRef<Path>, part: Part) -> Result<Images> {
    folder::load(&PUBLISHED, folder.as_ref(), part)
}
