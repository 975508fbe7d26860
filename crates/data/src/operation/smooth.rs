//! Filters that smooth or sharpen.

use super::rounded;
use crate::{Border, Image};
use std::mem::swap;

/// Moves away from the mean of each pixel, counted five times, and its eight neighbours; the outermost pixels are left.
pub(super) fn sharpness(image: &mut Image, factor: f32, next: &mut Image) {
    let (channels, [height, width], row) = (image.channels(), image.size(), image.row());
    next.reshape_checked([height, width, channels]).copy_from_slice(image.pixels());
    let (from, to) = (image.pixels(), next.pixels_mut());
    for y in 1..height.saturating_sub(1) {
        for at in y * row + channels..(y + 1) * row - channels {
            let three =
                |at: usize| [at - channels, at, at + channels].map(|at| u32::from(from[at])).iter().sum::<u32>();
            let sum = three(at - row) + three(at) + three(at + row) + 4 * u32::from(from[at]);
            let smooth = (sum as f32 / 13.0).round_ties_even();
            let x = f32::from(from[at]);
            to[at] = (x + (1.0 - factor) * (smooth - x)).clamp(0.0, 255.0) as u8;
        }
    }
    swap(image, next);
}

/// Blurs rows, then columns, with the image reflected at its border.
pub(super) fn blur(image: &mut Image, size: usize, deviation: f32, sums: &mut Vec<f32>) {
    let (channels, [height, width], row) = (image.channels(), image.size(), image.row());
    let reach = (size / 2) as isize;
    let mut weights = [0.0; 64];
    let weights = &mut weights[..size];
    for (weight, at) in weights.iter_mut().zip(-reach..) {
        *weight = (-0.5 * (at as f32 / deviation).powi(2)).exp();
    }
    let total: f32 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight /= total);
    let place = |at: usize, tap: usize, length: usize| {
        Border::Reflect.place(at as isize + tap as isize - reach, length).unwrap_or(at)
    };
    // along the rows
    sums.clear();
    for line in image.pixels().chunks_exact(row) {
        for x in 0..width {
            for channel in 0..channels {
                let value = |tap: usize| f32::from(line[place(x, tap, width) * channels + channel]);
                sums.push(weights.iter().enumerate().map(|(tap, weight)| weight * value(tap)).sum());
            }
        }
    }
    // along the columns
    for (y, line) in image.pixels_mut().chunks_exact_mut(row).enumerate() {
        for (at, out) in line.iter_mut().enumerate() {
            let value = |tap: usize| sums[place(y, tap, height) * row + at];
            *out = rounded(weights.iter().enumerate().map(|(tap, weight)| weight * value(tap)).sum());
        }
    }
}
