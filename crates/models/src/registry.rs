//! Networks by name, for programs whose user chooses.

use crate::{AlexNet, Best, CifarResNet, GoogLeNet, LeNet5, ResNet, SqueezeNet, Vgg};
use ocelli_graph::{Layer, Node, func};
use ocelli_layers::Shortcut;

/// A network that was asked for by its name.
pub struct Network {
    /// What it is called.
    pub name: &'static str,
    /// Height, width and channels of the pictures that it was published for.
    pub sample: [usize; 3],
    /// How many classes it tells apart.
    pub classes: usize,
    /// Which of its scores is the answer.
    pub best: Best,
    /// The network.
    pub layer: Box<dyn Layer + Send + Sync>,
}

/// There is no such network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no network is called \"{name}\"; there are: {}", network_names().collect::<Vec<_>>().join(", "))]
pub struct UnknownNetwork {
    /// What was asked for.
    pub name: String,
}

type Make = fn(usize) -> Box<dyn Layer + Send + Sync>;

/// What a network was published for.
struct Task {
    /// Height, width and channels of pictures.
    sample: [usize; 3],
    classes: usize,
    best: Best,
}

const DIGITS: Task = Task { sample: [32, 32, 1], classes: 10, best: Best::Largest };
const IMAGENET: Task = Task { sample: [224, 224, 3], classes: 1000, best: Best::Largest };
const CIFAR: Task = Task { sample: [32, 32, 3], classes: 10, best: Best::Largest };

macro_rules! networks {
    ($($name:literal $task:expr => $make:expr;)*) => {
        &[$(($name, $task, |classes| Box::new($make(classes)))),*]
    };
}

const NETWORKS: &[(&str, Task, Make)] = networks! {
    "lenet5" DIGITS => LeNet5::modern;
    "lenet5_1998" Task { best: Best::Smallest, ..DIGITS } => ten_digits;
    "alexnet" IMAGENET => AlexNet::new;
    "alexnet_2012" Task { sample: [227, 227, 3], ..IMAGENET } => AlexNet::of_2012;
    "vgg11" IMAGENET => Vgg::vgg11;
    "vgg11_bn" IMAGENET => |classes| Vgg::vgg11(classes).batch_norm();
    "vgg13" IMAGENET => Vgg::vgg13;
    "vgg13_bn" IMAGENET => |classes| Vgg::vgg13(classes).batch_norm();
    "vgg16" IMAGENET => Vgg::vgg16;
    "vgg16_bn" IMAGENET => |classes| Vgg::vgg16(classes).batch_norm();
    "vgg19" IMAGENET => Vgg::vgg19;
    "vgg19_bn" IMAGENET => |classes| Vgg::vgg19(classes).batch_norm();
    "vgg16_average_pooling" IMAGENET => |classes| Vgg::vgg16(classes).average_pooling();
    "vgg19_average_pooling" IMAGENET => |classes| Vgg::vgg19(classes).average_pooling();
    "googlenet" IMAGENET => GoogLeNet::new;
    "googlenet_2014" IMAGENET => GoogLeNet::of_2014;
    "squeezenet1_0" IMAGENET => SqueezeNet::v1_0;
    "squeezenet1_1" IMAGENET => SqueezeNet::v1_1;
    "resnet18" IMAGENET => ResNet::resnet18;
    "resnet34" IMAGENET => ResNet::resnet34;
    "resnet50" IMAGENET => ResNet::resnet50;
    "resnet50_v1" IMAGENET => |classes| ResNet::resnet50(classes).v1();
    "resnet101" IMAGENET => ResNet::resnet101;
    "resnet152" IMAGENET => ResNet::resnet152;
    "resnet18_folded" IMAGENET => |classes| ResNet::resnet18(classes).folded();
    "resnet34_folded" IMAGENET => |classes| ResNet::resnet34(classes).folded();
    "resnet50_folded" IMAGENET => |classes| ResNet::resnet50(classes).folded();
    "resnet50_v1_folded" IMAGENET => |classes| ResNet::resnet50(classes).v1().folded();
    "plain18" IMAGENET => |classes| ResNet::resnet18(classes).plain();
    "plain34" IMAGENET => |classes| ResNet::resnet34(classes).plain();
    "wide_resnet50_2" IMAGENET => ResNet::wide_resnet50_2;
    "resnext50_32x4d" IMAGENET => ResNet::resnext50_32x4d;
    "cifar_resnet20" CIFAR => CifarResNet::resnet20;
    "cifar_resnet20_b" CIFAR => |classes| CifarResNet::resnet20(classes).shortcut(Shortcut::Projection);
    "cifar_resnet32" CIFAR => CifarResNet::resnet32;
    "cifar_resnet44" CIFAR => CifarResNet::resnet44;
    "cifar_resnet56" CIFAR => CifarResNet::resnet56;
    "cifar_resnet110" CIFAR => CifarResNet::resnet110;
    "cifar_plain20" CIFAR => |classes| CifarResNet::resnet20(classes).plain();
    "cifar_plain56" CIFAR => |classes| CifarResNet::resnet56(classes).plain();
};

/// The names that [`by_name`] knows.
pub fn network_names() -> impl Iterator<Item = &'static str> {
    NETWORKS.iter().map(|(name, ..)| *name)
}

/// The network called `name`, for so many classes; `None` for as many as it was published for.
///
/// Variants go by names of their own: `vgg19_average_pooling` for style transfer, `resnet50_folded` for weights without batch
/// normalisations, `plain34` for the network without shortcuts.
///
/// # Errors
/// [`UnknownNetwork`], whose text lists the names.
///
/// ```
/// use ocelli_graph::Model;
/// use ocelli_models::by_name;
/// let network = by_name("cifar_resnet20", None)?;
/// let model = Model::of(network.layer, network.sample, 0)?;
/// assert_eq!(model.parameters().trained_count(), 269_722);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn by_name(name: &str, classes: impl Into<Option<usize>>) -> Result<Network, UnknownNetwork> {
    let found = NETWORKS.iter().find(|(known, ..)| *known == name);
    let (name, task, make) = found.ok_or_else(|| UnknownNetwork { name: name.into() })?;
    let classes = classes.into().unwrap_or(task.classes);
    Ok(Network { name, sample: task.sample, classes, best: task.best, layer: make(classes) })
}

/// The network of 1998, whose codes are those of the ten digits.
fn ten_digits(classes: usize) -> impl Layer {
    func(move |x: &Node| match classes {
        10 => LeNet5::of_1998().forward(x),
        _ => x.trace().fail("LeNet5Of1998", format!("there are codes for 10 digits, not for {classes} classes")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ocelli_graph::Model;

    #[test]
    fn every_network_builds() {
        for name in network_names() {
            let classes = if name == "lenet5_1998" { 10 } else { 7 };
            let network = by_name(name, classes).unwrap();
            let model = Model::zeroed(network.layer, network.sample).unwrap_or_else(|error| panic!("{name}: {error}"));
            let output = model.graph().find("output").unwrap();
            assert_eq!(model.graph().values[output].shape.to_string(), format!("[N, {classes}]"), "{name}");
            assert_eq!(network.classes, classes);
        }
        let network = by_name("lenet5_1998", 7).unwrap();
        let refused = Model::zeroed(network.layer, network.sample).unwrap_err().to_string();
        assert_eq!(refused, "(LeNet5Of1998): there are codes for 10 digits, not for 7 classes");
    }

    #[test]
    fn variants_have_names() {
        let of = |name: &str| {
            let Network { layer, sample, .. } = by_name(name, None).unwrap();
            let graph = ocelli_graph::Graph::of(layer, sample).unwrap();
            let kinds: Vec<String> = graph.calls.iter().map(|call| call.kind.clone()).collect();
            move |kind: &str| kinds.iter().filter(|known| *known == kind).count()
        };
        let style = of("vgg19_average_pooling");
        assert_eq!((style("MaxPool2d"), style("AvgPool2d")), (0, 5));
        let (usual, folded, plain) = (of("resnet18"), of("resnet18_folded"), of("plain18"));
        assert_eq!([&usual, &folded, &plain].map(|of| of("BatchNorm")), [20, 0, 17]);
        assert_eq!([&usual, &folded, &plain].map(|of| of("Conv2d")), [20, 20, 17]);
    }

    #[test]
    fn other_names_are_refused_with_the_list() {
        let refused = by_name("lenet", 10).err().unwrap().to_string();
        assert!(refused.starts_with("no network is called \"lenet\"; there are: lenet5, lenet5_1998, "), "{refused}");
    }
}
