//! Galleries: a sheet of images with captions.

use crate::{
    Error, Result,
    canvas::{draw, font, text_width},
};
use ocelli_tensor::{ShapeText, Tensor};
use plotters::prelude::*;
use std::path::Path;

/// Approximate length in pixels of the longer side to which small images are enlarged.
const SIDE: usize = 96;

/// An image of a [`gallery`] with its caption.
#[derive(Clone, Debug, PartialEq)]
pub struct Tile {
    height: usize,
    width: usize,
    channels: usize,
    pixels: Vec<f32>,
    caption: String,
}

impl Tile {
    /// Creates a tile from brightness between 0 (black) and 1 (white), row by row; of one channel, or of red, green and blue.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the pixels are not `height × width` of one or three channels.
    pub fn new(height: usize, width: usize, pixels: Vec<f32>, caption: impl Into<String>) -> Result<Tile> {
        let area = height.saturating_mul(width);
        let channels = pixels.len().checked_div(area).unwrap_or(0);
        if ![1, 3].contains(&channels) || channels.saturating_mul(area) != pixels.len() {
            let count = pixels.len();
            let reason = format!("{count} values are no image of {height} × {width} pixels with one or three channels");
            return Err(Error::Invalid(reason));
        }
        Ok(Tile { height, width, channels, pixels, caption: caption.into() })
    }

    /// Creates a tile from an image `[H, W, 1]` or `[H, W, 3]` of values between 0 and 1.
    ///
    /// # Errors
    /// [`Error::Invalid`] for another shape.
    pub fn from_tensor(image: &Tensor, caption: impl Into<String>) -> Result<Tile> {
        match *image.shape() {
            [height, width, 1 | 3] => Tile::new(height, width, image.data().to_vec(), caption),
            _ => Err(Error::Invalid(format!("{} is no image [H, W, 1] or [H, W, 3]", ShapeText(image.shape())))),
        }
    }

    /// Creates a grey tile whose lowest value is black and whose highest is white, for filters and activations.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there are not `height × width` values.
    pub fn stretched(height: usize, width: usize, values: &[f32], caption: impl Into<String>) -> Result<Tile> {
        let low = values.iter().copied().fold(f32::INFINITY, f32::min);
        let high = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let pixels = values.iter().map(|v| (v - low) / (high - low).max(1e-12)).collect();
        Tile::new(height, width, pixels, caption)
    }

    fn colour(&self, row: usize, column: usize) -> RGBColor {
        let first = (row * self.width + column) * self.channels;
        let at = |channel: usize| (self.pixels[first + channel].clamp(0.0, 1.0) * 255.0).round() as u8;
        if self.channels == 3 { RGBColor(at(0), at(1), at(2)) } else { RGBColor(at(0), at(0), at(0)) }
    }
}

/// Draws images in rows of `columns`, enlarged without blurring, each with its caption, under a title.
///
/// # Errors
/// [`Error::Tensor`] if the file cannot be written, [`Error::Invalid`] if the image would be too large.
pub fn gallery(title: &str, tiles: &[Tile], columns: usize, path: impl AsRef<Path>) -> Result<()> {
    // the size of a cell, as the largest image and the longest caption need it
    let largest = tiles.iter().map(|tile| tile.height.max(tile.width)).max().unwrap_or(1).max(1);
    let columns = columns.clamp(1, tiles.len().max(1));
    let scale = (SIDE / largest).max(1);
    let caption = if tiles.iter().any(|tile| !tile.caption.is_empty()) { 20 } else { 0 };
    let widest = tiles.iter().map(|tile| text_width(&tile.caption, 13)).max().unwrap_or(0);
    let cell_width = (widest as u64).max((largest * scale) as u64) + 16;
    let cell_height = (largest * scale) as u64 + 16 + caption;
    let rows = tiles.len().div_ceil(columns).max(1);
    let width = (cell_width * columns as u64 + 16).max(text_width(title, 18) as u64 + 32);

    draw(path.as_ref(), (width, cell_height * rows as u64 + 48), |area| {
        area.draw_text(title, &font(18).color(&BLACK), (16, 12)).map_err(Error::drawing)?;
        for (i, tile) in tiles.iter().enumerate() {
            // the pixels
            let x = 16 + cell_width as i32 * (i % columns) as i32;
            let y = 44 + cell_height as i32 * (i / columns) as i32;
            let scale = scale as i32;
            for row in 0..tile.height {
                for column in 0..tile.width {
                    let (left, top) = (x + column as i32 * scale, y + row as i32 * scale);
                    // The lower right corner lies outside of a filled rectangle.
                    let corners = [(left, top), (left + scale, top + scale)];
                    let colour = tile.colour(row, column);
                    area.draw(&Rectangle::new(corners, colour.filled())).map_err(Error::drawing)?;
                }
            }
            // the caption
            let below = (x, y + tile.height as i32 * scale + 4);
            area.draw_text(&tile.caption, &font(13).color(&BLACK), below).map_err(Error::drawing)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canvas::written::decode;

    #[test]
    fn images_are_enlarged_without_blurring() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gallery.png");
        let grey = Tile::stretched(2, 3, &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0], "cat → tabby").unwrap();
        let red = Tensor::from_fn([3, 3, 3], |i| if i[2] == 0 { 1.0 } else { 0.0 });
        gallery("misread", &[grey, Tile::from_tensor(&red, "red").unwrap()], 4, &path).unwrap();
        let image = decode(&path);
        // Three pixels of 32 columns and two of 32 rows, from (16, 44) on.
        let at = |row: u32, column: u32| image.pixel(16 + 32 * column + 16, 44 + 32 * row + 16);
        let expected = [0, 51, 102, 153, 204, 255].map(|value| [value; 3]);
        for (i, expected) in expected.into_iter().enumerate() {
            let (row, column) = (i as u32 / 3, i as u32 % 3);
            assert_eq!(at(row, column), expected);
            assert_eq!(image.pixel(16 + 32 * column, 44 + 32 * row), expected);
        }
        assert!(image.places([255, 0, 0]).len() == 96 * 96);
        gallery("none", &[], 4, folder.path().join("none.png")).unwrap();
    }

    #[test]
    fn pixels_that_are_no_image_are_refused() {
        let error = Tile::new(2, 2, vec![0.0; 5], "").unwrap_err().to_string();
        assert_eq!(error, "5 values are no image of 2 × 2 pixels with one or three channels");
        assert!(Tile::new(0, 2, vec![], "").is_err() && Tile::new(usize::MAX, 2, vec![0.0], "").is_err());
        let error = Tile::from_tensor(&Tensor::zeros([2, 2]), "").unwrap_err().to_string();
        assert_eq!(error, "[2, 2] is no image [H, W, 1] or [H, W, 3]");
    }
}
