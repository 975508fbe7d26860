//! Copies of a band's inputs into its scratch.

use ocelli_simd::{Isa, Kernel};

use super::band::{Band, Channels, Layout};
use super::problem::{Axis, Problem};

/// Fills the scratch of a band with some channels of a group.
pub(super) struct Fill<'a> {
    pub problem: &'a Problem,
    pub band: &'a Band,
    pub channels: &'a Channels,
    pub layout: &'a Layout,
    pub x: &'a [f32],
    pub scratch: &'a mut [f32],
}

impl Kernel for Fill<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let Self { problem, band, channels, layout, x, scratch } = self;
        let (mut problem, mut band) = (*problem, band.clone());
        if layout.gap > 0 {
            // Columns that outputs share are copied as outputs of one tap.
            let Axis { step, taps, .. } = problem.columns;
            problem.columns = problem.columns.one_tap();
            band.columns = band.columns.start * step..(band.columns.end - 1) * step + taps;
        }
        let apart = layout.image / band.columns.len();
        let rows = &problem.rows;
        let read_rows = (band.rows.len() - 1) * rows.step + rows.span();
        for phase in 0..rows.step.min(rows.span()) {
            // Rows of a remainder that no tap has are not read.
            if !(0..rows.taps.min(rows.step)).any(|tap| tap * rows.dilation % rows.step == phase) {
                continue;
            }
            for index in 0..layout.rows_of_phase {
                let local = index * rows.step + phase;
                if local >= read_rows {
                    break;
                }
                let row = rows.read_by(band.rows.start) + local as isize;
                let lines = &mut scratch[(phase * layout.rows_of_phase + index) * layout.line..];
                for (image, index) in band.images.clone().zip(0..) {
                    let line = &mut lines[index * layout.image..];
                    if (0..rows.inputs as isize).contains(&row) {
                        let line_index = image * rows.inputs + row as usize;
                        fill_line(isa, &problem, &band, channels, apart, &x[line_index * line_len(&problem)..], line);
                    } else {
                        line[..layout.image].fill(0.0);
                    }
                }
            }
        }
    }
}

/// Returns the number of elements of a row of the tensor that is read.
fn line_len(problem: &Problem) -> usize {
    problem.columns.inputs * problem.input_pixel()
}

/// Copies the inputs that the outputs, `apart` from each other, of one row and image read from the input row at the
/// start of `x`: from the first to the last, because copies are whole vectors that spill into what the next output
/// reads.
#[inline(always)]
fn fill_line<I: Isa>(
    isa: I,
    problem: &Problem,
    band: &Band,
    channels: &Channels,
    apart: usize,
    x: &[f32],
    line: &mut [f32],
) {
    let (columns, pixel) = (&problem.columns, problem.input_pixel());
    let depth = channels.range.len();
    let first_channel = channels.group * problem.depth + channels.range.start;
    let border = |column: usize, line: &mut [f32]| {
        let to = &mut line[(column - band.columns.start) * apart..][..columns.taps * depth];
        let from = columns.read_by(column);
        let taps = columns.taps_inside(from);
        to[..taps.start * depth].fill(0.0);
        to[taps.end * depth..].fill(0.0);
        for tap in taps {
            let at = (from + (tap * columns.dilation) as isize) as usize * pixel + first_channel;
            to[tap * depth..][..depth].copy_from_slice(&x[at..at + depth]);
        }
    };
    let inside = columns.outputs_inside(band.columns.clone());
    // Outputs at the left border.
    (band.columns.start..inside.start).for_each(|column| border(column, line));
    // Outputs inside.
    if !inside.is_empty() {
        // Neighbouring taps are neighbours in memory where they have all channels.
        let runs = if columns.dilation == 1 && depth == pixel {
            Runs { count: 1, every: 0, len: columns.taps * depth }
        } else {
            Runs { count: columns.taps, every: columns.dilation * pixel, len: depth }
        };
        let from = columns.read_by(inside.start) as usize * pixel + first_channel;
        let to = &mut line[(inside.start - band.columns.start) * apart..];
        runs.copy(isa, inside.len(), (&x[from..], columns.step * pixel), (to, apart));
    }
    // Outputs at the right border.
    (inside.end..band.columns.end).for_each(|column| border(column, line));
}

/// Inputs of an output in a row away from the border: runs of neighbouring elements.
#[derive(Clone, Copy, Debug)]
struct Runs {
    count: usize,
    /// Distance from the start of one run to the start of the next.
    every: usize,
    /// Elements of each run.
    len: usize,
}

impl Runs {
    /// Copies the runs of `count` outputs in order. `from` is the input of the first one and the distance to that of
    /// the next, `to` likewise for the destination.
    #[inline(always)]
    fn copy<I: Isa>(&self, isa: I, count: usize, from: (&[f32], usize), to: (&mut [f32], usize)) {
        let ((from, step), (to, apart)) = (from, to);
        let whole = self.len.next_multiple_of(I::LANES);
        let read = (self.count - 1) * self.every + whole;
        let written = (self.count - 1) * self.len + whole;
        assert!((count - 1) * apart + written <= to.len(), "copies of whole vectors stay inside the scratch");
        // At the end of the tensor the last outputs are copied element by element.
        let vectors = from.len().checked_sub(read).map_or(0, |room| (room / step + 1).min(count));
        // SAFETY: `(vectors - 1) * step + read` is inside `from`, and the assertion covers what is written.
        unsafe {
            let (from, to) = ((from.as_ptr(), step), (to.as_mut_ptr(), apart));
            match (self.count, whole / I::LANES) {
                (1, 1) => copy_vectors::<I, 1>(isa, vectors, from, to),
                (1, 2) => copy_vectors::<I, 2>(isa, vectors, from, to),
                (1, 3) => copy_vectors::<I, 3>(isa, vectors, from, to),
                (1, 4) => copy_vectors::<I, 4>(isa, vectors, from, to),
                _ => self.copy_whole(isa, vectors, from, to),
            }
        }
        for output in vectors..count {
            for run in 0..self.count {
                let from = &from[output * step + run * self.every..][..self.len];
                to[output * apart + run * self.len..][..self.len].copy_from_slice(from);
            }
        }
    }

    /// Copies runs in whole vectors.
    ///
    /// # Safety
    /// For each of `count` outputs, all runs rounded up to whole vectors can be read and written.
    #[inline(always)]
    unsafe fn copy_whole<I: Isa>(&self, isa: I, count: usize, from: (*const f32, usize), to: (*mut f32, usize)) {
        for output in 0..count {
            let (mut from, mut to) = (from.0.wrapping_add(output * from.1), to.0.wrapping_add(output * to.1));
            for _ in 0..self.count {
                for number in (0..self.len).step_by(I::LANES) {
                    // SAFETY: the caller's.
                    unsafe { isa.store_ptr(isa.load_ptr(from.add(number)), to.add(number)) };
                }
                (from, to) = (from.wrapping_add(self.every), to.wrapping_add(self.len));
            }
        }
    }
}

/// Copies `N` vectors for each of `count` outputs; images of few channels have very many of them.
///
/// # Safety
/// For each output, `N` vectors can be read and written.
#[inline(always)]
unsafe fn copy_vectors<I: Isa, const N: usize>(isa: I, count: usize, from: (*const f32, usize), to: (*mut f32, usize)) {
    for output in 0..count {
        for number in 0..N {
            let number = number * I::LANES;
            // SAFETY: the caller's.
            unsafe {
                isa.store_ptr(isa.load_ptr(from.0.add(output * from.1 + number)), to.0.add(output * to.1 + number))
            };
        }
    }
}
