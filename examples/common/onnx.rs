//! Networks of images from ONNX files; an error if the program was built without the feature `onnx`.

// Each example has a use for some of them.
#![allow(dead_code)]

use ocelli::{
    graph::{ValueInfo, ValueSource},
    models::{Metadata, NetworkDescription},
    prelude::Model,
};
use std::path::Path;

/// Height and width of images where neither the file nor the user says them: those of most networks for ImageNet.
const USUAL_SIZE: usize = 224;

/// Reads a network of images, for any number of them; `size` is their height and width where the file leaves them open.
pub fn read_images(file: &Path, size: Option<[usize; 2]>) -> ocelli::Result<Model> {
    let model = read(file, size)?;
    let said = |reason: String| format!("{}: {reason}", file.display());
    let (_, [height, width, _]) = image_input(&model).map_err(said)?;
    match size {
        Some([rows, columns]) if [rows, columns] != [height, width] => {
            Err(said(format!("it reads images of {height} by {width} pixels, not of {rows} by {columns}")).into())
        }
        _ => Ok(model),
    }
}

/// Reads a network, for any number of samples; `size` is the height and width of images where the file leaves them open.
#[cfg(feature = "onnx")]
pub fn read(file: &Path, size: Option<[usize; 2]>) -> ocelli::Result<Model> {
    let import = ocelli::onnx::Import::new().any_batch().image_size(size.unwrap_or([USUAL_SIZE; 2]));
    Ok(import.read(file)?.model)
}

/// Returns what a file says about itself.
#[cfg(feature = "onnx")]
pub fn read_metadata(file: &Path) -> ocelli::Result<Metadata> {
    Ok(ocelli::onnx::read_metadata(file)?)
}

/// Writes a network with what there is to say about it.
#[cfg(feature = "onnx")]
pub fn write(model: &Model, metadata: Metadata, file: &Path) -> ocelli::Result<()> {
    Ok(ocelli::onnx::Export::new().metadata(metadata).write(model, file)?)
}

/// The error of a program that was built without ONNX.
#[cfg(not(feature = "onnx"))]
const WITHOUT: &str = "ONNX files need --features onnx: cargo run --release --features onnx --example …";

/// Refuses the file.
#[cfg(not(feature = "onnx"))]
pub fn read(_: &Path, _: Option<[usize; 2]>) -> ocelli::Result<Model> {
    Err(WITHOUT.into())
}

/// Refuses the file.
#[cfg(not(feature = "onnx"))]
pub fn read_metadata(_: &Path) -> ocelli::Result<Metadata> {
    Err(WITHOUT.into())
}

/// Refuses to write the file.
#[cfg(not(feature = "onnx"))]
pub fn write(_: &Model, _: Metadata, _: &Path) -> ocelli::Result<()> {
    Err(WITHOUT.into())
}

/// Describes a network by the metadata of its file, as `export` writes them, or by its input and its result.
pub fn describe(model: &Model, metadata: &Metadata) -> ocelli::Result<NetworkDescription> {
    let said = metadata.get("network").and_then(|text| serde_json::from_str::<NetworkDescription>(text).ok());
    let (_, sample) = image_input(model)?;
    let graph = model.graph();
    let classes = graph.find("output").map_or(0, |output| graph.values[output].shape.channels());
    let mut description = match said {
        Some(said) if said.classes == classes => said,
        _ => NetworkDescription::own([""; 0]),
    };
    description.classes = classes;
    Ok(description.sample(sample))
}

/// Returns the name of the only input of a network, and the shape of an image there: height, width and channels.
pub fn image_input(model: &Model) -> Result<(String, [usize; 3]), String> {
    let input = |value: &ValueInfo| match &value.source {
        ValueSource::Input(name) => Some((name.clone(), value.shape.at(1))),
        _ => None,
    };
    let mut inputs = model.graph().values.iter().filter_map(input);
    match (inputs.next(), inputs.next()) {
        (Some((name, sizes)), None) => match sizes[..] {
            [_, height, width, channels] => Ok((name, [height, width, channels])),
            _ => Err("a network of images is expected".into()),
        },
        _ => Err("a network of one input is expected".into()),
    }
}
