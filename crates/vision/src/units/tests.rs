//! Receptive fields, peaks and projections against what networks compute.

use super::*;
use ocelli_data::{Loader, Pipeline, synthetic};
use ocelli_graph::{Axis, BackwardRules, Batch, Constant, Key, Model, Node, Precision, Tensor};
use ocelli_layers::{AvgPool2d, Branches, Conv2d, Dense, Distribution, Init, MaxPool2d, Pad2d, Padding};
use ocelli_models::{CifarResNet, LeNet5, SqueezeNet};

/// Rows and columns of the pixels that a gradient reaches.
fn reached(gradient: &Tensor) -> Option<[std::ops::Range<usize>; 2]> {
    let &[height, width, channels] = gradient.shape() else { unreachable!("it is an image") };
    let is_reached = |row: usize, column: usize| {
        gradient.data()[(row * width + column) * channels..][..channels].iter().any(|value| *value != 0.0)
    };
    let rows: Vec<usize> = (0..height).filter(|&row| (0..width).any(|column| is_reached(row, column))).collect();
    let columns: Vec<usize> = (0..width).filter(|&column| (0..height).any(|row| is_reached(row, column))).collect();
    Some([*rows.first()?..rows.last()? + 1, *columns.first()?..columns.last()? + 1])
}

fn ones<const N: usize>(channels: usize, kernel: [usize; N]) -> Conv2d {
    let size = [kernel[0], kernel[N - 1]];
    Conv2d::new(channels, size).weight_init(Constant(1.0)).bias(false)
}

/// Networks whose gradient reaches all that a unit sees, since no weight is zero and no term cancels.
#[test]
fn fields_are_exactly_what_a_gradient_reaches() {
    type Network = fn(&Node) -> Node;
    let networks: [Network; 6] = [
        |x| x.apply("a", ones(2, [3]).same()).apply("b", ones(2, [5]).stride(2)),
        |x| x.apply("a", ones(2, [3]).dilation(3).padding(Padding::uniform(2))).apply("b", ones(1, [2]).stride(3)),
        |x| {
            x.apply("a", ones(2, [3, 5]).padding(Padding::Same).stride(2))
                .apply("b", AvgPool2d::new(3).stride(2).padding(1))
        },
        |x| x.apply("pad", Pad2d::replicate(3)).apply("b", ones(1, [4]).stride(2)),
        |x| {
            let branches = Branches::new().named("one", ones(2, [1])).named("five", ones(2, [5]).same());
            x.apply("a", branches).apply("b", ones(2, [3]).same())
        },
        |x| {
            let y = x.apply("a", ones(1, [3]).same().stride(2));
            (&y + y.apply("c", ones(1, [3]).same())).named("b")
        },
    ];
    for (number, network) in networks.into_iter().enumerate() {
        let whole = |x: &Node| network(x).flatten().apply("fc", Dense::new(2));
        let model = Model::build(whole, [17, 20, 1], 0).unwrap();
        let image = Tensor::uniform([1, 17, 20, 1], Key::new(1));
        let [height, width, _] = crate::spatial::find(&model, "b").unwrap().shape;
        let field = ReceptiveField::of_layer(&model, "b").unwrap();
        let mut projector = Projector::new(&model, "b", &BackwardRules::new()).unwrap();
        for row in 0..height {
            for column in 0..width {
                let gradient = projector.project(&image, 0, [row, column]).unwrap();
                let expected = field.pixels([row, column]);
                let expected = Some(expected).filter(|sides| sides.iter().all(|side| !side.is_empty()));
                // A replicated edge is reached from outside of the image too, and at an edge a dilated filter may step over pixels.
                let at_an_edge = expected
                    .as_ref()
                    .is_none_or(|sides| sides[0].len() < field.size[0] || sides[1].len() < field.size[1]);
                if number != 3 && !(number == 1 && at_an_edge) {
                    assert_eq!(reached(&gradient), expected, "network {number} at {row}, {column}");
                }
            }
        }
    }
}

#[test]
fn of_networks_in_use_no_gradient_leaves_the_field() {
    let networks: [(Model, [usize; 4], &[&str]); 2] = [
        (
            Model::from_layer(CifarResNet::resnet20(10), [32, 32, 3], 1).unwrap(),
            [1, 32, 32, 3],
            &["layer1.1", "layer2.0"],
        ),
        (
            Model::from_layer(SqueezeNet::v1_1(10), [96, 96, 3], 1).unwrap(),
            [1, 96, 96, 3],
            &["features.4", "features.7"],
        ),
    ];
    for (model, shape, layers) in networks {
        // The transforms of Winograd's convolutions round zeros to very little.
        let model = model.with_precision(Precision::Strict);
        let image = Tensor::uniform(shape, Key::new(1));
        for layer in layers {
            let field = ReceptiveField::of_layer(&model, layer).unwrap();
            let mut projector = Projector::new(&model, layer, &BackwardRules::new()).unwrap();
            let [height, width, channels] = crate::spatial::find(&model, layer).unwrap().shape;
            for unit in [[0, 0], [height / 2, width / 2], [height - 1, width - 1]] {
                for channel in 0..channels.min(4) {
                    let gradient = projector.project(&image, channel, unit).unwrap();
                    let [rows, columns] = field.pixels(unit);
                    let inside = |side: &std::ops::Range<usize>, of: &std::ops::Range<usize>| {
                        of.start <= side.start && side.end <= of.end
                    };
                    let sides = reached(&gradient);
                    assert!(sides.is_none_or(|[r, c]| inside(&r, &rows) && inside(&c, &columns)), "{layer} {unit:?}");
                }
            }
        }
    }
}

/// A network without padding, up to one of its layers.
fn unpadded(x: &Node, until: &str) -> Node {
    let mut x = x.clone();
    for (name, layer) in [("conv1", 0), ("pool1", 1), ("conv2", 0), ("pool2", 2)] {
        x = match layer {
            0 => x.apply(name, Conv2d::new(5, 3)),
            1 => x.relu().apply(name, MaxPool2d::new(2)),
            _ => x.relu().apply(name, MaxPool2d::new(3).stride(2)),
        };
        if name == until {
            break;
        }
    }
    x
}

/// Rows and columns that change their places are somewhere in the whole image.
#[test]
fn what_moves_its_elements_sees_the_whole_image() {
    let size = |network: fn(&Node) -> Node| {
        let whole =
            |x: &Node| network(&x.apply("a", ones(2, [3]).same())).named("b").flatten().apply("fc", Dense::new(2));
        ReceptiveField::of_layer(&Model::build(whole, [8, 8, 1], 0).unwrap(), "b").unwrap().size
    };
    assert_eq!(size(|x| x.relu()), [3, 3]);
    assert_eq!(size(|x| x.slice(Axis::H, 0..4)), [3, 3]);
    assert_eq!(size(|x| x.slice(Axis::C, 1..2)), [3, 3]);
    assert_eq!(size(|x| x.slice(Axis::H, 4..8)), [8, 8]);
    assert_eq!(size(|x| Node::concat(&[x, x], Axis::W)), [8, 8]);
    assert_eq!(size(|x| x.reshape([16, 4, 2])), [8, 8]);
    assert_eq!(size(|x| x * x.global_avg_pool().reshape([1, 1, 2])), [8, 8]);
}

/// The top patch contains everything that its activation depends on.
#[test]
fn a_top_patch_alone_gives_the_same_activation() {
    let whole = |x: &Node| unpadded(x, "pool2").flatten().apply("fc", Dense::new(3));
    let model = Model::build(whole, [32, 32, 1], 42).unwrap();
    let loader = Loader::new(synthetic::digits(60, 1), Pipeline::mnist([32, 32]), 16).unwrap();
    let images: Vec<Tensor> = loader.epoch(0).map(|batch| batch.unwrap().tensor("input").unwrap().clone()).collect();
    for layer in ["conv1", "pool1", "conv2", "pool2"] {
        let peaks = find_peaks(&model, &[layer], loader.epoch(0), 3, |_| ()).unwrap().swap_remove(0);
        let field = ReceptiveField::of_layer(&model, layer).unwrap();
        let [height, width] = field.size;
        let mut alone = Model::build(|x| unpadded(x, layer), [height, width, 1], 0).unwrap();
        alone.parameters_mut().copy_from(model.parameters());
        for (channel, list) in peaks.channels.iter().enumerate() {
            for peak in list {
                let image = images[peak.sample / 16].rows(peak.sample % 16..peak.sample % 16 + 1);
                let patch = field.cut(&image, peak.unit).unwrap();
                assert_eq!(patch.shape(), [height, width, 1]);
                let activation = alone.predict(&patch.reshape([1, height, width, 1]).unwrap()).unwrap();
                assert_eq!(activation.len(), 5);
                let value = activation.data()[channel];
                assert!(
                    (value - peak.value).abs() < 1e-4 * peak.value.abs().max(1.0),
                    "{layer}: {value}, {}",
                    peak.value
                );
            }
        }
    }
    // with padding on the way: what lies outside of the patch does not matter
    let model = Model::from_layer(CifarResNet::resnet20(10), [32, 32, 3], 1).unwrap();
    let image = Tensor::uniform([1, 32, 32, 3], Key::new(1));
    let run = |image: &Tensor| model.run(&Batch::new().with("input", image), &["layer1.0"]).unwrap().swap_remove(0);
    let (field, whole) = (ReceptiveField::of_layer(&model, "layer1.0").unwrap(), run(&image));
    for unit in [[0, 3], [15, 16], [31, 31]] {
        let [rows, columns] = field.pixels(unit);
        let blanked = Tensor::from_fn([1, 32, 32, 3], |at| {
            if rows.contains(&at[1]) && columns.contains(&at[2]) { image[[0, at[1], at[2], at[3]]] } else { -3.0 }
        });
        let place = (unit[0] * 32 + unit[1]) * 16;
        let alone = run(&blanked);
        let (a, b) = (&whole.data()[place..place + 16], &alone.data()[place..place + 16]);
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4 * a.abs().max(1.0)));
    }
}

#[test]
fn peaks_do_not_depend_on_the_batches() {
    let model = Model::from_layer(LeNet5::modern(10), [32, 32, 1], 42).unwrap();
    let peaks = |size: usize| {
        let loader = Loader::new(synthetic::digits(50, 1), Pipeline::mnist([32, 32]), size).unwrap();
        let mut told = Vec::new();
        let peaks = find_peaks(&model, &["c1", "s4"], loader.epoch(0), 4, |samples| told.push(samples)).unwrap();
        assert_eq!(told.last(), Some(&50));
        peaks
    };
    let (all, few) = (peaks(50), peaks(7));
    assert_eq!(all, few);
    for layer in &all {
        assert!(layer.channels.iter().all(|list| list.len() == 4 && list.windows(2).all(|w| w[0].value >= w[1].value)));
        let order = layer.strongest();
        assert!(order.windows(2).all(|w| layer.channels[w[0]][0].value >= layer.channels[w[1]][0].value));
    }
    // by hand: the highest of each sample
    let loader = Loader::new(synthetic::digits(50, 1), Pipeline::mnist([32, 32]), 50).unwrap();
    let batch = loader.epoch(0).next().unwrap().unwrap();
    let activation = model.run(&batch, &["c1"]).unwrap().swap_remove(0);
    let highest = |sample: usize| {
        let places = activation.data().chunks_exact(28 * 28 * 6).nth(sample).unwrap();
        places.iter().skip(2).step_by(6).copied().fold(f32::NEG_INFINITY, f32::max)
    };
    let mut values: Vec<f32> = (0..50).map(highest).collect();
    values.sort_by(|a, b| b.total_cmp(a));
    let found: Vec<f32> = all[0].channels[2].iter().map(|peak| peak.value).collect();
    assert_eq!(found, values[..4]);
}

#[test]
fn a_deconvnet_of_a_linear_network_is_its_adjoint() {
    let he = Init::He(Distribution::Normal);
    let conv = |channels, kernel| Conv2d::new(channels, kernel).weight_init(he).bias(false);
    let network = |x: &Node| {
        let y = x.apply("a", conv(4, 3).same().stride(2)).apply("b", conv(3, 3).padding(Padding::uniform(1)));
        y.flatten().apply("fc", Dense::new(2))
    };
    let model = Model::build(network, [9, 10, 2], 7).unwrap();
    let mut projector = Projector::new(&model, "b", &BackwardRules::deconvnet()).unwrap();
    let (x, other) = (Tensor::uniform([1, 9, 10, 2], Key::new(1)), Tensor::uniform([1, 9, 10, 2], Key::new(2)));
    let y = model.run(&Batch::new().with("input", &x), &["b"]).unwrap().swap_remove(0);
    for (unit, channel) in [([0, 0], 0), ([2, 3], 2), ([4, 4], 1)] {
        let projection = projector.project(&x, channel, unit).unwrap();
        // ⟨A x, e⟩ = ⟨x, Aᵀ e⟩
        let product: f32 = projection.data().iter().zip(x.data()).map(|(a, b)| a * b).sum();
        assert!((product - y[[0, unit[0], unit[1], channel]]).abs() < 1e-4);
        assert_eq!(projector.project(&other, channel, unit).unwrap(), projection);
    }
    let error = projector.project(&x, 3, [0, 0]).unwrap_err().to_string();
    assert_eq!(error, "there is no unit [0, 0, 3] in b of [5, 5, 3]");
}

/// Max pooling goes back through its switches.
#[test]
fn a_projection_lands_on_the_maximum() {
    let network = |x: &Node| x.apply("pool", MaxPool2d::new(2)).flatten().apply("fc", Dense::new(2));
    let model = Model::build(network, [4, 4, 1], 7).unwrap();
    let mut image = Tensor::zeros([1, 4, 4, 1]);
    image[[0, 3, 2, 0]] = 5.0;
    let mut projector = Projector::new(&model, "pool", &BackwardRules::deconvnet()).unwrap();
    let projection = projector.project(&image, 0, [1, 1]).unwrap();
    assert_eq!((projection[[3, 2, 0]], projection.data().iter().sum::<f32>()), (1.0, 1.0));
}

#[test]
fn first_filters_are_images_around_grey() {
    let model = Model::from_layer(CifarResNet::resnet20(10), [32, 32, 3], 1).unwrap();
    let filters = first_filters(&model).unwrap();
    assert_eq!((filters.len(), filters[0].shape()), (16, &[3, 3, 3][..]));
    let ends = |filter: &Tensor| filter.data().iter().any(|v| (v - 0.5).abs() > 0.4999);
    assert!(filters.iter().all(|filter| ends(filter) && filter.data().iter().all(|v| (0.0..=1.0).contains(v))));
    let weights = model.parameters().value("conv1.weight").unwrap();
    assert!((filters[5][[0, 1, 2]] - 0.5).signum() == weights[[0, 1, 2, 5]].signum());
    let dense = Model::build(|x| x.flatten().apply("fc", Dense::new(2)), [3, 3, 1], 0).unwrap();
    assert_eq!(first_filters(&dense).unwrap_err().to_string(), "the network has no convolution");
}
