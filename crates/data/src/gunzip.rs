//! Unpacking of gzip (RFC 1952), member by member.
//!
//! flate2 inflates and computes checksums; headers are read here, because its own reader allocates as many bytes for an
//! extra field as the header claims.

use flate2::{Crc, Decompress, FlushDecompress, Status};
use std::io::{self, BufRead, ErrorKind, Read};

/// The first two bytes of every member.
pub(crate) const MAGIC: [u8; 2] = [0x1F, 0x8B];
/// The only compression method that the format defines.
const DEFLATE: u8 = 8;

/// The flags of a header.
const HEADER_SUM: u8 = 1 << 1;
const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0b1110_0000;

/// A reader of the content of all members of a gzip file, one after the other.
pub(crate) struct Gunzip<R> {
    packed: R,
    inflater: Decompress,
    /// Checksum of the content of the member so far.
    sum: Crc,
    is_in_member: bool,
}

impl<R: BufRead> Gunzip<R> {
    /// Makes a reader that unpacks `packed` to its end.
    pub(crate) fn new(packed: R) -> Gunzip<R> {
        Gunzip { packed, inflater: Decompress::new(false), sum: Crc::new(), is_in_member: false }
    }

    /// Reads the header of a member and skips its name and its other fields.
    fn begin_member(&mut self) -> io::Result<()> {
        let mut header = Header { packed: &mut self.packed, sum: Crc::new() };
        let [a, b, method, flags, ..] = header.take::<10>()?;
        if [a, b] != MAGIC || method != DEFLATE || flags & RESERVED != 0 {
            return Err(damaged("no gzip header"));
        }
        if flags & EXTRA != 0 {
            let length = u16::from_le_bytes(header.take()?);
            (0..length).try_for_each(|_| header.byte().map(drop))?;
        }
        for text in [NAME, COMMENT] {
            while flags & text != 0 && header.byte()? != 0 {}
        }
        if flags & HEADER_SUM != 0 {
            let expected = header.sum.sum() as u16;
            if u16::from_le_bytes(header.take()?) != expected {
                return Err(damaged("the checksum of a header differs"));
            }
        }
        self.inflater.reset(false);
        self.sum.reset();
        self.is_in_member = true;
        Ok(())
    }

    /// Reads the checksum and the length behind a member.
    fn end_member(&mut self) -> io::Result<()> {
        let mut end = Header { packed: &mut self.packed, sum: Crc::new() };
        let (sum, length) = (u32::from_le_bytes(end.take()?), u32::from_le_bytes(end.take()?));
        if [sum, length] != [self.sum.sum(), self.sum.amount()] {
            return Err(damaged("the checksum differs"));
        }
        self.is_in_member = false;
        Ok(())
    }
}

impl<R: BufRead> Read for Gunzip<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        while !bytes.is_empty() {
            if !self.is_in_member {
                if self.packed.fill_buf()?.is_empty() {
                    return Ok(0);
                }
                self.begin_member()?;
            }
            let input = self.packed.fill_buf()?;
            let is_end = input.is_empty();
            let before = (self.inflater.total_in(), self.inflater.total_out());
            let status = self.inflater.decompress(input, bytes, FlushDecompress::None)?;
            // Neither exceeds the length of a slice.
            let taken = (self.inflater.total_in() - before.0) as usize;
            let made = (self.inflater.total_out() - before.1) as usize;
            self.packed.consume(taken);
            self.sum.update(&bytes[..made]);
            if status == Status::StreamEnd {
                self.end_member()?;
            } else if is_end && made == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            if made > 0 {
                return Ok(made);
            }
        }
        Ok(0)
    }
}

/// A reader of the bytes of a header that updates their checksum.
struct Header<'a, R> {
    packed: &'a mut R,
    sum: Crc,
}

impl<R: BufRead> Header<'_, R> {
    fn take<const LENGTH: usize>(&mut self) -> io::Result<[u8; LENGTH]> {
        let mut bytes = [0; LENGTH];
        self.packed.read_exact(&mut bytes)?;
        self.sum.update(&bytes);
        Ok(bytes)
    }

    fn byte(&mut self) -> io::Result<u8> {
        self.take::<1>().map(|[byte]| byte)
    }
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, GzBuilder};
    use std::io::{BufReader, Write};

    fn packed(content: &[u8], builder: GzBuilder) -> Vec<u8> {
        let mut packer = builder.write(Vec::new(), Compression::default());
        packer.write_all(content).unwrap();
        packer.finish().unwrap()
    }

    fn unpacked(packed: &[u8]) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        Gunzip::new(BufReader::with_capacity(7, packed)).read_to_end(&mut content).map(|_| content)
    }

    fn text() -> Vec<u8> {
        (0..5000u32).flat_map(|i| (i * i % 251).to_le_bytes()).collect()
    }

    #[test]
    fn members_are_unpacked_one_after_the_other() {
        let said = GzBuilder::new().extra(vec![1, 2, 3]).filename("name").comment("comment");
        let (first, empty) = (packed(&text(), said), packed(&[], GzBuilder::new()));
        assert_eq!(unpacked(&first).unwrap(), text());
        assert!(unpacked(&empty).unwrap().is_empty());
        let three = [&empty[..], &first, &packed(b"end", GzBuilder::new())].concat();
        assert_eq!(unpacked(&three).unwrap(), [&text()[..], b"end"].concat());
    }

    #[test]
    fn a_header_may_have_a_checksum() {
        let mut whole = packed(b"content", GzBuilder::new());
        whole[3] |= HEADER_SUM;
        let mut sum = Crc::new();
        sum.update(&whole[..10]);
        let summed = |sum: u16| [&whole[..10], &sum.to_le_bytes(), &whole[10..]].concat();
        assert_eq!(unpacked(&summed(sum.sum() as u16)).unwrap(), b"content");
        assert!(unpacked(&summed(sum.sum() as u16 ^ 1)).is_err());
    }

    #[test]
    fn damage_anywhere_is_an_error() {
        let whole = packed(&text(), GzBuilder::new().extra(vec![1, 2, 3]).filename("name"));
        for cut in 1..whole.len() {
            assert_eq!(unpacked(&whole[..cut]).unwrap_err().kind(), ErrorKind::UnexpectedEof, "{cut}");
        }
        for at in whole.len() - 8..whole.len() {
            let mut other = whole.clone();
            other[at] ^= 1;
            assert!(unpacked(&other).is_err(), "{at}");
        }
        for (at, what) in [(0, "another magic number"), (2, "another method"), (3, "a reserved flag")] {
            let mut other = whole.clone();
            other[at] ^= 0x80;
            assert!(unpacked(&other).is_err(), "{what}");
        }
        assert!(unpacked(&[&whole[..], &[0; 8]].concat()).is_err());
    }
}
