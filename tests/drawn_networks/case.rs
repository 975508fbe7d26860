//! A network that was built, with its parameters and a batch.

use crate::{build::Convolutions, description::Network};
use ocelli::{
    graph::{Error, Graph, ValueSource},
    prelude::*,
    tensor::{Key, Stream},
};

/// Elements of parameters, and of inputs, up to which a network is run.
const MOST_ELEMENTS: f64 = (1 << 18) as f64;
/// Multiply-accumulates of a batch up to which a network is run.
const MOST_WORK: f64 = 2e7;
/// Bytes of a plan up to which a network is run: larger arenas are mapped, and no allocator counts them.
const MOST_MEMORY: usize = 3 << 20;

/// A network in the forms that are compared.
pub struct Case {
    pub network: Network,
    /// As users run it.
    pub fast: Model,
    /// With algorithms that transform nothing.
    pub strict: Model,
    /// With convolutions by their definition.
    pub defined: Model,
    /// Input, and target or labels of the loss.
    pub batch: Batch,
    /// Every value of the network that has a name, the output among them.
    pub names: Vec<String>,
}

/// What became of a description.
pub enum Made {
    Case(Box<Case>),
    /// The library said in one sentence why there is no such network.
    Refused,
    /// It can be described, but there is no time or memory to run it.
    TooLarge,
}

/// Builds a network if it can be built and run.
///
/// # Errors
/// A sentence if what the library says is not one sentence.
pub fn make(network: Network) -> Result<Made, String> {
    let described = match Graph::from_layer(network.layer(Convolutions::AsDescribed), &network.sample) {
        Ok(graph) => graph,
        Err(error) => return expect_sentence(&error).map(|()| Made::Refused),
    };
    let elements = |graph: &Graph| -> f64 {
        let sizes = graph.parameters.values().map(|spec| graph.values[spec.value].shape.at(1));
        sizes.map(|sizes| sizes.iter().map(|&size| size as f64).product::<f64>()).sum()
    };
    let input = network.sample.iter().map(|&size| size as f64).product::<f64>() * network.batch as f64;
    if elements(&described).max(input) > MOST_ELEMENTS {
        return Ok(Made::TooLarge);
    }
    let zeroed = match Model::zeroed(network.layer(Convolutions::AsDescribed), &network.sample) {
        Ok(model) => model,
        Err(error) => return expect_sentence(&error).map(|()| Made::TooLarge),
    };
    let summary = zeroed.summary();
    // A network that is larger than any memory has a table too, or a sentence.
    let fits = match zeroed.summary_for(network.batch) {
        Ok(summary) => summary.training_bytes.unwrap_or(0).max(summary.inference_bytes) <= MOST_MEMORY,
        Err(error) => expect_sentence(&error).map(|()| false)?,
    };
    if !fits || summary.macs as f64 * network.batch as f64 > MOST_WORK || summary.to_string().is_empty() {
        return Ok(Made::TooLarge);
    }
    let build = |convolutions| {
        let mut model =
            Model::from_layer(network.layer(convolutions), &network.sample, network.number).map_err(described_once)?;
        draw_parameters(&mut model);
        Ok::<_, String>(model)
    };
    let fast = build(Convolutions::AsDescribed)?;
    let strict = build(Convolutions::AsDescribed)?.with_precision(Precision::Strict);
    let defined = build(Convolutions::ByDefinition)?.with_precision(Precision::Strict);
    let batch = batch(&network, &fast);
    let values = &fast.graph().values;
    let computed = fast.graph().names.iter().filter(|(_, id)| values[**id].source == ValueSource::Call);
    let names = computed.map(|(name, _)| name.clone()).chain(["output".to_string()]).collect();
    Ok(Made::Case(Box::new(Case { network, fast, strict, defined, batch, names })))
}

fn described_once(error: Error) -> String {
    format!("what could be traced once is refused the second time: {error}")
}

/// Checks that an error is one sentence.
///
/// # Errors
/// What is wrong with it.
pub fn expect_sentence(error: &Error) -> Result<(), String> {
    let text = error.to_string();
    let is_sentence = !text.is_empty() && !text.contains('\n') && text.len() < 1000 && !text.ends_with('.');
    if is_sentence { Ok(()) } else { Err(format!("an error is not one sentence: {text:?}")) }
}

/// Numbers for every parameter, none of them special: zeros and ones hide mistakes.
fn draw_parameters(model: &mut Model) {
    let key = Key::new(model.seed()).with("parameters");
    for (parameter, value) in model.parameters_mut().iter_mut() {
        let mut stream = key.with(&parameter.path).stream();
        let is_vector = value.shape().len() == 1;
        let rows = value.shape().first().copied().unwrap_or(1).max(1) as f32;
        let (low, high) = match parameter.path.rsplit('.').next() {
            Some("running_var") => (0.5, 2.0),
            Some("weight") if is_vector => (0.5, 1.5),
            Some("matrix") => (-1.5 / rows.sqrt(), 1.5 / rows.sqrt()),
            Some("weight") => continue,
            _ => (-0.7, 0.7),
        };
        value.data_mut().iter_mut().for_each(|number| *number = stream.between(low, high));
    }
}

fn normal(shape: Vec<usize>, mut stream: Stream) -> Tensor {
    let mut tensor = Tensor::zeros(shape);
    tensor.data_mut().iter_mut().for_each(|number| *number = stream.normal());
    tensor
}

fn batch(network: &Network, model: &Model) -> Batch {
    let key = Key::new(network.number).with("batch");
    let n = network.batch;
    let sample = std::iter::once(n).chain(network.sample.iter().copied()).collect();
    let batch = Batch::new().with("input", normal(sample, key.with("input").stream()));
    let graph = model.graph();
    let Some(output) = graph.find("output").map(|id| graph.values[id].shape.at(n)) else { return batch };
    if !network.loss.has_labels() {
        return batch.with("target", normal(output, key.with("target").stream()));
    }
    let (mut stream, classes) = (key.with("labels").stream(), output.last().copied().unwrap_or(1));
    batch.with("labels", Tensor::from((0..n).map(|_| stream.below(classes.max(1)) as u32).collect::<Vec<_>>()))
}

impl Case {
    /// How objectives of this case are planned.
    pub fn mode(&self) -> Mode {
        [Mode::Train, Mode::Train, Mode::TrainWithoutDropout, Mode::Infer][(self.network.number % 4) as usize]
    }

    /// The objective of a model of this case.
    ///
    /// # Errors
    /// As [`Model::objective_of`].
    pub fn objective(&self, model: &Model, wrt: Wrt<'_>) -> Result<Objective, Error> {
        model.objective_of(self.mode(), wrt, |trace| self.network.loss(trace))
    }

    /// Names of the values that are tapped.
    pub fn taps(&self) -> Vec<&str> {
        self.names.iter().map(String::as_str).collect()
    }
}
