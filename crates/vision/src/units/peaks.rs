//! The highest activations of every channel over many images.

use crate::{
    Error, Result,
    spatial::{SpatialLayer, find, image_input},
};
use ocelli_graph::{Batch, Model};

/// An activation of a channel: its value and place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peak {
    /// The activation.
    pub value: f32,
    /// The number of the sample, counted over all batches.
    pub sample: usize,
    /// Row and column of the unit.
    pub unit: [usize; 2],
}

/// The highest activations of each channel of a layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerPeaks {
    /// The name of the activation.
    pub layer: String,
    /// The peaks of each channel, the highest first; at most one of each sample.
    pub channels: Vec<Vec<Peak>>,
}

impl LayerPeaks {
    /// Returns the channels in falling order of their highest activation.
    pub fn strongest(&self) -> Vec<usize> {
        let highest = |channel: usize| self.channels[channel].first().map_or(f32::NEG_INFINITY, |peak| peak.value);
        let mut order: Vec<usize> = (0..self.channels.len()).collect();
        order.sort_by(|&a, &b| highest(b).total_cmp(&highest(a)));
        order
    }
}

/// Finds the `count` samples with the highest activation of every channel of the named spatial activations, and the unit that
/// has it. Batches stream through: kept are `count` numbers for each channel. `progress` is told the number of samples so
/// far after each batch.
///
/// Batches are those of a [`Loader`](ocelli_data::Loader) or any other; equal values keep the order of the samples.
///
/// ```
/// use ocelli_data::{Loader, Pipeline, synthetic};
/// use ocelli_graph::Model;
/// use ocelli_models::LeNet5;
/// use ocelli_vision::units::find_peaks;
/// let model = Model::from_layer(LeNet5::modern(10), [32, 32, 1], 42)?;
/// let loader = Loader::new(synthetic::digits(40, 1), Pipeline::mnist([32, 32]), 16)?;
/// let peaks = find_peaks(&model, &["c1", "c3"], loader.epoch(0), 9, |_| ())?;
/// assert_eq!((peaks[1].channels.len(), peaks[1].channels[0].len()), (16, 9));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::Invalid`] for a name of something else, [`Error::Data`] for a batch that cannot be read, [`Error::Graph`] for one
/// that the network cannot be run on.
pub fn find_peaks<E>(
    model: &Model,
    layers: &[&str],
    batches: impl IntoIterator<Item = std::result::Result<Batch, E>>,
    count: usize,
    mut progress: impl FnMut(usize),
) -> Result<Vec<LayerPeaks>>
where
    Error: From<E>,
{
    image_input(model)?;
    let found = layers.iter().map(|layer| find(model, layer)).collect::<Result<Vec<SpatialLayer>>>()?;
    let empty =
        |layer: &SpatialLayer| LayerPeaks { layer: layer.name.clone(), channels: vec![Vec::new(); layer.shape[2]] };
    let mut peaks: Vec<LayerPeaks> = found.iter().map(empty).collect();
    let mut samples = 0;
    for batch in batches {
        let batch = batch?;
        let activations = model.run(&batch, layers)?;
        let here = activations.first().map_or(0, |activation| activation.shape()[0]);
        for ((peaks, layer), activation) in peaks.iter_mut().zip(&found).zip(&activations) {
            let [height, width, channels] = layer.shape;
            for (number, values) in activation.data().chunks_exact(height * width * channels).enumerate() {
                let mut highest = vec![(f32::NEG_INFINITY, 0); channels];
                for (place, values) in values.chunks_exact(channels).enumerate() {
                    for (highest, &value) in highest.iter_mut().zip(values) {
                        if value > highest.0 {
                            *highest = (value, place);
                        }
                    }
                }
                for (list, (value, place)) in peaks.channels.iter_mut().zip(highest) {
                    let unit = [place / width, place % width];
                    insert(list, Peak { value, sample: samples + number, unit }, count);
                }
            }
        }
        samples += here;
        progress(samples);
    }
    Ok(peaks)
}

/// Inserts a peak behind those that are as high, and drops what is beyond `count`.
fn insert(list: &mut Vec<Peak>, peak: Peak, count: usize) {
    let at = list.partition_point(|known| known.value >= peak.value);
    if at < count {
        list.truncate(count.saturating_sub(1));
        list.insert(at, peak);
    }
}
