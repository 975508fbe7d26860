//! The idx format of MNIST, raw or packed with gzip: told apart by content, not by name.
//!
//! A file is a magic number, one big-endian `u32` for the size of each axis, and the data. The magic number is two zero
//! bytes, the type (8: unsigned bytes) and the number of axes: `0x00000803` for pictures, `0x00000801` for labels.

use crate::{Error, Images, Result, memory::first_without_class};
use flate2::bufread::MultiGzDecoder;
use std::{
    fs::File,
    io::{BufRead, BufReader, ErrorKind, Read},
    path::Path,
};

/// More bytes of pictures than any published file of this format holds unpacked (EMNIST has 0.64 GB); a packed file of
/// a few kilobytes could hold more.
const MAX_BYTES: u64 = 1 << 30;
/// Data are read in pieces of this many bytes, so that a lying header cannot make us allocate more than the file holds.
const PIECE: u64 = 1 << 20;
const GZIP: [u8; 2] = [0x1F, 0x8B];

/// Pictures of one grey byte a pixel, as a file holds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pictures {
    /// How many there are.
    pub count: usize,
    /// Their rows of pixels.
    pub height: usize,
    /// Their columns of pixels.
    pub width: usize,
    /// `[count, height, width]`.
    pub pixels: Vec<u8>,
}

/// Reads pictures and their labels.
///
/// # Errors
/// As [`read_images`] and [`read_labels`]; [`Error::Format`] if the files do not belong together, or a label has no
/// class.
pub fn load(images: &Path, labels: &Path, class_names: Vec<String>) -> Result<Images> {
    let pictures = read_images(images)?;
    let numbers = read_labels(labels)?;
    if numbers.len() != pictures.count {
        return Err(Error::format(labels, format!("{} images but {} labels", pictures.count, numbers.len())));
    }
    let numbers: Vec<u32> = numbers.into_iter().map(u32::from).collect();
    if let Some((index, label)) = first_without_class(&numbers, class_names.len()) {
        let reason = format!("label {label} at index {index}, but there are {} classes", class_names.len());
        return Err(Error::format(labels, reason));
    }
    Images::new([pictures.height, pictures.width, 1], pictures.pixels, numbers, class_names)
}

/// Reads a file of pictures (magic number `0x00000803`).
///
/// # Errors
/// [`Error::Format`] if the file is of another kind, ends early, goes on after its data, has a size of 0 or absurd
/// sizes; [`Error::Io`] if it cannot be read.
pub fn read_images(path: &Path) -> Result<Pictures> {
    let mut file = IdxFile::open(path, Kind::Images)?;
    let [count, height, width] = file.sizes()?;
    if height == 0 || width == 0 {
        return Err(file.wrong(format!("images of {height} x {width} pixels")));
    }
    let pixels = file.data(count, u64::from(height) * u64::from(width))?;
    Ok(Pictures { count: count as usize, height: height as usize, width: width as usize, pixels })
}

/// Reads a file of labels (magic number `0x00000801`).
///
/// # Errors
/// As [`read_images`].
pub fn read_labels(path: &Path) -> Result<Vec<u8>> {
    let mut file = IdxFile::open(path, Kind::Labels)?;
    let [count] = file.sizes()?;
    file.data(count, 1)
}

/// What a file must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Images,
    Labels,
}

impl Kind {
    fn magic(self) -> u32 {
        match self {
            Kind::Images => 0x0803,
            Kind::Labels => 0x0801,
        }
    }

    fn plural(self) -> &'static str {
        match self {
            Kind::Images => "images",
            Kind::Labels => "labels",
        }
    }

    fn singular(self) -> &'static str {
        match self {
            Kind::Images => "image",
            Kind::Labels => "label",
        }
    }
}

/// An open file whose magic number is right.
struct IdxFile<'a> {
    path: &'a Path,
    kind: Kind,
    content: Box<dyn Read>,
}

impl<'a> IdxFile<'a> {
    fn open(path: &'a Path, kind: Kind) -> Result<IdxFile<'a>> {
        let mut raw = BufReader::with_capacity(1 << 16, File::open(path).map_err(|source| Error::io(path, source))?);
        let packed = raw.fill_buf().map_err(|source| Error::io(path, source))?.starts_with(&GZIP);
        let content: Box<dyn Read> = if packed { Box::new(MultiGzDecoder::new(raw)) } else { Box::new(raw) };
        let mut file = IdxFile { path, kind, content };
        let mut magic = [0; 4];
        let got = file.fill(&mut magic)?;
        if got < magic.len() {
            let what = if got == 0 { "the file is empty" } else { "the file ends inside its magic number" };
            return Err(file.wrong(what));
        }
        if u32::from_be_bytes(magic) != kind.magic() {
            let (plural, expected) = (kind.plural(), kind.magic());
            let reason = format!("{}, expected idx {plural} (magic number 0x{expected:08x})", recognise(magic));
            return Err(file.wrong(reason));
        }
        Ok(file)
    }

    fn wrong(&self, reason: impl Into<String>) -> Error {
        Error::format(self.path, reason)
    }

    /// Reads until `bytes` are full or the file ends; how many bytes it read.
    fn fill(&mut self, bytes: &mut [u8]) -> Result<usize> {
        let mut got = 0;
        while got < bytes.len() {
            match self.content.read(&mut bytes[got..]) {
                Ok(0) => break,
                Ok(more) => got += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.refused(error)),
            }
        }
        Ok(got)
    }

    /// What the unpacker complains of is the file's fault; anything else the system's.
    fn refused(&self, error: std::io::Error) -> Error {
        match error.kind() {
            ErrorKind::UnexpectedEof => self.wrong("the gzip data end too early"),
            ErrorKind::InvalidInput | ErrorKind::InvalidData => self.wrong(format!("corrupt gzip data ({error})")),
            _ => Error::io(self.path, error),
        }
    }

    fn sizes<const AXES: usize>(&mut self) -> Result<[u32; AXES]> {
        let mut sizes = [0; AXES];
        for size in &mut sizes {
            let mut bytes = [0; 4];
            if self.fill(&mut bytes)? < bytes.len() {
                return Err(self.wrong("the file ends inside its header"));
            }
            *size = u32::from_be_bytes(bytes);
        }
        Ok(sizes)
    }

    /// All data: `count` entries of `entry` bytes, and then the end of the file.
    fn data(&mut self, count: u32, entry: u64) -> Result<Vec<u8>> {
        let (singular, plural) = (self.kind.singular(), self.kind.plural());
        if count == 0 {
            return Err(self.wrong(format!("no {plural}")));
        }
        let Some(total) = entry.checked_mul(count.into()).filter(|total| *total <= MAX_BYTES) else {
            let reason = format!("{count} {plural} of {entry} bytes each are more than the limit of {MAX_BYTES} bytes");
            return Err(self.wrong(reason));
        };
        let mut data = Vec::new();
        let mut piece = vec![0; total.min(PIECE) as usize];
        loop {
            let left = total - data.len() as u64;
            if left == 0 {
                break;
            }
            let part = left.min(PIECE) as usize;
            let got = self.fill(&mut piece[..part])?;
            data.extend_from_slice(&piece[..got]);
            if got < part {
                let whole = data.len() as u64 / entry;
                return Err(self.wrong(format!("the file ends inside {singular} {whole} of {count}")));
            }
        }
        // Reading on also makes the unpacker check its checksum.
        if self.fill(&mut [0])? > 0 {
            return Err(self.wrong(format!("the file goes on after the last of its {count} {plural}")));
        }
        Ok(data)
    }
}

/// What a file with another magic number seems to be.
fn recognise(magic: [u8; 4]) -> String {
    let known = match magic {
        [0, 0, 8, 1] => "idx labels",
        [0, 0, 8, 3] => "idx images",
        [0, 0, kind @ 8..=14, axes] => {
            let kind = match kind {
                8 => "u8",
                9 => "i8",
                11 => "i16",
                12 => "i32",
                13 => "f32",
                14 => "f64",
                _ => "unknown type",
            };
            return format!("idx data of {kind} with {axes} axes");
        }
        [0x1F, 0x8B, ..] => "a gzip file inside a gzip file",
        [0x89, b'P', b'N', b'G'] => "a PNG picture",
        [0xFF, 0xD8, 0xFF, _] => "a JPEG picture",
        [b'P', b'K', ..] => "a zip archive",
        [0x93, b'N', b'U', b'M'] => "a NumPy array",
        [b'<', ..] => "a web page",
        _ => return format!("not an idx file (it starts with 0x{:08x})", u32::from_be_bytes(magic)),
    };
    format!("this is {known}")
}

#[cfg(test)]
mod tests;
