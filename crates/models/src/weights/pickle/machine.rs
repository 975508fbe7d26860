//! The machine: operations of pickle protocols 2 to 5.

use super::value::{Global, Object, Pickle, StorageRef, TensorRef, Value};
use std::{
    collections::HashMap,
    io::{self, Read},
};

/// Operations after which a pickle is refused. A state dict has some fifty for each tensor.
const MAX_OPERATIONS: usize = 1 << 22;
/// Bytes after which a name or a key of a storage is refused: each tensor has a copy of its key.
const MAX_NAME: usize = 256;
/// Axes after which a tensor is refused.
const MAX_RANK: usize = 16;

/// Why a pickle was not read.
#[derive(Debug)]
pub(crate) enum PickleError {
    /// The reader failed.
    Io(io::Error),
    /// A name that no state dict needs.
    Refused(String),
    /// Not a pickle, or not a whole one.
    Broken(String),
}

type Result<T> = std::result::Result<T, PickleError>;

fn broken<T>(reason: impl Into<String>) -> Result<T> {
    Err(PickleError::Broken(reason.into()))
}

impl From<io::Error> for PickleError {
    fn from(error: io::Error) -> PickleError {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => PickleError::Broken("it ends inside its pickle".into()),
            _ => PickleError::Io(error),
        }
    }
}

/// Runs one pickle of at most `limit` bytes; the reader is then behind it.
pub(crate) fn unpickle(reader: &mut impl Read, limit: u64) -> Result<Pickle> {
    let mut machine = Machine {
        reader: reader.take(limit),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        objects: Vec::new(),
    };
    for _ in 0..MAX_OPERATIONS {
        if machine.step()? == After::Stop {
            let root = machine.pop()?;
            return Ok(Pickle { root, objects: machine.objects });
        }
    }
    broken(format!("its pickle has more than {MAX_OPERATIONS} operations"))
}

#[derive(PartialEq)]
enum After {
    Next,
    Stop,
}

struct Machine<R> {
    reader: io::Take<R>,
    stack: Vec<Value>,
    /// Heights of the stack at which a mark lies.
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
    objects: Vec<Object>,
}

impl<R: Read> Machine<R> {
    fn step(&mut self) -> Result<After> {
        let operation = self.number::<1>()?[0];
        match operation {
            // Protocol, and frames, whose length only helps a reader that wants it.
            0x80 => self.protocol()?,
            0x95 => drop(self.number::<8>()?),
            b'.' => return Ok(After::Stop),

            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.pop_to_mark()?),
            b'2' => self.stack.push(self.top()?),

            b'N' => self.stack.push(Value::None),
            0x88 => self.stack.push(Value::Bool(true)),
            0x89 => self.stack.push(Value::Bool(false)),
            b'K' => self.integer::<1>()?,
            b'M' => self.integer::<2>()?,
            b'J' => {
                let number = i32::from_le_bytes(self.number()?);
                self.stack.push(Value::Int(number.into()));
            }
            0x8a => self.long::<1>()?,
            0x8b => self.long::<4>()?,
            b'G' => {
                let number = f64::from_be_bytes(self.number()?);
                self.stack.push(Value::Float(number));
            }

            // Text. The strings of Python 2 are taken for text too.
            0x8c | b'U' => self.text::<1>()?,
            b'X' | b'T' => self.text::<4>()?,
            0x8d => self.text::<8>()?,
            b'C' => self.bytes::<1>()?,
            b'B' => self.bytes::<4>()?,
            0x8e => self.bytes::<8>()?,

            b')' => self.push(Object::Tuple(Vec::new())),
            0x85..=0x87 => self.short_tuple(usize::from(operation - 0x84))?,
            b't' => {
                let items = self.pop_to_mark()?;
                self.push(Object::Tuple(items));
            }
            b']' => self.push(Object::List(Vec::new())),
            b'l' => {
                let items = self.pop_to_mark()?;
                self.push(Object::List(items));
            }
            b'a' => {
                let item = self.pop()?;
                self.top_list()?.push(item);
            }
            b'e' => {
                let items = self.pop_to_mark()?;
                self.top_list()?.extend(items);
            }
            b'}' => self.push(Object::Dict(Vec::new())),
            b'd' => {
                let entries = entries(self.pop_to_mark()?)?;
                self.push(Object::Dict(entries));
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.top_dict()?.push((key, value));
            }
            b'u' => {
                let entries = entries(self.pop_to_mark()?)?;
                self.top_dict()?.extend(entries);
            }

            b'q' => self.remember::<1>()?,
            b'r' => self.remember::<4>()?,
            0x94 => {
                let (index, value) = (self.memo.len() as u32, self.top()?);
                self.memo.insert(index, value);
            }
            b'h' => self.recall::<1>()?,
            b'j' => self.recall::<4>()?,

            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(&module, &name)?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (module, name) = (self.as_text(module)?.to_string(), self.as_text(name)?.to_string());
                self.global(&module, &name)?;
            }
            b'R' | 0x81 => self.call()?,
            b'b' => self.attributes()?,
            b'Q' => self.storage()?,
            other => return broken(format!("operation {other:#04x} of its pickle is none that state dicts use")),
        }
        Ok(After::Next)
    }

    fn number<const B: usize>(&mut self) -> Result<[u8; B]> {
        let mut bytes = [0; B];
        self.reader.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// An unsigned number of `B` bytes.
    fn unsigned<const B: usize>(&mut self) -> Result<u64> {
        Ok(self.number::<B>()?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// Bytes as many as the file says; memory grows with what is there.
    fn block(&mut self, len: u64) -> Result<Vec<u8>> {
        let mut block = Vec::new();
        if len > self.reader.limit() || (&mut self.reader).take(len).read_to_end(&mut block)? as u64 != len {
            return broken("it ends inside its pickle");
        }
        Ok(block)
    }

    fn push(&mut self, object: Object) {
        self.stack.push(Value::Object(self.objects.len()));
        self.objects.push(object);
    }

    fn top(&self) -> Result<Value> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.last() {
            Some(value) if self.stack.len() > floor => Ok(*value),
            _ => broken("its pickle takes more from the stack than there is"),
        }
    }

    fn pop(&mut self) -> Result<Value> {
        let value = self.top()?;
        self.stack.pop();
        Ok(value)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value>> {
        match self.marks.pop() {
            Some(mark) if mark <= self.stack.len() => Ok(self.stack.split_off(mark)),
            _ => broken("its pickle wants a mark that is not there"),
        }
    }

    fn protocol(&mut self) -> Result<()> {
        match self.number::<1>()?[0] {
            2..=5 => Ok(()),
            other => broken(format!("its pickle has protocol {other}, known are 2 to 5")),
        }
    }

    fn integer<const B: usize>(&mut self) -> Result<()> {
        let number = self.unsigned::<B>()?;
        self.stack.push(Value::Int(number as i64));
        Ok(())
    }

    fn long<const B: usize>(&mut self) -> Result<()> {
        let len = self.unsigned::<B>()?;
        let bytes = self.block(len)?;
        if bytes.len() > 8 {
            self.push(Object::Bytes(bytes));
            return Ok(());
        }
        let sign = if bytes.last().is_some_and(|byte| byte & 0x80 != 0) { -1 } else { 0 };
        let number = bytes.iter().rev().fold(sign, |number: i64, byte| number << 8 | i64::from(*byte));
        self.stack.push(Value::Int(number));
        Ok(())
    }

    fn text<const B: usize>(&mut self) -> Result<()> {
        let len = self.unsigned::<B>()?;
        let text = String::from_utf8_lossy(&self.block(len)?).into_owned();
        self.push(Object::Text(text));
        Ok(())
    }

    fn bytes<const B: usize>(&mut self) -> Result<()> {
        let len = self.unsigned::<B>()?;
        let bytes = self.block(len)?;
        self.push(Object::Bytes(bytes));
        Ok(())
    }

    fn short_tuple(&mut self, len: usize) -> Result<()> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() < floor + len {
            return broken("its pickle takes more from the stack than there is");
        }
        let items = self.stack.split_off(self.stack.len() - len);
        self.push(Object::Tuple(items));
        Ok(())
    }

    fn top_list(&mut self) -> Result<&mut Vec<Value>> {
        if let Value::Object(id) = self.top()?
            && let Object::List(list) = &mut self.objects[id]
        {
            return Ok(list);
        }
        broken("its pickle appends to what is no list")
    }

    fn top_dict(&mut self) -> Result<&mut Vec<(Value, Value)>> {
        if let Value::Object(id) = self.top()?
            && let Object::Dict(dict) = &mut self.objects[id]
        {
            return Ok(dict);
        }
        broken("its pickle sets an entry of what is no dict")
    }

    fn remember<const B: usize>(&mut self) -> Result<()> {
        let (index, value) = (self.unsigned::<B>()? as u32, self.top()?);
        self.memo.insert(index, value);
        Ok(())
    }

    fn recall<const B: usize>(&mut self) -> Result<()> {
        let index = self.unsigned::<B>()? as u32;
        match self.memo.get(&index) {
            Some(value) => self.stack.push(*value),
            None => return broken(format!("its pickle asks for entry {index} of the memo, which is empty")),
        }
        Ok(())
    }

    /// Text up to a line feed.
    fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        loop {
            match self.number::<1>()?[0] {
                b'\n' => return Ok(String::from_utf8_lossy(&line).into_owned()),
                _ if line.len() == MAX_NAME => {
                    return broken(format!("a name in its pickle has more than {MAX_NAME} bytes"));
                }
                byte => line.push(byte),
            }
        }
    }

    fn global(&mut self, module: &str, name: &str) -> Result<()> {
        match Global::find(module, name) {
            Some(global) => self.stack.push(Value::Global(global)),
            None => {
                /// Enough to recognise a name.
                const SHOWN: usize = 200;
                let full = format!("{module}.{name}");
                return Err(PickleError::Refused(full.escape_debug().take(SHOWN).collect()));
            }
        }
        Ok(())
    }

    fn as_text(&self, value: Value) -> Result<&str> {
        match value {
            Value::Object(id) => match &self.objects[id] {
                Object::Text(text) => Ok(text),
                _ => broken("its pickle has something else where a text belongs"),
            },
            _ => broken("its pickle has something else where a text belongs"),
        }
    }

    fn as_tuple(&self, value: Value) -> Result<&[Value]> {
        match value {
            Value::Object(id) => match &self.objects[id] {
                Object::Tuple(items) => Ok(items),
                _ => broken("its pickle has something else where a tuple belongs"),
            },
            _ => broken("its pickle has something else where a tuple belongs"),
        }
    }

    /// Sizes and strides.
    fn as_sizes(&self, value: Value) -> Result<Vec<usize>> {
        let items = self.as_tuple(value)?;
        if items.len() > MAX_RANK {
            return broken(format!("it holds a tensor of {} axes, at most {MAX_RANK} are known", items.len()));
        }
        items.iter().map(|item| as_size(*item)).collect()
    }

    /// Stands for a call of one of the known globals.
    fn call(&mut self) -> Result<()> {
        let (arguments, callee) = (self.pop()?, self.pop()?);
        let arguments = self.as_tuple(arguments)?;
        let object = match (callee, arguments) {
            (Value::Global(Global::OrderedDict), []) => Object::Dict(Vec::new()),
            (Value::Global(Global::RebuildTensor), &[Value::Object(storage), offset, shape, strides, ..]) => {
                let Object::Storage(storage) = &self.objects[storage] else {
                    return broken("its pickle has a tensor without a storage");
                };
                let (offset, shape, strides) = (as_size(offset)?, self.as_sizes(shape)?, self.as_sizes(strides)?);
                let storage = (**storage).clone();
                Object::Tensor(Box::new(TensorRef { storage, offset, shape, strides }))
            }
            (Value::Global(Global::RebuildParameter), &[tensor, ..]) => {
                self.stack.push(tensor);
                return Ok(());
            }
            _ => return broken("its pickle calls something with arguments that state dicts do not use"),
        };
        self.push(object);
        Ok(())
    }

    /// Attributes of a dict, such as the version numbers in `_metadata`, are not needed.
    fn attributes(&mut self) -> Result<()> {
        self.pop()?;
        self.top_dict().map(drop)
    }

    /// A persistent id: `("storage", torch.FloatStorage, key, device, length)`, in old files with a view as sixth entry.
    fn storage(&mut self) -> Result<()> {
        let id = self.pop()?;
        let storage = match *self.as_tuple(id)? {
            [kind, Value::Global(Global::Storage(dtype)), key, _device, len, ref view @ ..]
                if self.as_text(kind)? == "storage" =>
            {
                let first = match *view {
                    [] | [Value::None] => 0,
                    [view] => match *self.as_tuple(view)? {
                        [_key, first, _len] => as_size(first)?,
                        _ => return broken("its pickle has a view of a storage that is not known"),
                    },
                    _ => return broken("its pickle has a reference of too many parts"),
                };
                let key = self.as_text(key)?;
                if key.len() > MAX_NAME {
                    return broken(format!("the key of a storage has more than {MAX_NAME} bytes"));
                }
                StorageRef { key: key.to_string(), dtype, len: as_size(len)?, first }
            }
            _ => return broken("its pickle refers to something that is no storage"),
        };
        self.push(Object::Storage(Box::new(storage)));
        Ok(())
    }
}

fn as_size(value: Value) -> Result<usize> {
    match value {
        Value::Int(number) => match usize::try_from(number) {
            Ok(size) => Ok(size),
            Err(_) => broken(format!("its pickle has the size {number}")),
        },
        _ => broken("its pickle has something else where a size belongs"),
    }
}

fn entries(items: Vec<Value>) -> Result<Vec<(Value, Value)>> {
    match items.as_chunks::<2>() {
        (pairs, []) => Ok(pairs.iter().map(|&[key, value]| (key, value)).collect()),
        _ => broken("its pickle has a key without a value"),
    }
}
