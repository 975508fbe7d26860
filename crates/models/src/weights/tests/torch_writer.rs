//! Writes files as `torch.save` does.

use std::io::{Cursor, Write};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// A value of Python.
#[derive(Clone)]
pub(super) enum Py {
    None,
    Bool(bool),
    Bytes(&'static [u8]),
    List(Vec<Py>),
    Tuple(Vec<Py>),
    /// A set, as protocols from 4 on have it.
    Set(Vec<Py>),
    /// A name, such as an element type.
    Global(&'static str, &'static str),
    /// The result of calling something with any arguments.
    CallWith(&'static str, &'static str, Vec<Py>),
    /// The result of a call, filled with entries: a `defaultdict`.
    Filled(Box<Py>, Vec<(String, Py)>),
    Int(i64),
    Float(f64),
    Text(String),
    Dict(Vec<(String, Py)>),
    /// An `OrderedDict` with an attribute `_metadata`.
    Ordered(Vec<(String, Py)>),
    Tensor(View),
    Parameter(View),
    /// The result of calling something with a text.
    Call(&'static str, &'static str, &'static str),
}

pub(super) fn text(text: &str) -> Py {
    Py::Text(text.into())
}

pub(super) fn dict<const N: usize>(entries: [(&str, Py); N]) -> Py {
    Py::Dict(entries.map(|(key, value)| (key.into(), value)).to_vec())
}

/// A view of a storage, by its number.
#[derive(Clone)]
pub(super) struct View {
    pub(super) storage: usize,
    pub(super) offset: i64,
    pub(super) shape: Vec<i64>,
    pub(super) strides: Vec<i64>,
}

pub(super) fn view(storage: usize, offset: i64, shape: &[i64], strides: &[i64]) -> Py {
    Py::Tensor(View { storage, offset, shape: shape.into(), strides: strides.into() })
}

/// A storage: the name of its class, the number of elements that it claims, and its bytes.
#[derive(Clone)]
pub(super) struct Storage {
    pub(super) class: &'static str,
    pub(super) len: i64,
    pub(super) bytes: Vec<u8>,
}

pub(super) fn floats(numbers: &[f32]) -> Storage {
    let bytes = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    Storage { class: "FloatStorage", len: numbers.len() as i64, bytes }
}

/// The forms of pickles: what Python 2 could read, and what Python 3.8 writes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Protocol {
    Two,
    Four,
}

#[derive(Clone)]
pub(super) struct TorchFile {
    pub(super) root: Py,
    pub(super) storages: Vec<Storage>,
}

impl TorchFile {
    pub(super) fn zip(&self, protocol: Protocol, method: CompressionMethod) -> Vec<u8> {
        self.zip_with(protocol, method, &[("byteorder", b"little")])
    }

    /// Makes the file in a folder of that name: the stem of the file that was saved to.
    pub(super) fn zip_in(&self, folder: &str, protocol: Protocol, method: CompressionMethod) -> Vec<u8> {
        self.zip_of(folder, protocol, method, &[("byteorder", b"little")])
    }

    pub(super) fn zip_with(&self, protocol: Protocol, method: CompressionMethod, more: &[(&str, &[u8])]) -> Vec<u8> {
        self.zip_of("archive", protocol, method, more)
    }

    fn zip_of(&self, folder: &str, protocol: Protocol, method: CompressionMethod, more: &[(&str, &[u8])]) -> Vec<u8> {
        let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
        let mut add = |name: &str, bytes: &[u8]| {
            let options = SimpleFileOptions::default().compression_method(method);
            archive.start_file(format!("{folder}/{name}"), options).unwrap();
            archive.write_all(bytes).unwrap();
        };
        add("data.pkl", &Pickler::for_storages(protocol, &self.storages).program(|pickler| pickler.value(&self.root)));
        more.iter().for_each(|(name, bytes)| add(name, bytes));
        for (number, storage) in self.storages.iter().enumerate() {
            add(&format!("data/{number}"), &storage.bytes);
        }
        add("version", b"3\n");
        archive.finish().unwrap().into_inner()
    }

    pub(super) fn legacy(&self, protocol: Protocol) -> Vec<u8> {
        let pickled = |write: &dyn Fn(&mut Pickler<'_>)| Pickler::for_storages(protocol, &self.storages).program(write);
        let mut file = pickled(&|p| p.bytes.extend(b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"));
        file.extend(pickled(&|p| p.value(&Py::Int(1001))));
        file.extend(pickled(&|p| p.value(&dict([("protocol_version", Py::Int(1001))]))));
        file.extend(pickled(&|p| p.value(&self.root)));
        file.extend(pickled(&|p| {
            p.bytes.extend(b"](");
            (0..self.storages.len()).for_each(|number| p.text(&number.to_string()));
            p.bytes.push(b'e');
        }));
        for storage in &self.storages {
            file.extend(storage.len.to_le_bytes());
            file.extend(&storage.bytes);
        }
        file
    }

    /// Writes the file in every form.
    pub(super) fn forms(&self) -> Vec<(&'static str, Vec<u8>)> {
        use CompressionMethod::{Deflated, Stored};
        vec![
            ("zip, protocol 2", self.zip(Protocol::Two, Stored)),
            ("zip, protocol 4", self.zip(Protocol::Four, Stored)),
            ("deflated zip", self.zip(Protocol::Two, Deflated)),
            ("legacy, protocol 2", self.legacy(Protocol::Two)),
            ("legacy, protocol 4", self.legacy(Protocol::Four)),
        ]
    }
}

/// Adds the records for large archives in front of the record at the end, which PyTorch writes into every file.
pub(super) fn with_large_records(mut archive: Vec<u8>) -> Vec<u8> {
    let end = archive.split_off(archive.len() - 22);
    let large_end = archive.len() as u64;
    let (count, len, start) = (&end[10..12], &end[12..16], &end[16..20]);
    archive.extend(b"PK\x06\x06\x2c\0\0\0\0\0\0\0\x1e\x03\x2d\0\0\0\0\0\0\0\0\0");
    for _ in 0..2 {
        archive.extend([count, &[0; 6]].concat());
    }
    for number in [len, start] {
        archive.extend([number, &[0; 4]].concat());
    }
    archive.extend(b"PK\x06\x07\0\0\0\0");
    archive.extend(large_end.to_le_bytes());
    archive.extend([1, 0, 0, 0]);
    [archive, end].concat()
}

struct Pickler<'a> {
    protocol: Protocol,
    storages: &'a [Storage],
    bytes: Vec<u8>,
    memo: u8,
}

impl Pickler<'_> {
    fn for_storages(protocol: Protocol, storages: &[Storage]) -> Pickler<'_> {
        Pickler { protocol, storages, bytes: Vec::new(), memo: 0 }
    }

    fn program(mut self, write: impl FnOnce(&mut Self)) -> Vec<u8> {
        write(&mut self);
        self.bytes.push(b'.');
        let head = match self.protocol {
            Protocol::Two => vec![0x80, 2],
            Protocol::Four => [&[0x80, 4, 0x95][..], &(self.bytes.len() as u64).to_le_bytes()].concat(),
        };
        [head, self.bytes].concat()
    }

    /// Remembers what is on top, as Python does at every turn.
    fn remember(&mut self) {
        match self.protocol {
            Protocol::Two if self.memo < u8::MAX => {
                self.bytes.extend([b'q', self.memo]);
                self.memo += 1;
            }
            Protocol::Two => self.bytes.extend(b"r\x00\x01\x00\x00"),
            Protocol::Four => self.bytes.push(0x94),
        }
    }

    fn text(&mut self, text: &str) {
        match self.protocol {
            Protocol::Two => {
                self.bytes.push(b'X');
                self.bytes.extend((text.len() as u32).to_le_bytes());
            }
            Protocol::Four => self.bytes.extend([0x8c, text.len() as u8]),
        }
        self.bytes.extend(text.as_bytes());
        self.remember();
    }

    fn global(&mut self, module: &str, name: &str) {
        match self.protocol {
            Protocol::Two => self.bytes.extend(format!("c{module}\n{name}\n").as_bytes()),
            Protocol::Four => {
                self.text(module);
                self.text(name);
                self.bytes.push(0x93);
            }
        }
        self.remember();
    }

    fn int(&mut self, number: i64) {
        match number {
            0..=255 => self.bytes.extend([b'K', number as u8]),
            256..=65_535 => {
                self.bytes.push(b'M');
                self.bytes.extend((number as u16).to_le_bytes());
            }
            _ => match i32::try_from(number) {
                Ok(number) => {
                    self.bytes.push(b'J');
                    self.bytes.extend(number.to_le_bytes());
                }
                Err(_) => {
                    self.bytes.extend([0x8a, 8]);
                    self.bytes.extend(number.to_le_bytes());
                }
            },
        }
    }

    fn sizes(&mut self, sizes: &[i64]) {
        if sizes.is_empty() {
            self.bytes.push(b')');
            return;
        }
        let short = (1..=3).contains(&sizes.len());
        if !short {
            self.bytes.push(b'(');
        }
        sizes.iter().for_each(|&size| self.int(size));
        self.bytes.push(if short { 0x84 + sizes.len() as u8 } else { b't' });
        self.remember();
    }

    fn empty_ordered_dict(&mut self) {
        self.global("collections", "OrderedDict");
        self.bytes.extend(b")R");
        self.remember();
    }

    fn entries(&mut self, entries: &[(String, Py)]) {
        self.bytes.push(b'(');
        for (key, value) in entries {
            self.text(key);
            self.value(value);
        }
        self.bytes.push(b'u');
    }

    fn tensor(&mut self, view: &View) {
        let Storage { class, len, .. } = self.storages[view.storage];
        self.global("torch._utils", "_rebuild_tensor_v2");
        self.bytes.extend(b"((");
        self.text("storage");
        self.global("torch", class);
        self.text(&view.storage.to_string());
        self.text("cpu");
        self.int(len);
        self.bytes.extend(b"tQ");
        self.int(view.offset);
        self.sizes(&view.shape);
        self.sizes(&view.strides);
        self.bytes.push(0x89);
        self.empty_ordered_dict();
        self.bytes.extend(b"tR");
        self.remember();
    }

    fn tuple(&mut self, items: &[Py]) {
        self.bytes.push(b'(');
        items.iter().for_each(|item| self.value(item));
        self.bytes.push(b't');
        self.remember();
    }

    fn value(&mut self, value: &Py) {
        match value {
            Py::None => self.bytes.push(b'N'),
            Py::Bool(value) => self.bytes.push(if *value { 0x88 } else { 0x89 }),
            Py::Bytes(bytes) => {
                self.bytes.extend([b'C', bytes.len() as u8]);
                self.bytes.extend(*bytes);
                self.remember();
            }
            Py::List(items) => {
                self.bytes.push(b']');
                self.remember();
                self.bytes.push(b'(');
                items.iter().for_each(|item| self.value(item));
                self.bytes.push(b'e');
            }
            Py::Tuple(items) => self.tuple(items),
            Py::Set(items) => {
                self.bytes.push(0x8f);
                self.remember();
                self.bytes.push(b'(');
                items.iter().for_each(|item| self.value(item));
                self.bytes.push(0x90);
            }
            Py::Global(module, name) => self.global(module, name),
            Py::CallWith(module, name, arguments) => {
                self.global(module, name);
                self.tuple(arguments);
                self.bytes.push(b'R');
                self.remember();
            }
            Py::Filled(made, entries) => {
                self.value(made);
                self.entries(entries);
            }
            Py::Int(number) => self.int(*number),
            Py::Float(number) => {
                self.bytes.push(b'G');
                self.bytes.extend(number.to_be_bytes());
            }
            Py::Text(text) => self.text(text),
            Py::Dict(entries) => {
                self.bytes.push(b'}');
                self.remember();
                self.entries(entries);
            }
            Py::Ordered(entries) => {
                self.empty_ordered_dict();
                self.entries(entries);
                self.bytes.push(b'}');
                self.text("_metadata");
                self.empty_ordered_dict();
                self.bytes.extend(b"sb");
            }
            Py::Tensor(view) => self.tensor(view),
            Py::Parameter(view) => {
                self.global("torch._utils", "_rebuild_parameter");
                self.bytes.push(b'(');
                self.tensor(view);
                self.bytes.push(0x88);
                self.empty_ordered_dict();
                self.bytes.extend(b"tR");
                self.remember();
            }
            Py::Call(module, name, argument) => {
                self.global(module, name);
                self.text(argument);
                self.bytes.extend([0x85, b'R']);
            }
        }
    }
}
