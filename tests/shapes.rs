//! The tables that benches and `roofline` read, against what is published about the networks.

#[path = "../benches/shapes/mod.rs"]
mod shapes;

use shapes::Network;
use shapes::layer::Operation;

/// `(network, convolutions, millions of multiply-accumulates of an image)`, fully connected layers included.
const PUBLISHED: [(&str, usize, f64); 6] = [
    ("lenet5", 3, 0.4165),
    ("resnet20", 19, 40.55),
    ("alexnet", 5, 714.2),
    ("vgg16", 13, 15470.3),
    ("resnet50", 53, 4089.2),
    ("googlenet", 57, 1582.7),
];

#[test]
fn tables_have_the_published_sizes() {
    let networks = Network::all();
    for (name, convolutions, millions) in PUBLISHED {
        let layers = &networks.iter().find(|network| network.name == name).expect("a table").layers;
        let is_convolution = |operation| matches!(operation, Operation::Convolution(_));
        let count: usize = layers.iter().filter(|layer| is_convolution(layer.operation)).map(|layer| layer.count).sum();
        assert_eq!(count, convolutions, "{name}");
        let macs: u64 = layers.iter().map(|layer| layer.count as u64 * layer.macs(1)).sum();
        assert!((macs as f64 / 1e6 / millions - 1.0).abs() < 1e-3, "{name}: {macs}");
    }
}

#[test]
fn every_layer_has_a_geometry_and_a_name_of_its_own() {
    for network in Network::all() {
        for (i, layer) in network.layers.iter().enumerate() {
            assert!(layer.macs(layer.batch) > 0 && layer.bytes(layer.batch) > 0, "{}.{}", network.name, layer.name);
            let twin =
                network.layers[..i].iter().find(|other| (&other.name, other.batch) == (&layer.name, layer.batch));
            assert!(twin.is_none(), "{}.{}", network.name, layer.name);
        }
    }
}
