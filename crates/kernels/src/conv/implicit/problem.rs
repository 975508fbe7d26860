//! One description of the forward pass and of the gradient of its input: correlations on a grid.
//!
//! Along each axis an output `i` reads the inputs `i · step + origin + t · dilation` through the taps `t`. That is the
//! forward pass as it stands. The gradient of the input at position `q = phase + stride · i` collects the outputs `r` with
//! `r · stride − pad + t · dilation = q`: for each `phase` below the stride this is a correlation of `dy` with step 1 and
//! with those taps whose `t · dilation` leaves the right remainder, in reverse order. No zeros are inserted and none are
//! multiplied (Dumoulin and Visin 2016, "A guide to convolution arithmetic", describe the zeros that this saves).
//!
//! Pictures of few channels would leave most of a vector empty there. The outputs of all phases of the width are
//! neighbours in memory, so they are *merged*: `stride_w` pixels count as one of `stride_w` times as many channels, which
//! read through the taps of all phases together, some of them zero. The picture's gradient of 7×7/2 on 3 channels then
//! needs 4 columns of taps and 6 channels instead of 7 and 3.

use std::ops::{Range, RangeInclusive};

use crate::conv::algorithm::Pass;
use crate::conv::geometry::{Conv2dGeometry, ConvMode};

/// What is read and written along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Axis {
    /// Positions of the tensor that is read.
    pub inputs: usize,
    /// Positions of the tensor that is written, those of other phases among them.
    pub positions: usize,
    /// Outputs of this problem.
    pub outputs: usize,
    /// Where output 0 lies.
    pub first: usize,
    /// From one output to the next.
    pub every: usize,
    /// What output 0 reads through tap 0; perhaps outside.
    pub origin: isize,
    /// From what an output reads to what the next one reads.
    pub step: usize,
    /// Taps of this problem; 0 if nothing is read.
    pub taps: usize,
    /// From what a tap reads to what the next one reads.
    pub dilation: usize,
    /// The row or column of the filter that tap 0 is.
    first_tap: usize,
    /// From one tap to the next in the filter.
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

    /// The positions `phase`, `phase + stride`, … of the gradient of `positions` inputs from that of `inputs` outputs.
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

    /// All phases of [`Window::backward`] merged; `positions` is a multiple of the stride.
    fn merged(&self, inputs: usize, positions: usize) -> Axis {
        let read = self.read_by_merged();
        let positions = positions / self.stride;
        Axis {
            inputs,
            positions,
            outputs: positions,
            first: 0,
            every: 1,
            origin: *read.start(),
            step: 1,
            taps: (read.end() - read.start() + 1) as usize,
            dilation: 1,
            first_tap: 0,
            tap_step: 0,
        }
    }

    /// What the merged outputs at 0 read: tap `t` is read by the phase for which
    /// `(phase + pad − t · dilation) / stride` is whole.
    fn read_by_merged(&self) -> RangeInclusive<isize> {
        let read = |tap: usize| {
            let distance = self.pad as isize - (tap * self.dilation) as isize;
            -(-distance).div_euclid(self.stride as isize)
        };
        read(self.kernel - 1)..=read(0)
    }

    /// The row or column of the filter through which `phase` reads the input at `read` for its output 0.
    fn merged_tap(&self, phase: usize, read: isize) -> Option<usize> {
        let distance = usize::try_from((phase + self.pad) as isize - read * self.stride as isize).ok()?;
        let tap = distance / self.dilation;
        let exists = distance % self.dilation == 0 && tap < self.kernel;
        exists.then(|| self.mode.window_position(tap, self.kernel))
    }

    /// A step forward in the window as a step in the filter.
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
    /// The row or column of the filter that a tap is.
    pub fn filter_tap(&self, tap: usize) -> usize {
        self.first_tap.wrapping_add_signed(tap as isize * self.tap_step)
    }

    /// Whether neighbouring taps are neighbours in the filter, in the same order.
    pub fn follows_filter(&self) -> bool {
        self.taps == 1 || self.tap_step == 1
    }

    /// Inputs from the first tap to the last, both counted.
    pub fn span(&self) -> usize {
        self.taps.saturating_sub(1) * self.dilation + 1
    }

    /// What output `output` reads through tap 0; perhaps outside.
    pub fn read_by(&self, output: usize) -> isize {
        self.origin + (output * self.step) as isize
    }

    /// The taps through which an output that reads from `from` on sees the tensor and not its border.
    pub fn taps_inside(&self, from: isize) -> Range<usize> {
        let before = |bound: isize| ((bound - from).max(0) as usize).div_ceil(self.dilation).min(self.taps);
        let first = before(0);
        first..before(self.inputs as isize).max(first)
    }

    /// Of some outputs, those that see nothing of the border.
    pub fn outputs_inside(&self, outputs: Range<usize>) -> Range<usize> {
        let reached = |bound: isize| (bound.max(0) as usize).div_ceil(self.step).clamp(outputs.start, outputs.end);
        let first = reached(-self.origin);
        first..reached(self.inputs as isize - self.span() as isize - self.origin + 1).max(first)
    }
}

/// A correlation on a grid of outputs, for each picture of the batch and each group of channels.
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

/// Numbers of a vector, as far as merging pixels is decided by it.
const LANES: usize = 8;

impl Problem {
    /// The problems of the forward or the backward-data pass. Their outputs are disjoint and all there are.
    pub fn all(g: &Conv2dGeometry, pass: Pass) -> impl Iterator<Item = Self> {
        let forward = pass != Pass::BackwardData;
        let (phases_h, phases_w) = if forward { (1, 1) } else { (g.stride_h.min(g.in_h), g.stride_w.min(g.in_w)) };
        let merge = !forward && merging_pays(g);
        let phases_w = if merge { 1 } else { phases_w };
        let g = *g;
        (0..phases_h * phases_w).map(move |index| match pass {
            Pass::Forward | Pass::BackwardFilter => Self::forward(&g),
            Pass::BackwardData if merge => Self::merged(&g, index),
            Pass::BackwardData => Self::backward(&g, index / phases_w, index % phases_w),
        })
    }

    /// The forward pass.
    pub fn forward(g: &Conv2dGeometry) -> Self {
        let (rows, columns) = windows(g);
        Self {
            batch: g.batch,
            rows: rows.forward(g.in_h, g.out_h),
            columns: columns.forward(g.in_w, g.out_w),
            groups: g.groups,
            depth: g.group_in_c(),
            width: g.group_out_c(),
            merged: 1,
        }
    }

    fn backward(g: &Conv2dGeometry, phase_h: usize, phase_w: usize) -> Self {
        let (rows, columns) = windows(g);
        Self {
            batch: g.batch,
            rows: rows.backward(g.out_h, g.in_h, phase_h),
            columns: columns.backward(g.out_w, g.in_w, phase_w),
            groups: g.groups,
            depth: g.group_out_c(),
            width: g.group_in_c(),
            merged: 1,
        }
    }

    /// All phases of the width in one.
    fn merged(g: &Conv2dGeometry, phase_h: usize) -> Self {
        let (_, columns) = windows(g);
        let columns = columns.merged(g.out_w, g.in_w);
        Self { columns, width: g.stride_w * g.in_c, merged: g.stride_w, ..Self::backward(g, phase_h, 0) }
    }

    /// The column of the filter through which a merged pixel reads by column `tap` of the problem.
    pub fn merged_filter_column(&self, g: &Conv2dGeometry, pixel: usize, tap: usize) -> Option<usize> {
        let (_, columns) = windows(g);
        columns.merged_tap(pixel, self.columns.origin + tap as isize)
    }

    /// Taps of the filter.
    pub fn taps(&self) -> usize {
        self.rows.taps * self.columns.taps
    }

    /// Products that are summed for one output.
    pub fn terms(&self) -> usize {
        self.taps() * self.depth
    }

    /// Outputs of one channel.
    pub fn pixels(&self) -> usize {
        self.batch * self.rows.outputs * self.columns.outputs
    }

    /// Floating-point operations.
    pub fn flops(&self) -> usize {
        let products = self.pixels().saturating_mul(self.terms()).saturating_mul(self.width * self.groups);
        products.saturating_mul(2)
    }

    /// From one pixel to the next in the tensor that is read.
    pub fn input_pixel(&self) -> usize {
        self.groups * self.depth
    }

    /// From one pixel to the next in the tensor that is written.
    pub fn output_pixel(&self) -> usize {
        self.groups * self.width
    }
}

/// Whether the phases of the width are fewer steps together: vectors times columns of taps.
fn merging_pays(g: &Conv2dGeometry) -> bool {
    let (_, columns) = windows(g);
    let read = columns.read_by_merged();
    let merged = (read.end() - read.start() + 1) as usize * (g.stride_w * g.in_c).div_ceil(LANES);
    let apart = g.kernel_w * g.in_c.div_ceil(LANES);
    let whole = g.in_w > 0 && g.in_w.is_multiple_of(g.stride_w);
    g.stride_w > 1 && g.groups == 1 && whole && merged < apart
}

/// The filter along rows and columns.
fn windows(g: &Conv2dGeometry) -> (Window, Window) {
    let window = |kernel, stride, dilation, pad| Window { kernel, stride, dilation, pad, mode: g.mode };
    (window(g.kernel_h, g.stride_h, g.dilation_h, g.pad_top), window(g.kernel_w, g.stride_w, g.dilation_w, g.pad_left))
}
