//! One error for every crate.

use ocelli_data as data;
use ocelli_graph as graph;
use ocelli_kernels as kernels;
use ocelli_models as models;
#[cfg(feature = "onnx")]
use ocelli_onnx as onnx;
#[cfg(feature = "plot")]
use ocelli_plot as plot;
use ocelli_tensor as tensor;
use ocelli_train as train;
#[cfg(feature = "vision")]
use ocelli_vision as vision;
use std::{error::Error as StdError, fmt, io};

/// An error of any part of the library; a program that uses several parts returns `ocelli::Result<()>` from `main`.
///
/// `Display` writes the message of the original error. `Debug` writes it too, with the causes that it does not mention,
/// because that is printed when `main` returns an error. [`Error::other`] converts an error of another library; `?` and
/// `into` convert text.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A tensor could not be made, read or written.
    #[error(transparent)]
    Tensor(#[from] tensor::Error),
    /// A network could not be described, planned or run.
    #[error(transparent)]
    Graph(#[from] graph::Error),
    /// The gradients of an operation differ from those of its kernel.
    #[error(transparent)]
    Gradient(#[from] graph::GradientError),
    /// A table of connections is not valid.
    #[error(transparent)]
    Connections(#[from] graph::ops::ConnectionError),
    /// Samples could not be read, prepared or batched.
    #[error(transparent)]
    Data(#[from] data::Error),
    /// Training failed, or its files could not be read or written.
    #[error(transparent)]
    Train(#[from] train::Error),
    /// An image of results could not be drawn or written.
    #[cfg(feature = "plot")]
    #[error(transparent)]
    Plot(#[from] plot::Error),
    /// A visualisation, a style transfer or a face verification failed.
    #[cfg(feature = "vision")]
    #[error(transparent)]
    Vision(#[from] vision::Error),
    /// An ONNX file could not be read or written.
    #[cfg(feature = "onnx")]
    #[error(transparent)]
    Onnx(#[from] onnx::Error),
    /// Weights could not be read, written or put into a model.
    #[error(transparent)]
    Weights(#[from] models::WeightsError),
    /// A network in one file could not be read or written.
    #[error(transparent)]
    Network(#[from] models::NetworkError),
    /// No network has the given name.
    #[error(transparent)]
    UnknownNetwork(#[from] models::UnknownNetwork),
    /// A convolution of these sizes is not possible.
    #[error(transparent)]
    Convolution(#[from] kernels::conv::GeometryError),
    /// A pooling of these sizes is not possible.
    #[error(transparent)]
    Pooling(#[from] kernels::pool::PoolError),
    /// An image cannot be padded in this way.
    #[error(transparent)]
    Padding(#[from] kernels::pad::PadError),
    /// An image cannot be resized in this way.
    #[error(transparent)]
    Interpolation(#[from] kernels::interpolate::InterpolationError),
    /// A label is not below the number of classes.
    #[error(transparent)]
    Label(#[from] kernels::softmax::LabelError),
    /// The system refused a read or a write.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// An error of another library, or a message.
    #[error(transparent)]
    Other(Box<dyn StdError + Send + Sync>),
}

impl Error {
    /// Wraps an error of another library, or a message.
    ///
    /// ```
    /// fn threads(text: &str) -> ocelli::Result<usize> {
    ///     text.parse().map_err(ocelli::Error::other)
    /// }
    /// assert_eq!(threads("many").unwrap_err().to_string(), "invalid digit found in string");
    /// ```
    pub fn other(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
        Error::Other(error.into())
    }
}

/// Writes the message, and each cause that it does not mention.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = self.to_string();
        f.write_str(&said)?;
        let mut cause = self.source();
        while let Some(error) = cause {
            let sentence = error.to_string();
            if !said.contains(&sentence) {
                write!(f, ": {sentence}")?;
            }
            said = sentence;
            cause = error.source();
        }
        Ok(())
    }
}

impl From<graph::BuildError> for Error {
    fn from(error: graph::BuildError) -> Error {
        Error::Graph(error.into())
    }
}

impl From<Box<dyn StdError + Send + Sync>> for Error {
    fn from(error: Box<dyn StdError + Send + Sync>) -> Error {
        Error::Other(error)
    }
}

impl From<String> for Error {
    fn from(sentence: String) -> Error {
        Error::other(sentence)
    }
}

impl From<&str> for Error {
    fn from(sentence: &str) -> Error {
        Error::other(sentence)
    }
}

/// A result whose error is the library's [`Error`] by default.
///
/// ```
/// use ocelli::prelude::*;
///
/// fn main() -> ocelli::Result<()> {
///     let model = Model::from_layer(LeNet5::modern(10), [32, 32, 1], 42)?;
///     let y = model.predict(&Tensor::zeros([1, 32, 32, 1]))?;
///     assert_eq!(y.shape(), [1, 10]);
///     Ok(())
/// }
/// ```
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;
    use ocelli_graph::{Model, Node, Tensor};

    fn build() -> Result<Model> {
        Ok(Model::build(|x: &Node| x.dropout(2.0), [3], 0)?)
    }

    #[test]
    fn errors_of_every_crate_become_one() {
        fn all(which: usize) -> Result<()> {
            match which {
                0 => build().map(drop),
                1 => Ok(Tensor::from_vec([2], vec![1.0]).map(drop)?),
                2 => Ok(models::by_name("lenet7", None).map(drop)?),
                3 => Ok(models::read_metadata("nowhere.safetensors").map(drop)?),
                4 => Ok(data::find("no-such-data", None).map(drop)?),
                5 => Ok(train::read_container::<u32>("nowhere").map(drop)?),
                6 => Ok(models::load_network("nowhere.safetensors").map(drop)?),
                7 => Ok(std::fs::read("nowhere").map(drop)?),
                8 => Ok(graph::ops::ConnectionTable::new(1, &[&[]]).map(drop)?),
                _ => Err("a sentence".into()),
            }
        }
        let texts: Vec<String> = (0..10).map(|which| all(which).unwrap_err().to_string()).collect();
        assert_eq!(texts[0], "(Dropout): the probability 2 is not in [0, 1)");
        assert_eq!(texts[9], "a sentence");
        assert!(texts.iter().all(|text| !text.is_empty()), "{texts:?}");
    }

    #[test]
    fn a_main_that_fails_prints_the_sentence() {
        let error = build().unwrap_err();
        assert_eq!(format!("{error:?}"), "(Dropout): the probability 2 is not in [0, 1)");
    }

    #[test]
    fn causes_are_said_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("the run failed")]
        struct Outer(#[source] Inner);
        #[derive(Debug, thiserror::Error)]
        #[error("{file}: {source}")]
        struct Inner {
            file: &'static str,
            source: io::Error,
        }
        let source = io::Error::other("no room");
        let error = Error::other(Outer(Inner { file: "log.jsonl", source }));
        assert_eq!(format!("{error:?}"), "the run failed: log.jsonl: no room");
    }
}
