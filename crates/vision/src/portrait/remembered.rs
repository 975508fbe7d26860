//! The part of a portrait about what the network remembers.

use super::{Portrait, at_most};
use crate::{
    Result,
    attribution::Attribution,
    page::{Page, Picture},
    remembered::{Dream, Goal, InversionSettings, Maximisation, dream, invert, maximise},
};
use ocelli_data::Loader;
use ocelli_train::StopFlag;
use std::ops::ControlFlow;

/// Longer side of an image on the page, in pixels.
const SIDE: usize = 144;

impl Portrait<'_> {
    pub(super) fn add_remembered(
        &self,
        page: &mut Page,
        loader: &Loader,
        progress: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<()> {
        let image = self.prepared(loader, self.chosen(loader)[0])?;
        let scores = Attribution::new(self.model)?.ranking(self.ranking).scores(&image)?;
        let best = scores.argmax_rows().first().copied().unwrap_or(0);
        let layers = self.shown_layers();
        page.part("What it remembers");

        // images for a class and for channels of the deepest layers
        page.section("Images that excite a class or a channel");
        page.paragraph(
            "Found by gradient ascent over frequencies and decorrelated colours (Olah et al. 2017), from noise.",
        );
        let mut goals = Vec::new();
        // of a network whose smallest output is the answer, a large one means nothing
        if self.ranking == ocelli_data::Ranking::Largest {
            goals.push((Goal::Class(best), self.class_name(best)));
        }
        for layer in layers.iter().rev().take(2).rev() {
            for channel in [0, layer.shape[2] / 3, 2 * layer.shape[2] / 3] {
                let name = format!("{}, channel {channel}", layer.name);
                goals.push((Goal::Channel { layer: layer.name.clone(), channel }, name));
            }
        }
        let settings = Maximisation { steps: 64, ..Maximisation::default() };
        let (stop, mut pictures) = (StopFlag::new(), Vec::new());
        for (goal, name) in goals {
            let found = maximise(self.model, &self.pipeline, &goal, &settings, &stop)?;
            let found = found.reshape([1, found.shape()[0], found.shape()[1], found.shape()[2]])?;
            pictures.push(Picture::new(at_most(&self.in_colour_order(&found)?, SIDE)?, name.clone()));
            if progress(&name).is_break() {
                return page.pictures(SIDE, &pictures);
            }
        }
        page.pictures(SIDE, &pictures)?;

        // what a layer keeps of an image, and more of what it sees in it
        page.section("What each layer keeps of an image, and its dream");
        page.paragraph(
            "Above, an image that the layer cannot tell from the first one (Mahendran and Vedaldi 2015): what is missing, it forgot. Below, \
             the image with more of what the layer sees in it (Mordvintsev et al. 2015).",
        );
        // the usual deviation of photographs, in the units that the network reads
        let deviations = &self.pipeline.normalisation.deviation;
        let deviation = 0.25 * deviations.len() as f32 / deviations.iter().sum::<f32>();
        let shown = at_most(&self.shown(&image)?, SIDE)?;
        let (mut kept, mut dreams) =
            (vec![Picture::new(shown.clone(), "the image")], vec![Picture::new(shown, "the image")]);
        for layer in &layers {
            let settings = InversionSettings { steps: 80, deviation, ..InversionSettings::default() };
            // a layer that is 0 everywhere for this image keeps nothing
            if let Ok(found) = invert(self.model, &layer.name, &image, &settings, &stop) {
                let distance = found.distances.last().copied().unwrap_or(1.0);
                let caption = format!("{}, {:.1} % off", layer.name, 100.0 * distance);
                kept.push(Picture::new(at_most(&self.shown(&found.image)?, SIDE)?, caption));
            }
            let settings = Dream { steps: 24, rate: 0.02 * deviation, ..Dream::default() };
            let dreamt = dream(self.model, &layer.name, &image, &settings, &stop)?;
            dreams.push(Picture::new(at_most(&self.shown(&dreamt)?, SIDE)?, layer.name.clone()));
            if progress(&format!("{}: kept and dreamt", layer.name)).is_break() {
                break;
            }
        }
        page.pictures(SIDE, &kept)?;
        page.pictures(SIDE, &dreams)
    }
}
