//! Every operation that can be called by itself, with operands of drawn numbers and shapes: a result or a sentence.

use crate::{
    Dim, Op, Shape, contract,
    ops::{
        ActivationOp, Arithmetic, BatchNormOp, ClampOp, ComparisonOp, ConnectionTable, Connections, Conv2dOp,
        ConvTranspose2dOp, ExtremumOp, Fill, FoldedBias, FoldedFilter, Fused, FusedBatchNorm, Gram, GroupNormOp,
        Identity, Interpolate, Interpolation, L2NormalisedOp, LayerNormOp, LinearOp, LocalResponseNormOp, OneHot,
        PadOp, ReshapeOp, SoftmaxOp,
    },
};
use ocelli_kernels::{
    broadcast::compare, conv::Conv2dSettings, elementwise::Unary, local_response::LocalResponse, pad::PadMode,
    pad::PadSettings,
};
use ocelli_tensor::Key;
use std::{panic, sync::Arc};

fn operations() -> Vec<Box<dyn Op>> {
    let settings = Conv2dSettings::default();
    let table = ConnectionTable::new(2, &[&[0], &[0, 1]]).unwrap();
    let activation = ocelli_kernels::Activation::Relu;
    let (bias, residual) = (Some(2), Some(3));
    vec![
        Box::new(ActivationOp(Unary::Tanh)),
        Box::new(Arithmetic::Add),
        Box::new(Arithmetic::Div),
        Box::new(BatchNormOp::new(1e-5, 0.1)),
        Box::new(ClampOp { low: 0.0, high: 1.0 }),
        Box::new(ComparisonOp(compare::Comparison::Less)),
        Box::new(Connections(Arc::new(table))),
        Box::new(Conv2dOp::new(settings)),
        Box::new(ConvTranspose2dOp::new(settings, [0, 0])),
        Box::new(ExtremumOp(compare::Extremum::Maximum)),
        Box::new(Fill { value: 1.0, shape: [2].into() }),
        Box::new(FoldedBias { epsilon: 1e-5 }),
        Box::new(FoldedFilter { epsilon: 1e-5 }),
        Box::new(Fused { product: LinearOp, bias: None, residual: bias, activation, kind: "Fused".into() }),
        Box::new(Fused { product: Conv2dOp::new(settings), bias, residual, activation, kind: "Fused".into() }),
        Box::new(FusedBatchNorm { epsilon: 1e-5, activation }),
        Box::new(Gram),
        Box::new(GroupNormOp { groups: 2, epsilon: 1e-5 }),
        Box::new(Identity),
        Box::new(Interpolate { interpolation: Interpolation::Bilinear, size: [3, 2] }),
        Box::new(L2NormalisedOp { epsilon: 1e-5 }),
        Box::new(LayerNormOp { epsilon: 1e-5 }),
        Box::new(LinearOp),
        Box::new(LocalResponseNormOp(LocalResponse { size: 5, alpha: 1.0, beta: 0.75, k: 2.0 })),
        Box::new(OneHot { classes: 3 }),
        Box::new(PadOp(PadSettings { mode: PadMode::Reflect, top: 1, bottom: 1, left: 0, right: 2 })),
        Box::new(ReshapeOp { shape: Shape::batch(&[4]) }),
        Box::new(SoftmaxOp::Plain),
    ]
}

#[test]
fn no_number_and_no_shape_of_operands_makes_an_operation_panic() {
    for (number, op) in operations().iter().enumerate() {
        let mut stream = Key::new(3).with("operands").at(number as u64).stream();
        let mut accepted = 0;
        for _ in 0..3000 {
            let rank_of_all = stream.below(5);
            let operands: Vec<Shape> = (0..stream.below(7))
                .map(|_| {
                    let rank = if stream.below(4) == 0 { stream.below(6) } else { rank_of_all };
                    let dim = |axis| match stream.below(6) {
                        0 | 1 if axis == 0 => Dim::Batch(1),
                        0 if axis == 0 => Dim::Batch(2),
                        size => Dim::Fixed([0, 1, 2, 2, 3, 4][size]),
                    };
                    Shape::new((0..rank).map(dim).collect::<Vec<_>>())
                })
                .collect();
            let shapes: Vec<&Shape> = operands.iter().collect();
            let inferred = panic::catch_unwind(panic::AssertUnwindSafe(|| contract::infer(&**op, &shapes)));
            let answer = inferred.unwrap_or_else(|_| panic!("{op:?} of {operands:?} panics"));
            assert!(answer.is_err() || op.operands().contains(&operands.len()), "{op:?} of {operands:?}");
            accepted += usize::from(answer.is_ok());
        }
        let count = *op.operands().start();
        assert!(accepted > 0 || count > 1, "{op:?} was never called as it is meant to be");
    }
}
