//! Published networks, built from the layers of Ocelli, and their weight files.
