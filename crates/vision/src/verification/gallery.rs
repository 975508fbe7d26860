//! The gallery: embeddings of people who were enrolled, and the search for the nearest.

use crate::{Error, Result};
use ocelli_kernels::{
    Epilogue,
    distance::squared_distances,
    gemm::{Matrix, MatrixMut, PackedMatrix, gemm_packed, packed_len},
};
use ocelli_tensor::Tensor;
use ocelli_train::{read_container, write_container};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, path::Path};

/// The kind of the container that a gallery is kept in.
const KIND: &str = "gallery of embeddings";

/// Embeddings that are searched at a time, a task of a thread: with 128 features a quarter of a megabyte, packed once and
/// multiplied with all queries.
const BLOCK: usize = 512;

/// Queries that are multiplied at a time: with a block 120 KiB of scores, which the second-level cache holds until their
/// largest is found.
const QUERIES: usize = 60;

/// Most queries of one pass over the gallery, of which each task holds the best scores.
const MOST_QUERIES: usize = 4096;

/// Queries up to which distances are computed by their definition: embeddings that are used so seldom are not worth packing.
const FEW: usize = 3;

/// The embeddings of people who were enrolled, one or more of each, and the search for the nearest.
///
/// All embeddings come from one encoder, whose [fingerprint](crate::FaceEncoder::fingerprint) the gallery has. Search is
/// exact: a matrix product of queries and embeddings, block by block, on all threads. (Of distances that differ by less than
/// their rounding, a query alone may find the one and among others the other.)
///
/// A gallery is saved as one container with a checksum, atomically: a process that is killed while it saves leaves the
/// old file or the new one.
///
/// ```
/// use ocelli_vision::Gallery;
/// let path = std::env::temp_dir().join(format!("ocelli-doc-gallery-{}", std::process::id()));
/// let mut gallery = Gallery::new(42, 3, 0.5);
/// gallery.enrol("ann", &[1.0, 0.0, 0.0])?;
/// gallery.save(&path)?;
///
/// let gallery = Gallery::load(&path, 42)?;
/// let found = gallery.identify(&[0.8, 0.1, 0.0])?;
/// println!("{} at a distance of {:.2}", found.person.unwrap_or("unknown"), found.distance);
/// assert!(Gallery::load(&path, 43).is_err());
/// # std::fs::remove_file(path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Gallery {
    content: Content,
    /// Half the squared norm of each embedding, with its sign changed: what a product of embeddings lacks to be ordered
    /// as the distance is.
    half_norms: Vec<f32>,
    /// Position of each name.
    positions: HashMap<String, u32>,
}

/// The contents of the file of a gallery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Content {
    kind: String,
    fingerprint: u64,
    features: usize,
    threshold: f32,
    names: Vec<String>,
    /// The position in `names` of the person whom each embedding is of.
    people: Vec<u32>,
    /// `[N, features]`
    embeddings: Vec<f32>,
}

/// The answer to a query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Identification<'a> {
    /// The person whom the query shows; `None` if nobody enrolled is within the threshold.
    pub person: Option<&'a str>,
    /// The person whose embedding is the nearest, however far; `None` if nobody is enrolled.
    pub nearest: Option<&'a str>,
    /// The Euclidean distance to that embedding; infinite if nobody is enrolled.
    pub distance: f32,
}

/// Computes the Euclidean distance of two embeddings.
fn distance(x: &[f32], y: &[f32]) -> f32 {
    let mut squared = [0.0];
    squared_distances(x, y, &mut squared);
    squared[0].sqrt()
}

impl Gallery {
    /// Makes an empty gallery for embeddings of so many features from the encoder with this fingerprint. Somebody is
    /// known whose distance is at most `threshold`.
    pub fn new(fingerprint: u64, features: usize, threshold: f32) -> Gallery {
        let (kind, names, people, embeddings) = (KIND.into(), Vec::new(), Vec::new(), Vec::new());
        let content = Content { kind, fingerprint, features, threshold, names, people, embeddings };
        Gallery { content, half_norms: Vec::new(), positions: HashMap::new() }
    }

    /// Returns the number of people.
    pub fn people(&self) -> usize {
        self.content.names.len()
    }

    /// Returns the number of embeddings.
    pub fn len(&self) -> usize {
        self.content.people.len()
    }

    /// Returns the number of features of an embedding.
    pub fn features(&self) -> usize {
        self.content.features
    }

    /// Returns true if nobody is enrolled.
    pub fn is_empty(&self) -> bool {
        self.content.people.is_empty()
    }

    /// Returns the names of the people, in the order in which they were enrolled first.
    pub fn names(&self) -> &[String] {
        &self.content.names
    }

    /// Returns the distance up to which somebody is known.
    pub fn threshold(&self) -> f32 {
        self.content.threshold
    }

    /// Sets the distance up to which somebody is known.
    pub fn set_threshold(&mut self, threshold: f32) {
        self.content.threshold = threshold;
    }

    /// Returns the fingerprint of the encoder that the embeddings come from.
    pub fn fingerprint(&self) -> u64 {
        self.content.fingerprint
    }

    /// Adds an embedding of a person, who may have others already.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the embedding has another number of features or is not finite, or the name is empty.
    pub fn enrol(&mut self, name: &str, embedding: &[f32]) -> Result<()> {
        self.check(embedding)?;
        if name.trim().is_empty() {
            return Err(Error::Invalid("nobody can be enrolled without a name".into()));
        }
        let position = match self.positions.get(name) {
            Some(position) => *position,
            None => {
                let next = u32::try_from(self.content.names.len())
                    .map_err(|_| Error::Invalid("the gallery has as many people as it can count".into()))?;
                self.content.names.push(name.into());
                self.positions.insert(name.into(), next);
                next
            }
        };
        self.content.people.push(position);
        self.content.embeddings.extend_from_slice(embedding);
        self.half_norms.push(half_norm(embedding));
        Ok(())
    }

    /// Removes a person with all embeddings; returns false if nobody has that name.
    pub fn remove(&mut self, name: &str) -> bool {
        let Some(removed) = self.positions.remove(name) else { return false };
        let features = self.content.features;
        let kept: Vec<bool> = self.content.people.iter().map(|&person| person != removed).collect();
        let mut of_embedding = kept.iter();
        self.half_norms.retain(|_| of_embedding.next().is_none_or(|kept| *kept));
        let mut element = 0;
        self.content.embeddings.retain(|_| {
            element += 1;
            kept[(element - 1) / features.max(1)]
        });
        self.content.people.retain(|&person| person != removed);
        self.content.people.iter_mut().filter(|person| **person > removed).for_each(|person| *person -= 1);
        self.positions.values_mut().filter(|position| **position > removed).for_each(|position| *position -= 1);
        self.content.names.remove(removed as usize);
        true
    }

    /// Finds whom an embedding shows.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the embedding has another number of features or is not finite.
    pub fn identify(&self, embedding: &[f32]) -> Result<Identification<'_>> {
        self.check(embedding)?;
        Ok(self.answers(embedding).swap_remove(0))
    }

    /// Finds whom each of the embeddings `[M, D]` shows.
    ///
    /// # Errors
    /// The errors of [`Gallery::identify`].
    pub fn identify_all(&self, embeddings: &Tensor) -> Result<Vec<Identification<'_>>> {
        let features = self.content.features;
        if embeddings.shape().len() != 2 || embeddings.shape()[1] != features {
            let got = ocelli_tensor::ShapeText(embeddings.shape());
            return Err(Error::Invalid(format!("the gallery has embeddings [M, {features}], got {got}")));
        }
        embeddings.data().chunks_exact(features.max(1)).try_for_each(|row| self.check(row))?;
        Ok(self.answers(embeddings.data()))
    }

    /// Finds the nearest embedding of each query. Both are checked already.
    fn answers(&self, queries: &[f32]) -> Vec<Identification<'_>> {
        let features = self.content.features.max(1);
        let search = |queries: &[f32]| {
            let start = || Search::new(queries.len() / features);
            let blocks = self.content.embeddings.par_chunks(BLOCK * features).zip(self.half_norms.par_chunks(BLOCK));
            let parts = blocks.enumerate().fold(start, |mut search, (number, (embeddings, half_norms))| {
                search.block(queries, number * BLOCK, embeddings, half_norms);
                search
            });
            parts.map(|search| search.best).reduce(|| start().best, nearer).into_iter()
        };
        let best = queries.chunks(MOST_QUERIES * features).flat_map(search);
        let answer = |(query, Score { index, .. }): (&[f32], Score)| {
            let Some(&person) = self.content.people.get(index) else {
                return Identification { person: None, nearest: None, distance: f32::INFINITY };
            };
            let embedding = &self.content.embeddings[index * features..][..features];
            let distance = distance(query, embedding);
            let nearest = Some(self.content.names[person as usize].as_str());
            let person = nearest.filter(|_| distance <= self.content.threshold);
            Identification { person, nearest, distance }
        };
        queries.chunks_exact(features).zip(best).map(answer).collect()
    }

    fn check(&self, embedding: &[f32]) -> Result<()> {
        let features = self.content.features;
        if embedding.len() != features || features == 0 {
            let got = embedding.len();
            return Err(Error::Invalid(format!(
                "an embedding of {got} features; those of the gallery have {features}"
            )));
        }
        match embedding.iter().find(|value| !value.is_finite()) {
            Some(value) => Err(Error::Invalid(format!("an embedding that holds {value}"))),
            None => Ok(()),
        }
    }

    /// Writes the gallery, atomically.
    ///
    /// # Errors
    /// [`Error::Train`] if the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        Ok(write_container(path, &self.content)?)
    }

    /// Reads a gallery that was filled by the encoder with this fingerprint.
    ///
    /// # Errors
    /// [`Error::Train`] if the file cannot be read, is truncated, damaged or no container; [`Error::Invalid`] if it is
    /// no gallery, or that of another encoder.
    pub fn load(path: impl AsRef<Path>, fingerprint: u64) -> Result<Gallery> {
        let path = path.as_ref();
        let gallery = Gallery::load_any(path)?;
        if gallery.fingerprint() != fingerprint {
            let (ours, theirs) = (fingerprint, gallery.fingerprint());
            let reason = "was filled by another encoder, whose embeddings cannot be compared with those of this one";
            let path = path.display();
            return Err(Error::Invalid(format!("{path}: {reason} (fingerprints {theirs:016x} and {ours:016x})")));
        }
        Ok(gallery)
    }

    /// Reads a gallery, whichever encoder filled it.
    ///
    /// # Errors
    /// Fails as [`Gallery::load`] does, except for the last of its reasons.
    pub fn load_any(path: impl AsRef<Path>) -> Result<Gallery> {
        let path = path.as_ref();
        let wrong = |reason: &str| Error::Invalid(format!("{}: {reason}", path.display()));
        let content: Content = read_container(path)?;
        if content.kind != KIND {
            return Err(wrong("is no gallery"));
        }
        let complete = content.people.len().checked_mul(content.features) == Some(content.embeddings.len());
        let known = content.people.iter().all(|&person| (person as usize) < content.names.len());
        if !complete || !known || content.features == 0 || content.threshold.is_nan() {
            return Err(wrong("names and embeddings do not belong together"));
        }
        if content.embeddings.iter().any(|value| !value.is_finite()) {
            return Err(wrong("an embedding is not finite"));
        }
        // Nothing is made of the names before they are known to be good: a table takes more memory than a list.
        let mut sorted: Vec<&str> = content.names.iter().map(String::as_str).collect();
        sorted.sort_unstable();
        if sorted.first().is_some_and(|name| name.trim().is_empty()) {
            return Err(wrong("somebody has no name"));
        }
        if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(wrong("two people have one name"));
        }
        let half_norms = content.embeddings.chunks_exact(content.features).map(half_norm).collect();
        let named = content.names.iter().cloned().zip(0..);
        let positions: HashMap<String, u32> = named.collect();
        Ok(Gallery { content, half_norms, positions })
    }
}

fn half_norm(embedding: &[f32]) -> f32 {
    -0.5 * embedding.iter().map(|x| x * x).sum::<f32>()
}

/// How near an embedding is to a query: the larger, the nearer.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Score {
    value: f32,
    index: usize,
}

impl Score {
    const NONE: Score = Score { value: f32::NEG_INFINITY, index: usize::MAX };

    /// Returns the larger score; of equals, that of the embedding which was enrolled first.
    fn or(self, other: Score) -> Score {
        let replaced = other.value > self.value || other.value == self.value && other.index < self.index;
        if replaced { other } else { self }
    }
}

/// Returns the better of two scores of each query.
fn nearer(mut best: Vec<Score>, others: Vec<Score>) -> Vec<Score> {
    best.iter_mut().zip(others).for_each(|(best, other)| *best = best.or(other));
    best
}

/// A search of some blocks of a gallery, and the memory that it works in.
#[derive(Default)]
struct Search {
    /// The best score of each query.
    best: Vec<Score>,
    packed: Vec<f32>,
    scores: Vec<f32>,
}

impl Search {
    fn new(queries: usize) -> Search {
        Search { best: vec![Score::NONE; queries], ..Search::default() }
    }

    /// Searches a block of embeddings, of which the first is that of index `first`.
    fn block(&mut self, queries: &[f32], first: usize, embeddings: &[f32], half_norms: &[f32]) {
        let Search { best, packed, scores } = self;
        let (rows, features) = (half_norms.len(), embeddings.len() / half_norms.len());
        if best.len() <= FEW {
            scores.resize(rows, 0.0);
            for (query, best) in queries.chunks_exact(features).zip(best) {
                squared_distances(query, embeddings, scores);
                scores.iter_mut().for_each(|score| *score *= -0.5);
                *best = largest(scores, first, *best);
            }
            return;
        }
        packed.resize(packed_len(features, rows), 0.0);
        let right = PackedMatrix::pack(Matrix::new(embeddings, rows, features).transposed(), packed);
        scores.resize(QUERIES * rows, 0.0);
        for (queries, best) in queries.chunks(QUERIES * features).zip(best.chunks_mut(QUERIES)) {
            let scores = &mut scores[..best.len() * rows];
            let left = Matrix::new(queries, best.len(), features);
            gemm_packed(left, &right, MatrixMut::new(scores, best.len(), rows), &Epilogue::bias(Some(half_norms)));
            for (best, scores) in best.iter_mut().zip(scores.chunks_exact(rows)) {
                *best = largest(scores, first, *best);
            }
        }
    }
}

/// Returns the first of the largest scores if that is larger than `best`.
fn largest(scores: &[f32], first: usize, best: Score) -> Score {
    let mut lanes = [f32::NEG_INFINITY; 32];
    let groups = scores.chunks_exact(32);
    let rest = groups.remainder().iter().copied().fold(f32::NEG_INFINITY, f32::max);
    groups.for_each(|group| {
        lanes.iter_mut().zip(group).for_each(|(lane, score)| *lane = if *score > *lane { *score } else { *lane });
    });
    let value = lanes.iter().copied().fold(rest, f32::max);
    if value < best.value {
        return best;
    }
    let at = scores.iter().position(|score| *score == value).unwrap_or(0);
    best.or(Score { value, index: first + at })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ocelli_tensor::Key;
    use std::fs;

    fn drawn(people: usize, each: usize, features: usize) -> (Gallery, Tensor) {
        let x = Tensor::uniform([people * each, features], Key::new(5));
        let mut gallery = Gallery::new(1, features, 0.5);
        for (i, row) in x.data().chunks(features).enumerate() {
            gallery.enrol(&format!("p{}", i / each), row).unwrap();
        }
        (gallery, x)
    }

    #[test]
    fn the_nearest_is_that_of_a_loop() {
        for (people, features) in [(1, 3), (40, 7), (700, 16)] {
            let (gallery, x) = drawn(people, 2, features);
            let queries = Tensor::uniform([1100, features], Key::new(6));
            let answers = gallery.identify_all(&queries).unwrap();
            for (query, answer) in queries.data().chunks(features).zip(&answers) {
                let distances = x.data().chunks(features).map(|row| distance(query, row));
                let nearest = distances.enumerate().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
                assert!((nearest.1 - answer.distance).abs() < 1e-5);
                assert_eq!(answer.person.is_some(), answer.distance <= 0.5);
                if (nearest.1 - answer.distance).abs() < 1e-9 {
                    assert_eq!(answer.nearest, Some(format!("p{}", nearest.0 / 2).as_str()));
                }
            }
            let alone = gallery.identify(&queries.data()[..features]).unwrap();
            assert_eq!(alone.nearest, answers[0].nearest);
        }
    }

    /// However many queries there are, and whichever thread finds it: of equal embeddings the first is the nearest.
    #[test]
    fn of_equal_embeddings_the_first_is_found() {
        let features = 8;
        let mut gallery = Gallery::new(1, features, 0.5);
        for person in 0..3 * BLOCK + 5 {
            let row = Tensor::uniform([features], Key::new(5).at(person as u64 % 100));
            gallery.enrol(&format!("p{person}"), row.data()).unwrap();
        }
        let embeddings = &gallery.content.embeddings;
        for count in [1, FEW, FEW + 1, QUERIES + 1, MOST_QUERIES + 2] {
            let queries: Vec<f32> =
                (0..count).flat_map(|i| embeddings[(7 * i + 3) % 100 * features..][..features].to_vec()).collect();
            let answers = gallery.identify_all(&Tensor::from_vec([count, features], queries).unwrap()).unwrap();
            assert_eq!(answers.len(), count);
            for (i, answer) in answers.iter().enumerate() {
                let expected = format!("p{}", (7 * i + 3) % 100);
                assert_eq!((answer.nearest, answer.distance), (Some(expected.as_str()), 0.0), "query {i} of {count}");
            }
        }
    }

    #[test]
    fn people_are_removed_with_all_embeddings() {
        let (mut gallery, x) = drawn(3, 2, 4);
        assert!(gallery.remove("p1") && !gallery.remove("p1"));
        assert_eq!((gallery.people(), gallery.len()), (2, 4));
        assert_eq!(gallery.names(), ["p0", "p2"]);
        let row = |i: usize| &x.data()[i * 4..][..4];
        assert_eq!(gallery.identify(row(5)).unwrap().nearest, Some("p2"));
        assert_ne!(gallery.identify(row(2)).unwrap().distance, 0.0);
        gallery.enrol("p1", row(2)).unwrap();
        assert_eq!(gallery.identify(row(2)).unwrap().person, Some("p1"));
        assert!(gallery.remove("p0") && gallery.remove("p1") && gallery.remove("p2"));
        assert!(gallery.is_empty());
        let nobody = gallery.identify(row(0)).unwrap();
        assert_eq!((nobody.person, nobody.nearest, nobody.distance), (None, None, f32::INFINITY));
    }

    #[test]
    fn files_come_back_and_broken_ones_say_how() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("people.gallery");
        let (gallery, _) = drawn(5, 2, 4);
        gallery.save(&path).unwrap();
        assert_eq!(Gallery::load(&path, 1).unwrap(), gallery);
        let error = |fingerprint| {
            let error = Gallery::load(&path, fingerprint).unwrap_err().to_string();
            error.rsplit_once("people.gallery: ").expect("the file is named").1.to_string()
        };
        assert!(error(2).starts_with("was filled by another encoder, whose embeddings cannot be compared"));
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 5]).unwrap();
        assert!(error(1).starts_with("truncated: "), "{}", error(1));
        let mut damaged = whole.clone();
        damaged[60] ^= 1;
        fs::write(&path, &damaged).unwrap();
        assert_eq!(error(1), "damaged: the checksum does not match");
        // containers of other things, and of things that do not belong together
        let broken = |change: fn(&mut Content)| {
            let mut content = gallery.content.clone();
            change(&mut content);
            write_container(&path, &content).unwrap();
            error(1)
        };
        assert_eq!(broken(|c| c.kind = "run".into()), "is no gallery");
        let unrelated = "names and embeddings do not belong together";
        assert_eq!(broken(|c| c.embeddings.truncate(7)), unrelated);
        assert_eq!(broken(|c| c.people[3] = 9), unrelated);
        assert_eq!(broken(|c| c.features = usize::MAX), unrelated);
        assert_eq!(broken(|c| c.embeddings[3] = f32::NAN), "an embedding is not finite");
        assert_eq!(broken(|c| c.names[1] = "p0".into()), "two people have one name");
        assert_eq!(broken(|c| c.names[1] = " ".into()), "somebody has no name");
    }

    #[test]
    fn embeddings_that_do_not_fit_are_refused() {
        let mut gallery = Gallery::new(1, 2, 0.5);
        let error = |result: Result<()>| result.unwrap_err().to_string();
        assert_eq!(error(gallery.enrol("a", &[1.0])), "an embedding of 1 features; those of the gallery have 2");
        assert_eq!(error(gallery.enrol("a", &[1.0, f32::NAN])), "an embedding that holds NaN");
        assert_eq!(error(gallery.enrol(" ", &[1.0, 2.0])), "nobody can be enrolled without a name");
        let error = Gallery::new(1, 0, 0.5).identify(&[]).unwrap_err().to_string();
        assert_eq!(error, "an embedding of 0 features; those of the gallery have 0");
        let error = gallery.identify_all(&Tensor::zeros([2, 3])).unwrap_err().to_string();
        assert_eq!(error, "the gallery has embeddings [M, 2], got [2, 3]");
    }
}
