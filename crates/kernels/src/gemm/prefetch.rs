//! Prefetching of the next block of the left operand while one is multiplied, a few cache lines with every tile: so
//! memory and arithmetic take their time together, not one after the other. The lines come to the second-level cache,
//! because the first keeps the panel.

use super::matrix::Matrix;
use super::panels::Contiguous;
use super::stream::Runs;
use crate::cache::LINE;

/// The cache lines of a matrix that are still to be fetched, in the order in which they lie.
pub(super) struct BlockPrefetcher {
    lines: Runs,
    /// Runs that are left, the one that is fetched now counted.
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
        let lines = Runs::new(a.data.as_ptr(), length.div_ceil(LINE).max(1), stride);
        Self { lines, runs: if length == 0 { 0 } else { runs } }
    }

    /// Returns the lines that a tile of so many steps of the depth fetches, and goes on behind them.
    #[inline(always)]
    pub fn take(&mut self, depth: usize) -> Option<Runs> {
        if self.runs == 0 {
            return None;
        }
        let lines = self.lines;
        self.runs = self.runs.saturating_sub(self.lines.skip(Runs::fetched(depth)));
        Some(lines)
    }
}
