//! The names that pickles of state dicts use.

use crate::weights::DType;

/// The meaning of a name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Meaning {
    /// A call makes a dict.
    Dict,
    /// A call returns its only argument: a dict of numbers, or the sizes of a tensor.
    Argument,
    /// A call with a storage, an offset, sizes and strides makes a tensor; only training needs further arguments.
    RebuildTensor,
    /// A call returns its first argument, a tensor; only training needs further arguments.
    RebuildParameter,
    /// A call applies its first argument to the third: a tensor with attributes.
    RebuildWithAttributes,
    /// The class of a storage, by its element type.
    Storage(DType),
    /// The class of a tensor, or of the storage of one, whose elements cannot be read.
    Unreadable,
}

/// A name whose meaning is needed later, by its index in the table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Global(u8);

/// A name that a pickle may refer to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Known {
    Global(Global),
    /// Data other than weights, such as a set, a device or an element type.
    Plain,
}

const TABLE: [(&str, &str, Meaning); 34] = [
    ("collections", "OrderedDict", Meaning::Dict),
    ("collections", "defaultdict", Meaning::Dict),
    ("collections", "Counter", Meaning::Argument),
    ("torch", "Size", Meaning::Argument),
    ("torch._utils", "_rebuild_tensor", Meaning::RebuildTensor),
    ("torch._utils", "_rebuild_tensor_v2", Meaning::RebuildTensor),
    ("torch._utils", "_rebuild_parameter", Meaning::RebuildParameter),
    ("torch._utils", "_rebuild_parameter_with_state", Meaning::RebuildParameter),
    ("torch._tensor", "_rebuild_from_type_v2", Meaning::RebuildWithAttributes),
    ("torch", "FloatStorage", Meaning::Storage(DType::F32)),
    ("torch", "DoubleStorage", Meaning::Storage(DType::F64)),
    ("torch", "HalfStorage", Meaning::Storage(DType::F16)),
    ("torch", "BFloat16Storage", Meaning::Storage(DType::BF16)),
    ("torch", "LongStorage", Meaning::Storage(DType::I64)),
    ("torch", "IntStorage", Meaning::Storage(DType::I32)),
    ("torch", "ShortStorage", Meaning::Storage(DType::I16)),
    ("torch", "CharStorage", Meaning::Storage(DType::I8)),
    ("torch", "ByteStorage", Meaning::Storage(DType::U8)),
    ("torch", "BoolStorage", Meaning::Storage(DType::Bool)),
    ("torch", "ComplexFloatStorage", Meaning::Unreadable),
    ("torch", "ComplexDoubleStorage", Meaning::Unreadable),
    ("torch", "QInt8Storage", Meaning::Unreadable),
    ("torch", "QInt32Storage", Meaning::Unreadable),
    ("torch", "QUInt8Storage", Meaning::Unreadable),
    ("torch", "QUInt4x2Storage", Meaning::Unreadable),
    ("torch", "QUInt2x4Storage", Meaning::Unreadable),
    ("torch.storage", "UntypedStorage", Meaning::Unreadable),
    ("torch._utils", "_rebuild_tensor_v3", Meaning::Unreadable),
    ("torch._utils", "_rebuild_qtensor", Meaning::Unreadable),
    ("torch._utils", "_rebuild_sparse_tensor", Meaning::Unreadable),
    ("torch._utils", "_rebuild_meta_tensor_no_storage", Meaning::Unreadable),
    ("torch._utils", "_rebuild_wrapper_subclass", Meaning::Unreadable),
    ("torch._utils", "_rebuild_device_tensor_from_numpy", Meaning::Unreadable),
    ("torch._utils", "_rebuild_device_tensor_from_cpu_tensor", Meaning::Unreadable),
];

impl Known {
    /// Looks up `module.name`; `None` if neither state dicts nor the data beside them use it.
    pub(super) fn find(module: &str, name: &str) -> Option<Known> {
        let place = TABLE.iter().position(|entry| (entry.0, entry.1) == (module, name));
        match place {
            Some(place) => Some(Known::Global(Global(place as u8))),
            None => is_plain(module, name).then_some(Known::Plain),
        }
    }
}

impl Global {
    pub(super) fn meaning(self) -> Meaning {
        TABLE[usize::from(self.0)].2
    }

    /// Returns its module and name, with a dot between them.
    pub(crate) fn name(self) -> String {
        let (module, name, _) = TABLE[usize::from(self.0)];
        format!("{module}.{name}")
    }
}

/// Returns true for the building blocks of Python's data and PyTorch's settings. `torch.load` allows nearly all of them
/// with `weights_only=True`, its default.
fn is_plain(module: &str, name: &str) -> bool {
    match module {
        "builtins" | "__builtin__" => matches!(
            name,
            "set"
                | "frozenset"
                | "complex"
                | "bytearray"
                | "bytes"
                | "int"
                | "float"
                | "bool"
                | "str"
                | "list"
                | "dict"
                | "tuple"
        ),
        "_codecs" => name == "encode",
        "torch.nn.parameter" => matches!(name, "Parameter" | "Buffer"),
        "torch.serialization" => name == "_get_layout",
        "torch" => matches!(name, "Tensor" | "device") || is_setting(name),
        _ => false,
    }
}

/// Returns true for element types (`float32`), quantisation schemes and memory formats.
fn is_setting(name: &str) -> bool {
    const KINDS: [&str; 9] = ["float", "bfloat", "complex", "bcomplex", "int", "uint", "qint", "quint", "bits"];
    let is_number =
        |kind: &&str| name.strip_prefix(*kind).is_some_and(|size| size.starts_with(|c: char| c.is_ascii_digit()));
    name == "bool"
        || KINDS.iter().any(is_number)
        || name.starts_with("per_tensor_")
        || name.starts_with("per_channel_")
        || matches!(name, "strided" | "contiguous_format" | "channels_last" | "channels_last_3d" | "preserve_format")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_by_their_modules() {
        let meaning = |module: &str, name: &str| match Known::find(module, name) {
            Some(Known::Global(global)) => Some(global.meaning()),
            _ => None,
        };
        assert_eq!(meaning("torch", "HalfStorage"), Some(Meaning::Storage(DType::F16)));
        assert_eq!(meaning("torch._utils", "_rebuild_tensor_v2"), Some(Meaning::RebuildTensor));
        for (module, name) in [
            ("torch", "float32"),
            ("torch", "bool"),
            ("torch", "device"),
            ("__builtin__", "set"),
            ("_codecs", "encode"),
        ] {
            assert_eq!(Known::find(module, name), Some(Known::Plain), "{module}.{name}");
        }
        for (module, name) in [
            ("torch", "floats"),
            ("torch", "load"),
            ("builtins", "eval"),
            ("builtins", "getattr"),
            ("datetime", "datetime"),
            ("os", "OrderedDict"),
        ] {
            assert_eq!(Known::find(module, name), None, "{module}.{name}");
        }
    }
}
