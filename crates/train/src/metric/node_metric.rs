//! A metric that is described like a network.

use super::MeanValue;
use ocelli_graph::{Node, Trace};
use std::{fmt, sync::Arc};

/// A node that is traced beside the loss, whose mean is a metric.
#[derive(Clone)]
pub(crate) struct NodeMetric {
    name: String,
    node: Arc<dyn Fn(&Trace) -> Node + Send + Sync>,
}

impl fmt::Debug for NodeMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NodeMetric").field(&self.name).finish()
    }
}

impl NodeMetric {
    pub(crate) fn new(name: &str, node: impl Fn(&Trace) -> Node + Send + Sync + 'static) -> NodeMetric {
        NodeMetric { name: name.into(), node: Arc::new(node) }
    }

    /// The name of the node, apart from those of the network.
    fn value(&self) -> String {
        format!("metric.{}", self.name)
    }

    /// Describes the node.
    pub(crate) fn describe(&self, trace: &Trace) {
        (self.node)(trace).named(&self.value());
    }

    /// Returns the metric that averages the node.
    pub(crate) fn metric(&self) -> MeanValue {
        MeanValue::new(self.value()).named(&self.name)
    }
}
