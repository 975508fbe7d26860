//! Networks with published weights on their way through ONNX files.

mod reference;

use ocelli::{
    data::image_files::ImageFolder,
    onnx::{Export, Import},
    prelude::*,
};
use std::path::PathBuf;

fn data(path: &str) -> Option<PathBuf> {
    reference::file("OCELLI_DATA", "data", path)
}

/// SqueezeNet with the weights of its authors, for images of this size.
fn squeezenet(size: usize) -> Option<Model> {
    let network = by_name("squeezenet1_1", None).unwrap();
    let mut file = WeightFile::open(data("weights/squeezenet1_1-imagenet.safetensors")?).unwrap();
    let loader = network.loader_for(&file);
    let mut model = Model::zeroed(network.layer, [size, size, 3]).unwrap();
    loader.load_from(&mut model, &mut file).unwrap();
    Some(model)
}

/// A network from a file is fine-tuned as well as the one that was written. The answers differ in some places: the file is of
/// inference, and has no dropout.
#[test]
fn an_imported_network_learns_flowers_as_the_original_does() {
    const SIZE: usize = 96;
    let (Some(original), Some(flowers)) = (squeezenet(SIZE), data("transfer/flowers")) else { return };
    let (train, val) = ImageFolder::open_parts(&flowers).unwrap();
    let classes = train.class_names().len();
    let bytes = Export::new().to_bytes(&original).unwrap();
    let imported = Import::new().read_bytes(&bytes, "squeezenet1_1.onnx").unwrap().model;
    let mut original = original.with_classes(classes, 1).unwrap();
    let mut imported = imported.with_classes(classes, 1).unwrap();
    assert_eq!(imported.last_layer(), original.last_layer());
    let drawn = imported.parameters().value("classifier.1.weight").unwrap().clone();
    assert!(drawn.data().iter().any(|weight| *weight != 0.0), "a new head is drawn");
    original.parameters_mut().set("classifier.1.weight", drawn).unwrap();

    let pipeline = Pipeline::caffe([SIZE; 2]);
    let train = Loader::new(train, pipeline.clone(), 32).unwrap().shuffle(1).seed(1);
    let val = Loader::new(val, pipeline, 32).unwrap();
    let loss = |t: &Trace| softmax_cross_entropy(&t.output(), &t.labels("labels"));
    let accuracy = |model: &mut Model| {
        let trainer = Trainer::new(20).finetune(Finetune::Head).progress(Progress::Silent);
        trainer.run(model, loss, &mut Adam::new(1e-3), &train, None).unwrap();
        evaluate_classifier(model, loss, &val, Ranking::Largest).unwrap().confusion.accuracy().unwrap()
    };
    let (got, expected) = (accuracy(&mut imported), accuracy(&mut original));
    println!("accuracy {got}, that of the original {expected}");
    assert!(got > 2.0 / classes as f32 && got > expected - 0.05, "{got}, not {expected}");

    // and goes on to another program
    let bytes = Export::new().to_bytes(&imported).unwrap();
    let again = Import::new().read_bytes(&bytes, "flowers.onnx").unwrap().model;
    let x = Tensor::uniform([2, SIZE, SIZE, 3], Key::new(3));
    let (got, expected) = (again.predict(&x).unwrap(), imported.predict(&x).unwrap());
    let error = reference::relative_error(got.data(), expected.data().iter().map(|score| f64::from(*score)));
    assert!(error < 1e-6, "{error:.2e}");
}
