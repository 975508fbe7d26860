//! The parts of a portrait about the network itself.

use super::{AT_ONCE, Portrait};
use crate::{
    Result,
    activations::{activation_sheet, embeddings, principal_plane},
    diagram::{diagram, full_diagram},
    page::{Page, Picture},
    svg,
    units::first_filters,
};
use ocelli_data::{Loader, Targets};
use ocelli_graph::{AxisRole, Mode, Tensor, Wrt};
use ocelli_losses::softmax_cross_entropy;
use std::ops::ControlFlow;

/// Largest number of samples on the map of embeddings.
const MOST_POINTS: usize = 1000;
/// Largest number of layers whose weights are drawn.
const MOST_HISTOGRAMS: usize = 6;

impl Portrait<'_> {
    pub(super) fn add_architecture(
        &self,
        page: &mut Page,
        _: &Loader,
        _: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<()> {
        let summary = self.model.summary();
        page.part("Architecture");
        let (parameters, macs) = (summary.trained + summary.fixed, summary.macs as f64 / 1e6);
        let operations = summary.rows.len();
        page.paragraph(&format!(
            "{operations} operations, {parameters} parameters, {macs:.1} million multiply-accumulates for an image. A connection \
             in amber passes other layers by."
        ));
        page.drawing(&diagram(self.model));
        page.folded_drawing("Every operation", &full_diagram(self.model));
        Ok(())
    }

    pub(super) fn add_filters(
        &self,
        page: &mut Page,
        _: &Loader,
        _: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<()> {
        let Ok(filters) = first_filters(self.model) else { return Ok(()) };
        page.part("First filters");
        page.paragraph("Each filter of the first convolution as an image: grey is a weight of 0, and the largest weight of each is black, white or a full colour.");
        let picture = |filter: &Tensor| Ok(Picture::new(self.in_colour_order(filter)?, ""));
        page.pictures(44, &filters.iter().take(96).map(picture).collect::<Result<Vec<Picture>>>()?)
    }

    pub(super) fn add_activations(
        &self,
        page: &mut Page,
        loader: &Loader,
        _: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<()> {
        let sample = self.chosen(loader)[0];
        let image = self.prepared(loader, sample)?;
        page.part("Activations");
        page.paragraph("The channels with the largest means for one image, each from black for 0 and less to light yellow for its largest value.");
        page.pictures(120, &[Picture::new(self.shown(&image)?, "the image")])?;
        for layer in self.shown_layers() {
            let [height, width, channels] = layer.shape;
            page.section(&format!("{}: {height} × {width} × {channels}", layer.name));
            // As many as fill one row of a screen at about the size of the page.
            let columns = (360 / (width + 1)).clamp(4, 12);
            let rows = (240 / (height + 1)).clamp(1, 4);
            let sheet = activation_sheet(self.model, &layer.name, &image, columns, columns * rows)?;
            let enlarged = (720 / sheet.shape()[1]).clamp(1, 4) * sheet.shape()[1];
            page.pictures(enlarged, &[Picture::new(sheet, "")])?;
        }
        Ok(())
    }

    pub(super) fn add_numbers(
        &self,
        page: &mut Page,
        loader: &Loader,
        _: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<()> {
        page.part("Weights and gradients");
        page.paragraph("Weights of some layers from the first to the last, and their gradients for a batch whose labels are the network's own answers.");
        let is_weight = |role: &AxisRole| matches!(role, AxisRole::Inputs | AxisRole::FlattenedInputs { .. });
        let parameters = self.model.parameters().iter().filter(|(parameter, value)| {
            parameter.is_trained()
                && value.shape().len() > 1
                && self.model.graph().parameters[&parameter.path].axes.iter().any(|axis| is_weight(&axis.role))
        });
        let mut paths: Vec<(String, &Tensor)> =
            parameters.map(|(parameter, value)| (parameter.path.clone(), value)).collect();
        let place = |path: &str| self.model.graph().parameters[path].value;
        paths.sort_by_key(|(path, _)| place(path));
        let count = paths.len();
        let spread = |number: usize| number * (count - 1) / (MOST_HISTOGRAMS - 1).max(1);
        let chosen: Vec<usize> =
            if count > MOST_HISTOGRAMS { (0..MOST_HISTOGRAMS).map(spread).collect() } else { (0..count).collect() };
        let gradients = self.own_gradients(loader);
        for (path, value) in chosen.into_iter().map(|number| &paths[number]) {
            let mut drawings = svg::histogram(path, value.data(), 60);
            if let Some((_, gradient)) = gradients.iter().find(|(known, _)| known == path) {
                drawings += &svg::histogram(&format!("gradient of {path}"), gradient, 60);
            }
            page.drawings(&drawings);
        }
        self.add_embeddings(page, loader)
    }

    /// Gradients of the cross-entropy with the network's own answers as labels; none of a network without such a loss.
    fn own_gradients(&self, loader: &Loader) -> Vec<(String, Vec<f32>)> {
        let gradients = || -> Result<Vec<(String, Vec<f32>)>> {
            let Some(batch) = loader.epoch(0).next() else { return Ok(Vec::new()) };
            let batch = batch?;
            let labels = self.model.run(&batch, &["output"])?.swap_remove(0).argmax_rows();
            let labels = Tensor::from(labels.into_iter().map(|label| label as u32).collect::<Vec<u32>>());
            let batch = batch.with("portrait.labels", labels);
            let mut objective = self.model.objective_of(Mode::Infer, Wrt::Parameters, |t| {
                softmax_cross_entropy(&t.output(), &t.labels("portrait.labels"))
            })?;
            let step = objective.evaluate(self.model, &batch)?;
            Ok(step.gradients().map(|(name, values)| (name.to_string(), values.to_vec())).collect())
        };
        gradients().unwrap_or_default()
    }

    fn add_embeddings(&self, page: &mut Page, loader: &Loader) -> Result<()> {
        let (mut rows, mut groups, mut width) = (Vec::new(), Vec::new(), 0);
        let labelled = loader.dataset().targets() == Targets::Labels && loader.dataset().classes() > 0;
        // spread over the set, so that a set in the order of its classes is seen whole
        let all = loader.dataset().len();
        let count = all.min(MOST_POINTS);
        let samples: Vec<usize> = (0..count).map(|number| number * all / count).collect();
        for samples in samples.chunks(AT_ONCE) {
            let [height, columns, channels] = loader.shape();
            let mut images = Tensor::try_zeros([samples.len(), height, columns, channels])?;
            let each = height * columns * channels;
            for (values, &sample) in images.data_mut().chunks_exact_mut(each).zip(samples) {
                values.copy_from_slice(self.prepared(loader, sample)?.data());
                groups.push(if labelled { loader.dataset().label(sample)? as usize } else { 0 });
            }
            let vectors = embeddings(self.model, &images)?;
            width = vectors.shape()[1];
            rows.extend_from_slice(vectors.data());
        }
        if count < 10 {
            return Ok(());
        }
        page.part("Embeddings");
        page.paragraph("Each point is an image: the means of the channels of the last spatial activation, in the plane in which they differ most. Colours are the labels.");
        let places = principal_plane(&Tensor::from_vec([count, width], rows)?)?;
        let names = if labelled { loader.dataset().class_names() } else { &[] };
        page.drawing(&svg::points("principal components", &places, &groups, names));
        Ok(())
    }
}
