//! The part of a pretrained network that is trained, epoch by epoch.

use crate::{Error, Result};
use ocelli_graph::{Model, ParameterRole};
use serde::{Deserialize, Serialize};

/// The part of a pretrained network that a [`Trainer`](crate::Trainer) trains; everything else is frozen.
///
/// The *head* is the network's [last layer with weights](Model::last_layer), which was replaced for the new classes
/// ([`Model::with_classes`], [`Model::with_head`]). A normalisation in a frozen part keeps its running statistics, and
/// nothing is differentiated or kept for it. One in a part that is trained keeps them too, unless [`Unfreezing`] says
/// otherwise, and learns its weight and bias: a small set of images says less about them than what they were made of.
///
/// ```
/// # use ocelli_graph::{Batch, Constant, Model, Node, Tensor};
/// # let scale = |x: &Node| x * x.trace().parameter("weight", ([ocelli_graph::AxisRole::Outputs], [3]), Constant(1.5));
/// # let mut model = Model::build(|x| x.scope("trunk", scale).scope("head", scale), [3], 0)?;
/// # let batches = vec![Batch::new().with("input", Tensor::full([2, 3], 1.0))];
/// # let loss = |t: &ocelli_graph::Trace| t.output().square().mean();
/// use ocelli_train::{Finetune, Progress, Sgd, Trainer, Unfreezing};
/// let trainer = Trainer::new(3).progress(Progress::Silent);
/// // the new layer alone, on features that are computed once, and then everything
/// trainer.clone().finetune(Finetune::Head).run(&mut model, loss, &mut Sgd::new(0.1), &batches, None)?;
/// assert_eq!(model.parameters().value("trunk.weight").unwrap().data(), [1.5; 3]);
/// let all = Finetune::All(Unfreezing { trunk_rate: 0.1, ..Unfreezing::default() });
/// trainer.finetune(all).run(&mut model, loss, &mut Sgd::new(0.1), &batches, None)?;
/// assert!(model.parameters().value("trunk.weight").unwrap().data()[0] < 1.5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Finetune {
    /// The head alone. If every epoch has the same samples, their features are computed once.
    Head,
    /// The last so many layers with weights, the head counted.
    Last(usize),
    /// The layers at or below these paths, and the head.
    Layers(Vec<String>),
    /// Everything, the trunk slower and later than the head.
    All(Unfreezing),
}

/// How the trunk of a network joins a training of its head (Howard and Ruder 2018, section 3.3: gradual unfreezing).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unfreezing {
    /// The factor of the trunk's learning rate beside the head's; default 0.1.
    pub trunk_rate: f32,
    /// The epochs in which the head is trained alone, so that the gradients of its first, random weights do not spoil the
    /// trunk; default 1.
    pub head_epochs: u64,
    /// The epochs between one stage of the trunk and the one before it joining the training, from the last stage to the
    /// first; 0 for all at once, which is the default. A stage is a layer or a block at the top of the network, such as
    /// ResNet's `layer3`.
    pub stage_epochs: u64,
    /// The statistics that batch normalisations of the trunk use in training; default: those that came with the weights.
    pub statistics: TrunkStatistics,
}

/// The statistics by which batch normalisations of a trunk that is trained normalise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TrunkStatistics {
    /// The running ones, which stay as they are. Training then computes the function of inference; with the statistics of
    /// batches, running ones that follow them slowly (1 % a step in MobileNet and EfficientNet) belong to weights of
    /// hundreds of steps ago.
    #[default]
    Pretrained,
    /// The statistics of each batch, for a trunk whose weights are not pretrained.
    Batch,
}

impl Default for Unfreezing {
    fn default() -> Unfreezing {
        Unfreezing { trunk_rate: 0.1, head_epochs: 1, stage_epochs: 0, statistics: TrunkStatistics::default() }
    }
}

impl Finetune {
    /// Freezes what is not trained in an epoch, counted from 0, and unfreezes the rest. Returns true if that changed
    /// anything: objectives have to be made again then.
    ///
    /// # Errors
    /// [`Error::Setting`] for a network without a head or for no layers, [`Error::Model`] for a path that does not exist.
    pub fn apply(&self, model: &mut Model, epoch: u64) -> Result<bool> {
        let frozen = |model: &Model| model.parameters().iter().map(|(known, _)| known.frozen).collect::<Vec<_>>();
        let before = frozen(model);
        let trained = self.trained(model, epoch)?;
        // refuse a path that does not exist before anything is changed
        let mut changed = model.clone();
        changed.freeze("")?;
        trained.iter().try_for_each(|layer| changed.unfreeze(layer))?;
        if self.statistics() == TrunkStatistics::Pretrained {
            hold_statistics(&mut changed)?;
        }
        let after = frozen(&changed);
        if before == after {
            return Ok(false);
        }
        *model = changed;
        Ok(true)
    }

    /// Returns the factor of the learning rate of everything but the head, if it has one of its own.
    pub(crate) fn trunk_rate(&self) -> Option<f32> {
        match self {
            Finetune::All(unfreezing) => Some(unfreezing.trunk_rate),
            _ => None,
        }
    }

    fn statistics(&self) -> TrunkStatistics {
        match self {
            Finetune::All(unfreezing) => unfreezing.statistics,
            _ => TrunkStatistics::Pretrained,
        }
    }

    /// Returns the paths of the layers that are trained in an epoch.
    fn trained(&self, model: &Model, epoch: u64) -> Result<Vec<String>> {
        let head = head(model)?;
        let layers = model.layers();
        Ok(match self {
            Finetune::Head => vec![head],
            Finetune::Last(0) => {
                return Err(Error::Setting(
                    "Finetune::Last(0) trains nothing; the head alone is Finetune::Head".into(),
                ));
            }
            Finetune::Last(count) => layers.into_iter().rev().take(*count).chain([head]).collect(),
            Finetune::Layers(paths) => paths.iter().cloned().chain([head]).collect(),
            Finetune::All(Unfreezing { head_epochs, .. }) if epoch < *head_epochs => vec![head],
            Finetune::All(Unfreezing { stage_epochs: 0, .. }) => vec![String::new()],
            Finetune::All(Unfreezing { head_epochs, stage_epochs, .. }) => {
                let stages = stages(&layers, &head);
                let joined = ((epoch - head_epochs) / stage_epochs).saturating_add(1);
                let joined = usize::try_from(joined).unwrap_or(usize::MAX);
                // the last to join takes what belongs to no layer with it
                if joined >= stages.len() {
                    return Ok(vec![String::new()]);
                }
                stages.into_iter().rev().take(joined).chain([head]).collect()
            }
        })
    }
}

/// Freezes the states of everything but the head, which is always trained and whose states are new.
fn hold_statistics(model: &mut Model) -> Result<()> {
    let states = model.parameters().iter().filter(|(parameter, _)| parameter.role == ParameterRole::State);
    let paths: Vec<String> = states.map(|(parameter, _)| parameter.path.clone()).collect();
    paths.iter().try_for_each(|path| model.freeze(path))?;
    Ok(model.unfreeze(&head(model)?)?)
}

/// Returns the path of the head.
pub(crate) fn head(model: &Model) -> Result<String> {
    let missing =
        || Error::Setting("the network has no layer with weights for its outputs that could be its head".into());
    model.last_layer().filter(|layer| !layer.is_empty()).ok_or_else(missing)
}

/// Returns the paths of the trunk's stages in their order: the shortest beginnings of its layers' paths that tell two or more
/// apart.
fn stages(layers: &[String], head: &str) -> Vec<String> {
    let trunk: Vec<&String> = layers.iter().filter(|layer| *layer != head).collect();
    let depth = trunk.iter().map(|layer| layer.split('.').count()).max().unwrap_or(0);
    let beginnings = |segments: usize| {
        let mut found: Vec<String> = Vec::new();
        for layer in &trunk {
            let beginning = layer.split('.').take(segments).collect::<Vec<_>>().join(".");
            if !found.contains(&beginning) {
                found.push(beginning);
            }
        }
        found
    };
    (1..=depth).map(beginnings).find(|found| found.len() > 1).unwrap_or_else(|| beginnings(depth))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ocelli_graph::{AxisRole, Constant, Node};

    fn scale(x: &Node) -> Node {
        x * x.trace().parameter("weight", ([AxisRole::Outputs], [3]), Constant(1.5))
    }

    fn model() -> Model {
        let blocks = |x: &Node| x.scope("0", scale).scope("1", scale).scope("2", scale);
        Model::build(|x| x.scope("features", blocks).scope("classifier", |x| x.scope("1", scale)), [3], 0).unwrap()
    }

    fn trained(finetune: &Finetune, epoch: u64) -> Vec<String> {
        let mut model = model();
        finetune.apply(&mut model, epoch).unwrap();
        let parameters = model.parameters().iter().filter(|(parameter, _)| parameter.is_trained());
        parameters.map(|(parameter, _)| parameter.path.trim_end_matches(".weight").to_string()).collect()
    }

    #[test]
    fn what_is_trained() {
        assert_eq!(trained(&Finetune::Head, 0), ["classifier.1"]);
        assert_eq!(trained(&Finetune::Last(2), 0), ["classifier.1", "features.2"]);
        assert_eq!(trained(&Finetune::Last(99), 0).len(), 4);
        assert_eq!(trained(&Finetune::Layers(vec!["features.1".into()]), 0), ["classifier.1", "features.1"]);
    }

    #[test]
    fn stages_join_one_after_the_other() {
        let gradual = Finetune::All(Unfreezing { head_epochs: 1, stage_epochs: 2, ..Unfreezing::default() });
        let counts: Vec<usize> = (0..7).map(|epoch| trained(&gradual, epoch).len()).collect();
        assert_eq!(counts, [1, 2, 2, 3, 3, 4, 4]);
        assert_eq!(trained(&gradual, 1), ["classifier.1", "features.2"]);
        let at_once = Finetune::All(Unfreezing::default());
        assert_eq!([0, 1, 2].map(|epoch| trained(&at_once, epoch).len()), [1, 4, 4]);
    }

    #[test]
    fn a_change_is_noticed() {
        let mut model = model();
        assert!(Finetune::Head.apply(&mut model, 0).unwrap());
        assert!(!Finetune::Head.apply(&mut model, 1).unwrap());
    }

    #[test]
    fn mistakes_are_sentences() {
        let error = |finetune: Finetune, mut model: Model| finetune.apply(&mut model, 0).unwrap_err().to_string();
        assert_eq!(
            error(Finetune::Last(0), model()),
            "Finetune::Last(0) trains nothing; the head alone is Finetune::Head"
        );
        assert!(
            error(Finetune::Layers(vec!["features.7".into()]), model()).starts_with("nothing is called \"features.7\"")
        );
        let headless = Model::build(|x| x.relu(), [3], 0).unwrap();
        assert!(error(Finetune::Head, headless).starts_with("the network has no layer with weights"));
    }
}
