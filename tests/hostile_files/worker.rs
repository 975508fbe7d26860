//! Processes that read files, and what is found in them.
//!
//! A process of its own has its memory counted as a whole, can be refused more than some, and may die or hang without the
//! rest of the tests. It is this same program, told by a variable to be a worker.

use crate::{
    clock::worked,
    cost::{Cost, limit, measured},
    drawn::Drawing,
    readers::{Read, Reader, named},
};
use std::{
    collections::BTreeMap,
    env, fmt, fs,
    io::Write,
    ops::Range,
    os::unix::fs::FileExt,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Tells a process that it is a worker: its reader, the kind of files, and the first and the last number.
const WORK: &str = "OCELLI_HOSTILE_WORK";
/// The folder of a worker.
const FOLDER: &str = "OCELLI_HOSTILE_FOLDER";
/// KiB of memory that a worker may have.
const MEMORY_KIB: u64 = 3 << 20;
/// Time of work after which a reader hangs, and time without any.
const PATIENCE: Duration = Duration::from_secs(60);
const PATIENCE_WITHOUT_WORK: Duration = Duration::from_secs(600);
/// Kinds of faults that one test tells.
const MAX_TOLD: usize = 20;
/// Deaths of workers after which a test gives up.
const MAX_DEATHS: usize = 50;
/// The file in which a worker says where it is.
const PLACE: &str = "place";
/// What a worker says beside.
const SAID: &str = "said";
/// The file in which a worker says what it found.
const FAULTS: &str = "faults";

/// Which files of a reader.
#[derive(Clone)]
pub enum Files {
    Valid,
    Crafted,
    Drawn(Range<u64>),
}

impl Files {
    fn kind(&self) -> &'static str {
        match self {
            Files::Valid => "valid",
            Files::Crafted => "crafted",
            Files::Drawn(_) => "drawn",
        }
    }

    fn numbers(&self, reader: &Reader) -> Range<u64> {
        match self {
            Files::Valid => 0..(reader.seeds)().len() as u64,
            Files::Crafted => 0..reader.crafted.len() as u64,
            Files::Drawn(numbers) => numbers.clone(),
        }
    }

    /// The name of a file, for who wants to see it again.
    fn name(&self, reader: &Reader, number: u64) -> String {
        match self {
            Files::Crafted => format!("{} \"{}\"", reader.name, reader.crafted[number as usize].0),
            _ => format!("{} {number}", reader.name),
        }
    }

    fn bytes(&self, reader: &Reader, drawing: &Drawing, number: u64) -> Vec<u8> {
        match self {
            Files::Crafted => reader.crafted[number as usize].1(),
            _ => drawing.file(number),
        }
    }
}

/// Something that must not be.
struct Fault {
    number: u64,
    /// Bytes of the file.
    length: usize,
    /// The same for faults that are probably one.
    kind: String,
    text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes: {}", self.length, self.text)
    }
}

/// Reads files of the reader called `name`, in workers, and panics with all that is found.
pub fn check(name: &str, files: Files) {
    let reader = named(name);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let faults = found(reader, &files, folder.path());
    if faults.is_empty() {
        return;
    }
    let mut kinds: BTreeMap<String, Vec<Fault>> = BTreeMap::new();
    for fault in faults {
        kinds.entry(fault.kind.clone()).or_default().push(fault);
    }
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hostile_files");
    fs::create_dir_all(&kept).expect("a folder of the build");
    let drawing = Drawing::new(reader);
    let mut text = format!("{} kinds of faults; the shortest file of each, kept in {}:", kinds.len(), kept.display());
    for alike in kinds.values().take(MAX_TOLD) {
        let shortest = alike.iter().min_by_key(|fault| fault.length).expect("one at least");
        let bytes = files.bytes(reader, &drawing, shortest.number);
        let file = format!("{name}-{}-{}", files.kind(), shortest.number);
        fs::write(kept.join(&file), bytes).expect("a file in a folder of the build");
        let name = files.name(reader, shortest.number);
        text.push_str(&format!("\n- {name} ({file}; {} alike), {shortest}", alike.len()));
    }
    panic!("{text}");
}

/// All faults with the files of these numbers, from as many workers as it takes.
fn found(reader: &Reader, files: &Files, folder: &Path) -> Vec<Fault> {
    let mut numbers = files.numbers(reader);
    let mut deaths = Vec::new();
    while !numbers.is_empty() && deaths.len() < MAX_DEATHS {
        let worker = start(reader, files, &numbers, folder);
        let text = match finished(worker, folder) {
            Some(status) if status.success() => break,
            Some(status) => format!("ends the process ({status}): a stack or memory is exhausted"),
            None => format!("takes more than {} s", PATIENCE.as_secs()),
        };
        let said = || fs::read_to_string(folder.join(SAID)).unwrap_or_default();
        let number =
            place(folder).unwrap_or_else(|| panic!("the worker for {} did not start: {}", reader.name, said()));
        deaths.push((number, text));
        numbers.start = number + 1;
    }
    let drawing = Drawing::new(reader);
    let death = |(number, text): (u64, String)| {
        let length = files.bytes(reader, &drawing, number).len();
        let kind = if matches!(files, Files::Crafted) { format!("{text} {number}") } else { text.clone() };
        Fault { number, length, kind, text }
    };
    let told = fs::read_to_string(folder.join(FAULTS)).unwrap_or_default();
    let fault = |line: &str| {
        let (number, length, kind, text) = serde_json::from_str(line).expect("what a worker wrote");
        Fault { number, length, kind, text }
    };
    told.lines().map(fault).chain(deaths.into_iter().map(death)).collect()
}

/// Starts a worker. The shell bounds its memory.
fn start(reader: &Reader, files: &Files, numbers: &Range<u64>, folder: &Path) -> Child {
    let _ = fs::remove_file(folder.join(PLACE));
    let program = env::current_exe().expect("this program is a file");
    let script = format!("ulimit -v {MEMORY_KIB} 2>/dev/null; exec \"$0\" \"$@\"");
    Command::new("sh")
        .args(["-c", &script])
        .arg(program)
        .args(["worker::serve", "--exact", "--ignored", "--nocapture"])
        .env(WORK, format!("{} {} {} {}", reader.name, files.kind(), numbers.start, numbers.end))
        .env(FOLDER, folder)
        // One thread, so that memory does not depend on the machine.
        .env("RAYON_NUM_THREADS", "1")
        .env_remove("RUST_MIN_STACK")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(folder.join(SAID)).expect("a temporary file"))
        .spawn()
        .expect("a process can be started")
}

/// Waits for a worker; `None` if it hung and was ended.
fn finished(mut worker: Child, folder: &Path) -> Option<ExitStatus> {
    let process = worker.id().to_string();
    let now = || (Instant::now(), worked(&process).unwrap_or_default());
    let (mut last, mut since) = (None, now());
    loop {
        if let Some(status) = worker.try_wait().expect("a worker can be waited for") {
            return Some(status);
        }
        let (place, (time, work)) = (place(folder), now());
        if place != last {
            (last, since) = (place, (time, work));
        } else if work.saturating_sub(since.1) > PATIENCE || time - since.0 > PATIENCE_WITHOUT_WORK {
            worker.kill().expect("a worker can be ended");
            worker.wait().expect("a worker can be waited for");
            return None;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// The number of the file that a worker reads.
fn place(folder: &Path) -> Option<u64> {
    Some(u64::from_le_bytes(*fs::read(folder.join(PLACE)).ok()?.first_chunk()?))
}

/// What a worker does.
#[test]
#[ignore = "the other tests start it, as a process of its own"]
fn serve() {
    let (Ok(work), Some(folder)) = (env::var(WORK), env::var_os(FOLDER)) else { return };
    let words: Vec<&str> = work.split(' ').collect();
    let number = |word: &str| word.parse::<u64>().expect("a number");
    let &[name, kind, first, last] = &words[..] else { panic!("\"{work}\" is no work") };
    let files = match kind {
        "valid" => Files::Valid,
        "crafted" => Files::Crafted,
        _ => Files::Drawn(0..0),
    };
    let (numbers, folder) = (number(first)..number(last), PathBuf::from(folder));
    let reader = named(name);
    // A thread has the stack that threads of a user have.
    thread::spawn(move || read_files(reader, &files, numbers, &folder))
        .join()
        .expect("the worker itself does not panic");
}

/// The last panic, and where it was.
static PANIC: Mutex<String> = Mutex::new(String::new());

fn read_files(reader: &Reader, files: &Files, numbers: Range<u64>, folder: &Path) {
    panic::set_hook(Box::new(|panic| {
        eprintln!("{panic}");
        *PANIC.lock().unwrap_or_else(PoisonError::into_inner) = panic.to_string().replace('\n', " ");
    }));
    let own = folder.join("own");
    fs::create_dir_all(&own).expect("a temporary folder");
    let (drawing, read, path) = (Drawing::new(reader), (reader.prepare)(&own), folder.join("file"));
    // What the library keeps for itself from its first use on is no cost of a file.
    for seed in (reader.seeds)() {
        fs::write(&path, seed.bytes()).expect("a temporary file");
        let _ = panic::catch_unwind(AssertUnwindSafe(|| read(&path)));
    }
    let place = fs::File::create(folder.join(PLACE)).expect("a temporary file");
    let mut told =
        fs::OpenOptions::new().append(true).create(true).open(folder.join(FAULTS)).expect("a temporary file");
    for number in numbers {
        place.write_all_at(&number.to_le_bytes(), 0).expect("a temporary file");
        let bytes = files.bytes(reader, &drawing, number);
        fs::write(&path, &bytes).expect("a temporary file");
        if let Some((kind, text)) = fault(reader, &read, &path, &bytes, matches!(files, Files::Valid)) {
            let kind = if matches!(files, Files::Crafted) { format!("{kind} {number}") } else { kind };
            let line = serde_json::to_string(&(number, bytes.len(), kind, text)).expect("text is JSON");
            writeln!(told, "{line}").expect("a temporary file");
        }
    }
}

/// What is wrong with how a file is read: its kind, and in words.
fn fault(reader: &Reader, read: &Read, path: &Path, bytes: &[u8], valid: bool) -> Option<(String, String)> {
    let reading = || panic::catch_unwind(AssertUnwindSafe(|| read(path)));
    let (outcome, mut cost) = measured(reading);
    let Ok(answer) = outcome else {
        let text = PANIC.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let place = text.split(": ").next().unwrap_or_default().to_string();
        return Some((place, text));
    };
    if let (true, Err(error)) = (valid, &answer) {
        return Some(("refused".into(), format!("a valid file is refused: {error}")));
    }
    let returned = *answer.as_ref().unwrap_or(&0);
    let mut most = limit(bytes.len(), returned, reader.own);
    let exceeds = |cost: &Cost, most: &Cost| cost.bytes > most.bytes || cost.time > most.time;
    if exceeds(&cost, &most) {
        most = limit(bytes.len(), returned.max((reader.held)(bytes)), reader.own);
    }
    if cost.time > most.time
        && let Some(before) = worked("self")
    {
        // On a busy machine only work counts.
        let _ = reading();
        cost.time = worked("self").unwrap_or(before) - before;
    }
    let said = match answer {
        Ok(bytes) => format!("{bytes} bytes returned"),
        Err(error) => error.chars().take(200).collect(),
    };
    // Names and numbers differ between files of one kind.
    let reason = said.rsplit(": ").next().unwrap_or_default().split([' ', '"']).take(4);
    let alike: String = reason.flat_map(str::chars).filter(|letter| !letter.is_ascii_digit()).collect();
    if cost.bytes > most.bytes {
        let text = format!("takes {} bytes, at most {} are right ({said})", cost.bytes, most.bytes);
        return Some((format!("memory {alike}"), text));
    }
    (cost.time > most.time).then(|| {
        let text = format!("takes {:?}, at most {:?} is right ({said})", cost.time, most.time);
        (format!("time {alike}"), text)
    })
}
