//! Pictures in an archive, a folder for each class.

use super::decode_bytes;
use crate::{Error, Images, Result};
use flate2::read::MultiGzDecoder;
use std::{
    ffi::OsStr,
    fs::File,
    io::{BufReader, Read},
    path::Path,
};
use tar::{Archive, Entry};

/// Bytes of one picture's file, at the most.
const MAX_FILE_BYTES: u64 = 1 << 26;
/// Bytes of all files, and bytes of all pixels, at the most.
const MAX_BYTES: u64 = 1 << 30;

/// Reads the pictures of a `.tar.gz` archive as red, green and blue, in the order of the archive. A picture's class is the
/// name of the folder that it lies in, `train/cat/0001.jpg`; its label is the place of that name in `class_names`.
///
/// The archive is read as it lies, without unpacking it onto the disk.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; [`Error::Format`] if it is no such archive, is absurdly large, holds anything
/// but folders and pictures of one size, or a folder is not among the classes.
pub fn load_archive(path: impl AsRef<Path>, class_names: Vec<String>) -> Result<Images> {
    let path = path.as_ref();
    let file = File::open(path).map_err(|source| Error::io(path, source))?;
    // Twice the limit: headers and padding come on top of what is counted below.
    let content = MultiGzDecoder::new(BufReader::new(file)).take(2 * MAX_BYTES);
    let mut archive = Archive::new(content);
    let damaged = |error: std::io::Error| Error::format(path, format!("damaged archive ({error})"));
    let (mut pixels, mut labels, mut size) = (Vec::new(), Vec::new(), None);
    let (mut bytes, mut read) = (Vec::new(), 0);
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let (within, class) = place(&entry).map_err(damaged)?;
        let within = path.join(within);
        let Some(label) = class.as_ref().and_then(|class| class_names.iter().position(|name| name == class)) else {
            let reason = match class {
                Some(class) => format!("\"{class}\" is none of the classes {}", class_names.join(", ")),
                None => "not in a folder that names its class".into(),
            };
            return Err(Error::format(&within, reason));
        };
        bytes.clear();
        entry.by_ref().take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(damaged)?;
        read += bytes.len() as u64;
        if bytes.len() as u64 > MAX_FILE_BYTES || read > MAX_BYTES {
            return Err(Error::format(&within, format!("more than {MAX_FILE_BYTES} bytes, or {MAX_BYTES} in all")));
        }
        let picture = decode_bytes(&within, &bytes)?.into_rgb8();
        let (height, width) = (picture.height(), picture.width());
        let expected = *size.get_or_insert([height, width]);
        if expected != [height, width] {
            let [rows, columns] = expected;
            let reason = format!("{height} x {width} pixels, but the pictures before it have {rows} x {columns}");
            return Err(Error::format(&within, reason));
        }
        if (pixels.len() + picture.as_raw().len()) as u64 > MAX_BYTES {
            return Err(Error::format(path, format!("more than {MAX_BYTES} bytes of pixels")));
        }
        pixels.extend_from_slice(picture.as_raw());
        labels.push(label as u32);
    }
    let Some([height, width]) = size else { return Err(Error::format(path, "no pictures")) };
    Images::new([height as usize, width as usize, 3], pixels, labels, class_names)
}

/// The path of an entry within the archive, and the name of the folder that it lies in.
fn place(entry: &Entry<'_, impl Read>) -> std::io::Result<(std::path::PathBuf, Option<String>)> {
    let within = entry.path()?.into_owned();
    let folder = within.parent().and_then(Path::file_name).and_then(OsStr::to_str).map(String::from);
    Ok((within, folder))
}
