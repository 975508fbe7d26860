//! The pickle machine: operations of protocols 2 to 5.

use super::{
    calls::find,
    chunks::Chunks,
    names::Known,
    value::{Object, ObjectId, Pickle, PickleValue},
};
use crate::weights::budget::{Budget, Exhausted};
use std::{
    io::{self, Read},
    mem,
};

/// Longest name, and longest key of a storage, in bytes; a key is looked up for each tensor.
pub(super) const MAX_NAME: usize = 256;

/// The reason why a pickle was not read.
#[derive(Debug)]
pub(crate) enum PickleError {
    /// The reader failed.
    Io(io::Error),
    /// A name that no state dict needs was found.
    Refused(String),
    /// The bytes are not a pickle, or not a complete one.
    Broken(String),
}

pub(super) type Result<T> = std::result::Result<T, PickleError>;

pub(super) fn broken<T>(reason: impl Into<String>) -> Result<T> {
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

impl From<Exhausted> for PickleError {
    fn from(exhausted: Exhausted) -> PickleError {
        PickleError::Broken(exhausted.to_string())
    }
}

impl From<String> for PickleError {
    fn from(reason: String) -> PickleError {
        PickleError::Broken(reason)
    }
}

/// Runs one pickle of at most `limit` bytes and leaves the reader behind it.
pub(crate) fn unpickle(reader: &mut impl Read, limit: u64, budget: &mut Budget) -> Result<Pickle> {
    let mut machine = Machine {
        reader: reader.take(limit),
        budget,
        operations: 0,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: Chunks::new(),
        objects: Chunks::new(),
    };
    while machine.step()? != After::Stop {}
    let root = machine.pop()?;
    let Machine { budget, stack, marks, memo, objects, .. } = machine;
    budget.release(stack);
    budget.release(marks);
    memo.release(budget);
    Ok(Pickle { root, objects })
}

#[derive(PartialEq)]
enum After {
    Next,
    Stop,
}

/// The state of a pickle machine. Each operation takes time in proportion to the bytes that it reads and the memory
/// that it takes or gives back.
pub(super) struct Machine<'a, R> {
    reader: io::Take<R>,
    pub(super) budget: &'a mut Budget,
    operations: usize,
    stack: Vec<PickleValue>,
    /// Heights of the stack at which marks lie.
    marks: Vec<usize>,
    /// Values by number; [`UNSET`] where there is none.
    memo: Chunks<PickleValue>,
    pub(super) objects: Chunks<Object>,
}

/// The value of an empty entry of the memo: one that otherwise occurs only in lists.
const UNSET: PickleValue = PickleValue::Skipped(0);

impl<R: Read> Machine<'_, R> {
    fn step(&mut self) -> Result<After> {
        self.operations += 1;
        let operation = self.number::<1>()?[0];
        match operation {
            // The protocol number, and frames, whose length is only a hint for buffered readers.
            0x80 => self.protocol()?,
            0x95 => drop(self.number::<8>()?),
            b'.' => return Ok(After::Stop),

            b'(' => self.budget.push(&mut self.marks, self.stack.len())?,
            b'0' => drop(self.pop()?),
            b'1' => {
                let mark = self.pop_mark()?;
                self.stack.truncate(mark);
            }
            b'2' => {
                let value = self.top()?;
                self.push(value)?;
            }

            b'N' => self.push(PickleValue::None)?,
            0x88 => self.push(PickleValue::Bool(true))?,
            0x89 => self.push(PickleValue::Bool(false))?,
            b'K' => self.integer::<1>()?,
            b'M' => self.integer::<2>()?,
            b'J' => {
                let number = i32::from_le_bytes(self.number()?);
                self.push(PickleValue::Int(number.into()))?;
            }
            0x8a => self.long_integer::<1>()?,
            0x8b => self.long_integer::<4>()?,
            b'G' => {
                let number = f64::from_be_bytes(self.number()?);
                self.push(PickleValue::Float(number))?;
            }

            // Text; the strings of Python 2 are read as text too.
            0x8c | b'U' => self.text::<1>()?,
            b'X' | b'T' => self.text::<4>()?,
            0x8d => self.text::<8>()?,
            b'C' => self.bytes::<1>()?,
            b'B' => self.bytes::<4>()?,
            0x8e | 0x96 => self.bytes::<8>()?,

            b')' => self.make(Object::Tuple(Box::default()))?,
            0x85..=0x87 => {
                let height = self.height_without(usize::from(operation - 0x84))?;
                self.tuple(height)?;
            }
            b't' => {
                let mark = self.pop_mark()?;
                self.tuple(mark)?;
            }
            b']' => self.make(Object::List(Vec::new()))?,
            b'l' => self.collection(Object::List(Vec::new()))?,
            b'a' => {
                let height = self.height_without(1)?;
                self.fill(height)?;
            }
            b'e' | b'u' | 0x90 => {
                let mark = self.pop_mark()?;
                self.fill(mark)?;
            }
            b'}' => self.make(Object::Dict(Vec::new()))?,
            b'd' => self.collection(Object::Dict(Vec::new()))?,
            b's' => {
                let height = self.height_without(2)?;
                self.fill(height)?;
            }
            0x8f => self.push(PickleValue::Plain)?,
            0x91 => {
                let mark = self.pop_mark()?;
                self.stack.truncate(mark);
                self.push(PickleValue::Plain)?;
            }

            b'q' => self.remember_at::<1>()?,
            b'r' => self.remember_at::<4>()?,
            0x94 => self.remember(self.memo.len())?,
            b'h' => self.recall::<1>()?,
            b'j' => self.recall::<4>()?,

            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(&module, &name)?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let known = find(self.as_text(module)?, self.as_text(name)?)?;
                self.push_known(known)?;
            }
            b'R' | 0x81 => {
                let (arguments, callee) = (self.pop()?, self.pop()?);
                self.call(callee, arguments)?;
            }
            0x92 => {
                let (_named, arguments, callee) = (self.pop()?, self.pop()?, self.pop()?);
                self.call(callee, arguments)?;
            }
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

    /// Reads an unsigned number of `B` bytes.
    fn unsigned<const B: usize>(&mut self) -> Result<u64> {
        Ok(self.number::<B>()?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// Reads `len` bytes; takes no memory for them if the file has fewer.
    fn block(&mut self, len: u64) -> Result<Vec<u8>> {
        if len > self.reader.limit() {
            return broken("it ends inside its pickle");
        }
        self.budget.take_block(len)?;
        let mut block = vec![0; len as usize];
        self.reader.read_exact(&mut block)?;
        Ok(block)
    }

    pub(super) fn push(&mut self, value: PickleValue) -> Result<()> {
        Ok(self.budget.push(&mut self.stack, value)?)
    }

    /// Puts a new object on the stack.
    pub(super) fn make(&mut self, object: Object) -> Result<()> {
        let id = self.objects.len();
        self.objects.push(object, self.budget)?;
        self.push(PickleValue::Object(id))
    }

    /// Returns the height of the stack without its last `count` values.
    fn height_without(&self, count: usize) -> Result<usize> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.len().checked_sub(count) {
            Some(height) if height >= floor => Ok(height),
            _ => broken("its pickle takes more from the stack than there is"),
        }
    }

    pub(super) fn top(&self) -> Result<PickleValue> {
        Ok(self.stack[self.height_without(1)?])
    }

    pub(super) fn pop(&mut self) -> Result<PickleValue> {
        let value = self.top()?;
        self.stack.pop();
        Ok(value)
    }

    /// Removes the last mark and returns its height, where its values begin.
    fn pop_mark(&mut self) -> Result<usize> {
        match self.marks.pop() {
            Some(mark) if mark <= self.stack.len() => Ok(mark),
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
        self.push(PickleValue::Int(number as i64))
    }

    fn long_integer<const B: usize>(&mut self) -> Result<()> {
        let len = self.unsigned::<B>()?;
        let bytes = self.block(len)?;
        if bytes.len() > 8 {
            return self.make(Object::LongInt(bytes.into()));
        }
        let sign = if bytes.last().is_some_and(|byte| byte & 0x80 != 0) { -1 } else { 0 };
        let number = bytes.iter().rev().fold(sign, |number: i64, byte| number << 8 | i64::from(*byte));
        self.budget.release_block(len);
        self.push(PickleValue::Int(number))
    }

    fn text<const B: usize>(&mut self) -> Result<()> {
        let len = self.unsigned::<B>()?;
        let text = match String::from_utf8(self.block(len)?) {
            Ok(text) => text,
            Err(error) => {
                // Each byte that is not valid text may become three.
                self.budget.take_block(len.saturating_mul(3))?;
                String::from_utf8_lossy(error.as_bytes()).into_owned()
            }
        };
        self.make(Object::Text(text.into()))
    }

    /// Skips bytes, which nothing needs.
    fn bytes<const B: usize>(&mut self) -> Result<()> {
        let len = self.unsigned::<B>()?;
        if io::copy(&mut (&mut self.reader).take(len), &mut io::sink())? != len {
            return broken("it ends inside its pickle");
        }
        self.push(PickleValue::Plain)
    }

    /// Makes a tuple of the values from `height` on.
    fn tuple(&mut self, height: usize) -> Result<()> {
        let items = self.budget.collect(self.stack.drain(height..))?;
        self.make(Object::Tuple(items))
    }

    /// Fills `empty` with the values behind the last mark.
    fn collection(&mut self, empty: Object) -> Result<()> {
        let (mark, id) = (self.pop_mark()?, self.objects.len());
        self.objects.push(empty, self.budget)?;
        self.fill_object(id, mark)?;
        self.push(PickleValue::Object(id))
    }

    /// Moves the values from `height` on into the value below them: a list, a dict, or something that is not needed.
    fn fill(&mut self, height: usize) -> Result<()> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match height.checked_sub(1).filter(|place| *place >= floor).map(|place| self.stack[place]) {
            Some(PickleValue::Object(id)) => self.fill_object(id, height),
            Some(PickleValue::Plain) => {
                self.stack.truncate(height);
                Ok(())
            }
            Some(_) => broken("its pickle puts something into what is neither a list nor a dict"),
            None => broken("its pickle takes more from the stack than there is"),
        }
    }

    fn fill_object(&mut self, id: ObjectId, height: usize) -> Result<()> {
        let Machine { objects, budget, stack, .. } = self;
        match &mut objects[id] {
            Object::List(list) => {
                for item in stack.drain(height..) {
                    match (item, list.last_mut()) {
                        (PickleValue::Object(_) | PickleValue::Unreadable(_), _) => budget.push(list, item)?,
                        (_, Some(PickleValue::Skipped(count))) => *count += 1,
                        _ => budget.push(list, PickleValue::Skipped(1))?,
                    }
                }
            }
            Object::Dict(dict) => {
                let (pairs, rest) = stack[height..].as_chunks::<2>();
                if !rest.is_empty() {
                    return broken("its pickle has a key without a value");
                }
                for &[key, value] in pairs {
                    budget.push(dict, (key, value))?;
                }
                stack.truncate(height);
            }
            _ => return broken("its pickle puts something into what is neither a list nor a dict"),
        }
        Ok(())
    }

    fn remember_at<const B: usize>(&mut self) -> Result<()> {
        let index = self.unsigned::<B>()? as usize;
        self.remember(index)
    }

    fn remember(&mut self, index: usize) -> Result<()> {
        let value = self.top()?;
        // Writers number entries in sequence; a gap beyond the operations so far would waste memory.
        if index > self.operations {
            return broken(format!("its pickle puts a value at entry {index} of the memo, far beyond the others"));
        }
        while index >= self.memo.len() {
            self.memo.push(UNSET, self.budget)?;
        }
        self.memo[index] = value;
        Ok(())
    }

    fn recall<const B: usize>(&mut self) -> Result<()> {
        let index = self.unsigned::<B>()? as usize;
        match self.memo.get(index) {
            Some(&value) if value != UNSET => self.push(value),
            _ => broken(format!("its pickle asks for entry {index} of the memo, which is empty")),
        }
    }

    /// Reads text up to a line feed.
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
        let known = find(module, name)?;
        self.push_known(known)
    }

    fn push_known(&mut self, known: Known) -> Result<()> {
        self.push(match known {
            Known::Global(global) => PickleValue::Global(global),
            Known::Plain => PickleValue::Plain,
        })
    }

    pub(super) fn as_text(&self, value: PickleValue) -> Result<&str> {
        match value {
            PickleValue::Object(id) => match &self.objects[id] {
                Object::Text(text) => Ok(text),
                _ => broken("its pickle has something else where a text belongs"),
            },
            _ => broken("its pickle has something else where a text belongs"),
        }
    }

    pub(super) fn as_tuple(&self, value: PickleValue) -> Result<&[PickleValue]> {
        match value {
            PickleValue::Object(id) => match &self.objects[id] {
                Object::Tuple(items) => Ok(items),
                _ => broken("its pickle has something else where a tuple belongs"),
            },
            _ => broken("its pickle has something else where a tuple belongs"),
        }
    }

    /// Empties a tuple of arguments. Writers make one for each call and never refer to it again, but keep it in the
    /// memo.
    pub(super) fn use_up(&mut self, arguments: PickleValue) {
        if let PickleValue::Object(id) = arguments
            && let Object::Tuple(items) = &mut self.objects[id]
        {
            let items = mem::take(items);
            self.budget.release_slice(&items);
        }
    }
}
