//! Two datasets as one.

use crate::{Dataset, Error, Result, error::shortened};
use ocelli_tensor::ShapeText;

/// The samples of one dataset followed by those of another; made by [`Dataset::chain`].
#[derive(Clone, Debug)]
pub struct Chained<A, B> {
    first: A,
    second: B,
}

impl<A: Dataset, B: Dataset> Chained<A, B> {
    pub(crate) fn new(first: A, second: B) -> Result<Chained<A, B>> {
        let (one, other) = (first.shape(), second.shape());
        if one != other {
            let text = format!("images of shape {} cannot follow those of {}", ShapeText(&other), ShapeText(&one));
            return Err(Error::Setting(text));
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

impl<A: Dataset, B: Dataset> Dataset for Chained<A, B> {
    fn len(&self) -> usize {
        self.first.len() + self.second.len()
    }

    fn shape(&self) -> [usize; 3] {
        self.first.shape()
    }

    fn class_names(&self) -> &[String] {
        self.first.class_names()
    }

    fn write(&self, index: usize, epoch: u64, out: &mut [f32]) -> Result<u32> {
        match index.checked_sub(self.first.len()) {
            None => self.first.write(index, epoch, out),
            Some(later) if later < self.second.len() => self.second.write(later, epoch, out),
            Some(_) => Err(Error::Index { index, len: self.len() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Dataset, Images};

    fn images(width: usize, pixels: &[u8], classes: &[&str]) -> Images {
        let labels = vec![0; pixels.len() / width];
        Images::new([1, width, 1], pixels.to_vec(), labels, classes.iter().map(ToString::to_string).collect()).unwrap()
    }

    #[test]
    fn the_second_follows_the_first() {
        let both = images(1, &[0, 51], &["only"]).chain(images(1, &[102, 153, 204], &["only"])).unwrap();
        assert_eq!(both.len(), 5);
        for index in 0..5 {
            let mut out = [0.0];
            both.write(index, 0, &mut out).unwrap();
            assert_eq!(out[0], index as f32 / 5.0);
        }
        assert_eq!(both.write(5, 0, &mut [0.0]).unwrap_err().to_string(), "sample 5 of a dataset of 5");
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        let text = |other| images(1, &[0], &["cat"]).chain(other).unwrap_err().to_string();
        let wide = text(images(2, &[0, 0], &["cat"]));
        assert_eq!(wide, "images of shape [1, 2, 1] cannot follow those of [1, 1, 1]");
        assert_eq!(text(images(1, &[0], &["dog", "cat"])), "classes differ: cat and then dog, cat");
    }
}
