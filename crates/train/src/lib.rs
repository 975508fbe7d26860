//! Optimisers, schedules, metrics, checkpoints and the Trainer of Ocelli.
