//! A few bytes cannot take much memory: at most 64 KiB and eight bytes for each of the file, whatever it says.
//!
//! One test alone, because memory is counted for the whole process.

use ocelli_graph::{Model, Node};
use ocelli_layers::Dense;
use ocelli_models::{NetworkDescription, WeightFile, WeightLoader};
use peak_alloc::PeakAlloc;
use std::{
    fs,
    io::{Cursor, Write},
    path::Path,
};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Memory of the process in addition to the file: the path, messages, the first use of a thread's buffers.
const SLACK: usize = 16 << 10;

/// Makes an archive as `torch.save` writes it, with a pickle and storages `0`, `1`, ….
fn archive(pickle: &[u8], storages: &[&[u8]], method: CompressionMethod) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    archive.start_file("a/data.pkl", options).unwrap();
    archive.write_all(pickle).unwrap();
    for (number, storage) in storages.iter().enumerate() {
        archive.start_file(format!("a/data/{number}"), options).unwrap();
        archive.write_all(storage).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

fn deflated(pickle: &[u8]) -> Vec<u8> {
    archive(pickle, &[], CompressionMethod::Deflated)
}

fn stored(pickle: &[u8]) -> Vec<u8> {
    archive(pickle, &[], CompressionMethod::Stored)
}

/// Makes a pickle that repeats a part.
fn repeated(before: &[u8], part: &[u8], count: usize, after: &[u8]) -> Vec<u8> {
    [b"\x80\x02", before, &part.repeat(count), after, b"."].concat()
}

fn text(text: &[u8]) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text].concat()
}

/// Makes a tensor of the storage `0` with `len` elements of a class, and memo entries from `q\x10` on.
fn tensor(class: &str, len: u32, shape: &[u32], strides: &[u32]) -> Vec<u8> {
    let int = |number: &u32| [b"J", &number.to_le_bytes()[..]].concat();
    let tuple = |numbers: &[u32]| [b"(", &numbers.iter().flat_map(int).collect::<Vec<u8>>()[..], b"t"].concat();
    [
        b"ctorch._utils\n_rebuild_tensor_v2\n((",
        &text(b"storage")[..],
        format!("ctorch\n{class}\n").as_bytes(),
        &text(b"0"),
        &text(b"cpu"),
        &int(&len),
        b"tQ",
        &int(&0),
        &tuple(shape),
        &tuple(strides),
        b"\x89}tR",
    ]
    .concat()
}

fn safetensors(header: &str, data: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0; data]].concat()
}

/// Makes small files that would take gigabytes if their claims were believed.
fn crafted() -> Vec<(&'static str, Vec<u8>)> {
    const MANY: usize = 200_000;
    let zeros = vec![0; 1 << 24];
    let one =
        [&b"}"[..], &text(b"x"), &tensor("ByteStorage", 1 << 24, &[1 << 12, 1 << 12], &[1, 1 << 12]), b"s"].concat();
    let expanded = [&b"}"[..], &text(b"x"), &tensor("ByteStorage", 1, &[1 << 10, 1 << 10], &[0, 0]), b"s"].concat();
    let long = text(&vec![b'k'; 4096]);
    let one_key = [&b"}q\0"[..], &long, b"q\x01", &tensor("ByteStorage", 1, &[1], &[1]), b"q\x020"].concat();
    let keys = [&b"}q\0"[..], &long, b"q\x010"].concat();
    let metadata: Vec<u8> =
        (0..MANY as u32).flat_map(|i| [&text(&i.to_le_bytes().map(|b| b & 127))[..], b"h\x01"].concat()).collect();
    let header = |entries: &dyn Fn(usize) -> String, count: usize| {
        format!("{{{}}}", (0..count).map(entries).collect::<Vec<_>>().join(","))
    };
    let empty = |i: usize| format!(r#""{i:x}":{{"dtype":"U8","shape":[],"data_offsets":[{i},{}]}}"#, i + 1);
    let nothing = |i: usize| format!(r#""{i:x}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#);
    let said = |i: usize| format!(r#""{i:x}":"""#);
    let class_names = format!(
        r#"{{\"network\":\"lenet5\",\"sample\":[32,32,1],\"classes\":9,\"class_names\":[{}\"\"]}}"#,
        r#"\"\","#.repeat(MANY)
    );
    let described = format!(r#"{{"__metadata__":{{"network":"{class_names}"}}}}"#);
    let large = r#"{"__metadata__":{"network":"{\"network\":\"resnet152\",\"sample\":[224,224,3],\"classes\":9}"}}"#;
    let directory: Vec<u8> = (0..MANY as u32)
        .flat_map(|i| {
            let name = i.to_le_bytes().map(|b| b'0' | b & 63);
            [&b"PK\x01\x02"[..], &[0; 24], &[4, 0], &[0; 16], &name].concat()
        })
        .collect();
    let end = [&b"PK\x05\x06\0\0\0\0"[..], &[0xFE; 4], &(directory.len() as u32).to_le_bytes(), &[4, 0, 0, 0, 0, 0]];
    let claim = |len: u64| [b"\x80\x04\x8d", &len.to_le_bytes()[..], b"abc."].concat();
    vec![
        ("numbers without end", deflated(&repeated(b"", b"N", 1 << 24, b""))),
        ("marks without end", deflated(&repeated(b"", b"(", 1 << 24, b""))),
        ("tuples without end", stored(&repeated(b"", b")", MANY, b""))),
        ("lists in lists", stored(&repeated(b"]", b"]", MANY, b""))),
        ("tuples in tuples", stored(&repeated(b")", b"\x85", MANY, b""))),
        ("a memo of one value", stored(&repeated(b"N", b"\x94", MANY, b""))),
        ("a gap in the memo", stored(b"\x80\x02Nr\xff\xff\xff\x0f.")),
        (
            "one key of many tensors",
            archive(&repeated(&one_key, b"h\0h\x01h\x02s0", MANY, b"h\0"), &[&[1]], CompressionMethod::Stored),
        ),
        ("one key, deflated", deflated(&repeated(&one_key, b"h\0h\x01h\x02s0", MANY, b"h\0"))),
        ("one text in much metadata", stored(&[b"\x80\x02", &keys[..], b"h\0(", &metadata, b"u."].concat())),
        ("a claim of memory", claim(1 << 30)),
        ("a claim in an archive", stored(&claim(1 << 30))),
        ("a claim beyond numbers", claim(u64::MAX)),
        (
            "a strided view of deflated zeros",
            archive(&[b"\x80\x02", &one[..], b"."].concat(), &[&zeros], CompressionMethod::Deflated),
        ),
        ("an expanded view", archive(&[b"\x80\x02", &expanded[..], b"."].concat(), &[&[1]], CompressionMethod::Stored)),
        ("a directory of nothing", [&b"PK\x03\x04"[..], &directory, &end.concat()].concat()),
        ("many tensors of one byte", safetensors(&header(&empty, MANY / 4), MANY / 4)),
        ("many tensors of nothing", safetensors(&header(&nothing, MANY / 4), 0)),
        ("much metadata", safetensors(&format!(r#"{{"__metadata__":{}}}"#, header(&said, MANY)), 0)),
        (
            "one long shape",
            safetensors(
                &format!(r#"{{"x":{{"dtype":"U8","shape":[{}1],"data_offsets":[0,1]}}}}"#, "1,".repeat(MANY)),
                1,
            ),
        ),
        (
            "one long kind",
            safetensors(&format!(r#"{{"x":{{"dtype":"{}","shape":[1],"data_offsets":[0,1]}}}}"#, "F".repeat(MANY)), 1),
        ),
        (
            "a name of wrappers",
            safetensors(
                &format!(r#"{{"{}w":{{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}}}"#, "module.".repeat(MANY)),
                1,
            ),
        ),
        ("a large network", safetensors(large, 0)),
        ("many names of classes", safetensors(&described, 0)),
    ]
}

/// Reads a file as programs do, and returns an error's text.
fn use_file(path: &Path, model: &mut Model) -> Option<String> {
    let described = NetworkDescription::read(path).err();
    let mut file = match WeightFile::open(path) {
        Ok(file) => file,
        Err(error) => return Some(error.to_string()),
    };
    let names: Vec<String> = file.tensors().take(4).map(|(name, _)| name.to_string()).collect();
    for name in names {
        if let Err(error) = file.read(&name) {
            return Some(error.to_string());
        }
    }
    let loaded = WeightLoader::new().rename("a", "b").load_from(model, &mut file).err();
    loaded.map(|error| error.to_string()).or(described.map(|error| error.to_string()))
}

#[test]
fn small_files_take_little_memory() {
    let mut model = Model::build(|x: &Node| x.apply("fc", Dense::new(1)), [1], 0).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w");
    let mut beyond = Vec::new();
    for (name, bytes) in crafted() {
        let len = bytes.len();
        fs::write(&path, bytes).unwrap();
        MEMORY.reset_peak_usage();
        let before = MEMORY.current_usage();
        let error = use_file(&path, &mut model);
        let (taken, allowed) = (MEMORY.peak_usage() - before, (64 << 10) + 8 * len);
        println!("{name}: {taken} of {allowed} bytes, {error:?}");
        let error = error.expect(name);
        assert!(error.chars().count() < 800 + path.as_os_str().len(), "{name}: {error}");
        if taken > allowed + SLACK {
            beyond.push(format!("{name}: {taken} bytes, {allowed} allowed: {error}"));
        }
    }
    assert!(beyond.is_empty(), "{}", beyond.join("\n"));
}
