//! Two lists of passes, in order, that turn a traced graph into a plan's calls: one for training, one for inference.
//!
//! A pass is a function of a [`Program`], in a file of its own with its name. Behind the last one every call is
//! [compiled](crate::Compiled), what depends on parameters only leaves the steps ([`separate_constants`]), and the plan lays the
//! rest out in memory.

mod accumulate;
mod constants;
mod differentiate;
mod followers;
mod fuse_batch_norm;
mod fuse_products;
mod lower;
mod prune;
mod recompute;
mod share;

pub(crate) use constants::{ConstantPart, constant_values, constants, is_parameter, recipes, separate_constants};

use crate::{BackwardRules, Graph, Mode, Result, ValueId, ValueSource};
use std::collections::HashMap;

/// A graph on its way from the trace to a plan, with what passes ask for and leave beside it.
pub(crate) struct Program<'a> {
    /// The graph, rewritten by each pass.
    pub(crate) graph: Graph,
    /// Number of values before the first pass.
    pub(crate) known: usize,
    /// The mode of the plan: training or inference.
    pub(crate) mode: Mode,
    /// Values that keep what they are and where they are read from: what the user wants, and what a step ends with.
    pub(crate) roots: Vec<ValueId>,
    /// Returns true for a path whose parameter or state training leaves alone.
    pub(crate) is_frozen: &'a dyn Fn(&str) -> bool,
    /// The scalar to differentiate, and the values with respect to which.
    pub(crate) derivative: Option<(ValueId, Vec<ValueId>)>,
    /// Backward rules that replace those of the operations.
    pub(crate) rules: BackwardRules,
    /// The gradients, in the order of those values; `None` where the scalar does not depend on one.
    pub(crate) gradients: Vec<Option<ValueId>>,
    /// Number from which on values were made by differentiation.
    pub(crate) first_gradient: ValueId,
    /// For each result that its kernel adds to a value, that value.
    pub(crate) accumulated: HashMap<ValueId, ValueId>,
}

impl<'a> Program<'a> {
    /// A program without anything to differentiate, in which nothing is frozen.
    pub(crate) fn new(graph: Graph, mode: Mode, roots: Vec<ValueId>) -> Program<'a> {
        Program {
            known: graph.values.len(),
            graph,
            mode,
            roots,
            is_frozen: &|_| false,
            derivative: None,
            rules: BackwardRules::default(),
            gradients: Vec::new(),
            first_gradient: ValueId::MAX,
            accumulated: HashMap::new(),
        }
    }

    /// Runs passes in order.
    ///
    /// # Errors
    /// The error of the first pass that has one.
    pub(crate) fn run(&mut self, passes: &[GraphPass]) -> Result<()> {
        for pass in passes {
            (pass.run)(self)?;
            debug_assert!(self.is_ordered(), "the pass {} leaves a call before one whose result it reads", pass.name);
        }
        Ok(())
    }

    /// Returns true if every call reads inputs, parameters and results of calls before it only.
    fn is_ordered(&self) -> bool {
        let Graph { values, calls, .. } = &self.graph;
        let mut is_there: Vec<bool> = values.iter().map(|value| !matches!(value.source, ValueSource::Call)).collect();
        calls.iter().all(|call| {
            let reads_what_is_there = call.inputs.iter().all(|&id| is_there[id]);
            call.outputs.iter().for_each(|&id| is_there[id] = true);
            reads_what_is_there
        })
    }
}

/// A pass with the name that `docs/architecture.md` prints.
pub(crate) struct GraphPass {
    pub(crate) name: &'static str,
    run: fn(&mut Program<'_>) -> Result<()>,
}

/// The passes of one kind of plan.
pub(crate) struct Passes {
    /// Passes that run once, when the objective or the model is made.
    pub(crate) once: &'static [GraphPass],
    /// Passes that run for each plan, whose roots are known then.
    pub(crate) each_plan: &'static [GraphPass],
}

macro_rules! passes {
    ($($module:ident::$pass:ident),+ $(,)?) => {
        &[$(GraphPass { name: stringify!($pass), run: $module::$pass }),+]
    };
}

/// The passes of a training step, and of a validation.
pub(crate) const TRAINING: Passes = Passes {
    once: passes![
        lower::hold_frozen,
        lower::lower,
        // before differentiation, so that backward follows
        fuse_batch_norm::fuse_batch_norm,
        differentiate::differentiate,
    ],
    each_plan: passes![
        prune::prune,
        // before some are computed again on purpose
        share::share,
        recompute::recompute,
        prune::prune,
        accumulate::accumulate,
    ],
};

/// The passes of a plan for inference.
pub(crate) const INFERENCE: Passes = Passes {
    once: passes![lower::lower],
    each_plan: passes![
        prune::prune,
        share::share,
        fuse_products::fuse_products,
        accumulate::accumulate_beside_constants
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    /// The two lists, as `docs/architecture.md` prints them.
    fn printed(passes: &Passes) -> String {
        let names = |passes: &[GraphPass]| passes.iter().map(|pass| pass.name).collect::<Vec<_>>().join(" → ");
        format!("{} ; {}", names(passes.once), names(passes.each_plan))
    }

    #[test]
    fn the_page_prints_the_lists() {
        let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/architecture.md")).unwrap();
        for (name, passes) in [("training", TRAINING), ("inference", INFERENCE)] {
            let line = format!("    {name}:{}{}", " ".repeat(11 - name.len()), printed(&passes));
            assert!(page.contains(&line), "docs/architecture.md lacks the line\n{line}");
        }
    }
}
