//! Initial values of weights.

use ocelli_graph::{AxisRole, Initializer, Key, ParameterAxis};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The kind of distribution of a given variance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Distribution {
    /// Uniform in `±√(3·variance)`.
    Uniform,
    /// Normal distribution.
    Normal,
}

/// Initial values of weights, drawn with the fans (`fan_in`, `fan_out`) that the [roles](AxisRole) of the axes give.
///
/// For a filter `[kernel_h, kernel_w, in / groups, out]`, `fan_in` is `kernel_h·kernel_w·in / groups` and `fan_out` is
/// `kernel_h·kernel_w·out`; for a matrix `[in, out]` they are `in` and `out`. A transposed convolution has those of the
/// convolution whose adjoint it is, as in PyTorch; a convolution with a connection table has the mean over its maps. A weight
/// whose axes have no roles is taken for a filter or a matrix.
///
/// ```
/// use ocelli_layers::{Conv2d, Distribution, Init};
/// let conv = Conv2d::new(64, 3).weight_init(Init::He(Distribution::Normal));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Init {
    /// One value for every element.
    Constant(f32),
    /// Uniform in `[−limit, limit)`.
    Uniform(f32),
    /// Normal with mean 0 and this standard deviation.
    Normal(f32),
    /// Variance `2 / (fan_in + fan_out)` (Glorot and Bengio 2010, eq. 16): for tanh, sigmoid and linear layers.
    Glorot(Distribution),
    /// Variance `2 / fan_in` (He et al. 2015, eq. 10): for ReLU.
    He(Distribution),
    /// Variance `1 / fan_in` (LeCun et al. 1998b, eq. 16).
    LeCun(Distribution),
    /// Orthonormal rows or columns, whichever are fewer, times a gain (Saxe et al. 2014).
    Orthogonal(f32),
}

/// Glorot uniform.
impl Default for Init {
    fn default() -> Init {
        Init::Glorot(Distribution::Uniform)
    }
}

/// Returns `fan_in` and `fan_out`: the inputs summed for one output, and the outputs that one input goes to. Both are at
/// least 1.
fn fans(axes: &[ParameterAxis]) -> (f32, f32) {
    let (mut fan_in, mut fan_out) = (1.0, 1.0);
    for (behind, axis) in axes.iter().rev().enumerate() {
        let size = axis.size as f32;
        let role = match (axis.role, behind) {
            (AxisRole::Unnamed, 0) => AxisRole::Outputs,
            (AxisRole::Unnamed, 1) => AxisRole::Inputs,
            (AxisRole::Unnamed, _) => AxisRole::KernelHeight,
            (role, _) => role,
        };
        let (inputs, outputs) = match role {
            AxisRole::KernelHeight | AxisRole::KernelWidth => (size, size),
            AxisRole::Inputs | AxisRole::FlattenedInputs { .. } => (size, 1.0),
            AxisRole::Outputs => (1.0, size),
            AxisRole::Connections { inputs, outputs } => (size / outputs as f32, size / inputs as f32),
            AxisRole::Features | AxisRole::Unnamed => (1.0, 1.0),
        };
        fan_in *= inputs;
        fan_out *= outputs;
    }
    (fan_in.max(1.0), fan_out.max(1.0))
}

impl Initializer for Init {
    fn fill(&self, axes: &[ParameterAxis], key: Key, values: &mut [f32]) {
        let (fan_in, fan_out) = fans(axes);
        match *self {
            Init::Constant(number) => values.fill(number),
            Init::Uniform(limit) => uniform(limit, key, values),
            Init::Normal(deviation) => normal(deviation, key, values),
            Init::Glorot(distribution) => draw(distribution, 2.0 / (fan_in + fan_out), key, values),
            Init::He(distribution) => draw(distribution, 2.0 / fan_in, key, values),
            Init::LeCun(distribution) => draw(distribution, 1.0 / fan_in, key, values),
            Init::Orthogonal(gain) => orthogonal(gain, axes.last().map_or(1, |axis| axis.size), key, values),
        }
    }
}

/// Uniform in `±1 / √fan_in`: PyTorch's default for weights.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UniformByFanIn;

impl Initializer for UniformByFanIn {
    fn fill(&self, axes: &[ParameterAxis], key: Key, values: &mut [f32]) {
        uniform(limit_of(fans(axes).0), key, values);
    }
}

/// Initial values of biases.
#[derive(Clone, Debug)]
pub(crate) enum BiasInit {
    /// Independent of the weights.
    Given(Arc<dyn Initializer>),
    /// Uniform in `±1 / √fan_in` of the weights of the layer: PyTorch's default.
    UniformByFanIn,
}

impl BiasInit {
    /// Returns the initialiser of a bias whose weights have these axes.
    pub(crate) fn beside(&self, weights: &[ParameterAxis]) -> Arc<dyn Initializer> {
        match self {
            BiasInit::Given(init) => init.clone(),
            BiasInit::UniformByFanIn => Arc::new(Init::Uniform(limit_of(fans(weights).0))),
        }
    }
}

fn limit_of(fan_in: f32) -> f32 {
    1.0 / fan_in.sqrt()
}

fn draw(distribution: Distribution, variance: f32, key: Key, values: &mut [f32]) {
    match distribution {
        Distribution::Uniform => uniform((3.0 * variance).sqrt(), key, values),
        Distribution::Normal => normal(variance.sqrt(), key, values),
    }
}

fn uniform(limit: f32, key: Key, values: &mut [f32]) {
    let mut stream = key.stream();
    values.iter_mut().for_each(|value| *value = stream.between(-limit, limit));
}

fn normal(deviation: f32, key: Key, values: &mut [f32]) {
    let mut stream = key.stream();
    values.iter_mut().for_each(|value| *value = deviation * stream.normal());
}

/// Orthonormalises the columns (or the rows, if they are fewer) of a normal matrix `[rest, columns]`, one after the other
/// (Gram and Schmidt), in `f64` and twice, so that rounding does not tilt them.
fn orthogonal(gain: f32, columns: usize, key: Key, values: &mut [f32]) {
    let rows = values.len() / columns.max(1);
    let (count, len) = (rows.min(columns), rows.max(columns));
    let mut stream = key.stream();
    let mut vectors: Vec<Vec<f64>> = Vec::with_capacity(count);
    for _ in 0..count {
        let mut vector: Vec<f64> = (0..len).map(|_| f64::from(stream.normal())).collect();
        for _ in 0..2 {
            for other in &vectors {
                let along: f64 = vector.iter().zip(other).map(|(a, b)| a * b).sum();
                vector.iter_mut().zip(other).for_each(|(a, b)| *a -= along * b);
            }
        }
        let length = vector.iter().map(|a| a * a).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
        vector.iter_mut().for_each(|a| *a /= length);
        vectors.push(vector);
    }
    for (i, value) in values.iter_mut().enumerate() {
        let (row, column) = (i / columns, i % columns);
        let entry = if columns <= rows { vectors[column][row] } else { vectors[row][column] };
        *value = gain * entry as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values for a weight of this shape whose axes have no roles.
    fn filled(init: Init, shape: &[usize]) -> Vec<f32> {
        let axes: Vec<_> = shape.iter().map(|&size| ParameterAxis { role: AxisRole::Unnamed, size }).collect();
        let mut values = vec![0.0; shape.iter().product()];
        init.fill(&axes, Key::new(1).with("weight"), &mut values);
        values
    }

    fn variance(values: &[f32]) -> f64 {
        values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / values.len() as f64
    }

    #[test]
    fn fans_are_what_the_roles_say() {
        use AxisRole::{Connections, Features, FlattenedInputs, Inputs, KernelHeight, KernelWidth, Outputs};
        let fans_of = |axes: &[(AxisRole, usize)]| {
            let axes: Vec<_> = axes.iter().map(|&(role, size)| ParameterAxis { role, size }).collect();
            fans(&axes)
        };
        let filter = [(KernelHeight, 3), (KernelWidth, 5), (Inputs, 4), (Outputs, 8)];
        assert_eq!(fans_of(&filter), (60.0, 120.0));
        let image = FlattenedInputs { height: 2, width: 3, channels: 5 };
        assert_eq!(fans_of(&[(image, 30), (Outputs, 7)]), (30.0, 7.0));
        assert_eq!(fans_of(&[(Outputs, 7), (Inputs, 30)]), (30.0, 7.0), "in any order");
        assert_eq!(fans_of(&[(Features, 9)]), (1.0, 1.0));
        // Table I of LeNet-5: 60 connections from 6 maps to 16.
        let table = (Connections { inputs: 6, outputs: 16 }, 60);
        assert_eq!(fans_of(&[(KernelHeight, 5), (KernelWidth, 5), table]), (93.75, 250.0));
    }

    #[test]
    fn variances_are_those_of_the_papers() {
        // fan_in = 3·3·64 = 576, fan_out = 3·3·128 = 1152
        let shape = [3, 3, 64, 128];
        use Distribution::{Normal, Uniform};
        for form in [Uniform, Normal] {
            let cases =
                [(Init::Glorot(form), 2.0 / 1728.0), (Init::He(form), 2.0 / 576.0), (Init::LeCun(form), 1.0 / 576.0)];
            for (init, expected) in cases {
                let got = variance(&filled(init, &shape));
                assert!((got / expected - 1.0).abs() < 0.02, "{init:?}: {got} instead of {expected}");
            }
        }
        let limit = (6.0f32 / 1728.0).sqrt();
        assert!(filled(Init::Glorot(Uniform), &shape).iter().all(|v| v.abs() <= limit));
        assert_eq!(filled(Init::Constant(0.5), &[3]), [0.5; 3]);
        assert!((variance(&filled(Init::Normal(0.01), &[10_000])) / 1e-4 - 1.0).abs() < 0.05);
        assert!(filled(Init::Uniform(0.1), &[1000]).iter().all(|v| v.abs() <= 0.1));
    }

    #[test]
    fn orthogonal_matrices_are_orthogonal() {
        for (rows, columns) in [(12, 5), (5, 12), (7, 7)] {
            let matrix = filled(Init::Orthogonal(2.0), &[rows, columns]);
            let at = |i: usize, j: usize| f64::from(matrix[i * columns + j]);
            let count = rows.min(columns);
            for a in 0..count {
                for b in 0..count {
                    let product: f64 = if columns <= rows {
                        (0..rows).map(|i| at(i, a) * at(i, b)).sum()
                    } else {
                        (0..columns).map(|j| at(a, j) * at(b, j)).sum()
                    };
                    let expected = if a == b { 4.0 } else { 0.0 };
                    assert!((product - expected).abs() < 1e-5, "{rows}x{columns}: {product}");
                }
            }
        }
    }
}
