//! Identities: which samples show one person, and the batches, pairs and triplets that are drawn from them.

use crate::{Error, Result};
use ocelli_tensor::{Key, Stream};
use std::{
    fs,
    path::{Path, PathBuf},
};

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

    /// Lists the images below a folder that has one subfolder for each identity, such as `ann/0001.jpg`. Sample `i` is
    /// the file `i` of the list, in the order of the names.
    ///
    /// Files that do not end with `.png`, `.jpg`, `.jpeg`, `.bmp`, `.pgm`, `.ppm` or `.pnm`, and hidden ones, are skipped.
    ///
    /// # Errors
    /// [`Error::Io`] if a folder cannot be read; [`Error::Format`] if it has no subfolders, or one of them has no images.
    pub fn from_folder(folder: impl AsRef<Path>) -> Result<(Identities, Vec<PathBuf>)> {
        let folder = folder.as_ref();
        let (mut names, mut labels, mut files) = (Vec::new(), Vec::new(), Vec::new());
        for (name, path) in entries(folder)?.into_iter().filter(|(_, path)| path.is_dir()) {
            let before = files.len();
            files.extend(entries(&path)?.into_iter().map(|(_, path)| path).filter(|path| is_image(path)));
            if files.len() == before {
                return Err(Error::format(&path, "no images in the folder of this identity"));
            }
            labels.resize(files.len(), names.len() as u32);
            names.push(name);
        }
        if names.is_empty() {
            return Err(Error::format(folder, "no folders, of which each would hold the images of one identity"));
        }
        Ok((Identities::from_labels(names, &labels)?, files))
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
            let reason = "pairs and triplets need two identities, one of them with two images";
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

/// File extensions of images, in either case.
const ENDINGS: [&str; 7] = ["png", "jpg", "jpeg", "bmp", "pgm", "ppm", "pnm"];

fn is_image(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
    ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str())) && path.is_file()
}

/// Lists the names and paths in a folder, without hidden ones, in the order of the names.
fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let failed = |source| Error::io(folder, source);
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && name != "__MACOSX" {
            entries.push((name, entry.path()));
        }
    }
    entries.sort();
    Ok(entries)
}

/// The samples of batches of P identities with K images each (Hermans et al. 2017, section 2), for losses that find their
/// triplets within a batch.
///
/// In an epoch every identity is in one batch of each round, in an order and with images that are functions of the seed
/// and the epoch; the last batch takes identities from the beginning again. An identity with fewer than K images has some
/// of them twice.
///
/// ```
/// use ocelli_data::{Identities, IdentityBatches};
/// let people = Identities::from_labels(["ann", "bob", "cat"], &[0, 0, 1, 1, 1, 2, 2])?;
/// let batches = IdentityBatches::new(people, 2, 2)?.seed(7);
/// assert_eq!(batches.epoch(0).iter().map(Vec::len).collect::<Vec<_>>(), [4, 4]);
/// assert_eq!(batches.epoch(3), batches.epoch(3));
/// # Ok::<(), ocelli_data::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityBatches {
    identities: Identities,
    identities_per_batch: usize,
    images_per_identity: usize,
    rounds: usize,
    seed: u64,
}

impl IdentityBatches {
    /// Makes batches of `identities_per_batch` (P) times `images_per_identity` (K) samples.
    ///
    /// # Errors
    /// [`Error::Setting`] if P or K is below 2, there are fewer than P identities, or one of them has a single image,
    /// which no other can be compared with.
    pub fn new(
        identities: Identities,
        identities_per_batch: usize,
        images_per_identity: usize,
    ) -> Result<IdentityBatches> {
        let (p, k) = (identities_per_batch, images_per_identity);
        if p < 2 || k < 2 {
            return Err(Error::Setting(format!("batches of {p} identities with {k} images: both must be 2 or more")));
        }
        if identities.len() < p {
            return Err(Error::Setting(format!("batches of {p} identities, but there are {}", identities.len())));
        }
        if let Some(single) = identities.iter().find(|identity| identity.samples.len() < 2) {
            let reason = "has one image; learning what they have in common takes two or more of each identity";
            return Err(Error::Setting(format!("\"{}\" {reason}", single.name)));
        }
        Ok(IdentityBatches { identities, identities_per_batch, images_per_identity, rounds: 1, seed: 0 })
    }

    /// Sets the seed of the order; default 0.
    pub fn seed(self, seed: u64) -> IdentityBatches {
        IdentityBatches { seed, ..self }
    }

    /// Sets how often every identity is in a batch of an epoch; default 1.
    pub fn rounds(self, rounds: usize) -> IdentityBatches {
        IdentityBatches { rounds, ..self }
    }

    /// Returns the number of batches in an epoch.
    pub fn batches(&self) -> usize {
        self.rounds.saturating_mul(self.identities.len().div_ceil(self.identities_per_batch))
    }

    /// Returns the indices of the samples of each batch of an epoch, identity after identity.
    pub fn epoch(&self, epoch: u64) -> Vec<Vec<usize>> {
        (0..self.rounds as u64).flat_map(|round| self.round(epoch, round)).collect()
    }

    fn round(&self, epoch: u64, round: u64) -> Vec<Vec<usize>> {
        let mut random = Key::new(self.seed).with("identities").at(epoch).at(round).stream();
        let mut order: Vec<&Identity> = self.identities.iter().collect();
        random.shuffle(&mut order);
        let missing = order.len().next_multiple_of(self.identities_per_batch) - order.len();
        order.extend_from_within(..missing);
        let mut images = |identity: &&Identity| {
            let mut samples = identity.samples.clone();
            random.shuffle(&mut samples);
            samples.into_iter().cycle().take(self.images_per_identity).collect::<Vec<_>>()
        };
        order.chunks(self.identities_per_batch).map(|batch| batch.iter().flat_map(&mut images).collect()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Identities of these numbers of samples.
    fn numbered(sizes: &[usize]) -> Identities {
        let labels: Vec<u32> = sizes.iter().enumerate().flat_map(|(i, &n)| vec![i as u32; n]).collect();
        Identities::from_labels((0..sizes.len()).map(|i| format!("p{i}")), &labels).unwrap()
    }

    #[test]
    fn an_epoch_has_every_identity_and_batches_of_p_times_k() {
        let batches = IdentityBatches::new(numbered(&[2, 3, 4, 5, 6]), 2, 4).unwrap().seed(3);
        let identity = |sample: usize| [2, 5, 9, 14].iter().filter(|first| sample >= **first).count();
        assert_eq!(batches.batches(), 3);
        let mut seen = [0; 5];
        for batch in batches.epoch(1) {
            assert_eq!(batch.len(), 8);
            for group in batch.chunks(4) {
                assert!(group.iter().all(|sample| identity(*sample) == identity(group[0])));
                seen[identity(group[0])] += 1;
            }
            assert_ne!(identity(batch[0]), identity(batch[4]));
        }
        assert!(seen.iter().all(|count| (1..=2).contains(count)), "{seen:?}");
        assert_eq!(batches.epoch(1), batches.epoch(1));
        assert_ne!(batches.epoch(1), batches.epoch(2));
        // Two images, four places: each twice.
        let twice = batches.epoch(1).concat().into_iter().filter(|sample| *sample == 0).count();
        assert!(twice >= 2);
        assert_eq!(batches.clone().rounds(3).batches(), 9);
        assert_eq!(batches.rounds(2).epoch(0).len(), 6);
    }

    #[test]
    fn splits_have_no_identity_in_common() {
        let identities = numbered(&[2; 30]);
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
        let identities = numbered(&[1, 3, 2]);
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
        let error = numbered(&[1, 1]).drawn_triplets(1, Key::new(1)).unwrap_err().to_string();
        let reason = "pairs and triplets need two identities, one of them with two images";
        assert_eq!(error, format!("{reason}; there are 2, 0 of them with two"));
    }

    #[test]
    fn what_cannot_be_learnt_from_is_refused() {
        let error = |sizes: &[usize], p, k| IdentityBatches::new(numbered(sizes), p, k).unwrap_err().to_string();
        let single = "\"p1\" has one image; learning what they have in common takes two or more of each identity";
        assert_eq!(error(&[2, 1, 2], 2, 2), single);
        assert_eq!(error(&[2, 2], 3, 2), "batches of 3 identities, but there are 2");
        assert_eq!(error(&[2, 2], 1, 2), "batches of 1 identities with 2 images: both must be 2 or more");
        let error = Identities::from_labels(["a"], &[0, 1]).unwrap_err().to_string();
        assert_eq!(error, "sample 1 has the label 1, but there are 1 classes");
        let error = Identities::from_labels(["a"], &[]).unwrap_err().to_string();
        assert_eq!(error, "there are no samples, and so no identities");
    }

    #[test]
    fn folders_are_identities() {
        let root = tempfile::tempdir().unwrap();
        let error = || {
            let text = Identities::from_folder(root.path()).unwrap_err().to_string();
            text.rsplit_once(": ").expect("the folder is named").1.to_string()
        };
        assert_eq!(error(), "no folders, of which each would hold the images of one identity");
        fs::create_dir_all(root.path().join("bob")).unwrap();
        fs::create_dir_all(root.path().join("ann")).unwrap();
        fs::write(root.path().join("readme.txt"), "").unwrap();
        for file in ["ann/2.pgm", "ann/1.PNG", "ann/.hidden.png", "ann/notes.txt"] {
            fs::write(root.path().join(file), "").unwrap();
        }
        assert_eq!(error(), "no images in the folder of this identity");
        fs::write(root.path().join("bob/1.jpg"), "").unwrap();
        let (identities, files) = Identities::from_folder(root.path()).unwrap();
        let names: Vec<&str> = identities.iter().map(|identity| identity.name.as_str()).collect();
        assert_eq!((names, files.len()), (vec!["ann", "bob"], 3));
        assert!(files[0].ends_with("ann/1.PNG") && identities.samples() == [0, 1, 2]);
    }
}
