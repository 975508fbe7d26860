//! Patches copied out of an image, and added back to it.

use std::ops::Range;

use super::Origin;
use crate::conv::geometry::{Conv2dGeometry, ConvMode};

/// Runs up to this many elements are copied as if they had [`SHORT`] or [`MEDIUM`]: a call of `memcpy` of a length
/// unknown to the compiler costs more than it moves.
const SHORT: usize = 8;
const MEDIUM: usize = 16;

/// Fills the patches of one group for output row `row` of the batch: `[out_w, taps.len() · kernel_w · in_c / groups]`.
pub(super) fn copy_patches(
    g: &Conv2dGeometry,
    group: usize,
    taps: Range<usize>,
    row: usize,
    x: &[f32],
    patches: &mut [f32],
) {
    let image_len = g.in_h * g.in_w * g.in_c;
    let (image, out_row) = (row / g.out_h, row % g.out_h);
    let x = &x[image * image_len..(image + 1) * image_len];
    let channels = g.group_in_c();
    let contiguous = rows_are_contiguous(g);
    // Every element is written in ascending order, so that a short copy may spill into what is written next.
    let mut at = 0;
    for out_column in 0..g.out_w {
        for tap_row in taps.clone() {
            let Some(in_row) = g.input_row(out_row, tap_row) else {
                patches[at..at + g.kernel_w * channels].fill(0.0);
                at += g.kernel_w * channels;
                continue;
            };
            let line = in_row * g.in_w;
            // One run between the zeros of the padding.
            if contiguous {
                let inside = columns_inside(g, out_column);
                let left = inside.start * channels;
                let right = (g.kernel_w - inside.end) * channels;
                patches[at..at + left].fill(0.0);
                at += left;
                if !inside.is_empty() {
                    let first = out_column * g.stride_w + inside.start - g.pad_left;
                    copy_run(patches, at, x, (line + first) * channels, inside.len() * channels);
                    at += inside.len() * channels;
                }
                patches[at..at + right].fill(0.0);
                at += right;
            } else {
                // Tap by tap.
                for tap_column in 0..g.kernel_w {
                    match g.input_column(out_column, tap_column) {
                        Some(column) => {
                            let from = (line + column) * g.in_c + group * channels;
                            copy_run(patches, at, x, from, channels);
                        }
                        None => patches[at..at + channels].fill(0.0),
                    }
                    at += channels;
                }
            }
        }
    }
}

/// Adds patches of one group, from output row `first_row` of the batch on, to their input pixels. Pixels outside `dx`,
/// which begins at `origin`, are left to the piece that holds them.
pub(super) fn add_patches(
    g: &Conv2dGeometry,
    group: usize,
    taps: Range<usize>,
    first_row: usize,
    patches: &[f32],
    origin: Origin,
    dx: &mut [f32],
) {
    let channels = g.group_in_c();
    let run = g.kernel_w * channels;
    let patch = taps.len() * run;
    let input_row = g.in_w * g.in_c;
    let contiguous = rows_are_contiguous(g);
    for (index, patches) in patches.chunks_exact(g.out_w * patch).enumerate() {
        let (image, out_row) = ((first_row + index) / g.out_h, (first_row + index) % g.out_h);
        for (tap_row, begin) in taps.clone().zip((0..).step_by(run)) {
            let Some(in_row) = g.input_row(out_row, tap_row) else { continue };
            let Some(row) = ((image - origin.image) * g.in_h + in_row).checked_sub(origin.row) else { continue };
            let Some(dx) = dx.get_mut(row * input_row..(row + 1) * input_row) else { continue };
            for (out_column, patch) in patches.chunks_exact(patch).enumerate() {
                let patch = &patch[begin..begin + run];
                if contiguous {
                    let inside = columns_inside(g, out_column);
                    if !inside.is_empty() {
                        let first = (out_column * g.stride_w + inside.start - g.pad_left) * channels;
                        let patch = &patch[inside.start * channels..inside.end * channels];
                        add(&mut dx[first..first + patch.len()], patch);
                    }
                } else {
                    for (tap_column, patch) in patch.chunks_exact(channels).enumerate() {
                        let Some(column) = g.input_column(out_column, tap_column) else { continue };
                        let first = column * g.in_c + group * channels;
                        add(&mut dx[first..first + channels], patch);
                    }
                }
            }
        }
    }
}

/// Returns true if a filter row of a patch is contiguous in the image.
fn rows_are_contiguous(g: &Conv2dGeometry) -> bool {
    let neighbours = g.kernel_w == 1 || (g.dilation_w == 1 && g.mode == ConvMode::CrossCorrelation);
    g.groups == 1 && neighbours
}

/// Returns the filter columns that do not fall on padding, for contiguous rows.
#[inline]
fn columns_inside(g: &Conv2dGeometry, out_column: usize) -> Range<usize> {
    let begin = out_column * g.stride_w;
    let start = g.pad_left.saturating_sub(begin).min(g.kernel_w);
    let end = (g.in_w + g.pad_left).saturating_sub(begin).min(g.kernel_w);
    start..end.max(start)
}

/// Copies `len` elements, or up to [`MEDIUM`] if that is quicker and there is room: what lies behind `at + len` in
/// `to` must still be written by the caller.
#[inline]
fn copy_run(to: &mut [f32], at: usize, from: &[f32], first: usize, len: usize) {
    if len <= SHORT
        && let (Some(to), Some(from)) = (to.get_mut(at..at + SHORT), from.get(first..first + SHORT))
    {
        to.copy_from_slice(from);
    } else if len <= MEDIUM
        && let (Some(to), Some(from)) = (to.get_mut(at..at + MEDIUM), from.get(first..first + MEDIUM))
    {
        to.copy_from_slice(from);
    } else {
        to[at..at + len].copy_from_slice(&from[first..first + len]);
    }
}

#[inline]
fn add(to: &mut [f32], from: &[f32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
}
