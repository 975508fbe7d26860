//! Processes that check networks, and who watches them.

use crate::{draw::draw, verdict};
use ocelli::simd::InstructionSet;
use rayon::ThreadPoolBuilder;
use std::{
    collections::BTreeMap,
    env, fmt,
    io::{BufRead, BufReader},
    ops::Range,
    process::{Child, Command, Stdio},
    sync::{Mutex, mpsc},
    thread,
    time::Duration,
};

/// What a worker is asked to run.
const TEST: &str = "drawn_networks_keep_what_is_promised";
/// Tells a process of this test which networks it is to check: `first..end`.
const RANGE: &str = "OCELLI_DRAWN_RANGE";
/// Networks for one process.
const SHARE: u64 = 25;
/// A network that is silent for so long never ends.
const PATIENCE: Duration = Duration::from_secs(120);
/// What a worker's lines begin with; the test harness writes others.
const MARK: &str = "drawn:";

/// Checks the networks that another process of this test asked for, if one did.
pub fn work_if_asked() -> bool {
    let Ok(range) = env::var(RANGE) else { return false };
    let (first, end) = range.split_once("..").expect("a range of networks");
    let bound = |text: &str| text.parse::<u64>().expect("the number of a network");
    let alone = ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    alone.install(|| {
        for number in bound(first)..bound(end) {
            println!("{MARK}begin {number}");
            let network = draw(number);
            println!("{MARK}drawn {network:?}");
            match verdict::of(network) {
                Ok(verdict) => println!("{MARK}good {verdict}"),
                Err(why) => println!("{MARK}bad {}", why.replace('\n', " ")),
            }
        }
    });
    true
}

/// What became of all networks.
#[derive(Debug, Default)]
pub struct Report {
    networks: u64,
    /// How many had each verdict, and how many each check had something to look at.
    counts: BTreeMap<String, u64>,
    pub failures: Vec<String>,
}

impl Report {
    /// Checks that the networks were worth drawing: most could be built, and each check looked at a good part of them.
    ///
    /// # Panics
    /// If too few.
    pub fn expect_enough(&self) {
        let count = |what: &str| self.counts.get(what).copied().unwrap_or(0);
        let built = count("checked");
        assert!(2 * built > self.networks, "too few networks could be built: {self}");
        for (check, part) in [
            ("forward", 0.9),
            ("gradients", 0.8),
            ("differences", 0.7),
            ("threads", 0.9),
            ("memory", 0.6),
            ("alone", 0.3),
        ] {
            assert!(count(check) as f64 >= part * built as f64, "the check {check} saw too few networks: {self}");
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: Vec<String> = self.counts.iter().map(|(what, count)| format!("{what} {count}")).collect();
        write!(f, "{} networks: {}", self.networks, counts.join(", "))
    }
}

/// Checks the networks of these numbers on every instruction set of this machine.
pub fn check_all(numbers: Range<u64>) -> Report {
    let sets: Vec<InstructionSet> = InstructionSet::available().collect();
    let shares = numbers.clone().step_by(SHARE as usize);
    let mut jobs: Vec<(&str, u64, u64)> = shares
        .flat_map(|first| sets.iter().map(move |set| (set.name(), first, (first + SHARE).min(numbers.end))))
        .collect();
    jobs.reverse();
    let (jobs, report) = (Mutex::new(jobs), Mutex::new(Report::default()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let job = jobs.lock().expect("no watcher panics").pop();
                    let Some((set, first, end)) = job else { break };
                    watch(set, first, end, &report);
                }
            });
        }
    });
    report.into_inner().expect("no watcher panics")
}

/// Has processes check a range of networks; a new one behind each network that ends its process.
fn watch(set: &str, mut first: u64, end: u64, report: &Mutex<Report>) {
    while first < end {
        let mut worker = Command::new(env::current_exe().expect("this test is a file"))
            .args(["--exact", TEST, "--nocapture", "--test-threads=1"])
            .env("OCELLI_ISA", set)
            .env(RANGE, format!("{first}..{end}"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("this test can be started again");
        first = listen(&mut worker, set, first, report);
        // It has ended, or is to.
        let _ = worker.kill();
        let _ = worker.wait();
    }
}

/// Takes down what a worker says until it ends: the number of the first network that it did not finish with.
fn listen(worker: &mut Child, set: &str, first: u64, report: &Mutex<Report>) -> u64 {
    let lines = BufReader::new(worker.stdout.take().expect("the worker's lines are read")).lines();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
    let (mut number, mut network): (u64, Option<String>) = (first, None);
    loop {
        let line = match receiver.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(mpsc::RecvTimeoutError::Disconnected) if network.is_none() => return number,
            Err(error) => {
                let why = if error == mpsc::RecvTimeoutError::Timeout { "never ends" } else { "ends the process" };
                let mut report = report.lock().expect("no watcher panics");
                report.networks += 1;
                report.fail(set, number, why, &network.unwrap_or_default());
                return number + 1;
            }
        };
        let Some((_, line)) = line.split_once(MARK) else { continue };
        let (what, rest) = line.split_once(' ').unwrap_or((line, ""));
        match what {
            "begin" => network = Some(String::new()),
            "drawn" => network = Some(rest.to_string()),
            _ => {
                let mut report = report.lock().expect("no watcher panics");
                report.networks += 1;
                match what {
                    "good" => rest.split(' ').for_each(|part| *report.counts.entry(part.into()).or_default() += 1),
                    _ => report.fail(set, number, rest, &network.take().unwrap_or_default()),
                }
                network = None;
                number += 1;
            }
        }
    }
}

impl Report {
    fn fail(&mut self, set: &str, number: u64, why: &str, network: &str) {
        let failure = format!("OCELLI_CASE={number} OCELLI_ISA={set}: {why}\n    {network}");
        eprintln!("{failure}");
        self.failures.push(failure);
    }
}
