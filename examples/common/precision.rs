//! The argument of the examples that run networks at a chosen precision.

use clap::{Args, ValueEnum};
use ocelli::prelude::*;

/// How closely results follow the definition of the network.
#[derive(Args, Clone, Copy, Debug)]
pub struct PrecisionArgument {
    /// How closely results follow the definition of the network.
    #[arg(long, value_enum, default_value_t = Level::Fast)]
    precision: Level,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Level {
    /// Any algorithm.
    Fast,
    /// No algorithm that transforms its operands: slower, and nearer to the definition.
    Strict,
    /// Inference with weights in bf16, where kernels multiply with them as they are: half of their bytes, and results 1e-3 to 4e-3 off.
    Bf16,
}

impl PrecisionArgument {
    /// Returns the precision to give to a model.
    pub fn precision(self) -> Precision {
        match self.precision {
            Level::Fast => Precision::Fast,
            Level::Strict => Precision::Strict,
            Level::Bf16 => Precision::Bf16,
        }
    }
}
