//! LeNet-5 (LeCun, Bottou, Bengio and Haffner 1998), as published and as it is built today.

use crate::digit_codes;
use ocelli_graph::{Initializer, Key, Layer, Node, ParameterAxis};
use ocelli_layers::{ConnectionTable, Conv2d, Dense, Distribution, Init, MaxPool2d, RadialBasis, SubSampling};

/// LeNet-5 with ReLU, max pooling, every map of C3 connected to every map of S2, and logits for a softmax.
///
/// # Shapes
/// `[N, 32, 32, C]` → `[N, classes]` logits. 61,706 parameters with one channel and ten classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeNet5 {
    classes: usize,
}

impl LeNet5 {
    /// Creates the modern network for `classes` classes.
    pub fn modern(classes: usize) -> LeNet5 {
        LeNet5 { classes }
    }

    /// Creates the network of the paper.
    pub fn of_1998() -> LeNet5Of1998 {
        LeNet5Of1998
    }
}

impl Layer for LeNet5 {
    fn forward(&self, x: &Node) -> Node {
        let he = Init::He(Distribution::Normal);
        let conv = |channels| Conv2d::new(channels, 5).weight_init(he);
        let x = x.apply("c1", conv(6)).relu().apply("s2", MaxPool2d::new(2));
        let x = x.apply("c3", conv(16)).relu().apply("s4", MaxPool2d::new(2));
        let x = x.apply("c5", conv(120)).relu().flatten();
        let x = x.apply("f6", Dense::new(84).weight_init(he)).relu();
        x.apply("output", Dense::new(self.classes))
    }
}

/// The constant `j` in the loss of the paper, which does not give its value. Distances of a trained network are below
/// about 10 for the right code, and codes are at least 16 apart.
pub const PENALTY: f32 = 10.0;

/// LeNet-5 as published: partial connections in C3, trained sub-sampling, the squashing function `1.7159 tanh(2x/3)`
/// after every layer, and squared distances to fixed codes at the end, of which the smallest is the answer. Its loss is
/// `maximum_a_posteriori`, and its pixels range from −0.1 (paper) to 1.175 (ink).
///
/// # Shapes
/// `[N, 32, 32, 1]` → `[N, 10]` distances. 60,000 trained parameters and 840 fixed ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeNet5Of1998;

impl LeNet5Of1998 {
    /// Returns the connections from the maps of S2 to those of C3 (table I of the paper).
    pub fn table() -> ConnectionTable {
        ConnectionTable::new(
            6,
            &[
                &[0, 1, 2],
                &[1, 2, 3],
                &[2, 3, 4],
                &[3, 4, 5],
                &[0, 4, 5],
                &[0, 1, 5],
                &[0, 1, 2, 3],
                &[1, 2, 3, 4],
                &[2, 3, 4, 5],
                &[0, 3, 4, 5],
                &[0, 1, 4, 5],
                &[0, 1, 2, 5],
                &[0, 1, 3, 4],
                &[1, 2, 4, 5],
                &[0, 2, 3, 5],
                &[0, 1, 2, 3, 4, 5],
            ],
        )
        .expect("the table of the paper names maps 0 to 5")
    }
}

impl Layer for LeNet5Of1998 {
    fn forward(&self, x: &Node) -> Node {
        let conv = |channels: usize, inputs: usize| {
            let limit = Init::Uniform(2.4 / (25 * inputs) as f32);
            Conv2d::new(channels, 5).weight_init(limit).bias_init(limit)
        };
        let sampling = || SubSampling::new(2).weight_init(Init::Uniform(0.6)).bias_init(Init::Uniform(0.6));
        let c3 = conv(16, 4).weight_init(ByFanIn(LeNet5Of1998::table())).connections(LeNet5Of1998::table());
        let x = x.apply("c1", conv(6, 1)).scaled_tanh().apply("s2", sampling()).scaled_tanh();
        let x = x.apply("c3", c3).scaled_tanh().apply("s4", sampling()).scaled_tanh();
        let x = x.apply("c5", conv(120, 16)).scaled_tanh().flatten();
        let limit = Init::Uniform(2.4 / 120.0);
        let x = x.apply("f6", Dense::new(84).weight_init(limit).bias_init(limit)).scaled_tanh();
        x.apply("output", RadialBasis::new(10, digit_codes()))
    }
}

/// Draws uniformly from `±2.4 / fan_in`, where the fan-in of a map is the number of its connections times 25.
#[derive(Clone, Debug)]
struct ByFanIn(ConnectionTable);

impl Initializer for ByFanIn {
    fn fill(&self, axes: &[ParameterAxis], key: Key, values: &mut [f32]) {
        let window: usize = axes.iter().rev().skip(1).map(|axis| axis.size).product();
        let mut seen = vec![0usize; self.0.outputs()];
        self.0.pairs().for_each(|(_, output)| seen[output] += 1);
        let limits: Vec<f32> = self.0.pairs().map(|(_, output)| 2.4 / (window * seen[output]) as f32).collect();
        let mut stream = key.stream();
        for tap in values.chunks_exact_mut(limits.len()) {
            tap.iter_mut().zip(&limits).for_each(|(value, limit)| *value = stream.between(-limit, *limit));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ocelli_graph::Model;

    #[test]
    fn the_network_of_1998_has_60_000_trained_parameters_and_840_fixed() {
        let model = Model::from_layer(LeNet5::of_1998(), [32, 32, 1], 0).unwrap();
        assert_eq!((model.parameters().trained_count(), model.parameters().fixed_count()), (60_000, 840));
        let count = |layer: &str| -> usize {
            let below = |path: &str| path.split('.').next() == Some(layer);
            model.parameters().iter().filter(|(p, _)| below(&p.path)).map(|(_, value)| value.len()).sum()
        };
        let counts = ["c1", "s2", "c3", "s4", "c5", "f6", "output"].map(count);
        assert_eq!(counts, [156, 12, 1_516, 32, 48_120, 10_164, 840]);
    }

    /// A connection is a weight that is used or a bias that is added: the paper counts both.
    #[test]
    fn the_network_of_1998_has_340_908_connections() {
        let summary = Model::from_layer(LeNet5::of_1998(), [32, 32, 1], 0).unwrap().summary();
        let macs = |path: &str| summary.rows.iter().filter(|row| row.path == path).map(|row| row.macs).sum::<u64>();
        assert_eq!(macs("c1") + 28 * 28 * 6, 122_304);
        assert_eq!(macs("c3") + 10 * 10 * 16, 151_600);
        assert_eq!(macs("c5") + 120, 48_120);
        assert_eq!(macs("f6") + 84, 10_164);
        assert_eq!(macs("output"), 840);
        // Sub-sampling adds four inputs and a bias for each of its pixels.
        let (s2, s4) = (14 * 14 * 6 * 5, 5 * 5 * 16 * 5);
        assert_eq!(122_304 + s2 + 151_600 + s4 + 48_120 + 10_164 + 840, 340_908);
    }

    #[test]
    fn the_modern_network_has_61_706_parameters() {
        let count = |channels| {
            Model::from_layer(LeNet5::modern(10), [32, 32, channels], 0).unwrap().parameters().trained_count()
        };
        assert_eq!((count(1), count(3)), (61_706, 62_006));
    }
}
