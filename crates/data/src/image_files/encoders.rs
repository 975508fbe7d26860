//! Encoders that are not our own, for tests: what is read is not read back from our own writer.

// Each test has a use for some of them.
#![allow(dead_code)]

use jpeg_encoder::{ColorType as JpegColour, Encoder as JpegEncoder};

/// Returns the bytes of all pixels of `[height, width]`, each of `C` channels, row by row.
fn pixels<const C: usize>([height, width]: [usize; 2], pixel: impl Fn(usize, usize) -> [u8; C]) -> Vec<u8> {
    (0..height * width).flat_map(|at| pixel(at % width, at / width)).collect()
}

/// Encodes the image of `[height, width]` whose pixel at (x, y) is `pixel(x, y)` as PNG: grey for one channel, then grey and
/// alpha, colour, colour and alpha.
pub fn png<const C: usize>(size: [usize; 2], pixel: impl Fn(usize, usize) -> [u8; C]) -> Vec<u8> {
    encoded_png(size, C, png::BitDepth::Eight, &pixels(size, pixel))
}

/// Encodes samples of this depth, row by row, as PNG. Those of 16 bits have two bytes, the higher first.
pub fn encoded_png([height, width]: [usize; 2], channels: usize, depth: png::BitDepth, samples: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    let colours =
        [png::ColorType::Grayscale, png::ColorType::GrayscaleAlpha, png::ColorType::Rgb, png::ColorType::Rgba];
    encoder.set_color(colours[channels - 1]);
    encoder.set_depth(depth);
    let mut writer = encoder.write_header().expect("a head can be encoded");
    writer.write_image_data(samples).expect("pixels can be encoded");
    writer.finish().expect("an image can be encoded");
    bytes
}

/// Encodes the image of `[height, width]` whose pixel at (x, y) is `pixel(x, y)` as baseline JPEG: grey for one channel, colour
/// for three.
pub fn jpeg<const C: usize>(size: [usize; 2], pixel: impl Fn(usize, usize) -> [u8; C]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let colour = if C == 1 { JpegColour::Luma } else { JpegColour::Rgb };
    let [height, width] = size.map(|side| side as u16);
    JpegEncoder::new(&mut bytes, 90)
        .encode(&pixels(size, pixel), width, height, colour)
        .expect("an image can be encoded");
    bytes
}
