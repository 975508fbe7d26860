//! Images.

use super::{Answer, Crafted, Read, Reader, all, answer, tables::written};
use crate::{
    drawn::Seed,
    encoders,
    forms::{jpeg, jpeg_parts, plain, png, zlib},
    held,
};
use ocelli::{
    data::{
        Pipeline,
        image_files::{ImageFolder, digit, load_grey, load_rgb},
    },
    tensor::Tensor,
};
use std::{fmt::Display, fs, path::Path};

/// Every way in which an image is read.
fn prepare(folder: &Path) -> Read {
    let class = folder.join("class");
    fs::create_dir_all(&class).expect("a temporary folder");
    let folder = folder.to_path_buf();
    Box::new(move |file: &Path| {
        let whole = Pipeline::new();
        fs::copy(file, class.join("1.png")).expect("a temporary file");
        let in_folder = ImageFolder::open(&folder).map_err(|error| error.to_string());
        all([
            tensor(load_rgb(file, [8, 8])),
            tensor(load_grey(file, [3, 9])),
            answer(digit(file), |digit| digit.len()),
            tensor(whole.load(file)),
            in_folder.and_then(|images| written(&images)),
        ])
    })
}

pub fn tensor(result: Result<Tensor, impl Display>) -> Answer {
    answer(result, |tensor| 4 * tensor.len())
}

/// A head of PNG: `colour` as PNG numbers kinds of colour.
pub fn png_head(width: u32, height: u32, depth: u8, colour: u8, interlace: u8) -> Vec<u8> {
    [b"IHDR", &width.to_be_bytes()[..], &height.to_be_bytes(), &[depth, colour, 0, 0, interlace]].concat()
}

/// A chunk of letters and content, as the form of PNG takes it.
pub fn chunk(kind: &[u8; 4], content: impl Into<Vec<u8>>) -> Vec<u8> {
    [kind.to_vec(), content.into()].concat()
}

/// An image of 8 × 8 pixels with all that is said about it between its head and its data.
fn small_png(depth: u8, colour: u8, between: &[Vec<u8>]) -> Seed {
    let channels = [1, 0, 3, 1, 2, 0, 4][usize::from(colour)];
    let row = usize::from(depth) * channels;
    // An index is within a palette of 16.
    let sample = |x: usize, y: usize| if colour == 3 { x * y % 16 } else { x * y };
    let line = |y: usize| {
        [if colour == 3 { 0 } else { y as u8 % 5 }].into_iter().chain((0..row).map(move |x| sample(x, y) as u8))
    };
    let data: Vec<u8> = (0..8).flat_map(line).collect();
    let head = png_head(8, 8, depth, colour, 0);
    Seed::new(png, [&[head], between, &[chunk(b"IDAT", data), b"IEND".to_vec()]].concat())
}

pub const PNG: Reader = Reader {
    name: "png",
    seeds: || {
        let palette = chunk(b"PLTE", (0..48).collect::<Vec<u8>>());
        let exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
        // Each pass of an interlaced image has its own rows; these are those of 8 × 8 grey pixels.
        let interlaced = vec![png_head(8, 8, 8, 0, 1), chunk(b"IDAT", vec![0; 79]), b"IEND".to_vec()];
        vec![
            small_png(8, 0, &[]),
            small_png(1, 0, &[chunk(b"tRNS", [0, 1])]),
            small_png(16, 2, &[chunk(b"eXIf", *exif), chunk(b"gAMA", [0, 0, 0xB1, 0x8F])]),
            small_png(8, 2, &[chunk(b"tRNS", [0, 1, 0, 2, 0, 3]), chunk(b"tEXt", *b"Comment\0text")]),
            small_png(4, 3, &[palette.clone(), chunk(b"tRNS", [0, 128])]),
            small_png(8, 3, &[palette, chunk(b"zTXt", [&b"Title\0\0"[..], &zlib(b"text")].concat())]),
            small_png(16, 4, &[chunk(b"iCCP", [&b"profile\0\0"[..], &zlib(&[0; 64])].concat())]),
            small_png(8, 6, &[chunk(b"acTL", [0, 0, 0, 1, 0, 0, 0, 0])]),
            Seed::new(png, interlaced),
        ]
    },
    words: &[
        b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"acTL", b"fcTL", b"fdAT", b"iCCP", b"zTXt", b"iTXt", b"eXIf",
        b"sBIT",
    ],
    crafted: &[
        ("the largest head and no data", || {
            png(&[png_head(8192, 8192, 16, 6, 0), chunk(b"IDAT", []), b"IEND".to_vec()])
        }),
        ("a head beyond all limits", || png(&[png_head(u32::MAX, u32::MAX, 16, 6, 1), b"IEND".to_vec()])),
        ("the largest head and one row", || {
            png(&[png_head(8192, 8192, 8, 2, 0), chunk(b"IDAT", vec![0; 24_577]), b"IEND".to_vec()])
        }),
        ("zeros, deflated a thousand times", || blank(2048, 2048, 8, 0)),
        ("transparent zeros, deflated a thousand times", || blank(1024, 1024, 16, 6)),
        ("one bit a pixel", || blank(4096, 4096, 1, 0)),
        ("zeros behind the last row", || {
            png(&[png_head(1, 1, 8, 0, 0), chunk(b"IDAT", vec![0; 1 << 24]), b"IEND".to_vec()])
        }),
        ("one row", || blank(16_384, 1, 8, 2)),
        ("one column", || blank(1, 16_384, 8, 2)),
        ("a text of zeros, deflated a thousand times", || bomb_beside(b"zTXt", b"Title\0\0")),
        ("an international text of zeros", || bomb_beside(b"iTXt", b"Title\0\x01\0\0\0")),
        ("a profile of zeros, deflated a thousand times", || bomb_beside(b"iCCP", b"profile\0\0")),
        ("a chunk that claims 2 GB", || {
            let mut file = blank(2, 2, 8, 0);
            let data = file.windows(4).position(|window| window == b"IDAT").expect("there are data");
            file[data - 4..data].copy_from_slice(&0x7FFF_FFFFu32.to_be_bytes());
            file
        }),
        ("100,000 empty chunks of data", || {
            let mut parts = vec![png_head(2, 2, 8, 0, 0)];
            parts.resize(100_000, b"ABCD".to_vec());
            parts.extend([chunk(b"IDAT", vec![0; 6]), b"IEND".to_vec()]);
            png(&parts)
        }),
        ("50,000 texts", || {
            let mut parts = vec![png_head(2, 2, 8, 0, 0)];
            parts.resize(50_000, chunk(b"tEXt", *b"a\0b"));
            parts.extend([chunk(b"IDAT", vec![0; 6]), b"IEND".to_vec()]);
            png(&parts)
        }),
        ("a palette of one colour and a third", || {
            let palette = chunk(b"PLTE", [0, 0, 0, 180]);
            png(&[png_head(4, 4, 8, 3, 0), palette, chunk(b"IDAT", vec![0; 20]), b"IEND".to_vec()])
        }),
        ("an index beyond the palette", || {
            let palette = chunk(b"PLTE", [1, 2, 3]);
            png(&[png_head(4, 1, 8, 3, 0), palette, chunk(b"IDAT", [0, 0, 1, 200, 255]), b"IEND".to_vec()])
        }),
    ],
    prepare,
    held: held::in_image,
    own: 0,
};

/// An image of zeros.
pub fn blank(width: u32, height: u32, depth: u8, colour: u8) -> Vec<u8> {
    let channels = [1, 0, 3, 1, 2, 0, 4][usize::from(colour)];
    let row = 1 + (width as usize * channels * usize::from(depth)).div_ceil(8);
    let data = chunk(b"IDAT", vec![0; row * height as usize]);
    png(&[png_head(width, height, depth, colour, 0), data, b"IEND".to_vec()])
}

/// A small image with 16 MiB of zeros beside it, deflated.
fn bomb_beside(kind: &[u8; 4], start: &[u8]) -> Vec<u8> {
    let bomb = chunk(kind, [start, &zlib(&vec![0; 1 << 24])].concat());
    png(&[png_head(2, 2, 8, 2, 0), bomb, chunk(b"IDAT", vec![0; 14]), b"IEND".to_vec()])
}

/// Baseline with 4:2:0 and restarts, progressive with 4:2:0, and a scan for each component.
const JPEGS: [&[u8]; 3] = [
    include_bytes!("../seeds/baseline_420.jpg"),
    include_bytes!("../seeds/progressive_420.jpg"),
    include_bytes!("../seeds/separate_420.jpg"),
];

/// A file of JPEG whose frame claims this size.
fn resized(file: &[u8], height: u16, width: u16) -> Vec<u8> {
    let mut file = file.to_vec();
    let frame = file.windows(2).position(|pair| pair[0] == 0xFF && matches!(pair[1], 0xC0..=0xC2)).expect("a frame");
    file[frame + 5..frame + 7].copy_from_slice(&height.to_be_bytes());
    file[frame + 7..frame + 9].copy_from_slice(&width.to_be_bytes());
    file
}

/// A progressive file with its first scans many times.
fn repeated_scans(count: usize, side: u16) -> Vec<u8> {
    let file = resized(JPEGS[1], side, side);
    let scan = file.windows(2).position(|pair| pair == [0xFF, 0xDA]).expect("a scan");
    let end = scan
        + 2
        + file[scan + 2..]
            .windows(2)
            .position(|pair| pair[0] == 0xFF && !matches!(pair[1], 0 | 0xD0..=0xD7))
            .expect("an end");
    [&file[..scan], &file[scan..end].repeat(count), &file[end..]].concat()
}

const JPEG_CRAFTED: &[Crafted] = &[
    ("a baseline frame that claims 8192 x 8192 pixels", || resized(JPEGS[0], 8192, 8192)),
    ("a progressive frame that claims 8192 x 8192 pixels", || resized(JPEGS[1], 8192, 8192)),
    ("separate scans that claim 8192 x 8192 pixels", || resized(JPEGS[2], 8192, 8192)),
    ("a frame beyond all limits", || resized(JPEGS[1], u16::MAX, u16::MAX)),
    ("a frame without rows", || resized(JPEGS[0], 0, 8)),
    ("1000 scans of an image of 64 x 64", || repeated_scans(1000, 64)),
    ("1000 scans that claim 4096 x 4096 pixels", || repeated_scans(1000, 4096)),
    ("1000 frames", || {
        let frame = jpeg_parts(JPEGS[0]).into_iter().find(|part| part[0] == 0xC0).expect("a frame");
        let mut parts = jpeg_parts(JPEGS[0]);
        (0..1000).for_each(|_| parts.insert(3, frame.clone()));
        jpeg(&parts)
    }),
    ("a scan of ones", || {
        let mut parts = jpeg_parts(&resized(JPEGS[0], 2048, 2048));
        let scan = parts.iter().position(|part| part[0] == 0).expect("a scan");
        parts[scan] = [vec![0], [0xFF, 0].repeat(200_000)].concat();
        jpeg(&parts)
    }),
    ("a scan of zeros", || {
        let mut parts = jpeg_parts(&resized(JPEGS[0], 2048, 2048));
        let scan = parts.iter().position(|part| part[0] == 0).expect("a scan");
        parts[scan] = vec![0; 200_000];
        jpeg(&parts)
    }),
    ("a megabyte of comments", || {
        let mut parts = jpeg_parts(JPEGS[0]);
        (0..16).for_each(|_| parts.insert(1, vec![0xFE; 65_000]));
        jpeg(&parts)
    }),
    ("a megabyte of filling", || [&JPEGS[0][..2], &vec![0xFF; 1 << 20], &JPEGS[0][2..]].concat()),
    ("a megabyte of starts", || [0xFF, 0xD8].repeat(1 << 19)),
];

pub const JPEG: Reader = Reader {
    name: "jpeg",
    seeds: || {
        let grey = encoders::jpeg([17, 9], |x, y| [(x * y) as u8]);
        let colour = encoders::jpeg([18, 20], |x, y| [(x * 11) as u8, (y * 13) as u8, (x * y) as u8]);
        let turned = b"\xE1Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
        let mut with_note = jpeg_parts(&colour);
        with_note.insert(1, turned.to_vec());
        let seeds = [&grey[..], &colour].into_iter().chain(JPEGS).map(|file| Seed::new(jpeg, jpeg_parts(file)));
        seeds.chain([Seed::new(jpeg, with_note)]).collect()
    },
    words: &[
        b"\xFF\xC0",
        b"\xFF\xC1",
        b"\xFF\xC2",
        b"\xFF\xC4",
        b"\xFF\xCC",
        b"\xFF\xD0",
        b"\xFF\xD7",
        b"\xFF\xD8",
        b"\xFF\xD9",
        b"\xFF\xDA",
        b"\xFF\xDB",
        b"\xFF\xDC",
        b"\xFF\xDD",
        b"\xFF\xE1\x00\x08Exif",
        b"\xFF\xEE\x00\x0EAdobe",
    ],
    crafted: JPEG_CRAFTED,
    prepare,
    held: held::in_image,
    own: 0,
};

/// Bitmaps of Windows: `depth` bits a pixel, rows from below.
fn bmp(width: i32, height: i32, depth: u16, compression: u32, palette: &[u8], data: &[u8]) -> Vec<Vec<u8>> {
    let start = 54 + palette.len() as u32;
    let file = [&b"BM"[..], &(start + data.len() as u32).to_le_bytes(), &[0; 4], &start.to_le_bytes()].concat();
    let sizes = [&40u32.to_le_bytes()[..], &width.to_le_bytes(), &height.to_le_bytes(), &[1, 0]].concat();
    let about = [&depth.to_le_bytes()[..], &compression.to_le_bytes(), &(data.len() as u32).to_le_bytes()].concat();
    let colours = (palette.len() as u32 / 4).to_le_bytes();
    vec![file, sizes, [&about[..], &[0; 8], &colours, &[0; 4]].concat(), palette.to_vec(), data.to_vec()]
}

pub const OTHER_IMAGES: Reader = Reader {
    name: "other_images",
    seeds: || {
        let pixels = (0..60).collect::<Vec<u8>>();
        let portable = |head: &str, data: &[u8]| Seed::new(plain, [head.as_bytes(), data]);
        vec![
            portable("P5\n4 3\n255\n", &pixels[..12]),
            portable("P6\n# of a camera\n4 5\n255\n", &pixels),
            portable("P5\n2 3\n65535\n", &pixels[..12]),
            portable("P2\n3 2\n9\n", b"0 1 2\n7 8 9\n"),
            portable("P3\n1 2\n255\n", b"0 1 2 253 254 255\n"),
            Seed::new(plain, bmp(3, 2, 24, 0, &[], &pixels[..24])),
            Seed::new(plain, bmp(3, -2, 32, 0, &[], &pixels[..24])),
            Seed::new(plain, bmp(5, 4, 8, 0, &pixels[..40], &[1; 32])),
            Seed::new(plain, bmp(9, 2, 4, 0, &pixels, &[0x12; 16])),
            Seed::new(plain, bmp(9, 2, 1, 0, &pixels[..8], &[0xA5; 8])),
        ]
    },
    words: &[
        b"P1",
        b"P2",
        b"P3",
        b"P4",
        b"P5",
        b"P6",
        b"P7",
        b"BM",
        b"#",
        b"\n",
        b" ",
        b"65535",
        b"WIDTH ",
        b"ENDHDR\n",
    ],
    crafted: &[
        ("a grey map that claims 67,108,864 pixels", || b"P5\n8192 8192\n255\n".to_vec()),
        ("a colour map that claims 2^64 pixels", || b"P6\n4294967296 4294967296\n255\n\0\0\0".to_vec()),
        ("a text map that claims 67,108,864 pixels", || b"P3\n8192 8192\n255\n1 2 3".to_vec()),
        ("a bit map that claims 67,108,864 pixels", || b"P4\n8192 8192\n\0".to_vec()),
        ("a megabyte of comment", || [&b"P5\n#"[..], &vec![b'a'; 1 << 20], b"\n2 2\n255\n\0\0\0\0"].concat()),
        ("a megabyte of space", || [&b"P5"[..], &vec![b' '; 1 << 20], b"2 2\n255\n\0\0\0\0"].concat()),
        ("a width of a megabyte", || [&b"P5\n"[..], &vec![b'9'; 1 << 20], b" 2\n255\n\0\0\0\0"].concat()),
        ("a megabyte of numbers", || [&b"P2\n8 8\n255\n"[..], &b"1 ".repeat(1 << 19)].concat()),
        ("a bitmap that claims 67,108,864 pixels", || bmp(8192, 8192, 24, 0, &[], &[0; 24]).concat()),
        ("a bitmap beyond all limits", || bmp(i32::MAX, i32::MIN, 32, 0, &[], &[0; 24]).concat()),
        ("a bitmap of runs", || bmp(8192, 8192, 8, 1, &[0; 1024], &[255, 0].repeat(1000)).concat()),
        ("a bitmap that skips its pixels", || {
            bmp(8192, 8192, 8, 1, &[0; 1024], &[0, 2, 255, 255].repeat(1000)).concat()
        }),
    ],
    prepare,
    held: held::in_image,
    own: 0,
};
