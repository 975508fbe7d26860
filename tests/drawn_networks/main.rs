//! Networks drawn at random keep what the library promises.
//!
//! A network is drawn from a number, as data. It builds, or the library says in one sentence why it does not. If it builds,
//! its results and gradients are the same however they are planned and computed, gradients are slopes of the loss, a sample
//! alone has the results that it has among others, three threads compute the bits of one, and memory is what was promised.
//! All of it on every instruction set that this machine has, and with checks for overflow.
//!
//! ```text
//! cargo test --test drawn_networks                       300 networks
//! OCELLI_CASES=100000 cargo test --test drawn_networks   so many; `OCELLI_CASES=40000..100000` is a part of them
//! OCELLI_CASE=17 cargo test --test drawn_networks        this one, here; the smallest like it if it breaks a promise
//! ```
//!
//! Networks are checked in processes of their own, so that one that aborts or never ends is known by its number.

mod build;
mod case;
mod checks;
mod description;
mod draw;
mod noise;
mod smaller;
mod verdict;
mod workers;

use description::{Function, Loss, Network, Normalisation, Part};
use peak_alloc::PeakAlloc;
use std::env;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// Networks that are drawn unless `OCELLI_CASES` says otherwise.
const NETWORKS: u64 = 300;

#[test]
#[should_panic(expected = "overflow")]
fn overflow_is_checked_in_this_build() {
    let _ = std::hint::black_box(u8::MAX) + std::hint::black_box(1);
}

/// The derivative of one function in the middle of a network is a tenth too large.
#[test]
fn a_wrong_gradient_is_found() {
    for number in 0..8 {
        let parts = vec![
            Part::Dense { features: 5, bias: true },
            Part::Function([Function::Tanh, Function::Relu][number as usize % 2]),
            Part::Function(Function::Mistaken),
            Part::Normalisation { kind: Normalisation::Layer, affine: true },
            Part::Dense { features: 3, bias: true },
        ];
        let network = Network { number, sample: vec![4], batch: 3, parts, loss: Loss::SquaredError };
        let why = verdict::of(network).expect_err("a tenth too much is too much");
        assert!(why.contains("is not the slope of the loss"), "{why}");
    }
}

#[test]
fn drawn_networks_keep_what_is_promised() {
    if workers::work_if_asked() {
        return;
    }
    let number = |text: &str| text.parse::<u64>().expect("OCELLI_CASE and OCELLI_CASES are numbers of networks");
    if let Ok(text) = env::var("OCELLI_CASE") {
        let number = number(&text);
        let network = draw::draw(number);
        println!("{network:#?}");
        match verdict::of(network.clone()) {
            Ok(verdict) => println!("network {number}: {verdict}"),
            Err(why) => {
                println!("network {number}: {why}");
                let (network, why) = smaller::smallest(network, &why);
                println!("the smallest network like it: {why}\n{network:?}");
                panic!("network {number} broke a promise");
            }
        }
        return;
    }
    let numbers = env::var("OCELLI_CASES").map_or(0..NETWORKS, |text| match text.split_once("..") {
        Some((first, end)) => number(first)..number(end),
        None => 0..number(&text),
    });
    let report = workers::check_all(numbers);
    println!("{report}");
    assert!(report.failures.is_empty(), "{} networks broke a promise", report.failures.len());
    report.expect_enough();
}
