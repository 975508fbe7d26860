//! Training of a head on features that its frozen trunk computed once.

use super::{Report, Trainer};
use crate::{BatchSource, Features, Finetune, Optimizer, Result, metric::MetricList};
use ocelli_graph::{Model, Node, Trace};

impl Trainer {
    /// Trains the head of a model alone, on features; `None` if that is not possible, or would take more memory than
    /// allowed. The trunk must be frozen.
    pub(super) fn run_on_features<S: BatchSource + ?Sized>(
        &self,
        model: &mut Model,
        loss: &dyn Fn(&Trace) -> Node,
        optimizer: &mut dyn Optimizer,
        train: &S,
        validation: Option<&dyn BatchSource>,
    ) -> Result<Option<Report>> {
        if self.finetune != Some(Finetune::Head) || !train.repeats() {
            return Ok(None);
        }
        let Some((trunk, mut head)) = model.split_frozen() else { return Ok(None) };
        // loss and metrics may read activations that only the whole network has
        let metrics = MetricList::new(self.metrics.iter().map(|metric| &**metric as _))?;
        let fits = head.objective(loss).and_then(|objective| objective.watching(&metrics.activations()));
        if fits.is_err() {
            return Ok(None);
        }
        // run the trunk once
        let Some(features) = Features::compute(&trunk, train, self.feature_bytes)? else { return Ok(None) };
        let features = features.shuffle(model.seed());
        let left = self.feature_bytes - features.bytes();
        let validated = match validation {
            Some(source) => match Features::compute(&trunk, source, left)? {
                Some(features) => Some(features),
                None => return Ok(None),
            },
            None => None,
        };
        let validation = validated.as_ref().map(|features| features as &dyn BatchSource);
        // what was learnt goes back, also from a run that met an error
        let report = self.run_on(&mut head, loss, optimizer, &features, validation);
        model.parameters_mut().copy_from(head.parameters());
        report.map(Some)
    }
}
