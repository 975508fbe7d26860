//! Measures how fast a gallery finds the nearest of many people: one query at a time, and in batches.
//!
//! ```sh
//! cargo run --release --features vision --example gallery_bench -- --people 100000 --batch 1000
//! ```
//!
//! `benches/peers/gallery.py` measures faiss beside it.

mod common;

use clap::Parser;
use common::{Common, exit_on_error, say};
use ocelli::{
    prelude::{Key, Tensor},
    vision::Gallery,
};
use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

/// Measures how fast a gallery finds the nearest of many people.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    /// Number of people, of whom one embedding each is enrolled.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    people: u32,
    /// Number of features of an embedding.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u16).range(1..=4096))]
    features: u16,
    /// Number of queries in a batch.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    batch: u16,
    /// Number of repetitions, of which the median is taken.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u16).range(1..=1000))]
    repetitions: u16,
}

fn main() -> ExitCode {
    exit_on_error(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> ocelli::Result<()> {
    arguments.common.start()?;
    let (people, features, batch) = (arguments.people.into(), arguments.features.into(), arguments.batch.into());
    let (people, features, batch): (u64, usize, usize) = (people, features, batch);
    let mut gallery = Gallery::new(0, features, 1.0);
    for person in 0..people {
        let embedding = Tensor::uniform([features], Key::new(arguments.common.seed).at(person));
        gallery.enrol(&person.to_string(), embedding.data())?;
    }
    let queries = Tensor::uniform([batch, features], Key::new(arguments.common.seed).with("queries"));

    let mut one = Vec::new();
    let mut many = Vec::new();
    for repetition in 0..usize::from(arguments.repetitions) {
        let query = &queries.data()[repetition % batch * features..][..features];
        one.push(seconds(|| gallery.identify(query).map(drop))?);
        many.push(seconds(|| gallery.identify_all(&queries).map(drop))?);
    }
    let (one, many) = (median(one), median(many));
    say(format!("one query {:.2} ms, batches of {batch} {:.0} queries/s", 1e3 * one, batch as f64 / many))?;
    Ok(())
}

fn seconds(work: impl FnOnce() -> Result<(), ocelli::vision::Error>) -> ocelli::Result<f64> {
    let started = Instant::now();
    work()?;
    Ok(started.elapsed().max(Duration::from_nanos(1)).as_secs_f64())
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
