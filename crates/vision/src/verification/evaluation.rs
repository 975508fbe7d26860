//! How well embeddings tell people apart.

use crate::{Error, Result, Roc};
use ocelli_kernels::distance::squared_distances;
use ocelli_tensor::Tensor;
use serde::Serialize;

/// How well the embeddings of some images tell the people apart whom they show.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct VerificationScores {
    /// Area under the receiver operating characteristic of all pairs of two images.
    pub auc: f64,
    /// Equal error rate of all pairs.
    pub equal_error_rate: f64,
    /// The share of the pairs of one person that are accepted where 1 % of the pairs of two are.
    pub tar_at_1_percent: f64,
    /// The share of the pairs of one person that are accepted where 0.1 % of the pairs of two are.
    pub tar_at_0_1_percent: f64,
    /// The share of the images whose nearest enrolled image is of their person, where one image of each person is
    /// enrolled: a mean over the choice of the image.
    pub one_shot: f64,
}

/// Computes the Euclidean distances `[N, N]` between the rows of `[N, D]`.
///
/// # Errors
/// [`Error::Invalid`] if it is no matrix.
pub fn distance_matrix(embeddings: &Tensor) -> Result<Tensor> {
    let [samples, features] = *embeddings.shape() else {
        return Err(Error::Invalid(format!(
            "embeddings of {} axes, where [N, D] is expected",
            embeddings.shape().len()
        )));
    };
    let mut distances = Tensor::try_zeros([samples, samples])?;
    for i in 0..samples {
        let (before, from_here) = embeddings.data().split_at(i * features);
        squared_distances(&from_here[..features], before, &mut distances.data_mut()[i * samples..][..i]);
        for j in 0..i {
            let distance = distances.data()[i * samples + j].sqrt();
            distances.data_mut()[i * samples + j] = distance;
            distances.data_mut()[j * samples + i] = distance;
        }
    }
    Ok(distances)
}

/// Measures embeddings `[N, D]` of images of people with these labels.
///
/// One-shot identification enrols image `k` of every person and looks up all others, for each `k` that every person
/// has.
///
/// # Errors
/// [`Error::Invalid`] if labels and embeddings differ in number, there is only one person, or no person has two
/// images.
pub fn evaluate_embeddings(embeddings: &Tensor, labels: &[u32]) -> Result<(VerificationScores, Roc)> {
    let distances = distance_matrix(embeddings)?;
    let samples = labels.len();
    if distances.shape()[0] != samples {
        return Err(Error::Invalid(format!("{} embeddings but {samples} labels", distances.shape()[0])));
    }
    let at = |i: usize, j: usize| distances.data()[i * samples + j];
    let pairs = (0..samples).flat_map(|i| (0..i).map(move |j| (i, j)));
    let roc = Roc::new(pairs.map(|(i, j)| (at(i, j), labels[i] == labels[j])))?;
    let scores = VerificationScores {
        auc: roc.auc(),
        equal_error_rate: roc.equal_error_rate(),
        tar_at_1_percent: roc.tar_at(0.01),
        tar_at_0_1_percent: roc.tar_at(0.001),
        one_shot: one_shot(samples, labels, at),
    };
    Ok((scores, roc))
}

fn one_shot(samples: usize, labels: &[u32], distance: impl Fn(usize, usize) -> f32) -> f64 {
    let mut people: Vec<u32> = labels.to_vec();
    people.sort_unstable();
    people.dedup();
    let of = |person: u32| (0..samples).filter(move |&i| labels[i] == person);
    let choices = people.iter().map(|&person| of(person).count()).min().unwrap_or(0);
    let (mut right, mut all) = (0usize, 0usize);
    for choice in 0..choices {
        let enrolled: Vec<usize> = people.iter().filter_map(|&person| of(person).nth(choice)).collect();
        for i in (0..samples).filter(|i| !enrolled.contains(i)) {
            let nearest = enrolled.iter().copied().min_by(|&a, &b| distance(i, a).total_cmp(&distance(i, b)));
            right += usize::from(nearest.is_some_and(|nearest| labels[nearest] == labels[i]));
            all += 1;
        }
    }
    right as f64 / all.max(1) as f64
}

/// The accuracy of verification in folds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CrossValidation {
    /// The share of right answers in each fold, with the threshold that is best in all others.
    pub accuracies: Vec<f64>,
    /// The mean of the accuracies.
    pub mean: f64,
    /// The standard error of the mean.
    pub standard_error: f64,
}

/// Measures folds of pairs by the protocol of LFW (Huang et al. 2007): the threshold of each fold is the one that is best
/// in the others together. A pair is its distance and whether both images show one person.
///
/// # Errors
/// [`Error::Invalid`] if there are fewer than two folds, or the pairs of all folds but one are of one kind.
///
/// ```
/// use ocelli_vision::cross_validated;
/// let fold = |shift: f32| vec![(0.3 + shift, true), (0.4 + shift, true), (0.8 + shift, false), (0.9 + shift, false)];
/// let result = cross_validated(&[fold(0.0), fold(0.05), fold(-0.05)])?;
/// assert_eq!((result.mean, result.standard_error), (1.0, 0.0));
/// # Ok::<(), ocelli_vision::Error>(())
/// ```
pub fn cross_validated(folds: &[Vec<(f32, bool)>]) -> Result<CrossValidation> {
    if folds.len() < 2 || folds.iter().any(Vec::is_empty) {
        return Err(Error::Invalid("cross-validation needs two folds or more, none of them empty".into()));
    }
    let mut accuracies = Vec::with_capacity(folds.len());
    for (number, fold) in folds.iter().enumerate() {
        let others = folds.iter().enumerate().filter(|(other, _)| *other != number);
        let (threshold, _) = Roc::new(others.flat_map(|(_, fold)| fold.iter().copied()))?.best_threshold();
        let right = fold.iter().filter(|(distance, same)| (*distance <= threshold) == *same).count();
        accuracies.push(right as f64 / fold.len() as f64);
    }
    let count = accuracies.len() as f64;
    let mean = accuracies.iter().sum::<f64>() / count;
    let variance = accuracies.iter().map(|a| (a - mean).powi(2)).sum::<f64>() / (count - 1.0);
    Ok(CrossValidation { accuracies, mean, standard_error: (variance / count).sqrt() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_shot_enrols_each_image_in_turn() {
        // Two people on a line: the third image of the first is nearer to the second person.
        let x = Tensor::from_vec([6, 1], vec![0.0, 0.1, 0.9, 1.0, 1.1, 1.2]).unwrap();
        let (scores, roc) = evaluate_embeddings(&x, &[0, 0, 0, 1, 1, 1]).unwrap();
        // Enrolled (0.0, 1.0): 0.9 is wrong; (0.1, 1.1): 0.9 is wrong; (0.9, 1.2): 1.0 is wrong, and 1.1 is right.
        assert!((scores.one_shot - 9.0 / 12.0).abs() < 1e-9, "{scores:?}");
        assert_eq!(roc.points().last().map(|point| point.true_accepts), Some(1.0));
    }

    #[test]
    fn a_fold_is_judged_by_the_others() {
        let folds = [vec![(0.1, true), (0.9, false)], vec![(0.2, true), (0.8, false)], vec![(0.7, true), (0.6, false)]];
        let result = cross_validated(&folds).unwrap();
        assert_eq!(result.accuracies, [1.0, 1.0, 0.5]);
        let error = (2.0 * (1.0f64 / 6.0).powi(2) + (1.0f64 / 3.0).powi(2)) / 2.0;
        assert!((result.standard_error - (error / 3.0).sqrt()).abs() < 1e-12);
        assert!(cross_validated(&folds[..1]).is_err());
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let x = Tensor::zeros([3, 2]);
        let error = |labels: &[u32]| evaluate_embeddings(&x, labels).unwrap_err().to_string();
        assert_eq!(error(&[0, 1]), "3 embeddings but 2 labels");
        assert_eq!(error(&[0, 0, 0]), "there are 3 pairs of one person and 0 of two; both are needed");
        assert_eq!(error(&[0, 1, 2]), "there are 0 pairs of one person and 3 of two; both are needed");
    }
}
