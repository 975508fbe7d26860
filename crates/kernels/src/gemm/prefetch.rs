//! Prefetching of the next block of the left operand while one is multiplied, a few cache lines with every tile: so
//! memory and arithmetic take their time together, not one after the other. The lines come to the second-level cache,
//! because the first keeps the panel.

use ocelli_simd::Isa;

use super::matrix::Matrix;
use super::panels::Contiguous;
use crate::cache::LINE;

/// The cache lines of a matrix that are still to be fetched, in the order in which they lie.
pub(super) struct BlockPrefetcher {
    /// Run of neighbours that is fetched now.
    run: *const f32,
    /// Number of its elements that are fetched.
    fetched: usize,
    /// Elements of a run.
    length: usize,
    /// Distance from one run to the next.
    stride: usize,
    /// Number of runs that are left, this one counted.
    runs: usize,
}

impl BlockPrefetcher {
    /// Creates the prefetcher of a whole matrix; of nothing if it has no neighbouring elements.
    pub fn of(a: &Matrix<'_>) -> Self {
        let (runs, length, stride) = match a.contiguous() {
            Contiguous::Rows => (a.rows, a.cols, a.row_stride),
            Contiguous::Columns => (a.cols, a.rows, a.col_stride),
            Contiguous::Neither => (0, 0, 0),
        };
        // Without gaps they are one.
        let (runs, length) = if length == stride { (1, runs * length) } else { (runs, length) };
        Self { run: a.data.as_ptr(), fetched: 0, length, stride, runs: if length == 0 { 0 } else { runs } }
    }

    /// Returns the number of cache lines.
    pub fn lines(&self) -> usize {
        self.runs * self.length.div_ceil(LINE)
    }

    /// Prefetches the next `lines` cache lines.
    #[inline(always)]
    pub fn prefetch<I: Isa>(&mut self, isa: I, lines: usize) {
        let mut lines = lines;
        while lines > 0 && self.runs > 0 {
            let count = lines.min((self.length - self.fetched).div_ceil(LINE));
            let mut line = self.run.wrapping_add(self.fetched);
            for _ in 0..count {
                isa.prefetch_second_level(line);
                line = line.wrapping_add(LINE);
            }
            lines -= count;
            self.fetched += count * LINE;
            if self.fetched >= self.length {
                self.fetched = 0;
                self.run = self.run.wrapping_add(self.stride);
                self.runs -= 1;
            }
        }
    }
}
