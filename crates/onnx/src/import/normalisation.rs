//! Normalisations.

use super::{
    call::{Call, Results, one},
    movement::axis_of,
    value::{Known, Symbol, Value},
};
use crate::layout::usual_order;
use ocelli_graph::{
    Axis,
    AxisRole::Features,
    Node,
    ops::{BatchNormOp, BatchNormParameters, GroupNormOp},
};
use ocelli_kernels::local_response::LocalResponse;

/// The order in which a value lies with its channels, axis 1, as the last.
fn channels_last(x: &Symbol) -> Result<Vec<usize>, String> {
    match x.rank() {
        0 | 1 => Err("its operand has no channels".into()),
        rank => Ok(if rank == 4 { usual_order(4) } else { [0].into_iter().chain(2..rank).chain([1]).collect() }),
    }
}

pub(crate) fn batch_norm(call: &mut Call<'_, '_>) -> Results {
    if call.flag("training_mode")? || (1..5).any(|output| call.wants(output)) {
        return Err("it computes statistics of the batch, which a network that is read does in training only".into());
    }
    let (epsilon, momentum) = (call.float("epsilon", 1e-5)?, call.float("momentum", 0.9)?);
    let x = call.symbol(0)?;
    let order = channels_last(&x)?;
    // Running statistics are no parameters that gradients change.
    for input in [3, 4] {
        if let Some(Value::Known(known)) = &mut call.inputs[input..].first_mut().and_then(Option::as_mut) {
            known.learnt = false;
        }
    }
    let [weight, bias, mean, variance] = [call.channels(1)?, call.channels(2)?, call.channels(3)?, call.channels(4)?];
    let op = BatchNormOp::new(epsilon, 1.0 - momentum);
    let is_known = [3, 4].iter().all(|&input| call.known(input).is_some());
    let y = call.layer(&x.arranged(&order), |x| match is_known {
        true => {
            let (running_mean, running_variance) = (&mean, &variance);
            x.batch_norm(op, BatchNormParameters { weight: &weight, bias: &bias, running_mean, running_variance })
        }
        // statistics that are computed are no states
        false => (x - &mean) / variance.shift(epsilon).sqrt() * &weight + &bias,
    });
    one(Symbol::ordered(y, &order))
}

pub(crate) fn instance_norm(call: &mut Call<'_, '_>) -> Results {
    let epsilon = call.float("epsilon", 1e-5)?;
    let x = call.symbol(0)?;
    let order = channels_last(&x)?;
    let (weight, bias) = (call.channels(1)?, call.channels(2)?);
    let groups = weight.channels();
    let y = call.layer(&x.arranged(&order), |x| x.group_norm(GroupNormOp { groups, epsilon }, &weight, &bias));
    one(Symbol::ordered(y, &order))
}

pub(crate) fn group_norm(call: &mut Call<'_, '_>) -> Results {
    let epsilon = call.float("epsilon", 1e-5)?;
    let groups = usize::try_from(call.int("num_groups")?.ok_or("it has no number of groups")?);
    let groups = groups.map_err(|_| "a negative number of groups")?;
    let x = call.symbol(0)?;
    let order = channels_last(&x)?;
    let (weight, bias) = (call.channels(1)?, call.channels(2)?);
    let node = x.arranged(&order);
    let channels = node.channels();
    // before version 21 the scale was one number for each group
    let of_group: Option<Vec<usize>> = (call.opset() < 21 && groups > 0 && channels % groups == 0)
        .then(|| (0..channels).map(|channel| channel * groups / channels).collect());
    let spread = |x: &Node| match &of_group {
        Some(indices) if x.channels() != channels => x.gather(Axis::Index(0), indices),
        _ => x.clone(),
    };
    let (weight, bias) = (spread(&weight), spread(&bias));
    let y = call.layer(&node, |x| x.group_norm(GroupNormOp { groups, epsilon }, &weight, &bias));
    one(Symbol::ordered(y, &order))
}

/// Ba et al. 2016. Over the last axis alone it is an operation; otherwise it is composed.
pub(crate) fn layer_norm(call: &mut Call<'_, '_>) -> Results {
    let epsilon = call.float("epsilon", 1e-5)?;
    let x = call.symbol(0)?;
    let rank = x.rank();
    let first = axis_of(call.int("axis")?.unwrap_or(-1), rank)?;
    let is_vector = |known: Option<&Known>| known.is_none_or(|known| known.array.shape.len() == 1);
    let fits = first + 1 == rank && call.has(2) && !call.wants(1) && !call.wants(2);
    if fits && is_vector(call.known(1)) && is_vector(call.known(2)) {
        let order: Vec<usize> = (0..rank).collect();
        let (weight, bias) = (call.channels(1)?, call.channels(2)?);
        let y = call.layer(&x.arranged(&order), |x| x.layer_norm(epsilon, &weight, &bias));
        return one(Symbol::ordered(y, &order));
    }
    let order: Vec<usize> = (0..rank).collect();
    let node = x.arranged(&order);
    let axes: Vec<Axis> = (first..rank).map(Axis::Index).collect();
    let mean = node.mean_keeping(&axes);
    let centred = &node - &mean;
    let inverse = centred.square().mean_keeping(&axes).shift(epsilon).sqrt().reciprocal();
    let mut y = &centred * &inverse;
    for (input, is_scale) in [(1, true), (2, false)] {
        if call.has(input) {
            let own: Vec<usize> = (0..call.symbol(input)?.rank()).collect();
            let operand = call.arranged(input, &own, &vec![Features; own.len()])?;
            y = if is_scale { &y * &operand } else { &y + &operand };
        }
    }
    let of = |node: Node| Value::Symbol(Symbol::ordered(node, &order));
    Ok(vec![of(y), of(mean), of(inverse)])
}

pub(crate) fn local_response_norm(call: &mut Call<'_, '_>) -> Results {
    let size = call.int("size")?.and_then(|size| usize::try_from(size).ok()).filter(|size| size % 2 == 1);
    let size = size.ok_or("only an odd number of channels is summed around each")?;
    let (alpha, beta, k) = (call.float("alpha", 1e-4)?, call.float("beta", 0.75)?, call.float("bias", 1.0)?);
    let norm = LocalResponse { size, alpha: factor_of_each(alpha, size), beta, k };
    let x = call.symbol(0)?;
    let order = channels_last(&x)?;
    one(Symbol::ordered(call.layer(&x.arranged(&order), |x| x.local_response_norm(norm)), &order))
}

/// Returns the factor of each square, of which the file has the product with `size`. Some neighbouring numbers have the same
/// product: of them the one that is written with the fewest digits, which is what somebody wrote.
fn factor_of_each(alpha: f32, size: usize) -> f32 {
    let (size, quotient) = (size as f32, alpha / size as f32);
    let near = [quotient, quotient.next_down(), quotient.next_up()];
    let same_product = near.into_iter().filter(|factor| factor * size == alpha);
    same_product.min_by_key(|factor| format!("{factor:e}").len()).unwrap_or(quotient)
}

/// The function of this library for rows of length one.
pub(crate) fn l2_normalised(call: &mut Call<'_, '_>) -> Results {
    let epsilon = call.scalar(1).ok_or("its epsilon must be one number that is known when the file is read")?;
    let x = call.symbol(0)?;
    let order: Vec<usize> = (0..x.rank()).collect();
    one(Symbol::ordered(call.layer(&x.arranged(&order), |x| x.l2_normalised(epsilon)), &order))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_that_was_multiplied_is_found_again() {
        for size in [1, 3, 5, 7, 9] {
            for written in [1e-4_f32, 2e-5, 1e-3, 5e-4, 0.1, 0.25, 0.75, 3e-6] {
                assert_eq!(factor_of_each(written * size as f32, size), written, "{written} of {size}");
            }
        }
        assert!(factor_of_each(f32::NAN, 5).is_nan());
    }
}
