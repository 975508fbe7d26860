//! Losses of Ocelli as graph operations.
