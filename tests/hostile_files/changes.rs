//! Changes of bytes: what a damaged disk, a wrong program or somebody who means harm does to a file.

use ocelli::tensor::Stream;

/// Bytes after which a file does not grow any more.
const MAX_LENGTH: usize = 128 << 10;
/// Numbers at which readers err: ends of ranges, and sizes that are claimed.
const NUMBERS: [u64; 24] = [
    0,
    1,
    2,
    3,
    0x7F,
    0x80,
    0xFF,
    0x100,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x1_0000,
    1 << 20,
    1 << 24,
    1 << 26,
    1 << 30,
    0x7FFF_FFFF,
    0x8000_0000,
    0xFFFF_FFFF,
    1 << 32,
    1 << 40,
    i64::MAX as u64,
    1 << 63,
    u64::MAX,
];
/// The same as text, and what else stands where a number is expected.
const NUMERALS: [&str; 14] = [
    "0",
    "1",
    "-1",
    "255",
    "256",
    "65536",
    "16777216",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "18446744073709551615",
    "99999999999999999999",
    "1e999",
    "0.5",
];

/// Makes one change, drawn from `stream`. `donor` is another file, `words` are what means something in this format.
pub fn change(bytes: &mut Vec<u8>, stream: &mut Stream, donor: &[u8], words: &[&[u8]]) {
    if bytes.is_empty() {
        bytes.push(stream.below(256) as u8);
        return;
    }
    let at = stream.below(bytes.len());
    match stream.below(14) {
        0 | 1 => bytes[at] ^= 1 << stream.below(8),
        2 => bytes[at] = stream.below(256) as u8,
        3 | 4 => number(bytes, at, stream),
        5 => step(bytes, at, stream),
        6 | 7 => numeral(bytes, at, stream),
        8 => bytes.truncate(at),
        9 => drop(bytes.drain(range(bytes.len(), at, stream))),
        10 => repeat(bytes, at, stream),
        11 => {
            let moved = bytes[range(bytes.len(), at, stream)].to_vec();
            let to = stream.below(bytes.len());
            put(bytes, to, &moved, stream);
        }
        12 if !donor.is_empty() => {
            let from = stream.below(donor.len());
            put(bytes, at, &donor[range(donor.len(), from, stream)], stream);
        }
        _ if !words.is_empty() => put(bytes, at, words[stream.below(words.len())], stream),
        _ => bytes.insert(at, stream.below(256) as u8),
    }
    bytes.truncate(MAX_LENGTH);
}

/// A range from `at` on: short ones are more likely.
fn range(length: usize, at: usize, stream: &mut Stream) -> std::ops::Range<usize> {
    let longest = (length - at).min(1 << stream.below(14));
    at..at + 1 + stream.below(longest)
}

/// A number of 1, 2, 4 or 8 bytes, in either order: one of those at which readers err, or the length of what is there.
fn number(bytes: &mut [u8], at: usize, stream: &mut Stream) {
    let near = (bytes.len() as u64 + 2).wrapping_sub(stream.below(5) as u64);
    let number = if stream.below(4) == 0 { near } else { NUMBERS[stream.below(NUMBERS.len())] };
    write(bytes, at, number, stream);
}

/// A number of up to 8 bytes becomes a little more or less.
fn step(bytes: &mut [u8], at: usize, stream: &mut Stream) {
    let by = 1 + stream.below(8) as u8;
    bytes[at] = if stream.below(2) == 0 { bytes[at].wrapping_add(by) } else { bytes[at].wrapping_sub(by) };
}

fn write(bytes: &mut [u8], at: usize, number: u64, stream: &mut Stream) {
    let width = (1 << stream.below(4)).min(bytes.len() - at);
    match stream.below(2) {
        0 => bytes[at..at + width].copy_from_slice(&number.to_le_bytes()[..width]),
        _ => bytes[at..at + width].copy_from_slice(&number.to_be_bytes()[8 - width..]),
    }
}

/// The next number in digits becomes another one.
fn numeral(bytes: &mut Vec<u8>, at: usize, stream: &mut Stream) {
    let is_digit = |byte: &u8| byte.is_ascii_digit();
    let Some(first) = bytes[at..].iter().position(is_digit).map(|offset| at + offset) else {
        return number(bytes, at, stream);
    };
    let end = bytes[first..].iter().position(|byte| !is_digit(byte)).map_or(bytes.len(), |offset| first + offset);
    bytes.splice(first..end, NUMERALS[stream.below(NUMERALS.len())].bytes());
}

/// A range comes several times, many times if it is short: nesting and lists without end.
fn repeat(bytes: &mut Vec<u8>, at: usize, stream: &mut Stream) {
    let repeated = bytes[range(bytes.len(), at, stream)].to_vec();
    let most = if repeated.len() <= 8 { 2000 } else { 8 };
    let repeated = repeated.repeat(1 + stream.below(most));
    bytes.splice(at..at, repeated);
}

/// Puts bytes between others or over them.
fn put(bytes: &mut Vec<u8>, at: usize, new: &[u8], stream: &mut Stream) {
    let end = if stream.below(2) == 0 { at } else { bytes.len().min(at + new.len()) };
    bytes.splice(at..end, new.iter().copied());
}
