//! Arguments and output shared by the examples.

use clap::Args;
use std::{
    fmt::Display,
    io::{self, ErrorKind, Write},
    process::ExitCode,
};

/// Maximum number of threads: more than a machine of today has cores.
const MAX_THREADS: i64 = 1024;

/// Arguments of every example.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Seed of everything random.
    #[arg(long, global = true, default_value_t = 42)]
    pub seed: u64,
    /// Number of threads to compute with; default: one per core. Results do not depend on it.
    #[arg(long, global = true, value_parser = clap::value_parser!(u16).range(1..=MAX_THREADS))]
    pub threads: Option<u16>,
}

impl Common {
    /// Sets up the threads.
    pub fn start(&self) -> ocelli::Result<()> {
        let threads = self.threads.unwrap_or(0).into();
        rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().map_err(ocelli::Error::other)
    }
}

/// Prints a line on standard output. If nobody reads it any more, as behind `| head`, that is an error, while
/// `println!` would panic.
pub fn say(line: impl Display) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{line}")
}

/// Prints an error as one line and returns exit status 1. A closed standard output is not an error of the program.
pub fn exit_on_error(result: ocelli::Result<()>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    if matches!(&error, ocelli::Error::Io(error) if error.kind() == ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    eprintln!("error: {error}");
    ExitCode::FAILURE
}
