//! The registry of networks, for programs whose user chooses one by name.

use crate::{AlexNet, AlexNetOf2012, Best, CifarResNet, GoogLeNet, LeNet5, ResNet, SqueezeNet, Vgg, WeightLoader};
use ocelli_data::{Preprocess, Statistics};
use ocelli_graph::{Layer, Node, func};
use ocelli_layers::Shortcut;
use std::sync::LazyLock;

/// A published network, returned by [`by_name`].
pub struct Network {
    /// The name of the network.
    pub name: &'static str,
    /// Height, width and channels of the images that it was published for.
    pub sample: [usize; 3],
    preprocess: fn([usize; 2]) -> Preprocess,
    /// The number of classes.
    pub classes: usize,
    /// The score that is the answer: the largest or the smallest.
    pub best: Best,
    /// Paths of tensors that published files have for training only, and the network does not.
    pub training_only: &'static [&'static str],
    /// The network itself, to build a model of.
    pub layer: Box<dyn Layer + Send + Sync>,
}

impl Network {
    /// Returns a loader for published weights of this network: tensors in the file that only training needs are
    /// reported as left out, without an error.
    ///
    /// ```
    /// use ocelli_graph::Model;
    /// use ocelli_models::{Metadata, by_name, save_weights};
    /// let path = std::env::temp_dir().join(format!("ocelli-doc-heads-{}.safetensors", std::process::id()));
    /// let trained = Model::from_layer(by_name("googlenet_aux", 3)?.layer, [64, 64, 3], 0)?;
    /// save_weights(&trained, &path, &Metadata::new())?;
    ///
    /// let network = by_name("googlenet", 3)?;
    /// let loader = network.loader();
    /// let report = loader.load(&mut Model::zeroed(network.layer, [64, 64, 3])?, &path)?;
    /// assert!(report.left_out.iter().all(|path| path.starts_with("aux")));
    /// # std::fs::remove_file(path)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn loader(&self) -> WeightLoader {
        self.training_only.iter().fold(WeightLoader::new(), |loader, path| loader.ignore(*path))
    }

    /// Returns how published weights of this network expect images to be prepared, for images of `size` = `[H, W]`.
    ///
    /// ```
    /// use ocelli_models::by_name;
    /// let [height, width, _] = by_name("resnet18", None)?.sample;
    /// let preprocess = by_name("resnet18", None)?.preprocess([height, width]);
    /// assert_eq!(preprocess, ocelli_data::Preprocess::imagenet([224, 224]));
    /// # Ok::<(), ocelli_models::UnknownNetwork>(())
    /// ```
    pub fn preprocess(&self, size: [usize; 2]) -> Preprocess {
        (self.preprocess)(size)
    }
}

/// An error for a name that no network has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no network is called \"{name}\"; there are, with or without what is in brackets: {}", NETWORKS.families.join(", "))]
pub struct UnknownNetwork {
    /// The requested name.
    pub name: String,
}

/// The task that a network was published for.
#[derive(Clone, Copy)]
struct Task {
    /// Height, width and channels of the images.
    sample: [usize; 3],
    preprocess: fn([usize; 2]) -> Preprocess,
    classes: usize,
    best: Best,
    training_only: &'static [&'static str],
}

const DIGITS: Task =
    Task { sample: [32, 32, 1], preprocess: Preprocess::digits, classes: 10, best: Best::Largest, training_only: &[] };
const DIGITS_OF_1998: Task = Task { best: Best::Smallest, ..DIGITS };
const IMAGENET: Task = Task { sample: [224, 224, 3], preprocess: Preprocess::imagenet, classes: 1000, ..DIGITS };
/// Torchvision's weights came from TensorFlow, which maps pixels to [−1, 1]; its `transform_input` therefore undoes the
/// statistics of ImageNet. Its files have the auxiliary heads, which it drops after loading them.
const GOOGLENET: Task = Task {
    preprocess: |size| Preprocess {
        normalisation: Statistics { mean: vec![0.5; 3], deviation: vec![0.5; 3] },
        ..Preprocess::imagenet(size)
    },
    training_only: &["aux1", "aux2"],
    ..IMAGENET
};
const CIFAR: Task = Task { sample: [32, 32, 3], preprocess: Preprocess::cifar, classes: 10, ..IMAGENET };

/// A suffix of the name of a network, and the change of the network that it stands for.
type Variant<N> = (&'static str, fn(N) -> N);

const ALEXNET_OF_2012: &[Variant<AlexNetOf2012>] = &[("_ungrouped", AlexNetOf2012::ungrouped)];
const VGG: &[Variant<Vgg>] = &[("_bn", Vgg::batch_norm), ("_average_pooling", Vgg::average_pooling)];
const HEADS: &[Variant<GoogLeNet>] = &[("_aux", GoogLeNet::auxiliary_heads)];
const RESNET: &[Variant<ResNet>] = &[("_folded", ResNet::folded)];
const BOTTLENECKS: &[Variant<ResNet>] = &[("_v1", ResNet::v1), ("_folded", ResNet::folded)];
const CIFAR_RESNET: &[Variant<CifarResNet>] = &[("_b", |network| network.shortcut(Shortcut::Projection))];

type Make = dyn Fn(usize) -> Box<dyn Layer + Send + Sync> + Send + Sync;

#[derive(Default)]
struct Registry {
    /// Names, with their variants in brackets.
    families: Vec<String>,
    networks: Vec<(String, Task, Box<Make>)>,
}

impl Registry {
    /// Registers a network with every combination of its variants.
    fn add<N>(&mut self, task: Task, name: &str, make: fn(usize) -> N, variants: &[Variant<N>])
    where
        N: Layer + Send + Sync + 'static,
    {
        self.families.push(variants.iter().fold(name.into(), |name, (suffix, _)| format!("{name}[{suffix}]")));
        for choice in 0..1 << variants.len() {
            let chosen = variants.iter().enumerate().filter(|(number, _)| choice >> number & 1 == 1);
            let chosen: Vec<Variant<N>> = chosen.map(|(_, variant)| *variant).collect();
            let name = chosen.iter().fold(name.to_string(), |name, (suffix, _)| name + suffix);
            let make: Box<Make> = Box::new(move |classes| {
                Box::new(chosen.iter().fold(make(classes), |network, (_, variant)| variant(network)))
            });
            self.networks.push((name, task, make));
        }
    }
}

static NETWORKS: LazyLock<Registry> = LazyLock::new(|| {
    let mut list = Registry::default();
    list.add(DIGITS, "lenet5", LeNet5::modern, &[]);
    list.add(DIGITS_OF_1998, "lenet5_1998", ten_digits, &[]);
    list.add(IMAGENET, "alexnet", AlexNet::new, &[]);
    list.add(Task { sample: [227, 227, 3], ..IMAGENET }, "alexnet_2012", AlexNet::of_2012, ALEXNET_OF_2012);
    list.add(IMAGENET, "vgg11", Vgg::vgg11, VGG);
    list.add(IMAGENET, "vgg13", Vgg::vgg13, VGG);
    list.add(IMAGENET, "vgg16", Vgg::vgg16, VGG);
    list.add(IMAGENET, "vgg19", Vgg::vgg19, VGG);
    list.add(GOOGLENET, "googlenet", GoogLeNet::new, HEADS);
    list.add(Task { preprocess: IMAGENET.preprocess, ..GOOGLENET }, "googlenet_2014", GoogLeNet::of_2014, HEADS);
    list.add(IMAGENET, "squeezenet1_0", SqueezeNet::v1_0, &[]);
    list.add(IMAGENET, "squeezenet1_1", SqueezeNet::v1_1, &[]);
    list.add(IMAGENET, "resnet18", ResNet::resnet18, RESNET);
    list.add(IMAGENET, "resnet34", ResNet::resnet34, RESNET);
    list.add(IMAGENET, "resnet50", ResNet::resnet50, BOTTLENECKS);
    list.add(IMAGENET, "resnet101", ResNet::resnet101, BOTTLENECKS);
    list.add(IMAGENET, "resnet152", ResNet::resnet152, BOTTLENECKS);
    list.add(IMAGENET, "wide_resnet50_2", ResNet::wide_resnet50_2, RESNET);
    list.add(IMAGENET, "wide_resnet101_2", ResNet::wide_resnet101_2, RESNET);
    list.add(IMAGENET, "resnext50_32x4d", ResNet::resnext50_32x4d, RESNET);
    list.add(IMAGENET, "plain18", |classes| ResNet::resnet18(classes).plain(), &[]);
    list.add(IMAGENET, "plain34", |classes| ResNet::resnet34(classes).plain(), &[]);
    list.add(CIFAR, "cifar_resnet20", CifarResNet::resnet20, CIFAR_RESNET);
    list.add(CIFAR, "cifar_resnet32", CifarResNet::resnet32, CIFAR_RESNET);
    list.add(CIFAR, "cifar_resnet44", CifarResNet::resnet44, CIFAR_RESNET);
    list.add(CIFAR, "cifar_resnet56", CifarResNet::resnet56, CIFAR_RESNET);
    list.add(CIFAR, "cifar_resnet110", CifarResNet::resnet110, CIFAR_RESNET);
    list.add(CIFAR, "cifar_plain20", |classes| CifarResNet::resnet20(classes).plain(), &[]);
    list.add(CIFAR, "cifar_plain32", |classes| CifarResNet::resnet32(classes).plain(), &[]);
    list.add(CIFAR, "cifar_plain44", |classes| CifarResNet::resnet44(classes).plain(), &[]);
    list.add(CIFAR, "cifar_plain56", |classes| CifarResNet::resnet56(classes).plain(), &[]);
    list.add(CIFAR, "cifar_plain110", |classes| CifarResNet::resnet110(classes).plain(), &[]);
    list
});

/// Returns the names that [`by_name`] knows.
pub fn network_names() -> impl Iterator<Item = &'static str> {
    NETWORKS.networks.iter().map(|(name, ..)| name.as_str())
}

/// Returns the network called `name` for `classes` classes; `None` for the published number.
///
/// Variants follow the name, in this order:
///
/// | after | | |
/// |---|---|---|
/// | `vgg11`, `vgg13`, `vgg16`, `vgg19` | `_bn` | batch normalisations |
/// | | `_average_pooling` | average pooling, for style transfer |
/// | `googlenet`, `googlenet_2014` | `_aux` | auxiliary heads, for training |
/// | `alexnet_2012` | `_ungrouped` | every filter sees all channels |
/// | `resnet50`, `resnet101`, `resnet152` | `_v1` | strides as published: on the first convolution of a block |
/// | every ResNet for ImageNet | `_folded` | no batch normalisations, for weights that they were folded into |
/// | `cifar_resnet20` and deeper | `_b` | projections where shapes change |
///
/// `plain18`, `cifar_plain20` and the other plain networks have no shortcuts.
///
/// # Errors
/// [`UnknownNetwork`], whose text lists the names.
///
/// ```
/// use ocelli_graph::Model;
/// use ocelli_models::by_name;
/// let network = by_name("cifar_resnet20_b", None)?;
/// let model = Model::from_layer(network.layer, network.sample, 0)?;
/// assert_eq!(model.parameters().trained_count(), 272_474);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn by_name(name: &str, classes: impl Into<Option<usize>>) -> Result<Network, UnknownNetwork> {
    let found = NETWORKS.networks.iter().find(|(known, ..)| known == name);
    let (name, task, make) = found.ok_or_else(|| UnknownNetwork { name: name.into() })?;
    let Task { sample, preprocess, best, training_only, .. } = *task;
    let classes = classes.into().unwrap_or(task.classes);
    Ok(Network { name, sample, preprocess, classes, best, training_only, layer: make(classes) })
}

/// Makes the network of 1998, whose codes are those of the ten digits.
fn ten_digits(classes: usize) -> impl Layer {
    func(move |x: &Node| match classes {
        10 => LeNet5::of_1998().forward(x),
        _ => x.trace().fail("LeNet5Of1998", format!("there are codes for 10 digits, not for {classes} classes")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Metadata, WeightFile, save_tensors};
    use ocelli_graph::{Graph, Model, ParameterRole, Tensor};
    use std::collections::BTreeMap;

    /// Returns the number of trained parameters of a network, without memory for them.
    fn trained(network: Network) -> usize {
        let graph = Graph::from_layer(network.layer, network.sample)
            .unwrap_or_else(|error| panic!("{}: {error}", network.name));
        let parameters = graph.parameters.values().filter(|spec| spec.role == ParameterRole::Trained);
        parameters.map(|spec| graph.values[spec.value].shape.len(1)).sum()
    }

    #[test]
    fn every_network_builds() {
        for name in network_names() {
            let classes = if name == "lenet5_1998" { 10 } else { 7 };
            let network = by_name(name, classes).unwrap();
            assert_eq!(network.classes, classes);
            let [height, width, channels] = network.sample;
            let preprocess = network.preprocess([height, width]);
            assert_eq!(preprocess.channels.count(), channels, "{name}");
            assert_eq!(preprocess.normalisation.mean.len(), channels, "{name}");
            let graph =
                Graph::from_layer(network.layer, network.sample).unwrap_or_else(|error| panic!("{name}: {error}"));
            let output = graph.find("output").unwrap();
            assert_eq!(graph.values[output].shape.to_string(), format!("[N, {classes}]"), "{name}");
        }
        let network = by_name("lenet5_1998", 7).unwrap();
        let refused = Model::zeroed(network.layer, network.sample).unwrap_err().to_string();
        assert_eq!(refused, "(LeNet5Of1998): there are codes for 10 digits, not for 7 classes");
    }

    #[test]
    fn counts_are_the_published_ones() {
        let counts = [
            ("lenet5", 61_706),
            ("lenet5_1998", 60_000),
            ("alexnet", 61_100_840),
            ("alexnet_2012", 60_965_224),
            ("alexnet_2012_ungrouped", 62_378_344),
            ("vgg11", 132_863_336),
            ("vgg13", 133_047_848),
            ("vgg16", 138_357_544),
            ("vgg16_bn", 138_365_992),
            ("vgg16_bn_average_pooling", 138_365_992),
            ("vgg19", 143_667_240),
            ("vgg19_bn", 143_678_248),
            ("vgg19_average_pooling", 143_667_240),
            ("googlenet", 6_624_904),
            ("googlenet_aux", 13_004_888),
            ("googlenet_2014", 6_998_552),
            ("googlenet_2014_aux", 13_378_280),
            ("squeezenet1_0", 1_248_424),
            ("squeezenet1_1", 1_235_496),
            ("resnet18", 11_689_512),
            ("resnet34", 21_797_672),
            ("resnet50", 25_557_032),
            ("resnet50_v1", 25_557_032),
            ("resnet101", 44_549_160),
            ("resnet101_v1", 44_549_160),
            ("resnet152", 60_192_808),
            ("resnet152_v1", 60_192_808),
            ("wide_resnet50_2", 68_883_240),
            ("wide_resnet101_2", 126_886_696),
            ("resnext50_32x4d", 25_028_904),
            ("cifar_resnet20", 269_722),
            ("cifar_resnet20_b", 272_474),
            ("cifar_resnet32", 464_154),
            ("cifar_resnet32_b", 466_906),
            ("cifar_resnet44", 658_586),
            ("cifar_resnet44_b", 661_338),
            ("cifar_resnet56", 853_018),
            ("cifar_resnet56_b", 855_770),
            ("cifar_resnet110", 1_727_962),
            ("cifar_resnet110_b", 1_730_714),
            // Option A has no parameters of its own.
            ("cifar_plain20", 269_722),
            ("cifar_plain32", 464_154),
            ("cifar_plain44", 658_586),
            ("cifar_plain56", 853_018),
            ("cifar_plain110", 1_727_962),
        ];
        for (name, count) in counts {
            assert_eq!(trained(by_name(name, None).unwrap()), count, "{name}");
        }
    }

    #[test]
    fn variants_have_names() {
        let of = |name: &str| {
            let Network { layer, sample, .. } = by_name(name, None).unwrap();
            let graph = Graph::from_layer(layer, sample).unwrap();
            let kinds: Vec<String> = graph.calls.iter().map(|call| call.kind.clone()).collect();
            move |kind: &str| kinds.iter().filter(|known| *known == kind).count()
        };
        let style = of("vgg19_bn_average_pooling");
        assert_eq!((style("MaxPool2d"), style("AvgPool2d"), style("BatchNorm")), (0, 5, 16));
        let (usual, folded, plain) = (of("resnet18"), of("resnet18_folded"), of("plain18"));
        assert_eq!([&usual, &folded, &plain].map(|of| of("BatchNorm")), [20, 0, 17]);
        assert_eq!([&usual, &folded, &plain].map(|of| of("Conv2d")), [20, 20, 17]);
        let macs = |name: &str| {
            let network = by_name(name, None).unwrap();
            Model::zeroed(network.layer, network.sample).unwrap().summary().macs
        };
        assert_eq!(macs("resnet50_v1"), 3_857_973_248);
        assert!(macs("resnet101_v1") < macs("resnet101"));
    }

    /// A file with every tensor that torchvision's has: with both heads, and the counters of normalisations.
    #[test]
    fn torchvisions_file_of_googlenet_loads_without_its_heads() {
        let network = by_name("googlenet_aux", None).unwrap();
        let whole = Graph::from_layer(network.layer, network.sample).unwrap();
        let mut names: Vec<&str> = whole.parameters.keys().map(String::as_str).collect();
        let counters: Vec<String> = names
            .iter()
            .filter_map(|name| Some(format!("{}num_batches_tracked", name.strip_suffix("running_mean")?)))
            .collect();
        names.extend(counters.iter().map(String::as_str));
        assert_eq!(names.iter().filter(|name| name.starts_with("aux")).count(), 2 * (6 + 4));
        let network = by_name("googlenet", None).unwrap();
        let loader = network.loader();
        let mut model = Model::zeroed(network.layer, network.sample).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("googlenet.safetensors");
        let tensors: BTreeMap<String, Tensor> = names
            .iter()
            .map(|name| {
                let parameter = model.parameters().get(name).zip(model.parameters().value(name));
                let tensor = parameter.map(|(parameter, value)| crate::in_file_layout(parameter, value));
                (name.to_string(), tensor.unwrap_or_else(|| Tensor::zeros([1])))
            })
            .collect();
        save_tensors(&tensors, &path, &Metadata::new()).unwrap();

        let strict = WeightLoader::new().load(&mut model, &path).unwrap_err().to_string();
        assert!(strict.contains("aux1.conv.bn.bias"), "{strict}");
        let report = loader.load_from(&mut model, &mut WeightFile::open(&path).unwrap()).unwrap();
        assert_eq!(report.loaded.len(), model.parameters().iter().count());
        assert_eq!(report.left_out.iter().filter(|name| name.starts_with("aux")).count(), 20);
        assert_eq!(report.left_out.len(), 20 + 57, "and the counters of 57 normalisations");
    }

    /// Torchvision's `transform_input`: of what ImageNet's statistics made of a pixel, what [−1, 1] makes of it.
    #[test]
    fn googlenets_pixels_are_what_torchvision_makes_of_them() {
        let [ours, usual] =
            ["googlenet", "resnet18"].map(|name| by_name(name, None).unwrap().preprocess([224, 224]).normalisation);
        for channel in 0..3 {
            let (mean, deviation) = (usual.mean[channel], usual.deviation[channel]);
            for pixel in [0.0, 0.3, 1.0] {
                let normalised = (pixel - mean) / deviation;
                let transformed = normalised * (deviation / 0.5) + (mean - 0.5) / 0.5;
                let got = (pixel - ours.mean[channel]) / ours.deviation[channel];
                assert!((got - transformed).abs() < 1e-6, "{got} for {transformed}");
            }
        }
    }

    #[test]
    fn other_names_are_refused_with_the_list() {
        let refused = by_name("lenet", 10).err().unwrap().to_string();
        let start = "no network is called \"lenet\"; there are, with or without what is in brackets: lenet5, lenet5_1998, \
                     alexnet, alexnet_2012[_ungrouped], vgg11[_bn][_average_pooling], ";
        assert!(refused.starts_with(start), "{refused}");
    }
}
