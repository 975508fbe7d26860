//! The best answers of a classifier, with their probabilities.

use ocelli_data::Ranking;
use ocelli_kernels::{elementwise::Source, softmax::softmax};
use std::fmt;

/// A class and its probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guess {
    /// The index of the class.
    pub class: usize,
    /// The probability, from 0 to 1; over all classes they sum to 1.
    pub probability: f32,
}

/// The best classes, the best first. `Display` writes a line for each: name, probability and a bar.
///
/// ```
/// let names = ["cat", "dog", "bird"].map(String::from);
/// let top = ocelli_models::top_k(&[2.0, 1.0, 5.0], 2).named(&names);
/// assert_eq!((top.guesses[0].class, top.name(top.guesses[0].class)), (2, "bird".into()));
/// let text = top.to_string();
/// assert_eq!(text.lines().next(), Some("  bird  93.6 % █████████████████████████████████████"));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct TopK<'a> {
    /// The classes.
    pub guesses: Vec<Guess>,
    names: &'a [String],
}

/// Returns the `k` best classes by a network's scores for one sample, with the softmax of the scores as probabilities.
/// Among equal scores the lower class comes first; a NaN comes last, with probability 0.
pub fn top_k(scores: &[f32], k: usize) -> TopK<'static> {
    top_k_by(Ranking::Largest, scores, k)
}

/// Returns the `k` best classes by scores whose best is the largest or the smallest; for the smallest, probabilities
/// are those of the scores with their signs changed.
pub fn top_k_by(ranking: Ranking, scores: &[f32], k: usize) -> TopK<'static> {
    let sign = if ranking == Ranking::Largest { 1.0 } else { -1.0 };
    let logit = |score: &f32| if score.is_nan() { f32::NEG_INFINITY } else { sign * score };
    let mut probabilities: Vec<f32> = scores.iter().map(logit).collect();
    softmax(Source::InPlace, &mut probabilities, scores.len().max(1));
    let probability = |class: usize| Some(probabilities[class]).filter(|p| p.is_finite()).unwrap_or(0.0);
    let top = ranking.top(scores, k).into_iter();
    let guesses = top.map(|class| Guess { class, probability: probability(class) }).collect();
    TopK { guesses, names: &[] }
}

impl TopK<'_> {
    /// Adds the names of the classes, in the order of their indices.
    pub fn named(self, names: &[String]) -> TopK<'_> {
        TopK { guesses: self.guesses, names }
    }

    /// Returns the name of a class, or its index if it has no name.
    pub fn name(&self, class: usize) -> String {
        self.names.get(class).cloned().unwrap_or_else(|| class.to_string())
    }
}

/// Length in characters of a bar of 100 %.
const BAR: f32 = 40.0;

impl fmt::Display for TopK<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.guesses.iter().map(|guess| self.name(guess.class)).collect();
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        for (line, (name, guess)) in names.iter().zip(&self.guesses).enumerate() {
            let bar = "█".repeat((guess.probability * BAR).round() as usize);
            let end = if line == 0 { "" } else { "\n" };
            let text = format!("  {name:>width$} {:5.1} % {bar}", 100.0 * guess.probability);
            write!(f, "{end}{}", text.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(top: &TopK<'_>) -> Vec<usize> {
        top.guesses.iter().map(|guess| guess.class).collect()
    }

    #[test]
    fn the_best_come_first_with_their_probabilities() {
        let scores = [0.5, 2.0, -1.0, 2.0, 0.0];
        let top = top_k(&scores, 3);
        assert_eq!(classes(&top), [1, 3, 0]);
        let sum: f64 = scores.iter().map(|score| f64::from(*score).exp()).sum();
        for guess in &top.guesses {
            let expected = f64::from(scores[guess.class]).exp() / sum;
            assert!((f64::from(guess.probability) - expected).abs() < 1e-6, "{guess:?}");
        }
        let all = top_k(&scores, 100);
        assert_eq!(all.guesses.len(), 5);
        assert!((all.guesses.iter().map(|guess| guess.probability).sum::<f32>() - 1.0).abs() < 1e-6);
    }

    #[test]
    fn of_distances_the_smallest_is_best() {
        let top = top_k_by(Ranking::Smallest, &[30.0, 2.0, 9.0], 2);
        assert_eq!(classes(&top), [1, 2]);
        assert!(top.guesses[0].probability > 0.99);
    }

    #[test]
    fn scores_that_are_no_numbers_come_last() {
        assert_eq!(classes(&top_k(&[f32::NAN, 1.0, 3.0], 3)), [2, 1, 0]);
        let none = top_k(&[f32::NAN; 2], 5);
        assert_eq!(none.guesses, [Guess { class: 0, probability: 0.0 }, Guess { class: 1, probability: 0.0 }]);
        assert_eq!(top_k(&[], 5).to_string(), "");
        assert_eq!(classes(&top_k(&[f32::INFINITY, 0.0, f32::NEG_INFINITY], 1)), [0]);
    }

    #[test]
    fn names_are_aligned_and_may_be_missing() {
        let names = ["a".to_string(), "élan".to_string()];
        let text = top_k(&[0.0, 9.0, -99.0], 3).named(&names).to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], format!("  élan 100.0 % {}", "█".repeat(40)));
        assert_eq!(lines[1..], ["     a   0.0 %", "     2   0.0 %"]);
    }
}
