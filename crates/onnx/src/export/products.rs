//! How products of matrices are written.

use super::{
    call::{CallWriter, Value, permuted},
    file::Setting,
    operations::Done,
};
use ocelli_graph::ops::{BatchMatMul, MatMul, Orientation, SquaredDistance};

/// A dense layer takes features as they lie in the file: the rows of known weights are moved.
pub(super) fn linear(call: &mut CallWriter<'_>) -> Done {
    let mut x = call.stored(0)?;
    let factors = x.layout.axes[1].clone();
    let mut lying = factors.clone();
    lying.sort_unstable();
    let w = match call.value(1)? {
        Value::Known { name, tensor } if lying != factors => {
            let sizes: Vec<usize> = factors.iter().map(|&factor| x.layout.factors[factor].at(1)).collect();
            let outputs = tensor.shape()[1];
            let split = tensor.reshape([&sizes[..], &[outputs]].concat()).map_err(|error| error.to_string())?;
            let moved = lying.iter().filter_map(|factor| factors.iter().position(|own| own == factor));
            let order: Vec<usize> = std::iter::once(sizes.len()).chain(moved).collect();
            x.layout.axes[1] = lying;
            let (_, numbers) = permuted(&split, &order);
            call.numbers(&name, &[outputs, tensor.shape()[0]], numbers)
        }
        _ => call.arranged(1, &[1, 0])?,
    };
    let x = call.arranged_as(&x, &[0, 1]);
    let mut inputs = vec![x, w];
    if call.operands() > 2 {
        inputs.push(call.arranged(2, &[0])?);
    }
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let name = call.last_node("Gemm", &inputs, &[("transB", Setting::Int(1))]);
    call.result(&name, &[0, 1]);
    Ok(())
}

pub(super) fn matmul(op: &MatMul, call: &mut CallWriter<'_>) -> Done {
    let order = |orientation: Orientation| if orientation == Orientation::AsIs { [0, 1] } else { [1, 0] };
    let (a, b) = (call.arranged(0, &order(op.a))?, call.arranged(1, &order(op.b))?);
    let name = call.last_node("MatMul", &[&a, &b], &[]);
    call.result(&name, &[0, 1]);
    Ok(())
}

/// Products of matrices; axes in front of them are the same in both, or missing in one.
pub(super) fn batch_matmul(op: &BatchMatMul, call: &mut CallWriter<'_>) -> Done {
    let mut names = [String::new(), String::new()];
    for (operand, orientation) in [(0, op.a), (1, op.b)] {
        let rank = call.shape(operand).rank();
        let mut order: Vec<usize> = (0..rank).collect();
        if orientation == Orientation::Transposed {
            order.swap(rank - 2, rank - 1);
        }
        names[operand] = call.arranged(operand, &order)?;
    }
    let name = call.last_node("MatMul", &[&names[0], &names[1]], &[]);
    let order: Vec<usize> = (0..call.result_shape().rank()).collect();
    call.result(&name, &order);
    Ok(())
}

pub(super) fn gram(call: &mut CallWriter<'_>) -> Done {
    let elements: f64 = call.sizes(0)[1..].iter().map(|&size| size as f64).product();
    let (x, factor) = (call.image()?, call.number((1.0 / elements) as f32));
    let name = call.function("Gram", &[&x, &factor]);
    call.result(&name, &[0, 1, 2]);
    Ok(())
}

pub(super) fn squared_distance(_: &SquaredDistance, call: &mut CallWriter<'_>) -> Done {
    let (x, codes) = (call.arranged(0, &[0, 1])?, call.arranged(1, &[0, 1])?);
    let name = call.function("SquaredDistance", &[&x, &codes]);
    call.result(&name, &[0, 1]);
    Ok(())
}
