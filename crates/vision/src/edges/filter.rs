//! Ready filters, and their application to images.

use crate::{Error, Result};
use ocelli_graph::{Model, Node, Tensor, func};
use ocelli_layers::{Conv2d, ConvMode, Padding};

/// A filter of one channel, with its name.
///
/// ```
/// use ocelli_graph::Tensor;
/// use ocelli_vision::edges::{Application, Filter};
/// // Bright on the left, dark on the right.
/// let image = Tensor::from_fn([1, 6, 6, 1], |at| if at[2] < 3 { 10.0 } else { 0.0 });
/// let edges = Filter::vertical().apply(&image, &Application::default())?;
/// assert_eq!(&edges.data()[..4], [0.0, 30.0, 30.0, 0.0]);
/// # Ok::<(), ocelli_vision::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    name: String,
    /// `[kernel_h, kernel_w]`
    taps: Tensor,
}

/// How a filter is laid over an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Application {
    /// The zeros around the image; none by default.
    pub padding: Padding,
    /// The distance from one window to the next, in pixels.
    pub stride: usize,
    /// Cross-correlation, as in every framework and by default, or convolution, which turns the filter by 180°.
    pub mode: ConvMode,
}

impl Default for Application {
    fn default() -> Application {
        Application { padding: Padding::Valid, stride: 1, mode: ConvMode::default() }
    }
}

impl Application {
    /// Keeps the size of the image, by zeros around it.
    pub fn same() -> Application {
        Application { padding: Padding::Same, ..Application::default() }
    }
}

/// Largest side of a Gaussian or Gabor filter.
const MAX_SIDE: usize = 101;

impl Filter {
    /// Creates a filter of one's own from its rows.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there are no taps or rows have different lengths.
    pub fn new<const W: usize>(name: impl Into<String>, rows: &[[f32; W]]) -> Result<Filter> {
        if rows.is_empty() || W == 0 {
            return Err(Error::Invalid("a filter needs at least one tap".into()));
        }
        Ok(Filter::of_rows(&name.into(), rows))
    }

    fn of_rows<const W: usize>(name: &str, rows: &[[f32; W]]) -> Filter {
        let taps = Tensor::from_fn([rows.len(), W], |at| rows[at[0]][at[1]]);
        Filter { name: name.into(), taps }
    }

    /// Vertical edges, bright on the left: the course's first filter (Ng 2017).
    pub fn vertical() -> Filter {
        Filter::of_rows("vertical", &[[1.0, 0.0, -1.0]; 3])
    }

    /// Horizontal edges, bright above.
    pub fn horizontal() -> Filter {
        Filter::vertical().transposed("horizontal")
    }

    /// Sobel's filter for vertical edges: the slope along a row, smoothed along the column.
    pub fn sobel_x() -> Filter {
        Filter::of_rows("Sobel x", &[[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
    }

    /// Sobel's filter for horizontal edges.
    pub fn sobel_y() -> Filter {
        Filter::sobel_x().transposed("Sobel y")
    }

    /// Scharr's filter for vertical edges, whose response depends less on the direction (Scharr 2000).
    pub fn scharr_x() -> Filter {
        Filter::of_rows("Scharr x", &[[-3.0, 0.0, 3.0], [-10.0, 0.0, 10.0], [-3.0, 0.0, 3.0]])
    }

    /// Scharr's filter for horizontal edges.
    pub fn scharr_y() -> Filter {
        Filter::scharr_x().transposed("Scharr y")
    }

    /// Prewitt's filter for vertical edges.
    pub fn prewitt_x() -> Filter {
        Filter::of_rows("Prewitt x", &[[-1.0, 0.0, 1.0]; 3])
    }

    /// Prewitt's filter for horizontal edges.
    pub fn prewitt_y() -> Filter {
        Filter::prewitt_x().transposed("Prewitt y")
    }

    /// The Laplacian over four neighbours.
    pub fn laplacian() -> Filter {
        Filter::of_rows("Laplacian", &[[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])
    }

    /// A Gaussian of deviation `sigma` pixels, of sum 1, three deviations wide on each side.
    ///
    /// # Errors
    /// [`Error::Invalid`] unless `sigma` is above 0 and at most 16.
    pub fn gaussian(sigma: f32) -> Result<Filter> {
        let side = side_for(sigma)?;
        let centre = (side / 2) as f32;
        let mut taps = Tensor::from_fn([side, side], |at| {
            let [y, x] = [at[0] as f32 - centre, at[1] as f32 - centre];
            (-(x * x + y * y) / (2.0 * sigma * sigma)).exp()
        });
        let sum: f32 = taps.data().iter().sum();
        taps.data_mut().iter_mut().for_each(|tap| *tap /= sum);
        Ok(Filter { name: format!("Gaussian {sigma}"), taps })
    }

    /// A Gabor filter: a cosine of `wavelength` pixels across edges that are turned by `degrees` from the vertical, under a
    /// Gaussian of deviation `sigma` (Daugman 1985). Its taps sum to 0.
    ///
    /// # Errors
    /// [`Error::Invalid`] unless `sigma` is above 0 and at most 16 and the wavelength above 0.
    pub fn gabor(wavelength: f32, degrees: f32, sigma: f32) -> Result<Filter> {
        let side = side_for(sigma)?;
        if !(wavelength > 0.0 && wavelength.is_finite() && degrees.is_finite()) {
            return Err(Error::Invalid(format!("a wavelength of {wavelength} pixels is not above 0")));
        }
        let (sin, cos) = degrees.to_radians().sin_cos();
        let centre = (side / 2) as f32;
        let mut taps = Tensor::from_fn([side, side], |at| {
            let [y, x] = [at[0] as f32 - centre, at[1] as f32 - centre];
            let across = x * cos + y * sin;
            let envelope = (-(x * x + y * y) / (2.0 * sigma * sigma)).exp();
            envelope * (std::f32::consts::TAU * across / wavelength).cos()
        });
        let mean = taps.data().iter().sum::<f32>() / taps.len() as f32;
        taps.data_mut().iter_mut().for_each(|tap| *tap -= mean);
        Ok(Filter { name: format!("Gabor {degrees}°"), taps })
    }

    /// Gabor filters of so many orientations, evenly spread over 180°.
    ///
    /// # Errors
    /// The errors of [`Filter::gabor`].
    pub fn gabor_bank(orientations: usize, wavelength: f32, sigma: f32) -> Result<Vec<Filter>> {
        let degrees = |number: usize| 180.0 * number as f32 / orientations as f32;
        (0..orientations).map(|number| Filter::gabor(wavelength, degrees(number), sigma)).collect()
    }

    /// All ready filters, with a Gaussian of deviation 2 and four Gabor filters.
    ///
    /// # Errors
    /// None for these settings.
    pub fn bank() -> Result<Vec<Filter>> {
        let mut bank = vec![
            Filter::vertical(),
            Filter::horizontal(),
            Filter::sobel_x(),
            Filter::sobel_y(),
            Filter::scharr_x(),
            Filter::scharr_y(),
            Filter::prewitt_x(),
            Filter::prewitt_y(),
            Filter::laplacian(),
            Filter::gaussian(2.0)?,
        ];
        bank.extend(Filter::gabor_bank(4, 6.0, 2.0)?);
        Ok(bank)
    }

    fn transposed(&self, name: &str) -> Filter {
        let [height, width] = self.size();
        let taps = Tensor::from_fn([width, height], |at| self.taps[[at[1], at[0]]]);
        Filter { name: name.into(), taps }
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the taps, `[kernel_h, kernel_w]`.
    pub fn taps(&self) -> &Tensor {
        &self.taps
    }

    /// Returns height and width.
    pub fn size(&self) -> [usize; 2] {
        [self.taps.shape()[0], self.taps.shape()[1]]
    }

    /// Filters every channel of images `[N, H, W, C]`; the result is `[N, H', W', C]`, by the kernels that convolutions of
    /// networks run on.
    ///
    /// # Errors
    /// [`Error::Invalid`] for another shape, [`Error::Graph`] if the image is smaller than the filter.
    pub fn apply(&self, images: &Tensor, application: &Application) -> Result<Tensor> {
        let &[_, height, width, channels] = images.shape() else {
            return Err(Error::Invalid("a filter is for images [N, H, W, C]".into()));
        };
        let conv = Conv2d::new(channels, self.size()).groups(channels).bias(false);
        let conv = conv.padding(application.padding).stride(application.stride).mode(application.mode);
        let network = func(move |x: &Node| x.apply("filter", conv.clone()));
        let mut model = Model::zeroed(network, [height, width, channels])?;
        let [rows, columns] = self.size();
        let weight = Tensor::from_fn([rows, columns, 1, channels], |at| self.taps[[at[0], at[1]]]);
        model.parameters_mut().set("filter.weight", weight)?;
        Ok(model.predict(images)?)
    }
}

fn side_for(sigma: f32) -> Result<usize> {
    if !(sigma > 0.0 && sigma <= 16.0) {
        return Err(Error::Invalid(format!("a deviation of {sigma} pixels is not in (0, 16]")));
    }
    Ok((2 * (3.0 * sigma).ceil() as usize + 1).min(MAX_SIDE))
}

/// Computes `√(x² + y²)` of the responses to two filters: the strength of edges of any direction.
///
/// # Errors
/// [`Error::Invalid`] if the shapes differ.
pub fn magnitude(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    if x.shape() != y.shape() {
        return Err(Error::Invalid("the responses to two filters have different shapes".into()));
    }
    let mut result = x.clone();
    result.data_mut().iter_mut().zip(y.data()).for_each(|(x, y)| *x = x.hypot(*y));
    Ok(result)
}
