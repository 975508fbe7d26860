//! Reads images from an archive with one folder for each class.

use super::{
    decode, decode_within,
    fault::Fault,
    tar::{Archive, Entry, Kind},
};
use crate::{Error, Images, Result, clutter::is_clutter, error::shortened};
use std::path::Path;

/// Largest file of one image in bytes.
const MAX_FILE_BYTES: u64 = 1 << 26;
/// Maximum number of characters of the names that an error quotes.
const MAX_QUOTED: usize = 200;

/// Reads the images of a `.tar.gz` or `.tar` archive as red, green and blue, in the order of the archive. The class of
/// an image is the name of its folder, `train/cat/0001.jpg`; its label is the index of that name in `class_names`.
///
/// The archive is streamed, never unpacked to the disk. Hidden files and the files that operating systems leave beside
/// images (`._1.png`, `.DS_Store`, `__MACOSX`, `Thumbs.db`) are skipped, as by [`ImageFolder`](super::ImageFolder). All
/// that is unpacked and decoded counts towards what a file of its length may cost; see the [crate's page](crate).
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; [`Error::Format`] if it is not such an archive, is damaged, exceeds the
/// budget of the crate's page, holds anything but folders and images of one size, or a folder is not among the classes.
pub fn load_archive(path: impl AsRef<Path>, class_names: Vec<String>) -> Result<Images> {
    let path = path.as_ref();
    let mut archive = Archive::open(path)?;
    let (mut pixels, mut labels, mut size) = (Vec::new(), Vec::new(), None);
    while let Some(entry) = archive.next_entry()? {
        if entry.kind == Kind::Folder || entry.name.split('/').any(is_clutter) {
            continue;
        }
        let within = path.join(shortened(&entry.name, MAX_QUOTED));
        let label = label(&entry, &within, &class_names)?;
        let bytes = content(&mut archive, &within)?;
        // A file that packs well may itself hold pixels that pack well.
        let image = decode_within(&bytes, archive.left() / 3).map_err(|fault| fault.at(&within))?;
        let [height, width] = image.size();
        let [rows, columns] = *size.get_or_insert([height, width]);
        if [rows, columns] != [height, width] {
            let reason = format!("{height} x {width} pixels, but the images before it have {rows} x {columns}");
            return Err(Error::format(&within, reason));
        }
        archive.charge((height * width * 3) as u64)?;
        pixels.append(&mut image.into_rgb_bytes());
        labels.push(label);
    }
    archive.finish()?;
    let Some([height, width]) = size else { return Err(Error::format(path, "no images")) };
    Images::new([height, width, 3], pixels, labels, class_names)
}

/// Returns the label of an image, found from the name of its folder.
fn label(entry: &Entry, within: &Path, class_names: &[String]) -> Result<u32> {
    if entry.kind != Kind::File {
        return Err(Error::format(within, "neither a file nor a folder"));
    }
    let mut parts = entry.name.rsplit('/').filter(|part| !matches!(*part, "" | "."));
    let Some(class) = parts.nth(1) else {
        return Err(Error::format(within, "not in a folder that names its class"));
    };
    let label = class_names.iter().position(|name| name == class);
    let label = label.and_then(|label| u32::try_from(label).ok());
    label.ok_or_else(|| {
        let (class, names) = (shortened(class, MAX_QUOTED), shortened(&class_names.join(", "), MAX_QUOTED));
        Error::format(within, format!("\"{class}\" is none of the classes {names}"))
    })
}

/// Reads the bytes of the current entry; stops after the first bytes unless those begin an image.
fn content(archive: &mut Archive<'_>, within: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    archive.read(16, &mut bytes)?;
    if decode(&bytes).is_err_and(|fault| fault == Fault::Unknown) {
        return Err(Fault::Unknown.at(within));
    }
    archive.read(MAX_FILE_BYTES, &mut bytes)?;
    match archive.is_read() {
        true => Ok(bytes),
        false => Err(Error::format(within, format!("more than {MAX_FILE_BYTES} bytes"))),
    }
}
