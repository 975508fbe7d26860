//! The drawings of `faces train`: ROC, distances, the hardest pairs, and a map of the embeddings.

use ocelli::{
    plot::{Chart, Corner, Tile, charts, gallery, histogram},
    prelude::Tensor,
    vision::{Eigenfaces, FaceSet, Roc, distance_matrix},
};
use std::path::Path;

/// Number of pairs of each kind in the sheet of the hardest.
const PAIRS: usize = 6;

/// Fewest rows of a tile of that sheet.
const TILE: usize = 112;

/// Rows and columns of the map, and of a thumbnail on it.
const MAP: usize = 960;
const THUMBNAIL: [usize; 2] = [56, 46];

pub fn draw(
    folder: &Path,
    faces: &FaceSet,
    embeddings: &Tensor,
    labels: &[u32],
    roc: &Roc,
    threshold: f32,
) -> ocelli::Result<()> {
    let points = roc.points().iter().map(|point| (point.false_accepts, point.true_accepts));
    let title = format!("area {:.4}, equal error rate {:.1} %", roc.auc(), 100.0 * roc.equal_error_rate());
    let chart = Chart::new(title)
        .x_label("false accepts")
        .x_range(0.0, 1.0)
        .y_range(0.0, 1.0)
        .legend(Corner::LowerRight)
        .series("true accepts", points);
    charts(&[chart], folder.join("roc.png"))?;

    // the distances of all pairs
    let distances = distance_matrix(embeddings)?;
    let count = labels.len();
    let pairs = || (0..count).flat_map(|i| (0..i).map(move |j| (i, j)));
    let at = |(i, j): (usize, usize)| distances.data()[i * count + j];
    let of = |same: bool| pairs().filter(move |(i, j)| (labels[*i] == labels[*j]) == same);
    let [same, different] = [true, false].map(|same| of(same).map(at).collect::<Vec<f32>>());
    let title = format!("distances, threshold {threshold:.3}");
    histogram(&title, &[("one person", &same), ("two persons", &different)], 50, folder.join("distances.png"))?;

    // the hardest pairs: those of one person that are farthest apart, and those of two that are nearest
    let mut tiles = Vec::new();
    let samples = faces.identities().samples();
    for same in [true, false] {
        for right in [false, true] {
            let judged_right = |pair: &(usize, usize)| (at(*pair) <= threshold) == same;
            let mut chosen: Vec<(usize, usize)> = of(same).filter(|pair| judged_right(pair) == right).collect();
            chosen.sort_by(|a, b| at(*a).total_cmp(&at(*b)));
            if same {
                chosen.reverse();
            }
            for pair in chosen.into_iter().take(PAIRS) {
                let verdict = if right { "right" } else { "wrong" };
                let kind = if same { "same" } else { "different" };
                tiles.push(side_by_side(
                    faces,
                    [samples[pair.0], samples[pair.1]],
                    &format!("{kind}, {verdict}: {:.2}", at(pair)),
                )?);
            }
        }
    }
    gallery("hardest pairs: of one person, then of two", &tiles, PAIRS, folder.join("pairs.png"))?;
    map(folder, faces, &samples, embeddings, labels)
}

/// Makes a tile of two images, of a height at which a face can be told.
fn side_by_side(faces: &FaceSet, pair: [usize; 2], caption: &str) -> ocelli::Result<Tile> {
    let [height, width, channels] = faces.sample();
    let larger = TILE.div_ceil(height.max(1));
    let mut pixels = Vec::with_capacity(2 * larger * larger * height * width * channels);
    for y in 0..larger * height {
        for image in pair.map(|sample| faces.image(sample).unwrap_or(&[])) {
            let row = image.chunks_exact(width * channels).nth(y / larger).unwrap_or(&[]);
            let columns = row.chunks_exact(channels).flat_map(|pixel| std::iter::repeat_n(pixel, larger));
            columns.for_each(|pixel| pixels.extend_from_slice(pixel));
        }
    }
    Ok(Tile::new(larger * height, larger * 2 * width, pixels, caption)?)
}

/// Draws the images at the places of their first two principal components, in a frame whose colour is the person's.
fn map(folder: &Path, faces: &FaceSet, samples: &[usize], embeddings: &Tensor, labels: &[u32]) -> ocelli::Result<()> {
    let places = Eigenfaces::fit(embeddings, 2)?.project(embeddings)?;
    let largest = places.data().iter().fold(1e-6f32, |largest, x| largest.max(x.abs()));
    let people = faces.identities().len();
    let [height, width] = THUMBNAIL;
    let [rows, columns, channels] = faces.sample();
    let mut canvas = vec![1.0f32; MAP * MAP * 3];
    for ((place, &sample), &label) in places.data().chunks(2).zip(samples).zip(labels) {
        let to_pixel = |x: f32, size: usize| ((0.5 + 0.5 * x / largest) * (MAP - size) as f32) as usize;
        let (left, top) = (to_pixel(place[0], width), to_pixel(-place[1], height));
        let colour = hue(label as f32 / people.max(1) as f32);
        let Some(image) = faces.image(sample) else { continue };
        for y in 0..height {
            for x in 0..width {
                let framed = y < 3 || x < 3 || y >= height - 3 || x >= width - 3;
                let from = ((y * rows / height) * columns + x * columns / width) * channels;
                for (channel, colour) in colour.iter().enumerate() {
                    let value = if framed { *colour } else { image[from + channel.min(channels - 1)] };
                    canvas[((top + y) * MAP + left + x) * 3 + channel] = value;
                }
            }
        }
    }
    let tile = Tile::new(MAP, MAP, canvas, "")?;
    Ok(gallery("embeddings: first two principal components", &[tile], 1, folder.join("map.png"))?)
}

/// Returns a colour of the circle of hues, from 0 to 1.
fn hue(turn: f32) -> [f32; 3] {
    [0.0, 1.0 / 3.0, 2.0 / 3.0].map(|offset| {
        let distance = ((turn + offset).fract() - 0.5).abs() * 6.0;
        (distance - 1.0).clamp(0.0, 1.0)
    })
}
