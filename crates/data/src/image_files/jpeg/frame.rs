//! The frame of a JPEG file: its size and its components (T.81, B.2.2).

use crate::image_files::{
    check_size,
    fault::{Fault, Result},
};
use std::ops::Range;

/// Coefficients of 8 × 8 samples, row by row.
pub(super) type Block = [i16; 64];

/// The image while it is decoded.
pub(super) struct JpegFrame {
    /// Rows and columns.
    pub(super) size: [usize; 2],
    pub(super) progressive: bool,
    /// One component (grey), three (colours) or four (inks).
    pub(super) components: Vec<Component>,
    /// Largest sampling factors of the components, vertical and horizontal.
    pub(super) largest: [usize; 2],
}

/// A component of the frame.
pub(super) struct Component {
    pub(super) name: u8,
    /// Sampling factors, vertical and horizontal: the resolution relative to the other components.
    pub(super) factors: [usize; 2],
    pub(super) quantisation_slot: usize,
    /// Quantisation table of its first scan (F.1.1.1: it must not change later).
    pub(super) quantisation: Option<[u16; 64]>,
    /// Rows and columns of samples.
    pub(super) samples: [usize; 2],
    /// Rows and columns of blocks that hold samples.
    pub(super) used: [usize; 2],
    /// Rows and columns of blocks, up to a multiple of its factors.
    pub(super) padded: [usize; 2],
    /// Blocks row by row, as far as scans have reached.
    pub(super) blocks: Vec<Block>,
    /// For each coefficient, the number of lowest bits still to come; `None` before its first scan.
    pub(super) missing: [Option<u8>; 64],
}

impl JpegFrame {
    pub(super) fn new(data: &[u8], progressive: bool, most_pixels: u64) -> Result<JpegFrame> {
        let wrong = || Fault::damaged("a frame that has no such length");
        let (&[precision, h0, h1, w0, w1, count], rest) = data.split_first_chunk().ok_or_else(wrong)?;
        let size = [[h0, h1], [w0, w1]].map(u16::from_be_bytes);
        check_size(size.map(u32::from), most_pixels)?;
        if precision != 8 {
            return Err(Fault::Unsupported("JPEG images of other than 8 bits"));
        }
        let (parts, []) = rest.as_chunks::<3>() else { return Err(wrong()) };
        if parts.len() != usize::from(count) || !matches!(count, 1 | 3 | 4) {
            return Err(Fault::damaged(format!("{count} components")));
        }
        let mut factors: Vec<[usize; 2]> =
            parts.iter().map(|[_, both, _]| [both & 15, both >> 4].map(usize::from)).collect();
        if factors.iter().flatten().any(|factor| !(1..=4).contains(factor)) {
            return Err(Fault::damaged("a sampling factor outside of 1 to 4"));
        }
        if factors.len() == 1 {
            // A single component is not interleaved, whatever its factors say.
            factors[0] = [1, 1];
        }
        let largest = [0, 1].map(|axis| factors.iter().map(|factors| factors[axis]).max().unwrap_or(1));
        if factors.iter().any(|factors| [0, 1].iter().any(|&axis| largest[axis] % factors[axis] != 0)) {
            return Err(Fault::Unsupported("JPEG images with a fraction of a pixel for a sample"));
        }
        let components = parts
            .iter()
            .zip(factors)
            .map(|(part, factors)| Component::new(*part, factors, size.map(usize::from), largest));
        Ok(JpegFrame {
            size: size.map(usize::from),
            progressive,
            components: components.collect::<Result<_>>()?,
            largest,
        })
    }

    /// Returns the rows and columns of the units (MCUs) of a scan with all components; a unit has as many blocks of
    /// each component as its factors say.
    pub(super) fn units(&self) -> [usize; 2] {
        [0, 1].map(|axis| self.size[axis].div_ceil(8 * self.largest[axis]))
    }

    /// Leaves out the units (MCUs) that have no influence on the pixels of a part; returns where the part lies in the rest.
    ///
    /// Upsampling reads the nearest sample on each side. At the border of what is left it would repeat the outermost sample, so one
    /// more is kept on each side; and another, because rows of one or two samples are not interpolated at all.
    pub(super) fn cut_around(&mut self, part: [Range<usize>; 2]) -> [Range<usize>; 2] {
        if part == self.size.map(|side| 0..side) {
            return part;
        }
        let units = [0, 1].map(|axis| {
            let (side, margin) = (8 * self.largest[axis], 2 * self.largest[axis]);
            let end = (part[axis].end + margin).min(self.size[axis]);
            part[axis].start.saturating_sub(margin) / side..end.div_ceil(side)
        });
        let first = [0, 1].map(|axis| units[axis].start * 8 * self.largest[axis]);
        for component in &mut self.components {
            component
                .keep([0, 1].map(|axis| {
                    units[axis].start * component.factors[axis]..units[axis].end * component.factors[axis]
                }));
        }
        self.size = [0, 1].map(|axis| (units[axis].end * 8 * self.largest[axis]).min(self.size[axis]) - first[axis]);
        [0, 1].map(|axis| part[axis].start - first[axis]..part[axis].end - first[axis])
    }

    /// Checks that every coefficient was coded to its last bit.
    pub(super) fn check_complete(&self) -> Result<()> {
        match self.components.iter().all(|component| component.missing == [Some(0); 64]) {
            true => Ok(()),
            false => Err(Fault::Early),
        }
    }
}

impl Component {
    /// Keeps some rows and columns of blocks.
    fn keep(&mut self, [rows, columns]: [Range<usize>; 2]) {
        // Scans of a component alone have no blocks without samples.
        let rows = rows.start..rows.end.min(self.blocks.len() / self.padded[1]);
        for (y, row) in rows.clone().enumerate() {
            let begin = row * self.padded[1] + columns.start;
            self.blocks.copy_within(begin..begin + columns.len(), y * columns.len());
        }
        self.padded = [rows.len(), columns.len()];
        self.blocks.truncate(rows.len() * columns.len());
        let kept = [rows, columns];
        self.samples = [0, 1].map(|axis| self.samples[axis].min(8 * kept[axis].end) - 8 * kept[axis].start);
        self.used = self.samples.map(|side| side.div_ceil(8));
    }

    fn new([name, _, slot]: [u8; 3], factors: [usize; 2], size: [usize; 2], largest: [usize; 2]) -> Result<Component> {
        if slot > 3 {
            return Err(Fault::damaged(format!("a quantisation table {slot}")));
        }
        let samples = [0, 1].map(|axis| (size[axis] * factors[axis]).div_ceil(largest[axis]));
        Ok(Component {
            name,
            factors,
            quantisation_slot: slot.into(),
            quantisation: None,
            samples,
            used: samples.map(|side| side.div_ceil(8)),
            padded: [0, 1].map(|axis| size[axis].div_ceil(8 * largest[axis]) * factors[axis]),
            blocks: Vec::new(),
            missing: [None; 64],
        })
    }
}
