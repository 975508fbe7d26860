//! A gallery of one network: what it is made of, what its units look for, and where it looks, on one page.

mod layers;
mod maps;
mod network;
mod remembered;

use crate::{
    Error, Result,
    page::Page,
    resize,
    spatial::{find, image_input},
};
use ocelli_data::{Channels, Dataset, Loader, Pipeline, Ranking};
use ocelli_graph::{Model, Tensor};
use std::{ops::ControlFlow, sync::Arc};

/// Number of images that are run at once.
const AT_ONCE: usize = 32;

/// A gallery of a classifier of images: a self-contained HTML [`Page`] with its architecture, its first filters, the patches
/// that excite its units most and their projections, maps of where it looks with measurements of how good they are,
/// activations, weights, and a map of embeddings.
///
/// ```
/// use ocelli_data::{Pipeline, synthetic};
/// use ocelli_graph::Model;
/// use ocelli_models::LeNet5;
/// use ocelli_vision::Portrait;
/// use std::{ops::ControlFlow, sync::Arc};
/// let model = Model::from_layer(LeNet5::modern(10), [32, 32, 1], 42)?;
/// let portrait = Portrait { pictures: 1, channels: 2, ..Portrait::new("LeNet-5", &model, Pipeline::mnist([32, 32])) };
/// let page = portrait.page(Arc::new(synthetic::digits(12, 1)), |_| ControlFlow::Continue(()))?;
/// assert!(page.html().contains("Grad-CAM"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Portrait<'m> {
    /// The name of the network.
    pub name: String,
    /// The network: a classifier of images.
    pub model: &'m Model,
    /// How images are prepared for it.
    pub pipeline: Pipeline,
    /// The rule that ranks its outputs.
    pub ranking: Ranking,
    /// The names of its classes; empty if they are not known.
    pub class_names: Vec<String>,
    /// A sentence on the weights and the images, below the title.
    pub note: String,
    /// Number of images that maps are shown of.
    pub pictures: usize,
    /// Number of channels of each layer whose patches are shown.
    pub channels: usize,
    /// Number of patches of each channel.
    pub patches: usize,
    /// Names of the spatial activations that are shown; empty for the last of each size.
    pub layers: Vec<String>,
}

impl<'m> Portrait<'m> {
    /// Creates a portrait with the usual extent.
    pub fn new(name: impl Into<String>, model: &'m Model, pipeline: Pipeline) -> Portrait<'m> {
        Portrait {
            name: name.into(),
            model,
            pipeline,
            ranking: Ranking::Largest,
            class_names: Vec::new(),
            note: String::new(),
            pictures: 4,
            channels: 6,
            patches: 6,
            layers: Vec::new(),
        }
    }

    /// Makes the page from images. The whole set streams through the network once, in batches. `progress` is told what is
    /// being done, and ends the work where it says so: the page then has the parts that are done.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a network that is no classifier of images, a layer that it has not or a set without images, [`Error::Data`] for images that
    /// cannot be read, [`Error::Graph`] if the network cannot be run.
    pub fn page(&self, images: Arc<dyn Dataset>, mut progress: impl FnMut(&str) -> ControlFlow<()>) -> Result<Page> {
        let (input, sample) = image_input(self.model)?;
        if images.is_empty() {
            return Err(Error::Invalid("there are no images to look at".into()));
        }
        if self.pipeline.shape(images.size())? != sample {
            return Err(Error::Invalid("the images are prepared in another shape than the network reads".into()));
        }
        for layer in &self.layers {
            find(self.model, layer)?;
        }
        let loader = Loader::new(images.clone(), self.pipeline.clone(), AT_ONCE)?.names(input, "labels");
        let mut page = Page::new(format!("Inside {}", self.name));
        let [height, width, channels] = sample;
        let count = images.len();
        page.paragraph(&format!(
            "{} Seen through {count} images, prepared as {height} × {width} × {channels}.",
            self.note
        ));
        let stages: [(&str, Stage<'_>); 8] = [
            ("the architecture", Portrait::add_architecture),
            ("the first filters", Portrait::add_filters),
            ("what excites the units", Portrait::add_units),
            ("where it looks", Portrait::add_maps),
            ("what is left when weights are random", Portrait::add_randomisation),
            ("what it remembers", Portrait::add_remembered),
            ("activations", Portrait::add_activations),
            ("weights and embeddings", Portrait::add_numbers),
        ];
        for (what, add) in stages {
            if progress(what).is_break() {
                page.paragraph("The rest was left out: it was stopped.");
                break;
            }
            add(self, &mut page, &loader, &mut |line| progress(line))?;
        }
        Ok(page)
    }

    /// Reads and prepares one image, `[1, H, W, C]`.
    fn prepared(&self, loader: &Loader, sample: usize) -> Result<Tensor> {
        let (mut image, [height, width, channels]) = (ocelli_data::Image::default(), loader.shape());
        loader.dataset().read(sample, &mut image)?;
        let mut tensor = Tensor::try_zeros([1, height, width, channels])?;
        let key = ocelli_graph::Key::new(0);
        self.pipeline.apply(&mut image, key, &mut ocelli_data::Scratch::default(), tensor.data_mut())?;
        Ok(tensor)
    }

    /// Samples for closer looks: spread evenly over the set.
    fn chosen(&self, loader: &Loader) -> Vec<usize> {
        let (all, wanted) = (loader.dataset().len(), self.pictures.max(1));
        let count = wanted.min(all);
        (0..count).map(|number| number * all / count).collect()
    }

    /// Turns prepared values `[.., H, W, C]` back into an image `[H, W, 1]` or `[H, W, 3]` from 0 to 1.
    fn shown(&self, prepared: &Tensor) -> Result<Tensor> {
        let &[.., height, width, channels] = prepared.shape() else {
            return Err(Error::Invalid("expected an image [H, W, C]".into()));
        };
        let mut values = prepared.data().to_vec();
        self.pipeline.normalisation.denormalise(&mut values);
        values.iter_mut().for_each(|value| *value = value.clamp(0.0, 1.0));
        self.in_colour_order(&Tensor::from_vec([height, width, channels], values)?)
    }

    /// Orders the channels of an image `[.., H, W, C]` as red, green and blue, as `[H, W, C]`.
    fn in_colour_order(&self, image: &Tensor) -> Result<Tensor> {
        let &[.., height, width, channels] = image.shape() else {
            return Err(Error::Invalid("expected an image [H, W, C]".into()));
        };
        let mut values = image.data().to_vec();
        if self.pipeline.channels == Channels::Bgr {
            values.chunks_exact_mut(channels).for_each(<[f32]>::reverse);
        }
        Ok(Tensor::from_vec([height, width, channels], values)?)
    }

    /// Shows a signed image: grey for 0, lighter for more, darker for less, by its largest magnitude.
    fn shown_signed(&self, values: &Tensor) -> Result<Tensor> {
        let largest = values.data().iter().fold(1e-20f32, |largest, value| largest.max(value.abs()));
        let mut image = values.clone();
        image.data_mut().iter_mut().for_each(|value| *value = 0.5 + 0.5 * *value / largest);
        self.in_colour_order(&image)
    }

    fn class_name(&self, class: usize) -> String {
        self.class_names.get(class).cloned().unwrap_or_else(|| format!("class {class}"))
    }
}

/// A part of the page.
type Stage<'m> = fn(&Portrait<'m>, &mut Page, &Loader, &mut dyn FnMut(&str) -> ControlFlow<()>) -> Result<()>;

/// Shrinks an image `[H, W, C]` whose longer side has more than `side` pixels.
fn at_most(image: &Tensor, side: usize) -> Result<Tensor> {
    let &[height, width, channels] = image.shape() else {
        return Err(Error::Invalid("expected an image [H, W, C]".into()));
    };
    let longer = height.max(width);
    if longer <= side {
        return Ok(image.clone());
    }
    let size = [height, width].map(|own| (own * side / longer).max(1));
    Ok(resize(&image.reshape([1, height, width, channels])?, size)?.reshape([size[0], size[1], channels])?)
}
