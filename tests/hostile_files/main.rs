//! No file makes a reader panic, take memory that the file does not fill, or run without end.
//!
//! Every reader is tried with two kinds of files. *Drawn* ones are valid files with a few changes ([`changes`]); the changes
//! are of a file's parts more often than of its bytes, and lengths and checksums around a part are right again afterwards
//! ([`forms`]), so that a change comes through to what is behind them. A drawn file is a function of its number. *Crafted*
//! ones are as expensive as somebody could make them who wants harm: repetition, nesting, claims, long names, zeros that
//! deflate packed a thousand times.
//!
//! For each file:
//!
//! - Nothing panics, overflows the stack or aborts.
//! - Memory: at no moment are more than 64 KiB + 8 × (length + data) bytes allocated, the result among them, by a reader on
//!   one thread. *length* is that of the file. *data* is what the file really has: the larger of what the reader returned
//!   and what the packed streams of the file unpack to before they end or are damaged ([`held`]); a size that is only
//!   claimed is no data. Of an image the data are its pixels, as far as they are there, in the form that they are decoded
//!   to: a byte for each channel, two for each of 16 bits. What a reader takes in any case stands beside it
//!   (`Reader::own`): a run of training, the description of a network.
//! - Time: 5 seconds, and a second more for each MiB of the file and for each 32 MiB of data. A busy machine is no fault:
//!   who takes longer is read again, and what the process works then counts.
//!
//! Readers run in processes of their own ([`worker`]), in which nothing else allocates and memory ends at 3 GiB.
//!
//! Each reader has some thousand drawn files in every run of the tests. Many more, divided between the readers, which run
//! side by side:
//!
//! ```text
//! OCELLI_CASES=5000000 cargo test --features onnx,vision --test hostile_files -- --nocapture
//! ```
//!
//! A failure names reader and number, and keeps the file; `OCELLI_CASE="png 4711"` reads that file alone.

#![cfg(unix)]

mod changes;
mod clock;
mod cost;
mod drawn;
#[path = "../../crates/data/src/image_files/encoders.rs"]
mod encoders;
mod forms;
mod held;
mod readers;
mod worker;

use readers::READERS;
use worker::{Files, check};

/// Drawn files of each reader in a usual run of the tests.
const USUAL_CASES: u64 = 2000;

/// Drawn files of each reader: what `OCELLI_CASES` says for all of them.
fn cases() -> u64 {
    let said = std::env::var("OCELLI_CASES").ok().map(|text| text.parse::<u64>().expect("OCELLI_CASES is a number"));
    said.map_or(USUAL_CASES, |cases| cases.div_ceil(READERS.len() as u64))
}

macro_rules! test_readers {
    ($($name:ident),*) => {
        $(mod $name {
            use super::*;

            /// Otherwise changes of them would not come far.
            #[test]
            fn valid_files() {
                check(stringify!($name), Files::Valid);
            }

            #[test]
            fn drawn_files() {
                check(stringify!($name), Files::Drawn(0..cases()));
            }

            #[test]
            fn crafted_files() {
                check(stringify!($name), Files::Crafted);
            }
        })*

        #[test]
        fn every_reader_is_tried() {
            assert_eq!(READERS.map(|reader| reader.name), [$(stringify!($name)),*]);
        }
    };
}

test_readers!(
    idx,
    cifar10,
    cifar100,
    manifest,
    png,
    jpeg,
    other_images,
    archive,
    pipeline,
    safetensors,
    network,
    torch_zip,
    torch_legacy,
    npy,
    onnx,
    container,
    checkpoint,
    run_log,
    gallery
);

/// The file that `OCELLI_CASE` names, alone.
#[test]
fn the_case_that_is_asked_for() {
    let Ok(text) = std::env::var("OCELLI_CASE") else { return };
    let (reader, number) = text.split_once(' ').expect("OCELLI_CASE is a reader and a number");
    let number: u64 = number.parse().expect("OCELLI_CASE is a reader and a number");
    check(reader, Files::Drawn(number..number + 1));
}
