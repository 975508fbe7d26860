//! Parses the header of safetensors into memory that is taken from the file's budget.

use crate::weights::{Metadata, budget::Budget, error::shown_reason, pickle::MAX_RANK};
use safetensors::Dtype;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
};
use std::{borrow::Cow, fmt};

/// The key of the metadata.
const METADATA: &str = "__metadata__";

/// The content of a header.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) tensors: Vec<TensorEntry>,
    pub(super) metadata: Metadata,
}

/// A tensor as the header describes it.
#[derive(Debug)]
pub(super) struct TensorEntry {
    pub(super) name: Box<str>,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    /// The range of its bytes behind the header.
    pub(super) data_offsets: [u64; 2],
}

impl Header {
    pub(super) fn parse(bytes: &[u8], budget: &mut Budget) -> Result<Header, String> {
        let mut header = Header { tensors: Vec::new(), metadata: Metadata::new() };
        let mut parser = serde_json::Deserializer::from_slice(bytes);
        let parsed = Entries { header: &mut header, budget }.deserialize(&mut parser);
        match parsed.and_then(|()| parser.end()) {
            Ok(()) => Ok(header),
            Err(error) => Err(shown_reason(&error.to_string())),
        }
    }
}

/// The entries of a header: tensors by their names, and the metadata.
struct Entries<'a> {
    header: &'a mut Header,
    budget: &'a mut Budget,
}

impl<'de> DeserializeSeed<'de> for Entries<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Entries<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tensors by their names")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        let Entries { header, budget } = self;
        while let Some(HeaderText(name)) = map.next_key()? {
            if name == METADATA {
                map.next_value_seed(Texts { metadata: &mut header.metadata, budget })?;
                continue;
            }
            let Described { dtype, shape: HeaderShape(shape), data_offsets } = map.next_value()?;
            let memory = budget.take_text(&name).and_then(|()| budget.take_block(size_of_val(&shape[..]) as u64));
            memory.map_err(M::Error::custom)?;
            let tensor = TensorEntry { name: name.into(), dtype, shape, data_offsets };
            budget.push(&mut header.tensors, tensor).map_err(M::Error::custom)?;
        }
        Ok(())
    }
}

/// A text of the header, borrowed where it has no escapes.
struct HeaderText<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for HeaderText<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<HeaderText<'de>, D::Error> {
        struct Borrow;
        impl<'de> Visitor<'de> for Borrow {
            type Value = HeaderText<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<HeaderText<'de>, E> {
                Ok(HeaderText(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<HeaderText<'de>, E> {
                Ok(HeaderText(Cow::Owned(text.into())))
            }
        }
        deserializer.deserialize_str(Borrow)
    }
}

/// The description of one tensor in the header.
#[derive(Deserialize)]
struct Described {
    dtype: Dtype,
    shape: HeaderShape,
    data_offsets: [u64; 2],
}

/// The sizes of a few axes.
struct HeaderShape(Vec<usize>);

impl<'de> Deserialize<'de> for HeaderShape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<HeaderShape, D::Error> {
        struct Sizes;
        impl<'de> Visitor<'de> for Sizes {
            type Value = HeaderShape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "the sizes of at most {MAX_RANK} axes")
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut sequence: S) -> Result<HeaderShape, S::Error> {
                let mut sizes = [0; MAX_RANK];
                let mut rank = 0;
                while let Some(size) = sequence.next_element()? {
                    *sizes.get_mut(rank).ok_or_else(|| S::Error::invalid_length(rank + 1, &self))? = size;
                    rank += 1;
                }
                Ok(HeaderShape(sizes[..rank].to_vec()))
            }
        }
        deserializer.deserialize_seq(Sizes)
    }
}

/// The metadata: texts by their keys.
struct Texts<'a> {
    metadata: &'a mut Metadata,
    budget: &'a mut Budget,
}

impl<'de> DeserializeSeed<'de> for Texts<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Texts<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("texts by their keys")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some((HeaderText(key), HeaderText(value))) = map.next_entry()? {
            self.budget.take_entry(&key, &value).map_err(M::Error::custom)?;
            self.metadata.insert(key.into(), value.into());
        }
        Ok(())
    }
}
