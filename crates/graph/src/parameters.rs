//! The parameters of a model.

use crate::{Error, Graph, Key, ParameterAxis, ParameterRole, Result, memory};
use ocelli_tensor::{ShapeText, Size, Tensor};
use std::collections::HashMap;

/// A parameter of a model; its numbers are [`Parameters::value`].
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its path, such as `conv1.weight`.
    pub path: String,
    /// What it is for.
    pub role: ParameterRole,
    /// What its axes run over, as its layer declares them.
    pub axes: Vec<ParameterAxis>,
    /// Whether gradients leave it alone.
    pub frozen: bool,
}

impl Parameter {
    /// Whether gradients change it.
    pub fn is_trained(&self) -> bool {
        self.role == ParameterRole::Trained && !self.frozen
    }
}

/// All parameters of a model, in the order of their paths.
#[derive(Clone, Debug, Default)]
pub struct Parameters {
    list: Vec<Parameter>,
    values: Vec<Tensor>,
    index: HashMap<String, usize>,
}

impl Parameters {
    /// First values, each drawn from the seed and its own path alone.
    ///
    /// # Errors
    /// As [`Parameters::zeros`].
    pub(crate) fn initial(graph: &Graph, seed: u64) -> Result<Parameters> {
        let mut parameters = Parameters::zeros(graph)?;
        let key = Key::new(seed).with("initial");
        for (value, (path, spec)) in parameters.values.iter_mut().zip(&graph.parameters) {
            spec.initializer.fill(&spec.axes, key.with(path), value.data_mut());
        }
        Ok(parameters)
    }

    /// Zeros: memory that is not touched until it is written.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if the system does not give as much.
    pub(crate) fn zeros(graph: &Graph) -> Result<Parameters> {
        let counts = graph.parameters.values().map(|spec| graph.values[spec.value].shape.len(1));
        let bytes = counts.sum::<Size>() * size_of::<f32>();
        memory::ask_for("the memory of the parameters", bytes.get().unwrap_or(usize::MAX))?;
        let mut parameters = Parameters::default();
        for (path, spec) in &graph.parameters {
            let value = Tensor::zeros(graph.values[spec.value].shape.at(1));
            parameters.index.insert(path.clone(), parameters.list.len());
            let (path, role, axes) = (path.clone(), spec.role, spec.axes.clone());
            parameters.list.push(Parameter { path, role, axes, frozen: false });
            parameters.values.push(value);
        }
        Ok(parameters)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Parameters and their values, in the order of their paths.
    pub fn iter(&self) -> impl Iterator<Item = (&Parameter, &Tensor)> {
        self.list.iter().zip(&self.values)
    }

    /// The same, with the values to write.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&Parameter, &mut Tensor)> {
        self.list.iter().zip(&mut self.values)
    }

    /// The value of the parameter at `path`.
    pub fn value(&self, path: &str) -> Option<&Tensor> {
        self.index.get(path).map(|&i| &self.values[i])
    }

    /// The same, to write.
    pub fn value_mut(&mut self, path: &str) -> Option<&mut Tensor> {
        self.index.get(path).map(|&i| &mut self.values[i])
    }

    /// The parameter at `path`.
    pub fn get(&self, path: &str) -> Option<&Parameter> {
        self.index.get(path).map(|&i| &self.list[i])
    }

    /// Gives the parameter at `path` a value.
    ///
    /// # Errors
    /// [`Error::Unknown`] or [`Error::ParameterShape`].
    pub fn set(&mut self, path: &str, value: Tensor) -> Result<()> {
        let slot = self.index.get(path).copied().ok_or_else(|| self.unknown(path))?;
        if self.values[slot].shape() != value.shape() {
            return Err(Error::ParameterShape {
                path: path.into(),
                expected: ShapeText(self.values[slot].shape()).to_string(),
                got: ShapeText(value.shape()).to_string(),
            });
        }
        self.values[slot] = value;
        Ok(())
    }

    /// Every path, for messages.
    pub(crate) fn known_paths(&self) -> String {
        self.list.iter().map(|parameter| parameter.path.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// The error for a path that no parameter has.
    pub(crate) fn unknown(&self, path: &str) -> Error {
        Error::Unknown { name: path.into(), known: self.known_paths() }
    }

    /// How many numbers gradients change.
    pub fn trained_count(&self) -> usize {
        self.iter().filter(|(parameter, _)| parameter.is_trained()).map(|(_, value)| value.len()).sum()
    }

    /// How many numbers gradients leave alone: state and what is frozen.
    pub fn fixed_count(&self) -> usize {
        self.iter().filter(|(parameter, _)| !parameter.is_trained()).map(|(_, value)| value.len()).sum()
    }

    /// Bytes of all values.
    pub fn bytes(&self) -> usize {
        self.values.iter().map(Tensor::len).sum::<usize>() * size_of::<f32>()
    }

    /// Freezes or thaws every parameter at or below `path`, by whole segments; answers how many that were.
    pub(crate) fn set_frozen(&mut self, path: &str, frozen: bool) -> usize {
        let below = |parameter: &&mut Parameter| {
            let rest = parameter.path.strip_prefix(path);
            path.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.list.iter_mut().filter(below).map(|parameter| parameter.frozen = frozen).count()
    }

    /// A number that changes with the paths and shapes: an objective fits only the model it was made from.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.iter()
            .fold(Key::new(0), |key, (parameter, value)| {
                value.shape().iter().fold(key.with(&parameter.path), |key, &size| key.at(size as u64))
            })
            .value()
    }

    /// Which parameters are frozen, in the order of their paths.
    pub(crate) fn frozen(&self) -> impl Iterator<Item = bool> {
        self.list.iter().map(|parameter| parameter.frozen)
    }

    pub(crate) fn values(&self) -> &[Tensor] {
        &self.values
    }

    pub(crate) fn index(&self) -> &HashMap<String, usize> {
        &self.index
    }
}
