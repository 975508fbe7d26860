//! A flag that asks a run to stop.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// A flag that asks a [`Trainer`](crate::Trainer) to stop after the step under way. Clones share the flag.
#[derive(Clone, Debug, Default)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// Creates a flag that is not set.
    pub fn new() -> StopFlag {
        StopFlag::default()
    }

    /// Sets the flag.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Returns true if the flag is set.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Creates a flag that Ctrl-C (and the signal that ends a process) sets. The second time, the process ends at once.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) if the program already has a handler.
    #[cfg(feature = "interrupt")]
    pub fn on_ctrl_c() -> crate::Result<StopFlag> {
        let flag = StopFlag::new();
        let shared = flag.clone();
        ctrlc::set_handler(move || {
            if shared.is_set() {
                std::process::exit(130);
            }
            shared.set();
        })
        .map_err(|error| crate::Error::Setting(format!("Ctrl-C cannot be handled: {error}")))?;
        Ok(flag)
    }
}
