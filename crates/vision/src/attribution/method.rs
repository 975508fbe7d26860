//! The methods of attribution by name, to compare them.

use super::{Attribution, Window, input_gradients::largest_magnitude};
use crate::{Result, spatial::last_spatial_layer};
use ocelli_graph::{Key, Tensor};

/// A method that makes a map of an image and a class, with its usual settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// [`Attribution::saliency`].
    Saliency,
    /// [`Attribution::smooth_grad`] with noise 0.15 and 24 samples.
    SmoothGrad,
    /// [`Attribution::integrated_gradients`] from 0 in at most 64 steps.
    IntegratedGradients,
    /// The largest magnitude of [`Attribution::guided_backpropagation`].
    GuidedBackpropagation,
    /// [`Attribution::cam`].
    Cam,
    /// [`Attribution::grad_cam`].
    GradCam,
    /// [`Attribution::grad_cam_plus_plus`].
    GradCamPlusPlus,
    /// [`Attribution::hires_cam`].
    HiResCam,
    /// [`Attribution::layer_cam`] at the last spatial activation.
    LayerCam,
    /// [`Attribution::occlusion`] by an eighth of the image.
    Occlusion,
}

impl Method {
    /// All methods.
    pub const ALL: [Method; 10] = [
        Method::Saliency,
        Method::SmoothGrad,
        Method::IntegratedGradients,
        Method::GuidedBackpropagation,
        Method::Cam,
        Method::GradCam,
        Method::GradCamPlusPlus,
        Method::HiResCam,
        Method::LayerCam,
        Method::Occlusion,
    ];

    /// Returns the name of the method in the literature.
    pub fn name(self) -> &'static str {
        match self {
            Method::Saliency => "saliency",
            Method::SmoothGrad => "SmoothGrad",
            Method::IntegratedGradients => "integrated gradients",
            Method::GuidedBackpropagation => "guided backpropagation",
            Method::Cam => "CAM",
            Method::GradCam => "Grad-CAM",
            Method::GradCamPlusPlus => "Grad-CAM++",
            Method::HiResCam => "HiResCAM",
            Method::LayerCam => "LayerCAM",
            Method::Occlusion => "occlusion",
        }
    }
}

impl Attribution<'_> {
    /// Makes the map of a method, `[H, W]` of the image or `[h, w]` of the last spatial activation.
    ///
    /// # Errors
    /// The errors of the method.
    pub fn map(&mut self, method: Method, image: &Tensor, class: usize) -> Result<Tensor> {
        match method {
            Method::Saliency => self.saliency(image, class),
            Method::SmoothGrad => self.smooth_grad(image, class, 0.15, 24, Key::new(0).with("SmoothGrad")),
            Method::IntegratedGradients => {
                let black = Tensor::zeros(image.shape());
                Ok(self.integrated_gradients(image, class, &black, 64)?.map)
            }
            Method::GuidedBackpropagation => largest_magnitude(&self.guided_backpropagation(image, class)?),
            Method::Cam => self.cam(image, class),
            Method::GradCam => self.grad_cam(image, class),
            Method::GradCamPlusPlus => self.grad_cam_plus_plus(image, class),
            Method::HiResCam => self.hires_cam(image, class),
            Method::LayerCam => {
                let layer = last_spatial_layer(self.model)?;
                self.layer_cam(&layer.name, image, class)
            }
            Method::Occlusion => {
                let side = self.sample[0].max(self.sample[1]);
                self.occlusion(image, class, Window::for_side(side))
            }
        }
    }
}
