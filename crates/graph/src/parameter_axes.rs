//! Roles of the axes of a parameter.

use crate::Shape;
use ocelli_tensor::Size;

/// The role of one axis of a parameter, as the layer that makes the parameter declares it.
///
/// Weight files and initialisers read roles and never guess them from a name or a rank.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AxisRole {
    /// The layer declares no role. Files keep such a parameter as it lies; initialisers take the last axis for outputs,
    /// the one before it for inputs, and the others for a filter's window.
    #[default]
    Unnamed,
    /// Rows of a filter's window.
    KernelHeight,
    /// Columns of a filter's window.
    KernelWidth,
    /// Inputs that are summed for one output: of a convolution in groups those of one group.
    Inputs,
    /// Inputs that are the elements of a flattened image of more than one pixel: rows, then columns, then channels. PyTorch
    /// flattens images with the channels first.
    FlattenedInputs {
        /// Rows of pixels.
        height: usize,
        /// Columns of pixels.
        width: usize,
        /// Channels.
        channels: usize,
    },
    /// Outputs of a layer with weights.
    Outputs,
    /// Pairs of an input map and an output map that a connection table lists.
    Connections {
        /// Input maps of the table.
        inputs: usize,
        /// Output maps of the table.
        outputs: usize,
    },
    /// Channels or features that a layer treats each for itself, as normalisations do.
    Features,
}

/// One axis of a parameter: its role and its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ParameterAxis {
    /// Role of the axis.
    pub role: AxisRole,
    /// Number of elements along the axis.
    pub size: usize,
}

/// The shape that a parameter is made with: sizes alone (`[3, 4]`, every axis [unnamed](AxisRole::Unnamed)), or roles and sizes.
///
/// ```
/// use ocelli_graph::{AxisRole, Constant, Model, Node};
/// let shape = ([AxisRole::Inputs, AxisRole::Outputs], [3, 4]);
/// let model = Model::build(|x: &Node| x.matmul(&x.trace().parameter("w", shape, Constant(1.0))), [3], 0)?;
/// assert_eq!(model.parameters().get("w").unwrap().axes[1].role, AxisRole::Outputs);
/// # Ok::<(), ocelli_graph::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ParameterShape {
    pub(crate) shape: Shape,
    pub(crate) roles: Vec<AxisRole>,
}

impl<S: Into<Shape>> From<S> for ParameterShape {
    fn from(shape: S) -> ParameterShape {
        let shape = shape.into();
        ParameterShape { roles: vec![AxisRole::Unnamed; shape.rank()], shape }
    }
}

impl<const RANK: usize> From<([AxisRole; RANK], [usize; RANK])> for ParameterShape {
    fn from((roles, sizes): ([AxisRole; RANK], [usize; RANK])) -> ParameterShape {
        ParameterShape { shape: Shape::from(sizes), roles: roles.to_vec() }
    }
}

impl ParameterShape {
    /// Returns what is wrong with the roles, in a sentence about the parameter: an image has as many elements as its axis.
    pub(crate) fn objection(&self) -> Option<String> {
        self.roles.iter().zip(self.shape.at(1)).find_map(|(&role, size)| {
            let AxisRole::FlattenedInputs { height, width, channels } = role else { return None };
            let fits = Size::product_of(&[height, width, channels]).get() == Some(size);
            (!fits).then(|| format!("has an axis of {size} for a flattened image [{height}, {width}, {channels}]"))
        })
    }

    /// Returns the axes with their sizes; an axis that depends on the batch, which no parameter may have, counts as for one
    /// sample.
    pub fn axes(&self) -> Vec<ParameterAxis> {
        self.roles.iter().zip(self.shape.at(1)).map(|(&role, size)| ParameterAxis { role, size }).collect()
    }
}
