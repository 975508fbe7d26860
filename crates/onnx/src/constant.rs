//! Tensors that are known when a file is read.

use crate::{
    proto::{TensorProto, entry_of, shown},
    wire::Fields,
};
use ocelli_tensor::element_count;
use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    iter,
    path::{Component, Path},
};

/// A tensor in the layout of the file, known before the network runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Constant {
    /// Sizes of the axes.
    pub shape: Vec<usize>,
    /// The elements in row-major order.
    pub elements: Elements,
}

/// Elements of a constant.
#[derive(Clone, Debug, PartialEq)]
pub enum Elements {
    /// Numbers.
    F32(Vec<f32>),
    /// Integers: shapes, axes, amounts.
    I64(Vec<i64>),
    /// Truth values.
    Bool(Vec<bool>),
}

/// An integer of shape arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Int {
    Fixed(i64),
    /// A multiple of the batch size.
    Batch(i64),
}

impl Int {
    pub fn fixed(self) -> Option<i64> {
        if let Int::Fixed(number) = self { Some(number) } else { None }
    }
}

/// Elements of an array.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Data {
    Float(Vec<f32>),
    Int(Vec<Int>),
    Bool(Vec<bool>),
}

/// A constant while a graph is read: its integers may be multiples of the batch size.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Array {
    pub shape: Vec<usize>,
    pub data: Data,
}

impl From<&Constant> for Array {
    fn from(constant: &Constant) -> Array {
        let data = match &constant.elements {
            Elements::F32(list) => Data::Float(list.clone()),
            Elements::I64(list) => Data::Int(list.iter().map(|&number| Int::Fixed(number)).collect()),
            Elements::Bool(list) => Data::Bool(list.clone()),
        };
        Array { shape: constant.shape.clone(), data }
    }
}

impl Data {
    pub fn len(&self) -> usize {
        match self {
            Data::Float(list) => list.len(),
            Data::Int(list) => list.len(),
            Data::Bool(list) => list.len(),
        }
    }

    /// Takes elements by their indices.
    pub fn pick(&self, indices: &[usize]) -> Data {
        match self {
            Data::Float(list) => Data::Float(indices.iter().map(|&i| list[i]).collect()),
            Data::Int(list) => Data::Int(indices.iter().map(|&i| list[i]).collect()),
            Data::Bool(list) => Data::Bool(indices.iter().map(|&i| list[i]).collect()),
        }
    }
}

impl Array {
    pub fn ints(list: Vec<Int>) -> Array {
        Array { shape: vec![list.len()], data: Data::Int(list) }
    }

    /// Returns the elements if they are numbers.
    pub fn floats(&self) -> Option<&[f32]> {
        if let Data::Float(list) = &self.data { Some(list) } else { None }
    }

    /// Returns the only element if it is a number.
    pub fn scalar(&self) -> Option<f32> {
        match self.floats() {
            Some(&[number]) => Some(number),
            _ => None,
        }
    }

    /// Moves the axes: axis `i` of the result is axis `axes[i]`.
    pub fn permuted(&self, axes: &[usize]) -> Array {
        let (shape, places) = permuted(&self.shape, axes);
        Array { data: self.data.pick(&places), shape }
    }

    pub fn reshaped(&self, shape: Vec<usize>) -> Array {
        Array { shape, data: self.data.clone() }
    }

    /// Repeats axes of size 1 up to a shape of at least as many axes.
    pub fn broadcast(&self, shape: &[usize]) -> Option<Array> {
        let missing = shape.len().checked_sub(self.shape.len())?;
        let fits = self.shape.iter().zip(&shape[missing..]).all(|(own, size)| own == size || *own == 1);
        let own = strides(&self.shape);
        let own = self.shape.iter().zip(own).map(|(&size, step)| if size == 1 { 0 } else { step });
        let steps: Vec<usize> = iter::repeat_n(0, missing).chain(own).collect();
        let indices = fits.then(|| places(shape, &steps))?;
        Some(Array { shape: shape.to_vec(), data: self.data.pick(&indices) })
    }
}

/// Most axes of a value: more than any operator has.
const MOST_AXES: usize = 32;

/// Checks that a value has no more axes than are read.
pub(crate) fn check_axes(count: usize) -> Result<(), String> {
    if count > MOST_AXES { Err(format!("{count} axes, of at most {MOST_AXES} that are read")) } else { Ok(()) }
}

/// Row-major strides; zeros where there are no elements, because other axes may then be as long as they like.
fn strides(shape: &[usize]) -> Vec<usize> {
    if shape.contains(&0) {
        return vec![0; shape.len()];
    }
    (0..shape.len()).map(|axis| shape[axis + 1..].iter().product()).collect()
}

/// Returns the places of the elements of a shape, in order, where each axis has its own distance from one entry to the next.
fn places(shape: &[usize], steps: &[usize]) -> Vec<usize> {
    if shape.contains(&0) {
        return Vec::new();
    }
    let mut places = vec![0];
    for (&size, &step) in shape.iter().zip(steps) {
        let mut longer = Vec::with_capacity(places.len() * size);
        places.into_iter().for_each(|first| longer.extend((0..size).map(|i| first + i * step)));
        places = longer;
    }
    places
}

/// Returns the sizes of an array with its axes in another order, and the places where its elements were: axis `i` is axis
/// `axes[i]` of before.
pub(crate) fn permuted(shape: &[usize], axes: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let strides = strides(shape);
    let [sizes, steps] = [shape, &strides].map(|list| axes.iter().map(|&axis| list[axis]).collect::<Vec<_>>());
    let places = places(&sizes, &steps);
    (sizes, places)
}

/// The type of a tensor's elements, by the numbers of `onnx.proto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    F32,
    F64,
    F16,
    BF16,
    Int { bytes: usize, signed: bool },
    Bool,
}

impl Kind {
    fn of(number: i64) -> Result<Kind, String> {
        Ok(match number {
            1 => Kind::F32,
            2 => Kind::Int { bytes: 1, signed: false },
            3 => Kind::Int { bytes: 1, signed: true },
            4 => Kind::Int { bytes: 2, signed: false },
            5 => Kind::Int { bytes: 2, signed: true },
            6 => Kind::Int { bytes: 4, signed: true },
            7 | 13 => Kind::Int { bytes: 8, signed: true },
            9 => Kind::Bool,
            10 => Kind::F16,
            11 => Kind::F64,
            12 => Kind::Int { bytes: 4, signed: false },
            16 => Kind::BF16,
            other => return Err(format!("elements of type {other} are not read")),
        })
    }

    fn bytes(self) -> usize {
        match self {
            Kind::F32 => 4,
            Kind::F64 => 8,
            Kind::F16 | Kind::BF16 => 2,
            Kind::Int { bytes, .. } => bytes,
            Kind::Bool => 1,
        }
    }

    /// Reads elements of little-endian bytes.
    fn read(self, bytes: &[u8]) -> Data {
        let floats = |of: &dyn Fn(&[u8]) -> f32| Data::Float(bytes.chunks_exact(self.bytes()).map(of).collect());
        match self {
            Kind::F32 => floats(&|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])),
            Kind::F64 => floats(&|b| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32),
            Kind::F16 => floats(&|b| half(u16::from_le_bytes([b[0], b[1]]))),
            Kind::BF16 => floats(&|b| f32::from_le_bytes([0, 0, b[0], b[1]])),
            Kind::Int { bytes: width, signed } => {
                let read = |b: &[u8]| {
                    let negative = signed && b[width - 1] >= 0x80;
                    let mut whole = [if negative { 0xFF } else { 0 }; 8];
                    whole[..width].copy_from_slice(b);
                    Int::Fixed(i64::from_le_bytes(whole))
                };
                Data::Int(bytes.chunks_exact(width).map(read).collect())
            }
            Kind::Bool => Data::Bool(bytes.iter().map(|byte| *byte != 0).collect()),
        }
    }
}

/// Converts a number of half precision.
fn half(bits: u16) -> f32 {
    let (sign, exponent, fraction) = (bits >> 15, bits >> 10 & 31, f32::from(bits & 1023));
    let magnitude = match exponent {
        0 => fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1.0 + fraction / 1024.0) * 2f32.powi(i32::from(exponent) - 15),
    };
    if sign == 1 { -magnitude } else { magnitude }
}

/// Reads a tensor whose data are in the file, or in a file beside it in `folder`.
pub(crate) fn read_tensor(tensor: &TensorProto<'_>, folder: Option<&Path>) -> Result<Array, String> {
    let kind = Kind::of(tensor.data_type)?;
    check_axes(tensor.dims.len())?;
    let size = |&size: &i64| usize::try_from(size).map_err(|_| format!("a size of {size}"));
    let shape: Vec<usize> = tensor.dims.iter().map(size).collect::<Result<_, _>>()?;
    let Some(count) = element_count(&shape) else {
        return Err("it has more elements than memory has addresses".into());
    };
    // the data are in one of several fields
    let (mut raw, mut floats, mut ints, mut external) = (None, Vec::new(), Vec::new(), Vec::new());
    let mut is_external = false;
    for field in Fields(tensor.bytes) {
        match field? {
            (4, numbers) => numbers.floats(&mut floats)?,
            (5 | 7 | 11, numbers) => numbers.ints(&mut ints)?,
            (9, bytes) => raw = Some(bytes.bytes()?),
            (10, numbers) => numbers.doubles(&mut floats)?,
            (13, entry) => external.push(entry_of(entry.bytes()?)?),
            (14, place) => is_external = place.int()? == 1,
            _ => {}
        }
    }
    let data = if is_external {
        let length = count.checked_mul(kind.bytes()).ok_or("it has more bytes than memory has addresses")?;
        kind.read(&read_beside(&external, length, folder)?)
    } else if let Some(raw) = raw {
        if raw.len() != count.saturating_mul(kind.bytes()) {
            return Err(format!("it has {} bytes for {count} elements of {} bytes", raw.len(), kind.bytes()));
        }
        kind.read(raw)
    } else {
        match kind {
            Kind::F32 | Kind::F64 => Data::Float(floats),
            Kind::F16 => Data::Float(ints.iter().map(|&bits| half(bits as u16)).collect()),
            Kind::BF16 => Data::Float(ints.iter().map(|&bits| f32::from_bits((bits as u32) << 16)).collect()),
            Kind::Int { .. } => Data::Int(ints.into_iter().map(Int::Fixed).collect()),
            Kind::Bool => Data::Bool(ints.iter().map(|number| *number != 0).collect()),
        }
    };
    match data.len() {
        len if len == count => Ok(Array { shape, data }),
        len => Err(format!("it has {len} elements for a shape of {count}")),
    }
}

/// Reads a file that is one tensor (`TensorProto`), as test data of ONNX are: its name and its value.
///
/// # Errors
/// A sentence for bytes that are no tensor, or one of elements that are not read.
pub fn read_tensor_file(bytes: &[u8]) -> Result<(String, Constant), String> {
    let tensor = TensorProto::read(bytes)?;
    let Array { shape, data } = read_tensor(&tensor, None)?;
    let elements = match data {
        Data::Float(list) => Elements::F32(list),
        Data::Int(list) => Elements::I64(list.into_iter().filter_map(Int::fixed).collect()),
        Data::Bool(list) => Elements::Bool(list),
    };
    Ok((tensor.name.to_string(), Constant { shape, elements }))
}

/// Reads `length` bytes of a file in the folder of the model.
fn read_beside(entries: &[(&str, &str)], length: usize, folder: Option<&Path>) -> Result<Vec<u8>, String> {
    let entry = |name: &str| entries.iter().rev().find(|(key, _)| *key == name).map(|(_, value)| *value);
    let name = entry("location").ok_or("its data are elsewhere, but the file does not say where")?;
    let folder = folder.ok_or("its data are in another file, which bytes alone do not have")?;
    let inside = |component: Component<'_>| matches!(component, Component::Normal(_) | Component::CurDir);
    if name.is_empty() || !Path::new(name).components().all(inside) {
        return Err(format!("its data are said to be in \"{}\", which is outside of the model's folder", shown(name)));
    }
    let number = |name: &str| match entry(name).map(str::parse::<u64>) {
        None => Ok(None),
        Some(Ok(number)) => Ok(Some(number)),
        Some(Err(_)) => Err(format!("the {name} of its data is no number")),
    };
    let (offset, said) = (number("offset")?.unwrap_or(0), number("length")?);
    if let Some(said) = said.filter(|&said| said != length as u64) {
        return Err(format!("its data are {said} bytes, but its shape needs {length}"));
    }
    let path = folder.join(name);
    let failed = |error: std::io::Error| format!("its data in {}: {error}", path.display());
    // a link could lead out of the folder
    let real = path.canonicalize().map_err(failed)?;
    if !real.starts_with(folder.canonicalize().map_err(failed)?) {
        return Err(format!("its data are said to be in \"{}\", which is outside of the model's folder", shown(name)));
    }
    let mut file = File::open(&real).map_err(failed)?;
    let there = file.metadata().map_err(failed)?.len();
    if offset.checked_add(length as u64).is_none_or(|end| end > there) {
        return Err(format!("its data are {length} bytes from {offset}, but {} has {there}", path.display()));
    }
    file.seek(SeekFrom::Start(offset)).map_err(failed)?;
    let mut bytes = vec![0; length];
    file.read_exact(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_what_they_are() {
        for (bits, number) in [(0x3C00, 1.0), (0xC000, -2.0), (0x0001, 5.960_464_5e-8), (0x7BFF, 65504.0)] {
            assert_eq!(half(bits), number);
        }
        assert!(half(0x7E00).is_nan());
    }

    /// Products of the other axes would be past the largest number.
    #[test]
    fn arrays_without_elements_may_have_long_axes() {
        let shape = vec![1 << 40, 0, 1 << 40];
        let array = Array { shape: shape.clone(), data: Data::Float(Vec::new()) };
        assert_eq!(array.permuted(&[1, 2, 0]).shape, [0, 1 << 40, 1 << 40]);
        assert_eq!(array.broadcast(&shape), Some(array));
    }

    #[test]
    fn axes_are_moved_and_repeated() {
        let array = Array { shape: vec![2, 3], data: Data::Float(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) };
        assert_eq!(array.permuted(&[1, 0]).floats(), Some(&[1.0, 4.0, 2.0, 5.0, 3.0, 6.0][..]));
        let row = Array { shape: vec![1, 2], data: Data::Float(vec![1.0, 2.0]) };
        assert_eq!(row.broadcast(&[2, 2]).unwrap().floats(), Some(&[1.0, 2.0, 1.0, 2.0][..]));
        assert_eq!(row.broadcast(&[2, 3]), None);
    }
}
