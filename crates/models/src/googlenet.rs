//! GoogLeNet (Szegedy et al. 2014), in torchvision's form and as published.

use ocelli_graph::{Layer, Node, Trace};
use ocelli_layers::{
    AdaptiveAvgPool2d, AvgPool2d, BatchNorm, Conv2d, Dense, Inception, Init, LocalResponseNorm, MaxPool2d, Padding,
};
use ocelli_losses::softmax_cross_entropy;

/// GoogLeNet: a stem and nine Inception blocks, under torchvision's names.
///
/// # Shapes
/// `[N, H, W, C]` → `[N, classes]` logits; published for `[224, 224, 3]`. Auxiliary heads add the outputs `aux1` and
/// `aux2`, `[N, classes]`, which inference computes only on request; [`GoogLeNet::loss`] weights them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoogLeNet {
    classes: usize,
    form: Form,
    heads: Heads,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// The form with batch normalisation in place of biases and response normalisation, and 3×3 filters where the paper
    /// has 5×5.
    Torchvision,
    Paper,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heads {
    Main,
    Auxiliary,
}

/// Channels of an Inception block: 1×1; 3×3 with its bottleneck; 5×5 with its bottleneck; projection behind the pooling
/// (table 1).
type Widths = (usize, [usize; 2], [usize; 2], usize);

const BLOCKS: [(&str, Widths); 9] = [
    ("inception3a", (64, [96, 128], [16, 32], 32)),
    ("inception3b", (128, [128, 192], [32, 96], 64)),
    ("inception4a", (192, [96, 208], [16, 48], 64)),
    ("inception4b", (160, [112, 224], [24, 64], 64)),
    ("inception4c", (128, [128, 256], [24, 64], 64)),
    ("inception4d", (112, [144, 288], [32, 64], 64)),
    ("inception4e", (256, [160, 320], [32, 128], 128)),
    ("inception5a", (256, [160, 320], [32, 128], 128)),
    ("inception5b", (384, [192, 384], [48, 128], 128)),
];

impl GoogLeNet {
    /// Creates torchvision's network: 6,624,904 parameters with 1000 classes. Its large filters are 3×3, a mistake that
    /// its authors keep because the published weights have it.
    ///
    /// These weights expect pixels from −1 to 1, `(x − 0.5) / 0.5`, and not the statistics of ImageNet, which
    /// torchvision's `transform_input` undoes inside of its network: `by_name("googlenet")` returns a network whose
    /// [`preprocess`](crate::Network::preprocess) does so, and whose [`loader`](crate::Network::loader) leaves out the
    /// auxiliary heads, which the file has.
    pub fn new(classes: usize) -> GoogLeNet {
        GoogLeNet { classes, form: Form::Torchvision, heads: Heads::Main }
    }

    /// Creates the paper's network: 5×5 filters, biases, response normalisation; 6,998,552 parameters with 1000
    /// classes. The paper gives neither the constants of the normalisation nor the initial weights. Both are those of
    /// Caffe's reference here: `α` over a mean of 5, Glorot uniform, and biases of 0.2.
    pub fn of_2014(classes: usize) -> GoogLeNet {
        GoogLeNet { form: Form::Paper, ..GoogLeNet::new(classes) }
    }

    /// Adds the two auxiliary heads for training: 13,004,888 parameters, or 13,378,280 in the paper's form.
    pub fn auxiliary_heads(mut self) -> GoogLeNet {
        self.heads = Heads::Auxiliary;
        self
    }

    /// Returns the cross-entropy of the output plus `weight` times that of each auxiliary head; the paper weights them
    /// 0.3. The model must be a GoogLeNet with its heads, not one that contains it below a path.
    ///
    /// ```
    /// use ocelli_graph::Model;
    /// use ocelli_models::GoogLeNet;
    /// let model = Model::zeroed(GoogLeNet::new(10).auxiliary_heads(), [64, 64, 3])?;
    /// let objective = model.objective(|trace| GoogLeNet::loss(trace, &trace.labels("labels"), 0.3))?;
    /// # Ok::<(), ocelli_graph::Error>(())
    /// ```
    pub fn loss(trace: &Trace, labels: &Node, weight: f32) -> Node {
        let loss = |logits: &Node| softmax_cross_entropy(logits, labels);
        loss(&trace.output()) + (loss(&trace.tap("aux1")) + loss(&trace.tap("aux2"))).scale(weight)
    }

    fn unit(&self, channels: usize, kernel: usize) -> Unit {
        Unit { form: self.form, channels, kernel, stride: 1 }
    }

    fn dense(&self, features: usize) -> Dense {
        match self.form {
            Form::Torchvision => Dense::new(features).pytorch_init().weight_init(Init::Normal(0.01)),
            Form::Paper => Dense::new(features),
        }
    }

    /// Applies response normalisation, which the paper has in two places.
    fn normalised(&self, x: &Node, name: &str) -> Node {
        match self.form {
            Form::Torchvision => x.clone(),
            Form::Paper => x.apply(name, LocalResponseNorm::of_mean(5)),
        }
    }

    fn inception(&self, (conv1, conv3, conv5, pool): Widths) -> Inception {
        let network = *self;
        let large_kernel = if self.form == Form::Paper { 5 } else { 3 };
        Inception::new(conv1, conv3, conv5, pool)
            .large_kernel(large_kernel)
            .unit(move |channels, kernel| network.unit(channels, kernel))
    }

    /// Applies an auxiliary classifier to an intermediate activation.
    fn auxiliary_head(&self, x: &Node) -> Node {
        let x = match self.form {
            Form::Torchvision => x.apply("pool", AdaptiveAvgPool2d::new(4)),
            Form::Paper => x.apply("pool", AvgPool2d::new(5).stride(3)),
        };
        let x = x.apply("conv", self.unit(128, 1)).flatten();
        x.apply("fc1", self.dense(1024)).relu().dropout(0.7).apply("fc2", self.dense(self.classes))
    }
}

/// A convolution with the operations that follow it.
#[derive(Clone, Copy, Debug)]
struct Unit {
    form: Form,
    channels: usize,
    kernel: usize,
    stride: usize,
}

impl Layer for Unit {
    fn forward(&self, x: &Node) -> Node {
        let padding = Padding::uniform(self.kernel / 2);
        let conv = Conv2d::new(self.channels, self.kernel).stride(self.stride).padding(padding);
        match self.form {
            Form::Torchvision => {
                let conv = conv.bias(false).weight_init(Init::Normal(0.01));
                x.apply("conv", conv).apply("bn", BatchNorm::new().epsilon(1e-3)).relu()
            }
            Form::Paper => x.apply("conv", conv.bias_init(Init::Constant(0.2))).relu(),
        }
    }

    fn kind(&self) -> String {
        "Conv2d".into()
    }
}

impl Layer for GoogLeNet {
    fn forward(&self, x: &Node) -> Node {
        let pool = |size: usize| MaxPool2d::new(size).stride(2).ceil();
        let x = x.apply("conv1", Unit { stride: 2, ..self.unit(64, 7) }).apply("maxpool1", pool(3));
        let x = self.normalised(&x, "norm1").apply("conv2", self.unit(64, 1)).apply("conv3", self.unit(192, 3));
        let mut x = self.normalised(&x, "norm2").apply("maxpool2", pool(3));
        for (name, widths) in BLOCKS {
            x = x.apply(name, self.inception(widths));
            x = match (name, self.form) {
                ("inception3b", _) => x.apply("maxpool3", pool(3)),
                ("inception4e", Form::Paper) => x.apply("maxpool4", pool(3)),
                ("inception4e", Form::Torchvision) => x.apply("maxpool4", pool(2)),
                _ => x,
            };
            let head = match name {
                "inception4a" => "aux1",
                "inception4d" => "aux2",
                _ => continue,
            };
            if self.heads == Heads::Auxiliary {
                x.scope(head, |x| self.auxiliary_head(x));
            }
        }
        let dropout = if self.form == Form::Paper { 0.4 } else { 0.2 };
        x.global_avg_pool().dropout(dropout).apply("fc", self.dense(self.classes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{size, summary};
    use ocelli_graph::{Batch, Key, Mode, Model, Objective, Tensor, Wrt};

    #[test]
    fn counts_are_the_published_ones() {
        assert_eq!(size(GoogLeNet::new(1000), 224), (6_624_904, 1_498_376_192));
        assert_eq!(size(GoogLeNet::new(1000).auxiliary_heads(), 224).0, 13_004_888);
        assert_eq!(size(GoogLeNet::of_2014(1000), 224), (6_998_552, 1_582_671_872));
        assert_eq!(size(GoogLeNet::of_2014(1000).auxiliary_heads(), 224).0, 13_378_280);
        size(GoogLeNet::new(3), 64);
    }

    #[test]
    fn sizes_are_those_of_table_1() {
        for network in [GoogLeNet::new(1000), GoogLeNet::of_2014(1000)] {
            let rows = summary(network, 224).rows;
            let output = |path: &str| rows.iter().rfind(|row| row.path == path).map(|row| row.output.clone());
            let expected = [
                ("conv1.conv", "[N, 112, 112, 64]"),
                ("maxpool1", "[N, 56, 56, 64]"),
                ("maxpool2", "[N, 28, 28, 192]"),
                ("inception3a", "[N, 28, 28, 256]"),
                ("maxpool3", "[N, 14, 14, 480]"),
                ("inception4e", "[N, 14, 14, 832]"),
                ("maxpool4", "[N, 7, 7, 832]"),
                ("inception5b", "[N, 7, 7, 1024]"),
            ];
            for (path, shape) in expected {
                assert_eq!(output(path).as_deref(), Some(shape), "{path}");
            }
        }
    }

    #[test]
    fn auxiliary_heads_weigh_in_the_loss_and_not_in_inference() {
        let model = Model::zeroed(GoogLeNet::new(4).auxiliary_heads(), [64, 64, 3]).unwrap();
        let alone = Model::zeroed(GoogLeNet::new(4), [64, 64, 3]).unwrap();
        let memory = |model: &Model| model.plan(1, &["output"]).unwrap().peak_bytes();
        assert_eq!(memory(&model), memory(&alone));
        let refused = alone.objective(|trace| GoogLeNet::loss(trace, &trace.labels("labels"), 0.3)).unwrap_err();
        assert!(refused.to_string().contains("nothing is called \"aux1\""), "{refused}");
    }

    const CLASSES: usize = 3;
    const LABELS: [u32; 4] = [2, 0, 1, 0];
    /// Names of the heads, their biases and their weights in the loss (Szegedy et al. 2014, section 5).
    const HEADS: [(&str, &str, f64); 3] =
        [("output", "fc.bias", 1.0), ("aux1", "aux1.fc2.bias", 0.3), ("aux2", "aux2.fc2.bias", 0.3)];

    /// Returns a network with its heads, the objective of its loss, and a batch.
    fn with_heads() -> (Model, Objective, Batch) {
        let model = Model::from_layer(GoogLeNet::new(CLASSES).auxiliary_heads(), [64, 64, 3], 7).unwrap();
        let loss = |trace: &Trace| GoogLeNet::loss(trace, &trace.labels("labels"), 0.3);
        let objective = model.objective_of(Mode::TrainWithoutDropout, Wrt::Parameters, loss).unwrap();
        let x = Tensor::uniform([LABELS.len(), 64, 64, 3], Key::new(3));
        let batch = Batch::new().with("input", x).with("labels", Tensor::from(LABELS.to_vec()));
        (model, objective.watching(&HEADS.map(|(head, ..)| head)).unwrap(), batch)
    }

    /// Returns the mean cross-entropy of logits, and its gradient for the biases behind them: the mean of softmax −
    /// label.
    fn cross_entropy(logits: &[f32]) -> (f64, [f64; CLASSES]) {
        let (mut loss, mut gradient) = (0.0, [0.0; CLASSES]);
        for (row, label) in logits.chunks(CLASSES).zip(LABELS) {
            let exponentials: Vec<f64> = row.iter().map(|&logit| f64::from(logit).exp()).collect();
            let sum: f64 = exponentials.iter().sum();
            loss -= (exponentials[label as usize] / sum).ln() / LABELS.len() as f64;
            for (class, exponential) in exponentials.iter().enumerate() {
                let wanted = if class == label as usize { 1.0 } else { 0.0 };
                gradient[class] += (exponential / sum - wanted) / LABELS.len() as f64;
            }
        }
        (loss, gradient)
    }

    #[test]
    fn the_loss_is_that_of_the_result_and_three_tenths_of_those_of_the_heads() {
        let (model, mut objective, batch) = with_heads();
        let step = objective.evaluate(&model, &batch).unwrap();
        let mut expected = 0.0;
        for (head, bias, weight) in HEADS {
            let (loss, gradient) = cross_entropy(step.activation(head).unwrap());
            expected += weight * loss;
            for (got, by_definition) in step.gradient(bias).unwrap().iter().zip(gradient) {
                let difference = f64::from(*got) - weight * by_definition;
                assert!(difference.abs() < 1e-6, "{bias}: {got}, expected {}", weight * by_definition);
            }
        }
        assert!((f64::from(step.loss()) - expected).abs() < 1e-6, "{}, expected {expected}", step.loss());
    }
}
