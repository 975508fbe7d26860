//! Assigns the tensors of a file to the parameters of a model.

use super::{
    LoadReport, WeightFile, WeightsError, WrongShape,
    layout::FileLayout,
    names::Names,
    names::is_below,
    stored::{PIECE, is_readable},
};
use ocelli_graph::Model;
use ocelli_kernels::finite::first_non_finite;
use ocelli_tensor::Tensor;
use rayon::prelude::*;
use std::{cmp::Reverse, collections::BTreeSet, path::Path};

/// Loads weights into models: all of them, or a part under other names.
///
/// Names go through three steps. A wrapper around everything (`module.` of `DataParallel`, `_orig_mod.` of
/// `torch.compile`) is stripped. Then the rules [`strip`](WeightLoader::strip) and [`rename`](WeightLoader::rename) are
/// applied in the order in which they were given, each to whole segments between dots. Then
/// [`only`](WeightLoader::only) and [`except`](WeightLoader::except) select the paths to load.
///
/// All selected paths must match and all loaded values must be finite, unless the loader is
/// [`lenient`](WeightLoader::lenient). A rule that changes no name is reported ([`LoadReport::unused`]) and is not an
/// error.
///
/// ```
/// use ocelli_graph::Model;
/// use ocelli_models::{LeNet5, Metadata, WeightLoader, save_weights};
/// let path = std::env::temp_dir().join(format!("ocelli-doc-loader-{}.safetensors", std::process::id()));
/// save_weights(&Model::from_layer(LeNet5::modern(10), [32, 32, 1], 0)?, &path, &Metadata::new())?;
///
/// // Another task: all but the last layer, which has as many outputs as there are classes.
/// let mut model = Model::from_layer(LeNet5::modern(3), [32, 32, 1], 1)?;
/// let report = WeightLoader::new().except("output").load(&mut model, &path)?;
/// assert_eq!(report.to_string(), "8 loaded, 2 left out");
/// # std::fs::remove_file(path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct WeightLoader {
    /// The beginnings of paths to replace, with their replacements.
    rules: Vec<(String, String)>,
    only: Vec<String>,
    except: Vec<String>,
    ignored: Vec<String>,
    lenient: bool,
}

fn is_below_any(path: &str, list: &[String]) -> bool {
    list.iter().any(|above| is_below(path, above))
}

fn segments(path: impl Into<String>) -> String {
    path.into().trim_matches('.').to_string()
}

impl WeightLoader {
    /// Creates a loader of every parameter under its own path; a mismatch of any refuses all.
    pub fn new() -> WeightLoader {
        WeightLoader::default()
    }

    /// Strips `prefix` from the names that begin with it: `backbone` makes `backbone.conv1.weight` to `conv1.weight`.
    pub fn strip(self, prefix: impl Into<String>) -> WeightLoader {
        self.rename(prefix, "")
    }

    /// Replaces `from` at the beginning of names: `fc` by `head` makes `fc.weight` to `head.weight` and leaves
    /// `fc2.weight`. An empty `from` puts `to` in front of every name.
    pub fn rename(mut self, from: impl Into<String>, to: impl Into<String>) -> WeightLoader {
        self.rules.push((segments(from), segments(to)));
        self
    }

    /// Loads only parameters at or below `path`; further calls add paths.
    pub fn only(mut self, path: impl Into<String>) -> WeightLoader {
        self.only.push(segments(path));
        self
    }

    /// Leaves out parameters and tensors at or below `path`, such as the head, to train another one.
    pub fn except(mut self, path: impl Into<String>) -> WeightLoader {
        self.except.push(segments(path));
        self
    }

    /// Leaves out tensors at or below `path` that the model does not have, such as auxiliary heads for training only.
    /// Unlike [`except`](WeightLoader::except) it leaves out no parameter, and there need not be any such tensor.
    pub fn ignore(mut self, path: impl Into<String>) -> WeightLoader {
        self.ignored.push(segments(path));
        self
    }

    /// Loads what matches and reports the rest instead of refusing it.
    pub fn lenient(mut self) -> WeightLoader {
        self.lenient = true;
        self
    }

    /// Loads from the file at `path`.
    ///
    /// # Errors
    /// The errors of [`WeightFile::open`] and [`WeightLoader::load_from`].
    pub fn load(&self, model: &mut Model, path: impl AsRef<Path>) -> Result<LoadReport, WeightsError> {
        self.load_from(model, &mut WeightFile::open(path)?)
    }

    /// Loads from an open file. Names and shapes are all compared before the first element is read, and nothing is
    /// changed unless they match. Tensors are then read in pieces, each to its place in the model, on all threads; if a
    /// read fails, some of the elements are loaded.
    ///
    /// # Errors
    /// [`WeightsError::Mismatch`] with all that is missing, unexpected or of another shape, [`WeightsError::Nothing`]
    /// if a path to load or to leave out does not exist, those of [`WeightFile::read`], and
    /// [`WeightsError::NotFinite`], which is only known after the weights are loaded.
    pub fn load_from(&self, model: &mut Model, file: &mut WeightFile) -> Result<LoadReport, WeightsError> {
        let file = &*file;
        let names = Names::for_model(file, model, &self.rules);
        self.check_paths(model, &names, file.name())?;
        let (mut report, planned) = self.compare(model, file, &names);
        if !self.lenient && !report.is_complete() {
            return Err(WeightsError::Mismatch { path: file.name().into(), report: Box::new(report) });
        }
        drop(names);
        let mut planned = planned.into_iter().peekable();
        let parameters = model.parameters_mut().iter_mut();
        let mut reads: Vec<(Planned<'_>, &mut Tensor)> = parameters
            .filter_map(|(parameter, value)| Some((planned.next_if(|planned| planned.path == parameter.path)?, value)))
            .collect();
        // The largest first, one tensor per task, so that threads finish at the same time.
        reads.sort_by_key(|(.., value)| Reverse(value.len()));
        let read = |(Planned { path, name, layout }, value): (Planned<'_>, &mut Tensor)| {
            let (value, mut finite) = (value.data_mut(), true);
            file.read_pieces(name, layout.piece(PIECE), |first, piece| {
                finite &= first_non_finite(piece).is_none();
                layout.piece_to_model(first, piece, value);
            })?;
            Ok((!finite).then_some(path))
        };
        let outcomes: Vec<Result<Option<String>, WeightsError>> =
            reads.into_par_iter().with_max_len(1).map(read).collect();
        report.not_finite = outcomes.into_iter().filter_map(Result::transpose).collect::<Result<_, _>>()?;
        report.not_finite.sort();
        if !self.lenient && !report.not_finite.is_empty() {
            return Err(WeightsError::NotFinite { path: file.name().into(), report: Box::new(report) });
        }
        Ok(report)
    }

    /// Returns true if the parameter or tensor at `path` is selected.
    fn selects(&self, path: &str) -> bool {
        (self.only.is_empty() || is_below_any(path, &self.only)) && !is_below_any(path, &self.except)
    }

    fn check_paths(&self, model: &Model, names: &Names<'_>, file: &str) -> Result<(), WeightsError> {
        for above in self.only.iter().chain(&self.except) {
            let parameters = model.parameters().iter().map(|(parameter, _)| parameter.path.as_str());
            if !parameters.chain(names.paths()).any(|path| is_below(path, above)) {
                return Err(WeightsError::Nothing { path: file.into(), below: above.clone() });
            }
        }
        Ok(())
    }

    /// Compares the file with the model; returns the report and the parameters to load.
    fn compare<'a>(&self, model: &Model, file: &WeightFile, names: &Names<'a>) -> (LoadReport, Vec<Planned<'a>>) {
        let (metadata, unused) = (file.metadata().clone(), names.unused.clone());
        let mut report = LoadReport { metadata, unused, ..LoadReport::default() };
        let mut planned = Vec::new();
        let mut left_out = BTreeSet::new();
        // every parameter against its tensor in the file
        for (parameter, value) in model.parameters().iter() {
            let path = &parameter.path;
            let layout = FileLayout::for_parameter(parameter, value.shape());
            if !self.selects(path) {
                left_out.insert(path.clone());
                continue;
            }
            let mut named = names.at(path);
            let name = match (named.next(), named.next()) {
                (None, _) => {
                    report.missing.push(path.clone());
                    continue;
                }
                (Some(name), None) => name,
                _ => {
                    report.ambiguous.push(path.clone());
                    continue;
                }
            };
            let info = file.info(name).expect("names are those of the file");
            if info.shape != layout.shape {
                let (path, expected, got) = (path.clone(), layout.shape, info.shape.clone());
                report.wrong_shape.push(WrongShape { path, expected, got });
            } else if !is_readable(info.dtype) {
                report.unreadable.push((path.clone(), info.dtype));
            } else {
                report.loaded.push(path.clone());
                planned.push(Planned { path: path.clone(), name, layout });
            }
        }
        // every tensor that the model does not have
        for path in names.paths().filter(|path| model.parameters().get(path).is_none()) {
            if !self.selects(path) || is_counter(path) || is_below_any(path, &self.ignored) {
                left_out.insert(path.to_string());
            } else {
                report.unexpected.push(path.to_string());
            }
        }
        report.left_out = left_out.into_iter().collect();
        (report, planned)
    }
}

/// A parameter to load.
struct Planned<'a> {
    path: String,
    /// The name in the file.
    name: &'a str,
    /// The layout in the file.
    layout: FileLayout,
}

/// Returns true for a counter that only PyTorch needs: the number of batches in the running statistics of a
/// normalisation.
fn is_counter(path: &str) -> bool {
    path.rsplit('.').next() == Some("num_batches_tracked")
}
