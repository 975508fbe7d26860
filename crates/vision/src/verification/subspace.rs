//! Linear projections of pixels that were in use before networks: eigenfaces and Fisherfaces.

use crate::{Error, Result, eigen::SymmetricEigen};
use ocelli_tensor::{ShapeText, Tensor};

/// Eigenfaces: the principal components of images (Turk and Pentland 1991).
///
/// ```
/// use ocelli_tensor::Tensor;
/// use ocelli_vision::Eigenfaces;
/// // Points on a line: one component says all.
/// let x = Tensor::from_vec([3, 2], vec![0.0, 0.0, 1.0, 2.0, 2.0, 4.0])?;
/// let y = Eigenfaces::fit(&x, 1)?.project(&x)?;
/// assert!((y.data()[0] - y.data()[2]).abs() - 20f32.sqrt() < 1e-5);
/// # Ok::<(), ocelli_vision::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Eigenfaces {
    mean: Vec<f64>,
    /// Directions in rows, each of unit length.
    components: Vec<Vec<f64>>,
}

/// Fisherfaces: the directions in which people differ most in relation to what one person's images differ, among principal
/// components (Belhumeur et al. 1997).
#[derive(Clone, Debug, PartialEq)]
pub struct Fisherfaces {
    eigenfaces: Eigenfaces,
    /// Directions in rows, among the components of the eigenfaces.
    directions: Vec<Vec<f64>>,
}

/// Returns the sizes of a matrix `[N, D]`; every further axis counts as features.
fn sizes(x: &Tensor) -> Result<[usize; 2]> {
    match *x.shape() {
        [samples, ref rest @ ..] if samples > 0 && !rest.is_empty() => Ok([samples, x.len() / samples]),
        ref other => Err(Error::Invalid(format!("images of shape {}, where [N, …] is expected", ShapeText(other)))),
    }
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

/// Returns the rows of `x` as `f64`.
fn rows(x: &Tensor, features: usize) -> Vec<Vec<f64>> {
    x.data().chunks_exact(features.max(1)).map(|row| row.iter().map(|x| f64::from(*x)).collect()).collect()
}

fn mean_of(rows: &[Vec<f64>], features: usize) -> Vec<f64> {
    let mut mean = vec![0.0; features];
    rows.iter().for_each(|row| mean.iter_mut().zip(row).for_each(|(mean, x)| *mean += x / rows.len() as f64));
    mean
}

fn tensor(rows: Vec<Vec<f64>>, features: usize) -> Result<Tensor> {
    let count = rows.len();
    Ok(Tensor::from_vec([count, features], rows.into_iter().flatten().map(|x| x as f32).collect())?)
}

impl Eigenfaces {
    /// Finds the components of images `[N, …]` in which they differ most.
    ///
    /// Fewer images than pixels: the eigenvectors are those of the `[N, N]` matrix of products, mapped to pixels.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there are not more images than components.
    pub fn fit(x: &Tensor, components: usize) -> Result<Eigenfaces> {
        let [samples, features] = sizes(x)?;
        if components == 0 || components >= samples {
            return Err(Error::Invalid(format!("{components} components of {samples} images; fewer are possible")));
        }
        let mut rows = rows(x, features);
        let mean = mean_of(&rows, features);
        rows.iter_mut().for_each(|row| row.iter_mut().zip(&mean).for_each(|(x, mean)| *x -= mean));
        let mut products = vec![0.0; samples * samples];
        for i in 0..samples {
            for j in 0..=i {
                products[i * samples + j] = dot(&rows[i], &rows[j]);
                products[j * samples + i] = products[i * samples + j];
            }
        }
        let direction = |(_, weights): (f64, &[f64])| {
            let mut direction = vec![0.0; features];
            for (row, weight) in rows.iter().zip(weights) {
                direction.iter_mut().zip(row).for_each(|(sum, x)| *sum += weight * x);
            }
            let norm = dot(&direction, &direction).sqrt().max(f64::MIN_POSITIVE);
            direction.iter_mut().for_each(|x| *x /= norm);
            direction
        };
        let components =
            SymmetricEigen::new(&products, samples).sorted().into_iter().take(components).map(direction).collect();
        Ok(Eigenfaces { mean, components })
    }

    fn coordinates(&self, x: &Tensor) -> Result<Vec<Vec<f64>>> {
        let [_, features] = sizes(x)?;
        if features != self.mean.len() {
            return Err(Error::Invalid(format!("images of {features} values; {} were expected", self.mean.len())));
        }
        let mut rows = rows(x, features);
        rows.iter_mut().for_each(|row| row.iter_mut().zip(&self.mean).for_each(|(x, mean)| *x -= mean));
        Ok(rows.iter().map(|row| self.components.iter().map(|component| dot(row, component)).collect()).collect())
    }

    /// Computes the coordinates `[N, components]` of images.
    ///
    /// # Errors
    /// [`Error::Invalid`] if they have another number of values.
    pub fn project(&self, x: &Tensor) -> Result<Tensor> {
        tensor(self.coordinates(x)?, self.components.len())
    }
}

impl Fisherfaces {
    /// Finds the `directions` that tell people apart best, among `components` principal components of images `[N, …]`
    /// with a label each.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there are not more images than components and people together, or not more people than
    /// directions.
    pub fn fit(x: &Tensor, labels: &[u32], components: usize, directions: usize) -> Result<Fisherfaces> {
        let [samples, _] = sizes(x)?;
        let mut people: Vec<u32> = labels.to_vec();
        people.sort_unstable();
        people.dedup();
        if labels.len() != samples {
            return Err(Error::Invalid(format!("{samples} images but {} labels", labels.len())));
        }
        if directions == 0 || directions >= people.len() || components + people.len() > samples {
            let count = people.len();
            let reason = format!("{directions} directions among {components} components of {samples} images");
            return Err(Error::Invalid(format!("{reason} of {count} people are not to be had")));
        }
        let eigenfaces = Eigenfaces::fit(x, components)?;
        let rows = eigenfaces.coordinates(x)?;
        let overall = mean_of(&rows, components);
        // the scatter within people and between them
        let (mut within, mut between) = (vec![0.0; components * components], vec![0.0; components * components]);
        let add = |scatter: &mut [f64], difference: &[f64], weight: f64| {
            for (i, a) in difference.iter().enumerate() {
                let row = &mut scatter[i * components..][..components];
                row.iter_mut().zip(difference).for_each(|(sum, b)| *sum += weight * a * b);
            }
        };
        let minus = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x - y).collect::<Vec<f64>>();
        for &person in &people {
            let of: Vec<Vec<f64>> =
                rows.iter().zip(labels).filter(|(_, label)| **label == person).map(|(row, _)| row.clone()).collect();
            let mean = mean_of(&of, components);
            of.iter().for_each(|row| add(&mut within, &minus(row, &mean), 1.0));
            add(&mut between, &minus(&mean, &overall), of.len() as f64);
        }
        // Whitened within people, the best directions are the components between them.
        let whitening: Vec<Vec<f64>> = SymmetricEigen::new(&within, components)
            .sorted()
            .into_iter()
            .map(|(value, vector)| vector.iter().map(|x| x / value.max(1e-12).sqrt()).collect())
            .collect();
        let image =
            |vector: &[f64]| -> Vec<f64> { between.chunks_exact(components).map(|row| dot(row, vector)).collect() };
        let images: Vec<Vec<f64>> = whitening.iter().map(|vector| image(vector)).collect();
        let whitened: Vec<f64> =
            whitening.iter().flat_map(|a| images.iter().map(|b| dot(a, b)).collect::<Vec<_>>()).collect();
        let direction = |(_, weights): (f64, &[f64])| {
            let mut direction = vec![0.0; components];
            for (vector, weight) in whitening.iter().zip(weights) {
                direction.iter_mut().zip(vector).for_each(|(sum, x)| *sum += weight * x);
            }
            direction
        };
        let directions =
            SymmetricEigen::new(&whitened, components).sorted().into_iter().take(directions).map(direction).collect();
        Ok(Fisherfaces { eigenfaces, directions })
    }

    /// Computes the coordinates `[N, directions]` of images.
    ///
    /// # Errors
    /// [`Error::Invalid`] if they have another number of values.
    pub fn project(&self, x: &Tensor) -> Result<Tensor> {
        let rows = self.eigenfaces.coordinates(x)?;
        let project = |row: &Vec<f64>| self.directions.iter().map(|direction| dot(row, direction)).collect();
        tensor(rows.iter().map(project).collect(), self.directions.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate_embeddings;
    use ocelli_tensor::Key;

    #[test]
    fn principal_components_keep_distances_within_their_space() {
        // Ten points in a plane of a space of six dimensions.
        let (a, b) = ([1.0, 0.0, 2.0, -1.0, 0.5, 1.0], [0.0, 1.0, -1.0, 0.5, 1.0, 0.0]);
        let mut random = Key::new(1).stream();
        let mut x = Vec::new();
        for _ in 0..10 {
            let (s, t) = (random.normal(), random.normal());
            x.extend(a.iter().zip(&b).map(|(a, b)| s * a + t * b));
        }
        let x = Tensor::from_vec([10, 6], x).unwrap();
        let y = Eigenfaces::fit(&x, 2).unwrap().project(&x).unwrap();
        let (before, after) = (crate::distance_matrix(&x).unwrap(), crate::distance_matrix(&y).unwrap());
        before.data().iter().zip(after.data()).for_each(|(a, b)| assert!((a - b).abs() < 1e-4, "{a} {b}"));
    }

    #[test]
    fn directions_of_people_are_found_in_noise() {
        // People differ in two small features, and every image in two large ones.
        let mut random = Key::new(2).stream();
        let (mut x, mut labels) = (Vec::new(), Vec::new());
        for person in 0..6u32 {
            for _ in 0..8 {
                let mut noise = |scale: f32| scale * random.normal();
                x.extend([person as f32 + noise(0.1), noise(30.0), (person % 3) as f32 + noise(0.1), noise(30.0)]);
                labels.push(person);
            }
        }
        let x = Tensor::from_vec([48, 4], x).unwrap();
        let raw = evaluate_embeddings(&x, &labels).unwrap().0;
        let fisher = Fisherfaces::fit(&x, &labels, 4, 2).unwrap().project(&x).unwrap();
        let scores = evaluate_embeddings(&fisher, &labels).unwrap().0;
        assert!(raw.auc < 0.6 && scores.auc > 0.99, "{raw:?} {scores:?}");
    }

    #[test]
    fn what_images_cannot_give_is_refused() {
        let x = Tensor::zeros([4, 2, 2, 1]);
        let error = Eigenfaces::fit(&x, 4).unwrap_err().to_string();
        assert_eq!(error, "4 components of 4 images; fewer are possible");
        let error = Fisherfaces::fit(&x, &[0, 0, 1, 1], 2, 2).unwrap_err().to_string();
        assert_eq!(error, "2 directions among 2 components of 4 images of 2 people are not to be had");
        let faces = Eigenfaces::fit(&Tensor::uniform([4, 4], Key::new(1)), 2).unwrap();
        assert_eq!(
            faces.project(&Tensor::zeros([1, 5])).unwrap_err().to_string(),
            "images of 5 values; 4 were expected"
        );
    }
}
