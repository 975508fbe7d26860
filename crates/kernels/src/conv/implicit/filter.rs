//! The gradient of the filter: for each tap, the transposed inputs of a band times the band of `dy`.
//!
//! The depth of these products are the outputs of the batch. A band of them is short enough for its panel of `dy` to stay
//! in the first-level cache; the sums of the bands are added in memory. Tasks take blocks of channels, so that most sums
//! are whole in one task; where channels are few, bands are dealt out to pieces with sums of their own, which are added in
//! a fixed order, and few bands to tasks of some columns each.

use std::ops::Range;

use ocelli_simd::{InstructionSet, Isa, Kernel, dispatch_on};

use super::band::{Band, Channels, Layout, Spacing};
use super::cut::FilterTasks;
use super::fill::Fill;
use super::problem::Problem;
use crate::conv::algorithm::Pass;
use crate::conv::geometry::Conv2dGeometry;
use crate::conv::partial::add_pieces;
use crate::conv::shared::Shared;
use crate::gemm::finish::{Destination, Rows};
use crate::gemm::panels::{Panels, pack_row};
use crate::gemm::tile::{Product, Segment, Strides, even_tiles, most_rows, tile};
use crate::parallel::each;
use crate::{Accumulate, Scratch, scratch};

/// Computes `dw = Σ xᵀ·dy`, or adds it to `dw`.
pub(super) fn run(
    g: &Conv2dGeometry,
    x: &[f32],
    dy: &[f32],
    dw: &mut [f32],
    accumulate: Accumulate,
    workspace: &mut [f32],
) {
    let set = InstructionSet::current();
    let problem = Problem::forward(g, Pass::BackwardFilter);
    let tasks = FilterTasks::new(&problem);
    if tasks.bands.count() == 0 {
        if accumulate == Accumulate::Set {
            dw.fill(0.0);
        }
        return;
    }
    // Sums: the gradient itself, or those of each piece.
    let len = problem.filter_len();
    let partial = tasks.workspace(&problem) > 0;
    let (sums, first) =
        if partial { (&mut workspace[..tasks.pieces * len], Accumulate::Set) } else { (&mut *dw, accumulate) };
    let dw_of = Shared::new(sums);
    let (problem, tasks) = (&problem, &tasks);
    // A block of channels and of columns over a piece of the bands.
    let task = |index: usize| {
        let (piece, index) = (index / tasks.count(problem), index % tasks.count(problem));
        let (index, column) = (index / tasks.column_blocks, index % tasks.column_blocks * tasks.columns);
        let (group, block) = (index / tasks.channel_blocks, index % tasks.channel_blocks);
        let start = block * tasks.channels;
        let channels = Channels { group, range: start..problem.depth.min(start + tasks.channels) };
        let columns = column..problem.width.min(column + tasks.columns);
        let (offset, first_band) = (if partial { piece * len } else { 0 }, piece * tasks.bands_of_piece);
        let [inputs, outputs] = scratch_lens(set, problem, tasks);
        // Outside of the kernel: the instruction set does not reach into a closure.
        scratch::with(inputs + outputs, |scratch| {
            let (inputs, outputs) = scratch.split_at_mut(inputs);
            let dw = dw_of;
            let accumulate = first;
            let bands = first_band..tasks.bands.count().min(first_band + tasks.bands_of_piece);
            let columns = columns.clone();
            let task =
                Task { set, problem, tasks, bands, channels, columns, x, dy, dw, offset, accumulate, inputs, outputs };
            dispatch_on(set, task);
        });
    };
    let count = tasks.pieces * tasks.count(problem);
    if count == 1 {
        task(0);
    } else {
        each(count, &task);
    }
    // Add the sums of the pieces.
    if problem.merged > 1 {
        let (pieces, rest) = workspace.split_at_mut(tasks.pieces * len);
        add_pieces(pieces, &mut rest[..len], Accumulate::Set);
        add_merged(g, problem, &rest[..len], dw, accumulate);
    } else if partial {
        add_pieces(&workspace[..tasks.pieces * len], dw, accumulate);
    }
}

/// Returns the number of elements of a band of inputs and of its outputs, packed.
fn scratch_lens(set: InstructionSet, problem: &Problem, tasks: &FilterTasks) -> [usize; 2] {
    let inputs = tasks.bands.scratch_len(problem, tasks.channels, Spacing::OddLines);
    [inputs, Panels::new(set, tasks.bands.most_pixels(), tasks.columns).packed_len()]
}

/// Returns the scratch memory that a task takes of its thread.
pub(super) fn scratch(set: InstructionSet, problem: &Problem) -> Scratch {
    Scratch::of(scratch_lens(set, problem, &FilterTasks::new(problem)).into_iter().sum())
}

/// Adds the sums of merged pixels, each of which has seen all taps.
fn add_merged(g: &Conv2dGeometry, problem: &Problem, sums: &[f32], dw: &mut [f32], accumulate: Accumulate) {
    if accumulate == Accumulate::Set {
        dw.fill(0.0);
    }
    let (taps, matrix) = (problem.columns.taps, problem.depth * problem.width);
    for (index, sums) in sums.chunks_exact(matrix).enumerate() {
        let (tap_row, tap) = (index / taps, index % taps);
        for pixel in 0..problem.merged {
            let Some(column) = problem.merged_filter_column(g, Pass::BackwardFilter, pixel, tap) else { continue };
            let dw = &mut dw[(tap_row * g.kernel_w + column) * g.in_c * g.out_c..][..g.in_c * g.out_c];
            for (dw, sums) in dw.chunks_exact_mut(g.out_c).zip(sums.chunks_exact(problem.width)) {
                let sums = &sums[pixel * g.out_c..][..g.out_c];
                dw.iter_mut().zip(sums).for_each(|(dw, sum)| *dw += sum);
            }
        }
    }
}

/// A task: a block of channels and of columns over the bands of a piece.
struct Task<'a> {
    set: InstructionSet,
    problem: &'a Problem,
    tasks: &'a FilterTasks,
    /// Bands of the piece.
    bands: Range<usize>,
    channels: Channels,
    /// Columns of the filter.
    columns: Range<usize>,
    x: &'a [f32],
    dy: &'a [f32],
    dw: Shared<'a>,
    /// Offset of the sums of the piece.
    offset: usize,
    accumulate: Accumulate,
    /// Room for the inputs of a band.
    inputs: &'a mut [f32],
    /// Room for its outputs, packed.
    outputs: &'a mut [f32],
}

impl Kernel for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(mut self, isa: I) {
        let problem = self.problem;
        for index in self.bands.clone() {
            let band = self.tasks.bands.band(problem, index);
            let panels = Panels::new(self.set, band.pixels(), self.columns.len());
            self.pack(isa, &band, &panels);
            let layout = Layout::new(problem, &band, self.channels.range.len(), Spacing::OddLines);
            let (band, channels) = (&band, &self.channels);
            isa.call(Fill { problem, band, channels, layout: &layout, x: self.x, scratch: &mut *self.inputs });
            let accumulate = if index == self.bands.start { self.accumulate } else { Accumulate::Add };
            self.multiply(isa, &layout, &panels, accumulate);
        }
    }
}

impl Task<'_> {
    /// Packs `dy` of a band, in the order of the scratch.
    #[inline(always)]
    fn pack<I: Isa>(&mut self, isa: I, band: &Band, panels: &Panels) {
        let problem = self.problem;
        let distance = problem.output_pixel();
        let mut pixels = 0..0;
        for position in band.lines(problem) {
            pixels = pixels.end..pixels.end + band.columns.len();
            let dy = &self.dy[position * distance + self.channels.group * problem.width + self.columns.start..];
            for panel in 0..panels.count() {
                let panel = panels.panel(panel);
                let to = &mut self.outputs[panel.start..][pixels.start * panel.width..pixels.end * panel.width];
                for (to, dy) in to.chunks_exact_mut(panel.width).zip(dy.chunks(distance)) {
                    pack_row(isa, &dy[panel.column..panel.column + panel.columns], to);
                }
            }
        }
    }

    /// Adds the products of a band.
    #[inline(always)]
    fn multiply<I: Isa>(&self, isa: I, layout: &Layout, panels: &Panels, accumulate: Accumulate) {
        let (problem, channels) = (self.problem, &self.channels);
        // The panels are as deep as the band has outputs.
        let pixels = panels.depth;
        let (segments, strides) = ([Segment { offset: 0, depth: pixels }], Strides::rows_contiguous(layout.pixel));
        // Rows that are neighbours in the scratch and in the filter.
        let whole = channels.range.len() == problem.depth && problem.columns.follows_filter();
        let run_len = if whole { layout.run } else { channels.range.len() };
        // Multiply the inputs of each row of taps with each panel.
        for panel in 0..panels.count() {
            let panel = panels.panel(panel);
            let b = &self.outputs[panel.start..][..pixels * panel.width];
            let most = most_rows::<I>(panel.vectors);
            let place = self.offset + channels.group * problem.width + self.columns.start + panel.column;
            for tap_row in 0..problem.rows.taps {
                let a = &self.inputs[layout.tap(tap_row)..];
                assert!((pixels - 1) * layout.pixel + layout.run <= a.len(), "the outputs of a band read its scratch");
                for run in (0..layout.run).step_by(run_len) {
                    let filter_row = self.filter_row(tap_row, run);
                    let last = place + (filter_row + run_len - 1) * problem.output_pixel() + panel.columns - 1;
                    assert!(last < self.dw.len(), "the rows of a run lie in the filter");
                    for (first, count) in even_tiles(run_len, most) {
                        let to = self.dw.at(place + (filter_row + first) * problem.output_pixel());
                        let rows = Rows::Apart(problem.output_pixel());
                        let to = Destination::plain(to, rows, panel.columns, accumulate);
                        let a = a[run + first..].as_ptr();
                        let product = Product { a, strides, segments: &segments, b: b.as_ptr(), streams: None };
                        // SAFETY: the first assertion covers all outputs of this row of taps, and `b` has as many rows; the
                        // second covers the rows of `dw`, which in the sums of this piece are this task's alone.
                        unsafe { tile(isa, count, panel.vectors, &product, &to) };
                    }
                }
            }
        }
    }

    /// Returns the row of the problem's filter matrix `[taps · channels, filters]` for element `row` of a pixel of the
    /// scratch.
    #[inline(always)]
    fn filter_row(&self, tap_row: usize, row: usize) -> usize {
        let (problem, range) = (self.problem, &self.channels.range);
        let (tap_column, channel) = (row / range.len(), range.start + row % range.len());
        let tap = problem.rows.filter_tap(tap_row) * problem.columns.taps + problem.columns.filter_tap(tap_column);
        tap * problem.depth + channel
    }
}
