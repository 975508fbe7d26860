//! Odd images through what the examples edges, style and look call: a result or a clear error.

#[path = "../crates/data/src/image_files/encoders.rs"]
mod encoders;

use ::png::BitDepth;
use encoders::{encoded_png, png};
use ocelli::{
    data::{self, Targets, image_files::decode_file},
    prelude::*,
    train::StopFlag,
    vision::{
        Portrait, VggFeatures,
        edges::{Application, Filter, learn_filter},
        resize,
        style::{Style, StyleTransfer},
    },
};
use std::{
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A single image file.
struct File(PathBuf);

impl Dataset for File {
    fn len(&self) -> usize {
        1
    }

    fn class_names(&self) -> &[String] {
        &[]
    }

    fn targets(&self) -> Targets {
        Targets::Nothing
    }

    fn label(&self, _: usize) -> data::Result<u32> {
        Err(data::Error::Setting("images without labels".into()))
    }

    fn read(&self, _: usize, image: &mut Image) -> data::Result<()> {
        *image = decode_file(&self.0)?;
        Ok(())
    }
}

/// Writes the images, and returns their files.
fn written(folder: &Path) -> Vec<PathBuf> {
    let of = |x: usize, y: usize| ((x * 37 + y * 91) % 256) as u8;
    // Both bytes of a sample are the same: 257 times the byte.
    let deep = |size: [usize; 2], colour: &dyn Fn(usize, usize) -> Vec<u8>| {
        let samples: Vec<u8> = (0..size[0] * size[1]).flat_map(|at| colour(at % size[1], at / size[1])).collect();
        let channels = samples.len() / size[0] / size[1];
        let doubled: Vec<u8> = samples.iter().flat_map(|byte| [*byte; 2]).collect();
        encoded_png(size, channels, BitDepth::Sixteen, &doubled)
    };
    let images = [
        ("one.png", png([1, 1], |_, _| [200, 10, 30])),
        ("wide.png", png([10, 10_000], |x, y| [of(x, y), of(y, x), 7])),
        ("deep.png", deep([30, 40], &|x, y| vec![of(x, y)])),
        ("deep_colour.png", deep([30, 40], &|x, y| vec![of(x, y), 9, 255])),
        ("grey.png", png([47, 33], |x, y| [of(x, y)])),
        ("alpha.png", png([40, 40], |x, y| [of(x, y), 0, 255, of(y, x)])),
    ];
    let mut files: Vec<PathBuf> = images
        .into_iter()
        .map(|(name, image)| {
            let path = folder.join(name);
            fs::write(&path, image).unwrap();
            path
        })
        .collect();
    files.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/data/tests/files/cmyk.jpg"));
    files
}

fn edges(path: &Path) -> ocelli::Result<()> {
    let grey = Pipeline::new().grey().load(path)?;
    let factor = 64.0 / grey.shape()[1].max(grey.shape()[2]) as f64;
    let size = [grey.shape()[1], grey.shape()[2]].map(|side| ((side as f64 * factor).round() as usize).max(1));
    let grey = resize(&grey, size)?;
    for filter in Filter::bank()? {
        let response = filter.apply(&grey, &Application::same())?;
        assert_eq!(response.shape()[1..3], size);
        assert!(response.data().iter().all(|value| value.is_finite()));
    }
    let target = Filter::sobel_x().apply(&grey, &Application::default())?;
    learn_filter(&grey, &target, [3, 3], 3)?;
    Ok(())
}

fn style(path: &Path) -> ocelli::Result<()> {
    let image = Pipeline::new().load(path)?;
    let features = VggFeatures::random(&[1, 1], 0);
    let mut transfer = StyleTransfer::course().fitted_to(&features)?;
    transfer.scales = StyleTransfer::one_scale(32, 2);
    let painting = Tensor::uniform([1, 20, 20, 3], Key::new(2));
    let of_it = transfer.run(&features, &image, &[Style::new(painting.clone())], &StopFlag::new(), |_| ())?;
    let by_it = transfer.run(&features, &painting, &[Style::new(image)], &StopFlag::new(), |_| ())?;
    assert!(of_it.image.data().iter().chain(by_it.image.data()).all(|value| value.is_finite()));
    Ok(())
}

fn look(path: &Path) -> ocelli::Result<()> {
    let model = Model::from_layer(CifarResNet::resnet20(10), [32, 32, 3], 1)?;
    let portrait =
        Portrait { channels: 1, pictures: 1, ..Portrait::new("ResNet-20", &model, Pipeline::cifar([32, 32])) };
    // the rest of the page does not depend on the image
    let mut stages = 0;
    let page = portrait.page(Arc::new(File(path.into())), |_| {
        stages += 1;
        if stages < 8 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    assert!(page.html().contains("What excites the units"));
    Ok(())
}

#[test]
fn images_of_every_kind_give_a_result_or_a_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    for path in written(folder.path()) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        for (what, run) in [("edges", edges as fn(&Path) -> ocelli::Result<()>), ("style", style), ("look", look)] {
            // only images of a single row or column at that size may be too small for a window
            let narrow = ["one.png", "wide.png"].contains(&name.as_str());
            match run(&path) {
                Ok(()) => (),
                Err(error) if narrow => {
                    let text = error.to_string();
                    let says_why =
                        ["pixel", "window", "filter", "limits", "larger"].iter().any(|word| text.contains(word));
                    assert!(says_why, "{what} of {name}: {text}");
                }
                Err(error) => panic!("{what} of {name}: {error}"),
            }
        }
    }
}

#[test]
fn what_is_no_image_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in
        [("empty.png", &b""[..]), ("text.jpg", b"This is a letter.\n"), ("cut.png", b"\x89PNG\r\n\x1a\n")]
    {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        for run in [edges as fn(&Path) -> ocelli::Result<()>, style, look] {
            let text = run(&path).unwrap_err().to_string();
            assert!(text.contains(name), "{text}");
        }
    }
}
