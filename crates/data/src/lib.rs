//! Datasets, decoding and loaders of Ocelli.
