//! The items that most programs need: `use ocelli::prelude::*`.

pub use ocelli_data::{Border, Dataset, Image, Loader, Mirror, Pipeline, Statistics, Transform};
pub use ocelli_graph::{
    Axis, Batch, Key, Layer, Mode, Model, Node, Objective, Precision, Recomputed, Shape, Shared, Step, Tensor, Trace,
    Wrt, func, ops::Interpolation,
};
pub use ocelli_layers::{
    Activation, AdaptiveAvgPool2d, AvgPool2d, BatchNorm, Branches, Conv2d, ConvTranspose2d, Dense, Distribution,
    Dropout, Flatten, GlobalAvgPool, GroupNorm, Inception, Init, InstanceNorm, LayerNorm, LocalResponseNorm, MaxPool2d,
    Pad2d, Padding, Residual, Sequential, Shortcut,
};
pub use ocelli_losses::{CrossEntropy, huber, logistic_cross_entropy, mse, softmax_cross_entropy};
pub use ocelli_models::{
    AlexNet, CifarResNet, GoogLeNet, LeNet5, NetworkDescription, ResNet, SqueezeNet, Vgg, WeightFile, WeightLoader,
    by_name, load_network, load_weights, save_network, save_weights, top_k,
};
pub use ocelli_train::{
    Accuracy, Adam, AdamW, MeanValue, Metric, Monitor, Optimizer, Prediction, Progress, Schedule, Sgd, Trainer,
    evaluate, evaluate_classifier,
};
