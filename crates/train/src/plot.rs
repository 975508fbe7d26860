//! Pictures of a run: curves, a confusion matrix, a gallery. PNG files, written atomically; the font comes with the
//! program.

use crate::{ConfusionMatrix, EpochRecord, Error, Result};
use ocelli_tensor::write_atomically;
use plotters::{
    prelude::*,
    style::{FontStyle, register_font},
};
use std::{path::Path, sync::Once};

const TRAIN: RGBColor = RGBColor(31, 119, 180);
const VALIDATION: RGBColor = RGBColor(214, 92, 14);
const GRAY: RGBColor = RGBColor(110, 110, 110);

type Area<'a> = DrawingArea<BitMapBackend<'a>, plotters::coord::Shift>;

fn register_fonts() {
    static FONT: Once = Once::new();
    FONT.call_once(|| {
        // The font is part of the program; if it did not parse, drawing text reports it.
        let _ = register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular());
    });
}

/// The width of a text in pixels; 0 where that cannot be said.
fn text_width(text: &str, size: i32) -> i32 {
    ("sans-serif", size).into_font().box_size(text).map_or(0, |(width, _)| width as i32)
}

/// The label of a tick on the axis of epochs: there are none between whole numbers.
fn epoch_label(epoch: f64) -> String {
    if (epoch - epoch.round()).abs() < 1e-6 { format!("{epoch:.0}") } else { String::new() }
}

/// Draws into memory, then writes the file at once.
fn picture(path: &Path, (width, height): (u32, u32), draw: impl FnOnce(&Area<'_>) -> Result<()>) -> Result<()> {
    register_fonts();
    let mut pixels = vec![255u8; width as usize * height as usize * 3];
    {
        let area = BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area();
        area.fill(&WHITE).map_err(drawing)?;
        draw(&area)?;
        area.present().map_err(drawing)?;
    }
    let mut png = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut png);
    image::ImageEncoder::write_image(encoder, &pixels, width, height, image::ExtendedColorType::Rgb8)
        .map_err(drawing)?;
    Ok(write_atomically(path, |file| file.write_all(&png))?)
}

fn drawing(error: impl std::fmt::Display) -> Error {
    Error::Setting(format!("the picture cannot be drawn: {error}"))
}

/// Loss (on a logarithmic axis) and accuracy by epoch, of training and validation, beside each other.
///
/// # Errors
/// [`Error::Tensor`] if the file cannot be written, [`Error::Setting`] if there is nothing to draw.
pub fn curves(history: &[EpochRecord], path: impl AsRef<Path>) -> Result<()> {
    if history.is_empty() {
        return Err(Error::Setting("there is no epoch to draw".into()));
    }
    let series = |f: fn(&crate::Scores) -> f32| {
        let point = |record: &EpochRecord, scores: &crate::Scores| (record.epoch as f64 + 1.0, f64::from(f(scores)));
        let train: Vec<_> = history.iter().map(|record| point(record, &record.train)).collect();
        let validation: Vec<_> =
            history.iter().filter_map(|record| Some(point(record, record.validation.as_ref()?))).collect();
        (train, validation)
    };
    let loss = series(|scores| scores.loss().max(1e-6));
    let accuracy = series(|scores| 100.0 * scores.top1());
    picture(path.as_ref(), (1200, 480), |area| {
        let halves = area.split_evenly((1, 2));
        let epochs = 0.9..history.last().map_or(1.0, |record| record.epoch as f64 + 1.0).max(2.0) + 0.1;
        // At least a decade: a narrower logarithmic axis has hardly a tick.
        let (low, high) = range(&loss);
        let low = low.min(high / 10.0);
        let mut chart = ChartBuilder::on(&halves[0])
            .caption("loss", ("sans-serif", 24))
            .margin(14)
            .x_label_area_size(42)
            .y_label_area_size(64)
            .build_cartesian_2d(epochs.clone(), (low * 0.8..high * 1.25).log_scale())
            .map_err(drawing)?;
        chart
            .configure_mesh()
            .x_desc("epoch")
            .label_style(("sans-serif", 15))
            .x_label_formatter(&|x| epoch_label(*x))
            .y_label_formatter(&|y| format!("{y:.3}"))
            .light_line_style(WHITE)
            .draw()
            .map_err(drawing)?;
        draw_lines(&mut chart, &loss, SeriesLabelPosition::UpperRight)?;
        let (low, _) = range(&accuracy);
        let mut chart = ChartBuilder::on(&halves[1])
            .caption("accuracy, %", ("sans-serif", 24))
            .margin(14)
            .x_label_area_size(42)
            .y_label_area_size(64)
            .build_cartesian_2d(epochs, (low - 1.0).max(0.0)..100.2)
            .map_err(drawing)?;
        chart
            .configure_mesh()
            .x_desc("epoch")
            .label_style(("sans-serif", 15))
            .x_label_formatter(&|x| epoch_label(*x))
            .y_label_formatter(&|y| format!("{y:.1}"))
            .light_line_style(WHITE)
            .draw()
            .map_err(drawing)?;
        draw_lines(&mut chart, &accuracy, SeriesLabelPosition::LowerRight)
    })
}

type Points = Vec<(f64, f64)>;

fn range((train, validation): &(Points, Points)) -> (f64, f64) {
    let values = train.iter().chain(validation).map(|(_, y)| *y);
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), y| (low.min(y), high.max(y)))
}

/// Both series, with points and a legend.
fn draw_lines<'chart, 'pixels: 'chart, Y>(
    chart: &mut ChartContext<'chart, BitMapBackend<'pixels>, Cartesian2d<plotters::coord::types::RangedCoordf64, Y>>,
    (train, validation): &(Points, Points),
    legend: SeriesLabelPosition,
) -> Result<()>
where
    Y: plotters::coord::ranged1d::Ranged<ValueType = f64>,
{
    for (points, colour, name) in [(train, TRAIN, "training"), (validation, VALIDATION, "validation")] {
        if points.is_empty() {
            continue;
        }
        chart
            .draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))
            .map_err(drawing)?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(3)));
        chart.draw_series(points.iter().map(|point| Circle::new(*point, 3, colour.filled()))).map_err(drawing)?;
    }
    chart
        .configure_series_labels()
        .position(legend)
        .background_style(WHITE.mix(0.85))
        .border_style(GRAY)
        .label_font(("sans-serif", 15))
        .draw()
        .map_err(drawing)
}

/// The confusion matrix as a table of shaded cells: rows are labels, columns answers.
///
/// # Errors
/// As [`curves`].
pub fn confusion(matrix: &ConfusionMatrix, names: &[String], path: impl AsRef<Path>) -> Result<()> {
    let classes = matrix.classes();
    if classes == 0 {
        return Err(Error::Setting("there is no class to draw".into()));
    }
    let cell = (640 / classes as i32).clamp(18, 64);
    let name = |class: usize| names.get(class).cloned().unwrap_or_else(|| class.to_string());
    let longest = (0..classes).map(|class| name(class).chars().count()).max().unwrap_or(1) as i32;
    let (left, top) = (44 + 9 * longest, 44 + if longest > 3 { 7 * longest } else { 16 });
    let side = cell * classes as i32;
    picture(path.as_ref(), ((left + side + 100) as u32, (top + side + 24) as u32), |area| {
        let font = |size: i32| ("sans-serif", size).into_font();
        let text = |text: &str, at: (i32, i32), style: TextStyle<'_>| area.draw_text(text, &style, at).map_err(drawing);
        let (centre, right) = (
            plotters::style::text_anchor::Pos::new(
                plotters::style::text_anchor::HPos::Center,
                plotters::style::text_anchor::VPos::Center,
            ),
            plotters::style::text_anchor::Pos::new(
                plotters::style::text_anchor::HPos::Right,
                plotters::style::text_anchor::VPos::Center,
            ),
        );
        text("answer", (left + side / 2, 14), font(16).color(&GRAY).pos(centre))?;
        text("label", (left - 12, top - 14), font(16).color(&GRAY).pos(right))?;
        text("recall", (left + side + 50, top - 14), font(16).color(&GRAY).pos(centre))?;
        for label in 0..classes {
            let y = top + cell * label as i32;
            let middle = y + cell / 2;
            text(&name(label), (left - 12, middle), font(15).color(&BLACK).pos(right))?;
            let above = (left + cell * label as i32 + cell / 2, top - 14 - if longest > 3 { 3 * longest } else { 0 });
            let turned = if longest > 3 { font(13).transform(FontTransform::Rotate270) } else { font(15) };
            text(&name(label), above, turned.color(&BLACK).pos(centre))?;
            if let Some(recall) = matrix.recall(label) {
                let percent = format!("{:.1} %", 100.0 * recall);
                text(&percent, (left + side + 50, middle), font(15).color(&BLACK).pos(centre))?;
            }
            for answer in 0..classes {
                let count = matrix.count(label, answer);
                let share = count as f64 / matrix.of_label(label).max(1) as f64;
                // The square root makes a few errors visible beside many right answers.
                let colour = if label == answer { TRAIN } else { VALIDATION };
                let shade = if count == 0 { WHITE.to_rgba() } else { colour.mix(0.06 + 0.9 * share.sqrt()) };
                let x = left + cell * answer as i32;
                area.draw(&Rectangle::new([(x, y), (x + cell, y + cell)], shade.filled())).map_err(drawing)?;
                area.draw(&Rectangle::new([(x, y), (x + cell, y + cell)], BLACK.mix(0.12))).map_err(drawing)?;
                if count > 0 {
                    let ink = if share.sqrt() > 0.6 { WHITE } else { BLACK };
                    let size = (cell / 3).clamp(9, 16);
                    text(&count.to_string(), (x + cell / 2, middle), font(size).color(&ink).pos(centre))?;
                }
            }
        }
        Ok(())
    })
}

/// A picture of a gallery.
#[derive(Clone, Debug, PartialEq)]
pub struct Tile {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Brightness from 0 (black) to 1 (white), row by row; of one channel, or of red, green and blue.
    pub pixels: Vec<f32>,
    /// What is written below it; may be empty.
    pub caption: String,
}

impl Tile {
    /// A grey picture whose darkest number is black and whose brightest is white: for filters.
    pub fn stretched(height: usize, width: usize, numbers: &[f32], caption: impl Into<String>) -> Tile {
        let low = numbers.iter().copied().fold(f32::INFINITY, f32::min);
        let high = numbers.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let pixels = numbers.iter().map(|v| (v - low) / (high - low).max(1e-12)).collect();
        Tile { height, width, pixels, caption: caption.into() }
    }

    fn colour(&self, row: usize, column: usize) -> RGBColor {
        let area = self.height * self.width;
        let channels = self.pixels.len().checked_div(area).unwrap_or(0);
        let at = |channel: usize| {
            let value = self.pixels.get((row * self.width + column) * channels + channel);
            (value.copied().unwrap_or(0.0).clamp(0.0, 1.0) * 255.0).round() as u8
        };
        if channels >= 3 { RGBColor(at(0), at(1), at(2)) } else { RGBColor(at(0), at(0), at(0)) }
    }
}

/// Pictures in rows of `columns`, enlarged without blurring, each with its caption, under a title.
///
/// # Errors
/// As [`curves`].
pub fn gallery(title: &str, tiles: &[Tile], columns: usize, path: impl AsRef<Path>) -> Result<()> {
    let largest = tiles.iter().map(|tile| tile.height.max(tile.width)).max().unwrap_or(1).max(1);
    let columns = columns.clamp(1, tiles.len().max(1));
    let scale = (96 / largest).max(1);
    let caption = if tiles.iter().any(|tile| !tile.caption.is_empty()) { 20 } else { 0 };
    register_fonts();
    let widest = tiles.iter().map(|tile| text_width(&tile.caption, 13)).max().unwrap_or(0);
    let (cell_w, cell_h) = (widest.max((largest * scale) as i32) + 16, (largest * scale + 16) as i32 + caption);
    let rows = tiles.len().div_ceil(columns).max(1);
    let width = (cell_w * columns as i32 + 16).max(text_width(title, 18) + 32);
    let size = (width as u32, (cell_h * rows as i32 + 48) as u32);
    picture(path.as_ref(), size, |area| {
        area.draw_text(title, &("sans-serif", 18).into_font().color(&BLACK), (16, 12)).map_err(drawing)?;
        for (i, tile) in tiles.iter().enumerate() {
            let x = 16 + cell_w * (i % columns) as i32;
            let y = 44 + cell_h * (i / columns) as i32;
            for row in 0..tile.height {
                for column in 0..tile.width {
                    let (left, top) = (x + (column * scale) as i32, y + (row * scale) as i32);
                    let corners = [(left, top), (left + scale as i32, top + scale as i32)];
                    area.draw(&Rectangle::new(corners, tile.colour(row, column).filled())).map_err(drawing)?;
                }
            }
            let style = ("sans-serif", 13).into_font().color(&BLACK);
            area.draw_text(&tile.caption, &style, (x, y + (tile.height * scale) as i32 + 4)).map_err(drawing)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scores;

    fn record(epoch: u64) -> EpochRecord {
        let scores = |loss: f32, right: bool| {
            let mut scores = Scores::default();
            scores.add(loss, &[1.0, 0.0, 1.0, 0.0], if right { &[0, 0] } else { &[0, 1] });
            scores
        };
        let loss = 1.0 / (epoch as f32 + 1.0);
        EpochRecord {
            epoch,
            learning_rate: 0.1,
            train: scores(loss, epoch > 1),
            validation: Some(scores(loss * 1.2, epoch > 2)),
        }
    }

    #[test]
    fn pictures_are_png_files() {
        let folder = tempfile::tempdir().unwrap();
        let history: Vec<_> = (0..6).map(record).collect();
        curves(&history, folder.path().join("curves.png")).unwrap();
        curves(&history[..1], folder.path().join("one.png")).unwrap();
        let mut matrix = ConfusionMatrix::new(3);
        [(0, 0), (1, 1), (1, 2), (2, 2)].iter().for_each(|&(label, answer)| matrix.add(label, answer));
        let names = ["a".to_string(), "ankle boot".to_string()];
        confusion(&matrix, &names, folder.path().join("confusion.png")).unwrap();
        let tile = Tile::stretched(2, 3, &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0], "six");
        gallery("numbers", &[tile.clone(), tile], 4, folder.path().join("gallery.png")).unwrap();
        for name in ["curves", "one", "confusion", "gallery"] {
            let bytes = std::fs::read(folder.path().join(format!("{name}.png"))).unwrap();
            assert!(bytes.starts_with(b"\x89PNG") && bytes.len() > 300, "{name}");
        }
        assert_eq!(curves(&[], folder.path().join("none.png")).unwrap_err().to_string(), "there is no epoch to draw");
        assert!(confusion(&ConfusionMatrix::new(0), &[], folder.path().join("none.png")).is_err());
    }
}
