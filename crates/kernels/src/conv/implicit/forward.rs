//! Bands of outputs times packed filters: the forward pass, and the gradient of the input.

use std::ops::Range;

use ocelli_simd::{InstructionSet, Isa, Kernel, Stores, dispatch_on};

use super::band::{Band, Layout, Spacing};
use super::cut::{Blocks, Tasks};
use super::fill::Fill;
use super::prepare::{group_len, packed_len, panels};
use super::problem::{MOST_MERGED_COLUMNS, Problem};
use crate::conv::algorithm::Pass;
use crate::conv::geometry::Conv2dGeometry;
use crate::conv::shared::Shared;
use crate::gemm::FAR;
use crate::gemm::dots::{DotProducts, dot_rows, dots};
use crate::gemm::finish::{Destination, Finish, Rows};
use crate::gemm::panels::{Panel, Panels};
use crate::gemm::stream::Streams;
use crate::gemm::tile::{MOST_ROWS, Product, Segment, Strides, even_tiles, most_rows, tile};
use crate::parallel::{each, each_piece};
use crate::stores::stores_for_product;
use crate::{Accumulate, Epilogue, scratch};

/// Most problems whose tasks are handed out together: all of a stride up to 4.
const PHASES: usize = 16;

/// Elements of the output that one task sets to zero.
const ZEROS: usize = 1 << 16;

/// Solves all problems of a pass: reads `x`, writes `y`.
///
/// The tasks of all problems are handed out together, in turns: a single problem may be too little work for a second
/// thread, and the same band of several reads the same elements.
pub(super) fn run(g: &Conv2dGeometry, pass: Pass, x: &[f32], packed: &[f32], epilogue: &Epilogue<'_>, y: &mut [f32]) {
    if epilogue.accumulate == Accumulate::Set && Problem::leave_outputs(g, pass) {
        // Gradients alone have such outputs, and no epilogue.
        each_piece(y, ZEROS, &|_, y| y.fill(0.0));
    }
    let set = InstructionSet::current();
    let (y, wanted) = (Shared::new(y), Problem::wanted_pieces(g, pass));
    let (mut problems, mut rest) = (Problem::all(g, pass), packed);
    loop {
        let (mut phases, mut count, mut most) = ([const { None }; PHASES], 0, 0);
        for (phase, problem) in phases.iter_mut().zip(&mut problems) {
            let (packed, after) = rest.split_at(packed_len(set, &problem));
            rest = after;
            let new = Phase::new(set, problem, wanted, packed);
            (count, most) = (count + 1, most.max(new.tasks.count(&problem)));
            *phase = Some(new);
        }
        let task = |index: usize| {
            let phase = phases[index % count].as_ref().expect("so many phases");
            if index / count < phase.tasks.count(&phase.problem) {
                phase.run(set, index / count, x, epilogue, y);
            }
        };
        match count * most {
            0 => return,
            1 => task(0),
            tasks => each(tasks, &task),
        }
    }
}

/// A problem among those whose tasks are handed out together.
struct Phase<'a> {
    problem: Problem,
    panels: Panels,
    tasks: Tasks,
    /// Prepared filters of the problem.
    packed: &'a [f32],
}

impl<'a> Phase<'a> {
    fn new(set: InstructionSet, problem: Problem, wanted: usize, packed: &'a [f32]) -> Self {
        let panels = panels(set, &problem);
        Self { tasks: Tasks::new(&problem, panels.count(), wanted), problem, panels, packed }
    }

    /// Computes task `index` of the problem.
    fn run(&self, set: InstructionSet, index: usize, x: &[f32], epilogue: &Epilogue<'_>, y: Shared<'_>) {
        let Self { problem, panels, tasks, packed } = self;
        let (index, part) = (index / tasks.panel_parts, index % tasks.panel_parts);
        let (band, group) = (index / problem.groups, index % problem.groups);
        let filters = &packed[group * group_len(set, problem)..][..group_len(set, problem)];
        let columns = part * tasks.panels..panels.count().min((part + 1) * tasks.panels);
        let (band, blocks, panels) = (tasks.bands.band(problem, band), &tasks.blocks, *panels);
        let mut repeated = [0.0; MOST_MERGED_COLUMNS];
        let epilogue = &Epilogue { bias: bias(epilogue, problem, &mut repeated), ..*epilogue };
        // Outside of the kernel: the instruction set does not reach into a closure.
        scratch::with(tasks.bands.scratch_len(problem, blocks.channels, Spacing::of(problem)), |scratch| {
            let task = Task { problem, blocks, band, group, x, filters, panels, columns, epilogue, y, scratch };
            dispatch_on(set, task);
        });
    }
}

/// Returns the bias of merged pixels: that of a pixel, repeated.
fn bias<'a>(
    epilogue: &Epilogue<'a>,
    problem: &Problem,
    repeated: &'a mut [f32; MOST_MERGED_COLUMNS],
) -> Option<&'a [f32]> {
    let bias = epilogue.bias?;
    if problem.merged == 1 {
        return Some(bias);
    }
    let repeated = &mut repeated[..problem.width];
    repeated.chunks_exact_mut(bias.len()).for_each(|pixel| pixel.copy_from_slice(bias));
    Some(repeated)
}

/// A task: a band of outputs in some panels of the channels of a group.
struct Task<'a> {
    problem: &'a Problem,
    blocks: &'a Blocks,
    band: Band,
    group: usize,
    x: &'a [f32],
    /// Prepared filters of the group.
    filters: &'a [f32],
    panels: Panels,
    /// Range of panels.
    columns: Range<usize>,
    epilogue: &'a Epilogue<'a>,
    y: Shared<'a>,
    scratch: &'a mut [f32],
}

impl Kernel for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let (problem, blocks) = (self.problem, self.blocks);
        let mut depth = 0;
        for channels in blocks.channels(problem, self.group) {
            let layout = Layout::new(problem, &self.band, channels.range.len(), Spacing::of(problem));
            let (band, channels, layout) = (&self.band, &channels, &layout);
            isa.call(Fill { problem, band, channels, layout, x: self.x, scratch: &mut *self.scratch });
            for tap_rows in blocks.tap_rows(problem) {
                let block = depth..depth + tap_rows.len() * layout.run;
                depth = block.end;
                self.multiply(isa, layout, tap_rows, block);
            }
        }
        // For those that were stored past the caches.
        isa.fence();
    }
}

impl Task<'_> {
    /// Returns stores past the caches for whole vectors of results that are stored once and that no cache keeps, else
    /// regular ones.
    fn stores(&self, depth: &Range<usize>) -> Stores {
        let problem = self.problem;
        let once = *depth == (0..problem.terms()) && self.epilogue.accumulate == Accumulate::Set;
        if once { stores_for_product(self.y.at(0), self.y.len(), problem.width) } else { Stores::Regular }
    }

    /// Adds the products of a block of the depth.
    #[inline(always)]
    fn multiply<I: Isa>(&self, isa: I, layout: &Layout, tap_rows: Range<usize>, depth: Range<usize>) {
        let problem = self.problem;
        // The first block starts from the destination, and the last one ends with the epilogue.
        let accumulate = if depth.start == 0 { self.epilogue.accumulate } else { Accumulate::Add };
        let last = depth.end == problem.terms();
        let finish = if last { Finish::of(self.epilogue) } else { Finish::NOTHING };
        // Reads of a tile.
        let (segments, count) = layout.segments(tap_rows.clone());
        let segments = &segments[..count];
        let reach = segments.iter().map(|segment| segment.offset + segment.depth).max().unwrap_or(0);
        // Order and spacing of the outputs.
        let stores = self.stores(&depth);
        let contiguous = self.band.is_contiguous(problem);
        let band_pixels = self.band.pixels();
        let line_pixels = self.band.columns.len();
        let output = |index: usize| index * layout.pixel + index / line_pixels * layout.gap;
        assert!(output(band_pixels - 1) + reach <= self.scratch.len(), "the outputs of a band read its scratch");
        let output_pixel = problem.output_pixel();
        let far = self.filters.len() > FAR;
        for index in self.columns.clone() {
            let panel = self.panels.panel(index);
            // The panel, and the next one to prefetch.
            let filters = Filters::new(problem, &panel, self.filters, &depth);
            let next = (far && index + 1 < self.columns.end).then(|| self.panels.panel(index + 1));
            let next = next.and_then(|next| Filters::new(problem, &next, self.filters, &depth).panel());
            let column = self.group * problem.width + panel.column;
            let most = filters.most_rows::<I>(&panel);
            let mut positions = self.band.positions(problem, 0);
            let origin = positions.next().unwrap_or(0) * output_pixel + column;
            let mut positions = self.band.positions(problem, 0);
            for (pixels, taps) in self.stretches(layout, &tap_rows) {
                if taps.is_empty() && accumulate == Accumulate::Add && !last {
                    // Nothing is added.
                    let skipped = if contiguous { 0 } else { pixels.len() };
                    positions.by_ref().take(skipped).for_each(drop);
                    continue;
                }
                let segments = &segments[taps.clone()];
                let filters = filters.from(taps.start * layout.run);
                for (first, count) in even_tiles(pixels.len(), most) {
                    let first = pixels.start + first;
                    // Destination of the tile.
                    let mut offsets = [0; MOST_ROWS];
                    let (start, rows) = if contiguous {
                        (origin + first * output_pixel, Rows::Apart(output_pixel))
                    } else {
                        for (offset, position) in offsets[..count].iter_mut().zip(&mut positions) {
                            *offset = position * output_pixel + column - origin;
                        }
                        (origin, Rows::At(&offsets))
                    };
                    let to = finish.at(self.y.at(start), start, column, rows, panel.columns, accumulate);
                    let to = Destination { stores, ..to };
                    // Multiply and store.
                    let streams = next.map(|next| Streams::part::<I>(next, (first, count, band_pixels), depth.len()));
                    let a = self.scratch[output(first)..].as_ptr();
                    // SAFETY: the assertion above covers the last element of the left operand; the filters go on for the depth
                    // of the segments; the outputs of this task are its own (bands, groups and panels are disjoint) and
                    // inside `y`, which has the size of the geometry, as have bias and residual (`Epilogue::assert_fits`).
                    unsafe { filters.multiply(isa, count, (a, layout.pixel), segments, streams, to) };
                }
            }
        }
    }

    /// Returns the outputs of the band in stretches that are evenly spaced and see the same part of `tap_rows`; the
    /// other taps lie on the border and are left out. A stretch is its outputs, and its taps counted from the first.
    fn stretches(
        &self,
        layout: &Layout,
        tap_rows: &Range<usize>,
    ) -> impl Iterator<Item = (Range<usize>, Range<usize>)> + use<> {
        let (rows, band, taps) = (self.problem.rows, self.band.rows.clone(), tap_rows.clone());
        let (images, columns, even) = (self.band.images.len(), self.band.columns.len(), layout.gap == 0);
        let seen = move |row: usize| {
            let seen = rows.taps_seen(row, &taps, images * columns);
            seen.start - taps.start..seen.end - taps.start
        };
        // Lines, each of a row of an image.
        let (mut next, lines) = (0, band.len() * images);
        std::iter::from_fn(move || {
            let (start, taps) = (next, (next < lines).then(|| seen(band.start + next / images))?);
            next += if even { images } else { 1 };
            while even && next < lines && seen(band.start + next / images) == taps {
                next += images;
            }
            Some((start * columns..next * columns, taps))
        })
    }
}

/// Filters that a band is multiplied with, from a given depth on.
#[derive(Clone, Copy)]
enum Filters<'a> {
    /// A panel of one or two vectors.
    Panel { packed: &'a [f32], vectors: usize, width: usize },
    /// All output channels of a group, at a fixed distance from one another.
    Columns { packed: &'a [f32], apart: usize },
}

impl<'a> Filters<'a> {
    /// Returns the filters of a panel for a block of the depth, among the prepared filters of a group.
    fn new(problem: &Problem, panel: &Panel, prepared: &'a [f32], depth: &Range<usize>) -> Self {
        if problem.by_dots() {
            let apart = problem.terms();
            assert!((problem.width - 1) * apart + depth.end <= prepared.len(), "each column has its depth");
            return Self::Columns { packed: &prepared[depth.start..], apart };
        }
        let packed = &prepared[panel.start + depth.start * panel.width..][..depth.len() * panel.width];
        Self::Panel { packed, vectors: panel.vectors, width: panel.width }
    }

    /// Returns the packed elements, if they are a panel's.
    fn panel(&self) -> Option<&'a [f32]> {
        match self {
            Self::Panel { packed, .. } => Some(packed),
            Self::Columns { .. } => None,
        }
    }

    fn from(self, depth: usize) -> Self {
        match self {
            Self::Panel { packed, vectors, width } => Self::Panel { packed: &packed[depth * width..], vectors, width },
            Self::Columns { packed, apart } => Self::Columns { packed: &packed[depth..], apart },
        }
    }

    /// Returns the largest number of outputs of a tile.
    fn most_rows<I: Isa>(&self, panel: &Panel) -> usize {
        match self {
            Self::Panel { vectors, .. } => most_rows::<I>(*vectors),
            Self::Columns { .. } => dot_rows::<I>(panel.columns),
        }
    }

    /// Computes a tile of `rows` outputs, whose inputs begin at `a` and are evenly spaced.
    ///
    /// # Safety
    /// The conditions of [`tile`] and [`dots`] hold.
    #[inline(always)]
    unsafe fn multiply<I: Isa>(
        self,
        isa: I,
        rows: usize,
        (a, row): (*const f32, usize),
        segments: &[Segment],
        streams: Option<Streams>,
        to: Destination<'_>,
    ) {
        // SAFETY: the caller's.
        unsafe {
            match self {
                Self::Panel { packed, vectors, .. } => {
                    let strides = Strides::depth_contiguous(row);
                    let product = Product { a, strides, segments, b: packed.as_ptr(), streams };
                    tile(isa, rows, vectors, &product, &to);
                }
                Self::Columns { packed, apart } => {
                    dots(isa, rows, DotProducts { a, row, segments, b: packed.as_ptr(), column: apart }, to);
                }
            }
        }
    }
}
