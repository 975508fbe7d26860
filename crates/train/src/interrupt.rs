//! A wish to stop.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// A wish to stop that a [`Trainer`](crate::Trainer) looks at after every step. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// No wish yet.
    pub fn new() -> Interrupt {
        Interrupt::default()
    }

    /// Asks to stop.
    pub fn trigger(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody asked.
    pub fn is_triggered(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// An interrupt that Ctrl-C (and the signal that ends a process) triggers; asked a second time, the process ends at
    /// once.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) if the program has a handler already.
    #[cfg(feature = "interrupt")]
    pub fn on_ctrl_c() -> crate::Result<Interrupt> {
        let interrupt = Interrupt::new();
        let shared = interrupt.clone();
        ctrlc::set_handler(move || {
            if shared.is_triggered() {
                std::process::exit(130);
            }
            shared.trigger();
        })
        .map_err(|error| crate::Error::Setting(format!("Ctrl-C cannot be handled: {error}")))?;
        Ok(interrupt)
    }
}
