//! The results of a run: the answers to the validation images, drawn and written.

use ocelli::{
    data::Scratch,
    plot::{self, Chart, Tile},
    prelude::*,
    tensor::write_atomically,
    train::{ConfusionMatrix, RateCurve, Report},
};
use serde_json::json;
use std::path::Path;

/// Mistakes on the sheet.
const SHOWN: usize = 24;
/// Rows and columns of an image on the sheet.
const SIDE: usize = 128;

/// The answers of a classifier to labelled images, in their order.
pub struct Answers {
    pub confusion: ConfusionMatrix,
    answers: Vec<Answer>,
}

/// The answer to one image.
#[derive(Clone, Copy)]
struct Answer {
    /// Index of the image in its dataset.
    index: usize,
    label: usize,
    /// The class that was answered.
    class: usize,
    /// Probability of the label.
    probability: f32,
}

impl Answers {
    /// Classifies every image of a loader.
    pub fn of(model: &Model, images: &Loader) -> ocelli::Result<Answers> {
        let (mut confusion, mut answers) = (ConfusionMatrix::new(images.dataset().classes()), Vec::new());
        for batch in images.epoch(0) {
            let batch = batch?;
            let scores = model.run(&batch, &["output"])?.swap_remove(0);
            let classes = scores.shape()[1];
            for (row, &label) in scores.data().chunks_exact(classes).zip(batch.labels("labels")?.data()) {
                let ranked = top_k(row, classes);
                let label = label as usize;
                let own = ranked.guesses.iter().find(|guess| guess.class == label);
                let class = ranked.guesses[0].class;
                confusion.add(label, class);
                let probability = own.map_or(0.0, |guess| guess.probability);
                answers.push(Answer { index: 0, label, class, probability });
            }
        }
        // which images were left out is known at the end
        let broken = images.broken_samples();
        let read = (0..images.dataset().len()).filter(|index| {
            let name = images.dataset().name(*index);
            broken.iter().all(|(left_out, _)| *left_out != name)
        });
        answers.iter_mut().zip(read).for_each(|(answer, index)| answer.index = index);
        Ok(Answers { confusion, answers })
    }

    /// Returns the number of images that were classified.
    pub fn len(&self) -> usize {
        self.answers.len()
    }

    /// Returns the answers that are wrong, the surest first.
    fn mistakes(&self) -> Vec<Answer> {
        let mut wrong: Vec<Answer> =
            self.answers.iter().copied().filter(|answer| answer.label != answer.class).collect();
        wrong.sort_by(|a, b| a.probability.total_cmp(&b.probability));
        wrong
    }

    /// Draws the confusion matrix, and a sheet of the worst mistakes among the images that were classified.
    pub fn draw(&self, images: &dyn Dataset, names: &[String], out: &Path) -> ocelli::Result<()> {
        plot::confusion(self.confusion.counts(), names, out.join("confusion.png"))?;
        let tile = |answer: &Answer| -> ocelli::Result<Tile> {
            let (mut image, mut pixels) = (Image::default(), vec![0.0; SIDE * SIDE * 3]);
            images.read(answer.index, &mut image)?;
            Pipeline::stretch([SIDE, SIDE]).apply(&mut image, Key::new(0), &mut Scratch::default(), &mut pixels)?;
            let (class, label) = (&names[answer.class], &names[answer.label]);
            let caption = format!("{class} for {label} {:.1} %", 100.0 * answer.probability);
            Ok(Tile::new(SIDE, SIDE, pixels, caption)?)
        };
        let mistakes = self.mistakes();
        let tiles: Vec<Tile> = mistakes.iter().take(SHOWN).map(tile).collect::<Result<_, _>>()?;
        if tiles.is_empty() {
            return Ok(());
        }
        let title = format!("the worst of {} mistakes: answer, label and its probability", mistakes.len());
        Ok(plot::gallery(&title, &tiles, 6, out.join("mistakes.png"))?)
    }

    /// Writes everything that was measured as JSON.
    pub fn write_json(
        &self,
        arguments: &str,
        names: &[String],
        report: &Report,
        seconds: f64,
        path: &Path,
    ) -> ocelli::Result<()> {
        let of_class = |class: usize| {
            let (recall, precision) = (self.confusion.recall(class), self.confusion.precision(class));
            json!({ "class": names[class], "recall": recall, "precision": precision })
        };
        let text = json!({
            "arguments": arguments,
            "accuracy": self.confusion.accuracy(),
            "classes": (0..names.len()).map(of_class).collect::<Vec<_>>(),
            "confusion": self.confusion.counts(),
            "mistakes": self.mistakes().iter().map(|answer| answer.index).collect::<Vec<_>>(),
            "history": report.history,
            "seconds": seconds,
        });
        let text = serde_json::to_string_pretty(&text).map_err(ocelli::Error::other)?;
        Ok(write_atomically(path, |file| writeln!(file, "{text}"))?)
    }
}

/// Draws the loss by learning rate.
pub fn draw_rates(curve: &RateCurve, path: &Path) -> plot::Result<()> {
    let points = curve.points.iter().map(|(rate, loss)| (f64::from(rate.log10()), f64::from(*loss)));
    plot::charts(&[Chart::new("loss by learning rate").x_label("log10 of the rate").series("loss", points)], path)
}
