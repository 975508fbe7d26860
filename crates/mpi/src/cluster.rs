//! The processes of a job, and what they exchange.

use crate::{Error, Result};
use mpi::{
    Threading,
    environment::Universe,
    topology::SimpleCommunicator,
    traits::{Communicator, CommunicatorCollectives, Equivalence, Root},
};
use ocelli::graph::Model;
use std::process::ExitCode;

/// Numbers that are broadcast at a time.
const PIECE: usize = 1 << 20;

/// The processes of an MPI job, seen from one of them. MPI ends when it is dropped.
pub struct Cluster {
    pub(crate) world: SimpleCommunicator,
    /// Dropped last.
    _universe: Universe,
}

impl Cluster {
    /// Starts MPI in this process. A program that `mpirun` did not start is the only process of its job.
    ///
    /// # Errors
    /// [`Error::Start`] if MPI was started before.
    pub fn start() -> Result<Cluster> {
        // Other threads compute; this one alone speaks with other processes.
        let (universe, _) = mpi::initialize_with_threading(Threading::Funneled).ok_or(Error::Start)?;
        Ok(Cluster { world: universe.world(), _universe: universe })
    }

    /// Starts MPI, does this process's part of a job and [ends](Cluster::end) it: the `main` of a program. If MPI cannot be
    /// started, it says so.
    pub fn run(job: impl FnOnce(&Cluster) -> Result<()>) -> ExitCode {
        match Cluster::start() {
            Ok(cluster) => cluster.end(job(&cluster)),
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        }
    }

    /// Returns the number of this process, from 0.
    pub fn rank(&self) -> usize {
        self.world.rank() as usize
    }

    /// Returns the number of processes.
    pub fn size(&self) -> usize {
        self.world.size() as usize
    }

    /// Returns true for the process that writes files and speaks.
    pub fn is_first(&self) -> bool {
        self.rank() == 0
    }

    /// Ends the job: with success, or with the sentence of an error, which ends all other processes too.
    pub fn end(&self, result: Result<()>) -> ExitCode {
        if let Err(error) = result {
            eprintln!("error in process {} of {}: {error}; the job ends", self.rank(), self.size());
            self.world.abort(1);
        }
        ExitCode::SUCCESS
    }

    /// Gives every process the numbers of process 0; all must have as many.
    pub fn broadcast<T: Equivalence>(&self, numbers: &mut [T])
    where
        [T]: mpi::datatype::BufferMut,
    {
        let first = self.world.process_at_rank(0);
        numbers.chunks_mut(PIECE).for_each(|piece| first.broadcast_into(piece));
    }

    /// Gives every process the bytes of process 0, however many they are.
    pub fn broadcast_bytes(&self, bytes: &mut Vec<u8>) {
        let mut length = [bytes.len() as u64];
        self.broadcast(&mut length);
        bytes.resize(length[0] as usize, 0);
        self.broadcast(bytes);
    }

    /// Gives every process the parameters and states of process 0.
    pub fn broadcast_parameters(&self, model: &mut Model) {
        let paths: Vec<String> = model.parameters().iter().map(|(parameter, _)| parameter.path.clone()).collect();
        for path in paths {
            if let Some(value) = model.parameters_mut().value_mut(&path) {
                self.broadcast(value.data_mut());
            }
        }
    }

    /// Returns the numbers of every process in the order of their ranks; all must have as many.
    pub fn gather<T: Equivalence + Clone + Default>(&self, own: &[T]) -> Vec<T>
    where
        [T]: mpi::datatype::Buffer + mpi::datatype::BufferMut,
    {
        let mut all = vec![T::default(); own.len() * self.size()];
        self.world.all_gather_into(own, &mut all[..]);
        all
    }

    /// Refuses to go on if the processes hold different parameters.
    ///
    /// # Errors
    /// [`Error::Apart`] with the first process that differs from process 0.
    pub fn check_equal(&self, model: &Model, epoch: u64) -> Result<()> {
        let hashes = self.gather(&[parameter_hash(model)]);
        match hashes.iter().position(|hash| *hash != hashes[0]) {
            None => Ok(()),
            Some(rank) => Err(Error::Apart { rank, epoch }),
        }
    }
}

/// A process that panics ends the job: others would wait for it.
impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("process {} of {} panicked; the job ends", self.rank(), self.size());
            self.world.abort(1);
        }
    }
}

/// Returns the hash of all parameters and states by their bits (FNV-1a over words).
pub fn parameter_hash(model: &Model) -> u64 {
    let numbers = model.parameters().iter().flat_map(|(_, value)| value.data());
    numbers.fold(0xCBF2_9CE4_8422_2325, |hash, number| {
        (hash ^ u64::from(number.to_bits())).wrapping_mul(0x0000_0100_0000_01B3)
    })
}
