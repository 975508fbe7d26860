//! Draws results as PNG files: curves, histograms, confusion matrices and sheets of images.
//!
//! Everything is drawn from plain data: series of values and pixels with names. The crate knows nothing of networks or
//! training. Files are written atomically, and the font is embedded in the crate.
//!
//! ```
//! use ocelli_plot::{Chart, Scale, charts};
//! # let folder = std::env::temp_dir().join(format!("ocelli-plot-{}", std::process::id()));
//! let loss = Chart::new("loss")
//!     .x_label("epoch")
//!     .scale(Scale::Logarithmic)
//!     .series("training", [(1.0, 0.7), (2.0, 0.2), (3.0, 0.08)])
//!     .series("validation", [(1.0, 0.6), (2.0, 0.3), (3.0, 0.2)]);
//! let roc = Chart::new("ROC").x_label("false positives").x_range(0.0, 1.0).y_range(0.0, 1.0);
//! let roc = roc.series("ResNet-20", [(0.0, 0.0), (0.1, 0.8), (1.0, 1.0)]);
//! charts(&[loss, roc], folder.join("curves.png"))?;
//! # std::fs::remove_dir_all(folder).unwrap();
//! # Ok::<(), ocelli_plot::Error>(())
//! ```

#![forbid(unsafe_code)]

mod canvas;
mod chart;
mod confusion;
mod error;
mod gallery;
mod histogram;

pub use chart::{Chart, Corner, Scale, charts};
pub use confusion::confusion;
pub use error::{Error, Result};
pub use gallery::{Tile, gallery};
pub use histogram::histogram;
