//! What the examples share: arguments that all of them have.

use clap::Args;

/// Arguments of every example.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Everything random is a function of this number.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// Threads to compute with; every core unless said otherwise. Results do not depend on it.
    #[arg(long)]
    pub threads: Option<usize>,
}

impl Common {
    /// Sets up the threads.
    pub fn start(&self) -> Result<(), Box<dyn std::error::Error>> {
        let threads = self.threads.unwrap_or(0);
        Ok(rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?)
    }
}

/// Prints an error as one line and ends with status 1: what a person who runs an example wants to see.
pub fn exit_on_error(result: Result<(), Box<dyn std::error::Error>>) -> std::process::ExitCode {
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}
