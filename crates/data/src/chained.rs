//! Two datasets as one.

use crate::{Choice, Dataset, Error, Image, Result, Targets, error::shortened};

/// The samples of one dataset followed by those of another; made by [`Dataset::chain`].
#[derive(Clone, Debug)]
pub struct Chained<A, B> {
    first: A,
    second: B,
}

impl<A: Dataset, B: Dataset> Chained<A, B> {
    pub(crate) fn new(first: A, second: B) -> Result<Chained<A, B>> {
        let (one, other) = (first.targets(), second.targets());
        if one != other {
            return Err(Error::Setting(format!("targets differ: {one:?} and then {other:?}")));
        }
        let (one, other) = (first.class_names(), second.class_names());
        if one != other {
            let [one, other] = [one, other].map(|names| shortened(&names.join(", "), 200));
            let text = format!("classes differ: {one} and then {other}");
            return Err(Error::Setting(text));
        }
        if first.len().checked_add(second.len()).is_none() {
            return Err(Error::Setting(format!("{} and {} samples are too many", first.len(), second.len())));
        }
        Ok(Chained { first, second })
    }
}

impl<A: Dataset, B: Dataset> Chained<A, B> {
    /// Returns the dataset that has sample `index`, and its index there.
    fn place(&self, index: usize) -> Result<(&dyn Dataset, usize)> {
        match index.checked_sub(self.first.len()) {
            None => Ok((&self.first, index)),
            Some(later) if later < self.second.len() => Ok((&self.second, later)),
            Some(_) => Err(Error::Index { index, len: self.len() }),
        }
    }
}

impl<A: Dataset, B: Dataset> Dataset for Chained<A, B> {
    fn len(&self) -> usize {
        self.first.len() + self.second.len()
    }

    fn class_names(&self) -> &[String] {
        self.first.class_names()
    }

    fn label(&self, index: usize) -> Result<u32> {
        let (dataset, index) = self.place(index)?;
        dataset.label(index)
    }

    fn read(&self, index: usize, image: &mut Image) -> Result<()> {
        let (dataset, index) = self.place(index)?;
        dataset.read(index, image)
    }

    fn read_part(&self, index: usize, image: &mut Image, part: &mut Choice<'_>) -> Result<()> {
        let (dataset, index) = self.place(index)?;
        dataset.read_part(index, image, part)
    }

    fn size(&self) -> Option<[usize; 2]> {
        self.first.size().filter(|size| self.second.size() == Some(*size))
    }

    fn targets(&self) -> Targets {
        self.first.targets()
    }

    fn write_targets(&self, index: usize, out: &mut [f32]) -> Result<()> {
        let (dataset, index) = self.place(index)?;
        dataset.write_targets(index, out)
    }

    fn name(&self, index: usize) -> String {
        self.place(index).map_or_else(|_| format!("sample {index}"), |(dataset, index)| dataset.name(index))
    }
}

#[cfg(test)]
mod tests {
    use crate::{Dataset, Image, Images};

    fn images(width: usize, pixels: &[u8], classes: &[&str]) -> Images {
        let labels = vec![0; pixels.len() / width];
        Images::new([1, width, 1], pixels.to_vec(), labels, classes.iter().map(ToString::to_string).collect()).unwrap()
    }

    #[test]
    fn the_second_follows_the_first() {
        let both = images(1, &[0, 51], &["only"]).chain(images(1, &[102, 153, 204], &["only"])).unwrap();
        assert_eq!((both.len(), both.size()), (5, Some([1, 1])));
        let mut image = Image::default();
        for index in 0..5 {
            both.read(index, &mut image).unwrap();
            assert_eq!(usize::from(image.pixels()[0]), 51 * index);
        }
        assert_eq!(both.read(5, &mut image).unwrap_err().to_string(), "sample 5 of a dataset of 5");
        assert_eq!(images(1, &[0], &["only"]).chain(images(2, &[0, 0], &["only"])).unwrap().size(), None);
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        let text = images(1, &[0], &["cat"]).chain(images(1, &[0], &["dog", "cat"])).unwrap_err().to_string();
        assert_eq!(text, "classes differ: cat and then dog, cat");
    }
}
