//! Reads files that `torch.save` wrote.

mod directory;
mod legacy;
mod state_dict;
mod zip;

pub(super) use legacy::read_legacy;
pub(super) use zip::read_zip;

use super::{error::Failure, pickle::PickleError};

impl From<PickleError> for Failure {
    fn from(error: PickleError) -> Failure {
        match error {
            PickleError::Io(error) => Failure::Io(error),
            PickleError::Refused(global) => Failure::Refused(global),
            PickleError::Broken(reason) => Failure::Broken(reason),
        }
    }
}
