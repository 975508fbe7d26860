//! Decoding that takes memory for what a file has, and not for what it claims.
//!
//! Types make room for as many elements as a sequence says it has, and an element can be dozens of bytes in memory for one in
//! the file. So [`Bounded`] stands between the decoder and the types, around everything that one hands to the other: it
//! promises no lengths, charges every element of a sequence or map, and borrows texts from the file until they are kept.

use bincode::error::DecodeError;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use std::{cell::Cell, fmt, marker::PhantomData};

/// Bytes of memory for each byte of content. Weights need three: they are as long in memory, and [`GROWTH`].
const PER_BYTE: usize = 7;
/// Bytes of memory for any content, such as a long history of a small network.
const ALWAYS: usize = 1 << 20;
/// A vector that doubles holds its elements, and room for twice as many beside them.
const GROWTH: usize = 3;

/// Decodes a value, and tells how many bytes it had.
///
/// # Errors
/// Content of another type, and content that would take more memory than its length is good for.
pub(super) fn decode<T: DeserializeOwned>(content: &[u8]) -> Result<(T, usize), DecodeError> {
    let left = Cell::new(content.len().saturating_mul(PER_BYTE).saturating_add(ALWAYS));
    let value = Bounded { inner: PhantomData::<T>, left: &left, growth: GROWTH };
    bincode::serde::seed_decode_from_slice(value, content, bincode::config::standard())
}

/// A part of the conversation between decoder and types, with the memory that is left.
struct Bounded<'b, I> {
    inner: I,
    left: &'b Cell<usize>,
    /// [`GROWTH`] for sequences and maps; 0 for tuples and structs, whose fields are charged with the whole.
    growth: usize,
}

impl<'b, I> Bounded<'b, I> {
    /// Something else in its place.
    fn around<J>(&self, inner: J) -> Bounded<'b, J> {
        Bounded { inner, left: self.left, growth: self.growth }
    }

    /// Takes off the memory of an element.
    fn charge<T, E: Error>(&self) -> Result<(), E> {
        let left = self.left.get().checked_sub(self.growth * size_of::<T>());
        self.left
            .set(left.ok_or_else(|| E::custom("it would take more memory than a file of its length is good for"))?);
        Ok(())
    }
}

macro_rules! deserialize {
    ($($method:ident($($argument:ident: $kind:ty),*) by $inner:ident, growth $growth:expr;)*) => { $(
        fn $method<V: Visitor<'de>>(self, $($argument: $kind,)* visitor: V) -> Result<V::Value, I::Error> {
            self.inner.$inner($($argument,)* Bounded { inner: visitor, left: self.left, growth: $growth })
        }
    )* };
}

impl<'de, I: Deserializer<'de>> Deserializer<'de> for Bounded<'_, I> {
    type Error = I::Error;

    deserialize! {
        deserialize_any() by deserialize_any, growth GROWTH;
        deserialize_ignored_any() by deserialize_ignored_any, growth GROWTH;
        deserialize_bool() by deserialize_bool, growth GROWTH;
        deserialize_i8() by deserialize_i8, growth GROWTH;
        deserialize_i16() by deserialize_i16, growth GROWTH;
        deserialize_i32() by deserialize_i32, growth GROWTH;
        deserialize_i64() by deserialize_i64, growth GROWTH;
        deserialize_i128() by deserialize_i128, growth GROWTH;
        deserialize_u8() by deserialize_u8, growth GROWTH;
        deserialize_u16() by deserialize_u16, growth GROWTH;
        deserialize_u32() by deserialize_u32, growth GROWTH;
        deserialize_u64() by deserialize_u64, growth GROWTH;
        deserialize_u128() by deserialize_u128, growth GROWTH;
        deserialize_f32() by deserialize_f32, growth GROWTH;
        deserialize_f64() by deserialize_f64, growth GROWTH;
        deserialize_char() by deserialize_char, growth GROWTH;
        deserialize_str() by deserialize_str, growth GROWTH;
        deserialize_string() by deserialize_str, growth GROWTH;
        deserialize_bytes() by deserialize_bytes, growth GROWTH;
        deserialize_byte_buf() by deserialize_bytes, growth GROWTH;
        deserialize_identifier() by deserialize_identifier, growth GROWTH;
        deserialize_option() by deserialize_option, growth GROWTH;
        deserialize_unit() by deserialize_unit, growth GROWTH;
        deserialize_unit_struct(name: &'static str) by deserialize_unit_struct, growth GROWTH;
        deserialize_newtype_struct(name: &'static str) by deserialize_newtype_struct, growth GROWTH;
        deserialize_seq() by deserialize_seq, growth GROWTH;
        deserialize_map() by deserialize_map, growth GROWTH;
        deserialize_tuple(len: usize) by deserialize_tuple, growth 0;
        deserialize_tuple_struct(name: &'static str, len: usize) by deserialize_tuple_struct, growth 0;
        deserialize_struct(name: &'static str, fields: &'static [&'static str]) by deserialize_struct, growth 0;
        deserialize_enum(name: &'static str, variants: &'static [&'static str]) by deserialize_enum, growth 0;
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

macro_rules! visit {
    ($($method:ident: $kind:ty;)*) => { $(
        fn $method<E: Error>(self, value: $kind) -> Result<I::Value, E> {
            self.inner.$method(value)
        }
    )* };
}

impl<'de, I: Visitor<'de>> Visitor<'de> for Bounded<'_, I> {
    type Value = I::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    visit! {
        visit_bool: bool;
        visit_i8: i8;
        visit_i16: i16;
        visit_i32: i32;
        visit_i64: i64;
        visit_i128: i128;
        visit_u8: u8;
        visit_u16: u16;
        visit_u32: u32;
        visit_u64: u64;
        visit_u128: u128;
        visit_f32: f32;
        visit_f64: f64;
        visit_char: char;
        visit_str: &str;
        visit_borrowed_str: &'de str;
        visit_bytes: &[u8];
        visit_borrowed_bytes: &'de [u8];
    }

    fn visit_none<E: Error>(self) -> Result<I::Value, E> {
        self.inner.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<I::Value, E> {
        self.inner.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, value: D) -> Result<I::Value, D::Error> {
        let value = self.around(value);
        self.inner.visit_some(value)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, value: D) -> Result<I::Value, D::Error> {
        let value = self.around(value);
        self.inner.visit_newtype_struct(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<I::Value, A::Error> {
        let elements = self.around(elements);
        self.inner.visit_seq(elements)
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<I::Value, A::Error> {
        let entries = self.around(entries);
        self.inner.visit_map(entries)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, variant: A) -> Result<I::Value, A::Error> {
        let variant = self.around(variant);
        self.inner.visit_enum(variant)
    }
}

/// Elements one by one; their number stays untold.
impl<'de, I: SeqAccess<'de>> SeqAccess<'de> for Bounded<'_, I> {
    type Error = I::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, I::Error> {
        let seed = self.around(seed);
        let element = self.inner.next_element_seed(seed)?;
        if element.is_some() {
            self.charge::<T::Value, I::Error>()?;
        }
        Ok(element)
    }
}

/// Entries one by one; their number stays untold.
impl<'de, I: MapAccess<'de>> MapAccess<'de> for Bounded<'_, I> {
    type Error = I::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, I::Error> {
        let seed = self.around(seed);
        let key = self.inner.next_key_seed(seed)?;
        if key.is_some() {
            self.charge::<K::Value, I::Error>()?;
        }
        Ok(key)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, I::Error> {
        self.charge::<V::Value, I::Error>()?;
        let seed = self.around(seed);
        self.inner.next_value_seed(seed)
    }
}

impl<'de, 'b, I: EnumAccess<'de>> EnumAccess<'de> for Bounded<'b, I> {
    type Error = I::Error;
    type Variant = Bounded<'b, I::Variant>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self::Variant), I::Error> {
        let (seed, left, growth) = (self.around(seed), self.left, self.growth);
        let (value, inner) = self.inner.variant_seed(seed)?;
        Ok((value, Bounded { inner, left, growth }))
    }
}

impl<'de, I: VariantAccess<'de>> VariantAccess<'de> for Bounded<'_, I> {
    type Error = I::Error;

    fn unit_variant(self) -> Result<(), I::Error> {
        self.inner.unit_variant()
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, I::Error> {
        let seed = self.around(seed);
        self.inner.newtype_variant_seed(seed)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, I::Error> {
        let visitor = self.around(visitor);
        self.inner.tuple_variant(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, I::Error> {
        let visitor = self.around(visitor);
        self.inner.struct_variant(fields, visitor)
    }
}

impl<'de, I: DeserializeSeed<'de>> DeserializeSeed<'de> for Bounded<'_, I> {
    type Value = I::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<I::Value, D::Error> {
        let deserializer = self.around(deserializer);
        self.inner.deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::{Deserialize, Serialize};
    use std::collections::BTreeMap;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Choice {
        Nothing,
        One(u8),
        Two(i64, char),
        Named { text: String, maybe: Option<f64> },
    }

    fn encoded(value: &impl Serialize) -> Vec<u8> {
        bincode::serde::encode_to_vec(value, bincode::config::standard()).unwrap()
    }

    #[test]
    fn values_of_every_kind_come_back() {
        let value = (
            vec![Choice::Nothing, Choice::One(3), Choice::Two(-1, 'ß')],
            Choice::Named { text: "text".into(), maybe: Some(0.5) },
            BTreeMap::from([("a".to_string(), vec![1.5f32, -0.0]), (String::new(), vec![])]),
            (true, (), [7u16; 3], u128::MAX),
        );
        let bytes = encoded(&value);
        assert_eq!(decode(&bytes).unwrap(), (value, bytes.len()));
    }

    #[test]
    fn a_long_history_of_a_small_network_fits() {
        // As large in memory as records of epochs are, and as short in the file.
        let history = vec![([0.5f64; 4], [3u64; 8], Some(1u8)); 10_000];
        let bytes = encoded(&history);
        assert_eq!(decode::<Vec<([f64; 4], [u64; 8], Option<u8>)>>(&bytes).unwrap().0, history);
    }

    #[test]
    fn elements_without_content_are_charged() {
        let texts = encoded(&vec![String::new(); 1_000_000]);
        let error = decode::<Vec<String>>(&texts).unwrap_err().to_string();
        assert!(error.contains("more memory than a file of its length"), "{error}");
        assert!(decode::<Vec<String>>(&encoded(&vec![String::new(); 1000])).is_ok());
    }

    #[test]
    fn what_is_only_claimed_is_not_made_room_for() {
        let claims = [&[253u8][..], &(1u64 << 40).to_le_bytes(), &[0; 20]].concat();
        assert!(decode::<Vec<f32>>(&claims).is_err());
        assert!(decode::<String>(&claims).is_err());
        assert!(decode::<Vec<Vec<u64>>>(&claims).is_err());
    }
}
