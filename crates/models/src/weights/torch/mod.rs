//! Files that `torch.save` wrote.

mod legacy;
mod state_dict;
mod zip;

pub(super) use legacy::read_legacy;
pub(super) use zip::read_zip;

use super::{error::Failure, pickle::PickleError};

/// Bytes after which a pickle is refused; that of a network of a thousand tensors has some hundred thousand.
const MAX_PICKLE: u64 = 64 << 20;

impl From<PickleError> for Failure {
    fn from(error: PickleError) -> Failure {
        match error {
            PickleError::Io(error) => Failure::Io(error),
            PickleError::Refused(global) => Failure::Refused(global),
            PickleError::Broken(reason) => Failure::Broken(reason),
        }
    }
}
