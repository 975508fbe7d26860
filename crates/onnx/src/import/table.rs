//! The operators that are read.

use super::{
    call::{Call, Results},
    elementwise, folding, movement, normalisation, padding, pool, product, reduction, resize,
};
use crate::export::DOMAIN;

/// Makes a node a part of the network.
pub(crate) type Handler = fn(&mut Call<'_, '_>) -> Results;

/// Names of all operators that are read, for documentation and messages.
pub const OPERATORS: &[&str] = &[
    "Abs",
    "Add",
    "AveragePool",
    "BatchNormalization",
    "Cast",
    "Clip",
    "Concat",
    "Constant",
    "ConstantOfShape",
    "Conv",
    "ConvTranspose",
    "Div",
    "Dropout",
    "Elu",
    "Erf",
    "Exp",
    "Flatten",
    "Gather",
    "Gelu",
    "Gemm",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "GroupNormalization",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "InstanceNormalization",
    "LRN",
    "LayerNormalization",
    "LeakyRelu",
    "Log",
    "LogSoftmax",
    "MatMul",
    "Max",
    "MaxPool",
    "Min",
    "Mish",
    "Mul",
    "Neg",
    "PRelu",
    "Pad",
    "Pow",
    "Reciprocal",
    "ReduceMean",
    "ReduceSum",
    "Relu",
    "Reshape",
    "Resize",
    "Selu",
    "Shape",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Softplus",
    "Split",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Sum",
    "Tanh",
    "Transpose",
    "Unsqueeze",
];

/// The handler of an operator of a domain.
pub(crate) fn handler(domain: &str, operator: &str) -> Option<Handler> {
    match domain {
        "" | "ai.onnx" => of_onnx(operator),
        DOMAIN => of_functions(operator),
        _ => None,
    }
}

/// The functions that this library writes.
fn of_functions(name: &str) -> Option<Handler> {
    Some(match name {
        "AdaptiveAveragePool" => pool::adaptive_average_pool,
        "Equal" => elementwise::equal,
        "Gelu" => elementwise::gelu,
        "GeluTanh" => elementwise::gelu_tanh,
        "Gram" => product::gram,
        "Greater" => elementwise::greater,
        "GreaterOrEqual" => elementwise::greater_or_equal,
        "L2Normalised" => normalisation::l2_normalised,
        "Less" => elementwise::less,
        "LessOrEqual" => elementwise::less_or_equal,
        "Mish" => elementwise::mish,
        "NotEqual" => elementwise::not_equal,
        "ScaledTanh" => elementwise::scaled_tanh,
        "Silu" => elementwise::silu,
        "SquaredDistance" => product::squared_distance,
        _ => return None,
    })
}

fn of_onnx(operator: &str) -> Option<Handler> {
    Some(match operator {
        "Abs" => elementwise::abs,
        "Add" => elementwise::add,
        "AveragePool" => pool::average_pool,
        "BatchNormalization" => normalisation::batch_norm,
        "Cast" => folding::cast,
        "Clip" => elementwise::clip,
        "Concat" => movement::concat,
        "Constant" => folding::constant,
        "ConstantOfShape" => folding::constant_of_shape,
        "Conv" => product::conv,
        "ConvTranspose" => product::conv_transpose,
        "Div" => elementwise::div,
        "Dropout" => elementwise::dropout,
        "Elu" => elementwise::elu,
        "Erf" => elementwise::erf,
        "Exp" => elementwise::exp,
        "Flatten" => movement::flatten,
        "Gather" => movement::gather,
        "Gelu" => elementwise::gelu,
        "Gemm" => product::gemm,
        "GlobalAveragePool" => reduction::global_average_pool,
        "GlobalMaxPool" => pool::global_max_pool,
        "GroupNormalization" => normalisation::group_norm,
        "HardSigmoid" => elementwise::hard_sigmoid,
        "HardSwish" => elementwise::hard_swish,
        "Identity" => movement::identity,
        "InstanceNormalization" => normalisation::instance_norm,
        "LRN" => normalisation::local_response_norm,
        "LayerNormalization" => normalisation::layer_norm,
        "LeakyRelu" => elementwise::leaky_relu,
        "Log" => elementwise::log,
        "LogSoftmax" => reduction::log_softmax,
        "MatMul" => product::matmul,
        "Max" => elementwise::max,
        "MaxPool" => pool::max_pool,
        "Min" => elementwise::min,
        "Mish" => elementwise::mish,
        "Mul" => elementwise::mul,
        "Neg" => elementwise::neg,
        "PRelu" => elementwise::prelu,
        "Pad" => padding::pad,
        "Pow" => elementwise::pow,
        "Reciprocal" => elementwise::reciprocal,
        "ReduceMean" => reduction::mean,
        "ReduceSum" => reduction::sum,
        "Relu" => elementwise::relu,
        "Reshape" => movement::reshape,
        "Resize" => resize::resize,
        "Selu" => elementwise::selu,
        "Shape" => folding::shape,
        "Sigmoid" => elementwise::sigmoid,
        "Slice" => movement::slice,
        "Softmax" => reduction::softmax,
        "Softplus" => elementwise::softplus,
        "Split" => movement::split,
        "Sqrt" => elementwise::sqrt,
        "Squeeze" => movement::squeeze,
        "Sub" => elementwise::sub,
        "Sum" => elementwise::sum,
        "Tanh" => elementwise::tanh,
        "Transpose" => movement::transpose,
        "Unsqueeze" => movement::unsqueeze,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operator_of_the_list_has_a_handler() {
        assert!(OPERATORS.iter().all(|operator| handler("", operator).is_some()));
        assert!(OPERATORS.is_sorted());
    }
}
