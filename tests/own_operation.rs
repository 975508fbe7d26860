//! An operation from outside the library, made as `CONTRIBUTING.md` says: description, compiled kernel, backward rule, and a test
//! with `check_gradients`. It then takes part in everything: summaries, training, inference, plans in words.

use ocelli::{
    graph::{Compiled, Constant, Fault, Grads, Op, OpIdentity, Request, Shape, check_gradients},
    prelude::*,
};

/// `y = x · |x|^(p − 1)`: a power that keeps the sign.
///
/// # Shapes
/// Any, to the same. Backward keeps `x`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct SignedPower {
    exponent: f32,
}

/// Operands: `dy`, `x`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct SignedPowerBackward(SignedPower);

impl Op for SignedPower {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        if self.exponent < 1.0 {
            return Err(Fault::Setting(format!("the exponent {} is less than 1", self.exponent)));
        }
        Ok(vec![x[0].clone()])
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        let power = self.exponent - 1.0;
        Ok(Compiled::new(move |k| {
            let x = k.input(0);
            k.output(0).iter_mut().zip(x).for_each(|(y, x)| *y = x * x.abs().powf(power));
        })
        .with_note(format!("power {}", self.exponent)))
    }

    fn backward(&self, g: &Grads<'_>) -> Vec<Option<Node>> {
        vec![g.want(0, || Node::call(SignedPowerBackward(*self), &[g.dy(), g.x(0)]))]
    }
}

impl Op for SignedPowerBackward {
    fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
        Ok(vec![x[1].clone()])
    }

    fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
        let exponent = self.0.exponent;
        Ok(Compiled::new(move |k| {
            let (dy, x) = (k.input(0), k.input(1));
            let elements = k.output(0).iter_mut().zip(dy).zip(x);
            elements.for_each(|((dx, dy), x)| *dx = dy * exponent * x.abs().powf(exponent - 1.0));
        }))
    }
}

fn network(x: &Node) -> Node {
    let scaled = x * x.trace().parameter("w", [3], Constant(2.0));
    // The second is the same as the first, and not computed.
    let power = || Node::call(SignedPower { exponent: 2.0 }, &[&scaled]);
    power() + power()
}

#[test]
fn an_operation_of_ones_own_is_an_operation_like_others() -> ocelli::Result<()> {
    check_gradients(&SignedPower { exponent: 2.5 }, &[Shape::batch(&[2, 3])])?;
    assert!(SignedPower { exponent: 2.0 }.is_same(&SignedPower { exponent: 2.0 }));

    let mut model = Model::build(network, [3], 0)?;
    let x = Tensor::from_vec([1, 3], vec![-1.0, 0.5, 2.0])?;
    assert_eq!(model.predict(&x)?.data(), [-8.0, 2.0, 32.0]);
    let text = model.plan(1, &["output"])?.explain();
    assert_eq!(text.matches("power 2").count(), 1, "{text}");

    // d/dw Σ 2·(wx)·|wx| = 4·|wx|·x
    let mut objective = model.objective(|t| t.output().sum())?;
    let step = objective.step(&mut model, &Batch::new().with("input", x))?;
    assert_eq!(step.gradient("w"), Some(&[-8.0, 2.0, 32.0][..]));

    let refused = Model::build(|x| Node::call(SignedPower { exponent: 0.5 }, &[x]), [3], 0).unwrap_err();
    assert_eq!(refused.to_string(), "(SignedPower): the exponent 0.5 is less than 1");
    Ok(())
}
