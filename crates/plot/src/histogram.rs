//! Histograms: how often values fall into each of some intervals.

use crate::{
    Error, Result,
    canvas::{COLOURS, GRAY, draw, font},
};
use plotters::prelude::*;
use std::path::Path;

/// Draws how many values of each series fall into each of `bins` equal intervals between the smallest and the largest of all.
///
/// Series lie over each other, half transparent, as shares of their number of values. Values that are not finite are left out.
///
/// # Errors
/// [`Error::Tensor`] if the file cannot be written, [`Error::Invalid`] if there are no values or no bins.
pub fn histogram(title: &str, series: &[(&str, &[f32])], bins: usize, path: impl AsRef<Path>) -> Result<()> {
    // the ends of the intervals
    let finite = |values: &[f32]| values.iter().copied().filter(|value| value.is_finite()).map(f64::from).collect();
    let series: Vec<(&str, Vec<f64>)> = series.iter().map(|(name, values)| (*name, finite(values))).collect();
    let all = || series.iter().flat_map(|(_, values)| values.iter().copied());
    if all().next().is_none() || bins == 0 {
        return Err(Error::Invalid(format!("there are no values or no bins to draw in the histogram \"{title}\"")));
    }
    let (low, high) = all().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    let (low, high) = if low < high { (low, high) } else { (low - 0.5, low + 0.5) };
    // More bins than columns of pixels cannot be seen.
    let bins = bins.min(1000);
    let width = (high - low) / bins as f64;

    // the share of each interval
    let shares: Vec<Vec<f64>> = series.iter().map(|(_, values)| shares(values, low, width, bins)).collect();
    let highest = shares.iter().flatten().copied().fold(0.0, f64::max);

    draw(path.as_ref(), (600, 480), |area| {
        // axes
        let mut chart = ChartBuilder::on(area)
            .caption(title, font(24))
            .margin(14)
            .x_label_area_size(42)
            .y_label_area_size(64)
            .build_cartesian_2d(low..high, 0.0..1.1 * highest)
            .map_err(Error::drawing)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .label_style(font(15))
            .x_label_formatter(&|x| format!("{x:.3}"))
            .y_label_formatter(&|y| format!("{:.1} %", 100.0 * y))
            .light_line_style(WHITE)
            .draw()
            .map_err(Error::drawing)?;

        // bars
        for (((name, _), shares), colour) in series.iter().zip(&shares).zip(COLOURS.iter().cycle()) {
            let bar = |(bin, share): (usize, &f64)| {
                let left = low + bin as f64 * width;
                Rectangle::new([(left, 0.0), (left + width, *share)], colour.mix(0.5).filled())
            };
            chart
                .draw_series(shares.iter().enumerate().filter(|(_, share)| **share > 0.0).map(bar))
                .map_err(Error::drawing)?
                .label(*name)
                .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 18, y + 5)], colour.mix(0.5).filled()));
        }

        // legend
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.85))
            .border_style(GRAY)
            .label_font(font(15))
            .draw()
            .map_err(Error::drawing)
    })
}

/// Returns the share of the values in each interval; the last one includes its end.
fn shares(values: &[f64], low: f64, width: f64, bins: usize) -> Vec<f64> {
    let mut shares = vec![0.0; bins];
    for value in values {
        shares[(((value - low) / width) as usize).min(bins - 1)] += 1.0 / values.len() as f64;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canvas::written::decode;

    #[test]
    fn values_fall_into_their_intervals() {
        assert_eq!(shares(&[0.0, 0.2, 0.5, 1.0], 0.0, 0.5, 2), [0.5, 0.5]);
    }

    #[test]
    fn a_histogram_is_high_where_values_are_many() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("histogram.png");
        let same: Vec<f32> = (0..100).map(|i| 0.01 * (i % 30) as f32).collect();
        let different: Vec<f32> = (0..100).map(|i| 0.9 - 0.006 * (i % 90) as f32).collect();
        histogram("distances", &[("same", &same), ("different", &different)], 30, &path).unwrap();
        let image = decode(&path);
        assert_eq!(image.dimensions(), (600, 480));
        // Blue bars on the left, orange ones on the right, near the bottom of the plot.
        let [left, right] = [110, 570].map(|x| image.pixel(x, 415));
        assert!(left[2] > left[0] && right[0] > right[2], "{left:?} {right:?}");
        histogram("equal", &[("a", &[2.0, 2.0, f32::NAN])], 5, folder.path().join("equal.png")).unwrap();
    }

    #[test]
    fn a_histogram_of_nothing_is_an_error() {
        let error = histogram("none", &[("a", &[f32::NAN])], 5, "nowhere.png").unwrap_err().to_string();
        assert_eq!(error, "there are no values or no bins to draw in the histogram \"none\"");
        assert!(histogram("none", &[("a", &[1.0])], 0, "nowhere.png").is_err());
    }
}
