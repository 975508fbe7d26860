//! Confusion matrices.

use crate::{
    Error, Result,
    canvas::{CENTRE, COLOURS, GRAY, RIGHT, draw, font},
};
use plotters::{prelude::*, style::text_anchor::Pos};
use std::path::Path;

/// Smallest side in pixels of a cell that holds text.
const READABLE: i32 = 18;

/// Largest side in pixels of a matrix whose cells are too small for text.
const LARGEST_SIDE: i32 = 1800;

/// Draws a confusion matrix as a table of shaded cells with the recall of each class.
///
/// `counts` has a row of predictions for each label, `classes × classes` values in all. A class without a name is shown
/// by its index; cells of more than a hundred classes are too small for text.
///
/// # Errors
/// [`Error::Tensor`] if the file cannot be written, [`Error::Invalid`] if the counts are not a square matrix.
pub fn confusion(counts: &[u64], names: &[String], path: impl AsRef<Path>) -> Result<()> {
    // sizes
    let classes = counts.len().isqrt();
    if classes == 0 || classes * classes != counts.len() {
        let count = counts.len();
        return Err(Error::Invalid(format!("{count} counts are no confusion matrix: it has as many rows as columns")));
    }
    let cell = match i32::try_from(classes) {
        Ok(classes) if READABLE * classes <= LARGEST_SIDE => (640 / classes).clamp(READABLE, 64),
        Ok(classes) => (LARGEST_SIDE / classes).max(1),
        Err(_) => 1,
    };
    let is_readable = cell >= READABLE;
    let name = |class: usize| names.get(class).cloned().unwrap_or_else(|| class.to_string());
    let longest = (0..classes).map(|class| name(class).chars().count()).max().unwrap_or(1).min(40) as i32;
    let (left, top) = (44 + 9 * longest, 44 + if longest > 3 { 7 * longest } else { 16 });
    let side = cell as u64 * classes as u64;
    let size = (left as u64 + side + 100, top as u64 + side + 24);

    draw(path.as_ref(), size, |area| {
        let text =
            |text: &str, at: (i32, i32), style: TextStyle<'_>| area.draw_text(text, &style, at).map_err(Error::drawing);
        let style = |size: i32| font(size).color(&BLACK);
        let right_edge = left + side as i32;
        if is_readable {
            let heading = |pos: Pos| font(16).color(&GRAY).pos(pos);
            text("prediction", (left + side as i32 / 2, 14), heading(CENTRE))?;
            text("label", (left - 12, top - 14), heading(RIGHT))?;
            text("recall", (right_edge + 50, top - 14), heading(CENTRE))?;
        }

        for (label, row) in counts.chunks_exact(classes).enumerate() {
            let y = top + cell * label as i32;
            let middle = y + cell / 2;
            let total: u64 = row.iter().sum();

            // the class at both edges, and its recall
            if is_readable {
                text(&name(label), (left - 12, middle), style(15).pos(RIGHT))?;
                let raised = if longest > 3 { 3 * longest } else { 0 };
                let above = (left + cell * label as i32 + cell / 2, top - 14 - raised);
                let turned = if longest > 3 { font(13).transform(FontTransform::Rotate270) } else { font(15) };
                text(&name(label), above, turned.color(&BLACK).pos(CENTRE))?;
                if total > 0 {
                    let recall = format!("{:.1} %", 100.0 * row[label] as f64 / total as f64);
                    text(&recall, (right_edge + 50, middle), style(15).pos(CENTRE))?;
                }
            }

            // the cells
            for (prediction, &count) in row.iter().enumerate() {
                let share = count as f64 / total.max(1) as f64;
                // The square root makes a few errors visible beside many right predictions.
                let colour = if label == prediction { COLOURS[0] } else { COLOURS[1] };
                let shade = if count == 0 { WHITE.to_rgba() } else { colour.mix(0.06 + 0.9 * share.sqrt()) };
                let x = left + cell * prediction as i32;
                let corners = [(x, y), (x + cell, y + cell)];
                area.draw(&Rectangle::new(corners, shade.filled())).map_err(Error::drawing)?;
                if is_readable {
                    area.draw(&Rectangle::new(corners, BLACK.mix(0.12))).map_err(Error::drawing)?;
                }
                if is_readable && count > 0 {
                    let ink = if share.sqrt() > 0.6 { WHITE } else { BLACK };
                    let size = (cell / 3).clamp(9, 16);
                    text(&count.to_string(), (x + cell / 2, middle), font(size).color(&ink).pos(CENTRE))?;
                }
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canvas::written::decode;

    #[test]
    fn right_cells_are_blue_and_wrong_ones_orange() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("confusion.png");
        let names = ["a", "ankle boot", "coat"].map(String::from);
        confusion(&[9, 0, 1, 0, 12, 0, 4, 0, 8], &names, &path).unwrap();
        let image = decode(&path);
        let (left, top) = (44 + 9 * 10, 44 + 7 * 10);
        assert_eq!(image.dimensions(), (left + 3 * 64 + 100, top + 3 * 64 + 24));
        let cell = |label: u32, class: u32| image.pixel(left + 64 * class + 8, top + 64 * label + 8);
        for class in 0..3 {
            let [red, _, blue] = cell(class, class);
            assert!(blue > red, "{class}");
        }
        let [red, _, blue] = cell(2, 0);
        assert!(red > blue);
        assert_eq!(cell(0, 1), [255; 3]);
    }

    #[test]
    fn a_thousand_classes_are_a_image_of_a_reasonable_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large.png");
        let counts: Vec<u64> = (0..1_000_000).map(|i| u64::from(i / 1000 == i % 1000)).collect();
        confusion(&counts, &[], &path).unwrap();
        assert_eq!(decode(&path).dimensions(), (44 + 27 + 1000 + 100, 44 + 16 + 1000 + 24));
    }

    #[test]
    fn counts_that_are_no_square_are_refused() {
        let error = confusion(&[1, 2, 3], &[], "nowhere.png").unwrap_err().to_string();
        assert_eq!(error, "3 counts are no confusion matrix: it has as many rows as columns");
        assert!(confusion(&[], &[], "nowhere.png").is_err());
    }
}
