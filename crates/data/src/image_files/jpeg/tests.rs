use super::*;
use crate::image_files::{decode, encoders::jpeg};

fn colours() -> Vec<u8> {
    jpeg([29, 37], |x, y| [(x * 37 + y) as u8, (x * y) as u8, (y * 71) as u8])
}

/// Returns the size and the bytes of red, green and blue, or the text of the error.
fn outcome(bytes: &[u8]) -> std::result::Result<([usize; 2], Vec<u8>), String> {
    let image = decode(bytes).map_err(|fault| fault.to_string())?;
    Ok((image.size(), image.into_rgb()))
}

/// Returns the position of the marker of this kind.
fn marker_at(bytes: &[u8], kind: u8) -> usize {
    bytes.windows(2).position(|pair| pair == [0xFF, kind]).unwrap()
}

/// Files of every kind, with the pixels that Pillow (libjpeg-turbo) reads in them.
const READ_BY_PILLOW: [(&[u8], &[u8]); 4] = [
    (
        include_bytes!("../../../tests/files/progressive_420.jpg"),
        include_bytes!("../../../tests/files/progressive_420.ppm"),
    ),
    (include_bytes!("../../../tests/files/baseline_422.jpg"), include_bytes!("../../../tests/files/baseline_422.ppm")),
    (include_bytes!("../../../tests/files/separate_440.jpg"), include_bytes!("../../../tests/files/separate_440.ppm")),
    (include_bytes!("../../../tests/files/cmyk.jpg"), include_bytes!("../../../tests/files/cmyk.ppm")),
];
const PROGRESSIVE: &[u8] = READ_BY_PILLOW[0].0;

#[test]
fn every_kind_of_file_is_read_as_pillow_does_to_the_bit() {
    for (at, (file, expected)) in READ_BY_PILLOW.into_iter().enumerate() {
        let expected = decode(expected).unwrap();
        assert_eq!(outcome(file), Ok((expected.size(), expected.into_rgb())), "file {at}");
    }
}

#[test]
fn a_scan_for_each_component_and_halved_chroma_is_read_right() {
    let files: [&[u8]; 3] = [
        include_bytes!("../../../tests/files/separate_420.jpg"),
        include_bytes!("../../../tests/files/separate_444.jpg"),
        include_bytes!("../../../tests/files/interleaved.jpg"),
    ];
    for file in files {
        let (size, pixels) = outcome(file).unwrap();
        assert_eq!(size, [64, 64]);
        let near = |pixel: &[u8; 3]| pixel.iter().zip([126, 0, 126]).all(|(a, b)| a.abs_diff(b) < 4);
        assert!(pixels.as_chunks().0.iter().all(near), "{:?}", &pixels[..3]);
    }
}

#[test]
fn grey_is_read() {
    let grey = decode(&jpeg([6, 5], |_, _| [77])).unwrap();
    assert_eq!(grey.channels(), 1);
    assert!(grey.pixels().iter().all(|value| value.abs_diff(77) < 3), "{:?}", grey.pixels());
}

#[test]
fn a_file_that_was_cut_off_is_refused() {
    let whole = colours();
    for len in 3..whole.len() {
        assert_eq!(outcome(&whole[..len]).unwrap_err(), "the image ends too early", "{len} bytes");
    }
    // What cameras put behind the end is not looked at.
    assert_eq!(outcome(&[&whole[..], b"more"].concat()).unwrap(), outcome(&whole).unwrap());
}

#[test]
fn a_scan_that_was_cut_off_is_refused_though_the_end_marker_is_there() {
    let files = READ_BY_PILLOW.map(|(file, _)| file.to_vec());
    for whole in files.into_iter().chain([colours()]) {
        let scan = marker_at(&whole, marker::START_OF_SCAN);
        for len in scan..whole.len() - 2 {
            let text = outcome(&[&whole[..len], &[0xFF, marker::END_OF_IMAGE]].concat()).unwrap_err();
            assert!(text == "the image ends too early" || text.starts_with("damaged image ("), "{len}: {text}");
        }
    }
}

#[test]
fn a_progressive_file_with_some_of_its_scans_is_refused() {
    let mut scans: Vec<usize> =
        (0..PROGRESSIVE.len() - 1).filter(|at| PROGRESSIVE[*at..*at + 2] == [0xFF, marker::START_OF_SCAN]).collect();
    // A table of codes may stand before a scan.
    scans.extend((0..PROGRESSIVE.len() - 1).filter(|at| PROGRESSIVE[*at..*at + 2] == [0xFF, marker::HUFFMAN]));
    assert!(scans.len() > 10, "{}", scans.len());
    for at in scans {
        let some = [&PROGRESSIVE[..at], &[0xFF, marker::END_OF_IMAGE]].concat();
        assert_eq!(outcome(&some).unwrap_err(), "the image ends too early");
    }
}

#[test]
fn another_height_or_width_than_that_of_the_data_is_refused() {
    for whole in [colours(), PROGRESSIVE.to_vec()] {
        let frame = whole.windows(2).position(|pair| matches!(pair, [0xFF, 0xC0 | 0xC2])).unwrap();
        let side = |at: usize| u16::from_be_bytes([whole[at], whole[at + 1]]);
        for at in [frame + 5, frame + 7] {
            for other in [side(at) * 2, side(at) + 16, side(at) * 100] {
                let mut changed = whole.clone();
                changed[at..at + 2].copy_from_slice(&other.to_be_bytes());
                let text = outcome(&changed).unwrap_err();
                assert!(text == "the image ends too early" || text.starts_with("damaged image ("), "{text}");
            }
        }
        // Half of the rows leave data over.
        let mut halved = whole.clone();
        halved[frame + 5..frame + 7].copy_from_slice(&8u16.to_be_bytes());
        assert_eq!(outcome(&halved).unwrap_err(), "damaged image (its data go on after the last block)");
    }
}

#[test]
fn the_end_of_a_thumbnail_is_not_that_of_the_image() {
    let whole = colours();
    let thumbnail = [&[0xFF, 0xE1, 0, 8, 0xFF, 0xDA, 0, 2, 0xFF, 0xD9][..], &whole[2..]].concat();
    let with_thumbnail = [&whole[..2], &thumbnail[..]].concat();
    assert_eq!(outcome(&with_thumbnail), outcome(&whole));
    assert!(outcome(&with_thumbnail[..with_thumbnail.len() - 2]).is_err());
}

#[test]
fn a_photograph_is_turned_upright() {
    let whole = colours();
    let exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0";
    let segment = [&[0xFF, 0xE1, 0, exif.len() as u8 + 2], &exif[..]].concat();
    let (size, pixels) = outcome(&[&whole[..2], &segment, &whole[2..]].concat()).unwrap();
    let (_, upright) = outcome(&whole).unwrap();
    assert_eq!(size, [37, 29]);
    // The first column from below is the first row.
    assert_eq!(pixels[..3], upright[28 * 37 * 3..][..3]);
}

#[test]
fn every_damage_is_one_sentence_or_a_image() {
    for whole in [colours(), PROGRESSIVE.to_vec()] {
        let mut refused = 0;
        for at in 2..whole.len() {
            for flip in [0x5A, 1, 0x80] {
                let mut damaged = whole.clone();
                damaged[at] ^= flip;
                if let Err(text) = outcome(&damaged) {
                    refused += 1;
                    assert!(text.lines().count() == 1 && text.len() < 200, "byte {at}: {text:?}");
                }
            }
        }
        assert!(refused > 20, "{refused}");
    }
}

#[test]
fn data_that_cannot_be_decoded_are_refused() {
    let mut damaged = colours();
    let scan = marker_at(&damaged, marker::START_OF_SCAN);
    let middle = scan + 14..damaged.len() - 2;
    // No code of Huffman's consists of ones alone.
    damaged[middle].chunks_exact_mut(2).for_each(|pair| pair.copy_from_slice(&[0xFF, 0]));
    let text = outcome(&damaged).unwrap_err();
    assert!(text.starts_with("damaged image ("), "{text}");
}

#[test]
fn what_is_not_read_is_said() {
    let with = |offset: usize, value: u8| {
        let mut file = include_bytes!("../../../tests/files/separate_440.jpg").to_vec();
        let frame = marker_at(&file, marker::SEQUENTIAL);
        file[frame + offset] = value;
        outcome(&file).unwrap_err()
    };
    assert_eq!(with(4, 12), "JPEG images of other than 8 bits are not read");
    assert_eq!(with(1, 0xC9), "JPEG images without loss or with arithmetic coding are not read");
    assert_eq!(with(14, 0x13), "JPEG images with a fraction of a pixel for a sample are not read");
    let limits = "the limits are 16384 on a side and 67108864 in all";
    assert_eq!(with(5, 255), format!("65291 x 19 pixels: {limits}"));
}

#[test]
fn thousands_of_scans_are_refused() {
    // Each would have to be looked at block by block.
    let scan = marker_at(PROGRESSIVE, marker::START_OF_SCAN);
    let empty = [0xFF, marker::START_OF_SCAN, 0, 8, 1, 1, 0, 1, 63, 0x10].repeat(1000);
    assert!(outcome(&[&PROGRESSIVE[..scan], &empty].concat()).unwrap_err().starts_with("damaged image ("));
}

/// Whatever is left out, the pixels of a part are those of the whole image.
#[test]
fn a_part_has_the_pixels_of_the_whole() {
    let turned =
        [&[0xFF, 0xE1, 0, 34][..], b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"].concat();
    let rotated = [&PROGRESSIVE[..2], &turned, &PROGRESSIVE[2..]].concat();
    let grey = jpeg([21, 40], |x, y| [(x * y) as u8]);
    let separate: &[u8] = include_bytes!("../../../tests/files/separate_420.jpg");
    let files = READ_BY_PILLOW.map(|(file, _)| file.to_vec());
    let mut random = ocelli_tensor::Key::new(5).stream();
    for (at, file) in files.into_iter().chain([rotated, grey, separate.to_vec(), colours()]).enumerate() {
        let whole = decode(&file).unwrap();
        for _ in 0..300 {
            let part = whole.size().map(|side| {
                let start = random.below(side);
                start..start + 1 + random.below(side - start)
            });
            let read = crate::image_files::decode_bytes_part(&file, &mut |size| {
                assert_eq!(size, whole.size());
                part.clone()
            });
            let mut cropped = whole.clone();
            cropped.crop(part.clone());
            assert!(read.unwrap() == cropped, "file {at}, {part:?}");
        }
    }
}
