use super::*;
use crate::image_files::decode;
use flate2::{Compression, write::ZlibEncoder};
use std::io::Write;

fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut checksum = Crc::new();
    checksum.update(kind);
    checksum.update(data);
    [&(data.len() as u32).to_be_bytes()[..], kind, data, &checksum.sum().to_be_bytes()].concat()
}

/// Makes a file with this header, further chunks, and rows with their filters.
fn file(size: [u32; 2], kind: [u8; 3], further: &[Vec<u8>], rows: &[u8]) -> Vec<u8> {
    let ([height, width], [depth, colour, interlace]) = (size.map(u32::to_be_bytes), kind);
    let header = [&width[..], &height, &[depth, colour, 0, 0, interlace]].concat();
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::best());
    packed.write_all(rows).unwrap();
    let data = chunk(b"IDAT", &packed.finish().unwrap());
    [&SIGNATURE[..], &chunk(b"IHDR", &header), &further.concat(), &data, &chunk(b"IEND", b"")].concat()
}

fn rgb(file: &[u8]) -> Vec<u8> {
    decode(file).unwrap().into_rgb_bytes()
}

fn text(file: &[u8]) -> String {
    decode(file).unwrap_err().to_string()
}

const GREY: [u8; 3] = [8, 0, 0];

#[test]
fn every_filter_is_taken_off() {
    let rows = [[0, 10, 20, 30], [1, 5, 5, 5], [2, 1, 1, 1], [3, 1, 1, 1], [4, 1, 1, 1]];
    let expected = [[10, 20, 30], [5, 10, 15], [6, 11, 16], [4, 8, 13], [5, 9, 14]];
    let grey: Vec<u8> = expected.as_flattened().iter().flat_map(|value| [*value; 3]).collect();
    assert_eq!(rgb(&file([5, 3], GREY, &[], rows.as_flattened())), grey);
    assert_eq!(text(&file([1, 1], GREY, &[], &[5, 0])), "damaged image (no filter has the number 5)");
}

#[test]
fn few_bits_palettes_transparency_and_words_are_read() {
    assert_eq!(rgb(&file([1, 3], [1, 0, 0], &[], &[0, 0b0110_0000])), [[0; 3], [255; 3], [255; 3]].concat());
    assert_eq!(rgb(&file([1, 2], [2, 0, 0], &[], &[0, 0b0110_0000])), [[85; 3], [170; 3]].concat());
    let palette = [chunk(b"PLTE", &[1, 2, 3, 9, 9, 9]), chunk(b"tRNS", &[0])];
    assert_eq!(rgb(&file([1, 2], [4, 3, 0], &palette[..1], &[0, 0x01])), [1, 2, 3, 9, 9, 9]);
    assert_eq!(rgb(&file([1, 2], [4, 3, 0], &palette, &[0, 0x01])), [255, 255, 255, 9, 9, 9]);
    assert_eq!(rgb(&file([1, 1], [8, 0, 0], &[chunk(b"tRNS", &[0, 7])], &[0, 7])), [255; 3]);
    assert_eq!(rgb(&file([1, 1], [8, 4, 0], &[], &[0, 0, 51])), [204; 3]);
    assert_eq!(rgb(&file([1, 1], [8, 6, 0], &[], &[0, 0, 100, 255, 255])), [0, 100, 255]);
    assert_eq!(rgb(&file([1, 1], [16, 2, 0], &[], &[0, 0, 0, 0x80, 0x80, 0xFF, 0xFF])), [0, 128, 255]);
}

#[test]
fn an_interlaced_image_is_put_together() {
    // 3 × 3: pixels of the passes 1, 4, 5, 6, 6, 7.
    let rows = [0, 1, 0, 3, 0, 7, 9, 0, 2, 0, 8, 0, 4, 5, 6];
    let expected = [1, 2, 3, 4, 5, 6, 7, 8, 9];
    assert_eq!(rgb(&file([3, 3], [8, 0, 1], &[], &rows)), expected.map(|value| [value; 3]).concat());
}

#[test]
fn a_palette_of_four_bytes_is_refused() {
    let found = include_bytes!("../../../tests/files/short_palette.png");
    assert_eq!(text(found), "damaged image (a palette of 4 bytes)");
    for (palette, reason) in [
        (&[][..], "a palette of 0 bytes"),
        (&[1, 2, 3], "colour 1 of a palette of 1"),
        (&[0; 769], "a palette of 769 bytes"),
    ] {
        let file = file([1, 1], [8, 3, 0], &[chunk(b"PLTE", palette)], &[0, 1]);
        assert_eq!(text(&file), format!("damaged image ({reason})"));
    }
    assert_eq!(text(&file([1, 1], [8, 3, 0], &[], &[0, 0])), "damaged image (no palette)");
    let twice = [chunk(b"PLTE", &[1, 2, 3]), chunk(b"tRNS", &[1, 2])];
    assert_eq!(text(&file([1, 1], [8, 3, 0], &twice, &[0, 0])), "damaged image (a transparency of 2 bytes)");
}

#[test]
fn rows_that_are_missing_or_too_many_are_refused() {
    for rows in [&[][..], &[0], &[0, 1], &[0, 1, 0]] {
        assert_eq!(text(&file([2, 1], GREY, &[], rows)), "the image ends too early", "{rows:?}");
    }
    let more = "damaged image (its data go on after the last row)";
    assert_eq!(text(&file([2, 1], GREY, &[], &[0; 5])), more);
    assert_eq!(text(&file([2, 1], GREY, &[], &[0; 100_000])), more);
    // A claim of 2²⁶ pixels in 69 bytes.
    assert_eq!(text(&file([4096, 16_384], GREY, &[], &[])), "the image ends too early");
    let whole = file([2, 1], GREY, &[], &[0; 4]);
    for len in 8..whole.len() {
        assert_eq!(text(&whole[..len]), "the image ends too early", "{len} bytes");
    }
}

#[test]
fn chunks_that_make_no_sense_are_named() {
    let further = |kind: &[u8; 4]| file([1, 1], GREY, &[chunk(kind, b"")], &[0, 7]);
    assert_eq!(rgb(&further(b"teST")), [7; 3]);
    assert_eq!(text(&further(b"TeST")), "damaged image (a chunk \"TeST\")");
    assert_eq!(text(&further(b"IHDR")), "damaged image (a chunk \"IHDR\")");
    let mut whole = file([1, 1], GREY, &[], &[0, 7]);
    whole[17] ^= 1;
    assert_eq!(text(&whole), "damaged image (the checksum of a chunk \"IHDR\" is wrong)");
    assert_eq!(text(&file([1, 1], [3, 0, 0], &[], &[0, 7])), "damaged image (no colours of kind 0 have 3 bits)");
    assert_eq!(
        text(&file([1, 1], [8, 0, 2], &[], &[0, 7])),
        "damaged image (unknown compression, filter or interlacing)"
    );
}
