//! Curves: series of points on two axes.

use crate::{
    Error, Result,
    canvas::{Area, COLOURS, GRAY, draw, font},
};
use plotters::{
    coord::{ranged1d::Ranged, types::RangedCoordf64},
    prelude::*,
};
use std::{ops::Range, path::Path};

/// The scale of an axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// A scale on which equal distances are equal differences.
    #[default]
    Linear,
    /// A scale on which equal distances are equal ratios. Values below a millionth are drawn as one.
    Logarithmic,
}

/// The corner of a chart that holds its legend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Corner {
    /// The upper right corner, for curves that fall.
    #[default]
    UpperRight,
    /// The lower right corner, for curves that rise.
    LowerRight,
}

/// Curves on two axes: a series of points for each name.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    title: String,
    x_label: String,
    x_range: Option<(f64, f64)>,
    y_range: Option<(f64, f64)>,
    scale: Scale,
    legend: Corner,
    series: Vec<(String, Vec<(f64, f64)>)>,
}

/// The smallest value of a logarithmic axis.
const SMALLEST: f64 = 1e-6;

impl Chart {
    /// Creates a chart without series.
    pub fn new(title: impl Into<String>) -> Chart {
        Chart {
            title: title.into(),
            x_label: String::new(),
            x_range: None,
            y_range: None,
            scale: Scale::default(),
            legend: Corner::default(),
            series: Vec::new(),
        }
    }

    /// Sets the text below the horizontal axis.
    pub fn x_label(self, label: impl Into<String>) -> Chart {
        Chart { x_label: label.into(), ..self }
    }

    /// Sets the ends of the horizontal axis; those of the points by default.
    pub fn x_range(self, low: f64, high: f64) -> Chart {
        Chart { x_range: Some((low, high)), ..self }
    }

    /// Sets the ends of the vertical axis; a little beyond those of the points by default.
    pub fn y_range(self, low: f64, high: f64) -> Chart {
        Chart { y_range: Some((low, high)), ..self }
    }

    /// Sets the scale of the vertical axis; linear by default.
    pub fn scale(self, scale: Scale) -> Chart {
        Chart { scale, ..self }
    }

    /// Sets the corner of the legend; the upper right one by default.
    pub fn legend(self, legend: Corner) -> Chart {
        Chart { legend, ..self }
    }

    /// Adds a curve through points `(x, y)`, which are drawn in order. Points that are not finite are left out, and a series
    /// without points too.
    pub fn series(mut self, name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Chart {
        let points: Vec<_> = points.into_iter().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
        if !points.is_empty() {
            self.series.push((name.into(), points));
        }
        self
    }

    fn ends(&self, coordinate: impl Fn(&(f64, f64)) -> f64) -> (f64, f64) {
        let values = self.series.iter().flat_map(|(_, points)| points).map(coordinate);
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
    }

    /// Returns the horizontal axis, which is never empty.
    fn x_axis(&self) -> Range<f64> {
        let (low, high) = self.x_range.unwrap_or_else(|| {
            let (low, high) = self.ends(|point| point.0);
            let margin = if high > low { 0.02 * (high - low) } else { 0.5 };
            (low - margin, high + margin)
        });
        checked(low, high)
    }

    /// Returns the vertical axis, which is never empty.
    fn y_axis(&self) -> Range<f64> {
        let (low, high) = self.y_range.unwrap_or_else(|| {
            let (low, high) = self.ends(|point| point.1);
            match self.scale {
                // At least a decade: a narrower logarithmic axis has hardly a tick.
                Scale::Logarithmic => {
                    let (low, high) = (low.max(SMALLEST), high.max(SMALLEST));
                    (0.8 * low.min(high / 10.0), 1.25 * high)
                }
                Scale::Linear => {
                    let margin = if high > low { 0.05 * (high - low) } else { 0.5 };
                    (low - margin, high + margin)
                }
            }
        });
        checked(low, high)
    }

    fn draw(&self, area: &Area<'_>) -> Result<()> {
        let (x, y) = (self.x_axis(), self.y_axis());
        let mut builder = ChartBuilder::on(area);
        builder.caption(&self.title, font(24)).margin(14).x_label_area_size(42).y_label_area_size(64);
        match self.scale {
            Scale::Linear => {
                let digits = digits(y.end - y.start);
                self.draw_series(builder.build_cartesian_2d(x, y).map_err(Error::drawing)?, digits)
            }
            Scale::Logarithmic => {
                let y = y.start.max(SMALLEST / 10.0)..y.end;
                self.draw_series(builder.build_cartesian_2d(x, y.log_scale()).map_err(Error::drawing)?, 3)
            }
        }
    }

    /// Draws axes, curves with their points, and the legend.
    fn draw_series<'chart, 'pixels: 'chart, Y>(
        &self,
        mut chart: ChartContext<'chart, BitMapBackend<'pixels>, Cartesian2d<RangedCoordf64, Y>>,
        digits: usize,
    ) -> Result<()>
    where
        Y: Ranged<ValueType = f64> + plotters::coord::ranged1d::ValueFormatter<f64>,
    {
        // axes
        let x = self.x_axis();
        // Epochs are integers: an axis of two or more has no decimals.
        let x_digits = self::digits(5.0 * (x.end - x.start));
        chart
            .configure_mesh()
            .x_desc(&self.x_label)
            .label_style(font(15))
            .x_label_formatter(&|x| label(*x, x_digits))
            .y_label_formatter(&|y| format!("{y:.digits$}"))
            .light_line_style(WHITE)
            .draw()
            .map_err(Error::drawing)?;

        // curves and points
        for ((name, points), colour) in self.series.iter().zip(COLOURS.iter().cycle()) {
            let floor = if self.scale == Scale::Logarithmic { SMALLEST } else { f64::NEG_INFINITY };
            let points = || points.iter().map(|&(x, y)| (x, y.max(floor)));
            chart
                .draw_series(LineSeries::new(points(), colour.stroke_width(2)))
                .map_err(Error::drawing)?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(3)));
            // Points of a dense curve would only make it thick.
            if points().count() <= 64 {
                chart
                    .draw_series(points().map(|point| Circle::new(point, 3, colour.filled())))
                    .map_err(Error::drawing)?;
            }
        }

        // legend
        let position = match self.legend {
            Corner::UpperRight => SeriesLabelPosition::UpperRight,
            Corner::LowerRight => SeriesLabelPosition::LowerRight,
        };
        chart
            .configure_series_labels()
            .position(position)
            .background_style(WHITE.mix(0.85))
            .border_style(GRAY)
            .label_font(font(15))
            .draw()
            .map_err(Error::drawing)
    }
}

/// Returns the range of an axis, of length 1 at least where `low` is not below `high`.
fn checked(low: f64, high: f64) -> Range<f64> {
    if low < high { low..high } else { low..low + 1.0 }
}

/// Returns the decimals that tell the ticks of an axis of this length apart.
fn digits(length: f64) -> usize {
    (1.0 - length.log10()).ceil().clamp(0.0, 6.0) as usize
}

/// Formats a tick; without decimals only ticks at integers have a label.
fn label(x: f64, digits: usize) -> String {
    if digits > 0 || (x - x.round()).abs() < 1e-6 { format!("{x:.digits$}") } else { String::new() }
}

/// Draws charts beside each other, 600 × 480 pixels each.
///
/// # Errors
/// [`Error::Tensor`] if the file cannot be written, [`Error::Invalid`] if a chart has no point to draw, or the image
/// would be too large.
pub fn charts(charts: &[Chart], path: impl AsRef<Path>) -> Result<()> {
    if charts.is_empty() {
        return Err(Error::Invalid("there is no chart to draw".into()));
    }
    if let Some(Chart { title, .. }) = charts.iter().find(|chart| chart.series.is_empty()) {
        return Err(Error::Invalid(format!("there are no points to draw in the chart \"{title}\"")));
    }
    draw(path.as_ref(), (600 * charts.len() as u64, 480), |area| {
        let parts = area.split_evenly((1, charts.len()));
        charts.iter().zip(&parts).try_for_each(|(chart, part)| chart.draw(part))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canvas::written::{count, decode};

    #[test]
    fn curves_have_their_colours_and_rise_where_they_rise() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("charts.png");
        let loss = Chart::new("loss").x_label("epoch").scale(Scale::Logarithmic);
        let loss = loss.series("training", (1..=6).map(|epoch| (f64::from(epoch), 1.0 / f64::from(epoch).powi(3))));
        let loss = loss.series("validation", (1..=6).map(|epoch| (f64::from(epoch), 1.1 / f64::from(epoch).powi(2))));
        let roc = Chart::new("ROC").x_label("false positives").x_range(0.0, 1.0).y_range(0.0, 1.0);
        let roc = roc.legend(Corner::LowerRight);
        let roc = roc.series("a network", (0..=100).map(|i| (f64::from(i) / 100.0, (f64::from(i) / 100.0).powf(0.2))));
        charts(&[loss, roc], &path).unwrap();
        let image = decode(&path);
        assert_eq!(image.dimensions(), (1200, 480));
        // The columns and rows of a curve, in the left half or the right one.
        let curve = |colour: RGBColor, right: bool| -> Vec<(u32, u32)> {
            let places = image.places([colour.0, colour.1, colour.2]);
            places.into_iter().filter(|(x, _)| (*x >= 600) == right).collect()
        };
        assert!(curve(COLOURS[0], false).len() > 500 && curve(COLOURS[1], false).len() > 500);
        assert!(curve(COLOURS[0], true).len() > 500 && curve(COLOURS[1], true).is_empty());
        // The rows of the first and the last pixel, by column.
        let ends = |right| {
            let places = curve(COLOURS[0], right);
            [places.iter().min_by_key(|(x, _)| *x), places.iter().max_by_key(|(x, _)| *x)].map(|place| place.unwrap().1)
        };
        let ([start, end], [origin, corner]) = (ends(false), ends(true));
        assert!(start < end && corner < origin, "{start} {end} {origin} {corner}");
    }

    #[test]
    fn one_point_and_points_that_are_not_finite_are_drawn_or_left_out() {
        let folder = tempfile::tempdir().unwrap();
        for (name, y) in [("zero", 0.0), ("one", 1.0), ("huge", 1e30), ("negative", -3.0)] {
            for scale in [Scale::Linear, Scale::Logarithmic] {
                let path = folder.path().join(format!("{name}_{scale:?}.png"));
                let chart = Chart::new(name).scale(scale).series("a", [(1.0, y), (2.0, f64::NAN)]);
                charts(&[chart], &path).unwrap();
                assert!(count(&decode(&path), COLOURS[0]) > 10, "{name} {scale:?}");
            }
        }
    }

    #[test]
    fn nothing_to_draw_is_an_error() {
        let error = |list: &[Chart]| charts(list, "nowhere.png").unwrap_err().to_string();
        assert_eq!(error(&[]), "there is no chart to draw");
        let empty = Chart::new("loss").series("training", [(1.0, f64::INFINITY)]);
        assert_eq!(error(&[empty]), "there are no points to draw in the chart \"loss\"");
        let many = vec![Chart::new("a").series("a", [(0.0, 0.0)]); 1000];
        assert_eq!(error(&many), "an image of 600000 × 480 pixels is too large to be drawn");
    }
}
