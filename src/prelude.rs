//! The items that most programs need: `use ocelli::prelude::*`.

pub use ocelli_data::{Border, Dataset, Image, Loader, Mirror, Pipeline, Ranking, Statistics, Transform};
pub use ocelli_graph::{
    Axis, BackwardRules, Batch, Key, Layer, Mode, Model, Node, Objective, Precision, Recomputed, Shape, Shared, Step,
    Tensor, Trace, Until, Wrt, func, ops::Interpolation,
};
pub use ocelli_layers::{
    Activation, AdaptiveAvgPool2d, AvgPool2d, BatchNorm, Branches, Conv2d, ConvNorm, ConvTranspose2d, Dense,
    Distribution, Dropout, Flatten, GlobalAvgPool, GroupNorm, Inception, Init, InstanceNorm, InvertedResidual,
    LayerNorm, LocalResponseNorm, MaxPool2d, Pad2d, Padding, Residual, Sequential, Shortcut, SqueezeExcitation,
};
pub use ocelli_losses::{
    ContentNormalisation, CrossEntropy, StyleNormalisation, Variation, content_cost, huber, logistic_cross_entropy,
    mse, soft_cross_entropy, softmax_cross_entropy, style_cost, style_gram, total_variation,
};
pub use ocelli_models::{
    AlexNet, CifarResNet, DenseNet, EfficientNet, EfficientNetLite0, GoogLeNet, LeNet5, MobileNet, NetworkDescription,
    ResNet, SqueezeNet, UNet, Vgg, WeightFile, WeightLoader, by_name, load_network, load_weights, save_network,
    save_weights, top_k,
};
pub use ocelli_train::{
    Accuracy, Adam, AdamW, Finetune, Lbfgs, MeanIou, MeanValue, Metric, Monitor, Optimizer, Progress, Schedule, Sgd,
    Trainer, evaluate, evaluate_classifier,
};
