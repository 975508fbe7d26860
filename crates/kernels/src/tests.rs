//! Tests that go through all kernels.

#[cfg(unix)]
mod beside_unreadable_pages;
pub(crate) mod draw;
mod empty_axes;
mod large_numbers;
mod sizes_near_the_end;
