//! The preparation of images for a network: an argument, or what a file says.

use clap::ValueEnum;
use ocelli::{
    models::{Metadata, PREPROCESSING},
    prelude::*,
};
use std::path::Path;

/// How images are prepared for published weights.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Pixels {
    /// The middle of the image, standardised by the statistics of ImageNet.
    Imagenet,
    /// The whole image; blue, green, red from 0 to 255, minus their means.
    Caffe,
}

impl Pixels {
    /// Returns the pipeline for a network that reads images of this height, width and number of channels.
    pub fn pipeline(self, [height, width, channels]: [usize; 3]) -> Pipeline {
        let pipeline = match self {
            Pixels::Imagenet => Pipeline::imagenet([height, width]),
            Pixels::Caffe => Pipeline::caffe([height, width]),
        };
        if channels == 1 { pipeline.grey() } else { pipeline }
    }
}

/// Returns the pipeline that the metadata of a file have, if they have one.
pub fn stored_pipeline(path: &Path, metadata: &Metadata) -> ocelli::Result<Option<Pipeline>> {
    let Some(text) = metadata.get(PREPROCESSING) else { return Ok(None) };
    match serde_json::from_str(text) {
        Ok(pipeline) => Ok(Some(pipeline)),
        Err(error) => Err(format!("{}: how images are prepared: {error}", path.display()).into()),
    }
}
