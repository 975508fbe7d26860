//! MNIST: handwritten digits, 28 × 28 pixels, white on black; 60,000 for training and 10,000 for testing (LeCun, Cortes
//! and Burges 1998).

use crate::{Images, Part, Result, folder, folder::Published};
use std::path::Path;

pub(crate) const PUBLISHED: Published = Published {
    name: "mnist",
    source: "download it from https://ossci-datasets.s3.amazonaws.com/mnist/ \
             (a mirror of http://yann.lecun.com/exdb/mnist/)",
    class_names: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
};

/// Reads one part of MNIST from the folder that holds its files; [`find`](crate::find) looks for that folder.
///
/// The files are `train-images-idx3-ubyte`, `train-labels-idx1-ubyte` and the same with `t10k`, with or without `.gz`,
/// with `-` or `.` before `idx`.
///
/// # Errors
/// [`Error::NotFound`](crate::Error::NotFound), or the errors of [`idx::load`](crate::idx::load).
pub fn load(folder: impl AsRef<Path>, part: Part) -> Result<Images> {
    folder::load(&PUBLISHED, folder.as_ref(), part)
}
