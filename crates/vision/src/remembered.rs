//! Images made of nothing but a network's weights: they show what it remembers. Each is found by changing the pixels until the network
//! sees what is wanted.

mod dream;
mod frequencies;
mod inversion;
mod maximisation;
#[cfg(test)]
mod tests;

pub use dream::{Dream, dream};
pub use inversion::{Inversion, InversionSettings, invert};
pub use maximisation::{Basis, Goal, Maximisation, maximise};

use ocelli_graph::Tensor;

/// Shifts an image `[1, H, W, C]` around its edges by so many rows and columns.
fn rolled(image: &Tensor, [down, right]: [usize; 2]) -> Tensor {
    let &[_, height, width, channels] = image.shape() else { return image.clone() };
    let mut moved = Vec::with_capacity(image.len());
    for row in 0..height {
        let line = &image.data()[(row + height - down % height) % height * width * channels..][..width * channels];
        let (before, behind) = line.split_at((width - right % width) % width * channels);
        moved.extend_from_slice(behind);
        moved.extend_from_slice(before);
    }
    Tensor::from_vec(image.shape(), moved).expect("as many values as before")
}
