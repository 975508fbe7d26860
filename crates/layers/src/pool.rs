//! Pooling.

use crate::Pair;
use ocelli_graph::{Layer, Node};
use ocelli_kernels::pool::{CountPadding, PoolSettings};

macro_rules! window_settings {
    ($layer:ident) => {
        impl $layer {
            /// Sets the stride: pixels from one window to the next; the default is the size of the window.
            pub fn stride(mut self, stride: impl Into<Pair>) -> $layer {
                let stride = stride.into();
                (self.settings.stride_h, self.settings.stride_w) = (stride.h, stride.w);
                self
            }

            /// Sets the padding: pixels around the image, on all four sides; at most half the window.
            pub fn padding(mut self, padding: impl Into<Pair>) -> $layer {
                let padding = padding.into();
                (self.settings.pad_top, self.settings.pad_bottom) = (padding.h, padding.h);
                (self.settings.pad_left, self.settings.pad_right) = (padding.w, padding.w);
                self
            }

            /// Also includes windows that reach beyond the last pixel.
            pub fn ceil(mut self) -> $layer {
                self.settings.rounding = ocelli_kernels::pool::Rounding::Ceil;
                self
            }
        }
    };
}

/// Computes the maximum of each window and channel. Windows may overlap (Krizhevsky et al. 2012: size 3, stride 2).
///
/// # Shapes
/// `[N, H, W, C]` → `[N, H', W', C]` with `H' = ⌊(H + padding − size) / stride⌋ + 1`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MaxPool2d {
    settings: PoolSettings,
}

impl MaxPool2d {
    /// Makes windows of `size` pixels (`2`, or `[1, 2]` for rows and columns), side by side.
    pub fn new(size: impl Into<Pair>) -> MaxPool2d {
        MaxPool2d { settings: side_by_side(size.into()) }
    }
}

window_settings!(MaxPool2d);

impl Layer for MaxPool2d {
    fn forward(&self, x: &Node) -> Node {
        x.max_pool(self.settings)
    }
}

/// Computes the mean of each window and channel.
///
/// # Shapes
/// `[N, H, W, C]` → `[N, H', W', C]`, with the sizes of [`MaxPool2d`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AvgPool2d {
    settings: PoolSettings,
    count: CountPadding,
}

impl AvgPool2d {
    /// Makes windows of `size` pixels, side by side; padding counts as zeros.
    pub fn new(size: impl Into<Pair>) -> AvgPool2d {
        AvgPool2d { settings: side_by_side(size.into()), count: CountPadding::Include }
    }

    /// Sets whether padding counts as zeros or is left out of the mean.
    pub fn count_padding(mut self, count: CountPadding) -> AvgPool2d {
        self.count = count;
        self
    }
}

window_settings!(AvgPool2d);

impl Layer for AvgPool2d {
    fn forward(&self, x: &Node) -> Node {
        x.avg_pool(self.settings, self.count)
    }
}

fn side_by_side(size: Pair) -> PoolSettings {
    PoolSettings { kernel_h: size.h, kernel_w: size.w, stride_h: size.h, stride_w: size.w, ..PoolSettings::square(1) }
}

/// Averages each channel: `[N, H, W, C]` → `[N, C]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GlobalAvgPool;

impl Layer for GlobalAvgPool {
    fn forward(&self, x: &Node) -> Node {
        x.global_avg_pool()
    }
}

/// Computes means over windows that divide the image as evenly as possible into a given number.
///
/// # Shapes
/// `[N, H, W, C]` → `[N, h, w, C]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdaptiveAvgPool2d(Pair);

impl AdaptiveAvgPool2d {
    /// Makes a pooling to `out` windows in each direction, rows and columns.
    pub fn new(out: impl Into<Pair>) -> AdaptiveAvgPool2d {
        AdaptiveAvgPool2d(out.into())
    }
}

impl Layer for AdaptiveAvgPool2d {
    fn forward(&self, x: &Node) -> Node {
        x.adaptive_avg_pool(self.0.h, self.0.w)
    }
}
