//! The parts that all drawings share: memory that becomes a file, fonts and colours.

use crate::{Error, Result};
use ocelli_data::{Image, image_files::encode_image};
use ocelli_tensor::write_atomically;
use plotters::{
    prelude::*,
    style::{
        FontStyle, register_font,
        text_anchor::{HPos, Pos, VPos},
    },
};
use std::{path::Path, sync::Once};

pub(crate) type Area<'a> = DrawingArea<BitMapBackend<'a>, plotters::coord::Shift>;

/// Colours of the series, in turn.
pub(crate) const COLOURS: [RGBColor; 6] = [
    RGBColor(31, 119, 180),
    RGBColor(214, 92, 14),
    RGBColor(44, 140, 60),
    RGBColor(148, 72, 170),
    RGBColor(170, 40, 50),
    RGBColor(90, 90, 90),
];

pub(crate) const GRAY: RGBColor = RGBColor(110, 110, 110);

/// A position at which text is centred.
pub(crate) const CENTRE: Pos = Pos { h_pos: HPos::Center, v_pos: VPos::Center };
/// A position at which text ends.
pub(crate) const RIGHT: Pos = Pos { h_pos: HPos::Right, v_pos: VPos::Center };

/// Maximum number of pixels of an image. They take three bytes each while it is drawn.
const MOST_PIXELS: u64 = 1 << 26;

/// Registers the font that is embedded in the crate.
pub(crate) fn register_fonts() {
    static FONT: Once = Once::new();
    FONT.call_once(|| {
        // If it did not parse, drawing text reports it.
        let _ = register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular());
    });
}

/// Returns the font of this size.
pub(crate) fn font(size: i32) -> FontDesc<'static> {
    ("sans-serif", size).into_font()
}

/// Returns the width of a text in pixels; 0 if the font cannot tell.
pub(crate) fn text_width(text: &str, size: i32) -> i32 {
    register_fonts();
    font(size).box_size(text).map_or(0, |(width, _)| width as i32)
}

/// Draws into memory, then writes the whole file.
///
/// # Errors
/// [`Error::Tensor`] if the file cannot be written, [`Error::Invalid`] if the image is too large or cannot be drawn.
pub(crate) fn draw(
    path: &Path,
    (width, height): (u64, u64),
    content: impl FnOnce(&Area<'_>) -> Result<()>,
) -> Result<()> {
    let (Ok(columns), Ok(rows)) = (u32::try_from(width), u32::try_from(height)) else {
        return Err(too_large(width, height));
    };
    if width * height > MOST_PIXELS {
        return Err(too_large(width, height));
    }
    register_fonts();
    let mut pixels = vec![255u8; width as usize * height as usize * 3];
    {
        let area = BitMapBackend::with_buffer(&mut pixels, (columns, rows)).into_drawing_area();
        area.fill(&WHITE).map_err(Error::drawing)?;
        content(&area)?;
        area.present().map_err(Error::drawing)?;
    }
    let image = Image::new([rows, columns, 3].map(|side| side as usize), pixels).map_err(Error::drawing)?;
    let png = encode_image(&image).map_err(Error::drawing)?;
    Ok(write_atomically(path, |file| file.write_all(&png))?)
}

fn too_large(width: u64, height: u64) -> Error {
    Error::Invalid(format!("an image of {width} × {height} pixels is too large to be drawn"))
}

/// Reads images that tests wrote.
#[cfg(test)]
pub(crate) mod written {
    use ocelli_data::{Image, image_files::decode_bytes};
    use ocelli_tensor::write_atomically;
    use std::{fs, path::Path};

    /// A drawing.
    pub struct Drawing(Image);

    impl Drawing {
        /// Returns the width and the height.
        pub fn dimensions(&self) -> (u32, u32) {
            let [height, width] = self.0.size();
            (width as u32, height as u32)
        }

        /// Returns the colour of a pixel.
        pub fn pixel(&self, x: u32, y: u32) -> [u8; 3] {
            self.0.pixels().as_chunks().0[(y * self.dimensions().0 + x) as usize]
        }

        /// Returns the columns and rows of the pixels of a colour.
        pub fn places(&self, colour: [u8; 3]) -> Vec<(u32, u32)> {
            let width = self.dimensions().0;
            let pixels = (0..).zip(self.0.pixels().as_chunks().0);
            pixels.filter(|(_, pixel)| **pixel == colour).map(|(at, _)| (at % width, at / width)).collect()
        }
    }

    /// Decodes a PNG file. With `OCELLI_PICTURES=FOLDER` it is copied there for inspection.
    pub fn decode(path: &Path) -> Drawing {
        let bytes = fs::read(path).unwrap();
        if let Some(folder) = std::env::var_os("OCELLI_PICTURES") {
            let copy = Path::new(&folder).join(path.file_name().unwrap());
            write_atomically(copy, |file| file.write_all(&bytes)).unwrap();
        }
        Drawing(decode_bytes(&bytes).unwrap())
    }

    /// Counts the pixels of a colour.
    pub fn count(image: &Drawing, colour: plotters::style::RGBColor) -> usize {
        image.places([colour.0, colour.1, colour.2]).len()
    }
}
