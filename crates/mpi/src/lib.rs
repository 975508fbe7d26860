//! Training on several processes, on one machine or on many, over MPI.
//!
//! Each batch is cut into a fixed number of shards ([`BatchShards`](ocelli::train::BatchShards)), 8 unless said otherwise, which
//! are shared by the processes. Gradients, running statistics and losses of the shards are summed in one tree whatever the number
//! of processes, so that 1, 2, 4 and 8 of them end with the same bits: MPI's own sums promise no order, so numbers are exchanged
//! ([`Cluster::sum`]), added in the order of the tree, and gathered, while the gradients after them are being computed.
//!
//! [`ClusterTrainer`] is the loop around it: parameters are broadcast at the start, process 0 writes checkpoints and speaks,
//! and every process checks a hash of all parameters after each epoch. Every process reads the data itself.
//!
//! Not run here, because it needs processes that an MPI started:
//!
//! ```no_run
//! use ocelli::{data::synthetic, prelude::*};
//! use ocelli_mpi::{Cluster, ClusterTrainer};
//!
//! Cluster::run(|cluster| {
//!     let train = Loader::new(synthetic::digits(1024, 1), Pipeline::mnist([28, 28]), 64)?.shuffle(1);
//!     let mut model = Model::from_layer(LeNet5::modern(10), [28, 28, 1], 1)?;
//!     let loss = |t: &Trace| softmax_cross_entropy(&t.output(), &t.labels("labels"));
//!     let trainer = ClusterTrainer::new(2).folder("runs/cluster").resume();
//!     trainer.run(cluster, &mut model, loss, &mut Sgd::new(0.05).momentum(0.9), &train, None)?;
//!     Ok(())
//! });
//! ```

mod cluster;
mod error;
mod measured;
mod sum;
mod trainer;

pub use cluster::{Cluster, parameter_hash};
pub use error::{Error, Result};
pub use measured::Measured;
pub use trainer::{ClusterEpoch, ClusterTrainer};
