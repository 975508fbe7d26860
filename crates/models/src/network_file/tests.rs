use super::*;
use crate::load_weights;
use ocelli_graph::{Shape, func};
use ocelli_layers::{Conv2d, Dense};
use ocelli_tensor::{Key, Tensor};
use std::fs;

fn file() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("network.safetensors");
    (folder, path)
}

fn model(description: &NetworkDescription, seed: u64) -> Model {
    let network = by_name(description.network.as_ref().unwrap(), description.classes).unwrap();
    Model::from_layer(network.layer, &description.sample, seed).unwrap()
}

#[test]
fn networks_come_back_whole() {
    for (name, sample) in [
        ("lenet5", [32, 32, 1]),
        ("lenet5_1998", [32, 32, 1]),
        ("cifar_resnet20", [32, 32, 3]),
        ("squeezenet1_1", [64, 48, 3]),
    ] {
        let (_folder, path) = file();
        let names = (0..10).map(|i| format!("class \"{i}\"\n"));
        let description = NetworkDescription::new(name, names).unwrap().sample(sample);
        let description = description.preprocessing(&("crop", [64, 48], 0.485f32)).unwrap();
        let saved = model(&description, 3);
        save_network(&saved, &description, &path).unwrap();

        let (loaded, read) = load_network(&path).unwrap();
        assert_eq!(read, description, "{name}");
        assert_eq!(read.preprocessing_as::<(String, [u32; 2], f32)>().unwrap(), ("crop".into(), [64, 48], 0.485));
        let x = Tensor::uniform([&[2][..], &sample].concat(), Key::new(5));
        let scores = loaded.predict(&x).unwrap();
        assert!(scores == saved.predict(&x).unwrap(), "{name}");
        // Distances of the network of 1998: the smallest is the answer.
        let row = &scores.data()[..10];
        let best = if name == "lenet5_1998" {
            row.iter().copied().fold(f32::INFINITY, f32::min)
        } else {
            row[scores.argmax_rows()[0]]
        };
        let top = read.top_k(row, 3);
        assert_eq!((row[top.guesses[0].class], top.guesses.len()), (best, 3), "{name}");
        assert!(top.to_string().contains(&format!("class \"{}\"", top.guesses[0].class)));

        // It is a weight file as any other.
        let mut other = model(&description, 4);
        load_weights(&mut other, &path).unwrap();
        assert_eq!(other.predict(&x).unwrap(), scores);
    }
}

#[test]
fn a_description_of_something_else_is_not_written() {
    let (folder, path) = file();
    let lenet = NetworkDescription::unnamed("lenet5", None).unwrap();
    let written = |model: &Model, description: &NetworkDescription| {
        let error = save_network(model, description, &path).unwrap_err();
        error.to_string().replace(&format!("{}/", folder.path().display()), "")
    };
    let resnet = NetworkDescription::unnamed("cifar_resnet20", 10).unwrap();
    let parameters = "network.safetensors: the model that is to be written has not the parameters of ";
    assert_eq!(written(&model(&lenet, 0), &resnet), format!("{parameters}cifar_resnet20"));
    let three = NetworkDescription::new("lenet5", ["a", "b", "c"]).unwrap();
    assert_eq!(written(&model(&lenet, 0), &three), format!("{parameters}lenet5"));
    let named = NetworkDescription { class_names: vec!["a".into()], ..lenet.clone() };
    assert_eq!(written(&model(&lenet, 0), &named), "network.safetensors: 1 names for 10 classes");
    assert!(!path.exists());
    assert!(NetworkDescription::unnamed("lenet", None).unwrap_err().to_string().starts_with("no network is called"));
    let error = lenet.preprocessing_as::<u32>().unwrap_err().to_string();
    assert_eq!(error, "how images are prepared is not said in the file of the network");
    let error = lenet.preprocessing(&"text").unwrap().preprocessing_as::<u32>().unwrap_err().to_string();
    assert!(error.starts_with("how images are prepared cannot be understood: "), "{error}");
}

/// Returns the error for a small network under a description that is not its own.
fn refused(description: &str) -> String {
    let (_folder, path) = file();
    let lenet = NetworkDescription::unnamed("lenet5", None).unwrap();
    let metadata = Metadata::from([(NETWORK.to_string(), description.to_string())]);
    save_weights(&model(&lenet, 0), &path, &metadata).unwrap();
    let mut file = WeightFile::from_bytes("file", fs::read(&path).unwrap()).unwrap();
    load_from(&mut file).unwrap_err().to_string()
}

#[test]
fn what_a_file_claims_is_compared_with_what_it_holds() {
    let described = |network: &str, sample: &str, classes: &str| {
        refused(&format!(r#"{{"network":"{network}","sample":{sample},"classes":{classes}}}"#))
    };
    let usual = "[32,32,1]";
    assert!(described("lenet6", usual, "10").starts_with("file: no network is called \"lenet6\""));
    assert_eq!(described("vgg16", "[224,224,3]", "10"), "file: classifier.0.bias of the network is missing");
    let other = described("lenet5", usual, "16000000");
    assert_eq!(
        other,
        "file: output.bias is [10], which is not as many elements as [16000000] of the network described"
    );
    let huge = described("lenet5", "[8000,8000,1]", "10");
    assert!(huge.starts_with("file: f6.weight is [84, 120], which is not as many elements as ["), "{huge}");
    assert_eq!(described("lenet5", usual, "0"), "file: no network tells 0 classes apart");
    assert_eq!(described("lenet5", usual, "99999999999"), "file: no network tells 99999999999 classes apart");
    let most = usize::MAX;
    for sample in [format!("[{most},{most},{most}]"), "[0,32,1]".into(), format!("[{most},1,1]")] {
        assert!(described("lenet5", &sample, "10").starts_with("file: no network reads images of ["), "{sample}");
    }
    assert!(described("lenet5", "[8,8,1]", "10").starts_with("file: c3 (Conv2d): expected 5 or more pixels"));
    assert!(described("lenet5_1998", usual, "3").starts_with("file: (LeNet5Of1998): there are codes for 10 digits"));
    let unclear = "file: the description of the network cannot be understood: ";
    for text in ["", "{", "null", r#"{"network":"lenet5"}"#, r#"{"network":"lenet5","sample":[32,32,-1],"classes":10}"#]
    {
        assert!(refused(text).starts_with(unclear), "{text}");
    }
    let unknown = r#"{"network":"lenet5","sample":[32,32,1],"classes":10,"colour":"red"}"#;
    assert!(refused(unknown).contains("unknown field `colour`"));
    assert_eq!(described("lenet5", "[32,32]", "10"), "file: no network reads images of [32, 32]");
    let long = described(&"n".repeat(10_000), usual, "10");
    assert!(long.starts_with("file: no network is called \"nnn") && long.len() < 2_000, "{long}");
    let names = r#"{"network":"lenet5","sample":[32,32,1],"classes":10,"class_names":["a"]}"#;
    assert_eq!(refused(names), "file: 1 names for 10 classes");
}

fn own(outputs: usize) -> impl Fn(&ocelli_graph::Node) -> ocelli_graph::Node {
    move |x| x.apply("conv", Conv2d::new(4, 3)).relu().flatten().apply("fc", Dense::new(outputs))
}

#[test]
fn networks_of_ones_own_come_back() {
    let (_folder, path) = file();
    let saved = Model::build(own(3), [6, 5, 2], 1).unwrap();
    let description = NetworkDescription::own(["a", "b", "c"]).preprocessing(&("crop", 0.5f32)).unwrap();
    save_network(&saved, &description, &path).unwrap();

    let (loaded, read) = load_own_network(func(own(3)), &path).unwrap();
    assert_eq!((&read.network, &read.sample[..], read.classes), (&None, &[6, 5, 2][..], 3));
    assert_eq!(read.preprocessing_as::<(String, f32)>().unwrap(), ("crop".into(), 0.5));
    assert_eq!(NetworkDescription::read(&path).unwrap(), read);
    let x = Tensor::uniform([2, 6, 5, 2], Key::new(5));
    let scores = loaded.predict(&x).unwrap();
    assert_eq!(scores, saved.predict(&x).unwrap());
    let best = scores.argmax_rows()[0];
    assert_eq!(read.top_k(&scores.data()[..3], 1).name(best), ["a", "b", "c"][best]);

    // Features in place of images, and an output that is no class.
    let regression = |x: &ocelli_graph::Node| x.apply("fc", Dense::new(2));
    let saved = Model::build(regression, [7], 1).unwrap();
    save_network(&saved, &NetworkDescription::own([""; 0]), &path).unwrap();
    let (loaded, read) = load_own_network(func(regression), &path).unwrap();
    assert_eq!((&read.sample[..], read.classes), (&[7][..], 0));
    assert_eq!(loaded.parameters().value("fc.weight"), saved.parameters().value("fc.weight"));
}

#[test]
fn another_network_than_ones_own_is_refused() {
    let (folder, path) = file();
    let saved = Model::build(own(3), [6, 5, 2], 1).unwrap();
    save_network(&saved, &NetworkDescription::own(["a", "b", "c"]), &path).unwrap();
    let text = |error: NetworkError| error.to_string().replace(&format!("{}/", folder.path().display()), "");
    let loaded = |network: &dyn Layer| text(load_own_network(network, &path).unwrap_err());
    assert_eq!(
        loaded(&func(own(5))),
        "network.safetensors: fc.bias is [3], which is not as many elements as [5] of the network described"
    );
    let other = func(|x: &ocelli_graph::Node| own(3)(x).apply("last", Dense::new(3)));
    assert_eq!(loaded(&other), "network.safetensors: last.bias of the network is missing");
    let fewer = func(|x: &ocelli_graph::Node| x.apply("conv", Conv2d::new(4, 3)));
    assert_eq!(
        loaded(&fewer),
        "network.safetensors does not fit the model: fc.bias is unexpected; fc.weight is unexpected"
    );
    assert_eq!(
        text(load_network(&path).unwrap_err()),
        "network.safetensors: a network of one's own; load_own_network loads it into the function that made it"
    );

    let written = |description: NetworkDescription| text(save_network(&saved, &description, &path).unwrap_err());
    assert_eq!(
        written(NetworkDescription::own(["a", "b"])),
        "network.safetensors: the model that is to be written has 3 outputs for 2 classes"
    );
    assert_eq!(
        written(NetworkDescription::own(["a", "b", "c"]).sample([6, 6, 2])),
        "network.safetensors: the model that is to be written reads [6, 5, 2], not [6, 6, 2]"
    );
    let two = Model::trace(0, |t| t.input("input", Shape::batch(&[2])) + t.input("other", Shape::batch(&[2])));
    let error = save_network(&two.unwrap(), &NetworkDescription::own([""; 0]), &path).unwrap_err();
    assert_eq!(text(error), "network.safetensors: a network in one file has one input, called \"input\"");
}

#[test]
fn weights_that_are_not_finite_are_not_written() {
    let (folder, path) = file();
    let lenet = NetworkDescription::unnamed("lenet5", None).unwrap();
    let mut diverged = model(&lenet, 0);
    save_network(&diverged, &lenet, &path).unwrap();
    let before = fs::read(&path).unwrap();
    for (name, value) in [("c3.bias", f32::NAN), ("f6.weight", f32::INFINITY)] {
        for (parameter, tensor) in diverged.parameters_mut().iter_mut() {
            if parameter.path == name {
                tensor.data_mut()[1] = value;
            }
        }
    }
    let error = save_network(&diverged, &lenet, &path).unwrap_err().to_string();
    assert_eq!(
        error.replace(&format!("{}/", folder.path().display()), ""),
        "network.safetensors: c3.bias has values that are NaN or infinite; f6.weight has values that are NaN or infinite; a \
         network with such weights has no results"
    );
    assert!(save_weights(&diverged, &path, &Metadata::new()).is_err());
    assert!(fs::read(&path).unwrap() == before, "the old file is still there");
}

/// A description of some hundred bytes would take a thousand times as much.
#[test]
fn a_large_network_in_a_small_file_is_not_built() {
    let (_folder, path) = file();
    let text = r#"{"network":"resnet152","sample":[224,224,3],"classes":1000}"#;
    let metadata = Metadata::from([(NETWORK.to_string(), text.to_string())]);
    save_weights(&Model::build(own(3), [6, 5, 2], 1).unwrap(), &path, &metadata).unwrap();
    let error = load_network(&path).unwrap_err().to_string();
    assert!(error.ends_with("network.safetensors: too few bytes for the weights of resnet152"), "{error}");
}

#[test]
fn weights_alone_are_told_from_a_network() {
    let (_folder, path) = file();
    let lenet = NetworkDescription::unnamed("lenet5", None).unwrap();
    save_weights(&model(&lenet, 0), &path, &Metadata::new()).unwrap();
    let error = load_network(&path).unwrap_err().to_string();
    assert!(error.ends_with("network.safetensors: weights alone, without the description of a network"), "{error}");
    assert!(load_network(path.with_extension("none")).is_err());
}

#[test]
fn no_byte_of_the_header_makes_loading_panic() {
    let (_folder, path) = file();
    let lenet = NetworkDescription::new("lenet5", ["a", "b"]).unwrap();
    save_network(&model(&lenet, 0), &lenet, &path).unwrap();
    let whole = fs::read(&path).unwrap();
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    for at in (0..header).step_by(3) {
        for change in [0x01, 0x5A] {
            let mut damaged = whole.clone();
            damaged[at] ^= change;
            if let Ok(mut file) = WeightFile::from_bytes("file", damaged) {
                let _ = load_from(&mut file);
            }
        }
    }
}
