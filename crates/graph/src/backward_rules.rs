//! A table of backward rules that differentiation asks before it asks the operation.

use crate::{Grads, Node};
use std::{collections::BTreeMap, fmt, sync::Arc};

type Rule = dyn Fn(&Grads<'_>) -> Vec<Option<Node>> + Send + Sync;

/// Other backward rules for some kinds of operation, in place of the operations' own: for visualisations that propagate
/// something else than the gradient through a network, without a change of the network.
///
/// [`Model::objective_with`](crate::Model::objective_with) differentiates by them. They hold for every call of the kind,
/// whether its layer is shared or written alone, and whether the plan runs it in place; operations that would be
/// fused before differentiation are not. A kind is the name that an operation has in messages
/// ([`Op::kind`](crate::Op::kind)), such as `Relu` or `MaxPool`; a kind that the network does not have is without effect.
///
/// ```
/// use ocelli_graph::{BackwardRules, Batch, Mode, Model, Tensor, Wrt};
/// let model = Model::build(|x| x.relu() * -1.0, [3], 0)?;
/// // A ReLU that lets every gradient through.
/// let rules = BackwardRules::new().with("Relu", |g| vec![g.want(0, || g.dy().clone())]);
/// let mut objective =
///     model.objective_with(&rules, Mode::Infer, Wrt::Values(&["input"]), |t| t.output().sum())?;
/// let batch = Batch::new().with("input", Tensor::from_vec([1, 3], vec![-1.0, 0.0, 1.0])?);
/// assert_eq!(objective.evaluate(&model, &batch)?.gradient("input").unwrap(), [-1.0; 3]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct BackwardRules(BTreeMap<String, Arc<Rule>>);

impl BackwardRules {
    /// Creates an empty table: every operation has its own rule.
    pub fn new() -> BackwardRules {
        BackwardRules::default()
    }

    /// Sets the rule for operations of a kind. It answers as [`Op::backward`](crate::Op::backward) does;
    /// [`Grads::own_rule`] is the rule that it replaces.
    pub fn with(
        mut self,
        kind: impl Into<String>,
        rule: impl Fn(&Grads<'_>) -> Vec<Option<Node>> + Send + Sync + 'static,
    ) -> BackwardRules {
        self.0.insert(kind.into(), Arc::new(rule));
        self
    }

    /// Guided backpropagation (Springenberg et al. 2015): a ReLU passes on what is positive, where its argument was positive.
    pub fn guided() -> BackwardRules {
        BackwardRules::new().with("Relu", |g| g.own_rule(&g.dy().relu()))
    }

    /// The deconvolutional network (Zeiler and Fergus 2013): a ReLU passes on what is positive, wherever its argument
    /// was. Convolutions are transposed and max pooling goes back through its switches, which is what their own rules do.
    pub fn deconvnet() -> BackwardRules {
        BackwardRules::new().with("Relu", |g| vec![g.want(0, || g.dy().relu())])
    }

    /// Returns the kinds that have another rule.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Returns true if every operation has its own rule.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the gradients of a call by the rule for its kind, if there is one.
    pub(crate) fn apply(&self, kind: &str, g: &Grads<'_>) -> Option<Vec<Option<Node>>> {
        self.0.get(kind).map(|rule| rule(g))
    }
}

impl fmt::Debug for BackwardRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.kinds()).finish()
    }
}
