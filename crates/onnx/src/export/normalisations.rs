//! How normalisations are written.

use super::{
    call::{CallWriter, Value},
    file::Setting,
    operations::Done,
};
use ocelli_graph::{
    Dim,
    ops::{BatchNormOp, FollowedBy, GroupNormOp, L2NormalisedOp, LayerNormOp, LocalResponseNormOp},
};

/// The order of axes with channels as the second.
fn channels_second(rank: usize) -> Vec<usize> {
    std::iter::once(0).chain(rank.checked_sub(1)).chain(1..rank.saturating_sub(1)).collect()
}

pub(super) fn batch_norm(op: &BatchNormOp, call: &mut CallWriter<'_>) -> Done {
    if op.followed_by != FollowedBy::Nothing {
        return Err("a normalisation that was fused is not written".into());
    }
    let order = channels_second(call.shape(0).rank());
    let mut inputs = vec![call.arranged(0, &order)?];
    for operand in 1..5 {
        inputs.push(call.arranged(operand, &[0])?);
    }
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let settings = [("epsilon", Setting::Float(op.epsilon)), ("momentum", Setting::Float(1.0 - op.momentum))];
    let name = call.last_node("BatchNormalization", &inputs, &settings);
    call.result(&name, &order);
    Ok(())
}

pub(super) fn group_norm(op: &GroupNormOp, call: &mut CallWriter<'_>) -> Done {
    let shape = call.shape(0);
    let (order, channels) = (channels_second(shape.rank()), shape.channels());
    let x = call.arranged(0, &order)?;
    let epsilon = [("epsilon", Setting::Float(op.epsilon))];
    if op.groups == channels {
        let (scale, bias) = (call.arranged(1, &[0])?, call.arranged(2, &[0])?);
        let name = call.last_node("InstanceNormalization", &[&x, &scale, &bias], &epsilon);
        call.result(&name, &order);
        return Ok(());
    }
    // a group is an instance of one channel
    let dims: Vec<Dim> = order.iter().map(|&axis| shape.dims()[axis]).collect();
    let of_group = shape.len(1) / op.groups.max(1);
    let grouped = call.reshaped(&x, &[dims[0], Dim::Fixed(op.groups), Dim::Fixed(of_group)]);
    let ones = call.numbers("ones", &[op.groups], vec![1.0; op.groups]);
    let zeros = call.numbers("zeros", &[op.groups], vec![0.0; op.groups]);
    let normalised = call.node("InstanceNormalization", &[&grouped, &ones, &zeros], &epsilon);
    let normalised = call.reshaped(&normalised, &dims);
    let mut of_channels = Vec::new();
    for operand in [1, 2] {
        let Value::Known { name, tensor } = call.value(operand)? else {
            return Err("its scale and shift are computed, which is not written".into());
        };
        let sizes: Vec<usize> = std::iter::once(channels).chain(vec![1; shape.rank() - 2]).collect();
        of_channels.push(call.numbers(&name, &sizes, tensor.data().to_vec()));
    }
    let scaled = call.node("Mul", &[&normalised, &of_channels[0]], &[]);
    let name = call.last_node("Add", &[&scaled, &of_channels[1]], &[]);
    call.result(&name, &order);
    Ok(())
}

pub(super) fn layer_norm(op: &LayerNormOp, call: &mut CallWriter<'_>) -> Done {
    let order: Vec<usize> = (0..call.shape(0).rank()).collect();
    let x = call.arranged(0, &order)?;
    let (scale, bias) = (call.arranged(1, &[0])?, call.arranged(2, &[0])?);
    let settings = [("axis", Setting::Int(-1)), ("epsilon", Setting::Float(op.epsilon))];
    let name = call.last_node("LayerNormalization", &[&x, &scale, &bias], &settings);
    call.result(&name, &order);
    Ok(())
}

pub(super) fn local_response_norm(op: &LocalResponseNormOp, call: &mut CallWriter<'_>) -> Done {
    let norm = op.0;
    if norm.size.is_multiple_of(2) {
        return Err("a sum over an even number of channels is not written".into());
    }
    let order = channels_second(call.shape(0).rank());
    let x = call.arranged(0, &order)?;
    let settings = [
        ("size", Setting::Int(norm.size as i64)),
        ("alpha", Setting::Float(norm.alpha * norm.size as f32)),
        ("beta", Setting::Float(norm.beta)),
        ("bias", Setting::Float(norm.k)),
    ];
    let name = call.last_node("LRN", &[&x], &settings);
    call.result(&name, &order);
    Ok(())
}

/// Rows of length one; ε is an operand of the function.
pub(super) fn l2_normalised(op: &L2NormalisedOp, call: &mut CallWriter<'_>) -> Done {
    let order: Vec<usize> = (0..call.shape(0).rank()).collect();
    let (x, epsilon) = (call.arranged(0, &order)?, call.number(op.epsilon));
    let name = call.function("L2Normalised", &[&x, &epsilon]);
    call.result(&name, &order);
    Ok(())
}
