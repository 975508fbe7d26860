//! The backward-filter pass: `dw = Gᵀ [Σ (Bᵀ x B) ⊙ (A dy Aᵀ)] G`, summed over all tiles.
//!
//! In each plane the sum is a matrix product with the tiles as its depth. A task owns a block of input and output channels
//! and keeps their sums in all planes, while blocks of tiles run by; where the channels give few tasks, the tiles are cut
//! into pieces as well, whose sums are added in order.

use std::marker::PhantomData;
use std::ops::Range;

use ocelli_simd::{InstructionSet, Isa, Kernel, dispatch_on};

use super::cut::{flops, part};
use super::images::{ImageShape, Tiles};
use super::planes::{PAD, Planes, TransformTiles};
use super::transform::{Linear, Minimal, Square, Taps, map_columns};
use crate::conv::Conv2dGeometry;
use crate::conv::geometry::ConvMode;
use crate::conv::shared::Shared;
use crate::gemm::PARALLEL_FLOPS;
use crate::gemm::finish::{Destination, Rows, store_vector};
use crate::gemm::panels::lanes;
use crate::gemm::tile::{Product, Segment, Strides, VECTORS, even_tiles, most_rows, tile};
use crate::parallel::{each, each_piece};
use crate::{Accumulate, Scratch, scratch};

/// Most channels of a task on either side. The more there are, the less is each transform repeated by other tasks: with
/// 128 that is a twelfth of the work.
const CHANNELS: usize = 128;

/// Most tiles of a block: the sums of all planes pass through the caches once for each block.
const BLOCK: usize = 64;

/// Number of tasks that keeps a few threads evenly busy.
const TASKS: usize = 16;

/// Most elements of the sums of all tasks, where tiles are cut into pieces: 24 MiB, and where that is more than 10 MiB (four
/// pieces of 128 × 128 channels), a quarter of the activations.
const SUMS: usize = 6 << 20;
const SUMS_IN_ANY_CASE: usize = 5 << 19;

/// Elements of the sums of the pieces that one task adds: long enough to pay for the task.
const REDUCTION: usize = 8192;

/// Fewest input channels whose filters one task transforms back.
const FINISHED_CHANNELS: usize = 16;

/// The division of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    set: InstructionSet,
    x: ImageShape,
    dy: ImageShape,
    before: [isize; 2],
    mode: ConvMode,
    tiles: Tiles,
    /// Input channels of a task: whole vectors.
    in_c: usize,
    /// Output channels of a task: whole panels.
    out_c: usize,
    /// Pieces of the tiles.
    pieces: usize,
    planes: usize,
    lanes: usize,
}

impl Plan {
    /// Plans the work for tiles of `side × side` outputs in `planes` planes.
    pub fn new(set: InstructionSet, g: &Conv2dGeometry, side: usize, planes: usize) -> Self {
        let x = ImageShape { height: g.in_h, width: g.in_w, channels: g.in_c };
        let dy = ImageShape { height: g.out_h, width: g.out_w, channels: g.out_c };
        let lanes = lanes(set);
        let channels = |whole: usize, unit: usize| whole.div_ceil(whole.div_ceil(CHANNELS)).next_multiple_of(unit);
        let (in_c, out_c) = (channels(g.in_c, lanes), channels(g.out_c, VECTORS * lanes));
        let tiles = Tiles::new(g.batch, &dy, side);
        let before = [g.pad_top as isize, g.pad_left as isize];
        let mut plan = Self { set, x, dy, before, mode: g.mode, tiles, in_c, out_c, pieces: 1, planes, lanes };
        if flops(&tiles, planes, g.in_c, g.out_c) >= PARALLEL_FLOPS {
            let quarter = (g.input_len() + g.output_len()) / 4;
            let most = quarter.clamp(SUMS_IN_ANY_CASE, SUMS) / (plan.blocks() * plan.sums_len());
            let pieces = TASKS.div_ceil(plan.blocks()).min(most).min(tiles.count / BLOCK).max(1);
            // A power of two keeps two threads or four evenly busy, which three pieces do not.
            plan.pieces = 1 << pieces.ilog2();
        }
        plan
    }

    fn in_blocks(&self) -> usize {
        self.x.channels.div_ceil(self.in_c)
    }

    /// Returns the number of blocks of channels.
    fn blocks(&self) -> usize {
        self.in_blocks() * self.dy.channels.div_ceil(self.out_c)
    }

    /// Returns the distance between the planes of a task's sums.
    fn sums_step(&self) -> usize {
        self.in_c * self.out_c + PAD
    }

    fn sums_len(&self) -> usize {
        self.planes * self.sums_step()
    }

    /// Returns the number of elements of shared scratch memory.
    pub fn workspace(&self) -> usize {
        if self.pieces == 1 { 0 } else { self.blocks() * self.pieces * self.sums_len() }
    }

    /// Returns the scratch memory that a task takes of its thread.
    pub fn scratch(&self) -> Scratch {
        let padded = |channels: usize, of_task: usize| channels.min(of_task).next_multiple_of(self.lanes);
        let tiles = BLOCK.min(self.tiles.count.div_ceil(self.pieces));
        let [inputs, outputs] = [padded(self.x.channels, self.in_c), padded(self.dy.channels, self.out_c)];
        let numbers = |channels| Planes { tiles, channels, chunk: channels }.len(self.planes);
        let tiles = Scratch::of(numbers(inputs) + numbers(outputs) + self.planes * inputs.max(outputs));
        if self.pieces == 1 { Scratch::of(self.sums_len()).around(tiles) } else { tiles }
    }

    /// Returns the input and the output channels of a block.
    fn channels(&self, block: usize) -> [Range<usize>; 2] {
        let (inputs, outputs) = (block % self.in_blocks() * self.in_c, block / self.in_blocks() * self.out_c);
        [inputs..self.x.channels.min(inputs + self.in_c), outputs..self.dy.channels.min(outputs + self.out_c)]
    }
}

/// Computes `dw`, or adds to it.
pub(super) fn filter_gradient<F: Minimal<M, T> + Taps<R, T>, const M: usize, const R: usize, const T: usize>(
    plan: &Plan,
    x: &[f32],
    dy: &[f32],
    dw: &mut [f32],
    accumulate: Accumulate,
    workspace: &mut [f32],
) {
    assert_eq!(plan.planes, T * T, "the plan is for this transform");
    assert_eq!(dw.len(), R * R * plan.x.channels * plan.dy.channels, "dw has its taps for all channels");
    if dy.is_empty() {
        if accumulate == Accumulate::Set {
            dw.fill(0.0);
        }
        return;
    }
    let dw = Shared::new(dw);
    let sum = |block: usize, piece: usize, sums: &mut [f32]| {
        let tiles = part(plan.tiles.count, piece, plan.pieces);
        Task::<F, M, T> { plan, x, dy, channels: plan.channels(block), minimal: PhantomData }.sum(tiles, sums);
    };
    let transform = |block: usize, channel: usize, sums: &[f32]| {
        let [inputs, outputs] = plan.channels(block);
        let (input, filter) = (inputs.start + channel, PhantomData);
        let work = TransformSums::<F, R, T> { plan, sums, channel, input, outputs, dw, accumulate, filter };
        dispatch_on(plan.set, work);
    };
    let finish = |block: usize, sums: &[f32]| {
        let count = plan.channels(block)[0].len();
        each(count.div_ceil(FINISHED_CHANNELS), &|group| {
            let first = group * FINISHED_CHANNELS;
            (first..count.min(first + FINISHED_CHANNELS)).for_each(|channel| transform(block, channel, sums));
        });
    };
    let len = plan.sums_len();
    // One piece: the sums lie in the scratch memory of a thread.
    if plan.pieces == 1 {
        return match plan.blocks() {
            1 => scratch::with(len, |sums| {
                sum(0, 0, sums);
                finish(0, sums);
            }),
            // Each finishes its own: a thread that waited for others would begin another block, with sums of its own.
            blocks => each(blocks, &|block| {
                scratch::with(len, |sums| {
                    sum(block, 0, sums);
                    (0..plan.channels(block)[0].len()).for_each(|channel| transform(block, channel, sums));
                });
            }),
        };
    }
    // Several pieces: sum each, add them in order, transform back.
    let workspace = &mut workspace[..plan.workspace()];
    each_piece(workspace, plan.pieces * len, &|block, pieces| {
        each_piece(pieces, len, &|piece, sums| sum(block, piece, sums));
        let (sums, others) = pieces.split_at_mut(len);
        each_piece(sums, REDUCTION, &|index, sums| {
            for other in others.chunks_exact(len) {
                let other = &other[index * REDUCTION..][..sums.len()];
                sums.iter_mut().zip(other).for_each(|(sum, other)| *sum += other);
            }
        });
        finish(block, sums);
    });
}

/// A task: the sums of a block of channels.
struct Task<'a, F, const M: usize, const T: usize> {
    plan: &'a Plan,
    x: &'a [f32],
    dy: &'a [f32],
    channels: [Range<usize>; 2],
    minimal: PhantomData<F>,
}

impl<F: Minimal<M, T>, const M: usize, const T: usize> Task<'_, F, M, T> {
    /// Writes the sums over some tiles, in all planes.
    fn sum(&self, tiles: Range<usize>, sums: &mut [f32]) {
        let Self { plan, x, dy, .. } = *self;
        let block = BLOCK;
        let panel = VECTORS * plan.lanes;
        let most = block.min(tiles.len());
        // Layouts of the planes.
        let layouts = |tiles| {
            let padded = |channels: &Range<usize>| channels.len().next_multiple_of(plan.lanes);
            let [inputs, outputs] = [padded(&self.channels[0]), padded(&self.channels[1])];
            let inputs = Planes { tiles, channels: inputs, chunk: inputs };
            (inputs, Planes { tiles, channels: outputs, chunk: panel })
        };
        let (inputs, outputs) = layouts(most);
        let window = T * T * inputs.channels.max(outputs.channels);
        let len = inputs.len(T * T) + outputs.len(T * T) + window;
        scratch::with(len, |scratch| {
            let (copy, scratch) = scratch.split_at_mut(window);
            for (first, count) in even_tiles(tiles.len(), most) {
                let (inputs, outputs) = layouts(count);
                let (v, rest) = scratch.split_at_mut(inputs.len(T * T));
                let t = &mut rest[..outputs.len(T * T)];
                let range = tiles.start + first..tiles.start + first + count;
                // Transform the inputs.
                dispatch_on(
                    plan.set,
                    TransformTiles::<F::Input, T, T> {
                        shape: plan.x,
                        data: x,
                        tiles: &plan.tiles,
                        range: range.clone(),
                        before: plan.before,
                        channels: self.channels[0].clone(),
                        layout: inputs,
                        planes: v,
                        copy,
                        map: PhantomData,
                    },
                );
                // Transform the gradients of the outputs.
                dispatch_on(
                    plan.set,
                    TransformTiles::<F::OutputAdjoint, M, T> {
                        shape: plan.dy,
                        data: dy,
                        tiles: &plan.tiles,
                        range,
                        before: [0, 0],
                        channels: self.channels[1].clone(),
                        layout: outputs,
                        planes: t,
                        copy,
                        map: PhantomData,
                    },
                );
                // Multiply plane by plane.
                let accumulate = if first == 0 { Accumulate::Set } else { Accumulate::Add };
                dispatch_on(
                    plan.set,
                    MultiplyTiles { plan, v, inputs, rows: self.channels[0].len(), t, outputs, sums, accumulate },
                );
            }
        });
    }
}

/// Computes `sums = Vᵀ · T` in each plane, or adds it: `[plane][panel of output channels][input channel, panel width]`.
struct MultiplyTiles<'a> {
    plan: &'a Plan,
    v: &'a [f32],
    inputs: Planes,
    /// Input channels.
    rows: usize,
    t: &'a [f32],
    outputs: Planes,
    sums: &'a mut [f32],
    accumulate: Accumulate,
}

impl Kernel for MultiplyTiles<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { plan, v, inputs, rows, t, outputs, sums, accumulate } = self;
        assert!(v.len() >= inputs.len(plan.planes) && t.len() >= outputs.len(plan.planes));
        assert!(sums.len() >= plan.sums_len() && rows <= plan.in_c && outputs.channels <= plan.out_c);
        assert!(inputs.tiles == outputs.tiles && rows <= inputs.channels && inputs.chunk == inputs.channels);
        let segments = [Segment { offset: 0, depth: inputs.tiles }];
        let strides = Strides::rows_contiguous(inputs.channels);
        for plane in 0..plan.planes {
            for (column, width) in outputs.chunks() {
                let vectors = width / I::LANES;
                let most = most_rows::<I>(vectors);
                for (first, count) in even_tiles(rows, most) {
                    // SAFETY: by the assertions, plane `plane` of the inputs holds `tiles` rows of `channels` elements,
                    // that of the outputs `tiles` rows of this panel from `column · tiles` on, and that of the sums
                    // `in_c` rows of it from `column · in_c` on. The sums are borrowed here alone.
                    unsafe {
                        let a = v.as_ptr().add(plane * inputs.step() + first);
                        let b = t.as_ptr().add(plane * outputs.step() + column * outputs.tiles);
                        let to = plane * plan.sums_step() + column * plan.in_c + first * width;
                        let rows = Rows::Apart(width);
                        let to = Destination::plain(sums.as_mut_ptr().add(to), rows, width, accumulate);
                        let product = Product { a, strides, segments: &segments, b, streams: None };
                        tile(isa, count, vectors, &product, &to);
                    }
                }
            }
        }
    }
}

/// Transforms the sums of one input channel to the gradient of its filters.
struct TransformSums<'a, F, const R: usize, const T: usize> {
    plan: &'a Plan,
    sums: &'a [f32],
    /// Input channel, counted in its block.
    channel: usize,
    /// Input channel, counted in the tensor.
    input: usize,
    outputs: Range<usize>,
    dw: Shared<'a>,
    accumulate: Accumulate,
    filter: PhantomData<F>,
}

impl<F: Taps<R, T>, const R: usize, const T: usize> Kernel for TransformSums<'_, F, R, T> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { plan, sums, channel, input, outputs, .. } = self;
        assert!(sums.len() >= plan.sums_len() && channel < plan.in_c && outputs.len() <= plan.out_c);
        assert!(input < plan.x.channels && outputs.end <= plan.dy.channels);
        let panel = VECTORS * I::LANES;
        let padded = outputs.len().next_multiple_of(I::LANES);
        let to = Destination::plain(self.dw.first(), Rows::Apart(0), 0, self.accumulate);
        for column in (0..outputs.len()).step_by(I::LANES) {
            // Transform the columns.
            let first = column - column % panel;
            let width = panel.min(padded - first);
            let place = first * plan.in_c + channel * width + column % panel;
            let lanes = I::LANES.min(outputs.len() - column);
            let step = plan.sums_step();
            // SAFETY: `place` and a vector behind it are row `channel` of a panel in a plane of `in_c · out_c` elements, and
            // `sums` holds all planes, `step` apart (asserted).
            let rows = unsafe {
                let from = Square { first: sums.as_ptr().add(place), row: T * step, column: step };
                map_columns::<I, F::FilterAdjoint, T, R>(isa, from)
            };
            // Transform the rows and store or add them.
            for (i, row) in rows.into_iter().enumerate() {
                for (j, dw) in F::FilterAdjoint::apply(isa, row).into_iter().enumerate() {
                    let (i, j) = (plan.mode.window_position(i, R), plan.mode.window_position(j, R));
                    let index = ((R * i + j) * plan.x.channels + input) * plan.dy.channels + outputs.start + column;
                    // SAFETY: tap, input and output channels are in range (asserted), so `lanes` elements at `index` lie in
                    // `dw`, whose length `filter_gradient` asserts; no other task has these channels.
                    unsafe { store_vector(isa, dw, &to, index, lanes) };
                }
            }
        }
    }
}
