//! Decodes portable grey and pixel maps (Netpbm): PGM and PPM, as text (P2, P3) or bytes (P5, P6).

use super::{
    check_size,
    decoded::{DecodedImage, Samples},
    fault::{Fault, Result},
};

/// Returns true if bytes begin like such a file.
pub(super) fn is_pnm(bytes: &[u8]) -> bool {
    matches!(bytes, [b'P', b'2' | b'3' | b'5' | b'6', next, ..] if next.is_ascii_whitespace() || *next == b'#')
}

/// Decodes the first image of a file.
pub(super) fn decode(bytes: &[u8], most_pixels: u64) -> Result<DecodedImage> {
    let kind = bytes[1];
    let channels = if matches!(kind, b'3' | b'6') { 3 } else { 1 };
    let mut text = Text { rest: &bytes[2..] };
    let [width, height] = [text.number()?, text.number()?];
    check_size([height, width], most_pixels)?;
    let white = match text.number()? {
        white @ 1..=65_535 => white,
        white => return Err(Fault::damaged(format!("a largest value of {white}"))),
    };
    let shape = [height as usize, width as usize, channels];
    let count: usize = shape.iter().product();
    let bytes_each = if white < 256 { 1 } else { 2 };
    if matches!(kind, b'2' | b'3') {
        // A text sample takes at least a digit and a space.
        if text.rest.len() < 2 * count - 1 {
            return Err(Fault::Early);
        }
        return scaled(shape, white, (0..count).map(|_| text.number()));
    }
    // One space, already checked, ends the header.
    let data = text.rest.get(1..1 + count * bytes_each).ok_or(Fault::Early)?;
    match bytes_each {
        1 if white == 255 => Ok(DecodedImage::new(shape, Samples::Bytes(data.to_vec()))),
        1 => scaled(shape, white, data.iter().map(|byte| Ok(u32::from(*byte)))),
        _ => scaled(shape, white, data.as_chunks::<2>().0.iter().map(|word| Ok(u16::from_be_bytes(*word).into()))),
    }
}

/// Scales samples from the range 0 to `white` to the full range of bytes or words.
fn scaled(shape: [usize; 3], white: u32, samples: impl Iterator<Item = Result<u32>>) -> Result<DecodedImage> {
    let full = if white < 256 { 255 } else { 65_535 };
    let samples = samples.map(|sample| match sample? {
        sample if sample <= white => Ok((sample * full + white / 2) / white),
        sample => Err(Fault::damaged(format!("a value {sample} above the largest, {white}"))),
    });
    let samples = match full {
        255 => Samples::Bytes(samples.map(|sample| Ok(sample? as u8)).collect::<Result<_>>()?),
        _ => Samples::Words(samples.map(|sample| Ok(sample? as u16)).collect::<Result<_>>()?),
    };
    Ok(DecodedImage::new(shape, samples))
}

/// A reader of numbers between spaces and comments.
struct Text<'a> {
    rest: &'a [u8],
}

impl Text<'_> {
    fn number(&mut self) -> Result<u32> {
        loop {
            match self.rest {
                [b'#', ..] => self.advance(self.rest.iter().take_while(|byte| **byte != b'\n').count()),
                [space, ..] if space.is_ascii_whitespace() => self.advance(1),
                _ => break,
            }
        }
        let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = str::from_utf8(&self.rest[..digits]).unwrap_or_default().parse();
        self.advance(digits);
        let ended = self.rest.first().is_none_or(|byte| byte.is_ascii_whitespace() || *byte == b'#');
        match number {
            Ok(number) if ended => Ok(number),
            Err(_) if ended && digits > 0 => Err(Fault::damaged("a number that is too large")),
            Err(_) if self.rest.is_empty() => Err(Fault::Early),
            _ => Err(Fault::damaged("something else in place of a number")),
        }
    }

    fn advance(&mut self, count: usize) {
        self.rest = &self.rest[count..];
    }
}

#[cfg(test)]
mod tests {
    use crate::{Channels, image_files::decode};

    fn rgb(bytes: &[u8]) -> Vec<u8> {
        decode(bytes).unwrap().into_rgb_bytes()
    }

    #[test]
    fn text_and_bytes_are_read() {
        assert_eq!(rgb(b"P5\n# a comment\n3 1\n255\n\x00\x80\xFF"), [0, 0, 0, 128, 128, 128, 255, 255, 255]);
        assert_eq!(rgb(b"P6 1 2 255 abcdef"), *b"abcdef");
        assert_eq!(rgb(b"P2 2 1 15\n0 # black\n15"), [0, 0, 0, 255, 255, 255]);
        assert_eq!(rgb(b"P3\n1 1\n1000\n1000 0 500\n"), [255, 0, 128]);
        let words = decode(b"P5 2 1 65535\n\x00\x00\xFF\xFF").unwrap();
        let mut row = [9.0; 2];
        words.write_row(0, Channels::Grey, &mut row);
        assert_eq!(row, [0.0, 1.0]);
    }

    #[test]
    fn every_end_and_every_absurdity_is_an_error() {
        for whole in [&b"P5 3 2 255\nabcdef"[..], b"P6 1 1 30000\nabcdef", b"P3 1 1 9\n1 2 3"] {
            decode(whole).unwrap();
            for len in 3..whole.len() {
                assert!(decode(&whole[..len]).is_err(), "{len} bytes of {whole:?}");
            }
        }
        let text = |bytes: &[u8]| decode(bytes).unwrap_err().to_string();
        assert_eq!(text(b"P5 16384 4096 255\n"), "the image ends too early");
        assert_eq!(text(b"P2 16384 4096 255\n0 0 0"), "the image ends too early");
        assert!(text(b"P5 16385 1 255\n").starts_with("1 x 16385 pixels: the limits are"));
        assert_eq!(text(b"P5 1 1 0\n "), "damaged image (a largest value of 0)");
        assert_eq!(text(b"P5 1 1 7\n\x08"), "damaged image (a value 8 above the largest, 7)");
        assert_eq!(text(b"P5 1 99999999999 7\n"), "damaged image (a number that is too large)");
        assert_eq!(text(b"P5 1 1 255x\0"), "damaged image (something else in place of a number)");
        assert_eq!(text(b"P5 x"), "damaged image (something else in place of a number)");
    }
}
