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

#[test]
fn an_imported_network_learns_flowers() {
    const SIZE: usize = 96;
    let (Some(model), Some(flowers)) = (squeezenet(SIZE), data("transfer/flowers")) else { return };
    let (train, val) = ImageFolder::open_parts(&flowers).unwrap();
    let bytes = Export::new().to_bytes(&model).unwrap();
    let imported = Import::new().read_bytes(&bytes, "squeezenet1_1.onnx").unwrap().model;
    let mut model = imported.with_classes(train.class_names().len(), 1).unwrap();
    assert_eq!(model.last_layer().as_deref(), Some("classifier.1"));

    let pipeline = Pipeline::caffe([SIZE; 2]);
    let train = Loader::new(train, pipeline.clone(), 32).unwrap().shuffle(1).seed(1);
    let val = Loader::new(val, pipeline, 32).unwrap();
    let loss = |t: &Trace| softmax_cross_entropy(&t.output(), &t.labels("labels"));
    let trainer = Trainer::new(20).finetune(Finetune::Head).progress(Progress::Silent);
    trainer.run(&mut model, loss, &mut Adam::new(1e-3), &train, None).unwrap();
    let evaluation = evaluate_classifier(&model, loss, &val, Ranking::Largest).unwrap();
    let accuracy = evaluation.confusion.accuracy().unwrap();
    eprintln!("{accuracy}");
    assert!(accuracy > 0.8, "{accuracy}");

    // and goes on to another program
    let again = Import::new().read_bytes(&Export::new().to_bytes(&model).unwrap(), "flowers.onnx").unwrap().model;
    let x = Tensor::uniform([2, SIZE, SIZE, 3], Key::new(3));
    let (got, expected) = (again.predict(&x).unwrap(), model.predict(&x).unwrap());
    let error = reference::relative_error(got.data(), expected.data().iter().map(|score| f64::from(*score)));
    assert!(error < 1e-6, "{error:.2e}");
}
