//! The images that a network is seen through.

use ocelli::{
    data::{
        self, Part, Targets, cifar10,
        image_files::{ImageFolder, decode_file, load_archive},
        mnist,
    },
    prelude::*,
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Opens images by what is at the path.
pub fn open(path: &Path, class_names: &[String]) -> ocelli::Result<Arc<dyn Dataset>> {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    if path.is_file() {
        return Ok(match ending {
            "bin" => Arc::new(cifar10::read(&[path])?),
            "gz" | "tar" | "tgz" => Arc::new(load_archive(path, class_names.to_vec())?),
            _ => Arc::new(Files { files: vec![path.into()] }),
        });
    }
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        files.push(entry.map_err(failed)?.path());
    }
    files.sort_unstable();
    let name = |file: &PathBuf| file.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    if files.iter().any(|file| name(file).starts_with("t10k-images")) {
        return Ok(Arc::new(mnist::load(path, Part::Test)?));
    }
    let is_image = |file: &PathBuf| {
        let name = name(file);
        [".png", ".jpg", ".jpeg", ".pnm", ".pgm", ".ppm", ".bmp"].iter().any(|ending| name.ends_with(ending))
    };
    files.retain(is_image);
    if files.is_empty() {
        return Ok(Arc::new(ImageFolder::open(path)?));
    }
    Ok(Arc::new(Files { files }))
}

/// Image files without labels.
struct Files {
    files: Vec<PathBuf>,
}

impl Files {
    fn file(&self, index: usize) -> data::Result<&PathBuf> {
        self.files.get(index).ok_or(data::Error::Index { index, len: self.files.len() })
    }
}

impl Dataset for Files {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn class_names(&self) -> &[String] {
        &[]
    }

    fn targets(&self) -> Targets {
        Targets::Nothing
    }

    fn label(&self, index: usize) -> data::Result<u32> {
        self.file(index)?;
        Err(data::Error::Setting("images without labels".into()))
    }

    fn read(&self, index: usize, image: &mut Image) -> data::Result<()> {
        *image = decode_file(self.file(index)?)?;
        Ok(())
    }

    fn name(&self, index: usize) -> String {
        let name = self.files.get(index).and_then(|file| file.file_name());
        name.map_or(format!("sample {index}"), |name| name.to_string_lossy().into_owned())
    }
}
