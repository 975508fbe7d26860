//! One description of the forward pass and of the gradient of its input: correlations on a grid.
//!
//! Along each axis an output `i` reads the inputs `i · step + origin + t · dilation` through the taps `t`. That is the
//! forward pass as it stands. The gradient of the input at position `q = phase + stride · i` collects the outputs `r` with
//! `r · stride − pad + t · dilation = q`: for each `phase` below the stride this is a correlation of `dy` with step 1 and
//! with those taps whose `t · dilation` leaves the right remainder, in reverse order. No zeros are inserted and none are
//! multiplied (Dumoulin and Visin 2016, "A guide to convolution arithmetic", describe the zeros that this saves).
//!
//! Results of few channels would leave most of a vector empty. Neighbouring pixels of them are neighbours in memory, so they
//! are *merged*: several pixels count as one of as many times more channels, which reads through the taps of all of them
//! together, with zeros for those that a pixel does not have. LeNet's first layer, 5×5 taps and 6 filters, then has 8 columns
//! of taps and 24 filters for 4 pixels. Where each of few results is a long sum instead, as in the image's gradient of
//! 7×7/2, it is made by dot products along the depth (`crate::gemm::dots`).

use std::ops::{Range, RangeInclusive};

use crate::conv::algorithm::Pass;
use crate::conv::geometry::{Conv2dGeometry, ConvMode};
use crate::gemm::dots::DOT_COLUMNS;
use crate::gemm::wanted_pieces;

/// The reads and writes along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Axis {
    /// Positions of the tensor that is read.
    pub inputs: usize,
    /// Positions of the tensor that is written, those of other phases among them.
    pub positions: usize,
    /// Outputs of this problem.
    pub outputs: usize,
    /// Position of output 0.
    pub first: usize,
    /// Distance from one output to the next.
    pub every: usize,
    /// Input of output 0 at tap 0; it may lie outside.
    pub origin: isize,
    /// Distance of the inputs of neighbouring outputs.
    pub step: usize,
    /// Taps of this problem; 0 if nothing is read.
    pub taps: usize,
    /// Distance of the inputs of neighbouring taps.
    pub dilation: usize,
    /// Row or column of the filter for tap 0.
    first_tap: usize,
    /// Distance from one tap to the next in the filter.
    tap_step: isize,
}

/// A filter along one axis.
#[derive(Clone, Copy, Debug)]
struct Window {
    kernel: usize,
    stride: usize,
    dilation: usize,
    pad: usize,
    mode: ConvMode,
}

impl Window {
    fn forward(&self, inputs: usize, outputs: usize) -> Axis {
        Axis {
            inputs,
            positions: outputs,
            outputs,
            first: 0,
            every: 1,
            origin: -(self.pad as isize),
            step: self.stride,
            taps: self.kernel,
            dilation: self.dilation,
            first_tap: self.mode.window_position(0, self.kernel),
            tap_step: self.direction(1),
        }
    }

    /// Returns the axis for the positions `phase`, `phase + stride`, … of the gradient of `positions` inputs from that
    /// of `inputs` outputs.
    fn backward(&self, inputs: usize, positions: usize, phase: usize) -> Axis {
        let Self { kernel, stride, dilation, pad, mode } = *self;
        let offset = phase + pad;
        let same_remainder = |&tap: &usize| tap * dilation % stride == offset % stride;
        let first = (0..kernel.min(stride)).find(same_remainder);
        let common = greatest_common_divisor(stride, dilation);
        let every_tap = stride / common;
        let taps = first.map_or(0, |first| (kernel - first).div_ceil(every_tap));
        let last = first.map_or(0, |first| first + (taps.max(1) - 1) * every_tap);
        Axis {
            inputs,
            positions,
            outputs: (positions - phase).div_ceil(stride),
            first: phase,
            every: stride,
            // Exact where there are taps: the remainders agree.
            origin: (offset as isize - (last * dilation) as isize) / stride as isize,
            step: 1,
            taps,
            dilation: dilation / common,
            first_tap: mode.window_position(last, kernel),
            tap_step: -self.direction(every_tap),
        }
    }

    /// Returns the phases among `positions` at which [`Window::backward`] reads anything, by their first taps: there
    /// may be fewer than phases, since a stride is not bounded by the filter.
    fn phases_read(self, positions: usize) -> impl Iterator<Item = usize> {
        let Self { kernel, stride, dilation, pad, .. } = self;
        let period = stride / greatest_common_divisor(stride, dilation);
        let phase = move |tap: usize| (tap * dilation + stride - pad % stride) % stride;
        (0..kernel.min(period)).map(phase).filter(move |&phase| phase < positions)
    }

    /// Returns [`Window::forward`] with `merged` outputs in one; their number is a multiple of it.
    fn forward_merged(&self, inputs: usize, outputs: usize, merged: usize) -> Axis {
        Axis {
            positions: outputs / merged,
            outputs: outputs / merged,
            step: self.stride * merged,
            taps: (self.kernel - 1) * self.dilation + (merged - 1) * self.stride + 1,
            dilation: 1,
            first_tap: 0,
            tap_step: 1,
            ..self.forward(inputs, outputs)
        }
    }

    /// Returns all phases of [`Window::backward`] with `merged` positions in one: a multiple of the stride, of which
    /// the number of positions is a multiple.
    fn backward_merged(&self, inputs: usize, positions: usize, merged: usize) -> Axis {
        let read = self.read_by_merged(merged);
        let positions = positions / merged;
        Axis {
            inputs,
            positions,
            outputs: positions,
            first: 0,
            every: 1,
            origin: *read.start(),
            step: merged / self.stride,
            taps: (read.end() - read.start() + 1) as usize,
            dilation: 1,
            first_tap: 0,
            tap_step: 1,
        }
    }

    /// Returns the range of the gradient that the merged positions at 0 read: position `p` reads
    /// `(p + pad − tap · dilation) / stride`, where that is an integer.
    fn read_by_merged(&self, merged: usize) -> RangeInclusive<isize> {
        let (reach, stride) = ((self.kernel - 1) * self.dilation, self.stride as isize);
        let first = self.pad as isize - reach as isize;
        -(-first).div_euclid(stride)..=((merged - 1 + self.pad) as isize).div_euclid(stride)
    }

    /// Returns the row or column of the filter through which pixel `pixel` of a merged one reads by `tap` of the axis.
    fn merged_tap(&self, pass: Pass, merged: usize, pixel: usize, tap: usize) -> Option<usize> {
        let distance = match pass {
            Pass::Forward | Pass::BackwardFilter => tap as isize - (pixel * self.stride) as isize,
            Pass::BackwardData => {
                let read = self.read_by_merged(merged).start() + tap as isize;
                (pixel + self.pad) as isize - read * self.stride as isize
            }
        };
        let distance = usize::try_from(distance).ok()?;
        let tap = distance / self.dilation;
        let exists = distance.is_multiple_of(self.dilation) && tap < self.kernel;
        exists.then(|| self.mode.window_position(tap, self.kernel))
    }

    /// Returns a step forward in the window as a step in the filter.
    fn direction(&self, step: usize) -> isize {
        match self.mode {
            ConvMode::CrossCorrelation => step as isize,
            ConvMode::Convolution => -(step as isize),
        }
    }
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

impl Axis {
    /// Returns the row or column of the filter that a tap is.
    pub fn filter_tap(&self, tap: usize) -> usize {
        self.first_tap.wrapping_add_signed(tap as isize * self.tap_step)
    }

    /// Returns true if neighbouring taps are neighbours in the filter, in the same order.
    pub fn follows_filter(&self) -> bool {
        self.taps == 1 || self.tap_step == 1
    }

    /// Returns an axis with one output of one tap for each position that the outputs read.
    pub fn one_tap(self) -> Self {
        Self { step: 1, taps: 1, dilation: 1, ..self }
    }

    /// Returns the number of inputs from the first tap to the last, both counted.
    pub fn span(&self) -> usize {
        self.taps.saturating_sub(1) * self.dilation + 1
    }

    /// Returns the position that output `output` reads through tap 0; it may lie outside.
    pub fn read_by(&self, output: usize) -> isize {
        self.origin + (output * self.step) as isize
    }

    /// Returns true if some output sees the border.
    pub fn reaches_border(&self) -> bool {
        self.outputs_inside(0..self.outputs).len() < self.outputs
    }

    /// Returns the taps through which an output that reads from `from` on sees the tensor and not its border.
    pub fn taps_inside(&self, from: isize) -> Range<usize> {
        let before = |bound: isize| ((bound - from).max(0) as usize).div_ceil(self.dilation).min(self.taps);
        let first = before(0);
        first..before(self.inputs as isize).max(first)
    }

    /// Returns the part of `taps` that is multiplied where `together` outputs of a row are computed, in a row of
    /// `output`: without those on the border, if it is worth its own tiles to leave them out.
    pub fn taps_seen(&self, output: usize, taps: &Range<usize>, together: usize) -> Range<usize> {
        let inside = self.taps_inside(self.read_by(output));
        let start = inside.start.clamp(taps.start, taps.end);
        let seen = start..inside.end.clamp(start, taps.end);
        if together < LEAST_STRETCH && 2 * seen.len() > taps.len() { taps.clone() } else { seen }
    }

    /// Estimates the taps of all outputs that are multiplied, as [`Axis::taps_seen`] has it, without going through the
    /// outputs.
    pub fn all_taps_seen(&self, together: usize) -> f64 {
        let all = self.outputs as f64 * self.taps as f64;
        let seen = (0..self.taps).map(|tap| {
            // Outputs that read through this tap something at a position from 0 and below `bound`.
            let below = |bound: usize| {
                let reach = bound as isize - self.origin - (tap * self.dilation) as isize;
                (reach.max(0) as usize).div_ceil(self.step).min(self.outputs)
            };
            (below(self.inputs) - below(0)) as f64
        });
        let seen: f64 = seen.sum();
        if together < LEAST_STRETCH && 2.0 * seen > all { all } else { seen }
    }

    /// Returns the part of `outputs` that sees nothing of the border.
    pub fn outputs_inside(&self, outputs: Range<usize>) -> Range<usize> {
        let reached = |bound: isize| (bound.max(0) as usize).div_ceil(self.step).clamp(outputs.start, outputs.end);
        let first = reached(-self.origin);
        first..reached(self.inputs as isize - self.span() as isize - self.origin + 1).max(first)
    }
}

/// A correlation on a grid of outputs, for each image of the batch and each group of channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub batch: usize,
    pub rows: Axis,
    pub columns: Axis,
    pub groups: usize,
    /// Channels of the tensor that is read, of one group.
    pub depth: usize,
    /// Channels of the tensor that is written, of one group.
    pub width: usize,
    /// Pixels that are merged to one: their channels together are `width`.
    pub merged: usize,
}

impl Problem {
    /// Returns the problems of a pass. Their outputs are disjoint and cover all but those that read nothing
    /// ([`Problem::leave_outputs`]).
    pub fn all(g: &Conv2dGeometry, pass: Pass) -> impl Iterator<Item = Self> {
        let (merged, (rows, columns)) = (merged_pixels(g, pass), windows(g));
        let g = *g;
        let forward = (pass != Pass::BackwardData).then(|| Self::forward(&g, pass));
        let phases_h = forward.is_none().then(|| rows.phases_read(g.in_h));
        let backward = phases_h.into_iter().flatten().flat_map(move |phase_h| {
            let merged_columns = (merged > 1).then_some(0);
            let phases_w = (merged == 1).then(|| columns.phases_read(g.in_w));
            let phases_w = merged_columns.into_iter().chain(phases_w.into_iter().flatten());
            phases_w.map(move |phase_w| Self::backward(&g, phase_h, phase_w, merged))
        });
        forward.into_iter().chain(backward)
    }

    /// Returns true if some outputs read nothing, as strides larger than the filter leave them in the gradient of the
    /// input.
    pub fn leave_outputs(g: &Conv2dGeometry, pass: Pass) -> bool {
        if pass != Pass::BackwardData {
            return false;
        }
        let phases_w = if merged_pixels(g, pass) > 1 { 1 } else { g.stride_w.min(g.in_w) };
        Self::all(g, pass).count() < g.stride_h.min(g.in_h) * phases_w
    }

    /// Returns the number of pieces to cut each problem into, if its sizes allow: all problems are computed side by
    /// side.
    pub fn wanted_pieces(g: &Conv2dGeometry, pass: Pass) -> usize {
        let (flops, count) = Self::all(g, pass)
            .fold((0, 0), |(flops, count), problem| (problem.flops().saturating_add(flops), count + 1));
        wanted_pieces(flops).div_ceil(count.max(1))
    }

    /// Creates the problem of the forward pass, or of the gradient of the filter, which reads and writes the same.
    pub fn forward(g: &Conv2dGeometry, pass: Pass) -> Self {
        let (rows, columns) = windows(g);
        let merged = merged_pixels(g, pass);
        Self {
            batch: g.batch,
            rows: rows.forward(g.in_h, g.out_h),
            columns: match merged {
                1 => columns.forward(g.in_w, g.out_w),
                _ => columns.forward_merged(g.in_w, g.out_w, merged),
            },
            groups: g.groups,
            depth: g.group_in_c(),
            width: merged * g.group_out_c(),
            merged,
        }
    }

    /// Creates the problem of the gradient of the pixels of one phase of the height, and of one phase of the width or
    /// of all, merged.
    fn backward(g: &Conv2dGeometry, phase_h: usize, phase_w: usize, merged: usize) -> Self {
        let (rows, columns) = windows(g);
        Self {
            batch: g.batch,
            rows: rows.backward(g.out_h, g.in_h, phase_h),
            columns: match merged {
                1 => columns.backward(g.out_w, g.in_w, phase_w),
                _ => columns.backward_merged(g.out_w, g.in_w, merged),
            },
            groups: g.groups,
            depth: g.group_out_c(),
            width: merged * g.group_in_c(),
            merged,
        }
    }

    /// Returns true if outputs are dot products along the depth rather than vectors along the columns. They
    /// never are in the gradient of the filter, whose depth are pixels.
    pub fn by_dots(&self) -> bool {
        let Axis { taps, dilation, step, .. } = self.columns;
        self.merged == 1 && dilation == 1 && taps >= step && dots_pay(self.width, taps * self.depth)
    }

    /// Returns the column of the filter through which a merged pixel reads by column `tap` of the problem.
    pub fn merged_filter_column(&self, g: &Conv2dGeometry, pass: Pass, pixel: usize, tap: usize) -> Option<usize> {
        let (_, columns) = windows(g);
        columns.merged_tap(pass, self.merged, pixel, tap)
    }

    /// Returns the number of taps of the filter.
    pub fn taps(&self) -> usize {
        self.rows.taps * self.columns.taps
    }

    /// Returns the number of products that are summed for one output.
    pub fn terms(&self) -> usize {
        self.taps() * self.depth
    }

    /// Returns the number of elements of the filter, with the zeros of merged pixels.
    pub fn filter_len(&self) -> usize {
        self.terms() * self.width * self.groups
    }

    /// Returns the number of outputs of one channel.
    pub fn pixels(&self) -> usize {
        self.batch * self.rows.outputs * self.columns.outputs
    }

    /// Returns the number of floating-point operations.
    pub fn flops(&self) -> usize {
        let products = self.pixels().saturating_mul(self.terms()).saturating_mul(self.width * self.groups);
        products.saturating_mul(2)
    }

    /// Returns the distance from one pixel to the next in the tensor that is read.
    pub fn input_pixel(&self) -> usize {
        self.groups * self.depth
    }

    /// Returns the distance from one pixel to the next in the tensor that is written.
    pub fn output_pixel(&self) -> usize {
        self.groups * self.width
    }
}

/// Fewest outputs of a row for which it is worth its own tiles to leave out the taps on the border: four tiles of AVX2.
/// In shorter rows it is worth it where those are half of all or more.
const LEAST_STRETCH: usize = 24;

/// Elements of a vector, for the decision to merge pixels.
const LANES: usize = 8;

/// Most columns that merged pixels have.
pub(super) const MOST_MERGED_COLUMNS: usize = 64;

/// Most pixels that are merged.
const MOST_MERGED: usize = 8;

/// Cost of copying one pixel of a row, in multiply-adds of vectors: 4 cycles.
const COPY: usize = 8;

/// Fewest elements of a row of taps for which a few outputs are computed by dot products: the lanes of each sum are
/// added in the end.
const DOT_RUN: usize = 32;

fn dots_pay(width: usize, run: usize) -> bool {
    width <= DOT_COLUMNS && run >= DOT_RUN
}

/// Returns the number of pixels of the width to merge: the one with the fewest multiply-adds of vectors for a pixel.
fn merged_pixels(g: &Conv2dGeometry, pass: Pass) -> usize {
    let (_, columns) = windows(g);
    let (width, step, depth, channels) = match pass {
        Pass::Forward | Pass::BackwardFilter => (g.out_w, 1, g.in_c, g.out_c),
        Pass::BackwardData => (g.in_w, g.stride_w, g.out_c, g.in_c),
    };
    if g.groups > 1 || channels >= MOST_MERGED_COLUMNS || width == 0 {
        return 1;
    }
    let shared = g.dilation_w == 1 && (pass == Pass::BackwardData || g.kernel_w >= g.stride_w);
    if pass != Pass::BackwardFilter && shared && dots_pay(channels, g.kernel_w / step * depth) {
        return 1;
    }
    let work = |merged: usize| {
        let taps = match pass {
            // All phases together have each column of the filter once.
            Pass::BackwardData if merged == 1 => return g.kernel_w * depth * channels.div_ceil(LANES) / step + COPY,
            Pass::Forward | Pass::BackwardFilter => columns.forward_merged(g.in_w, g.out_w, merged).taps,
            Pass::BackwardData => columns.backward_merged(g.out_w, g.in_w, merged).taps,
        };
        (taps * depth * (merged * channels).div_ceil(LANES) + COPY) / merged
    };
    let fits = |&merged: &usize| width.is_multiple_of(merged) && merged * channels <= MOST_MERGED_COLUMNS;
    let candidates = (step..=MOST_MERGED).step_by(step).filter(fits);
    std::iter::once(1).chain(candidates).min_by_key(|&merged| work(merged)).unwrap_or(1)
}

/// Returns the filter's windows along rows and columns.
fn windows(g: &Conv2dGeometry) -> (Window, Window) {
    let window = |kernel, stride, dilation, pad| Window { kernel, stride, dilation, pad, mode: g.mode };
    (window(g.kernel_h, g.stride_h, g.dilation_h, g.pad_top), window(g.kernel_w, g.stride_w, g.dilation_w, g.pad_left))
}
