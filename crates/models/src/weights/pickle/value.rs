//! What a pickle of a state dict builds.

use crate::weights::DType;

/// The number of an object in its pickle.
pub(crate) type ObjectId = usize;

/// A value on the stack, in the memo or in an object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Global(Global),
    Object(ObjectId),
}

/// The names that state dicts use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Global {
    /// `collections.OrderedDict`
    OrderedDict,
    /// `torch._utils._rebuild_tensor` and `_rebuild_tensor_v2`: storage, offset, sizes, strides, then what only training
    /// needs.
    RebuildTensor,
    /// `torch._utils._rebuild_parameter` and the same with state: a tensor, then what only training needs.
    RebuildParameter,
    /// `torch.FloatStorage` and the like.
    Storage(DType),
}

impl Global {
    pub(super) fn find(module: &str, name: &str) -> Option<Global> {
        let global = match (module, name) {
            ("collections", "OrderedDict") => Global::OrderedDict,
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Global::RebuildTensor,
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Global::RebuildParameter,
            ("torch", "FloatStorage") => Global::Storage(DType::F32),
            ("torch", "DoubleStorage") => Global::Storage(DType::F64),
            ("torch", "HalfStorage") => Global::Storage(DType::F16),
            ("torch", "BFloat16Storage") => Global::Storage(DType::BF16),
            ("torch", "LongStorage") => Global::Storage(DType::I64),
            ("torch", "IntStorage") => Global::Storage(DType::I32),
            ("torch", "ShortStorage") => Global::Storage(DType::I16),
            ("torch", "CharStorage") => Global::Storage(DType::I8),
            ("torch", "ByteStorage") => Global::Storage(DType::U8),
            ("torch", "BoolStorage") => Global::Storage(DType::Bool),
            _ => return None,
        };
        Some(global)
    }
}

/// What has parts, or is too large for a [`Value`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Object {
    Text(String),
    /// Bytes, or an integer of more than 64 bits: two's complement, lowest byte first.
    Bytes(Vec<u8>),
    Tuple(Vec<Value>),
    List(Vec<Value>),
    /// Entries in the order in which they were set; the last one of equal keys counts.
    Dict(Vec<(Value, Value)>),
    Storage(Box<StorageRef>),
    Tensor(Box<TensorRef>),
}

/// A block of numbers outside the pickle.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StorageRef {
    pub(crate) key: String,
    pub(crate) dtype: DType,
    /// How many numbers the whole block holds.
    pub(crate) len: usize,
    /// The first of them that this reference sees (views of files before torch 0.4).
    pub(crate) first: usize,
}

/// A view of a storage.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TensorRef {
    pub(crate) storage: StorageRef,
    /// The first number, counted in numbers.
    pub(crate) offset: usize,
    pub(crate) shape: Vec<usize>,
    pub(crate) strides: Vec<usize>,
}

/// The result of a pickle and all that it built.
#[derive(Debug)]
pub(crate) struct Pickle {
    pub(crate) root: Value,
    pub(crate) objects: Vec<Object>,
}

impl Pickle {
    pub(crate) fn object(&self, value: Value) -> Option<&Object> {
        match value {
            Value::Object(id) => self.objects.get(id),
            _ => None,
        }
    }

    pub(crate) fn text(&self, value: Value) -> Option<&str> {
        match self.object(value) {
            Some(Object::Text(text)) => Some(text),
            _ => None,
        }
    }
}
