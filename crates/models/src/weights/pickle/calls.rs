//! Evaluates calls of the known names, which make dicts, storages and tensors.

use super::{
    machine::{MAX_NAME, Machine, PickleError, Result, broken},
    names::{Known, Meaning},
    value::{Object, PickleValue, StorageRef, TensorRef, as_size},
};
use crate::weights::error::shown;
use std::io::Read;

impl<R: Read> Machine<'_, R> {
    /// Evaluates a call of one of the known names.
    pub(super) fn call(&mut self, callee: PickleValue, tuple: PickleValue) -> Result<()> {
        let arguments = self.as_tuple(tuple)?;
        match (meaning(callee), arguments) {
            (Some(Meaning::RebuildWithAttributes), &[function, _type, arguments, ..])
                if meaning(function) != Some(Meaning::RebuildWithAttributes) =>
            {
                self.call(function, arguments)
            }
            (Some(Meaning::Dict), [] | [_]) if is_factory(arguments) => self.make(Object::Dict(Vec::new())),
            (Some(Meaning::Argument), &[argument @ PickleValue::Object(_)]) => self.push(argument),
            (Some(Meaning::Argument), []) => self.make(Object::Dict(Vec::new())),
            (Some(Meaning::RebuildParameter), &[tensor, ..]) => {
                self.use_up(tuple);
                self.push(tensor)
            }
            (Some(Meaning::RebuildTensor), &[unreadable @ PickleValue::Unreadable(_), ..]) => self.push(unreadable),
            (Some(Meaning::RebuildTensor), &[PickleValue::Object(storage), offset, shape, strides, ..]) => {
                if !matches!(self.objects[storage], Object::Storage(_)) {
                    return broken("its pickle has a tensor without a storage");
                }
                let offset = as_size(offset)?;
                self.use_up(tuple);
                self.budget.take_block(size_of::<TensorRef>() as u64)?;
                self.make(Object::Tensor(Box::new(TensorRef { storage, offset, shape, strides })))
            }
            (Some(Meaning::Unreadable), _) => {
                let PickleValue::Global(global) = callee else { unreachable!("only a name has a meaning") };
                self.push(PickleValue::Unreadable(global))
            }
            _ if callee == PickleValue::Plain => self.push(PickleValue::Plain),
            _ => broken("its pickle calls something with arguments that state dicts do not use"),
        }
    }

    /// Drops attributes, such as the version numbers in the `_metadata` of a dict, which are not needed.
    pub(super) fn attributes(&mut self) -> Result<()> {
        self.pop()?;
        match self.top()? {
            PickleValue::Object(_) | PickleValue::Plain | PickleValue::Unreadable(_) => Ok(()),
            _ => broken("its pickle sets attributes of what has none"),
        }
    }

    /// Evaluates a persistent id: `("storage", torch.FloatStorage, key, device, length)`, in old files with a view as
    /// sixth entry.
    pub(super) fn storage(&mut self) -> Result<()> {
        let id = self.pop()?;
        let &[kind, class, key, _device, len, ref view @ ..] = self.as_tuple(id)? else {
            return broken("its pickle refers to something that is no storage");
        };
        let dtype = match (meaning(class), class) {
            _ if self.as_text(kind)? != "storage" => {
                return broken("its pickle refers to something that is no storage");
            }
            (Some(Meaning::Storage(dtype)), _) => dtype,
            (Some(Meaning::Unreadable), PickleValue::Global(global)) => {
                return self.push(PickleValue::Unreadable(global));
            }
            _ => return broken("its pickle refers to something that is no storage"),
        };
        let first = match *view {
            [] | [PickleValue::None] => 0,
            [view] => match *self.as_tuple(view)? {
                [_key, first, _len] => as_size(first)?,
                _ => return broken("its pickle has a view of a storage that is not known"),
            },
            _ => return broken("its pickle has a reference of too many parts"),
        };
        let (PickleValue::Object(key), true) = (key, self.as_text(key)?.len() <= MAX_NAME) else {
            return broken(format!("the key of a storage has more than {MAX_NAME} bytes"));
        };
        self.use_up(id);
        self.budget.take_block(size_of::<StorageRef>() as u64)?;
        self.make(Object::Storage(Box::new(StorageRef { key, dtype, len: as_size(len)?, first })))
    }
}

/// Returns the meaning of a name, if the value is one.
fn meaning(value: PickleValue) -> Option<Meaning> {
    match value {
        PickleValue::Global(global) => Some(global.meaning()),
        _ => None,
    }
}

/// Returns true for the arguments of an empty dict: none, or the factory for missing values of a `defaultdict`.
fn is_factory(arguments: &[PickleValue]) -> bool {
    matches!(arguments, [] | [PickleValue::None | PickleValue::Plain | PickleValue::Global(_)])
}

/// Looks up the name that a pickle refers to by its module.
pub(super) fn find(module: &str, name: &str) -> Result<Known> {
    let unknown = || PickleError::Refused(format!("{}.{}", shown(module), shown(name)));
    Known::find(module, name).ok_or_else(unknown)
}
