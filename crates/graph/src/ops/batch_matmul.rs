//! Batched matrix products.

use super::{MatMul, Orientation};
use crate::{Compiled, Dim, Fault, Grads, KernelContext, Node, Op, Reach, Request, Scratch, Shape};
use Orientation::{AsIs, Transposed};
use ocelli_kernels::gemm::gemm_scratch;
use ocelli_kernels::matrices::{Matrices, products, sum_of_products};
use ocelli_tensor::element_count;
use std::ops::RangeInclusive;

/// Computes `a·b` for each pair of matrices, with either operand transposed. Axes before the last two are equal in both
/// operands; a matrix without such axes is in every pair.
///
/// # Shapes
/// `[N, …, m, k]·[N, …, k, n]`, `[N, …, m, k]·[k, n]` or `[m, k]·[N, …, k, n]` → `[N, …, m, n]`.
///
/// Backward keeps both operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchMatMul {
    /// Orientation of the matrices of the first factor.
    pub a: Orientation,
    /// Orientation of those of the second.
    pub b: Orientation,
}

/// Sums the products of all pairs: the gradient of a matrix that was in every pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SummedMatMul {
    /// Orientation of the matrices of the first factor.
    pub a: Orientation,
    /// Orientation of those of the second.
    pub b: Orientation,
}

/// Rows and columns of a factor as it is stored, the last two of its axes.
fn stored(sizes: &[usize]) -> [usize; 2] {
    let rank = sizes.len();
    [sizes[rank - 2], sizes[rank - 1]]
}

/// Rows and columns of a factor as it is read.
fn read(orientation: Orientation, sizes: &[usize]) -> [usize; 2] {
    let [rows, columns] = stored(sizes);
    if orientation == AsIs { [rows, columns] } else { [columns, rows] }
}

fn matrices<'a>(orientation: Orientation, data: &'a [f32], sizes: &[usize]) -> Matrices<'a> {
    let [rows, columns] = stored(sizes);
    let matrices = Matrices::new(data, rows, columns);
    if orientation == AsIs { matrices } else { matrices.transposed() }
}

/// Number of rows of all matrices of these sizes; `None` if they are more than memory has addresses: running is refused
/// later.
fn all_rows(sizes: &[usize]) -> Option<usize> {
    element_count(sizes).and(element_count(&sizes[..sizes.len() - 1]))
}

/// Scratch memory of a product of `[m, k]` with `[k, n]`, for sizes `[m, k, n]`.
fn scratch(a: Orientation, b: Orientation, sizes: [usize; 3]) -> Scratch {
    gemm_scratch(sizes, a.order(), b.order())
}

/// Returns a fault unless operand `input` has two axes or more and the last two do not depend on the batch.
fn expect_matrices(x: &[&Shape], input: usize) -> Result<(), Fault> {
    let dims = x[input].dims();
    let rank = dims.len();
    if rank < 2 {
        return Err(Fault::Rank { input, expected: "a matrix, or one for each sample [N, …, rows, columns]" });
    }
    match dims[rank - 2..].iter().find(|dim| dim.fixed().is_none()) {
        Some(dim) => {
            let expected = "a matrix whose sizes do not depend on the batch".to_string();
            Err(Fault::Operand { input, expected, got: format!("{dim} rows") })
        }
        None => Ok(()),
    }
}

/// Returns rows, depth and columns of each product; a fault if the depths differ.
fn depths(a: Orientation, b: Orientation, x: &[&Shape]) -> Result<[usize; 3], Fault> {
    let ([rows, depth], [b_rows, columns]) = (read(a, &x[0].at(1)), read(b, &x[1].at(1)));
    if depth != b_rows {
        let named = |orientation, word, other| if orientation == AsIs { word } else { other };
        let (there, here) = (named(b, "rows", "columns"), named(a, "columns", "rows"));
        let expected = format!("{b_rows} {here} (the {there} of the other matrix)");
        return Err(Fault::Operand { input: 0, expected, got: depth.to_string() });
    }
    Ok([rows, depth, columns])
}

impl Op for BatchMatMul {
    fn operands(&self) -> RangeInclusive<usize> {
        2..=2
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        expect_matrices(x, 0)?;
        expect_matrices(x, 1)?;
        let [rows, _, columns] = depths(self.a, self.b, x)?;
        let before = |shape: &Shape| Shape::new(&shape.dims()[..shape.rank() - 2]);
        let (a, b) = (before(x[0]), before(x[1]));
        if a.rank() > 0 && b.rank() > 0 && a != b {
            let expected = format!("the axes {a} of the other factor before the matrix");
            return Err(Fault::Operand { input: 1, expected, got: b.to_string() });
        }
        let mut dims = if a.rank() > 0 { a.dims().to_vec() } else { b.dims().to_vec() };
        dims.extend([Dim::Fixed(rows), Dim::Fixed(columns)]);
        let sizes: Vec<usize> = dims.iter().map(|dim| dim.at(1)).collect();
        match element_count(&sizes) {
            Some(_) => Ok(vec![Shape::new(dims)]),
            None => Err(Fault::Setting(format!("products of {rows} by {columns} are more than memory has addresses"))),
        }
    }

    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault> {
        let (op, x, y) = (*self, request.operands, request.results);
        let ([rows, depth], [_, columns]) = (read(self.a, &x[0]), read(self.b, &x[1]));
        let scratch = scratch(self.a, self.b, [rows, depth, columns]).or(match all_rows(&y[0]) {
            Some(rows) if x[1].len() == 2 => scratch(self.a, self.b, [rows, depth, columns]),
            _ => Scratch::NONE,
        });
        let kernel = move |k: &mut KernelContext<'_>| {
            let accumulate = k.accumulate();
            let (a, b) = (k.input(0), k.input(1));
            let mut a_sizes = stored(k.shape(0));
            // Rows that are all multiplied by one matrix are one product.
            if op.a == AsIs && k.shape(1).len() == 2 && a_sizes[1] > 0 {
                a_sizes[0] = a.len() / a_sizes[1];
            }
            let b = matrices(op.b, b, k.shape(1));
            products(matrices(op.a, a, &a_sizes), b, k.output(0), accumulate);
        };
        Ok(Compiled::new(kernel).with_scratch(scratch))
    }

    fn accumulates(&self) -> bool {
        true
    }

    fn macs(&self, x: &[&Shape], y: &[&Shape]) -> u64 {
        let [_, depth] = read(self.a, &x[0].at(1));
        (y[0].len(1) as u64).saturating_mul(depth as u64)
    }

    fn reach(&self, _: &[&Shape]) -> Reach {
        Reach::Everything
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        let (a, b, dy) = (g.x(0), g.x(1), g.dy());
        // The rules of `MatMul`, for each pair.
        let da = g.want(0, || match self.a {
            AsIs => gradient(a, (AsIs, dy), (self.b.flipped(), b)),
            Transposed => gradient(a, (self.b, b), (Transposed, dy)),
        });
        let db = g.want(1, || match self.b {
            AsIs => gradient(b, (self.a.flipped(), a), (AsIs, dy)),
            Transposed => gradient(b, (Transposed, dy), (self.a, a)),
        });
        vec![da, db]
    }
}

/// Computes the gradient of the factor `of`: a product for each of its matrices, or their sum if it is in every pair.
fn gradient(of: &Node, (a, left): (Orientation, &Node), (b, right): (Orientation, &Node)) -> Node {
    match of.shape().rank() {
        2 => Node::call(SummedMatMul { a, b }, &[left, right]),
        _ => Node::call(BatchMatMul { a, b }, &[left, right]),
    }
}

impl Op for SummedMatMul {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        let [rows, _, columns] = depths(self.a, self.b, x)?;
        Ok(vec![Shape::from([rows, columns])])
    }

    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault> {
        let (op, x) = (*self, request.operands);
        let ([rows, depth], [_, columns]) = (read(self.a, &x[0]), read(self.b, &x[1]));
        let scratch = scratch(self.a, self.b, [rows, depth, columns]).or(match all_rows(&x[0]) {
            Some(depth) => scratch(self.a, self.b, [rows, depth, columns]),
            None => Scratch::NONE,
        });
        let kernel = move |k: &mut KernelContext<'_>| {
            let accumulate = k.accumulate();
            let (a, b) = (k.input(0), k.input(1));
            let (mut a_sizes, mut b_sizes) = (stored(k.shape(0)), stored(k.shape(1)));
            // Depths that are contiguous in both operands are one depth.
            let joined = op.a == Transposed && op.b == AsIs && a_sizes[1] > 0 && b_sizes[1] > 0;
            let count = if joined { 1 } else { k.shape(0)[..k.shape(0).len() - 2].iter().product() };
            if joined {
                (a_sizes[0], b_sizes[0]) = (a.len() / a_sizes[1], b.len() / b_sizes[1]);
            }
            let (a, b) = (matrices(op.a, a, &a_sizes), matrices(op.b, b, &b_sizes));
            sum_of_products(count, a, b, k.output(0), accumulate);
        };
        Ok(Compiled::new(kernel).with_scratch(scratch))
    }

    fn accumulates(&self) -> bool {
        true
    }
}

/// Makes one product for two matrices, and one for each sample if there are more axes.
#[track_caller]
fn product(a: Orientation, left: &Node, b: Orientation, right: &Node) -> Node {
    match [left.shape().rank(), right.shape().rank()] {
        [0..=2, 0..=2] => Node::call(MatMul { a, b }, &[left, right]),
        _ => Node::call(BatchMatMul { a, b }, &[left, right]),
    }
}

impl Node {
    /// Multiplies two matrices, `[m, k]·[k, n]` → `[m, n]`, or two for each sample, `[N, …, m, k]·[N, …, k, n]` →
    /// `[N, …, m, n]`. A matrix `[m, k]` or `[k, n]` beside those of samples is used for all of them.
    ///
    /// ```
    /// use ocelli_graph::Model;
    /// // Attention of each of 7 rows to all of them.
    /// let model = Model::build(|x| x.matmul_transposed(x).softmax().matmul(x), [7, 16], 0)?;
    /// let output = model.graph().find("output").unwrap();
    /// assert_eq!(model.graph().values[output].shape.to_string(), "[N, 7, 16]");
    /// # Ok::<(), ocelli_graph::Error>(())
    /// ```
    #[track_caller]
    pub fn matmul(&self, other: &Node) -> Node {
        product(AsIs, self, AsIs, other)
    }

    /// Multiplies by the transpose of the other matrix, `a·bᵀ`: `[m, k]·[n, k]` → `[m, n]`, or for each sample as in
    /// [`Node::matmul`].
    #[track_caller]
    pub fn matmul_transposed(&self, other: &Node) -> Node {
        product(AsIs, self, Transposed, other)
    }

    /// Multiplies the transpose of this matrix by the other, `aᵀ·b`: `[k, m]·[k, n]` → `[m, n]`, or for each sample as
    /// in [`Node::matmul`].
    #[track_caller]
    pub fn transposed_matmul(&self, other: &Node) -> Node {
        product(Transposed, self, AsIs, other)
    }
}
