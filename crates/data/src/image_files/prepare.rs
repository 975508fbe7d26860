//! Prepares an image file for a network.

use super::{
    IN_MEMORY, check_enlarged, checked,
    decoded::{DecodedImage, Samples},
    digit,
    resize::Values,
    resized, size_fault,
};
use crate::{Error, Frame, Preprocess, Resize, Result};
use ocelli_tensor::Tensor;
use std::{ops::Range, path::Path};

impl Preprocess {
    /// Reads an image file as a tensor `[1, H, W, C]`, where C is the count of [`Preprocess::channels`].
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read; [`Error::Format`] if it is not an image that this [module](super)
    /// reads, is damaged or too large, is smaller than its crop or larger than its padded size, or shows no digit where
    /// one is expected; [`Error::Setting`] if a size has a 0 or is too large, would enlarge an image to more than 2²⁴
    /// pixels, or there is not one mean and one positive deviation for each channel.
    pub fn load(&self, path: impl AsRef<Path>) -> Result<Tensor> {
        let path = path.as_ref();
        self.prepared(super::load(path)?, path)
    }

    /// Decodes the bytes of an image file, as [`Preprocess::load`] does.
    ///
    /// # Errors
    /// The errors of [`Preprocess::load`].
    pub fn read(&self, bytes: &[u8]) -> Result<Tensor> {
        self.prepared(super::read(bytes)?, Path::new(IN_MEMORY))
    }

    fn prepared(&self, image: DecodedImage, path: &Path) -> Result<Tensor> {
        let maps = self.normalisation.maps(self.channels.count())?;
        let image = match self.resize {
            Resize::Digit => DecodedImage::new([28, 28, 1], Samples::Bytes(digit::from_image(&image, path)?.to_vec())),
            _ => image,
        };
        let size = self.size_for(image.size(), path)?;
        let values = resized(&image, self.channels, size, self.kept(size, path)?)?;
        let mut tensor = self.padded(values, path)?;
        for pixel in tensor.data_mut().chunks_exact_mut(maps.len()) {
            pixel.iter_mut().zip(&maps).for_each(|(value, (factor, shift))| *value = factor * *value + shift);
        }
        Ok(tensor)
    }

    /// Returns the size that an image of `size` is resized to.
    fn size_for(&self, size: [usize; 2], path: &Path) -> Result<[usize; 2]> {
        match self.resize {
            Resize::Keep | Resize::Digit => Ok(size),
            Resize::Stretch(wanted) => checked(wanted),
            Resize::ShorterSide(wanted) => {
                let [wanted, _] = checked([wanted, 1])?;
                let shorter = size[0].min(size[1]);
                // No overflow: both factors are sides of images.
                let resized = size.map(|side| side * wanted / shorter);
                match size_fault(resized.map(|side| u32::try_from(side).unwrap_or(u32::MAX))) {
                    Some(fault) => {
                        let [height, width] = size;
                        Err(Error::format(path, format!("{height} x {width} pixels cannot be resized to {fault}")))
                    }
                    None => Ok(resized),
                }
            }
        }
    }

    /// Returns the rows and columns of an image of `size` that are kept.
    fn kept(&self, size: [usize; 2], path: &Path) -> Result<[Range<usize>; 2]> {
        let Frame::CentreCrop(wanted) = self.frame else { return Ok(size.map(|side| 0..side)) };
        let wanted = checked(wanted)?;
        if wanted[0] > size[0] || wanted[1] > size[1] {
            return mismatch(size, "too few to cut", wanted, "out of them", path);
        }
        Ok([0, 1].map(|axis| {
            // Crop the top and the left by the rounding of torchvision.
            let first = ((size[axis] - wanted[axis]) as f64 / 2.0).round_ties_even() as usize;
            first..first + wanted[axis]
        }))
    }

    /// Pads with black around the values, if the frame requires it.
    fn padded(&self, values: Values, path: &Path) -> Result<Tensor> {
        let (have @ [height, width], channels) = (values.size, values.channels);
        let Frame::Pad(wanted) = self.frame else {
            return Ok(Tensor::from_vec([1, height, width, channels], values.data)?);
        };
        let wanted @ [rows, columns] = checked(wanted)?;
        check_enlarged(have, wanted)?;
        if rows < height || columns < width {
            return mismatch(have, "too many to put into", wanted, "of black", path);
        }
        let mut tensor = Tensor::try_zeros([1, rows, columns, channels])?;
        let (row, line, left) = (width * channels, columns * channels, (columns - width) / 2 * channels);
        let lines = tensor.data_mut().chunks_exact_mut(line).skip((rows - height) / 2);
        lines
            .zip(values.data.chunks_exact(row))
            .for_each(|(line, row)| line[left..left + row.len()].copy_from_slice(row));
        Ok(tensor)
    }
}

fn mismatch<T>(have: [usize; 2], than: &str, wanted: [usize; 2], purpose: &str, path: &Path) -> Result<T> {
    let ([height, width], [rows, columns]) = (have, wanted);
    Err(Error::format(path, format!("{height} x {width} pixels are {than} {rows} x {columns} {purpose}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Channels, Statistics};
    use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage, Rgba, RgbaImage};

    /// Makes a preparation that leaves the values as they are.
    fn plain(resize: Resize, frame: Frame, channels: Channels) -> Preprocess {
        Preprocess { resize, frame, channels, normalisation: Statistics::identity(channels.count()) }
    }

    fn colours(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| Rgb([(x * 37 + y * 11) as u8, (x * x + y) as u8, (y * 71) as u8]))
    }

    /// Saves an image as the file `name` in a folder of its own.
    fn saved(image: impl Into<DynamicImage>) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image");
        image.into().save_with_format(&path, ImageFormat::Png).unwrap();
        (folder, path)
    }

    /// Computes one output of Pillow's bilinear filter along an axis of `values`: a triangle as wide as the pixels of
    /// the result.
    fn bilinear(values: &[f64], outputs: usize, output: usize) -> f64 {
        let scale = values.len() as f64 / outputs as f64;
        let (centre, support) = ((output as f64 + 0.5) * scale, scale.max(1.0));
        let weight = |x: usize| (1.0 - ((x as f64 + 0.5 - centre) / support).abs()).max(0.0);
        let sum: f64 = (0..values.len()).map(weight).sum();
        values.iter().enumerate().map(|(x, value)| weight(x) * value).sum::<f64>() / sum
    }

    #[test]
    fn resizing_is_pillows_bilinear() {
        let image = colours(37, 23);
        let (_folder, path) = saved(image.clone());
        for [height, width] in [[11, 17], [50, 37], [5, 60]] {
            let got = plain(Resize::Stretch([height, width]), Frame::Whole, Channels::Rgb).load(&path).unwrap();
            assert_eq!(got.shape(), [1, height, width, 3]);
            for (at, value) in got.data().iter().enumerate() {
                let (c, x, y) = (at % 3, at / 3 % width, at / 3 / width);
                let column = |x: u32| {
                    let values: Vec<f64> = (0..23).map(|y| f64::from(image.get_pixel(x, y).0[c]) / 255.0).collect();
                    bilinear(&values, height, y)
                };
                let expected = bilinear(&(0..37).map(column).collect::<Vec<_>>(), width, x);
                assert!((f64::from(*value) - expected).abs() < 2e-3, "{value} for {expected} at {at}");
            }
        }
    }

    #[test]
    fn the_shorter_side_is_resized_and_the_middle_is_cut_out() {
        let (_folder, path) = saved(colours(451, 300));
        let shape = |resize, frame| plain(resize, frame, Channels::Rgb).load(&path).unwrap().shape().to_vec();
        assert_eq!(shape(Resize::ShorterSide(256), Frame::Whole), [1, 256, 384, 3]);
        assert_eq!(shape(Resize::ShorterSide(256), Frame::CentreCrop([224, 224])), [1, 224, 224, 3]);
        assert_eq!(shape(Resize::Keep, Frame::Pad([301, 500])), [1, 301, 500, 3]);

        let (_folder, path) = saved(colours(300, 451));
        let whole = plain(Resize::Keep, Frame::Whole, Channels::Rgb).load(&path).unwrap();
        let cut = plain(Resize::Keep, Frame::CentreCrop([100, 99]), Channels::Rgb).load(&path).unwrap();
        // 351 / 2 rounds to the even 176, 201 / 2 to 100.
        assert_eq!(cut[[0, 0, 0, 1]], whole[[0, 176, 100, 1]]);
        assert_eq!(cut[[0, 99, 98, 2]], whole[[0, 275, 198, 2]]);
        let padded = plain(Resize::Keep, Frame::Pad([454, 300]), Channels::Rgb).load(&path).unwrap();
        assert_eq!((padded[[0, 0, 7, 0]], padded[[0, 1, 7, 0]]), (0.0, whole[[0, 0, 7, 0]]));
        assert_eq!((padded[[0, 451, 7, 0]], padded[[0, 452, 7, 0]]), (whole[[0, 450, 7, 0]], 0.0));
    }

    #[test]
    fn values_are_normalised_in_the_order_of_the_channels() {
        let (_folder, path) = saved(RgbImage::from_pixel(4, 3, Rgb([255, 51, 0])));
        let pixel = |channels, normalisation| {
            let settings = Preprocess { normalisation, ..plain(Resize::Keep, Frame::Whole, channels) };
            settings.load(&path).unwrap().data()[..channels.count()].to_vec()
        };
        let close = |got: &[f32], expected: &[f32]| {
            assert!(got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4), "{got:?} for {expected:?}");
        };
        let rgb = pixel(Channels::Rgb, Statistics::imagenet());
        close(&rgb, &[(1.0 - 0.485) / 0.229, (0.2 - 0.456) / 0.224, -0.406 / 0.225]);
        close(&pixel(Channels::Bgr, Statistics::caffe()), &[-104.0, 51.0 - 117.0, 255.0 - 123.0]);
        let grey = pixel(Channels::Grey, Statistics::for_range(1, -0.1, 1.175).unwrap())[0];
        assert!((-0.1..1.175).contains(&grey));
    }

    #[test]
    fn grey_and_transparent_images_have_three_channels_where_they_are_wanted() {
        let usual = Preprocess::imagenet([8, 8]);
        let (_folder, grey) = saved(GrayImage::from_fn(20, 30, |x, y| Luma([(x * y) as u8])));
        let x = usual.load(&grey).unwrap();
        assert_eq!(x.shape(), [1, 8, 8, 3]);
        let (_folder, transparent) = saved(RgbaImage::from_pixel(30, 20, Rgba([0, 0, 0, 0])));
        let white = usual.load(&transparent).unwrap();
        assert!((white.data()[0] - (1.0 - 0.485) / 0.229).abs() < 1e-4);
        let (_folder, ink) = saved(GrayImage::from_fn(90, 60, |x, y| Luma([if x == 40 && y > 9 { 0 } else { 255 }])));
        let digit = plain(Resize::Digit, Frame::Pad([32, 32]), Channels::Grey).load(ink).unwrap();
        assert_eq!(digit.shape(), [1, 32, 32, 1]);
        assert_eq!((digit[[0, 1, 16, 0]], digit[[0, 16, 2, 0]]), (0.0, 0.0));
        assert!(digit.data().contains(&1.0));
    }

    #[test]
    fn settings_are_plain_json() {
        let text = concat!(
            r#"{"resize":{"shorter_side":256},"frame":{"centre_crop":[224,224]},"channels":"rgb","#,
            r#""normalisation":{"mean":[0.485,0.456,0.406],"deviation":[0.229,0.224,0.225]}}"#
        );
        let settings = Preprocess::imagenet([224, 224]);
        assert_eq!(serde_json::to_string(&settings).unwrap(), text);
        assert_eq!(serde_json::from_str::<Preprocess>(text).unwrap(), settings);
        assert!(serde_json::from_str::<Preprocess>(&text.replace("rgb", "cmyk")).is_err());
    }

    #[test]
    fn what_cannot_be_is_said() {
        let (folder, path) = saved(colours(30, 20));
        let error = |settings: &Preprocess, path: &Path| {
            settings.load(path).unwrap_err().to_string().replace(&format!("{}/", folder.path().display()), "")
        };
        let of = |resize, frame| error(&plain(resize, frame, Channels::Rgb), &path);
        assert_eq!(
            of(Resize::Keep, Frame::CentreCrop([21, 30])),
            "image: 20 x 30 pixels are too few to cut 21 x 30 out of them"
        );
        assert_eq!(
            of(Resize::Keep, Frame::Pad([19, 40])),
            "image: 20 x 30 pixels are too many to put into 19 x 40 of black"
        );
        assert_eq!(of(Resize::ShorterSide(0), Frame::Whole), "cannot resize to 0 x 1 pixels");
        assert!(of(Resize::ShorterSide(usize::MAX), Frame::Whole).starts_with("cannot resize to 4294967295 x 1"));
        assert!(of(Resize::Keep, Frame::Pad([1 << 20, 1])).starts_with("cannot resize to 1048576 x 1 pixels: "));
        let limits = "the limits are 16384 on a side and 67108864 in all";
        assert_eq!(
            of(Resize::ShorterSide(12_000), Frame::Whole),
            format!("image: 20 x 30 pixels cannot be resized to 12000 x 18000 pixels: {limits}")
        );
        let grey = Preprocess { channels: Channels::Grey, ..Preprocess::imagenet([8, 8]) };
        assert_eq!(error(&grey, &path), "3 means and 3 deviations for 1 channels");
        let text = folder.path().join("text");
        std::fs::write(&text, "hello, this is text").unwrap();
        let usual = Preprocess::imagenet([8, 8]);
        assert_eq!(error(&usual, &text), "text: not a PNG, JPEG, PNM or BMP image that can be read");
        assert!(error(&usual, &folder.path().join("none")).starts_with("none: No such file"));
        assert!(Preprocess::imagenet([usize::MAX, 1]).load(&path).is_err());
    }
}
