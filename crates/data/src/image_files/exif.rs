//! Reads the orientation of an image from its Exif data.

/// The tag of the orientation, and the type of its value: one 16-bit number (Exif 2.3, table 4).
const ORIENTATION: [u16; 2] = [0x0112, 3];

/// Returns the orientation, from 1 (upright) to 8, that a block of Exif data gives its image; `None` if the block has
/// none or cannot be read.
pub(super) fn orientation(exif: &[u8]) -> Option<u8> {
    let number: fn([u8; 2]) -> u16 = match exif.get(..4)? {
        b"II*\0" => u16::from_le_bytes,
        b"MM\0*" => u16::from_be_bytes,
        _ => return None,
    };
    let word = |at: usize| Some(number(exif.get(at..at.checked_add(2)?)?.try_into().ok()?));
    let [first, second] = [usize::from(word(4)?), usize::from(word(6)?)];
    let directory = if exif[0] == b'I' { second << 16 | first } else { first << 16 | second };
    let entries = usize::from(word(directory)?);
    let entry = (0..entries).map(|index| directory + 2 + 12 * index).find(|&at| word(at) == Some(ORIENTATION[0]))?;
    let orientation = (word(entry + 2)? == ORIENTATION[1]).then(|| word(entry + 8)).flatten()?;
    u8::try_from(orientation).ok().filter(|orientation| (1..=8).contains(orientation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_orientation_is_found_in_either_byte_order() {
        let little = b"II*\0\x08\0\0\0\x02\0\x00\x01\x03\0\x01\0\0\0\x07\0\0\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0";
        assert_eq!(orientation(little), Some(6));
        let big = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x08\0\0";
        assert_eq!(orientation(big), Some(8));
        for cut in 0..big.len() - 2 {
            assert_eq!(orientation(&big[..cut]), None, "{cut} bytes");
        }
        assert_eq!(orientation(b"MM\0*\xFF\xFF\xFF\xFF\0\x01"), None);
        assert_eq!(orientation(b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x09\0\0"), None);
    }
}
