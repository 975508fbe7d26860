//! State dicts that `torch.save` wrote: pickles, in a zip archive or before the data.

use super::{
    Reader,
    networks::{joined, weights},
};
use crate::{
    drawn::Seed,
    forms::{zip_deflated, zip_stored},
    held,
};

/// A tensor of a state dict: its name, storage, elements of the storage, offset, shape and strides.
type View = (&'static str, u8, u32, u32, &'static [u8], &'static [u8]);

const VIEWS: [View; 3] = [
    ("fc.weight", 0, 8, 0, &[2, 3], &[3, 1]),
    ("fc.bias", 1, 2, 0, &[2], &[1]),
    ("expanded", 0, 8, 1, &[4, 5], &[0, 1]),
];

fn text(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

fn number(number: u32) -> Vec<u8> {
    [b"J", &number.to_le_bytes()[..]].concat()
}

fn sizes(sizes: &[u8]) -> Vec<u8> {
    let sizes: Vec<u8> = sizes.iter().flat_map(|size| [b'K', *size]).collect();
    [b"(", &sizes[..], b"t"].concat()
}

/// The reference of a storage: its class, key and number of elements.
fn storage(class: &str, key: &str, length: u32) -> Vec<u8> {
    let class = format!("ctorch\n{class}\n").into_bytes();
    [b"(".to_vec(), text("storage"), class, text(key), text("cpu"), number(length), b"tQ".to_vec()].concat()
}

fn tensor(storage: Vec<u8>, offset: u32, shape: Vec<u8>, strides: Vec<u8>) -> Vec<u8> {
    let call = b"ctorch._utils\n_rebuild_tensor_v2\n(".to_vec();
    let hooks = b"\x89ccollections\nOrderedDict\n)RtR".to_vec();
    [call, storage, number(offset), shape, strides, hooks].concat()
}

/// A program of protocol 2.
fn program(body: &[u8]) -> Vec<u8> {
    [b"\x80\x02", body, b"."].concat()
}

/// The entries of a dict, set all at once.
fn dict(entries: &[u8]) -> Vec<u8> {
    program(&[b"}q\x00(", entries, b"u"].concat())
}

fn entry((name, key, length, offset, shape, strides): View) -> Vec<u8> {
    let storage = storage("FloatStorage", &key.to_string(), length);
    [text(name), tensor(storage, offset, sizes(shape), sizes(strides))].concat()
}

fn state_dict() -> Vec<u8> {
    dict(&[VIEWS.map(entry).concat(), text("epoch"), number(3)].concat())
}

fn in_zip(pickle: Vec<u8>) -> Vec<Vec<u8>> {
    let part = |name: &str, content: Vec<u8>| [format!("archive/{name}").into_bytes(), content];
    let parts = [
        part("data.pkl", pickle),
        part("byteorder", b"little".to_vec()),
        part("data/0", vec![0; 32]),
        part("data/1", vec![0; 8]),
        part("version", b"3\n".to_vec()),
    ];
    parts.concat()
}

fn in_legacy(pickle: Vec<u8>) -> Vec<Vec<u8>> {
    let keys = [b"](".to_vec(), text("0"), text("1"), b"e".to_vec()].concat();
    let data = |count: u64| [&count.to_le_bytes()[..], &vec![0; 4 * count as usize]].concat();
    let magic = program(b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19");
    vec![magic, program(b"M\xe9\x03"), program(b"}"), pickle, program(&keys), data(8), data(2)]
}

/// A dict within a dict, and so on.
fn nested(depth: usize) -> Vec<u8> {
    let start = [b"}".to_vec(), text("a")].concat();
    program(&[start.repeat(depth), b"}".to_vec(), vec![b's'; depth]].concat())
}

/// A tuple of ten times the tuple before, so often: 10^levels values that lie in a few bytes.
fn doubled(levels: usize) -> Vec<u8> {
    let level = [b"(".to_vec(), b"h\x00".repeat(10), b"tq\x00".to_vec()].concat();
    program(&[b")q\x00".to_vec(), level.repeat(levels)].concat())
}

/// A dict of dicts in which every dict is an entry of every one before: paths without number, few objects.
fn lattice(levels: usize) -> Vec<u8> {
    let mut body = Vec::new();
    for level in 0..levels {
        body.extend([b"}r", &(level as u32).to_le_bytes()[..], b"0"].concat());
    }
    for level in 1..levels {
        body.extend([b"j", &(level as u32).to_le_bytes()[..], b"("].concat());
        for below in 0..level.min(50) {
            body.extend([text(&below.to_string()), b"j".to_vec(), (below as u32).to_le_bytes().to_vec()].concat());
        }
        body.extend(b"u0");
    }
    body.extend([b"j", &(levels as u32 - 1).to_le_bytes()[..]].concat());
    program(&body)
}

/// Many tensors on one storage, each a few bytes of the pickle: storage, shape and name come from the memo.
fn many_tensors(count: usize, key_length: usize) -> Vec<u8> {
    let mut body = storage("FloatStorage", &"0".repeat(key_length), 8);
    body.extend(b"q\x010(K\x02K\x03tq\x020(K\x03K\x01tq\x030ctorch._utils\n_rebuild_tensor_v2\nq\x040}(");
    for number in 0..count {
        body.extend([text(&number.to_string()), b"h\x04(h\x01K\x00h\x02h\x03tR".to_vec()].concat());
    }
    body.push(b'u');
    program(&body)
}

/// A name from the memo is the key of many entries beside the state dict, and of numbers.
fn repeated_name(count: usize, length: usize) -> Vec<u8> {
    let mut body = [text(&"n".repeat(length)), b"q\x010}(".to_vec()].concat();
    body.extend(b"h\x01K\x07".repeat(count));
    body.extend(b"h\x01h\x01".repeat(count));
    body.extend([VIEWS.map(entry).concat(), b"u".to_vec()].concat());
    program(&body)
}

/// Many keys that are in themselves long, from one text: dicts in dicts by a long name.
fn long_paths(count: usize, length: usize) -> Vec<u8> {
    let mut body =
        [text(&"n".repeat(length)), b"q\x010".to_vec(), entry(VIEWS[0])[14..].to_vec(), b"q\x020}(".to_vec()].concat();
    for number in 0..count {
        // Below it a dict by the long name, with a tensor.
        body.extend([text(&number.to_string()), b"}h\x01}h\x01h\x02sss".to_vec()].concat());
    }
    body.push(b'u');
    program(&body)
}

const WORDS: &[&[u8]] = &[
    b"(",
    b".",
    b"0",
    b"1",
    b"2",
    b"N",
    b")",
    b"t",
    b"]",
    b"l",
    b"a",
    b"e",
    b"}",
    b"d",
    b"s",
    b"u",
    b"q\x00",
    b"h\x00",
    b"\x85",
    b"\x86",
    b"\x87",
    b"R",
    b"b",
    b"Q",
    b"\x81",
    b"\x88",
    b"\x89",
    b"\x8a\x01\x01",
    b"\x94",
    b"\x93",
    b"\x8c\x01a",
    b"\x80\x04",
    b"\x95\x00\x00\x00\x00\x00\x00\x00\x00",
    b"ctorch\nFloatStorage\n",
    b"ctorch\nHalfStorage\n",
    b"ctorch\nBoolStorage\n",
    b"ccollections\nOrderedDict\n",
    b"ccollections\nCounter\n",
    b"ctorch\nSize\n",
    b"cbuiltins\nset\n",
    b"ctorch._utils\n_rebuild_parameter\n",
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"X\x01\x00\x00\x000",
    b"X\x0a\x00\x00\x00state_dict",
];

/// One storage of zeros, deflated, and `count` tensors that are all of it.
fn tensors_on_zeros(count: usize, bytes: usize) -> Vec<u8> {
    let elements = (bytes / 4) as u32;
    let mut body = storage("FloatStorage", "0", elements);
    body.extend(
        [
            b"q\x010(".to_vec(),
            number(elements),
            b"tq\x020(K\x01tq\x030ctorch._utils\n_rebuild_tensor_v2\nq\x040}(".to_vec(),
        ]
        .concat(),
    );
    for number in 0..count {
        body.extend([text(&number.to_string()), b"h\x04(h\x01K\x00h\x02h\x03tR".to_vec()].concat());
    }
    body.push(b'u');
    let mut parts = in_zip(program(&body));
    parts[5] = vec![0; bytes];
    zip_deflated(&parts)
}

pub const TORCH_ZIP: Reader = Reader {
    name: "torch_zip",
    seeds: || [zip_stored, zip_deflated].into_iter().map(|form| Seed::new(form, in_zip(state_dict()))).collect(),
    words: WORDS,
    crafted: &[
        ("a pickle of zeros, deflated a thousand times", || zip_deflated(&in_zip(vec![0; 1 << 24]))),
        ("a text of 16 MiB, deflated a thousand times", || zip_deflated(&in_zip(program(&text(&"a".repeat(1 << 24)))))),
        ("an integer of 16 MiB", || {
            let integer = [b"\x8b", &(1u32 << 26).to_le_bytes()[..], &vec![0; 1 << 24]].concat();
            zip_deflated(&in_zip(program(&integer)))
        }),
        ("four million values, deflated", || zip_deflated(&in_zip([&b"\x80\x02"[..], &vec![b'N'; 4 << 20]].concat()))),
        ("four million empty dicts, deflated", || {
            zip_deflated(&in_zip([&b"\x80\x02"[..], &vec![b'}'; 4 << 20]].concat()))
        }),
        ("four million marks, deflated", || zip_deflated(&in_zip([&b"\x80\x02"[..], &vec![b'('; 4 << 20]].concat()))),
        ("a byte order of zeros", || {
            let mut parts = in_zip(state_dict());
            parts[3] = vec![b' '; 1 << 24];
            zip_deflated(&parts)
        }),
        ("a storage of zeros", || tensors_on_zeros(1, 1 << 24)),
        ("a storage of zeros in 200 tensors", || tensors_on_zeros(200, 1 << 24)),
        ("20,000 files", || {
            let mut parts = in_zip(state_dict());
            (0..20_000).for_each(|file| parts.extend([format!("archive/data/{file}x").into_bytes(), vec![]]));
            zip_stored(&parts)
        }),
        ("20,000 files of one name", || {
            let mut parts = in_zip(state_dict());
            (0..20_000).for_each(|_| parts.extend([b"archive/data/0".to_vec(), vec![]]));
            zip_stored(&parts)
        }),
        ("20,000 folders with a pickle", || {
            let folders = (0..20_000).flat_map(|folder| [format!("{folder:060}/data.pkl").into_bytes(), vec![]]);
            zip_stored(&folders.collect::<Vec<_>>())
        }),
        ("an empty archive", || zip_stored(&[])),
        ("200,000 tensors with one long key", || zip_stored(&in_zip(many_tensors(200_000, 256)))),
        ("200,000 tensors with a key of a megabyte", || zip_stored(&in_zip(many_tensors(200_000, 1 << 20)))),
    ],
    prepare: weights,
    held: held::in_zip,
    own: 0,
};

pub const TORCH_LEGACY: Reader = Reader {
    name: "torch_legacy",
    seeds: || vec![joined(in_legacy(state_dict()))],
    words: WORDS,
    crafted: &[
        ("200,000 tensors with one key", || in_legacy(many_tensors(200_000, 1)).concat()),
        ("200,000 tensors with one long key", || in_legacy(many_tensors(200_000, 256)).concat()),
        ("50,000 dicts in dicts", || in_legacy(nested(50_000)).concat()),
        ("a million tuples in tuples", || in_legacy(program(&[&b")"[..], &vec![0x85; 1_000_000]].concat())).concat()),
        ("tuples of ten times a tuple, 30 levels", || in_legacy(doubled(30)).concat()),
        ("a dict in itself", || in_legacy(program(b"}q\x00X\x01\x00\x00\x00ah\x00s")).concat()),
        ("a lattice of 2000 dicts", || in_legacy(lattice(2000)).concat()),
        ("a name of 4096 bytes for 100,000 entries", || in_legacy(repeated_name(100_000, 4096)).concat()),
        ("10,000 paths with a long name", || in_legacy(long_paths(10_000, 4096)).concat()),
        ("a million entries of the memo", || {
            let entry = |number: u32| [b"Nr", &number.to_le_bytes()[..], b"0"].concat();
            in_legacy(program(&(0..700_000).flat_map(entry).collect::<Vec<_>>())).concat()
        }),
        ("a list that takes a million times itself", || {
            in_legacy(program(&[&b"]q\x00"[..], &b"h\x00a".repeat(1_000_000)].concat())).concat()
        }),
        ("a global name of 200 bytes, often", || {
            let global = format!("c{}\nFloatStorage\n0", "torch");
            in_legacy(program(&global.as_bytes().repeat(200_000))).concat()
        }),
        ("a list of 200,000 storages", || {
            let mut parts = in_legacy(state_dict());
            let key = text("0");
            parts[4] = program(&[b"](".to_vec(), key.repeat(200_000), b"e".to_vec()].concat());
            parts[5] = vec![0; 1 << 20];
            parts.concat()
        }),
        ("a storage of 2^64 elements", || {
            let mut parts = in_legacy(state_dict());
            parts[5] = u64::MAX.to_le_bytes().to_vec();
            parts.concat()
        }),
        ("many expanded views", || {
            let entry = |number: usize| {
                let size = [b"(".to_vec(), self::number(1 << 20), b"t".to_vec()].concat();
                [text(&number.to_string()), tensor(storage("FloatStorage", "0", 8), 0, size, sizes(&[0]))].concat()
            };
            in_legacy(dict(&(0..100).flat_map(entry).collect::<Vec<_>>())).concat()
        }),
    ],
    prepare: weights,
    held: held::nothing_more,
    own: 0,
};
