//! Local response normalisation.

use ocelli_graph::{Layer, Node};
use ocelli_kernels::local_response::LocalResponse;
use serde::{Deserialize, Serialize};

/// Divides each element by a power of the squares of neighbouring channels at the same pixel (Krizhevsky, Sutskever and
/// Hinton 2012, section 3.3).
///
/// There are two conventions, and weights that were trained with one do not carry over to the other with the same `α`:
/// [`of_sum`](LocalResponseNorm::of_sum), as the paper prints it, and [`of_mean`](LocalResponseNorm::of_mean), as PyTorch,
/// ONNX and Caffe compute it.
///
/// # Shapes
/// `[N, …, C]`; the result has the same shape.
///
/// ```
/// use ocelli_graph::Model;
/// use ocelli_layers::LocalResponseNorm;
/// let model = Model::build(|x| x.apply("norm", LocalResponseNorm::of_sum(5)), [13, 13, 96], 0)?;
/// assert_eq!(LocalResponseNorm::of_sum(5).alpha(2e-5).k(1.0), LocalResponseNorm::of_mean(5).alpha(1e-4).as_sum());
/// # Ok::<(), ocelli_graph::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LocalResponseNorm {
    size: usize,
    alpha: f32,
    beta: f32,
    k: f32,
    squares: Squares,
}

/// The reduction of the squares that `α` multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Squares {
    Sum,
    Mean,
}

impl LocalResponseNorm {
    /// Makes `y = x / (k + α Σ x²)^β` with the sum over `size` channels, as in the paper, and with its constants:
    /// `α = 10⁻⁴`, `β = ¾`, `k = 2`. (Its `size` is 5.)
    pub fn of_sum(size: usize) -> LocalResponseNorm {
        LocalResponseNorm { size, alpha: 1e-4, beta: 0.75, k: 2.0, squares: Squares::Sum }
    }

    /// Makes `y = x / (k + α/size Σ x²)^β`, as in PyTorch, and with its constants: `α = 10⁻⁴`, `β = ¾`, `k = 1`.
    pub fn of_mean(size: usize) -> LocalResponseNorm {
        LocalResponseNorm { size, alpha: 1e-4, beta: 0.75, k: 1.0, squares: Squares::Mean }
    }

    /// Sets `α`, the factor of the sum or mean of squares.
    pub fn alpha(mut self, alpha: f32) -> LocalResponseNorm {
        self.alpha = alpha;
        self
    }

    /// Sets the exponent `β`.
    pub fn beta(mut self, beta: f32) -> LocalResponseNorm {
        self.beta = beta;
        self
    }

    /// Sets `k`, which is added to the squares.
    pub fn k(mut self, k: f32) -> LocalResponseNorm {
        self.k = k;
        self
    }

    /// Returns the same function in the convention of the paper.
    pub fn as_sum(self) -> LocalResponseNorm {
        LocalResponseNorm { alpha: self.of_squares(), squares: Squares::Sum, ..self }
    }

    /// Factor of the sum of squares.
    fn of_squares(&self) -> f32 {
        match self.squares {
            Squares::Sum => self.alpha,
            Squares::Mean => (f64::from(self.alpha) / self.size.max(1) as f64) as f32,
        }
    }
}

impl Layer for LocalResponseNorm {
    fn forward(&self, x: &Node) -> Node {
        let Self { size, beta, k, .. } = *self;
        x.local_response_norm(LocalResponse { size, alpha: self.of_squares(), beta, k })
    }
}
