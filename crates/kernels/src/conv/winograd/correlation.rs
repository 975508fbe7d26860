//! The forward and the backward-data pass: blocks of tiles go through input transform, products and output transform.

use std::marker::PhantomData;
use std::ops::Range;

use ocelli_simd::{InstructionSet, Isa, Kernel, dispatch_on};

use super::cut::{flops, part};
use super::filters::Filters;
use super::images::{ImageShape, Origin, Tiles};
use super::planes::{Planes, TransformTiles};
use super::transform::{Linear, Minimal, Square, map_columns};
use crate::conv::shared::Shared;
use crate::conv::{Conv2dGeometry, Pass};
use crate::gemm::finish::{Destination, Finish, Rows, store, store_vector};
use crate::gemm::panels::lanes;
use crate::gemm::stream::Streams;
use crate::gemm::tile::{Product, Segment, Strides, VECTORS, even_tiles, most_rows, tile};
use crate::gemm::{FAR, PARALLEL_FLOPS, PIECES_OF_ONE};
use crate::parallel::each_or_one;
use crate::{Accumulate, Epilogue, Scratch, scratch};

/// The sum `y[p] = Σ x[p + k − before] · w[k]` over the taps `k`: a forward pass, or a backward-data pass with `y` for
/// the gradient of the input, which is such a sum over the turned filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Correlation {
    batch: usize,
    input: ImageShape,
    output: ImageShape,
    /// Zeros above and left of the input; negative if its first pixels are seen by no window.
    before: [isize; 2],
}

impl Correlation {
    /// Creates the correlation of a pass.
    pub fn new(g: &Conv2dGeometry, pass: Pass) -> Self {
        let x = ImageShape { height: g.in_h, width: g.in_w, channels: g.in_c };
        let y = ImageShape { height: g.out_h, width: g.out_w, channels: g.out_c };
        let before = [g.pad_top as isize, g.pad_left as isize];
        if pass == Pass::BackwardData {
            let last = [g.kernel_h as isize - 1, g.kernel_w as isize - 1];
            Self { batch: g.batch, input: y, output: x, before: [last[0] - before[0], last[1] - before[1]] }
        } else {
            Self { batch: g.batch, input: x, output: y, before }
        }
    }
}

/// Channels whose products are summed in registers; beyond, sums are added in memory. Rounding errors grow with the
/// length of such a chain, and with 128 the panel of a filter (8 KiB) and the tiles (24 KiB) fit the first-level cache.
const DEPTH: usize = 128;

/// Most tiles of a block. Each filter is read once for a block: enough tiles that this costs little, few enough that
/// transform and products of 64 channels (0.9 MB) stay near the second-level cache. From 24 to 96 tiles, layers of 64
/// to 256 channels differ by 5 % on AVX2; with 512 channels, 64 are a fifth faster than 24.
const BLOCK: usize = 64;

/// Output columns that are multiplied before they are transformed: their products stay in the second-level cache.
const COLUMNS: usize = 32;

/// Number of tasks, or a multiple, that keeps a few threads evenly busy.
const TASKS: usize = 8;

/// Fewest columns of a task, since each transforms the inputs by itself: with 64 columns that is a tenth of its work.
const TASK_COLUMNS: usize = 64;

/// Floating-point operations of the products below which the work is small: it is cut into fewer and smaller tasks.
const SMALL: usize = 2_400_000;

/// Fewest floating-point operations of the products of a small task, some 3 µs.
const SMALL_TASK: usize = 300_000;

/// Fewest tiles of a small task.
const SMALL_TASK_TILES: usize = 8;

/// Fewest columns of a small task.
const SMALL_TASK_COLUMNS: usize = 32;

/// Most elements of transformed filters that small tasks read again for each block of tiles.
const SMALL_FILTERS: usize = 1 << 16;

/// The division of the work: tasks are blocks of tiles, and where those are few, of columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Plan {
    tiles: Tiles,
    /// Blocks of tiles.
    blocks: usize,
    /// Groups of panels.
    groups: usize,
    /// Channels of a chunk.
    chunk: usize,
    lanes: usize,
    /// Floating-point operations of the products.
    flops: usize,
}

impl Plan {
    /// Plans the work for tiles of `side × side` outputs in `planes` planes.
    fn new(c: &Correlation, set: InstructionSet, side: usize, planes: usize) -> Self {
        let lanes = lanes(set);
        let tiles = Tiles::new(c.batch, &c.output, side);
        let flops = flops(&tiles, planes, c.input.channels, c.output.channels);
        let blocks = tiles.count.div_ceil(BLOCK);
        let (blocks, groups) = if flops < SMALL {
            let tasks = prev_power_of_two(flops / SMALL_TASK);
            let filters = planes.saturating_mul(c.input.channels).saturating_mul(c.output.channels);
            let most_blocks = if filters <= SMALL_FILTERS { tiles.count / SMALL_TASK_TILES } else { 1 };
            let blocks = blocks.max(prev_power_of_two(most_blocks.min(tasks)));
            (blocks, (tasks / blocks).clamp(1, c.output.channels.div_ceil(SMALL_TASK_COLUMNS)))
        } else if blocks < TASKS {
            let blocks = blocks.next_power_of_two();
            let groups = (TASKS / blocks).min(c.output.channels.div_ceil(TASK_COLUMNS));
            if blocks * groups == 1 {
                (prev_power_of_two(tiles.count / SMALL_TASK_TILES).min(PIECES_OF_ONE), groups)
            } else {
                (blocks, groups)
            }
        } else {
            (blocks.next_multiple_of(TASKS), 1)
        };
        let chunks = c.input.channels.div_ceil(DEPTH);
        let chunk = c.input.channels.div_ceil(chunks).next_multiple_of(lanes);
        Self { tiles, blocks, groups, chunk, lanes, flops }
    }

    /// Returns the layouts of the transformed inputs of a task of `tiles` tiles, and of their products.
    fn planes(&self, c: &Correlation, tiles: usize) -> [Planes; 2] {
        let channels = c.input.channels.next_multiple_of(self.lanes);
        let columns = COLUMNS.next_multiple_of(VECTORS * self.lanes);
        [Planes { tiles, channels, chunk: self.chunk }, Planes { tiles, channels: columns, chunk: columns }]
    }
}

/// Returns the largest power of two up to `x`; 1 for 0.
fn prev_power_of_two(x: usize) -> usize {
    1 << x.max(1).ilog2()
}

/// Computes `y`, with filters that [`Filters::transform`] made on the same instruction set.
pub(super) fn correlate<F: Minimal<M, T>, const M: usize, const T: usize>(
    c: &Correlation,
    set: InstructionSet,
    x: &[f32],
    (filters, u): (&Filters, &[f32]),
    epilogue: &Epilogue<'_>,
    y: &mut [f32],
) {
    assert_eq!(x.len(), c.batch * c.input.len(), "the input is a batch of images");
    assert_eq!(y.len(), c.batch * c.output.len(), "the output is a batch of images");
    assert_eq!(u.len(), filters.len(), "transformed filters have planes of whole panels");
    epilogue.assert_fits(y.len(), c.output.channels);
    if y.is_empty() {
        return;
    }
    let plan = Plan::new(c, set, M, T * T);
    let to = Results { y: Shared::new(y), finish: Finish::of(epilogue), accumulate: epilogue.accumulate };
    let task = |index: usize| {
        let (block, group) = (index / plan.groups, index % plan.groups);
        let panels = filters.panels.count();
        let task = Task::<F, M, T> {
            c,
            plan: &plan,
            set,
            filters,
            tiles: part(plan.tiles.count, block, plan.blocks),
            panels: part(panels, group, plan.groups),
            minimal: PhantomData,
        };
        task.run(x, u, &to);
    };
    let tasks = 0..plan.blocks * plan.groups;
    // Small tasks are worth the threads of a pool that are awake beside a plan, and not waking one from outside.
    let least = if rayon::current_thread_index().is_some() { 2 * SMALL_TASK } else { PARALLEL_FLOPS };
    let is_shared = plan.flops >= least;
    if is_shared {
        each_or_one(tasks.len(), &task);
    } else {
        tasks.for_each(task);
    }
}

/// The whole output, and the epilogue applied to it.
struct Results<'a> {
    y: Shared<'a>,
    finish: Finish,
    accumulate: Accumulate,
}

impl Results<'_> {
    /// Returns the destination of `columns` channels from element `index` on, which is in channel `channel`, with
    /// pixels `step` apart.
    ///
    /// # Safety
    /// There is an element `index`.
    #[inline(always)]
    unsafe fn at(&self, index: usize, channel: usize, step: usize, columns: usize) -> Destination<'static> {
        // SAFETY: the caller.
        let first = unsafe { self.y.first().add(index) };
        self.finish.at(first, index, channel, Rows::Apart(step), columns, self.accumulate)
    }
}

/// A task: some tiles and some panels of columns.
struct Task<'a, F, const M: usize, const T: usize> {
    c: &'a Correlation,
    plan: &'a Plan,
    set: InstructionSet,
    filters: &'a Filters,
    tiles: Range<usize>,
    panels: Range<usize>,
    minimal: PhantomData<F>,
}

impl<F: Minimal<M, T>, const M: usize, const T: usize> Task<'_, F, M, T> {
    fn run(&self, x: &[f32], u: &[f32], to: &Results<'_>) {
        let Self { c, plan, set, filters, .. } = *self;
        let [inputs, products] = plan.planes(c, self.tiles.len());
        scratch::with(scratch_len(&inputs, &products, T * T), |scratch| {
            let (v, rest) = scratch.split_at_mut(inputs.len(T * T));
            let (m, copy) = rest.split_at_mut(products.len(T * T));
            // Transform the tiles.
            dispatch_on(
                set,
                TransformTiles::<F::Input, T, T> {
                    shape: c.input,
                    data: x,
                    tiles: &plan.tiles,
                    range: self.tiles.clone(),
                    before: c.before,
                    channels: 0..c.input.channels,
                    layout: inputs,
                    planes: v,
                    copy,
                    map: PhantomData,
                },
            );
            let at_once = products.channels / (VECTORS * plan.lanes);
            for first in self.panels.clone().step_by(at_once) {
                // Multiply plane by plane.
                let panels = first..self.panels.end.min(first + at_once);
                dispatch_on(
                    set,
                    MultiplyPlanes { planes: T * T, v, inputs, u, filters, panels: panels.clone(), m, products },
                );
                // Transform back and store these panels alone: the ones that follow may be another task's.
                let (begin, last) = (filters.panels.panel(panels.start), filters.panels.panel(panels.end - 1));
                let columns = begin.column..last.column + last.columns;
                let tiles = (&plan.tiles, self.tiles.clone());
                dispatch_on(
                    set,
                    TransformOutputs::<F, M, T> {
                        shape: c.output,
                        tiles,
                        m,
                        products,
                        columns,
                        to,
                        minimal: PhantomData,
                    },
                );
            }
        });
    }
}

/// Computes `M = V · U` in each plane, for some panels of columns.
struct MultiplyPlanes<'a> {
    planes: usize,
    v: &'a [f32],
    inputs: Planes,
    u: &'a [f32],
    filters: &'a Filters,
    panels: Range<usize>,
    m: &'a mut [f32],
    products: Planes,
}

impl Kernel for MultiplyPlanes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { v, inputs, u, filters, m, products, .. } = self;
        let depth = filters.panels.depth;
        assert!(v.len() >= inputs.len(self.planes) && m.len() >= products.len(self.planes));
        assert!(u.len() == filters.len() && inputs.channels >= depth);
        assert!(inputs.tiles == products.tiles && products.chunk == products.channels);
        let first_column = filters.panels.panel(self.panels.start).column;
        let far = u.len() > FAR;
        // In the order in which the filters lie, but for the panels.
        let chunks = inputs.channels.div_ceil(inputs.chunk);
        let step = |step: usize| {
            let (rest, chunk) = (step / chunks, step % chunks);
            let (plane, index) = (rest / self.panels.len(), self.panels.start + rest % self.panels.len());
            let panel = filters.panels.panel(index);
            let channel = chunk * inputs.chunk;
            let b = filters.start(index) + plane * filters.step(&panel) + channel * panel.width;
            (plane, panel, channel, b)
        };
        let steps = self.planes * self.panels.len() * chunks;
        for index in 0..steps {
            // The panel of this step, and the next one to prefetch.
            let (plane, panel, channel, b) = step(index);
            let width = inputs.chunk.min(inputs.channels - channel);
            let depth = width.min(depth - channel);
            let b = &u[b..b + depth * panel.width];
            // Nearly always as long.
            let next = far.then(|| &u[step((index + 1) % steps).3..]).map(|next| &next[..next.len().min(b.len())]);
            // Multiply all tiles with the panel.
            let (segments, strides) = ([Segment { offset: 0, depth }], Strides::depth_contiguous(width));
            let accumulate = if channel == 0 { Accumulate::Set } else { Accumulate::Add };
            let column = panel.column - first_column;
            assert!(column + panel.width <= products.channels, "products have room for the panels");
            let most = most_rows::<I>(panel.vectors);
            for (first, count) in even_tiles(inputs.tiles, most) {
                // Each tile of the result brings its share of the panel that follows.
                let streams = next.map(|next| Streams::part::<I>(next, (first, count, inputs.tiles), depth));
                // SAFETY: by the assertions, plane `plane` of the inputs holds `tiles` rows of this chunk's `width`
                // channels from `channel · tiles` on, `b` as many rows, and plane `plane` of the
                // products `tiles` rows with room for the panel's columns. The products are borrowed here alone.
                unsafe {
                    let a = v.as_ptr().add(plane * inputs.step() + channel * inputs.tiles + first * width);
                    let to = plane * products.step() + first * products.channels + column;
                    let rows = Rows::Apart(products.channels);
                    let to = Destination::plain(m.as_mut_ptr().add(to), rows, panel.width, accumulate);
                    let product = Product { a, strides, segments: &segments, b: b.as_ptr(), streams };
                    tile(isa, count, panel.vectors, &product, &to);
                }
            }
        }
    }
}

/// Transforms products to outputs and stores them as the epilogue says.
struct TransformOutputs<'a, F, const M: usize, const T: usize> {
    shape: ImageShape,
    tiles: (&'a Tiles, Range<usize>),
    m: &'a [f32],
    products: Planes,
    /// The columns of the products among the channels.
    columns: Range<usize>,
    to: &'a Results<'a>,
    minimal: PhantomData<F>,
}

impl<F: Minimal<M, T>, const M: usize, const T: usize> Kernel for TransformOutputs<'_, F, M, T> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { shape, m, products, columns, to, .. } = self;
        let (tiles, range) = self.tiles;
        assert!(m.len() >= products.len(T * T) && products.tiles == range.len());
        assert!(columns.len() <= products.channels && products.channels.is_multiple_of(I::LANES));
        for (index, tile) in range.enumerate() {
            // Pixels of the tile inside the image.
            let Origin { image, row, column } = tiles.origin(tile);
            let (row, column) = (row as usize, column as usize);
            let (height, width) = (M.min(shape.height - row), M.min(shape.width - column));
            let first = shape.index(image, row, column);
            for channel in columns.clone().step_by(I::LANES) {
                let lanes = I::LANES.min(columns.end - channel);
                // Transform the columns.
                let place = index * products.channels + channel - columns.start;
                // SAFETY: `place` and a vector behind it lie in a plane of `tiles · channels` elements, and `m` holds all
                // planes, `step` apart (asserted).
                let rows = unsafe {
                    let from = m.as_ptr().add(place);
                    let from = Square { first: from, row: T * products.step(), column: products.step() };
                    map_columns::<I, F::Output, T, M>(isa, from)
                };
                // Transform the rows and store them.
                for (i, row) in rows.into_iter().enumerate().take(height) {
                    let y = F::Output::apply(isa, row);
                    let index = first + i * shape.width * shape.channels + channel;
                    // SAFETY: the row's pixels and the channels lie in the image, and so `lanes` elements of each from
                    // `index` on in the output, of which `to` is all (`correlate` asserts its length and that of the
                    // residual and the bias); no other task has this tile and these channels.
                    unsafe { store_row::<I, M>(isa, y, width, &to.at(index, channel, shape.channels, lanes)) };
                }
            }
        }
    }
}

/// Stores the first `width` of `M` pixels.
///
/// # Safety
/// The conditions of [`store`] hold for `width` rows.
#[inline(always)]
unsafe fn store_row<I: Isa, const M: usize>(isa: I, y: [I::Vector; M], width: usize, to: &Destination<'_>) {
    if width == M {
        let mut rows = [[isa.zero()]; M];
        for (row, y) in rows.iter_mut().zip(y) {
            *row = [y];
        }
        // SAFETY: the caller.
        return unsafe { store::<I, M, 1>(isa, rows, to) };
    }
    for (j, y) in y.into_iter().enumerate().take(width) {
        // SAFETY: the caller.
        unsafe { store_vector(isa, y, to, to.rows.offset(j), to.columns) };
    }
}

impl Correlation {
    /// Returns the scratch memory that a task takes of its thread, with tiles of `side × side` outputs in `planes` planes.
    pub fn scratch(&self, set: InstructionSet, side: usize, planes: usize) -> Scratch {
        let plan = Plan::new(self, set, side, planes);
        let tiles = plan.tiles.count.div_ceil(plan.blocks.max(1));
        let [inputs, products] = plan.planes(self, tiles);
        Scratch::of(scratch_len(&inputs, &products, planes))
    }
}

/// Returns the number of elements of a task's scratch memory: its planes, and a copy of one tile's window.
fn scratch_len(inputs: &Planes, products: &Planes, planes: usize) -> usize {
    inputs.len(planes) + products.len(planes) + planes * inputs.channels
}
