//! Arguments of the examples that run networks with weights from files.

use crate::onnx::{self, read_images, read_metadata};
use clap::{Args, builder::PossibleValuesParser};
use ocelli::{
    models::{Metadata, NetworkDescription, network_names},
    prelude::*,
};
use std::path::{Path, PathBuf};

/// The network and its weights.
#[derive(Args, Clone, Debug)]
pub struct NetworkArguments {
    /// The network that the weights belong to. Not needed for a file that describes its network, as `train_lenet`
    /// writes it.
    #[arg(long, value_parser = PossibleValuesParser::new(network_names()))]
    pub net: Option<String>,
    /// Weights in PyTorch's names: safetensors, or a file of torch.save.
    #[arg(long, required_unless_present = "onnx")]
    weights: Option<PathBuf>,
    /// A beginning of names in the file and its replacement, such as conv1=features.0; may be repeated.
    #[arg(long, value_name = "FROM=TO", value_parser = rule)]
    rename: Vec<(String, String)>,
    /// An ONNX file with a network and its weights, in place of both.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["net", "weights", "rename"])]
    onnx: Option<PathBuf>,
}

fn rule(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').ok_or("expected FROM=TO")?;
    Ok((parts.0.into(), parts.1.into()))
}

impl NetworkArguments {
    /// The file with the weights.
    pub fn file(&self) -> &Path {
        self.onnx.as_deref().or(self.weights.as_deref()).unwrap_or(Path::new(""))
    }

    /// Returns what the file says about itself.
    pub fn metadata(&self) -> ocelli::Result<Metadata> {
        match &self.onnx {
            Some(file) => read_metadata(file),
            None => Ok(WeightFile::open(self.file())?.metadata().clone()),
        }
    }

    /// Returns the description of the network: that of the file, or the one that `describe` makes of the given name.
    pub fn description<E: Into<ocelli::Error>>(
        &self,
        describe: impl FnOnce(&str) -> Result<NetworkDescription, E>,
    ) -> ocelli::Result<NetworkDescription> {
        if let Some(file) = &self.onnx {
            return onnx::describe(&read_images(file, None)?, &self.metadata()?);
        }
        let own = NetworkDescription::read(self.file());
        match &self.net {
            None => Ok(own.map_err(|error| format!("{error} (--net would name one)"))?),
            // It also has the size of the images.
            Some(name) => match own {
                Ok(own) if own.network.as_ref() == Some(name) => Ok(own),
                _ => describe(name).map_err(Into::into),
            },
        }
    }

    /// Loads the network with its weights, for images of the size in the description.
    pub fn load(&self, description: &NetworkDescription) -> ocelli::Result<Model> {
        if let Some(file) = &self.onnx {
            let size = description.sample.first_chunk().copied();
            return read_images(file, size);
        }
        let network = description.layer().map_err(|error| format!("{}: {error}", self.file().display()))?;
        let mut file = WeightFile::open(self.file())?;
        // the names of other sources that the registry knows, unless the user says which
        let loader = match &self.rename[..] {
            [] => network.loader_for(&file),
            rules => rules.iter().fold(network.loader(), |loader, (from, to)| loader.rename(from, to)),
        };
        let mut model = Model::zeroed(network.layer, &description.sample)?;
        let report = loader.load_from(&mut model, &mut file)?;
        for from in report.unused {
            eprintln!("note: --rename {from}=…: no name in {} begins with it", self.file().display());
        }
        Ok(model)
    }
}
