//! More people to learn from than there are: mirrored ones, and ones composed of two.

use super::faces::FaceSet;
use crate::Result;
use ocelli_data::Identities;
use ocelli_tensor::{Key, Tensor};

/// The row where the upper part of a composed face ends, and how many rows it takes to do so, as shares of the height: below
/// the eyes, in a face that fills its image.
const SEAM: f32 = 0.52;
const BLENDED: f32 = 0.1;

impl FaceSet {
    /// Returns the images of all identities and their mirror images, as those of other identities: no face is its own
    /// mirror image, so a set to train on has twice as many people then.
    /// [`FaceAugmentation::mirror`](super::FaceAugmentation::mirror) should be 0 for it.
    ///
    /// # Errors
    /// [`Error::Tensor`](crate::Error::Tensor) if there is no room for them.
    pub fn with_mirrored_people(&self) -> Result<FaceSet> {
        let [_, width, channels] = self.sample();
        let (mut images, mut labels) = self.labelled()?;
        let (count, people) = (labels.len(), self.identities().len() as u32);
        let mut values = images.data().to_vec();
        mirror(images.data_mut(), width, channels);
        values.extend_from_slice(images.data());
        labels.extend_from_within(..);
        labels[count..].iter_mut().for_each(|label| *label += people);
        let names = self.identities().iter().map(|identity| identity.name.clone());
        let mirrored = self.identities().iter().map(|identity| format!("{}, mirrored", identity.name));
        self.replaced(values, names.chain(mirrored).collect(), &labels)
    }

    /// Returns the images of all identities, and those of people who have the upper half of the face of one identity and
    /// the lower half of another: `partners` for each upper half, drawn by `key`, with as many images as that identity
    /// has. Who tells them apart has to look at all parts of a face, not at what is most unlike in these few.
    ///
    /// With fewer than two identities nobody is composed, and no upper half has more partners than there are others.
    ///
    /// # Errors
    /// [`Error::Tensor`](crate::Error::Tensor) if there is no room for them.
    pub fn with_composed_people(&self, partners: usize, key: Key) -> Result<FaceSet> {
        let [height, width, channels] = self.sample();
        let (images, mut labels) = self.labelled()?;
        let mut values = images.data().to_vec();
        let people: Vec<_> = self.identities().iter().collect();
        let mut names: Vec<String> = people.iter().map(|person| person.name.clone()).collect();
        for (upper, person) in people.iter().enumerate() {
            let mut random = key.with("composed").at(upper as u64).stream();
            let mut others: Vec<usize> = (0..people.len()).filter(|other| *other != upper).collect();
            random.shuffle(&mut others);
            for &lower in others.iter().take(partners) {
                let other = people[lower];
                labels.resize(labels.len() + person.samples.len(), names.len() as u32);
                names.push(format!("{} above {}", person.name, other.name));
                for &sample in &person.samples {
                    let pair = [sample, other.samples[random.below(other.samples.len())]];
                    let [above, below] = pair.map(|sample| self.image(sample).unwrap_or(&[]));
                    let row = (width * channels).max(1);
                    for (y, (above, below)) in above.chunks_exact(row).zip(below.chunks_exact(row)).enumerate() {
                        let from_seam = (y as f32 + 0.5) / height as f32 - SEAM;
                        let share = (from_seam / BLENDED + 0.5).clamp(0.0, 1.0);
                        values.extend(above.iter().zip(below).map(|(above, below)| above + share * (below - above)));
                    }
                }
            }
        }
        self.replaced(values, names, &labels)
    }

    /// Returns a set of other images of the same size.
    fn replaced(&self, values: Vec<f32>, names: Vec<String>, labels: &[u32]) -> Result<FaceSet> {
        let [height, width, channels] = self.sample();
        let images = Tensor::from_vec([labels.len(), height, width, channels], values)?;
        FaceSet::new(images, Identities::from_labels(names, labels)?)
    }
}

/// Mirrors each row of pixels left to right.
pub(super) fn mirror(images: &mut [f32], width: usize, channels: usize) {
    for row in images.chunks_exact_mut((width * channels).max(1)) {
        for x in 0..width / 2 {
            let (left, right) = row.split_at_mut((width - 1 - x) * channels);
            left[x * channels..][..channels].swap_with_slice(&mut right[..channels]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people(height: usize, width: usize) -> FaceSet {
        let identities = Identities::from_labels(["a", "b"], &[0, 1, 0]).unwrap();
        let images = Tensor::from_fn([3, height, width, 1], |i| (width * i[0] + i[2]) as f32);
        FaceSet::new(images, identities).unwrap()
    }

    #[test]
    fn mirrored_people_are_others() {
        let (images, labels) = people(1, 2).with_mirrored_people().unwrap().labelled().unwrap();
        assert_eq!(images.data(), [0.0, 1.0, 4.0, 5.0, 2.0, 3.0, 1.0, 0.0, 5.0, 4.0, 3.0, 2.0]);
        assert_eq!(labels, [0, 0, 1, 2, 2, 3]);
    }

    #[test]
    fn composed_people_have_an_upper_and_a_lower_half() {
        let set = people(20, 1).with_composed_people(5, Key::new(1)).unwrap();
        let (images, labels) = set.labelled().unwrap();
        assert_eq!(labels, [0, 0, 1, 2, 2, 3]);
        let names: Vec<&str> = set.identities().iter().map(|identity| identity.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "a above b", "b above a"]);
        for (image, [upper, lower]) in images.data()[60..].chunks(20).zip([[0.0, 1.0], [2.0, 1.0]]) {
            assert!(image[..9].iter().all(|x| *x == upper) && image[12..].iter().all(|x| *x == lower), "{image:?}");
        }
        assert_eq!(set, people(20, 1).with_composed_people(5, Key::new(1)).unwrap());
        let one = FaceSet::new(Tensor::zeros([1, 4, 4, 1]), Identities::from_labels(["a"], &[0]).unwrap()).unwrap();
        assert_eq!(one.with_composed_people(3, Key::new(1)).unwrap().identities().len(), 1);
    }
}
