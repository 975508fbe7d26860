//! Arguments of the examples that run networks with weights from files.

use clap::{Args, builder::PossibleValuesParser};
use ocelli::{
    models::{NetworkDescription, by_name, network_names},
    prelude::*,
};
use std::path::PathBuf;

/// Which network, and its weights.
#[derive(Args, Clone, Debug)]
pub struct NetworkArguments {
    /// Which network the weights are of. Not needed for a file that says so itself, as `train_lenet` writes it.
    #[arg(long, value_parser = PossibleValuesParser::new(network_names()))]
    pub net: Option<String>,
    /// Weights in PyTorch's names: safetensors, or what torch.save wrote.
    #[arg(long)]
    pub weights: PathBuf,
    /// A beginning of names in the file and what takes its place, such as conv1=features.0; may be given often.
    #[arg(long, value_name = "FROM=TO", value_parser = rule)]
    pub rename: Vec<(String, String)>,
}

fn rule(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').ok_or("expected FROM=TO")?;
    Ok((parts.0.into(), parts.1.into()))
}

impl NetworkArguments {
    /// What the network is: as the file says itself, or as `describe` says for the one that was named.
    pub fn description<E: Into<ocelli::Error>>(
        &self,
        describe: impl FnOnce(&str) -> Result<NetworkDescription, E>,
    ) -> ocelli::Result<NetworkDescription> {
        let own = NetworkDescription::read(&self.weights);
        match &self.net {
            None => Ok(own.map_err(|error| format!("{error} (--net would name one)"))?),
            // It also knows for which size of pictures it is.
            Some(name) => match own {
                Ok(own) if own.network.as_ref() == Some(name) => Ok(own),
                _ => describe(name).map_err(Into::into),
            },
        }
    }

    /// The network with its weights, for pictures of the size that the description says.
    pub fn load(&self, description: &NetworkDescription) -> ocelli::Result<Model> {
        let own = || format!("{}: a network of one's own, which has no name", self.weights.display());
        let network = by_name(description.network.as_ref().ok_or_else(own)?, description.classes)?;
        let loader = self.rename.iter().fold(network.loader(), |loader, (from, to)| loader.rename(from, to));
        let mut model = Model::zeroed(network.layer, &description.sample)?;
        let report = loader.load(&mut model, &self.weights)?;
        for from in report.unused {
            eprintln!("note: --rename {from}=…: no name in {} begins with it", self.weights.display());
        }
        Ok(model)
    }
}
