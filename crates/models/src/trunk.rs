//! A classifier on the beginning of a published network.

use crate::{UnknownNetwork, by_name};
use ocelli_graph::{Layer, Node, Until};
use ocelli_layers::Dense;

/// A published network up to one of its activations, the mean over all pixels of what it computes there, and a dense layer
/// called `head`: a classifier on weights of which only the first layers are at hand, or on features that suit other
/// images better than the last ones.
///
/// Parameters have the names of the network. [`NetworkDescription::cut`](crate::NetworkDescription::cut) describes it in one
/// file.
///
/// ```
/// use ocelli_graph::Model;
/// use ocelli_models::TrunkClassifier;
/// let network = TrunkClassifier::new("resnet18_folded", "layer3", 5)?;
/// let model = Model::zeroed(network, [64, 64, 3])?;
/// assert_eq!(model.parameters().trained_count(), 2_780_544 + 256 * 5 + 5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TrunkClassifier {
    trunk: Until<Box<dyn Layer + Send + Sync>>,
    classes: usize,
}

impl TrunkClassifier {
    /// The path of the dense layer.
    pub const HEAD: &str = "head";

    /// Classifies an activation: the mean over all pixels if it is `[N, H, W, C]`, and the dense layer. It is the head of a
    /// network that is no published one, for [`Model::with_head`](ocelli_graph::Model::with_head).
    pub fn head(activation: &Node, classes: usize) -> Node {
        let is_spatial = activation.shape().rank() == 4;
        let features = if is_spatial { activation.global_avg_pool() } else { activation.clone() };
        features.apply(TrunkClassifier::HEAD, Dense::new(classes).pytorch_init())
    }

    /// Creates the classifier on the activation called `cut` of the network called `network`.
    ///
    /// # Errors
    /// [`UnknownNetwork`] if no network has that name. An activation that does not exist is an error of the model that is
    /// built.
    pub fn new(network: &str, cut: &str, classes: usize) -> Result<TrunkClassifier, UnknownNetwork> {
        Ok(TrunkClassifier { trunk: Until::new(by_name(network, None)?.layer, cut), classes })
    }
}

impl Layer for TrunkClassifier {
    fn forward(&self, x: &Node) -> Node {
        TrunkClassifier::head(&self.trunk.forward(x), self.classes)
    }

    fn kind(&self) -> String {
        "TrunkClassifier".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ocelli_graph::Model;

    #[test]
    fn what_is_behind_the_cut_is_not_there() {
        let build = |network, cut| Model::zeroed(TrunkClassifier::new(network, cut, 5).unwrap(), [64, 64, 3]);
        let model = build("vgg11_bn", "features.13").unwrap();
        assert_eq!(model.last_layer().as_deref(), Some("head"));
        assert_eq!(model.parameters().len(), 24 + 2);
        // a layer of rows is taken as it is
        assert_eq!(
            build("vgg11", "classifier.1").unwrap().parameters().value("head.weight").unwrap().shape(),
            [4096, 5]
        );
        let error = build("resnet18", "layer5").unwrap_err().to_string();
        assert!(error.contains("nothing is called \"layer5\""), "{error}");
        assert!(TrunkClassifier::new("resnet19", "layer3", 5).is_err());
    }
}
