use super::*;
use crate::{
    Dataset, Loader, Mirror, Pipeline, Transform,
    image_files::encoders::{jpeg, png},
    synthetic,
};
use std::path::PathBuf;
use tempfile::TempDir;

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    (folder, path)
}

fn text(folder: &TempDir, error: Error) -> String {
    error.to_string().replace(&format!("{}/", folder.path().display()), "")
}

#[test]
fn a_png_is_read_exactly_at_its_own_size() {
    let (_folder, path) = folder();
    let pixel = |x: usize, y: usize| [x as u8 * 100, y as u8 * 255, 51];
    std::fs::write(&path, png([2, 3], pixel)).unwrap();
    let rgb = load_rgb(&path, [2, 3]).unwrap();
    assert_eq!(rgb.shape(), [1, 2, 3, 3]);
    for (value, byte) in rgb.data().iter().zip((0..6).flat_map(|at| pixel(at % 3, at / 3))) {
        assert!((value * 255.0 - f32::from(byte)).abs() < 1e-3, "{value} for {byte}");
    }
    let grey = load_grey(&path, [1, 1]).unwrap();
    assert_eq!(grey.shape(), [1, 1, 1, 1]);
}

#[test]
fn resizing_averages() {
    let (_folder, path) = folder();
    let checks = png([64, 64], |x, y| [if (x + y) % 2 == 0 { 255 } else { 0 }]);
    std::fs::write(&path, checks).unwrap();
    let grey = load_grey(&path, [8, 4]).unwrap();
    assert_eq!(grey.shape(), [1, 8, 4, 1]);
    assert!(grey.data().iter().all(|value| (value - 0.5).abs() < 0.02), "{:?}", grey.data());
}

#[test]
fn transparent_parts_are_white_paper() {
    let (_folder, path) = folder();
    std::fs::write(&path, png([4, 4], |_, _| [0; 4])).unwrap();
    assert!(load_rgb(&path, [4, 4]).unwrap().data().iter().all(|value| *value == 1.0));
}

#[test]
fn a_jpeg_is_read() {
    let (_folder, path) = folder();
    std::fs::write(&path, jpeg([16, 16], |_, _| [200; 3])).unwrap();
    assert!(load_grey(&path, [2, 2]).unwrap().data().iter().all(|value| (value - 200.0 / 255.0).abs() < 0.02));
}

#[test]
fn what_is_no_image_is_an_error() {
    let (folder, path) = folder();
    let error = |path: &Path| text(&folder, load_grey(path, [2, 2]).unwrap_err());
    assert!(error(&folder.path().join("none")).starts_with("none: No such file"));
    assert!(error(folder.path()).contains("directory"), "{}", error(folder.path()));
    // The content counts, not the name.
    for name in ["image", "image.jpg", "image.png"] {
        let path = folder.path().join(name);
        std::fs::write(&path, "").unwrap();
        assert_eq!(error(&path), format!("{name}: the file is empty"));
        for bytes in [&b"hello, this is text"[..], b"GIF89a0000", &[0xFF, 0xD8]] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(error(&path), format!("{name}: not a PNG, JPEG, PNM or BMP image that can be read"));
        }
    }
    let whole = png([12, 12], |x, y| [(x * y) as u8]);
    for len in 8..whole.len() - 12 {
        std::fs::write(&path, &whole[..len]).unwrap();
        let text = error(&path);
        assert!(text.starts_with("image: "), "{len} bytes: {text}");
    }
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(error(&path), "image: the image ends too early");
    // Nothing that a damaged byte can say may panic.
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x5A;
        std::fs::write(&path, &damaged).unwrap();
        let _ = load_grey(&path, [2, 2]);
    }
}

#[test]
fn absurd_sizes_are_refused() {
    let (folder, path) = folder();
    let setting = |size| load_grey(&path, size).unwrap_err().to_string();
    assert_eq!(setting([0, 5]), "cannot resize to 0 x 5 pixels");
    let limits = "the limits are 16384 on a side and 67108864 in all";
    assert_eq!(setting([16_384, 16_384]), format!("cannot resize to 16384 x 16384 pixels: {limits}"));
    assert!(setting([usize::MAX, 1]).starts_with("cannot resize to 4294967295 x 1 pixels"));
    // A header that lies: width and height of the first chunk, with its checksum made right.
    let mut bytes = png([4, 4], |_, _| [0]);
    bytes[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0x10, 0]);
    let mut checksum = flate2::Crc::new();
    checksum.update(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&checksum.sum().to_be_bytes());
    std::fs::write(&path, &bytes).unwrap();
    let error = text(&folder, load_grey(&path, [2, 2]).unwrap_err());
    assert_eq!(error, format!("image: 4096 x 65536 pixels: {limits}"));
}

/// Returns the centre of mass of an image.
fn centre_of_mass(digit: &[u8; 784]) -> [f32; 2] {
    let mut sums = [0.0f32; 3];
    for (i, value) in digit.iter().enumerate() {
        let value = f32::from(*value);
        sums = [sums[0] + value, sums[1] + value * (i % 28) as f32, sums[2] + value * (i / 28) as f32];
    }
    [sums[1] / sums[0] + 0.5, sums[2] / sums[0] + 0.5]
}

#[test]
fn dark_on_light_and_light_on_dark_give_the_same_digit() {
    let (_folder, path) = folder();
    // A thick 7 off the middle of a wide sheet.
    let ink = |x: usize, y: usize| {
        ((20..28).contains(&y) && (30..80).contains(&x)) || ((20..100).contains(&y) && (70..80).contains(&x))
    };
    let mut digits = Vec::new();
    for (paper, pen) in [(230, 30), (30, 230), (200, 90), (0, 255)] {
        std::fs::write(&path, png([200, 300], |x, y| [if ink(x, y) { pen } else { paper }])).unwrap();
        digits.push(digit(&path).unwrap());
    }
    assert!(digits.iter().all(|other| *other == digits[0]));
    let rows = (0..28).filter(|row| digits[0][row * 28..(row + 1) * 28].iter().any(|value| *value > 0)).count();
    let columns = (0..28).filter(|column| (0..28).any(|row| digits[0][row * 28 + column] > 0)).count();
    assert_eq!((rows, columns, digits[0].iter().max()), (20, 13, Some(&255)));
    let [x, y] = centre_of_mass(&digits[0]);
    assert!((x - 14.0).abs() <= 0.5 && (y - 14.0).abs() <= 0.5, "{x} {y}");
}

#[test]
fn any_grey_values_give_a_digit_or_an_error() {
    let blank = "no digit to be seen: the image has no contrast";
    assert_eq!(digit_of([30, 30], &[0.7; 900]).unwrap_err().to_string(), blank);
    assert_eq!(digit_of([1, 1], &[f32::NAN]).unwrap_err().to_string(), blank);
    assert_eq!(digit_of([2, 2], &[0.0; 5]).unwrap_err().to_string(), "5 bytes are not an image of shape [2, 2, 1]");
    assert_eq!(digit_of([0, 2], &[]).unwrap_err().to_string(), "an image of 0 x 2 pixels");
    digit_of([1, 2], &[0.0, 1.0]).unwrap();
    let mut thin = vec![0.0; 3 * 5000];
    thin[7000] = 1.0;
    let _ = digit_of([3, 5000], &thin);
    let _ = digit_of([5000, 3], &thin);
    let images = synthetic::digits(50, 3);
    for index in 0..images.len() {
        let x: Vec<f32> = images.image(index).unwrap().iter().map(|byte| f32::from(*byte) / 255.0).collect();
        let [x, y] = centre_of_mass(&digit_of([28, 28], &x).unwrap());
        assert!((10.0..18.0).contains(&x) && (10.0..18.0).contains(&y));
    }
}

/// Makes an archive of these files.
fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = ::tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best()));
    for (name, bytes) in files {
        let mut header = ::tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, name, *bytes).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

fn plain(width: usize, height: usize, colour: [u8; 3]) -> Vec<u8> {
    png([height, width], |_, _| colour)
}

fn loaded(bytes: &[u8]) -> std::result::Result<crate::Images, String> {
    let (folder, path) = folder();
    std::fs::write(&path, bytes).unwrap();
    load_archive(&path, vec!["cat".into(), "dog".into()]).map_err(|error| text(&folder, error))
}

#[test]
fn an_archive_has_a_folder_for_each_class() {
    let (a, b, c) = (plain(3, 2, [1, 2, 3]), plain(3, 2, [4, 5, 6]), plain(3, 2, [7, 8, 9]));
    let whole = archive(&[("train/dog/1.png", &a), ("train/cat/1.png", &b), ("train/dog/2.png", &c)]);
    let images = loaded(&whole).unwrap();
    assert_eq!((images.shape(), images.labels()), ([2, 3, 3], &[1, 0, 1][..]));
    assert_eq!(images.image(1).unwrap(), [4, 5, 6].repeat(6));
    // A cut or a damaged archive is an error or, where only the end of the archive is lost, the same images.
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x55;
        for bytes in [&damaged[..], &whole[..at]] {
            match loaded(bytes) {
                Ok(read) => assert!(read.len() <= 3, "byte {at}"),
                Err(text) => assert!(text.starts_with("image: ") || text.starts_with("image/"), "{at}: {text}"),
            }
        }
    }
}

#[test]
fn what_does_not_belong_into_an_archive_is_named() {
    let good = plain(2, 2, [0; 3]);
    let text = |name: &str, bytes: &[u8]| loaded(&archive(&[("a/cat/1.png", &good), (name, bytes)])).unwrap_err();
    assert_eq!(text("a/cow/1.png", &good), "image/a/cow/1.png: \"cow\" is none of the classes cat, dog");
    assert_eq!(text("1.png", &good), "image/1.png: not in a folder that names its class");
    let other = "image/a/dog/1.png: 3 x 2 pixels, but the images before it have 2 x 2";
    assert_eq!(text("a/dog/1.png", &plain(2, 3, [0; 3])), other);
    let reason = "image/cat/readme: not a PNG, JPEG, PNM or BMP image that can be read";
    assert_eq!(text("cat/readme", b"no image at all"), reason);
    assert_eq!(loaded(&archive(&[])).unwrap_err(), "image: no images");
    assert!(loaded(b"no archive").unwrap_err().starts_with("image: damaged archive ("));
}

#[test]
fn archives_packed_on_macos_are_read_without_its_notes() {
    let files: [&[u8]; 2] =
        [include_bytes!("../../tests/files/apple_double.tar.gz"), include_bytes!("../../tests/files/ds_store.tar.gz")];
    for file in files {
        let images = loaded(file).unwrap();
        assert!(!images.is_empty());
    }
    let good = plain(2, 2, [0; 3]);
    let notes = ["a/cat/._1.png", "__MACOSX/cat/1.png", "a/.DS_Store", "a/dog/Thumbs.db", "a/.git/cat/1.png"];
    let mut files = notes.map(|name| (name, &b"notes"[..])).to_vec();
    files.push(("./a/cat/1.png", &good));
    assert_eq!(loaded(&archive(&files)).unwrap().labels(), [0]);
    assert_eq!(loaded(&archive(&files[..5])).unwrap_err(), "image: no images");
}

/// Makes an archive, not packed, of one header of `kind` with content before an image.
fn with_extension(kind: u8, content: &[u8], name: &str) -> Vec<u8> {
    let good = plain(2, 2, [0; 3]);
    let mut archive = ::tar::Builder::new(Vec::new());
    let mut header = ::tar::Header::new_ustar();
    header.set_entry_type(::tar::EntryType::new(kind));
    header.set_size(content.len() as u64);
    header.set_cksum();
    archive.append(&header, content).unwrap();
    let mut header = ::tar::Header::new_ustar();
    header.set_size(good.len() as u64);
    header.set_path(name).unwrap();
    header.set_cksum();
    archive.append(&header, &good[..]).unwrap();
    archive.into_inner().unwrap()
}

#[test]
fn long_names_are_read_and_absurd_ones_refused() {
    let long = format!("{}/cat/1.png", "long".repeat(60));
    assert_eq!(loaded(&with_extension(b'L', long.as_bytes(), "x")).unwrap().labels(), [0]);
    let record = |value: &str| {
        let rest = format!(" path={value}\n");
        format!("{}{rest}", rest.len() + 3)
    };
    assert_eq!(record(&long).len().to_string(), record(&long)[..3]);
    assert_eq!(loaded(&with_extension(b'x', record(&long).as_bytes(), "x")).unwrap().labels(), [0]);
    for kind in [b'g', b'K'] {
        assert_eq!(loaded(&with_extension(kind, b"comment", "cat/1.png")).unwrap().labels(), [0]);
    }
    // A name that packs to a thousandth of its length.
    for kind in [b'L', b'x'] {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut packed, &with_extension(kind, &vec![b'a'; 1 << 20], "cat/1.png")).unwrap();
        let text = loaded(&packed.finish().unwrap()).unwrap_err();
        assert_eq!(text, "image: damaged archive (a name or a header of 1048576 bytes)");
    }
    let unknown = format!("{}/1.png", "cow".repeat(1000));
    let text = loaded(&with_extension(b'L', unknown.as_bytes(), "x")).unwrap_err();
    assert!(text.contains("is none of the classes cat, dog") && text.len() < 700, "{}", text.len());
}

#[test]
fn links_and_other_things_in_an_archive_are_named() {
    let mut archive = ::tar::Builder::new(Vec::new());
    let mut header = ::tar::Header::new_ustar();
    header.set_entry_type(::tar::EntryType::Symlink);
    header.set_size(0);
    archive.append_link(&mut header, "cat/1.png", "2.png").unwrap();
    let text = loaded(&archive.into_inner().unwrap()).unwrap_err();
    assert_eq!(text, "image/cat/1.png: neither a file nor a folder");
}

#[test]
fn what_packs_too_well_is_refused_before_it_fills_the_memory() {
    // 30 MB of zeros that no image begins with, in 30 kB; and as something to read over.
    let zeros = vec![0; 30 << 20];
    for (name, text) in [
        ("cat/1.png", "image/cat/1.png: not a PNG, JPEG, PNM or BMP image that can be read"),
        ("cat/._1.png", "image: more than "),
    ] {
        let error = loaded(&archive(&[(name, &zeros)])).unwrap_err();
        assert!(error.starts_with(text), "{error}");
    }
    // Blank images: 3 MB of pixels each in 100 bytes of the archive.
    let blank = plain(1000, 1000, [255; 3]);
    let files: Vec<(String, &[u8])> = (0..30).map(|index| (format!("cat/{index}.png"), &blank[..])).collect();
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (name.as_str(), *bytes)).collect();
    assert_eq!(loaded(&archive(&files[..3])).unwrap().len(), 3);
    let error = loaded(&archive(&files)).unwrap_err();
    assert!(error.ends_with("1000 x 1000 pixels, more than what is left for a file of its length"), "{error}");
    // One image whose file packs well too.
    let error = loaded(&archive(&[("cat/1.png", &plain(4000, 3000, [255; 3]))])).unwrap_err();
    assert!(error.starts_with("image/cat/1.png: 3000 x 4000 pixels, more than "), "{error}");
}

#[test]
fn little_images_are_not_enlarged_without_bound() {
    let thin = plain(1, 16_384, [9; 3]);
    let text = |size| read_rgb(&thin, size).unwrap_err().to_string();
    assert_eq!(
        text([4096, 4097]),
        "an image in memory: 4096 x 4097 pixels are too many to make of 16384 x 1: the limit for smaller images is 16777216"
    );
    assert!(text([16_384, 4096]).contains(": 16384 x 4096 pixels are too many"));
    assert!(read_grey(&thin, [1, 16_384]).unwrap().data().iter().all(|value| (value * 255.0 - 9.0).abs() < 1e-3));
}

#[test]
fn images_in_memory_are_read_as_files_are() {
    let bytes = plain(3, 2, [1, 2, 3]);
    let (_folder, path) = folder();
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(read_rgb(&bytes, [2, 3]).unwrap(), load_rgb(&path, [2, 3]).unwrap());
    let usual = crate::Pipeline::imagenet([8, 8]);
    assert_eq!(usual.read(&bytes).unwrap(), usual.load(&path).unwrap());
    let text = read_grey(b"hello", [1, 1]).unwrap_err().to_string();
    assert_eq!(text, "an image in memory: not a PNG, JPEG, PNM or BMP image that can be read");
}

#[test]
fn a_part_that_an_image_has_not_is_an_error() {
    for bytes in [plain(3, 2, [1, 2, 3]), jpeg([2, 3], |_, _| [7])] {
        let error = |part: [std::ops::Range<usize>; 2]| {
            decode_bytes_part(&bytes, &mut |_| part.clone()).unwrap_err().to_string()
        };
        assert_eq!(error([0..2, 1..4]), "the rows 0..2 and columns 1..4 of an image of 2 x 3 pixels");
        assert_eq!(error([1..1, 0..3]), "the rows 1..1 and columns 0..3 of an image of 2 x 3 pixels");
    }
}

/// A folder whose images are decoded whole.
struct Whole(ImageFolder);

impl Dataset for Whole {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn class_names(&self) -> &[String] {
        self.0.class_names()
    }
    fn label(&self, index: usize) -> Result<u32> {
        self.0.label(index)
    }
    fn read(&self, index: usize, image: &mut Image) -> Result<()> {
        self.0.read(index, image)
    }
}

#[test]
fn samples_are_the_same_though_only_parts_are_decoded() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("class")).unwrap();
    for (name, file) in [
        ("a.jpg", jpeg([90, 130], |x, y| [(x * y) as u8, (3 * x) as u8, (5 * y) as u8])),
        ("b.jpg", include_bytes!("../../tests/files/progressive_420.jpg").to_vec()),
        ("c.png", png([40, 30], |x, y| [(x * y) as u8])),
    ] {
        std::fs::write(folder.path().join("class").join(name), file).unwrap();
    }
    let images = || ImageFolder::open(folder.path()).unwrap();
    let crop = Transform::random_resized_crop([16, 12]);
    let mirror = Transform::RandomMirror(Mirror::LeftRight);
    for transforms in [vec![crop.clone(), mirror.clone()], vec![mirror, crop.clone()], vec![crop.clone(), crop]] {
        let pipeline = Pipeline::imagenet([16, 12]).with_transforms(transforms);
        let whole = Loader::new(Whole(images()), pipeline.clone(), 3).unwrap();
        let parts = Loader::new(images(), pipeline, 3).unwrap();
        for epoch in 0..20 {
            let [whole, parts] =
                [&whole, &parts].map(|loader| loader.epoch(epoch).map(Result::unwrap).collect::<Vec<_>>());
            assert!(whole == parts, "{epoch}");
        }
    }
}
