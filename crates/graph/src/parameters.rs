//! The parameters of a model.

use crate::{Error, Graph, Key, ParameterAxis, ParameterRole, Result, memory, path::is_within};
use ocelli_tensor::{ShapeText, Size, Tensor};
use rayon::prelude::*;
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

/// A parameter of a model; its elements are in [`Parameters::value`].
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its path, such as `conv1.weight`.
    pub path: String,
    /// The way in which it changes.
    pub role: ParameterRole,
    /// Roles and sizes of its axes, as its layer declares them.
    pub axes: Vec<ParameterAxis>,
    /// True if gradients do not change it.
    pub frozen: bool,
}

impl Parameter {
    /// Returns true if gradients change it.
    pub fn is_trained(&self) -> bool {
        self.role == ParameterRole::Trained && !self.frozen
    }
}

/// The paths that [`Parameters::copy_from`] copied and did not copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CopyReport {
    /// Paths here that took a value.
    pub copied: Vec<String>,
    /// Paths here whose parameter has another shape there, and stays as it was.
    pub other_shape: Vec<String>,
    /// Paths here that do not exist there, and stay as they were.
    pub missing: Vec<String>,
    /// Paths there that do not exist here.
    pub unused: Vec<String>,
}

impl fmt::Display for CopyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} parameters copied", self.copied.len())?;
        let lists = [("other shapes", &self.other_shape), ("missing there", &self.missing), ("unused", &self.unused)];
        lists.iter().filter(|(_, list)| !list.is_empty()).try_for_each(|(what, list)| {
            let shown = list.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = if list.len() > 5 { ", …" } else { "" };
            write!(f, "; {} {what}: {shown}{more}", list.len())
        })
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
    /// Draws initial values, each from the seed and its own path alone.
    ///
    /// # Errors
    /// The errors of [`Parameters::zeros`].
    pub(crate) fn initial(graph: &Graph, seed: u64) -> Result<Parameters> {
        Parameters::from_other(graph, &Parameters::default(), seed, |_| false)
    }

    /// Allocates zeros: memory that is not touched until it is written.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if the system cannot provide the memory.
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

    /// Takes the values of `other` for parameters of the same path and shape that are to be kept, with what is frozen of
    /// them, and draws all others from the seed and their path.
    ///
    /// # Errors
    /// The errors of [`Parameters::zeros`].
    pub(crate) fn from_other(
        graph: &Graph,
        other: &Parameters,
        seed: u64,
        is_kept: impl Fn(&str) -> bool + Sync,
    ) -> Result<Parameters> {
        let mut parameters = Parameters::zeros(graph)?;
        let key = Key::new(seed).with("initial");
        let specs: Vec<_> = graph.parameters.values().collect();
        let all = parameters.list.par_iter_mut().zip(&mut parameters.values).zip(specs);
        all.for_each(|((parameter, value), spec)| {
            let known = other.index.get(&parameter.path).filter(|_| is_kept(&parameter.path));
            match known.map(|&i| (&other.list[i], &other.values[i])).filter(|(_, known)| known.shape() == value.shape())
            {
                Some((known, known_value)) => {
                    *value = known_value.clone();
                    parameter.frozen = known.frozen;
                }
                None => spec.initializer.fill(&spec.axes, key.with(&parameter.path), value.data_mut()),
            }
        });
        Ok(parameters)
    }

    /// Number of parameters.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Returns true if there are no parameters.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Parameters and their values, in the order of their paths.
    pub fn iter(&self) -> impl Iterator<Item = (&Parameter, &Tensor)> {
        self.list.iter().zip(&self.values)
    }

    /// Parameters and their values to write, in the order of their paths.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&Parameter, &mut Tensor)> {
        self.list.iter().zip(&mut self.values)
    }

    /// The value of the parameter at `path`.
    pub fn value(&self, path: &str) -> Option<&Tensor> {
        self.index.get(path).map(|&i| &self.values[i])
    }

    /// The value of the parameter at `path`, to write.
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

    /// Copies the values of all parameters of another model that have a path and a shape of this one. The report lists what
    /// was copied and what was not.
    ///
    /// ```
    /// use ocelli_graph::{Constant, Model, Node};
    /// let scale = |value| move |x: &Node| x * x.trace().parameter("weight", [3], Constant(value));
    /// let trained = Model::build(|x| x.scope("a", scale(2.0)).scope("fc", scale(3.0)), [3], 0)?;
    /// let mut model = Model::build(|x| x.scope("a", scale(0.0)).scope("head", scale(0.0)), [3], 0)?;
    /// let report = model.parameters_mut().copy_from(trained.parameters());
    /// assert_eq!(report.copied, ["a.weight"]);
    /// assert_eq!((&report.missing[..], &report.unused[..]), (&["head.weight".into()][..], &["fc.weight".into()][..]));
    /// # Ok::<(), ocelli_graph::Error>(())
    /// ```
    pub fn copy_from(&mut self, source: &Parameters) -> CopyReport {
        self.copy_below("", source, "")
    }

    /// Copies the parameters at or below `theirs` in another model to those at or below `ours`, as
    /// [`copy_from`](Parameters::copy_from) does: `copy_below("left", autoencoder.parameters(), "encoder")`. The empty path
    /// is the whole model.
    pub fn copy_below(&mut self, ours: &str, source: &Parameters, theirs: &str) -> CopyReport {
        let mut report = CopyReport::default();
        let relative = |path: &str, layer: &str| {
            is_within(path, layer).then(|| path[layer.len()..].trim_start_matches('.').to_string())
        };
        let mut unused: BTreeMap<String, usize> = BTreeMap::new();
        unused
            .extend(source.list.iter().enumerate().filter_map(|(i, known)| Some((relative(&known.path, theirs)?, i))));
        for (parameter, value) in self.list.iter().zip(&mut self.values) {
            let Some(name) = relative(&parameter.path, ours) else { continue };
            let path = parameter.path.clone();
            match unused.remove(&name).map(|i| &source.values[i]) {
                None => report.missing.push(path),
                Some(known) if known.shape() != value.shape() => report.other_shape.push(path),
                Some(known) => {
                    *value = known.clone();
                    report.copied.push(path);
                }
            }
        }
        report.unused = unused.into_values().map(|i| source.list[i].path.clone()).collect();
        report
    }

    /// Lists every path, for messages.
    pub(crate) fn known_paths(&self) -> String {
        self.list.iter().map(|parameter| parameter.path.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// The error for a path that no parameter has.
    pub(crate) fn unknown(&self, path: &str) -> Error {
        Error::Unknown { name: path.into(), known: self.known_paths() }
    }

    /// Number of elements that gradients change.
    pub fn trained_count(&self) -> usize {
        self.iter().filter(|(parameter, _)| parameter.is_trained()).map(|(_, value)| value.len()).sum()
    }

    /// Number of elements that gradients do not change: state and frozen parameters.
    pub fn fixed_count(&self) -> usize {
        self.iter().filter(|(parameter, _)| !parameter.is_trained()).map(|(_, value)| value.len()).sum()
    }

    /// Size of all values, in bytes.
    pub fn bytes(&self) -> usize {
        self.values.iter().map(Tensor::len).sum::<usize>() * size_of::<f32>()
    }

    /// Freezes or unfreezes every parameter at or below `path`, by whole segments; returns how many there are.
    pub(crate) fn set_frozen(&mut self, path: &str, frozen: bool) -> usize {
        let below = |parameter: &&mut Parameter| is_within(&parameter.path, path);
        self.list.iter_mut().filter(below).map(|parameter| parameter.frozen = frozen).count()
    }

    /// Returns a hash of the paths and shapes: an objective fits only the model it was made from.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.iter()
            .fold(Key::new(0), |key, (parameter, value)| {
                value.shape().iter().fold(key.with(&parameter.path), |key, &size| key.at(size as u64))
            })
            .value()
    }

    /// True for each parameter that is frozen, in the order of their paths.
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
