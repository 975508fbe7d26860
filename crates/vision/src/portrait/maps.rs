//! The parts of a portrait about where the network looks, and how far that can be trusted.

use super::{Portrait, at_most};
use crate::{
    Result,
    attribution::{
        Attribution, Faithfulness, FaithfulnessSettings, Method, cascading_randomisation, faithfulness, overlay,
    },
    page::{Page, Picture},
    svg,
};
use ocelli_data::Loader;
use ocelli_graph::{Key, Tensor};
use ocelli_models::top_k;
use std::ops::ControlFlow;

/// Longer side of an image with its map on the page, in pixels.
const SIDE: usize = 144;

impl Portrait<'_> {
    pub(super) fn add_maps(
        &self,
        page: &mut Page,
        loader: &Loader,
        progress: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<()> {
        let mut attribution = Attribution::new(self.model)?.ranking(self.ranking);
        page.part("Where it looks");
        page.paragraph(
            "Maps of the class that the network answers, over the image in grey: light yellow where it comes from most. Saliency, \
             SmoothGrad, integrated gradients and guided backpropagation have a value for each pixel; the CAM family has one for \
             each place of the last spatial activation.",
        );
        let mut measured: Vec<(String, Faithfulness)> = Vec::new();
        for sample in self.chosen(loader) {
            let image = self.prepared(loader, sample)?;
            let scores = attribution.scores(&image)?;
            let best = top_k(scores.data(), 3);
            let answers: Vec<String> = best
                .guesses
                .iter()
                .map(|guess| format!("{} ({:.0} %)", self.class_name(guess.class), 100.0 * guess.probability))
                .collect();
            let Some(guess) = best.guesses.first() else { continue };
            let (name, class) = (loader.dataset().name(sample), guess.class);
            page.section(&format!("{name}: {}", answers.join(", ")));
            let shown = at_most(&self.shown(&image)?, SIDE)?;
            let mut pictures = vec![Picture::new(shown.clone(), "the image")];
            for method in Method::ALL {
                // a class activation map wants a network of another form
                let Ok(map) = attribution.map(method, &image, class) else { continue };
                pictures.push(Picture::new(overlay(&shown, &map)?, method.name()));
                if method == Method::GradCam {
                    let faithful = faithfulness(&attribution, &image, class, &map, FaithfulnessSettings::default())?;
                    measured.push((name.clone(), faithful));
                }
            }
            let guided = attribution.guided_backpropagation(&image, class)?;
            pictures.push(Picture::new(at_most(&self.shown_signed(&guided)?, SIDE)?, "guided backpropagation, signed"));
            page.pictures(SIDE, &pictures)?;
            if progress(&name).is_break() {
                break;
            }
        }
        self.add_measurements(page, &measured);
        Ok(())
    }

    fn add_measurements(&self, page: &mut Page, measured: &[(String, Faithfulness)]) {
        let Some((_, first)) = measured.first() else { return };
        page.part("How good Grad-CAM's maps are");
        page.paragraph(
            "Deletion replaces the pixels by the mean colour, those first that the map points at: the probability of the class should \
             fall early, and the area below the curve be small. Insertion brings them into a blurred image: it should rise early, \
             and the area be large (Petsiuk et al. 2018). Beside it random maps that are as coarse.",
        );
        let mut rows = vec![["image", "deletion", "random", "insertion", "random", ""].map(String::from).to_vec()];
        for (name, f) in measured {
            let verdict = if f.beats_random() { "better in both" } else { "" };
            let areas = [&f.deletion, &f.random_deletion, &f.insertion, &f.random_insertion];
            let areas = areas.map(|curve| format!("{:.3}", curve.area()));
            rows.push([name.clone()].into_iter().chain(areas).chain([verdict.to_string()]).collect());
        }
        if measured.len() > 1 {
            let mean = |column: usize| {
                let areas = rows[1..].iter().filter_map(|row| row[column].parse::<f32>().ok());
                format!("{:.3}", areas.sum::<f32>() / measured.len() as f32)
            };
            rows.push(vec!["mean".into(), mean(1), mean(2), mean(3), mean(4), String::new()]);
        }
        page.table(&rows);
        let mean = |of: &dyn Fn(&Faithfulness) -> &crate::attribution::Curve| {
            let shares = of(first).shares.iter().enumerate();
            let point = |(at, share): (usize, &f32)| {
                let sum: f32 = measured.iter().map(|(_, f)| of(f).probabilities[at]).sum();
                (f64::from(*share), f64::from(sum) / measured.len() as f64)
            };
            shares.map(point).collect::<Vec<_>>()
        };
        let deletion = [("Grad-CAM", mean(&|f| &f.deletion)), ("random", mean(&|f| &f.random_deletion))];
        let insertion = [("Grad-CAM", mean(&|f| &f.insertion)), ("random", mean(&|f| &f.random_insertion))];
        page.drawings(
            &(svg::curves("deletion", "share of the pixels", &deletion)
                + &svg::curves("insertion", "share of the pixels", &insertion)),
        );
    }

    pub(super) fn add_randomisation(
        &self,
        page: &mut Page,
        loader: &Loader,
        progress: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<()> {
        let sample = self.chosen(loader)[0];
        let image = self.prepared(loader, sample)?;
        let scores = Attribution::new(self.model)?.ranking(self.ranking).scores(&image)?;
        let Some(class) = top_k(scores.data(), 1).guesses.first().map(|guess| guess.class) else { return Ok(()) };
        let mut series: Vec<(&str, Vec<(f64, f64)>)> = Vec::new();
        let mut rows: Vec<Vec<String>> = vec![vec!["random from the end up to".into()]];
        for method in [Method::Saliency, Method::GuidedBackpropagation, Method::GradCam] {
            let layers = cascading_randomisation(self.model, Key::new(7), |model: &ocelli_graph::Model| {
                let mut attribution = Attribution::new(model)?.ranking(self.ranking);
                let map: Tensor = attribution.map(method, &image, class)?;
                Ok(map)
            })?;
            if rows.len() == 1 {
                rows.extend(layers.iter().map(|layer| vec![layer.layer.clone()]));
            }
            rows[0].push(method.name().into());
            for (row, layer) in rows[1..].iter_mut().zip(&layers) {
                row.push(format!("{:.2}", layer.correlation));
            }
            let point = |(at, layer): (usize, &crate::attribution::RandomisedLayer)| {
                (at as f64 + 1.0, f64::from(layer.correlation))
            };
            let trained = std::iter::once((0.0, 1.0));
            series.push((method.name(), trained.chain(layers.iter().enumerate().map(point)).collect()));
            if progress(method.name()).is_break() {
                break;
            }
        }
        page.part("What is left when weights are random");
        page.paragraph(
            "The layers get random weights one after the other, the last one first; the curves are the rank correlation of the map with \
             that of the trained network (Adebayo et al. 2018). A map that stays the same does not show what was learned: guided \
             backpropagation is known to redraw the edges of the image.",
        );
        page.drawing(&svg::curves("correlation with the trained network's map", "random layers", &series));
        if rows.len() <= 30 {
            page.table(&rows);
        }
        Ok(())
    }
}
