//! The tensor of Ocelli: aligned, contiguous, copy on write; seeded random numbers; .npy files.
