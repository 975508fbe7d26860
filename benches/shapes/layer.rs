//! A layer of a table of networks.

use ocelli::kernels::conv::{Conv2dGeometry, Conv2dSettings, Padding};

/// A layer of a network.
#[derive(Clone, Debug)]
pub struct Layer {
    pub name: String,
    pub operation: Operation,
    /// Batch of a training step.
    pub batch: usize,
    /// Number of layers of these sizes in the network.
    pub count: usize,
}

impl Layer {
    /// Returns the number of multiply-accumulates of a pass over a batch.
    pub fn macs(&self, batch: usize) -> u64 {
        match &self.operation {
            Operation::Convolution(convolution) => convolution.geometry(batch).macs(),
            Operation::Dense(Dense { inputs, outputs }) => (batch * inputs * outputs) as u64,
        }
    }

    /// Returns the number of bytes of the operands of a pass over a batch: each is read or written once.
    pub fn bytes(&self, batch: usize) -> u64 {
        let numbers = match &self.operation {
            Operation::Convolution(convolution) => {
                let g = convolution.geometry(batch);
                g.input_len() + g.filter_len() + g.output_len()
            }
            Operation::Dense(Dense { inputs, outputs }) => batch * (inputs + outputs) + inputs * outputs,
        };
        (numbers * size_of::<f32>()) as u64
    }
}

/// Operation that a layer computes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Operation {
    Convolution(Convolution),
    Dense(Dense),
}

/// A convolution, whatever the batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Convolution {
    /// Shape of an image, `[H, W, C]`.
    pub input: [usize; 3],
    /// Shape of the filter, `[kernel_h, kernel_w, C / groups, filters]`.
    pub filter: [usize; 4],
    pub stride: usize,
    pub padding: usize,
    pub groups: usize,
}

/// Creates a convolution of stride 1 that keeps the size of its image, where the filter is odd.
pub const fn convolution(input: [usize; 3], filter: [usize; 4]) -> Convolution {
    Convolution { input, filter, stride: 1, padding: (filter[0] - 1) / 2, groups: 1 }
}

impl Convolution {
    pub const fn stride(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    pub const fn padding(self, padding: usize) -> Self {
        Self { padding, ..self }
    }

    pub const fn groups(self, groups: usize) -> Self {
        Self { groups, ..self }
    }

    /// Returns this convolution as a layer of a table.
    pub fn layer(self, name: impl Into<String>, batch: usize) -> Layer {
        Layer { name: name.into(), operation: Operation::Convolution(self), batch, count: 1 }
    }

    /// Returns the geometry for a batch.
    pub fn geometry(&self, batch: usize) -> Conv2dGeometry {
        let settings = Conv2dSettings {
            stride_h: self.stride,
            stride_w: self.stride,
            padding: Padding::uniform(self.padding),
            groups: self.groups,
            ..Conv2dSettings::default()
        };
        let [height, width, channels] = self.input;
        Conv2dGeometry::new(&settings, [batch, height, width, channels], self.filter)
            .unwrap_or_else(|error| panic!("{self:?}: {error}"))
    }
}

/// A fully connected layer, `[batch, inputs] · [inputs, outputs]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dense {
    pub inputs: usize,
    pub outputs: usize,
}

/// Creates a fully connected layer of a table.
pub fn dense(name: impl Into<String>, [inputs, outputs]: [usize; 2], batch: usize) -> Layer {
    Layer { name: name.into(), operation: Operation::Dense(Dense { inputs, outputs }), batch, count: 1 }
}
