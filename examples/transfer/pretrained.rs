//! The pretrained network, with a head for the new classes: one of the library, or one from an ONNX file.

use crate::{Arguments, common::say, onnx, pixels::stored_pipeline};
use ocelli::{
    models::{Metadata, PREPROCESSING, TrunkClassifier, save_network},
    prelude::*,
};
use std::path::Path;

/// A network whose head is to be trained, and how it sees images.
pub struct Pretrained {
    pub model: Model,
    /// The name of its input.
    pub input: String,
    /// Height and width of the images that it reads.
    pub size: [usize; 2],
    /// How images are prepared for it.
    pub pipeline: Pipeline,
    description: NetworkDescription,
    is_imported: bool,
}

impl Pretrained {
    /// Opens the network that the arguments name, for classes of these names.
    pub fn open(arguments: &Arguments, classes: &[String]) -> ocelli::Result<Pretrained> {
        match (&arguments.onnx, &arguments.net) {
            (Some(file), _) => Pretrained::import(arguments, file, classes),
            (None, Some(net)) => Pretrained::named(arguments, net, classes),
            (None, None) => Err("a network is wanted: --net or --onnx".into()),
        }
    }

    /// Builds a network of the library, with pretrained weights for all but its head.
    fn named(arguments: &Arguments, net: &str, classes: &[String]) -> ocelli::Result<Pretrained> {
        // the network for these classes and its images
        let mut description = NetworkDescription::new(net, classes)?;
        if let Some(cut) = &arguments.cut {
            description = description.cut(cut);
        }
        if let (Some(size), Some(channels)) = (arguments.size, description.sample.last().copied()) {
            description = description.sample([size, size, channels]);
        }
        let &[height, width, channels] = &description.sample[..] else {
            return Err(format!("{net} reads no images").into());
        };
        let pipeline = match arguments.pixels {
            Some(pixels) => pixels.pipeline([height, width, channels]),
            None => by_name(net, None)?.pipeline([height, width]),
        };
        let description = description.preprocessing(&pipeline)?;

        // its weights
        let network = description.layer()?;
        let seed = arguments.common.seed;
        let model = match &arguments.weights {
            None => Model::from_layer(network.layer, &description.sample, seed)?,
            Some(path) => {
                let mut file = WeightFile::open(path)?;
                let loader = network.loader_for(&file);
                let mut model = Model::from_layer(network.layer, &description.sample, seed)?;
                let head = model.last_layer().unwrap_or_default();
                let report = loader.except(&head).load_from(&mut model, &mut file)?;
                say(format!(
                    "{} of {} tensors from {}",
                    report.loaded.len(),
                    model.parameters().len(),
                    path.display()
                ))?;
                model
            }
        };
        let input = "input".into();
        Ok(Pretrained { model, input, size: [height, width], pipeline, description, is_imported: false })
    }

    /// Reads a network from an ONNX file, and gives it another last layer, or another classifier behind the cut.
    fn import(arguments: &Arguments, file: &Path, classes: &[String]) -> ocelli::Result<Pretrained> {
        let said = |reason: String| format!("{}: {reason}", file.display());
        let model = onnx::read_images(file, arguments.size.map(|size| [size; 2]))?;
        let (input, sample) = onnx::image_input(&model)?;
        let pipeline = match (arguments.pixels, stored_pipeline(file, &onnx::read_metadata(file)?)?) {
            (Some(pixels), _) => pixels.pipeline(sample),
            (None, Some(stored)) => stored,
            (None, None) => return Err(said("it does not say how images are prepared; --pixels does".into()).into()),
        };
        let (count, seed) = (classes.len(), arguments.common.seed);
        let model = match &arguments.cut {
            Some(cut) => model.with_head(cut, |x| TrunkClassifier::head(x, count), seed),
            None => model.with_classes(count, seed),
        };
        let model = model.map_err(|error| said(error.to_string()))?;
        let kept = model.parameters().len();
        say(format!("{kept} tensors, of them a new head called {}", model.last_layer().unwrap_or_default()))?;
        let description = NetworkDescription::own(classes).sample(sample).preprocessing(&pipeline)?;
        let size = [sample[0], sample[1]];
        Ok(Pretrained { model, input, size, pipeline, description, is_imported: true })
    }

    /// Writes the network, its classes and how images are prepared into a folder as one file, an ONNX file if the network
    /// came from one. Returns the name of the file.
    pub fn write(&self, folder: &Path) -> ocelli::Result<&'static str> {
        if !self.is_imported {
            save_network(&self.model, &self.description, folder.join("network.safetensors"))?;
            return Ok("network.safetensors");
        }
        let description = serde_json::to_string(&self.description).map_err(ocelli::Error::other)?;
        let pipeline = serde_json::to_string(&self.pipeline).map_err(ocelli::Error::other)?;
        let metadata = Metadata::from([("network".into(), description), (PREPROCESSING.into(), pipeline)]);
        onnx::write(&self.model, metadata, &folder.join("network.onnx"))?;
        Ok("network.onnx")
    }
}
