//! Addition, subtraction, multiplication, division, with broadcasting.

use super::expect_few_axes;
use crate::{Compiled, Dim, Fault, Grads, Node, Op, Request, Shape};
use ocelli_kernels::{
    broadcast::{Binary, Broadcast, binary},
    elementwise::Source,
};
use std::ops::{Add, Div, Mul, Neg, RangeInclusive, Sub};

/// Computes `a ∘ b` with broadcasting. Shapes are aligned at the last axis, and an axis of size 1 (or a missing one) is
/// repeated: `[C]` and `[H, W, C]` go with `[N, H, W, C]`, and so does `[N, 1, 1, C]`. Two operands with samples have
/// as many axes: `[N]` becomes `[N, 1]` by `reshape([1])`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arithmetic {
    /// `a + b`.
    Add,
    /// `a − b`.
    Sub,
    /// `a·b`.
    Mul,
    /// `a / b`.
    Div,
}

/// Returns the broadcast shape of two operands: the shape rule of every operation with broadcasting.
pub(super) fn joined(x: &[&Shape]) -> Result<Shape, Fault> {
    let rank = x[0].rank().max(x[1].rank());
    expect_few_axes(rank)?;
    let unequal = Fault::Unequal { left: 0, right: 1 };
    // Aligned at the last axis, the samples of an operand of fewer axes would be matched with another axis.
    if let Some(input) = (0..2).find(|&input| x[input].rank() < rank && has_samples(x[input])) {
        let (few, many) = (x[input], x[1 - input]);
        let whole = with_axes_behind_samples(few, rank);
        return Err(if broadcast(&whole, many).is_some() { too_few_axes(input, few, many, &whole) } else { unequal });
    }
    broadcast(x[0], x[1]).ok_or(unequal)
}

/// Compiles a kernel of two operands with broadcasting.
pub(super) fn compile_broadcast(
    request: &Request<'_>,
    kernel: impl Fn(&Broadcast, Source<'_>, Source<'_>, &mut [f32]) + Send + Sync + 'static,
) -> Result<Compiled, Fault> {
    // Shapes that can be broadcast for every batch size can be for this one.
    let geometry = Broadcast::new(&request.operands[0], &request.operands[1]);
    let geometry = geometry.ok_or(Fault::Unequal { left: 0, right: 1 })?;
    Ok(Compiled::new(move |k| {
        let (a, b) = (k.source(0), k.source(1));
        kernel(&geometry, a, b, k.output(0));
    }))
}

fn broadcast(a: &Shape, b: &Shape) -> Option<Shape> {
    let rank = a.rank().max(b.rank());
    let dim = |shape: &Shape, axis: usize| match (axis + shape.rank()).checked_sub(rank) {
        Some(axis) => shape.dims()[axis],
        None => Dim::Fixed(1),
    };
    let dims = (0..rank).map(|axis| match (dim(a, axis), dim(b, axis)) {
        (x, y) if x == y => Some(x),
        (Dim::Fixed(1), y) => Some(y),
        (x, Dim::Fixed(1)) => Some(x),
        _ => None,
    });
    dims.collect::<Option<Vec<_>>>().map(Shape::new)
}

fn has_samples(shape: &Shape) -> bool {
    matches!(shape.dims().first(), Some(Dim::Batch(_)))
}

/// Inserts axes of size 1 after the batch axis, up to `rank` axes in all.
fn with_axes_behind_samples(shape: &Shape, rank: usize) -> Shape {
    let mut dims = shape.dims().to_vec();
    dims.splice(1..1, vec![Dim::Fixed(1); rank - shape.rank()]);
    Shape::new(dims)
}

fn too_few_axes(input: usize, few: &Shape, many: &Shape, whole: &Shape) -> Fault {
    let (rank, sample) = (many.rank(), Shape::new(&whole.dims()[1..]));
    let expected = format!(
        "{rank} axes, as {many} has, because the number of samples stays the first (`reshape({sample})` makes {whole})"
    );
    Fault::Operand { input, expected, got: few.rank().to_string() }
}

impl Op for Arithmetic {
    fn operands(&self) -> RangeInclusive<usize> {
        2..=2
    }

    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        joined(x).map(|shape| vec![shape])
    }

    fn compile(&self, request: &Request<'_>) -> Result<Compiled, Fault> {
        let op = match self {
            Arithmetic::Add => Binary::Add,
            Arithmetic::Sub => Binary::Sub,
            Arithmetic::Mul => Binary::Mul,
            Arithmetic::Div => Binary::Div,
        };
        compile_broadcast(request, move |geometry, a, b, y| binary(op, geometry, a, b, y))
    }

    fn in_place(&self) -> Option<usize> {
        Some(0)
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        let (a, b, dy) = (g.x(0), g.x(1), g.dy());
        let (da, db): (Node, Option<Node>) = match self {
            Arithmetic::Add => (dy.clone(), Some(dy.clone())),
            Arithmetic::Sub => (dy.clone(), g.want(1, || -dy)),
            Arithmetic::Mul => {
                return vec![g.want(0, || (dy * b).sum_to(&a.shape())), g.want(1, || (dy * a).sum_to(&b.shape()))];
            }
            Arithmetic::Div => {
                return vec![
                    g.want(0, || (dy / b).sum_to(&a.shape())),
                    // d(a/b)/db = −(a/b)/b: the result is kept instead of the operand.
                    g.want(1, || (-(dy * g.y(0)) / b).sum_to(&b.shape())),
                ];
            }
        };
        let db = db.and_then(|db| g.want(1, || db.sum_to(&b.shape())));
        vec![g.want(0, || da.sum_to(&a.shape())), db]
    }

    fn kind(&self) -> String {
        format!("{self:?}")
    }
}

macro_rules! operators {
    ($($operator:ident $method:ident),*) => { $(
        impl $operator<&Node> for &Node {
            type Output = Node;
            #[track_caller]
            fn $method(self, other: &Node) -> Node {
                Node::call(Arithmetic::$operator, &[self, other])
            }
        }
        impl $operator<Node> for &Node {
            type Output = Node;
            #[track_caller]
            fn $method(self, other: Node) -> Node {
                Node::call(Arithmetic::$operator, &[self, &other])
            }
        }
        impl $operator<&Node> for Node {
            type Output = Node;
            #[track_caller]
            fn $method(self, other: &Node) -> Node {
                Node::call(Arithmetic::$operator, &[&self, other])
            }
        }
        impl $operator<Node> for Node {
            type Output = Node;
            #[track_caller]
            fn $method(self, other: Node) -> Node {
                Node::call(Arithmetic::$operator, &[&self, &other])
            }
        }
    )* };
}
operators!(Add add, Sub sub, Mul mul, Div div);

macro_rules! operators_with_numbers {
    ($($operator:ident $method:ident: $x:ident, $number:ident => $result:expr, $reverse:expr;)*) => { $(
        impl $operator<f32> for &Node {
            type Output = Node;
            #[track_caller]
            fn $method(self, $number: f32) -> Node {
                let $x = self;
                $result
            }
        }
        impl $operator<f32> for Node {
            type Output = Node;
            #[track_caller]
            fn $method(self, number: f32) -> Node {
                $operator::$method(&self, number)
            }
        }
        impl $operator<&Node> for f32 {
            type Output = Node;
            #[track_caller]
            fn $method(self, $x: &Node) -> Node {
                let $number = self;
                $reverse
            }
        }
        impl $operator<Node> for f32 {
            type Output = Node;
            #[track_caller]
            fn $method(self, node: Node) -> Node {
                $operator::$method(self, &node)
            }
        }
    )* };
}
operators_with_numbers! {
    Add add: x, number => x.shift(number), x.shift(number);
    Sub sub: x, number => x.shift(-number), x.scale(-1.0).shift(number);
    Mul mul: x, number => x.scale(number), x.scale(number);
    Div div: x, number => x.scale(1.0 / number), x.reciprocal().scale(number);
}

impl Neg for &Node {
    type Output = Node;
    #[track_caller]
    fn neg(self) -> Node {
        self.scale(-1.0)
    }
}

impl Neg for Node {
    type Output = Node;
    #[track_caller]
    fn neg(self) -> Node {
        self.scale(-1.0)
    }
}
