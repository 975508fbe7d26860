//! Filters in the order in which tiles read them.
//!
//! For each problem and group: panels as in [`crate::gemm::panels`], whose depth runs over blocks of channels, rows of
//! taps, columns of taps and the channels of the block. For dot products: one output channel after the other, each with
//! its depth in the same order.

use std::ops::Range;

use ocelli_simd::{InstructionSet, Isa, Kernel, dispatch_on};

use super::cut::Blocks;
use super::problem::Problem;
use crate::conv::algorithm::Pass;
use crate::conv::geometry::Conv2dGeometry;
use crate::gemm::Matrix;
use crate::gemm::panels::{Panels, pack_panel};
use crate::parallel::each_piece;

/// Elements below which packing is not cut for threads.
const PARALLEL_PACK: usize = 1 << 16;

/// Returns the panels of one group of a problem.
pub(super) fn panels(set: InstructionSet, problem: &Problem) -> Panels {
    Panels::new(set, problem.terms(), problem.width)
}

/// Returns the number of elements of one group of a problem.
pub(super) fn group_len(set: InstructionSet, problem: &Problem) -> usize {
    if problem.by_dots() { problem.terms() * problem.width } else { panels(set, problem).packed_len() }
}

/// Returns the number of elements of all groups of a problem.
pub(super) fn packed_len(set: InstructionSet, problem: &Problem) -> usize {
    problem.groups * group_len(set, problem)
}

/// Packs the filter `w` for all problems of a pass.
pub(super) fn pack(set: InstructionSet, g: &Conv2dGeometry, pass: Pass, w: &[f32], packed: &mut [f32]) {
    let mut rest = packed;
    for problem in Problem::all(g, pass) {
        let (packed, after) = rest.split_at_mut(packed_len(set, &problem));
        rest = after;
        let panels = panels(set, &problem);
        if problem.by_dots() {
            let groups = packed.chunks_exact_mut(group_len(set, &problem)).enumerate();
            groups.for_each(|(group, packed)| pack_columns(g, pass, &problem, group, w, packed));
            continue;
        }
        for (group, packed) in packed.chunks_exact_mut(panels.packed_len()).enumerate() {
            let pack = |index: usize, packed: &mut [f32]| {
                dispatch_on(set, PackPanel { g, pass, problem: &problem, panels, group, index, w, packed });
            };
            let panel_len = panels.panel(0).width * panels.depth;
            if packed.len() < PARALLEL_PACK {
                packed.chunks_mut(panel_len).enumerate().for_each(|(index, packed)| pack(index, packed));
            } else {
                each_piece(packed, panel_len, &pack);
            }
        }
    }
}

/// Packs the output channels of one group, one after the other; element by element, because there are few.
fn pack_columns(g: &Conv2dGeometry, pass: Pass, problem: &Problem, group: usize, w: &[f32], packed: &mut [f32]) {
    let terms = problem.terms();
    let mut depth = 0;
    for channels in Blocks::new(problem).channels(problem, group) {
        for tap_row in 0..problem.rows.taps {
            for tap_column in 0..problem.columns.taps {
                let tap = tap_matrix(g, pass, problem, group, (tap_row, tap_column), w);
                for channel in channels.range.clone() {
                    (0..problem.width).for_each(|column| packed[column * terms + depth] = tap.at(channel, column));
                    depth += 1;
                }
            }
        }
    }
}

/// Packs one panel of one group.
struct PackPanel<'a> {
    g: &'a Conv2dGeometry,
    pass: Pass,
    problem: &'a Problem,
    panels: Panels,
    group: usize,
    index: usize,
    w: &'a [f32],
    packed: &'a mut [f32],
}

impl Kernel for PackPanel<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(mut self, isa: I) {
        let Self { problem, panels, index, .. } = self;
        let width = panels.panel(index).width;
        let mut rest = std::mem::take(&mut self.packed);
        for channels in Blocks::new(problem).channels(problem, self.group) {
            for tap_row in 0..problem.rows.taps {
                for tap_column in 0..problem.columns.taps {
                    let tap = (tap_row, tap_column);
                    let (packed, after) = rest.split_at_mut(channels.range.len() * width);
                    if problem.merged > 1 {
                        self.pack_merged(tap, channels.range.clone(), packed);
                    } else {
                        let tap = tap_matrix(self.g, self.pass, problem, self.group, tap, self.w);
                        pack_panel(isa, &panels, index, tap, channels.range.clone(), packed);
                    }
                    rest = after;
                }
            }
        }
    }
}

impl PackPanel<'_> {
    /// Packs one tap of merged pixels, whose channels lie behind one another; element by element, because such filters
    /// are small.
    fn pack_merged(&self, (row, column): (usize, usize), channels: Range<usize>, packed: &mut [f32]) {
        let Self { g, pass, problem, w, .. } = *self;
        let panel = self.panels.panel(self.index);
        let (tap_row, written) = (problem.rows.filter_tap(row), problem.width / problem.merged);
        for (channel, packed) in channels.zip(packed.chunks_exact_mut(panel.width)) {
            packed.fill(0.0);
            for (to, index) in packed[..panel.columns].iter_mut().zip(panel.column..) {
                let (pixel, c) = (index / written, index % written);
                if let Some(tap_column) = problem.merged_filter_column(g, pass, pixel, column) {
                    let (input, output) = if pass == Pass::BackwardData { (c, channel) } else { (channel, c) };
                    *to = w[((tap_row * g.kernel_w + tap_column) * g.in_c + input) * g.out_c + output];
                }
            }
        }
    }
}

/// Returns the filter at one tap of a problem, as a matrix from the channels that are read to those that are written.
#[inline(always)]
fn tap_matrix<'a>(
    g: &Conv2dGeometry,
    pass: Pass,
    problem: &Problem,
    group: usize,
    (row, column): (usize, usize),
    w: &'a [f32],
) -> Matrix<'a> {
    let tap = problem.rows.filter_tap(row) * g.kernel_w + problem.columns.filter_tap(column);
    let first = tap * g.group_in_c() * g.out_c + group * g.group_out_c();
    let matrix = Matrix::strided(&w[first..], g.group_in_c(), g.group_out_c(), g.out_c, 1);
    match pass {
        Pass::Forward | Pass::BackwardFilter => matrix,
        Pass::BackwardData => matrix.transposed(),
    }
}
