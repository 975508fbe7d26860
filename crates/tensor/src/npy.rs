//! NumPy's `.npy` files, format version 1.0 to 3.0, for `f32` and `u32` in either byte order of writers in common use
//! (little-endian), C order.

use crate::{Element, Error, Result, ShapeText, Tensor, element_count};
use std::{
    fs::File,
    io::{BufReader, Read, Write},
    path::Path,
};

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// The longest header that is read; no header that describes a tensor is longer.
const MAX_HEADER: usize = 64 << 10;
/// The largest piece of data read at once, in bytes. From the second piece on, a piece is no larger than all data before it,
/// so that a header which claims much allocates at most a few times what the file holds.
const MOST_PIECE: usize = 1 << 20;
/// The size of the first piece and of the read buffer, in bytes.
const LEAST_PIECE: usize = 8 << 10;

impl<T: Element> Tensor<T> {
    /// Writes a `.npy` file that `numpy.load` reads.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written.
    pub fn save_npy(&self, path: impl AsRef<Path>) -> Result<()> {
        crate::write_atomically(path, |file| self.write_npy(file))
    }

    /// Writes the bytes of a `.npy` file.
    ///
    /// # Errors
    /// The error of the writer.
    pub fn write_npy(&self, mut to: impl Write) -> std::io::Result<()> {
        let comma = if self.shape().len() == 1 { "," } else { "" };
        let sizes = ShapeText(self.shape()).to_string();
        let sizes = &sizes[1..sizes.len() - 1];
        let mut header = format!("{{'descr': '{}', 'fortran_order': False, 'shape': ({sizes}{comma}), }}", T::NPY);
        // Magic, version, header length and header together fill a multiple of 64 bytes; the header ends in a newline.
        let unpadded = MAGIC.len() + 2 + 2 + header.len() + 1;
        header.extend(std::iter::repeat_n(' ', unpadded.next_multiple_of(64) - unpadded));
        header.push('\n');
        to.write_all(MAGIC)?;
        to.write_all(&[1, 0])?;
        to.write_all(&(header.len() as u16).to_le_bytes())?;
        to.write_all(header.as_bytes())?;
        if cfg!(target_endian = "little") {
            return to.write_all(bytemuck::cast_slice(self.data()));
        }
        self.data().iter().try_for_each(|value| {
            let mut bytes = bytemuck::bytes_of(value).to_vec();
            bytes.reverse();
            to.write_all(&bytes)
        })
    }

    /// Reads a `.npy` file.
    ///
    /// # Errors
    /// [`Error::Format`] if the file is not a `.npy` file of this element type in C order, or ends too early;
    /// [`Error::Io`] if it cannot be read.
    pub fn load_npy(path: impl AsRef<Path>) -> Result<Tensor<T>> {
        let path = path.as_ref();
        let what = path.display().to_string();
        let file = File::open(path).map_err(|source| Error::Io { what: what.clone(), source })?;
        Tensor::read_npy(BufReader::with_capacity(LEAST_PIECE, file), &what)
    }

    /// Reads the bytes of a `.npy` file; `what` names the source in errors.
    ///
    /// # Errors
    /// As [`Tensor::load_npy`].
    pub fn read_npy(mut from: impl Read, what: &str) -> Result<Tensor<T>> {
        let wrong = |reason: String| Error::Format { what: what.into(), reason };
        let too_short = |part: &str| wrong(format!("the file ends inside its {part}"));
        let fill = |from: &mut dyn Read, bytes: &mut [u8], part: &str| {
            from.read_exact(bytes).map_err(|source| match source.kind() {
                std::io::ErrorKind::UnexpectedEof => too_short(part),
                _ => Error::Io { what: what.into(), source },
            })
        };
        let mut start = [0u8; 8];
        fill(&mut from, &mut start, "magic number")?;
        if &start[..6] != MAGIC {
            return Err(wrong("not a .npy file (no NumPy magic number)".into()));
        }
        let header_len = if start[6] == 1 {
            let mut len = [0u8; 2];
            fill(&mut from, &mut len, "header")?;
            u16::from_le_bytes(len) as usize
        } else {
            let mut len = [0u8; 4];
            fill(&mut from, &mut len, "header")?;
            u32::from_le_bytes(len) as usize
        };
        if header_len > MAX_HEADER {
            return Err(wrong(format!("a header of {header_len} bytes")));
        }
        // As long as it is, not as it claims to be.
        let mut header = Vec::new();
        let read = from.by_ref().take(header_len as u64).read_to_end(&mut header);
        if read.map_err(|source| Error::Io { what: what.into(), source })? < header_len {
            return Err(too_short("header"));
        }
        let header = std::str::from_utf8(&header).map_err(|_| wrong("its header is no text".into()))?;
        let shape = shape_of::<T>(header).map_err(wrong)?;
        let count = element_count(&shape)
            .ok_or_else(|| wrong(format!("its {} axes hold more values than can be addressed", shape.len())))?;
        let mut data: Vec<T> = Vec::new();
        while data.len() < count {
            let start = data.len();
            let piece = (count - start).min(start.clamp(LEAST_PIECE / size_of::<T>(), MOST_PIECE / size_of::<T>()));
            data.resize(start + piece, T::default());
            fill(&mut from, bytemuck::cast_slice_mut(&mut data[start..]), "data")?;
        }
        if cfg!(target_endian = "big") {
            data.iter_mut().for_each(|value| bytemuck::bytes_of_mut(value).reverse());
        }
        Tensor::from_vec(shape, data)
    }
}

/// The most axes that a header may have. No useful tensor has more, and each allocates eight bytes for two of the header.
const MOST_AXES: usize = 64;

/// Parses the shape in a header such as `{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }`.
fn shape_of<T: Element>(header: &str) -> std::result::Result<Vec<usize>, String> {
    let after = |key: &str| {
        let quoted = format!("'{key}':");
        header
            .find(&quoted)
            .map(|at| header[at + quoted.len()..].trim_start())
            .ok_or(format!("its header has no {quoted}"))
    };
    let kind = after("descr")?.trim_start_matches('\'').split('\'').next().unwrap_or("");
    if kind != T::NPY {
        let kind = shortened(kind);
        return Err(format!("holds '{kind}', expected '{}' ({})", T::NPY, T::KIND));
    }
    if !after("fortran_order")?.starts_with("False") {
        return Err("is in Fortran order; save numpy.ascontiguousarray(x) instead".into());
    }
    let sizes = after("shape")?.strip_prefix('(').and_then(|rest| rest.split_once(')')).map(|(sizes, _)| sizes);
    let sizes = sizes.ok_or("its header has no shape in parentheses")?;
    let numbers = sizes.split(',').map(str::trim).filter(|size| !size.is_empty());
    if numbers.clone().count() > MOST_AXES {
        return Err(format!("its shape has more than {MOST_AXES} axes"));
    }
    let parse = |size: &str| size.parse().map_err(|_| format!("\"{}\" in its shape is not a size", shortened(size)));
    numbers.map(parse).collect()
}

/// Returns the beginning of a text from a file, for messages.
fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<T: Element>(tensor: &Tensor<T>) -> Vec<u8> {
        let mut bytes = Vec::new();
        tensor.write_npy(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn every_rank_comes_back() {
        for shape in [vec![], vec![3], vec![2, 3], vec![2, 1, 4, 3]] {
            let x = Tensor::from_fn(shape, |i| i.iter().sum::<usize>() as f32 - 0.5);
            let file = bytes(&x);
            assert_eq!((file.len() - 4 * x.len()) % 64, 0);
            assert_eq!(Tensor::<f32>::read_npy(&file[..], "x").unwrap(), x);
        }
        let labels = Tensor::from(vec![1u32, 2, 3]);
        assert_eq!(Tensor::<u32>::read_npy(&bytes(&labels)[..], "labels").unwrap(), labels);
    }

    #[test]
    fn wrong_files_are_named_and_explained() {
        let good = bytes(&Tensor::full([3], 1.0));
        let error = |bytes: &[u8]| Tensor::<f32>::read_npy(bytes, "x.npy").unwrap_err().to_string();
        assert_eq!(error(&good[..good.len() - 1]), "x.npy: the file ends inside its data");
        assert_eq!(error(&good[..30]), "x.npy: the file ends inside its header");
        assert_eq!(error(b"PK\x03\x04 something"), "x.npy: not a .npy file (no NumPy magic number)");
        let labels = bytes(&Tensor::from(vec![1u32]));
        assert_eq!(error(&labels), "x.npy: holds '<u4', expected '<f4' (f32)");
        let fortran = String::from_utf8_lossy(&good).replace("False", "True ");
        assert!(error(&[MAGIC, fortran.as_bytes().split_at(8).1].concat()).starts_with("x.npy: "));
        let lying = String::from_utf8_lossy(&good[8..]).replace("(3,)", "(999999999,)");
        assert!(error(&[&good[..8], lying.as_bytes()].concat()).contains("ends inside"), "a lying shape");
    }

    #[test]
    fn a_shape_of_many_axes_or_many_digits_is_refused_in_few_words() {
        let file = |shape: &str| {
            let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}\n");
            [&MAGIC[..], &[1, 0], &(header.len() as u16).to_le_bytes(), header.as_bytes()].concat()
        };
        let error = |shape: &str| Tensor::<f32>::read_npy(&file(shape)[..], "x.npy").unwrap_err().to_string();
        assert_eq!(error(&"1, ".repeat(1000)), "x.npy: its shape has more than 64 axes");
        assert!(error(&"9".repeat(10_000)).len() < 100);
        assert_eq!(error("4294967296, 4294967296"), "x.npy: its 2 axes hold more values than can be addressed");
        assert_eq!(error("1000000000"), "x.npy: the file ends inside its data");
    }

    #[test]
    fn files_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npy");
        let x = Tensor::full([2, 2], 3.0);
        x.save_npy(&path).unwrap();
        assert_eq!(Tensor::load_npy(&path).unwrap(), x);
        assert!(matches!(Tensor::<f32>::load_npy(folder.path().join("none.npy")), Err(Error::Io { .. })));
    }
}
