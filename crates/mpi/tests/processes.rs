//! Several processes, started by `mpirun`, have the bits of one, also after one of them was killed.

use ocelli::{data::synthetic, prelude::*};
use ocelli_mpi::{Cluster, ClusterTrainer, parameter_hash};
use std::{
    env, fs,
    path::Path,
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

/// The variable by which this program knows that `mpirun` started it, to train in the folder that it names.
const FOLDER: &str = "OCELLI_MPI_RUN";
const EPOCHS: u64 = 4;

/// Batch statistics, dropout, and so many parameters that they are exchanged in several buckets.
fn network(x: &Node) -> Node {
    let x = x.apply("conv", Conv2d::new(8, 3).same().bias(false)).apply("bn", BatchNorm::new()).relu();
    let x = x.apply("pool", MaxPool2d::new(2)).flatten().apply("hidden", Dense::new(400)).relu();
    x.apply("drop", Dropout(0.2)).apply("fc", Dense::new(10))
}

/// A process of a job: this test again. The last batch of an epoch has fewer samples than there are shards.
#[test]
fn one_process_of_a_job() {
    let Some(folder) = env::var_os(FOLDER) else { return };
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().unwrap();
    let cluster = Cluster::start().unwrap();
    let folder = Path::new(&folder);
    fs::write(folder.join(format!("process{}", cluster.rank())), std::process::id().to_string()).unwrap();
    let train = || {
        let source = Loader::new(synthetic::digits(165, 1), Pipeline::mnist([28, 28]), 32)?.shuffle(5);
        let mut model = Model::build(network, [28, 28, 1], 7)?;
        let loss = |t: &Trace| softmax_cross_entropy(&t.output(), &t.labels("labels"));
        let trainer = ClusterTrainer::new(EPOCHS).metric(Accuracy::new()).folder(folder).resume();
        let validation = Loader::new(synthetic::digits(90, 2), Pipeline::mnist([28, 28]), 8)?;
        let history = trainer.run(&cluster, &mut model, loss, &mut Adam::new(1e-3), &source, Some(&validation))?;
        if cluster.is_first() {
            let last = history.last().expect("an epoch");
            println!("result: {:016x} {:?} {:?}", parameter_hash(&model), last.train, last.validation);
        }
        Ok(())
    };
    assert!(cluster.end(train()) == std::process::ExitCode::SUCCESS);
}

fn mpirun(processes: usize, folder: &Path) -> Command {
    let mut command = Command::new("mpirun");
    command.arg("-n").arg(processes.to_string()).arg(env::current_exe().unwrap());
    command.args(["--exact", "one_process_of_a_job", "--nocapture"]).env(FOLDER, folder);
    // More processes than cores, by any user: settings of Open MPI, which others do not need.
    command.env("OMPI_MCA_rmaps_base_oversubscribe", "1").env("OMPI_MCA_mpi_yield_when_idle", "1");
    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    command
}

fn result(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find(|line| line.contains("result: "));
    line.unwrap_or_else(|| panic!("{text}\n{}", String::from_utf8_lossy(&output.stderr))).to_string()
}

fn finished(processes: usize, folder: &Path) -> String {
    result(&mpirun(processes, folder).output().expect("mpirun is installed"))
}

#[test]
fn one_two_four_and_eight_processes_have_the_same_bits() {
    let results = [1, 2, 4, 8].map(|processes| finished(processes, tempfile::tempdir().unwrap().path()));
    assert!(results.iter().all(|result| *result == results[0]), "{results:?}");
}

#[test]
fn a_job_that_lost_a_process_ends_and_goes_on_to_the_same_bits() {
    let uninterrupted = finished(2, tempfile::tempdir().unwrap().path());
    for lost in 0..2 {
        let folder = tempfile::tempdir().unwrap();
        let mut job = mpirun(2, folder.path()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let started = Instant::now();
        while !folder.path().join("cluster.ocelli").exists() {
            assert!(started.elapsed() < Duration::from_secs(60), "no checkpoint after a minute");
            thread::sleep(Duration::from_millis(1));
        }
        let process = fs::read_to_string(folder.path().join(format!("process{lost}"))).unwrap();
        assert!(Command::new("kill").args(["-9", &process]).status().unwrap().success());
        assert!(!job.wait().unwrap().success(), "the job ends with the process");
        // Another number of processes goes on.
        assert_eq!(finished(4, folder.path()), uninterrupted);
    }
}
