//! The sum over all processes, in buckets that are exchanged while gradients are still being computed.
//!
//! Another thread computes; this one, which alone speaks with other processes, takes each bucket of numbers as soon as it
//! is full: those of the last layers first, whose gradients backward makes first.

use crate::{Cluster, Result};
use mpi::{
    request::{Request, Scope, scope},
    traits::CommunicatorCollectives,
};
use ocelli::{
    graph::{Batch, Model, Step},
    train::{BatchShards, ShardSum, ShardedObjective},
};
use std::{
    ops::Range,
    panic::resume_unwind,
    sync::mpsc::{Sender, channel},
    thread,
    time::Duration,
};

/// Numbers of a bucket (1 MiB): few enough that those of the first layers, which come last, are few; enough that the two
/// exchanges of a bucket take longer than their latency.
const BUCKET: usize = 1 << 18;

/// Time between two looks at an exchange that goes on. A thread that waited for it without pause would take the core from
/// the threads that compute.
const PAUSE: Duration = Duration::from_micros(50);

impl Cluster {
    /// Computes this process's shards of a batch, calls `each` with every one, and sums over all processes, in the tree over
    /// all shards: every process gets the same bits, and the same as with any other number of processes. Nothing is updated;
    /// [`ShardedObjective::finish`] ends the step. `batch` is the whole one.
    ///
    /// Each bucket of numbers is cut into as many pieces as there are processes. Each adds one piece of all processes, in the
    /// tree's order, and gives the sum to all.
    ///
    /// # Errors
    /// The errors of [`ShardedObjective::sum`], after which the job must end, and a number of processes that cannot share the shards.
    pub fn sum(
        &self,
        sharded: &mut ShardedObjective,
        model: &Model,
        batch: &Batch,
        each: impl FnMut(&Step<'_>, &Batch) -> ocelli::train::Result<()> + Send,
    ) -> Result<ShardSum> {
        let (ranks, shards) = (self.size(), sharded.shards());
        let own = shards.of_rank(self.rank(), ranks)?;
        if ranks == 1 {
            return Ok(sharded.sum(model, batch, own, each)?);
        }
        let has_samples = has_samples(shards, ranks, batch.len())?;
        let length = sharded.places().last().map_or(0, |place| place.range.end);
        let (sender, buckets) = channel();
        let (sum, mut numbers) = thread::scope(|threads| {
            let computing = threads.spawn(move || {
                let mut filling = Filling { bucket: Vec::new(), left: length, sender };
                sharded.sum_watched(model, batch, own, each, |part| filling.add(part))
            });
            let mut numbers = Vec::with_capacity(length);
            for bucket in buckets {
                numbers.extend(self.sum_bucket(bucket, &has_samples, || !computing.is_finished()));
            }
            (computing.join().unwrap_or_else(|panic| resume_unwind(panic)), numbers)
        });
        let sum = sum?;
        // A process without samples had nothing to tell of.
        while numbers.len() < length {
            let bucket = vec![0.0; BUCKET.min(length - numbers.len())];
            numbers.extend(self.sum_bucket(bucket, &has_samples, || false));
        }
        let (samples, losses) = (self.gather(&[sum.samples as u64]), self.gather(&[sum.loss]));
        let of_rank =
            |rank: usize| ShardSum { samples: samples[rank] as usize, loss: losses[rank], numbers: Vec::new() };
        Ok(ShardSum { numbers, ..tree(0..ranks, &of_rank) })
    }

    fn sum_bucket(&self, mut bucket: Vec<f32>, has_samples: &[bool], is_busy: impl Fn() -> bool) -> Vec<f32> {
        let (ranks, length) = (self.size(), bucket.len());
        let piece = length.div_ceil(ranks);
        bucket.resize(piece * ranks, 0.0);
        let mut received = vec![0.0f32; piece * ranks];
        scope(|s| wait(self.world.immediate_all_to_all_into(s, &bucket[..], &mut received[..]), &is_busy));
        let of_rank = |rank: usize| match has_samples[rank] {
            true => ShardSum { numbers: received[rank * piece..][..piece].to_vec(), ..ShardSum::default() },
            false => ShardSum::default(),
        };
        let summed = tree(0..ranks, &of_rank).numbers;
        scope(|s| wait(self.world.immediate_all_gather_into(s, &summed[..], &mut bucket[..]), &is_busy));
        bucket.truncate(length);
        bucket
    }
}

/// Says for each process whether its shards of a batch have samples. One without takes no part in the sum, because zeros
/// could change signs.
fn has_samples(shards: BatchShards, ranks: usize, samples: usize) -> Result<Vec<bool>> {
    let has_some = |rank| -> Result<bool> {
        let mut own = shards.of_rank(rank, ranks)?;
        Ok(own.any(|shard| !shards.samples(samples, shard).is_empty()))
    };
    (0..ranks).map(has_some).collect()
}

/// Waits for an exchange, with pauses while other threads of this process are busy.
fn wait<'a, S: Scope<'a>>(mut request: Request<'a, [f32], S>, is_busy: &impl Fn() -> bool) {
    while is_busy() {
        match request.test() {
            Ok(_) => return,
            Err(unfinished) => request = unfinished,
        }
        thread::sleep(PAUSE);
    }
    request.wait();
}

/// A bucket that is being filled.
struct Filling {
    bucket: Vec<f32>,
    /// Numbers that are not sent.
    left: usize,
    sender: Sender<Vec<f32>>,
}

impl Filling {
    /// Adds numbers, and sends each bucket that is full, or the last.
    fn add(&mut self, mut part: &[f32]) {
        while !part.is_empty() && self.left > 0 {
            let size = BUCKET.min(self.left);
            let (taken, rest) = part.split_at(part.len().min(size - self.bucket.len()));
            self.bucket.extend_from_slice(taken);
            part = rest;
            if self.bucket.len() == size {
                self.left -= size;
                // Nobody receives it if the other thread panicked.
                let _ = self.sender.send(std::mem::take(&mut self.bucket));
            }
        }
    }
}

/// The sum over a range of ranks in the tree of [`ShardedObjective`].
fn tree(ranks: Range<usize>, of_rank: &impl Fn(usize) -> ShardSum) -> ShardSum {
    if ranks.len() == 1 {
        return of_rank(ranks.start);
    }
    let middle = ranks.start.midpoint(ranks.end);
    let mut sum = tree(ranks.start..middle, of_rank);
    sum.add(&tree(middle..ranks.end, of_rank));
    sum
}
