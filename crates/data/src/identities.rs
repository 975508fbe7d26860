//! Identities: which samples show one person, and the batches, pairs and triplets that are drawn from them.

use crate::{Dataset, Error, Result, dataset::check};
use ocelli_tensor::{Batch, Key, Stream, Tensor};
use std::sync::Arc;

/// The samples of each identity of a dataset. An identity is a class; training and testing have different ones.
///
/// ```
/// use ocelli_data::Identities;
/// use ocelli_tensor::Key;
/// let people = Identities::from_labels(["ann", "bob", "cat"], &[0, 0, 1, 1, 1, 2, 2])?;
/// let (train, test) = people.split(1, Key::new(7))?;
/// assert_eq!((train.len(), test.len()), (2, 1));
/// assert_eq!(people.pairs().iter().filter(|pair| pair.same).count(), 1 + 3 + 1);
/// # Ok::<(), ocelli_data::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identities {
    identities: Vec<Identity>,
}

/// One identity: its name, and the indices of its samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The name of the class.
    pub name: String,
    /// The label of the class.
    pub label: u32,
    /// The indices of its samples in the dataset, in their order.
    pub samples: Vec<usize>,
}

/// Two samples, and whether they are of one identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SamplePair {
    /// The index of one sample.
    pub left: usize,
    /// The index of the other sample.
    pub right: usize,
    /// True if both are of one identity.
    pub same: bool,
}

/// Three samples: an anchor, another of its identity, and one of another identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SampleTriplet {
    /// The index of the anchor.
    pub anchor: usize,
    /// The index of the sample of the same identity.
    pub positive: usize,
    /// The index of the sample of another identity.
    pub negative: usize,
}

impl Identities {
    /// Groups samples by their labels, which are indices into `names`. Names without samples are left out.
    ///
    /// # Errors
    /// [`Error::Label`] if a label has no name; [`Error::Setting`] if there are no samples.
    pub fn from_labels(names: impl IntoIterator<Item = impl Into<String>>, labels: &[u32]) -> Result<Identities> {
        let named = |(label, name): (usize, _)| Identity { name, label: label as u32, samples: Vec::new() };
        let mut identities: Vec<Identity> = names.into_iter().map(Into::into).enumerate().map(named).collect();
        let classes = identities.len();
        for (index, &label) in labels.iter().enumerate() {
            let identity = identities.get_mut(label as usize).ok_or(Error::Label { index, label, classes })?;
            identity.samples.push(index);
        }
        identities.retain(|identity| !identity.samples.is_empty());
        match identities.is_empty() {
            true => Err(Error::Setting("there are no samples, and so no identities".into())),
            false => Ok(Identities { identities }),
        }
    }

    /// Groups the samples of a dataset by its classes. Every sample is read once.
    ///
    /// # Errors
    /// Those of [`Identities::from_labels`] and of reading the samples.
    pub fn from_dataset(dataset: &(impl Dataset + ?Sized)) -> Result<Identities> {
        let mut sample = vec![0.0; dataset.sample_len()];
        let labels: Result<Vec<u32>> = (0..dataset.len()).map(|index| dataset.write(index, 0, &mut sample)).collect();
        Identities::from_labels(dataset.class_names(), &labels?)
    }

    /// Returns the number of identities.
    pub fn len(&self) -> usize {
        self.identities.len()
    }

    /// Returns true if there are no identities, which no constructor allows.
    pub fn is_empty(&self) -> bool {
        self.identities.is_empty()
    }

    /// Iterates over the identities in the order of their labels.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Identity> {
        self.identities.iter()
    }

    /// Returns the indices of all samples, identity after identity.
    pub fn samples(&self) -> Vec<usize> {
        self.identities.iter().flat_map(|identity| identity.samples.iter().copied()).collect()
    }

    /// Keeps the identities of a range, by their position.
    ///
    /// # Errors
    /// [`Error::Setting`] if the range is empty or ends beyond the identities.
    pub fn range(&self, range: std::ops::Range<usize>) -> Result<Identities> {
        match self.identities.get(range.clone()) {
            Some(identities) if !identities.is_empty() => Ok(Identities { identities: identities.to_vec() }),
            _ => Err(Error::Setting(format!("identities {range:?} of {}", self.len()))),
        }
    }

    /// Splits the identities into those for training and `held_out` others, drawn by `key`, which have no sample in
    /// common. Both parts keep the order of the identities.
    ///
    /// # Errors
    /// [`Error::Setting`] if either part would have no identity.
    pub fn split(&self, held_out: usize, key: Key) -> Result<(Identities, Identities)> {
        if held_out == 0 || held_out >= self.len() {
            return Err(Error::Setting(format!("{held_out} identities to hold out of {}", self.len())));
        }
        let mut order: Vec<usize> = (0..self.len()).collect();
        key.with("identities").stream().shuffle(&mut order);
        let (rest, kept) = order.split_at_mut(held_out);
        let part = |indices: &mut [usize]| {
            indices.sort_unstable();
            Identities { identities: indices.iter().map(|&index| self.identities[index].clone()).collect() }
        };
        Ok((part(kept), part(rest)))
    }

    /// Returns every pair of two samples, each once.
    pub fn pairs(&self) -> Vec<SamplePair> {
        let samples: Vec<(usize, u32)> = self.labelled().collect();
        let pair = |i: usize, j: usize| SamplePair {
            left: samples[i].0,
            right: samples[j].0,
            same: samples[i].1 == samples[j].1,
        };
        (0..samples.len()).flat_map(|i| (i + 1..samples.len()).map(move |j| (i, j))).map(|(i, j)| pair(i, j)).collect()
    }

    /// Draws `count` pairs by `key`, every other one of a single identity.
    ///
    /// # Errors
    /// [`Error::Setting`] if no identity has two samples, or there is only one identity.
    pub fn drawn_pairs(&self, count: usize, key: Key) -> Result<Vec<SamplePair>> {
        let draw = Draw::new(self)?;
        let mut random = key.with("pairs").stream();
        let pair = |number: usize| {
            let SampleTriplet { anchor, positive, negative } = draw.triplet(&mut random);
            let same = number.is_multiple_of(2);
            SamplePair { left: anchor, right: if same { positive } else { negative }, same }
        };
        Ok((0..count).map(pair).collect())
    }

    /// Draws `count` triplets by `key`.
    ///
    /// # Errors
    /// [`Error::Setting`] if no identity has two samples, or there is only one identity.
    pub fn drawn_triplets(&self, count: usize, key: Key) -> Result<Vec<SampleTriplet>> {
        let draw = Draw::new(self)?;
        let mut random = key.with("triplets").stream();
        Ok((0..count).map(|_| draw.triplet(&mut random)).collect())
    }

    fn labelled(&self) -> impl Iterator<Item = (usize, u32)> {
        self.identities.iter().flat_map(|identity| identity.samples.iter().map(|&sample| (sample, identity.label)))
    }
}

/// Draws triplets: an anchor's identity among those with two samples, and one of the others.
struct Draw<'a> {
    all: &'a [Identity],
    /// Positions of the identities that have two samples or more.
    anchors: Vec<usize>,
}

impl Draw<'_> {
    fn new(identities: &Identities) -> Result<Draw<'_>> {
        let all = &identities.identities;
        let anchors: Vec<usize> = (0..all.len()).filter(|&i| all[i].samples.len() > 1).collect();
        if anchors.is_empty() || all.len() < 2 {
            let reason = "pairs and triplets need two identities, one of them with two pictures";
            return Err(Error::Setting(format!(
                "{reason}; there are {}, {} of them with two",
                all.len(),
                anchors.len()
            )));
        }
        Ok(Draw { all, anchors })
    }

    fn triplet(&self, random: &mut Stream) -> SampleTriplet {
        let identity = self.anchors[random.below(self.anchors.len())];
        let samples = &self.all[identity].samples;
        let anchor = random.below(samples.len());
        // One of the other samples, and one of the other identities.
        let positive = (anchor + 1 + random.below(samples.len() - 1)) % samples.len();
        let other = &self.all[(identity + 1 + random.below(self.all.len() - 1)) % self.all.len()].samples;
        let negative = other[random.below(other.len())];
        SampleTriplet { anchor: samples[anchor], positive: samples[positive], negative }
    }
}

/// Batches of P identities with K pictures each (Hermans et al. 2017, section 2), for losses that find their triplets
/// within a batch.
///
/// In an epoch every identity is in one batch, in an order and with pictures that are functions of the seed and the
/// epoch; the last batch takes identities from the beginning again. An identity with fewer than K pictures has some of them
/// twice.
///
/// ```
/// use ocelli_data::{Identities, IdentityLoader, synthetic};
/// let digits = synthetic::digits(100, 1);
/// let identities = Identities::from_dataset(&digits)?;
/// let loader = IdentityLoader::new(digits, identities, 4, 3)?.seed(7);
/// for batch in loader.epoch(0) {
///     assert_eq!(batch?.tensor("input")?.shape(), [12, 28, 28, 1]);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct IdentityLoader {
    dataset: Arc<dyn Dataset>,
    identities: Identities,
    identities_per_batch: usize,
    pictures_per_identity: usize,
    rounds: usize,
    seed: u64,
}

impl IdentityLoader {
    /// Makes a loader of batches of `identities_per_batch` (P) times `pictures_per_identity` (K) samples, called `input`
    /// and `labels`.
    ///
    /// # Errors
    /// [`Error::Setting`] if P or K is below 2, there are fewer than P identities, or one of them has a single picture,
    /// which no other can be compared with; [`Error::Index`] if an identity has a sample that the dataset has not.
    pub fn new(
        dataset: impl Dataset + 'static,
        identities: Identities,
        identities_per_batch: usize,
        pictures_per_identity: usize,
    ) -> Result<IdentityLoader> {
        let (p, k) = (identities_per_batch, pictures_per_identity);
        if p < 2 || k < 2 {
            return Err(Error::Setting(format!("batches of {p} identities with {k} pictures: both must be 2 or more")));
        }
        if identities.len() < p {
            return Err(Error::Setting(format!("batches of {p} identities, but there are {}", identities.len())));
        }
        if let Some(single) = identities.iter().find(|identity| identity.samples.len() < 2) {
            let reason = "has one picture; learning what they have in common takes two or more of each identity";
            return Err(Error::Setting(format!("\"{}\" {reason}", single.name)));
        }
        if let Some(index) = identities.samples().into_iter().find(|&index| index >= dataset.len()) {
            return Err(Error::Index { index, len: dataset.len() });
        }
        Ok(IdentityLoader {
            dataset: Arc::new(dataset),
            identities,
            identities_per_batch,
            pictures_per_identity,
            rounds: 1,
            seed: 0,
        })
    }

    /// Sets the seed of the order; default 0.
    pub fn seed(self, seed: u64) -> IdentityLoader {
        IdentityLoader { seed, ..self }
    }

    /// Sets how often every identity is seen in an epoch; default 1.
    pub fn rounds(self, rounds: usize) -> IdentityLoader {
        IdentityLoader { rounds, ..self }
    }

    /// Returns the number of batches in an epoch.
    pub fn batches(&self) -> usize {
        self.rounds * self.identities.len().div_ceil(self.identities_per_batch)
    }

    /// Returns the number of samples in an epoch.
    pub fn samples(&self) -> usize {
        self.batches() * self.identities_per_batch * self.pictures_per_identity
    }

    /// Returns the indices of the samples of each batch of an epoch.
    pub fn indices(&self, epoch: u64) -> Vec<Vec<usize>> {
        (0..self.rounds as u64).flat_map(|round| self.round(epoch, round)).collect()
    }

    fn round(&self, epoch: u64, round: u64) -> Vec<Vec<usize>> {
        let mut random = Key::new(self.seed).with("identities").at(epoch).at(round).stream();
        let mut order: Vec<&Identity> = self.identities.iter().collect();
        random.shuffle(&mut order);
        let missing = order.len().next_multiple_of(self.identities_per_batch) - order.len();
        let again: Vec<&Identity> = order[..missing].to_vec();
        order.extend(again);
        let mut pictures = |identity: &&Identity| {
            let mut samples = identity.samples.clone();
            random.shuffle(&mut samples);
            samples.into_iter().cycle().take(self.pictures_per_identity).collect::<Vec<_>>()
        };
        order.chunks(self.identities_per_batch).map(|batch| batch.iter().flat_map(&mut pictures).collect()).collect()
    }

    /// Iterates over the batches of an epoch, each prepared when it is requested.
    pub fn epoch(&self, epoch: u64) -> impl Iterator<Item = Result<Batch>> + '_ {
        self.indices(epoch).into_iter().enumerate().map(move |(number, indices)| {
            // A sample that comes twice in an epoch is changed in another way each time.
            gather(&self.dataset, &indices, epoch * self.batches() as u64 + number as u64)
        })
    }
}

impl std::fmt::Debug for IdentityLoader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IdentityLoader")
            .field("identities", &self.identities.len())
            .field("identities_per_batch", &self.identities_per_batch)
            .field("pictures_per_identity", &self.pictures_per_identity)
            .field("rounds", &self.rounds)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

/// Gathers samples of a dataset into a batch: their images `input` `[N, H, W, C]` and their `labels` `[N]`.
///
/// # Errors
/// Those of [`Dataset::write`].
pub fn gather(dataset: &(impl Dataset + ?Sized), indices: &[usize], epoch: u64) -> Result<Batch> {
    let [height, width, channels] = dataset.shape();
    let mut input = Tensor::try_zeros([indices.len(), height, width, channels])?;
    let mut labels = Vec::with_capacity(indices.len());
    for (&index, out) in indices.iter().zip(input.data_mut().chunks_exact_mut(dataset.sample_len().max(1))) {
        check(dataset, index, out)?;
        labels.push(dataset.write(index, epoch, out)?);
    }
    Ok(Batch::new().with("input", input).with("labels", Tensor::from(labels)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Images;

    /// Samples whose pixel is their index, of identities of these sizes.
    fn numbered(sizes: &[usize]) -> (Images, Identities) {
        let names: Vec<String> = (0..sizes.len()).map(|i| format!("p{i}")).collect();
        let labels: Vec<u32> = sizes.iter().enumerate().flat_map(|(i, &n)| vec![i as u32; n]).collect();
        let pixels = (0..labels.len()).map(|i| i as u8).collect();
        let identities = Identities::from_labels(names.clone(), &labels).unwrap();
        (Images::new([1, 1, 1], pixels, labels, names).unwrap(), identities)
    }

    #[test]
    fn an_epoch_has_every_identity_and_batches_of_p_times_k() {
        let (images, identities) = numbered(&[2, 3, 4, 5, 6]);
        let loader = IdentityLoader::new(images, identities, 2, 4).unwrap().seed(3);
        assert_eq!((loader.batches(), loader.samples()), (3, 24));
        let mut seen = [0; 5];
        for batch in loader.epoch(1) {
            let batch = batch.unwrap();
            let labels = batch.labels("labels").unwrap();
            for group in labels.data().chunks(4) {
                assert!(group.iter().all(|label| *label == group[0]));
                seen[group[0] as usize] += 1;
            }
            assert_ne!(labels.data()[0], labels.data()[4]);
        }
        assert!(seen.iter().all(|count| (1..=2).contains(count)), "{seen:?}");
        assert_eq!(loader.indices(1), loader.indices(1));
        assert_ne!(loader.indices(1), loader.indices(2));
        // Two pictures, four places: each twice.
        let twice = loader.indices(1).concat().into_iter().filter(|index| *index == 0).count();
        assert!(twice >= 2);
        assert_eq!(loader.clone().rounds(3).batches(), 9);
        assert_eq!(loader.rounds(2).indices(0).len(), 6);
    }

    #[test]
    fn splits_have_no_identity_in_common() {
        let (_, identities) = numbered(&[2; 30]);
        let (train, test) = identities.split(10, Key::new(1)).unwrap();
        assert_eq!((train.len(), test.len()), (20, 10));
        let mut all = [train.samples(), test.samples()].concat();
        all.sort_unstable();
        assert_eq!(all, (0..60).collect::<Vec<_>>());
        assert_ne!(identities.split(10, Key::new(2)).unwrap().1, test);
        assert_eq!(identities.split(30, Key::new(1)).unwrap_err().to_string(), "30 identities to hold out of 30");
        assert_eq!(identities.range(20..30).unwrap().samples()[0], 40);
        assert_eq!(identities.range(20..31).unwrap_err().to_string(), "identities 20..31 of 30");
    }

    #[test]
    fn pairs_and_triplets_are_what_they_say() {
        let (_, identities) = numbered(&[1, 3, 2]);
        let identity = |sample: usize| [0, 1, 1, 1, 2, 2][sample];
        let pairs = identities.pairs();
        assert_eq!((pairs.len(), pairs.iter().filter(|pair| pair.same).count()), (15, 4));
        let drawn = identities.drawn_pairs(40, Key::new(1)).unwrap();
        assert_eq!(drawn.iter().filter(|pair| pair.same).count(), 20);
        for pair in pairs.iter().chain(&drawn) {
            assert!(pair.left != pair.right && pair.same == (identity(pair.left) == identity(pair.right)));
        }
        for triplet in identities.drawn_triplets(40, Key::new(1)).unwrap() {
            let SampleTriplet { anchor, positive, negative } = triplet;
            assert!(anchor != positive && identity(anchor) == identity(positive));
            assert_ne!(identity(anchor), identity(negative));
        }
        let error = numbered(&[1, 1]).1.drawn_triplets(1, Key::new(1)).unwrap_err().to_string();
        let reason = "pairs and triplets need two identities, one of them with two pictures";
        assert_eq!(error, format!("{reason}; there are 2, 0 of them with two"));
    }

    #[test]
    fn what_cannot_be_learnt_from_is_refused() {
        let error = |sizes: &[usize], p, k| {
            let (images, identities) = numbered(sizes);
            IdentityLoader::new(images, identities, p, k).unwrap_err().to_string()
        };
        let single = "\"p1\" has one picture; learning what they have in common takes two or more of each identity";
        assert_eq!(error(&[2, 1, 2], 2, 2), single);
        assert_eq!(error(&[2, 2], 3, 2), "batches of 3 identities, but there are 2");
        assert_eq!(error(&[2, 2], 1, 2), "batches of 1 identities with 2 pictures: both must be 2 or more");
        let error = Identities::from_labels(["a"], &[0, 1]).unwrap_err().to_string();
        assert_eq!(error, "sample 1 has the label 1, but there are 1 classes");
        let error = Identities::from_labels(["a"], &[]).unwrap_err().to_string();
        assert_eq!(error, "there are no samples, and so no identities");
        let (images, _) = numbered(&[2, 2]);
        let (_, beyond) = numbered(&[2, 2, 2]);
        let error = IdentityLoader::new(images, beyond, 2, 2).unwrap_err().to_string();
        assert_eq!(error, "sample 4 of a dataset of 4");
    }
}
