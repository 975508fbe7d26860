//! The element types of weight files, and their conversion to `f32`.

use std::fmt;

/// The element type of a tensor in a file. All named types are read as `f32`, rounded to the nearest value where `f32`
/// has fewer digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DType {
    /// IEEE single precision, the element type of models.
    F32,
    /// IEEE double precision.
    F64,
    /// IEEE half precision.
    F16,
    /// bfloat16, the upper half of an `f32`.
    BF16,
    /// Signed, 64 bits.
    I64,
    /// Signed, 32 bits.
    I32,
    /// Signed, 16 bits.
    I16,
    /// Signed, 8 bits.
    I8,
    /// Unsigned, 64 bits.
    U64,
    /// Unsigned, 32 bits.
    U32,
    /// Unsigned, 16 bits.
    U16,
    /// Unsigned, 8 bits.
    U8,
    /// One byte, 0 or 1.
    Bool,
    /// A type that cannot be read, with the name that the file gives it.
    Other(&'static str),
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DType::Other(name) => f.write_str(name),
            known => f.write_str(&format!("{known:?}").to_lowercase()),
        }
    }
}

/// The order of the bytes of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ByteOrder {
    Little,
    Big,
}

impl DType {
    /// Returns the size of one element in bytes; 0 for a type that cannot be read.
    pub fn bytes(self) -> usize {
        match self {
            DType::F64 | DType::I64 | DType::U64 => 8,
            DType::F32 | DType::I32 | DType::U32 => 4,
            DType::F16 | DType::BF16 | DType::I16 | DType::U16 => 2,
            DType::I8 | DType::U8 | DType::Bool => 1,
            DType::Other(_) => 0,
        }
    }

    /// Returns true if bytes in that order are the representation of an `f32` in the memory of this machine.
    pub(super) fn is_memory(self, order: ByteOrder) -> bool {
        self == DType::F32 && order == if cfg!(target_endian = "little") { ByteOrder::Little } else { ByteOrder::Big }
    }

    /// Decodes `bytes` to `values`, which has as many elements.
    pub(super) fn decode(self, bytes: &[u8], order: ByteOrder, values: &mut [f32]) {
        match self {
            DType::F32 => decode(bytes, order, values, f32::from_le_bytes),
            DType::F64 => decode(bytes, order, values, |word| f64::from_le_bytes(word) as f32),
            DType::F16 => decode(bytes, order, values, |word| from_half(u16::from_le_bytes(word))),
            DType::BF16 => {
                decode(bytes, order, values, |word| f32::from_bits(u32::from(u16::from_le_bytes(word)) << 16))
            }
            DType::I64 => decode(bytes, order, values, |word| i64::from_le_bytes(word) as f32),
            DType::I32 => decode(bytes, order, values, |word| i32::from_le_bytes(word) as f32),
            DType::I16 => decode(bytes, order, values, |word| f32::from(i16::from_le_bytes(word))),
            DType::I8 => decode(bytes, order, values, |word| f32::from(i8::from_le_bytes(word))),
            DType::U64 => decode(bytes, order, values, |word| u64::from_le_bytes(word) as f32),
            DType::U32 => decode(bytes, order, values, |word| u32::from_le_bytes(word) as f32),
            DType::U16 => decode(bytes, order, values, |word| f32::from(u16::from_le_bytes(word))),
            DType::U8 | DType::Bool => decode(bytes, order, values, |word: [u8; 1]| f32::from(word[0])),
            DType::Other(_) => {}
        }
    }
}

fn decode<const B: usize>(bytes: &[u8], order: ByteOrder, values: &mut [f32], number: impl Fn([u8; B]) -> f32) {
    let words = bytes.as_chunks::<B>().0;
    match order {
        ByteOrder::Little => words.iter().zip(values).for_each(|(word, value)| *value = number(*word)),
        ByteOrder::Big => words.iter().zip(values).for_each(|(word, value)| {
            let mut word = *word;
            word.reverse();
            *value = number(word);
        }),
    }
}

/// Converts an IEEE half to `f32`, exactly.
fn from_half(half: u16) -> f32 {
    let sign = u32::from(half & 0x8000) << 16;
    let rest = u32::from(half & 0x7FFF) << 13;
    if rest >= 0x7C00 << 13 {
        // Infinities and NaNs: the largest exponent stays the largest.
        return f32::from_bits(sign | 0x7F80_0000 | rest);
    }
    // The exponent of a half is biased by 15, that of an f32 by 127. Multiplying by the power of two between them also
    // turns subnormal halves into normal numbers.
    let scale = f32::from_bits((127 + 127 - 15) << 23);
    f32::from_bits(sign | (f32::from_bits(rest) * scale).to_bits())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_is_the_number_that_ieee_754_says() {
        for half in 0..=u16::MAX {
            let (sign, exponent, fraction) = (half >> 15, i32::from(half >> 10 & 31), f64::from(half & 1023));
            let size = match exponent {
                0 => fraction * 2f64.powi(-24),
                31 if fraction == 0.0 => f64::INFINITY,
                31 => f64::NAN,
                _ => (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
            };
            let expected = if sign == 1 { -size } else { size };
            let got = f64::from(from_half(half));
            assert!(
                got == expected && got.is_sign_negative() == (sign == 1) || got.is_nan() && expected.is_nan(),
                "{half:#x}"
            );
        }
    }

    #[test]
    fn numbers_of_every_kind_become_f32() {
        let decoded = |dtype: DType, bytes: &[u8], order| {
            let mut values = [f32::NAN];
            dtype.decode(bytes, order, &mut values);
            values[0]
        };
        for (dtype, bytes, expected) in [
            (DType::F32, (-1.5f32).to_le_bytes().to_vec(), -1.5),
            (DType::F64, 0.1f64.to_le_bytes().to_vec(), 0.1),
            (DType::F16, 0xC000u16.to_le_bytes().to_vec(), -2.0),
            (DType::BF16, 0x3FC0u16.to_le_bytes().to_vec(), 1.5),
            (DType::I64, (-7i64).to_le_bytes().to_vec(), -7.0),
            (DType::I32, (-7i32).to_le_bytes().to_vec(), -7.0),
            (DType::I16, (-7i16).to_le_bytes().to_vec(), -7.0),
            (DType::I8, (-7i8).to_le_bytes().to_vec(), -7.0),
            (DType::U64, 7u64.to_le_bytes().to_vec(), 7.0),
            (DType::U32, 7u32.to_le_bytes().to_vec(), 7.0),
            (DType::U16, 700u16.to_le_bytes().to_vec(), 700.0),
            (DType::U8, vec![200], 200.0),
            (DType::Bool, vec![1], 1.0),
        ] {
            assert_eq!(dtype.bytes(), bytes.len(), "{dtype}");
            assert_eq!(decoded(dtype, &bytes, ByteOrder::Little), expected, "{dtype}");
            let reversed: Vec<u8> = bytes.into_iter().rev().collect();
            assert_eq!(decoded(dtype, &reversed, ByteOrder::Big), expected, "{dtype}, big-endian");
        }
        assert_eq!((DType::BF16.to_string(), DType::Other("F8_E4M3").to_string()), ("bf16".into(), "F8_E4M3".into()));
    }
}
