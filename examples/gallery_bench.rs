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

/// Queries that are asked one after the other.
const QUERIES_IN_A_ROW: usize = 101;

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

    // After a batch the gallery may have left the caches, and one query reads it from memory.
    let mut after_batch = Vec::new();
    let mut many = Vec::new();
    let query = |number: usize| {
        let query = &queries.data()[number % batch * features..][..features];
        seconds(|| gallery.identify(query).map(drop))
    };
    for number in 0..arguments.repetitions.into() {
        after_batch.push(query(number)?);
        many.push(seconds(|| gallery.identify_all(&queries).map(drop))?);
    }
    let one = (0..QUERIES_IN_A_ROW).map(query).collect::<ocelli::Result<_>>()?;
    let [one, after_batch, many] = [one, after_batch, many].map(median);
    let (one, after_batch, many) = (1e3 * one, 1e3 * after_batch, batch as f64 / many);
    say(format!("one query {one:.2} ms, after a batch {after_batch:.2} ms, batches of {batch} {many:.0} queries/s"))?;
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
