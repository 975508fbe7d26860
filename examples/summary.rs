//! A network as a table: its operations, parameters, multiply-accumulates, and the memory that it will need.

mod common;

use clap::{Parser, builder::PossibleValuesParser};
use common::{Common, exit_on_error};
use ocelli::{
    models::{by_name, network_names},
    prelude::*,
};
use std::{error::Error, process::ExitCode};

/// Prints what a network consists of and costs.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Which network.
    #[arg(long, value_parser = PossibleValuesParser::new(network_names()))]
    net: String,
    /// Height and width of the pictures; what the network was published for unless said otherwise.
    #[arg(long)]
    size: Option<usize>,
    /// How many pictures the memory is for.
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// How many classes the network tells apart; what it was published for unless said otherwise.
    #[arg(long)]
    classes: Option<usize>,
}

fn main() -> ExitCode {
    exit_on_error(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    arguments.common.start()?;
    let network = by_name(&arguments.net, arguments.classes)?;
    let [height, width, channels] = network.sample;
    let size = |usual| arguments.size.unwrap_or(usual);
    let model = Model::zeroed(network.layer, [size(height), size(width), channels])?;
    println!("{}", model.summary_for(arguments.batch)?);
    Ok(())
}
