//! How the parts of a file become its bytes, with right lengths and checksums: so that a change of a part reaches the code
//! behind them.

use flate2::{
    Compression, Crc,
    write::{DeflateEncoder, GzEncoder, ZlibEncoder},
};
use std::io::Write;

/// Bytes of a file from its parts.
pub type Form = fn(&[Vec<u8>]) -> Vec<u8>;

/// One part after the other.
pub fn plain(parts: &[Vec<u8>]) -> Vec<u8> {
    parts.concat()
}

/// All parts in one gzip stream.
pub fn gzip(parts: &[Vec<u8>]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    parts.iter().for_each(|part| encoder.write_all(part).expect("memory takes all bytes"));
    encoder.finish().expect("memory takes all bytes")
}

pub fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory takes all bytes");
    encoder.finish().expect("memory takes all bytes")
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory takes all bytes");
    encoder.finish().expect("memory takes all bytes")
}

pub fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// The chunks of a PNG file: a part is four letters and the content, which is deflated in `IDAT`.
pub fn png(parts: &[Vec<u8>]) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for part in parts {
        let (kind, content) = part.split_at(part.len().min(4));
        let content = if kind == b"IDAT" { zlib(content) } else { content.to_vec() };
        file.extend((content.len() as u32).to_be_bytes());
        let start = file.len();
        file.extend(kind);
        file.extend(content);
        file.extend(crc32(&file[start..]).to_be_bytes());
    }
    file
}

/// The segments of a JPEG file: a part is its marker and its content, or 0 and data of a scan.
pub fn jpeg(parts: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    for part in parts {
        match part.split_first() {
            None => {}
            Some((0, data)) => file.extend(data),
            // The start and the end of the image have no length.
            Some((marker @ (0xD8 | 0xD9), [])) => file.extend([0xFF, *marker]),
            Some((marker, content)) => {
                file.extend([0xFF, *marker]);
                file.extend((content.len() as u16).wrapping_add(2).to_be_bytes());
                file.extend(content);
            }
        }
    }
    file
}

/// The parts of a JPEG file, as [`jpeg`] joins them.
pub fn jpeg_parts(file: &[u8]) -> Vec<Vec<u8>> {
    let mut parts = Vec::new();
    let mut at = 0;
    while let Some(&[_, marker]) = file.get(at..at + 2) {
        at += 2;
        if matches!(marker, 0xD8 | 0xD9) {
            parts.push(vec![marker]);
            continue;
        }
        let end = at + usize::from(u16::from_be_bytes([file[at], file[at + 1]]));
        parts.push([&[marker], &file[at + 2..end]].concat());
        at = end;
        if marker == 0xDA {
            // What follows 0xFF in a scan: 0 for a byte of data, or a restart.
            let is_marker = |pair: &[u8]| pair[0] == 0xFF && !matches!(pair[1], 0 | 0xD0..=0xD7);
            let end = file[at..].windows(2).position(is_marker).map_or(file.len(), |length| at + length);
            parts.push([&[0], &file[at..end]].concat());
            at = end;
        }
    }
    parts
}

/// A tar archive. Of each two parts the first is the kind of an entry and its name, the second its content.
pub fn tar(parts: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    for entry in parts.chunks(2) {
        let (kind, name) = entry[0].split_first().unwrap_or((&b'0', &[]));
        let content = entry.get(1).map_or(&[][..], Vec::as_slice);
        file.extend(tar_header(*kind, name, content.len()));
        file.extend(content);
        file.resize(file.len().next_multiple_of(512), 0);
    }
    file.resize(file.len() + 1024, 0);
    file
}

pub fn tar_header(kind: u8, name: &[u8], size: usize) -> [u8; 512] {
    let mut header = [0; 512];
    let length = name.len().min(100);
    header[..length].copy_from_slice(&name[..length]);
    header[100..108].copy_from_slice(b"0000644\0");
    header[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    header[136..148].copy_from_slice(b"00000000000\0");
    header[156] = kind;
    header[257..265].copy_from_slice(b"ustar\x0000");
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

pub fn tar_gz(parts: &[Vec<u8>]) -> Vec<u8> {
    gzip(&[tar(parts)])
}

/// A zip archive of stored files. Of each two parts the first is a name, the second the content.
pub fn zip_stored(parts: &[Vec<u8>]) -> Vec<u8> {
    zip(parts, 0)
}

pub fn zip_deflated(parts: &[Vec<u8>]) -> Vec<u8> {
    zip(parts, 8)
}

fn zip(parts: &[Vec<u8>], method: u16) -> Vec<u8> {
    let (mut file, mut directory, mut entries) = (Vec::new(), Vec::new(), 0u16);
    for entry in parts.chunks(2) {
        let (name, content) = (&entry[0], entry.get(1).map_or(&[][..], Vec::as_slice));
        let packed = if method == 8 { deflate(content) } else { content.to_vec() };
        let start = file.len() as u32;
        let mut about = [20u16.to_le_bytes(), 0u16.to_le_bytes(), method.to_le_bytes()].concat();
        about.extend([0; 4]);
        about.extend(crc32(content).to_le_bytes());
        about.extend((packed.len() as u32).to_le_bytes());
        about.extend((content.len() as u32).to_le_bytes());
        about.extend((name.len() as u16).to_le_bytes());
        about.extend([0; 2]);
        file.extend([b"PK\x03\x04", &about[..], name, &packed].concat());
        // Comment, disk and attributes are empty.
        directory.extend([b"PK\x01\x02\x14\0", &about[..], &[0; 10], &start.to_le_bytes(), name].concat());
        entries = entries.wrapping_add(1);
    }
    let start = file.len() as u32;
    file.extend(&directory);
    file.extend([b"PK\x05\x06\0\0\0\0", &entries.to_le_bytes()[..], &entries.to_le_bytes()].concat());
    file.extend([&(directory.len() as u32).to_le_bytes()[..], &start.to_le_bytes(), &[0; 2]].concat());
    file
}

/// A safetensors file: its header in JSON and its data.
pub fn safetensors(parts: &[Vec<u8>]) -> Vec<u8> {
    let header = parts.first().map_or(&[][..], Vec::as_slice);
    let data = parts.get(1..).unwrap_or_default().concat();
    [&(header.len() as u64).to_le_bytes(), header, &data].concat()
}

/// A container of Ocelli: magic, version, length, checksum and content, as `write_container` lays them out.
pub fn container(parts: &[Vec<u8>]) -> Vec<u8> {
    let content = parts.concat();
    let mut file = [&b"OCELLICK"[..], &1u32.to_le_bytes(), &(content.len() as u64).to_le_bytes()].concat();
    file.extend(crc32(&content).to_le_bytes());
    file.extend(content);
    file
}

/// An ONNX file: a part is the number of a field of its graph, and the field's bytes.
pub fn onnx(parts: &[Vec<u8>]) -> Vec<u8> {
    let field = |part: &Vec<u8>| match part.split_first() {
        Some((number, bytes)) => protobuf::field(*number, bytes),
        None => Vec::new(),
    };
    let graph: Vec<u8> = parts.iter().flat_map(field).collect();
    [protobuf::varint(1, 8), protobuf::field(7, graph), protobuf::field(8, protobuf::varint(2, 17))].concat()
}

/// Messages of Protocol Buffers, as far as ONNX files need them.
pub mod protobuf {
    fn number(mut value: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while value >= 0x80 {
            bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
        bytes
    }

    /// A field of an integer.
    pub fn varint(field: u8, value: u64) -> Vec<u8> {
        [number(u64::from(field) << 3), number(value)].concat()
    }

    /// A field of bytes.
    pub fn field(field: u8, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        let bytes = bytes.as_ref();
        [&number(u64::from(field) << 3 | 2), &number(bytes.len() as u64), bytes].concat()
    }

    /// The fields of bytes of a valid message, with their numbers.
    pub fn fields(mut message: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut fields = Vec::new();
        while !message.is_empty() {
            let (key, value) = (read(&mut message), read(&mut message));
            if key & 7 == 2 {
                let (bytes, rest) = message.split_at(value as usize);
                fields.push(((key >> 3) as u8, bytes.to_vec()));
                message = rest;
            }
        }
        fields
    }

    fn read(message: &mut &[u8]) -> u64 {
        let mut value = 0;
        for place in 0.. {
            let (byte, rest) = message.split_first().expect("a valid message");
            *message = rest;
            value |= u64::from(byte & 0x7F) << (7 * place);
            if byte & 0x80 == 0 {
                break;
            }
        }
        value
    }
}
