//! The filter transform, computed once for each update of the weights.

use std::marker::PhantomData;

use ocelli_simd::{InstructionSet, Isa, Kernel, MOST_LANES, dispatch_on};

use super::planes::PAD;
use super::transform::{Square, Taps, map_square};
use crate::conv::geometry::ConvMode;
use crate::conv::{Conv2dGeometry, Pass};
use crate::gemm::panels::{Panel, Panels};
use crate::gemm::tile::{VECTORS, panel_width};
use crate::parallel::each_piece;

/// Transformed filters: `[panel][plane][depth, width of the panel]`, where the depth is the channels that are summed
/// and the columns of all panels are the channels that result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Filters {
    /// Division of each plane into panels.
    pub panels: Panels,
    /// Number of planes.
    pub planes: usize,
}

impl Filters {
    /// Creates the layout of the filters of a forward or backward-data pass.
    pub fn new(set: InstructionSet, g: &Conv2dGeometry, pass: Pass, planes: usize) -> Self {
        let (depth, columns) = if pass == Pass::BackwardData { (g.out_c, g.in_c) } else { (g.in_c, g.out_c) };
        Self { panels: Panels::new(set, depth, columns), planes }
    }

    /// Returns the number of transformed elements.
    pub fn len(&self) -> usize {
        self.planes * (self.panels.packed_len() + self.panels.count() * PAD)
    }

    /// Returns the offset of panel `index`.
    #[inline(always)]
    pub fn start(&self, index: usize) -> usize {
        self.planes * (self.panels.panel(index).start + index * PAD)
    }

    /// Returns the distance between a panel's planes.
    #[inline(always)]
    pub fn step(&self, panel: &Panel) -> usize {
        self.panels.depth * panel.width + PAD
    }

    /// Transforms `w` into `u`, of [`Filters::len`] elements.
    pub fn transform<F: Taps<R, T>, const R: usize, const T: usize>(
        &self,
        set: InstructionSet,
        g: &Conv2dGeometry,
        pass: Pass,
        w: &[f32],
        u: &mut [f32],
    ) {
        assert_eq!(w.len(), g.filter_len(), "the filter of {:?} -> {:?}", g.input_shape(), g.output_shape());
        assert_eq!(u.len(), self.len(), "transformed filters have planes of whole panels");
        let panel = |index: usize, u: &mut [f32]| {
            let panel = self.panels.panel(index);
            let turned = (g.mode == ConvMode::Convolution) != (pass == Pass::BackwardData);
            let order = if turned { Order::Turned } else { Order::AsIs };
            let source = Source { w, taps: R * R, out_c: g.out_c, pass, order };
            let (depth, step) = (self.panels.depth, self.step(&panel));
            dispatch_on(set, TransformPanel::<F, R, T> { source, panel, depth, step, u, filter: PhantomData });
        };
        let panel_len = self.planes * self.step(&self.panels.panel(0));
        if u.len() < PARALLEL_FILTERS {
            u.chunks_mut(panel_len).enumerate().for_each(|(index, u)| panel(index, u));
        } else {
            each_piece(u, panel_len, &panel);
        }
    }
}

/// Transformed elements below which the work is not cut for threads: some 20 µs.
const PARALLEL_FILTERS: usize = 1 << 16;

/// Order of the taps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    AsIs,
    /// Turned by 180°.
    Turned,
}

/// Filters `[taps, in_c, out_c]`, read with the depth and the columns that a pass has.
#[derive(Clone, Copy)]
struct Source<'a> {
    w: &'a [f32],
    taps: usize,
    out_c: usize,
    pass: Pass,
    order: Order,
}

/// Elements of a copy (18 KiB): 16 steps of the depth with 9 taps, 5 with 25, of the widest panel.
const COPY: usize = 9 * 16 * VECTORS * MOST_LANES;

impl Source<'_> {
    /// Copies the taps of `count` steps of the depth from `first` on, and of the panel's columns: `[tap][depth][column]`,
    /// with zeros beyond the last column.
    #[inline(always)]
    fn copy(&self, panel: &Panel, first: usize, count: usize, copy: &mut [f32; COPY]) {
        let taps = self.w.chunks_exact(self.w.len() / self.taps);
        for (tap, w) in taps.enumerate() {
            let tap = if self.order == Order::Turned { self.taps - 1 - tap } else { tap };
            let copy = &mut copy[tap * count * panel.width..][..count * panel.width];
            if self.pass == Pass::BackwardData {
                for j in 0..panel.width {
                    if j < panel.columns {
                        let column = &w[(panel.column + j) * self.out_c + first..][..count];
                        copy.chunks_exact_mut(panel.width).zip(column).for_each(|(row, w)| row[j] = *w);
                    } else {
                        copy.chunks_exact_mut(panel.width).for_each(|row| row[j] = 0.0);
                    }
                }
            } else {
                for (d, row) in copy.chunks_exact_mut(panel.width).enumerate() {
                    let (row, beyond) = row.split_at_mut(panel.columns);
                    row.copy_from_slice(&w[(first + d) * self.out_c + panel.column..][..panel.columns]);
                    beyond.fill(0.0);
                }
            }
        }
    }
}

/// Transforms one panel.
struct TransformPanel<'a, F, const R: usize, const T: usize> {
    source: Source<'a>,
    panel: Panel,
    depth: usize,
    step: usize,
    u: &'a mut [f32],
    filter: PhantomData<F>,
}

impl<F: Taps<R, T>, const R: usize, const T: usize> Kernel for TransformPanel<'_, F, R, T> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { panel, depth, step, u, .. } = self;
        assert!(u.len() == T * T * step && step == depth * panel.width + PAD && panel.width <= panel_width::<I>());
        let mut copy = [0.0; COPY];
        let most = COPY / (R * R * panel.width);
        for first in (0..depth).step_by(most) {
            // Copy the taps.
            let count = most.min(depth - first);
            self.source.copy(&panel, first, count, &mut copy);
            let tap = count * panel.width;
            // Transform the copy.
            for column in (0..tap).step_by(I::LANES) {
                let from = Square { first: copy[column..].as_ptr(), row: R * tap, column: tap };
                // SAFETY: `copy` has `R²` taps of `tap` elements, whole vectors. In `u` are `T²` planes (asserted) with
                // `depth · width` elements each, of which these are those from row `first` on.
                unsafe {
                    let to = u.as_mut_ptr().add(first * panel.width + column);
                    map_square::<I, F::Filter, R, T>(isa, from, to, step);
                }
            }
        }
        u.chunks_exact_mut(step).for_each(|plane| plane[depth * panel.width..].fill(0.0));
    }
}
