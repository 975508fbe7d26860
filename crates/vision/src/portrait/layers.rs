//! The part of a portrait about what excites the units.

use super::{Portrait, at_most};
use crate::{
    Result,
    page::{Page, Picture},
    spatial::{SpatialLayer, find, last_of_each_size},
    units::{Projector, ReceptiveField, find_peaks},
};
use ocelli_data::Loader;
use ocelli_graph::{BackwardRules, Tensor};
use std::{cell::Cell, ops::ControlFlow};

/// Largest number of layers that are shown without being named.
const MOST_LAYERS: usize = 5;
/// Longer side of a patch on the page, in pixels.
const PATCH: usize = 72;

impl Portrait<'_> {
    /// The layers that are shown: those that were named, or the last of each size.
    pub(super) fn shown_layers(&self) -> Vec<SpatialLayer> {
        if self.layers.is_empty() {
            let layers = last_of_each_size(self.model);
            let spare = layers.len().saturating_sub(MOST_LAYERS);
            return layers.into_iter().skip(spare).collect();
        }
        self.layers.iter().filter_map(|name| find(self.model, name).ok()).collect()
    }

    pub(super) fn add_units(
        &self,
        page: &mut Page,
        loader: &Loader,
        progress: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<()> {
        let layers = self.shown_layers();
        let names: Vec<&str> = layers.iter().map(|layer| layer.name.as_str()).collect();
        let (samples, stopped) = (loader.dataset().len(), Cell::new(false));
        let batches = loader.epoch(0).take_while(|_| !stopped.get());
        let peaks = find_peaks(self.model, &names, batches, self.patches, |so_far| {
            if so_far % 512 < super::AT_ONCE || so_far == samples {
                stopped.set(progress(&format!("{so_far} of {samples} images")).is_break());
            }
        })?;
        page.part("What excites the units");
        page.paragraph(
            "For the channels of each layer with the highest activations: the patches of the images that excite them most, cut out as \
             their receptive field, with the activation; below each, its projection back to the pixels by a deconvolutional \
             network (Zeiler and Fergus 2013), by its largest magnitude.",
        );
        for (layer, peaks) in layers.iter().zip(&peaks) {
            if stopped.get() {
                break;
            }
            let Ok(field) = ReceptiveField::of_layer(self.model, &layer.name) else { continue };
            let ([rows, columns], [height, width, channels]) = (field.size, layer.shape);
            page.part(&layer.name);
            page.paragraph(&format!(
                "{channels} channels of {height} × {width} units. A unit sees {rows} × {columns} pixels, {} from one to the next.",
                field.step[0].max(field.step[1])
            ));
            let mut projector = Projector::new(self.model, &layer.name, &BackwardRules::deconvnet())?;
            let mut groups = Vec::new();
            for channel in peaks.strongest().into_iter().take(self.channels) {
                let list = peaks.channels[channel].iter().filter(|peak| peak.value > 0.0);
                let (mut patches, mut projections) = (Vec::new(), Vec::new());
                for peak in list {
                    let image = self.prepared(loader, peak.sample)?;
                    let projection = projector.project(&image, channel, peak.unit)?;
                    let patch = whole_field(&self.shown(&image)?, &field, peak.unit, 0.97)?;
                    patches.push(Picture::new(at_most(&patch, PATCH)?, format!("{:.1}", peak.value)));
                    let projection = at_most(&whole_field(&projection, &field, peak.unit, 0.0)?, PATCH)?;
                    projections.push(Picture::new(self.shown_signed(&projection)?, ""));
                }
                if !patches.is_empty() {
                    groups.push((format!("channel {channel}"), vec![patches, projections]));
                }
            }
            page.groups(PATCH, &groups)?;
            if progress(&format!("layer {}", layer.name)).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// Cuts out what a unit sees, with `outside` for what lies beyond the image, as large as the field or the image.
fn whole_field(image: &Tensor, field: &ReceptiveField, unit: [usize; 2], outside: f32) -> Result<Tensor> {
    let (patch, [rows, columns]) = (field.cut(image, unit)?, field.pixels(unit));
    let &[height, width, channels] = patch.shape() else { return Ok(patch) };
    let size: [usize; 2] = std::array::from_fn(|axis| field.size[axis].min(field.image[axis]));
    // a field that begins before the image has its padding there, any other behind
    let begins_before = |axis: usize| field.offset[axis].saturating_add_unsigned(unit[axis] * field.step[axis]) < 0;
    let place = |axis: usize, len: usize| if begins_before(axis) { size[axis] - len } else { 0 };
    let (top, left) = (place(0, rows.len()), place(1, columns.len()));
    let mut whole = Tensor::try_zeros([size[0], size[1], channels])?;
    whole.data_mut().fill(outside);
    for row in 0..height {
        let to = ((top + row) * size[1] + left) * channels;
        whole.data_mut()[to..to + width * channels]
            .copy_from_slice(&patch.data()[row * width * channels..][..width * channels]);
    }
    Ok(whole)
}
