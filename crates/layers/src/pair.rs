//! A number per axis of an image.

use serde::{Deserialize, Serialize};

/// A number for rows and one for columns: the size of a filter, a stride. `3` is `[3, 3]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pair {
    /// Value for rows.
    pub h: usize,
    /// Value for columns.
    pub w: usize,
}

impl From<usize> for Pair {
    fn from(both: usize) -> Pair {
        Pair { h: both, w: both }
    }
}

impl From<[usize; 2]> for Pair {
    fn from([h, w]: [usize; 2]) -> Pair {
        Pair { h, w }
    }
}
