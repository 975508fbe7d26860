//! Training steps in burn's flex backend, as the example `bench_models` does them: time, and the memory that the system counts.
//!
//! `ocelli-peers-burn NETWORK BATCH STEPS`, with `RAYON_NUM_THREADS` threads; networks are lenet5, alexnet, vgg16 and resnet18.

use burn::{
    backend::{Autodiff, Flex},
    module::Module,
    nn::{
        BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d,
        conv::{Conv2d, Conv2dConfig},
        loss::CrossEntropyLossConfig,
        pool::{AdaptiveAvgPool2d, AdaptiveAvgPool2dConfig, MaxPool2d, MaxPool2dConfig},
    },
    optim::{GradientsParams, Optimizer, SgdConfig, decay::WeightDecayConfig, momentum::MomentumConfig},
    tensor::{Distribution, Int, Tensor, activation::relu, backend::Backend},
};
use std::time::Instant;

type B = Autodiff<Flex>;

/// A convolution, with a normalisation where there is one, and ReLU.
#[derive(Module, Debug)]
struct Convolution<B: Backend> {
    conv: Conv2d<B>,
    norm: Option<BatchNorm<B>>,
}

impl<B: Backend> Convolution<B> {
    fn new(channels: [usize; 2], kernel: usize, stride: usize, padding: usize, norm: bool) -> Self {
        let device = Default::default();
        let conv = Conv2dConfig::new(channels, [kernel; 2])
            .with_stride([stride; 2])
            .with_padding(PaddingConfig2d::Explicit(padding, padding, padding, padding))
            .with_bias(!norm)
            .init(&device);
        Self { conv, norm: norm.then(|| BatchNormConfig::new(channels[1]).init(&device)) }
    }

    fn forward(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        let x = self.conv.forward(x);
        match &self.norm {
            Some(norm) => norm.forward(x),
            None => x,
        }
    }
}

/// A basic block of He et al. 2015.
#[derive(Module, Debug)]
struct Residual<B: Backend> {
    first: Convolution<B>,
    second: Convolution<B>,
    projection: Option<Convolution<B>>,
}

impl<B: Backend> Residual<B> {
    fn new(channels: [usize; 2], stride: usize) -> Self {
        let [inputs, outputs] = channels;
        Self {
            first: Convolution::new(channels, 3, stride, 1, true),
            second: Convolution::new([outputs; 2], 3, 1, 1, true),
            projection: (inputs != outputs).then(|| Convolution::new(channels, 1, stride, 0, true)),
        }
    }

    fn forward(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        let y = self.second.forward(relu(self.first.forward(x.clone())));
        let x = self.projection.as_ref().map_or(x.clone(), |projection| projection.forward(x));
        relu(y + x)
    }
}

#[derive(Module, Debug)]
enum Part<B: Backend> {
    Convolution(Convolution<B>),
    Residual(Residual<B>),
    Pool(MaxPool2d),
    Average(AdaptiveAvgPool2d),
}

#[derive(Module, Debug)]
struct Network<B: Backend> {
    parts: Vec<Part<B>>,
    dense: Vec<Linear<B>>,
}

fn conv(channels: [usize; 2], kernel: usize, stride: usize, padding: usize) -> Part<B> {
    Part::Convolution(Convolution::new(channels, kernel, stride, padding, false))
}

fn pool(kernel: usize, stride: usize, padding: usize) -> Part<B> {
    let padding = PaddingConfig2d::Explicit(padding, padding, padding, padding);
    Part::Pool(MaxPool2dConfig::new([kernel; 2]).with_strides([stride; 2]).with_padding(padding).init())
}

fn average(size: usize) -> Part<B> {
    Part::Average(AdaptiveAvgPool2dConfig::new([size; 2]).init())
}

impl Network<B> {
    /// Returns the network of that name, and the channels and size of its images.
    fn named(name: &str) -> (Self, usize, usize) {
        let (parts, widths, channels, size) = match name {
            "lenet5" => {
                let parts = vec![
                    conv([1, 6], 5, 1, 0),
                    pool(2, 2, 0),
                    conv([6, 16], 5, 1, 0),
                    pool(2, 2, 0),
                    conv([16, 120], 5, 1, 0),
                ];
                (parts, vec![120, 84, 10], 1, 32)
            }
            "alexnet" => {
                let parts = vec![
                    conv([3, 64], 11, 4, 2),
                    pool(3, 2, 0),
                    conv([64, 192], 5, 1, 2),
                    pool(3, 2, 0),
                    conv([192, 384], 3, 1, 1),
                    conv([384, 256], 3, 1, 1),
                    conv([256, 256], 3, 1, 1),
                    pool(3, 2, 0),
                    average(6),
                ];
                (parts, vec![9216, 4096, 4096, 1000], 3, 224)
            }
            "vgg16" => {
                let (mut parts, mut inputs) = (Vec::new(), 3);
                for (count, outputs) in [(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)] {
                    for _ in 0..count {
                        parts.push(conv([inputs, outputs], 3, 1, 1));
                        inputs = outputs;
                    }
                    parts.push(pool(2, 2, 0));
                }
                (parts, vec![25088, 4096, 4096, 1000], 3, 224)
            }
            "resnet18" => {
                let mut parts = vec![Part::Convolution(Convolution::new([3, 64], 7, 2, 3, true)), pool(3, 2, 1)];
                let mut inputs = 64;
                for outputs in [64, 128, 256, 512] {
                    parts.push(Part::Residual(Residual::new([inputs, outputs], outputs / inputs)));
                    parts.push(Part::Residual(Residual::new([outputs; 2], 1)));
                    inputs = outputs;
                }
                parts.push(average(1));
                (parts, vec![512, 1000], 3, 224)
            }
            other => panic!("no network {other}"),
        };
        let dense = widths.windows(2).map(|w| LinearConfig::new(w[0], w[1]).init(&Default::default())).collect();
        (Self { parts, dense }, channels, size)
    }

    fn forward(&self, x: Tensor<B, 4>) -> Tensor<B, 2> {
        let x = self.parts.iter().fold(x, |x, part| match part {
            Part::Convolution(part) => relu(part.forward(x)),
            Part::Residual(part) => part.forward(x),
            Part::Pool(part) => part.forward(x),
            Part::Average(part) => part.forward(x),
        });
        let (last, hidden) = self.dense.split_last().expect("there are dense layers");
        last.forward(hidden.iter().fold(x.flatten(1, 3), |x, dense| relu(dense.forward(x))))
    }
}

/// Returns the number of bytes of this process by the operating system's count.
fn resident(key: &str) -> usize {
    let text = std::fs::read_to_string("/proc/self/status").expect("a Linux system");
    let line = text.lines().find(|line| line.starts_with(key)).expect("it counts memory");
    1024 * line.split_whitespace().nth(1).and_then(|number| number.parse::<usize>().ok()).expect("a number")
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [name, batch, steps] = &words[..] else { panic!("NETWORK BATCH STEPS") };
    let (batch, steps): (usize, usize) = (batch.parse().expect("a number"), steps.parse().expect("a number"));
    let device = Default::default();
    let base = resident("VmRSS");
    let (mut network, channels, size) = Network::named(name);
    let mut optimizer = SgdConfig::new()
        .with_momentum(Some(MomentumConfig::new().with_dampening(0.0)))
        .with_weight_decay(Some(WeightDecayConfig::new(1e-4)))
        .init();
    let pictures = Tensor::<B, 4>::random([batch, channels, size, size], Distribution::Uniform(0.0, 1.0), &device);
    let labels = Tensor::<B, 1, Int>::arange(0..batch as i64, &device).remainder_scalar(10);
    let loss = CrossEntropyLossConfig::new().init(&device);
    let mut times: Vec<f64> = (0..=steps)
        .map(|_| {
            let start = Instant::now();
            let gradients = loss.forward(network.forward(pictures.clone()), labels.clone()).backward();
            let gradients = GradientsParams::from_grads(gradients, &network);
            network = optimizer.step(1e-9, network.clone(), gradients);
            1e3 * start.elapsed().as_secs_f64()
        })
        .skip(1)
        .collect();
    times.sort_by(f64::total_cmp);
    let memory = resident("VmHWM") - base;
    println!(
        "{name}, batch {batch}: median {:.2} ms of {steps} steps, {:.0} MB",
        times[times.len() / 2],
        memory as f64 / 1e6
    );
}
