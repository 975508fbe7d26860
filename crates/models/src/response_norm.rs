//! Local response normalisation over five channels.

use ocelli_graph::{Layer, Node};
use ocelli_kernels::pool::{CountPadding, PoolSettings};

/// `y = x / (k + alpha·Σ x²)^¾` with the sum over the five channels around each (Krizhevsky et al. 2012, section 3.3),
/// composed of operations: a pooling along the channels sums them.
///
/// # Shapes
/// `[N, H, W, C]`, to the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ResponseNorm {
    k: f32,
    alpha: f32,
}

/// Channels in the sum.
const SIZE: usize = 5;

impl ResponseNorm {
    /// The constants of AlexNet's paper, where `alpha` is for a sum.
    pub(crate) const PAPER: ResponseNorm = ResponseNorm { k: 2.0, alpha: 1e-4 };

    /// Those of Caffe's reference networks, where it is for a mean.
    pub(crate) const CAFFE: ResponseNorm = ResponseNorm { k: 1.0, alpha: 1e-4 / SIZE as f32 };
}

impl Layer for ResponseNorm {
    fn forward(&self, x: &Node) -> Node {
        if x.shape().rank() != 4 {
            return x.trace().fail("ResponseNorm", format!("expected [N, H, W, C], got {}", x.shape()));
        }
        let [height, width, channels] = [x.height(), x.width(), x.channels()];
        let settings =
            PoolSettings { kernel_w: SIZE, pad_left: SIZE / 2, pad_right: SIZE / 2, ..PoolSettings::square(1) };
        let squares = x.square().reshape([height * width, channels, 1]);
        let means = squares.avg_pool(settings, CountPadding::Include).reshape([height, width, channels]);
        let base = means.scale(self.alpha * SIZE as f32).shift(self.k);
        let root = base.sqrt();
        x * (&root * root.sqrt()).reciprocal()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ocelli_graph::{Key, Model, Tensor};

    #[test]
    fn it_is_what_the_paper_says() {
        let norm = ResponseNorm { k: 2.0, alpha: 0.5 };
        let x = Tensor::uniform([2, 3, 2, 7], Key::new(1));
        let y = Model::of(norm, [3, 2, 7], 0).unwrap().predict(&x).unwrap();
        for (pixel, normalised) in x.data().chunks(7).zip(y.data().chunks(7)) {
            for c in 0..7usize {
                let around = &pixel[c.saturating_sub(2)..(c + 3).min(7)];
                let sum: f64 = around.iter().map(|v| f64::from(*v).powi(2)).sum();
                let expected = f64::from(pixel[c]) / (0.5 * sum + 2.0).powf(0.75);
                assert!((f64::from(normalised[c]) - expected).abs() < 1e-6, "{} instead of {expected}", normalised[c]);
            }
        }
    }
}
