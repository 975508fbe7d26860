//! Identity of operations: equality and a key.

use crate::Op;
use std::{any::Any, fmt::Debug};

/// Compares operations, and writes one as a key, for common-subexpression elimination and shared constants. Every
/// operation that is [`PartialEq`] implements it, and nobody writes it by hand: equal settings are the same operation.
/// One that holds a function cannot be compared, and declares that by an empty `impl`:
///
/// ```
/// use ocelli_graph::{Compiled, Fault, Op, OpIdentity, Request, Shape, ops::ClampOp};
///
/// #[derive(Debug, Clone)]
/// struct Apply(fn(f32) -> f32);
///
/// impl OpIdentity for Apply {}
///
/// impl Op for Apply {
///     fn infer(&self, x: &[&Shape]) -> Result<Vec<Shape>, Fault> {
///         Ok(vec![x[0].clone()])
///     }
///     fn compile(&self, _: &Request<'_>) -> Result<Compiled, Fault> {
///         let f = self.0;
///         Ok(Compiled::new(move |k| {
///             let x = k.input(0);
///             k.output(0).iter_mut().zip(x).for_each(|(y, x)| *y = f(*x));
///         }))
///     }
/// }
///
/// assert!(!Apply(f32::sqrt).is_same(&Apply(f32::sqrt)));
/// assert!(ClampOp { low: 0.0, high: 6.0 }.is_same(&ClampOp { low: 0.0, high: 6.0 }));
/// ```
pub trait OpIdentity: Any + Debug {
    /// Returns true if `other` gives the same results, to the bit, for the same operands: two such calls on the same
    /// values become one (common-subexpression elimination).
    fn is_same(&self, _other: &dyn Op) -> bool {
        false
    }

    /// Writes the operation with all its settings as text, equal for operations that are the same and for no others;
    /// `None` if it has no identity.
    fn key(&self) -> Option<String> {
        None
    }
}

impl<T: Op + PartialEq> OpIdentity for T {
    fn is_same(&self, other: &dyn Op) -> bool {
        let other: &dyn Any = other;
        let Some(other) = other.downcast_ref::<T>() else { return false };
        // Zeros of either sign are equal but do not give the same bits; as text they differ.
        other == self && other.key() == self.key()
    }

    fn key(&self) -> Option<String> {
        Some(key_of(std::any::type_name::<T>(), self))
    }
}

/// Apart from [`OpIdentity::key`], which is compiled for every operation.
fn key_of(name: &str, settings: &dyn Debug) -> String {
    format!("{name} {settings:?}")
}
