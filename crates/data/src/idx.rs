//! Reads the idx format of MNIST, raw or packed with gzip, which is detected from the content and not from the name.
//!
//! A file is a magic number, one big-endian `u32` for the size of each axis, and the data. The magic number is two zero
//! bytes, the type (8: unsigned bytes) and the number of axes: `0x00000803` for images, `0x00000801` for labels.

use crate::{Error, Images, Result, images::first_without_class, unpacked::Unpacked};
use std::path::Path;

/// Grey images of one byte per pixel, as an idx file holds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdxImages {
    /// Number of images.
    pub count: usize,
    /// Height of each image in pixels.
    pub height: usize,
    /// Width of each image in pixels.
    pub width: usize,
    /// Pixels `[count, height, width]`.
    pub pixels: Vec<u8>,
}

/// Reads a file of images and the file of their labels.
///
/// # Errors
/// The errors of [`read_images`] and [`read_labels`]; [`Error::Format`] if the files do not belong together, or a label
/// has no class.
pub fn load(images: &Path, labels: &Path, class_names: Vec<String>) -> Result<Images> {
    let images = read_images(images)?;
    let mut file = IdxFile::open(labels, Kind::Labels)?;
    let [count] = file.sizes()?;
    if count as usize != images.count {
        return Err(file.wrong(format!("{} images but {count} labels", images.count)));
    }
    // In memory a label has four bytes.
    file.content.charge(4 * u64::from(count))?;
    let numbers: Vec<u32> = file.data(count, 1)?.into_iter().map(u32::from).collect();
    if let Some((index, label)) = first_without_class(&numbers, class_names.len()) {
        let reason = format!("label {label} at index {index}, but there are {} classes", class_names.len());
        return Err(Error::format(labels, reason));
    }
    Images::new([images.height, images.width, 1], images.pixels, numbers, class_names)
}

/// Reads a file of images (magic number `0x00000803`).
///
/// # Errors
/// [`Error::Format`] if the file is of another kind, ends early, goes on after its data, has a size of 0 or claims more than
/// a file of its length may hold (see the crate's page); [`Error::Io`] if it cannot be read.
pub fn read_images(path: &Path) -> Result<IdxImages> {
    let mut file = IdxFile::open(path, Kind::Images)?;
    let [count, height, width] = file.sizes()?;
    if height == 0 || width == 0 {
        return Err(file.wrong(format!("images of {height} x {width} pixels")));
    }
    let pixels = file.data(count, u64::from(height) * u64::from(width))?;
    Ok(IdxImages { count: count as usize, height: height as usize, width: width as usize, pixels })
}

/// Reads a file of labels (magic number `0x00000801`).
///
/// # Errors
/// The errors of [`read_images`].
pub fn read_labels(path: &Path) -> Result<Vec<u8>> {
    let mut file = IdxFile::open(path, Kind::Labels)?;
    let [count] = file.sizes()?;
    file.data(count, 1)
}

/// The content that a file must have.
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

/// An open file with the right magic number.
struct IdxFile<'a> {
    kind: Kind,
    content: Unpacked<'a>,
}

impl<'a> IdxFile<'a> {
    fn open(path: &'a Path, kind: Kind) -> Result<IdxFile<'a>> {
        let mut file = IdxFile { kind, content: Unpacked::open(path)? };
        let mut magic = [0; 4];
        let got = file.content.fill(&mut magic)?;
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
        self.content.wrong(reason)
    }

    fn sizes<const AXES: usize>(&mut self) -> Result<[u32; AXES]> {
        let mut sizes = [0; AXES];
        for size in &mut sizes {
            let mut bytes = [0; 4];
            if self.content.fill(&mut bytes)? < bytes.len() {
                return Err(self.wrong("the file ends inside its header"));
            }
            *size = u32::from_be_bytes(bytes);
        }
        Ok(sizes)
    }

    /// Reads `count` entries of `entry` bytes and checks that the file ends there.
    fn data(mut self, count: u32, entry: u64) -> Result<Vec<u8>> {
        let (singular, plural) = (self.kind.singular(), self.kind.plural());
        if count == 0 {
            return Err(self.wrong(format!("no {plural}")));
        }
        let limit = self.content.limit();
        let Some(total) = entry.checked_mul(count.into()).filter(|total| *total <= limit) else {
            let reason = format!("{count} {plural} of {entry} bytes each are more than the {limit} bytes");
            return Err(self.wrong(format!("{reason} that a file of its length may hold")));
        };
        let mut data = Vec::new();
        let got = self.content.append(total, &mut data)?;
        if got < total {
            return Err(self.wrong(format!("the file ends inside {singular} {} of {count}", got / entry)));
        }
        // Reading past the data makes the unpacker check its checksum.
        if self.content.fill(&mut [0])? > 0 {
            return Err(self.wrong(format!("the file goes on after the last of its {count} {plural}")));
        }
        Ok(data)
    }
}

/// Describes the likely content of a file with another magic number.
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
        [0x89, b'P', b'N', b'G'] => "a PNG image",
        [0xFF, 0xD8, 0xFF, _] => "a JPEG image",
        [b'P', b'K', ..] => "a zip archive",
        [0x93, b'N', b'U', b'M'] => "a NumPy array",
        [b'<', ..] => "a web page",
        _ => return format!("not an idx file (it starts with 0x{:08x})", u32::from_be_bytes(magic)),
    };
    format!("this is {known}")
}

#[cfg(test)]
mod tests;
