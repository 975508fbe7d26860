//! Elementwise operators.

use super::{
    call::{Call, Results, one},
    folding::arithmetic,
    value::{Known, Symbol, Value, shaped},
};
use crate::{
    constant::{Array, Data},
    layout::Layout,
};
use ocelli_graph::{Dim, Node, Shape};
use ocelli_kernels::broadcast::compare;
use ocelli_tensor::element_count;
use std::rc::Rc;

/// Applies a function of one operand.
fn unary(call: &mut Call<'_, '_>, f: impl Fn(&Node) -> Node) -> Results {
    let x = call.symbol(0)?;
    one(x.with_node(call.layer(&x.node, f)))
}

macro_rules! unary_operators {
    ($($name:ident: $method:ident;)*) => { $(
        pub(crate) fn $name(call: &mut Call<'_, '_>) -> Results {
            unary(call, Node::$method)
        }
    )* };
}
unary_operators! {
    gelu_tanh: gelu_tanh; hard_swish: hard_swish; mish: mish; scaled_tanh: scaled_tanh; silu: silu;
    abs: abs; erf: erf; exp: exp; log: ln; reciprocal: reciprocal; relu: relu; sigmoid: sigmoid; sqrt: sqrt; tanh: tanh;
}

pub(crate) fn neg(call: &mut Call<'_, '_>) -> Results {
    unary(call, |x| x.scale(-1.0))
}

pub(crate) fn elu(call: &mut Call<'_, '_>) -> Results {
    let alpha = call.float("alpha", 1.0)?;
    unary(call, |x| x.elu(alpha))
}

pub(crate) fn leaky_relu(call: &mut Call<'_, '_>) -> Results {
    let slope = call.float("alpha", 0.01)?;
    unary(call, |x| x.leaky_relu(slope))
}

/// Klambauer et al. 2017.
pub(crate) fn selu(call: &mut Call<'_, '_>) -> Results {
    let (alpha, gamma) = (call.float("alpha", 1.673_263_2)?, call.float("gamma", 1.050_701)?);
    unary(call, |x| x.elu(alpha).scale(gamma))
}

pub(crate) fn gelu(call: &mut Call<'_, '_>) -> Results {
    match call.text("approximate", "none")?.as_str() {
        "none" => unary(call, Node::gelu),
        "tanh" => unary(call, Node::gelu_tanh),
        other => Err(format!("the approximation \"{other}\" is not known")),
    }
}

pub(crate) fn hard_sigmoid(call: &mut Call<'_, '_>) -> Results {
    let (alpha, beta) = (call.float("alpha", 0.2)?, call.float("beta", 0.5)?);
    unary(call, |x| x.scale(alpha).shift(beta).clamp(0.0, 1.0))
}

/// `ln(1 + eˣ)`, written so that nothing overflows.
pub(crate) fn softplus(call: &mut Call<'_, '_>) -> Results {
    unary(call, |x| x.relu() + x.abs().scale(-1.0).exp().shift(1.0).ln())
}

pub(crate) fn dropout(call: &mut Call<'_, '_>) -> Results {
    let ratio = match call.opset() {
        ..12 => call.float("ratio", 0.5)?,
        _ if call.has(1) => call.scalar(1).ok_or("its ratio must be one number that is known when the file is read")?,
        _ => 0.5,
    };
    let x = call.symbol(0)?;
    let y = x.with_node(call.layer(&x.node, |x| if ratio == 0.0 { x.clone() } else { x.dropout(ratio) }));
    let mut results = vec![Value::Symbol(y)];
    if call.wants(1) {
        // In inference everything is kept.
        let fixed: Option<Vec<usize>> = x.layout.dims().into_iter().map(Dim::fixed).collect();
        let shape = fixed.ok_or("its mask depends on the number of samples")?;
        let count = element_count(&shape).ok_or("its mask is larger than memory")?;
        call.reader.charge(count)?;
        let mask = Array { shape, data: Data::Bool(vec![true; count]) };
        results.push(Value::Known(Known { array: Rc::new(mask), name: call.node.outputs[1].into(), learnt: false }));
    }
    Ok(results)
}

pub(crate) fn clip(call: &mut Call<'_, '_>) -> Results {
    let bound = |call: &Call<'_, '_>, input: usize, name: &str, usual: f32| match call.opset() {
        ..11 => Ok(Some(call.float(name, usual)?)),
        _ if !call.has(input) => Ok(Some(usual)),
        _ => Ok::<_, String>(call.scalar(input)),
    };
    let low = bound(call, 1, "min", f32::NEG_INFINITY)?;
    let high = bound(call, 2, "max", f32::INFINITY)?;
    if let (Some(low), Some(high)) = (low, high)
        && low <= high
    {
        return unary(call, |x| x.clamp(low, high));
    }
    // bounds that are computed, or in the wrong order: the upper one counts
    let mut x = call.symbol(0)?;
    for (input, known, which) in [(1, low, compare::Extremum::Maximum), (2, high, compare::Extremum::Minimum)] {
        x = match known {
            Some(bound) => {
                let bound = |x: &Node| if input == 1 { x.maximum(bound) } else { x.minimum(bound) };
                x.with_node(call.layer(&x.node, bound))
            }
            None => {
                let (bound, apply) = (call.symbol(input)?, |a: &Node, b: &Node| extremum(which, a, b));
                joined(call, &x, &bound, &apply)?
            }
        };
    }
    one(x)
}

fn extremum(which: compare::Extremum, a: &Node, b: &Node) -> Node {
    match which {
        compare::Extremum::Maximum => a.maximum(b),
        compare::Extremum::Minimum => a.minimum(b),
    }
}

/// He et al. 2015.
pub(crate) fn prelu(call: &mut Call<'_, '_>) -> Results {
    let x = call.symbol(0)?;
    let negative = x.with_node(x.node.minimum(0.0));
    let scaled = with_operand(call, &negative, 1, &|a: &Node, b: &Node| a * b)?;
    joined(call, &x.with_node(x.node.relu()), &scaled, &|a: &Node, b: &Node| a + b).and_then(one)
}

/// Applies an operator to a value and an operand, which becomes a parameter if it is a constant.
fn with_operand(
    call: &mut Call<'_, '_>,
    x: &Symbol,
    operand: usize,
    apply: &dyn Fn(&Node, &Node) -> Node,
) -> Result<Symbol, String> {
    match call.value(operand)?.clone() {
        Value::Symbol(other) => joined(call, x, &other, apply),
        Value::Known(known) => {
            let other = beside(call, x, &known)?;
            joined(call, x, &other, apply)
        }
    }
}

/// Makes a constant a parameter that lies like `x` does.
fn beside(call: &mut Call<'_, '_>, x: &Symbol, known: &Known) -> Result<Symbol, String> {
    if let Some(made) = call.reader.made(known) {
        return Ok(made.clone());
    }
    let shape = &known.array.shape;
    let missing = x.rank().saturating_sub(shape.len());
    // its axes as they lie in x, without the first ones of a single entry
    let order: Vec<usize> = x.layout.order().into_iter().filter_map(|axis| axis.checked_sub(missing)).collect();
    if order.len() != shape.len() {
        let order: Vec<usize> = (0..shape.len()).collect();
        return call.reader.parameter(known, &order, ocelli_graph::AxisRole::Unnamed);
    }
    let first = order.iter().position(|&axis| shape[axis] != 1).unwrap_or(order.len());
    let sizes: Vec<usize> = order[first..].iter().map(|&axis| shape[axis]).collect();
    let mut axes = vec![Vec::new(); shape.len()];
    order[first..].iter().enumerate().for_each(|(place, &axis)| axes[axis] = vec![place]);
    let layout = Layout { factors: sizes.iter().map(|&size| Dim::Fixed(size)).collect(), axes };
    let values = call.reader.tensor(known, &known.array.permuted(&order).data)?;
    call.reader.made_of(known, values, &sizes, &[], layout)
}

/// Applies an operator with broadcasting to two values, in the order in which the larger one lies.
fn joined(call: &Call<'_, '_>, a: &Symbol, b: &Symbol, apply: &dyn Fn(&Node, &Node) -> Node) -> Result<Symbol, String> {
    let rank = a.rank().max(b.rank());
    if a.layout == b.layout && a.node.shape() == b.node.shape() {
        return Ok(a.with_node(call.layer(&a.node, |a| apply(a, &b.node))));
    }
    let (a, b) = (a.lifted(rank), b.lifted(rank));
    let size = |symbol: &Symbol| Shape::new(symbol.layout.dims()).len(2);
    let order = if size(&a) >= size(&b) { a.layout.order() } else { b.layout.order() };
    let (left, right) = (a.arranged(&order), b.arranged(&order));
    // a parameter keeps no leading axes of one entry: operations recognise it by that
    let right = without_leading_ones(&b, right);
    let left = without_leading_ones(&a, left);
    let node = call.layer(&left, |left| apply(left, &right));
    let missing = rank.saturating_sub(node.shape().rank());
    let dims: Vec<Dim> = vec![Dim::Fixed(1); missing].into_iter().chain(node.shape().dims().to_vec()).collect();
    Ok(Symbol::ordered(shaped(&node, &dims), &order))
}

/// Returns the node as it was if it lies there already without axes of one entry in front.
fn without_leading_ones(symbol: &Symbol, arranged: Node) -> Node {
    let (own, dims) = (symbol.node.shape(), arranged.shape());
    let ones = dims.dims().iter().take_while(|dim| **dim == Dim::Fixed(1)).count();
    let trimmed = dims.dims().len() >= own.rank() && dims.dims()[dims.rank() - own.rank()..] == *own.dims();
    let is_parameter = trimmed && dims.rank() - own.rank() <= ones && symbol.layout.factors == own.dims();
    if is_parameter { symbol.node.clone() } else { arranged }
}

/// An operator of two operands: constants are folded, a single number has an operation of its own, and others are
/// broadcast.
fn binary(
    call: &mut Call<'_, '_>,
    operator: &str,
    with_number: impl Fn(&Node, f32) -> Node,
    reversed: impl Fn(f32, &Node) -> Node,
    apply: impl Fn(&Node, &Node) -> Node,
) -> Results {
    if let (Some(a), Some(b)) = (call.known(0).cloned(), call.known(1).cloned()) {
        let learnt = (a.learnt || b.learnt) && a.array.floats().is_some();
        if !learnt {
            let folded = arithmetic(operator, &a.array, &b.array);
            return call.folded(folded.ok_or("these constants cannot be computed with")?);
        }
    }
    let fits = |call: &Call<'_, '_>, number: usize, x: usize| {
        let rank = match &call.inputs[x] {
            Some(Value::Symbol(symbol)) => symbol.rank(),
            _ => return false,
        };
        call.known(number).is_some_and(|known| known.array.shape.len() <= rank)
    };
    if let Some(number) = call.scalar(1).filter(|_| fits(call, 1, 0)) {
        return unary(call, |x| with_number(x, number));
    }
    if let Some(number) = call.scalar(0).filter(|_| fits(call, 0, 1)) {
        let x = call.symbol(1)?;
        return one(x.with_node(call.layer(&x.node, |x| reversed(number, x))));
    }
    match call.value(0)?.clone() {
        Value::Symbol(x) => with_operand(call, &x, 1, &apply).and_then(one),
        Value::Known(known) => {
            let x = call.symbol(1)?;
            let a = beside(call, &x, &known)?;
            joined(call, &a, &x, &apply).and_then(one)
        }
    }
}

pub(crate) fn add(call: &mut Call<'_, '_>) -> Results {
    binary(call, "Add", |x, c| x + c, |c, x| c + x, |a, b| a + b)
}

pub(crate) fn sub(call: &mut Call<'_, '_>) -> Results {
    binary(call, "Sub", |x, c| x - c, |c, x| c - x, |a, b| a - b)
}

pub(crate) fn mul(call: &mut Call<'_, '_>) -> Results {
    binary(call, "Mul", |x, c| x * c, |c, x| c * x, |a, b| a * b)
}

pub(crate) fn div(call: &mut Call<'_, '_>) -> Results {
    binary(call, "Div", |x, c| x / c, |c, x| c / x, |a, b| a / b)
}

pub(crate) fn pow(call: &mut Call<'_, '_>) -> Results {
    // whole exponents are often integers
    if let Some(known) = call.known(1).cloned()
        && let Data::Int(list) = &known.array.data
        && call.known(0).is_none_or(|base| base.array.floats().is_some())
    {
        let fixed: Option<Vec<f32>> = list.iter().map(|int| int.fixed().map(|int| int as f32)).collect();
        let data = Data::Float(fixed.ok_or("its exponents depend on the number of samples")?);
        let array = Rc::new(Array { shape: known.array.shape.clone(), data });
        call.inputs[1] = Some(Value::Known(Known { array, ..known }));
    }
    let with_number = |x: &Node, exponent: f32| match exponent {
        1.0 => x.clone(),
        2.0 => x.square(),
        0.5 => x.sqrt(),
        -1.0 => x.reciprocal(),
        _ => x.power(exponent),
    };
    let reversed = |base: f32, x: &Node| x.trace().filled(base, Shape::default()).power(x);
    binary(call, "Pow", with_number, reversed, |a, b| a.power(b))
}

macro_rules! comparisons {
    ($($name:ident: $reversed:ident;)*) => { $(
        pub(crate) fn $name(call: &mut Call<'_, '_>) -> Results {
            binary(call, stringify!($name), |x, c| x.$name(c), |c, x| x.$reversed(c), |a, b| a.$name(b))
        }
    )* };
}
comparisons! {
    equal: equal; greater: less; greater_or_equal: less_or_equal; less: greater; less_or_equal: greater_or_equal;
    not_equal: not_equal;
}

/// Combines any number of operands, two at a time.
fn variadic(call: &mut Call<'_, '_>, of_two: fn(&mut Call<'_, '_>) -> Results) -> Results {
    let operands = call.inputs.clone();
    let mut result = call.value(0)?.clone();
    for operand in operands.into_iter().skip(1) {
        call.inputs = vec![Some(result), operand];
        result = of_two(call)?.swap_remove(0);
    }
    Ok(vec![result])
}

pub(crate) fn sum(call: &mut Call<'_, '_>) -> Results {
    variadic(call, add)
}

pub(crate) fn max(call: &mut Call<'_, '_>) -> Results {
    variadic(call, |call| binary(call, "Max", |x, c| x.maximum(c), |c, x| x.maximum(c), |a, b| a.maximum(b)))
}

pub(crate) fn min(call: &mut Call<'_, '_>) -> Results {
    variadic(call, |call| binary(call, "Min", |x, c| x.minimum(c), |c, x| x.minimum(c), |a, b| a.minimum(b)))
}
