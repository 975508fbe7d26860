//! Published networks and their weight files.
//!
//! A network is a layer: a value with a few settings whose parameters have the published names and counts. The number
//! of input channels, the size of the images and the number of classes are free. [`by_name`] creates any of the
//! networks.
//!
//! Weight files have PyTorch's names and layouts, so that published files load without a table: safetensors and the
//! files of `torch.save` ([`WeightFile`]), all of their tensors or a part under other names ([`WeightLoader`]). Models
//! are saved as safetensors, which Python reads ([`save_weights`]). A network file also describes the network, its
//! classes and how images are prepared, so that it loads by itself ([`save_network`], [`load_network`]) or with only
//! the function that makes the network ([`load_own_network`]). [`top_k`] returns the best answers.
//!
//! ```
//! use ocelli_graph::Model;
//! use ocelli_models::LeNet5;
//! let model = Model::from_layer(LeNet5::modern(10), [32, 32, 1], 0)?;
//! assert_eq!(model.parameters().trained_count(), 61_706);
//! # Ok::<(), ocelli_graph::Error>(())
//! ```

#![forbid(unsafe_code)]

mod alexnet;
mod digit_codes;
mod googlenet;
#[cfg(test)]
mod inference_plans;
mod lenet;
mod network_file;
mod registry;
mod resnet;
mod resnet_cifar;
mod squeezenet;
#[cfg(test)]
mod testing;
mod top;
#[cfg(test)]
mod training_plans;
mod vgg;
mod weights;

pub use alexnet::{AlexNet, AlexNetOf2012};
pub use digit_codes::digit_codes;
pub use googlenet::GoogLeNet;
pub use lenet::{LeNet5, LeNet5Of1998, PENALTY};
pub use network_file::{
    MAX_CLASSES, NetworkDescription, NetworkError, PREPROCESSING, load_network, load_own_network, save_network,
};
pub use registry::{Network, UnknownNetwork, by_name, network_names};
pub use resnet::ResNet;
pub use resnet_cifar::CifarResNet;
pub use squeezenet::SqueezeNet;
pub use top::{Best, Guess, TopK, top_k, top_k_by};
pub use vgg::Vgg;
pub use weights::{
    DType, LoadReport, Metadata, TensorInfo, WeightFile, WeightFormat, WeightLoader, WeightsError, WrongShape,
    channels_first, channels_last, in_file_layout, load_weights, read_metadata, save_tensors, save_weights,
};
