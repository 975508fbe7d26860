//! The values that a pickle of a state dict builds.

use super::{chunks::Chunks, names::Global};
use crate::weights::DType;

/// The index of an object in its pickle.
pub(crate) type ObjectId = usize;

/// Maximum number of axes of a tensor.
pub(crate) const MAX_RANK: usize = 16;

/// A value on the stack, in the memo or in an object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum PickleValue {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Global(Global),
    /// Data other than weights: a set, bytes, a device, an element type.
    Plain,
    /// This many consecutive values of a list that are not objects and are not needed.
    Skipped(usize),
    /// A tensor, or the storage of one, whose elements cannot be read, with the name of its class.
    Unreadable(Global),
    Object(ObjectId),
}

/// A value with parts, or too large for a [`PickleValue`]. Parts are referred to by index, so that each is held once.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Object {
    Text(Box<str>),
    /// An integer of more than 64 bits: two's complement, lowest byte first.
    LongInt(Box<[u8]>),
    Tuple(Box<[PickleValue]>),
    /// A list of items; numbers are [`PickleValue::Skipped`].
    List(Vec<PickleValue>),
    /// A dict of entries in the order in which they were set; the last one of equal keys counts.
    Dict(Vec<(PickleValue, PickleValue)>),
    Storage(Box<StorageRef>),
    Tensor(Box<TensorRef>),
}

/// A block of elements outside the pickle.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StorageRef {
    /// The key, a text.
    pub(crate) key: ObjectId,
    pub(crate) dtype: DType,
    /// Number of elements in the whole block.
    pub(crate) len: usize,
    /// Index of the first element in this reference (views of files before torch 0.4).
    pub(crate) first: usize,
}

/// A view of a storage.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TensorRef {
    pub(crate) storage: ObjectId,
    /// Index of the first element.
    pub(crate) offset: usize,
    /// The sizes, a tuple.
    pub(crate) shape: PickleValue,
    /// The strides, a tuple.
    pub(crate) strides: PickleValue,
}

/// The result of a pickle and all objects that it built.
#[derive(Debug)]
pub(crate) struct Pickle {
    pub(crate) root: PickleValue,
    pub(crate) objects: Chunks<Object>,
}

impl Pickle {
    pub(crate) fn object(&self, value: PickleValue) -> Option<&Object> {
        match value {
            PickleValue::Object(id) => self.objects.get(id),
            _ => None,
        }
    }

    pub(crate) fn text(&self, value: PickleValue) -> Option<&str> {
        match self.object(value) {
            Some(Object::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Returns the storage that a tensor is a view of, and its key.
    pub(crate) fn storage(&self, tensor: &TensorRef) -> Result<(&str, &StorageRef), String> {
        match self.objects.get(tensor.storage) {
            Some(Object::Storage(storage)) => match self.text(PickleValue::Object(storage.key)) {
                Some(key) => Ok((key, storage)),
                None => Err("the key of its storage is no text".into()),
            },
            _ => Err("it has no storage".into()),
        }
    }

    /// Returns the number of axes of a tensor.
    pub(crate) fn rank(&self, tensor: &TensorRef) -> usize {
        match self.object(tensor.shape) {
            Some(Object::Tuple(sizes)) => sizes.len(),
            _ => 0,
        }
    }

    /// Returns the sizes or strides of a tensor.
    pub(crate) fn sizes(&self, tuple: PickleValue) -> Result<Vec<usize>, String> {
        let Some(Object::Tuple(items)) = self.object(tuple) else {
            return Err("its pickle has something else where a tuple belongs".into());
        };
        if items.len() > MAX_RANK {
            return Err(format!("it holds a tensor of {} axes, at most {MAX_RANK} are known", items.len()));
        }
        items.iter().map(|item| as_size(*item)).collect()
    }
}

/// Converts a value to a size, an offset or a stride.
pub(super) fn as_size(value: PickleValue) -> Result<usize, String> {
    match value {
        PickleValue::Int(number) => usize::try_from(number).map_err(|_| format!("its pickle has the size {number}")),
        _ => Err("its pickle has something else where a size belongs".into()),
    }
}
