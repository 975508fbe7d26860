//! Protocol Buffers on the wire: fields of a message, read in place and written.
//!
//! ONNX files use a handful of messages, and all of their data are numbers, text and bytes. Reading borrows from the
//! file and allocates nothing; nested messages are bytes until somebody asks for their fields, so that no nesting of a
//! file becomes a recursion here.

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Payload<'a> {
    /// An integer of variable length.
    Varint(u64),
    /// Four bytes: a number.
    Fixed32([u8; 4]),
    /// Eight bytes: a number.
    Fixed64([u8; 8]),
    /// Bytes, text, a message, or packed numbers.
    Bytes(&'a [u8]),
}

/// The error for bytes that are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl From<Malformed> for String {
    fn from(_: Malformed) -> String {
        "it is no ONNX file, or it is damaged".into()
    }
}

impl<'a> Payload<'a> {
    /// Returns the integer.
    pub fn int(self) -> Result<i64, Malformed> {
        if let Payload::Varint(number) = self { Ok(number as i64) } else { Err(Malformed) }
    }

    /// Returns the `float`.
    pub fn float(self) -> Result<f32, Malformed> {
        if let Payload::Fixed32(bytes) = self { Ok(f32::from_le_bytes(bytes)) } else { Err(Malformed) }
    }

    /// Returns the bytes of a message.
    pub fn bytes(self) -> Result<&'a [u8], Malformed> {
        if let Payload::Bytes(bytes) = self { Ok(bytes) } else { Err(Malformed) }
    }

    /// Returns the text.
    pub fn text(self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed)
    }

    /// Adds the integers of a repeated field, of which this is one or all of them packed.
    pub fn ints(self, list: &mut Vec<i64>) -> Result<(), Malformed> {
        let Payload::Bytes(mut packed) = self else {
            list.push(self.int()?);
            return Ok(());
        };
        list.reserve(packed.len().min(packed.iter().filter(|byte| **byte < 0x80).count()));
        while !packed.is_empty() {
            list.push(varint(&mut packed)? as i64);
        }
        Ok(())
    }

    /// Adds the `float`s of a repeated field, of which this is one or all of them packed.
    pub fn floats(self, list: &mut Vec<f32>) -> Result<(), Malformed> {
        let Payload::Bytes(packed) = self else {
            list.push(self.float()?);
            return Ok(());
        };
        let (numbers, rest) = packed.as_chunks::<4>();
        list.extend(numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)));
        if rest.is_empty() { Ok(()) } else { Err(Malformed) }
    }

    /// Adds the `double`s of a repeated field, of which this is one or all of them packed.
    pub fn doubles(self, list: &mut Vec<f32>) -> Result<(), Malformed> {
        let packed = match &self {
            Payload::Bytes(packed) => *packed,
            Payload::Fixed64(bytes) => &bytes[..],
            _ => return Err(Malformed),
        };
        let (numbers, rest) = packed.as_chunks::<8>();
        list.extend(numbers.iter().map(|bytes| f64::from_le_bytes(*bytes) as f32));
        if rest.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

fn varint(bytes: &mut &[u8]) -> Result<u64, Malformed> {
    let mut number = 0u64;
    for (place, &byte) in bytes.iter().take(10).enumerate() {
        number |= u64::from(byte & 0x7F) << (7 * place);
        if byte < 0x80 {
            *bytes = &bytes[place + 1..];
            return Ok(number);
        }
    }
    Err(Malformed)
}

fn split<'a>(bytes: &mut &'a [u8], length: u64) -> Result<&'a [u8], Malformed> {
    let length = usize::try_from(length).map_err(|_| Malformed)?;
    let (first, rest) = bytes.split_at_checked(length).ok_or(Malformed)?;
    *bytes = rest;
    Ok(first)
}

/// The fields of a message, in the order of the file.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    fn read(&mut self) -> Result<(u64, Payload<'a>), Malformed> {
        let bytes = &mut self.0;
        let key = varint(bytes)?;
        let payload = match key & 7 {
            0 => Payload::Varint(varint(bytes)?),
            1 => Payload::Fixed64(split(bytes, 8)?.try_into().map_err(|_| Malformed)?),
            2 => {
                let length = varint(bytes)?;
                Payload::Bytes(split(bytes, length)?)
            }
            5 => Payload::Fixed32(split(bytes, 4)?.try_into().map_err(|_| Malformed)?),
            _ => return Err(Malformed),
        };
        Ok((key >> 3, payload))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Payload<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

/// A message that is being written.
#[derive(Clone, Debug, Default)]
pub struct Message(pub Vec<u8>);

impl Message {
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    /// Adds an integer.
    pub fn int(&mut self, field: u64, number: i64) -> &mut Message {
        self.number(field << 3);
        self.number(number as u64);
        self
    }

    /// Adds a `float`.
    pub fn float(&mut self, field: u64, number: f32) -> &mut Message {
        self.number(field << 3 | 5);
        self.0.extend(number.to_le_bytes());
        self
    }

    /// Adds the beginning of a field of bytes, which are written next.
    pub fn beginning(&mut self, field: u64, length: usize) -> &mut Message {
        self.number(field << 3 | 2);
        self.number(length as u64);
        self
    }

    /// Adds bytes or text.
    pub fn bytes(&mut self, field: u64, bytes: impl AsRef<[u8]>) -> &mut Message {
        let bytes = bytes.as_ref();
        self.beginning(field, bytes.len());
        self.0.extend(bytes);
        self
    }

    /// Adds a message.
    pub fn message(&mut self, field: u64, write: impl FnOnce(&mut Message)) -> &mut Message {
        let mut inner = Message::default();
        write(&mut inner);
        self.bytes(field, inner.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut message = Message::default();
        message.int(1, 300).int(2, -1).float(3, 0.5).bytes(4, "text").message(5, |inner| {
            inner.int(1, 7);
        });
        let fields: Vec<_> = Fields(&message.0).collect::<Result<_, _>>().unwrap();
        assert_eq!(fields[0], (1, Payload::Varint(300)));
        assert_eq!(fields[1].1.int(), Ok(-1));
        assert_eq!(fields[2].1.float(), Ok(0.5));
        assert_eq!(fields[3].1.text(), Ok("text"));
        assert_eq!(Fields(fields[4].1.bytes().unwrap()).next(), Some(Ok((1, Payload::Varint(7)))));
    }

    #[test]
    fn repeated_numbers_are_packed_or_not() {
        let mut list = Vec::new();
        Payload::Varint(5).ints(&mut list).unwrap();
        Payload::Bytes(&[6, 0x80, 1]).ints(&mut list).unwrap();
        assert_eq!(list, [5, 6, 128]);
        let mut list = Vec::new();
        Payload::Bytes(&[0, 0, 0x80, 0x3F]).floats(&mut list).unwrap();
        assert_eq!(list, [1.0]);
        assert_eq!(Payload::Bytes(&[0, 0, 0]).floats(&mut list), Err(Malformed));
    }

    #[test]
    fn damage_ends_the_reading() {
        for bytes in [&[0xFF; 12][..], &[0x0A, 5, 1], &[0x0B], &[0x0D, 1]] {
            let mut fields = Fields(bytes);
            assert_eq!(fields.next(), Some(Err(Malformed)));
            assert_eq!(fields.next(), None);
        }
    }
}
