//! Drawings as SVG: curves, histograms and points, from plain numbers.

use crate::page::escaped;
use std::fmt::Write;

/// Colours of the series, in turn.
pub(crate) const COLOURS: [&str; 10] =
    ["#1f77b4", "#d65c0e", "#2c8c3c", "#9448aa", "#aa2832", "#5a5a5a", "#b8860b", "#17818f", "#c2569b", "#7a8b2f"];

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 256.0;
/// Room for the labels left, right, above and below.
const MARGINS: [f64; 4] = [48.0, 12.0, 26.0, 50.0];

/// The ends of two axes.
#[derive(Clone, Copy)]
struct Axes {
    x: [f64; 2],
    y: [f64; 2],
}

impl Axes {
    fn around(points: impl Iterator<Item = (f64, f64)>) -> Axes {
        let none = [f64::INFINITY, f64::NEG_INFINITY];
        let grow = |[low, high]: [f64; 2], value: f64| [low.min(value), high.max(value)];
        let finite = points.filter(|(x, y)| x.is_finite() && y.is_finite());
        let (x, y) = finite.fold((none, none), |(x, y), point| (grow(x, point.0), grow(y, point.1)));
        let open = |[low, high]: [f64; 2]| match low < high {
            true => [low, high],
            false if low.is_finite() => [low - 0.5, low + 0.5],
            false => [0.0, 1.0],
        };
        Axes { x: open(x), y: open(y) }
    }

    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let [left, right, above, below] = MARGINS;
        let share = |[low, high]: [f64; 2], value: f64| (value - low) / (high - low);
        let across = left + share(self.x, x) * (WIDTH - left - right);
        (across, HEIGHT - below - share(self.y, y) * (HEIGHT - above - below))
    }

    /// Opens a drawing with its title, a frame and the ends of both axes.
    fn frame(&self, title: &str, x_label: &str) -> String {
        let ((left, bottom), (right, top)) = (self.place((self.x[0], self.y[0])), self.place((self.x[1], self.y[1])));
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
             font-family=\"system-ui,sans-serif\" font-size=\"11\" fill=\"#444\"><text x=\"{left:.0}\" y=\"16\" \
             font-size=\"13\" fill=\"#222\">{}</text><rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" \
             fill=\"none\" stroke=\"#ccc\"/>",
            escaped(title),
            right - left,
            bottom - top,
        );
        for (value, y) in [(self.y[0], bottom), (self.y[1], top + 8.0)] {
            text(&mut svg, (left - 4.0, y), "end", &short(value));
        }
        text(&mut svg, (left, bottom + 14.0), "start", &short(self.x[0]));
        text(&mut svg, (right, bottom + 14.0), "end", &short(self.x[1]));
        text(&mut svg, ((left + right) / 2.0, bottom + 14.0), "middle", x_label);
        svg
    }
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, content: &str) {
    let content = escaped(content);
    write!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{content}</text>")
        .expect("a string takes any text");
}

fn short(value: f64) -> String {
    let magnitude = value.abs();
    match magnitude {
        0.0 => "0".into(),
        _ if !(1e-3..1e5).contains(&magnitude) => format!("{value:.1e}"),
        _ if magnitude >= 100.0 => format!("{value:.0}"),
        _ => format!("{value:.3}").trim_end_matches('0').trim_end_matches('.').into(),
    }
}

/// Lists the names of the series in their colours, below the drawing.
fn legend(svg: &mut String, names: &[&str]) {
    let (x, y) = (MARGINS[0], HEIGHT - 8.0);
    write!(svg, "<text x=\"{x}\" y=\"{y}\">").expect("a string takes any text");
    for (number, name) in names.iter().enumerate() {
        let (colour, name) = (COLOURS[number % COLOURS.len()], escaped(name));
        let gap = if number == 0 { 0 } else { 8 };
        write!(svg, "<tspan dx=\"{gap}\" fill=\"{colour}\">{name}</tspan>").expect("a string takes any text");
    }
    svg.push_str("</text>");
}

/// Draws series of points as lines, from 0 to 1 on the vertical axis.
pub(crate) fn curves(title: &str, x_label: &str, series: &[(&str, Vec<(f64, f64)>)]) -> String {
    let axes = Axes { y: [0.0, 1.0], ..Axes::around(series.iter().flat_map(|(_, points)| points.iter().copied())) };
    let mut svg = axes.frame(title, x_label);
    for ((_, points), colour) in series.iter().zip(COLOURS.iter().cycle()) {
        let places = points.iter().map(|&(x, y)| axes.place((x, y.clamp(0.0, 1.0))));
        let line: Vec<String> = places.map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let line = line.join(" ");
        write!(svg, "<polyline points=\"{line}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\"/>")
            .expect("a string takes any text");
    }
    legend(&mut svg, &series.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    svg + "</svg>"
}

/// Draws how many of the values fall into each of `bins` equal intervals. Values that are not finite are left out.
pub(crate) fn histogram(title: &str, values: &[f32], bins: usize) -> String {
    let finite = || values.iter().filter(|value| value.is_finite()).map(|value| f64::from(*value));
    let x = Axes::around(finite().map(|value| (value, 0.0))).x;
    let mut counts = vec![0.0; bins.max(1)];
    for value in finite() {
        let bin = (value - x[0]) / (x[1] - x[0]) * counts.len() as f64;
        let last = counts.len() - 1;
        counts[(bin as usize).min(last)] += 1.0;
    }
    let most = counts.iter().copied().fold(1.0, f64::max);
    let axes = Axes { x, y: [0.0, most] };
    let mut svg = axes.frame(title, "");
    let width = (x[1] - x[0]) / counts.len() as f64;
    for (bin, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0.0) {
        let (left, top) = axes.place((x[0] + bin as f64 * width, *count));
        let (right, bottom) = axes.place((x[0] + (bin + 1) as f64 * width, 0.0));
        let (width, height) = (right - left, bottom - top);
        write!(
            svg,
            "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{}\"/>",
            COLOURS[0]
        )
        .expect("a string takes any text");
    }
    svg + "</svg>"
}

/// Draws points in the colours of their groups.
pub(crate) fn points(title: &str, points: &[(f64, f64)], groups: &[usize], names: &[String]) -> String {
    let axes = Axes::around(points.iter().copied());
    let mut svg = axes.frame(title, "");
    for (point, group) in points.iter().zip(groups) {
        let (x, y) = axes.place(*point);
        let colour = COLOURS[group % COLOURS.len()];
        write!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2\" fill=\"{colour}\" fill-opacity=\"0.6\"/>")
            .expect("a string takes any text");
    }
    if names.len() <= COLOURS.len() {
        legend(&mut svg, &names.iter().map(String::as_str).collect::<Vec<_>>());
    }
    svg + "</svg>"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_are_not_finite_or_all_equal_are_drawn() {
        for values in [&[][..], &[f32::NAN], &[2.0; 3], &[0.0, f32::INFINITY, 1.0]] {
            let svg = histogram("<weights>", values, 10);
            assert!(svg.starts_with("<svg") && svg.ends_with("</svg>") && svg.contains("&lt;weights&gt;"));
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
        let svg = histogram("counts", &[0.0, 0.1, 0.9, 1.0, 1.0], 2);
        assert_eq!(svg.matches("<rect").count(), 3);
        let svg = curves("c", "x", &[("a", vec![(0.0, 0.5), (1.0, 2.0)]), ("b", vec![])]);
        assert_eq!(svg.matches("<polyline").count(), 2);
    }

    #[test]
    fn numbers_are_short() {
        let texts = [0.0, 1.0, 0.25, -2.3456, 1234.5, 1e-7].map(short);
        assert_eq!(texts, ["0", "1", "0.25", "-2.346", "1234", "1.0e-7"]);
    }
}
