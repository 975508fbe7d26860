//! Matrix products.

use super::{Product, expect_bias, expect_rank, weight_sizes, work};
use crate::{
    Axis, Compiled, Dim, Fault, Grads, KernelContext, Node, Op, Precision, PreparedOperand, Reach, Request, Shape,
};
use ocelli_kernels::Epilogue;
use ocelli_kernels::gemm::{
    Bf16Matrix, Matrix, MatrixMut, Order, PackedMatrix, bf16_len, gemm, gemm_bf16, gemm_bf16_scratch, gemm_packed,
    gemm_scratch, packed_len,
};
use std::ops::RangeInclusive;

/// Computes `a·b`, with either operand transposed.
///
/// # Shapes
/// `[m, k]·[k, n]` → `[m, n]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MatMul {
    /// Orientation of the first factor.
    pub a: Orientation,
    /// Orientation of the second.
    pub b: Orientation,
}

/// Orientation of a factor of a matrix product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Orientation {
    /// The factor as it is stored.
    AsIs,
    /// The transpose of the stored factor; nothing is moved.
    Transposed,
}
use Orientation::{AsIs, Transposed};

impl Orientation {
    pub(super) fn flipped(self) -> Orientation {
        if self == AsIs { Transposed } else { AsIs }
    }

    /// Rows and columns of the factor that is stored with this shape.
    fn sizes(self, shape: &Shape) -> (Dim, Dim) {
        let dims = shape.dims();
        if self == AsIs { (dims[0], dims[1]) } else { (dims[1], dims[0]) }
    }

    fn view<'a>(self, data: &'a [f32], sizes: &[usize]) -> Matrix<'a> {
        let matrix = Matrix::new(data, sizes[0], sizes[1]);
        if self == AsIs { matrix } else { matrix.transposed() }
    }

    pub(super) fn order(self) -> Order {
        if self == AsIs { Order::RowMajor } else { Order::ColumnMajor }
    }
}

impl Op for MatMul {
    fn operands(&self) -> RangeInclusive<usize> {
        2..=2
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        expect_rank(x, 0, 2, "[N, features] (flatten or pool first)")?;
        expect_rank(x, 1, 2, "a matrix of two axes")?;
        let ((m, inner), (inner_b, n)) = (self.a.sizes(x[0]), self.b.sizes(x[1]));
        if inner != inner_b {
            let expected = format!("{inner_b} columns (the rows of the other matrix) on axis C");
            return Err(Fault::Operand { input: 0, expected, got: inner.to_string() });
        }
        if let (Dim::Batch(_), Dim::Batch(_)) = (m, n) {
            return Err(Fault::Setting("a matrix of N by N grows with the square of the batch".into()));
        }
        Ok(vec![Shape::new([m, n])])
    }

    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault> {
        let MatMul { a, b } = *self;
        let (x, y) = (&request.operands[0], &request.results[0]);
        let depth = if a == AsIs { x[1] } else { x[0] };
        let scratch = gemm_scratch([y[0], depth, y[1]], a.order(), b.order());
        let kernel = move |k: &mut KernelContext<'_>| {
            let (a, b) = (a.view(k.input(0), k.shape(0)), b.view(k.input(1), k.shape(1)));
            let (sizes, accumulate) = (k.output_shape(0), k.accumulate());
            gemm(a, b, MatrixMut::new(k.output(0), sizes[0], sizes[1]), &Epilogue::of(accumulate));
        };
        Ok(Compiled::new(kernel).with_scratch(scratch))
    }

    fn accumulates(&self) -> bool {
        true
    }

    fn macs(&self, x: &[&Shape], y: &[&Shape]) -> u64 {
        work(&[y[0].len(1), self.a.sizes(x[0]).1.at(1)])
    }

    fn reach(&self, _: &[&Shape]) -> Reach {
        Reach::Everything
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        let (a, b, dy) = (g.x(0), g.x(1), g.dy());
        let product = |left: Orientation, x: &Node, right: Orientation, z: &Node| {
            Node::call(MatMul { a: left, b: right }, &[x, z])
        };
        // Y = A·B: dA = dY·Bᵀ and dB = Aᵀ·dY; for a transposed operand, the transpose of that.
        let da = g.want(0, || match self.a {
            AsIs => product(AsIs, dy, self.b.flipped(), b),
            Transposed => product(self.b, b, Transposed, dy),
        });
        let db = g.want(1, || match self.b {
            AsIs => product(self.a.flipped(), a, AsIs, dy),
            Transposed => product(Transposed, dy, self.a, a),
        });
        vec![da, db]
    }
}

/// Computes a dense layer, `y = x·w + b`, or without `b`.
///
/// # Shapes
/// `[N, in]`, `[in, out]`, `[out]` → `[N, out]`.
///
/// Backward keeps `x`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinearOp;

impl Op for LinearOp {
    fn operands(&self) -> RangeInclusive<usize> {
        2..=3
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        expect_rank(x, 0, 2, "[N, features] (flatten or pool first)")?;
        let w = weight_sizes(x, 1, 2, "a matrix [in, out]")?;
        let (expected, got) = (w[0], x[0].dims()[1]);
        if got != Dim::Fixed(expected) {
            return Err(Fault::Size { input: 0, axis: Axis::C, expected, what: "features", got });
        }
        expect_bias(x, 2, w[1])?;
        Ok(vec![x[0].with_channels(w[1])])
    }

    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault> {
        self.compile_product(request, |k| Epilogue::bias((k.len() > 2).then(|| k.input(2))))
    }

    fn macs(&self, x: &[&Shape], _: &[&Shape]) -> u64 {
        x[1].len(1) as u64
    }

    fn reach(&self, _: &[&Shape]) -> Reach {
        Reach::Everything
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        let dy = g.dy();
        let mut gradients = vec![
            g.want(0, || Node::call(MatMul { a: AsIs, b: Transposed }, &[dy, g.x(1)])),
            g.want(1, || Node::call(MatMul { a: Transposed, b: AsIs }, &[g.x(0), dy])),
        ];
        if g.operands() > 2 {
            gradients.push(g.want(2, || dy.sum_over(&[Axis::N])));
        }
        gradients
    }
}

impl Product for LinearOp {
    fn compile_product(
        &self,
        request: &Request<'_>,
        epilogue: impl for<'k> Fn(&KernelContext<'k>) -> Epilogue<'k> + Send + Sync + 'static,
    ) -> Result<Compiled, Fault> {
        let [rows, columns] = [request.operands[1][0], request.operands[1][1]];
        let samples = request.results[0][0];
        let weights = match request.precision {
            // Packing for one product does not pay.
            _ if !request.is_constant(1) => Weights::AsTheyAre,
            Precision::Bf16 => Weights::Bf16,
            Precision::Fast | Precision::Strict => Weights::Packed,
        };
        let scratch = match weights {
            Weights::Bf16 => gemm_bf16_scratch(samples, rows, columns, Order::RowMajor),
            Weights::AsTheyAre | Weights::Packed => {
                gemm_scratch([samples, rows, columns], Order::RowMajor, Order::RowMajor)
            }
        };
        let kernel = move |k: &mut KernelContext<'_>| {
            let (x, epilogue) = (AsIs.view(k.input(0), k.shape(0)), epilogue(k));
            let (w, sizes) = (k.prepared().unwrap_or_else(|| k.input(1)), k.output_shape(0));
            let y = MatrixMut::new(k.output(0), sizes[0], sizes[1]);
            match weights {
                Weights::AsTheyAre => gemm(x, Matrix::new(w, rows, columns), y, &epilogue),
                Weights::Packed => gemm_packed(x, &PackedMatrix::from_packed(w, rows, columns), y, &epilogue),
                Weights::Bf16 => gemm_bf16(x, &Bf16Matrix::from_packed(w, rows, columns), y, &epilogue),
            }
        };
        Ok(Compiled::new(kernel).with_scratch(scratch).with_prepared(weights.prepared(rows, columns)))
    }
}

/// The form in which a dense layer reads its weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weights {
    AsTheyAre,
    Packed,
    Bf16,
}

impl Weights {
    /// The form of weights `[rows, columns]`, if it is one of its own.
    fn prepared(self, rows: usize, columns: usize) -> Option<PreparedOperand> {
        match self {
            Weights::AsTheyAre => None,
            Weights::Packed => {
                let pack = move |w: &[f32], panels: &mut [f32]| {
                    let _ = PackedMatrix::pack(Matrix::new(w, rows, columns), panels);
                };
                Some(PreparedOperand::new(1, packed_len(rows, columns), "panels", pack))
            }
            Weights::Bf16 => {
                let pack = move |w: &[f32], words: &mut [f32]| {
                    let _ = Bf16Matrix::pack(Matrix::new(w, rows, columns), words);
                };
                Some(PreparedOperand::new(1, bf16_len(rows, columns), "panels in bf16", pack))
            }
        }
    }
}
