//! Features that a frozen trunk computed once.

use crate::{BatchSource, Error, Result};
use ocelli_graph::{Batch, Key, Model, Tensor, Value};
use ocelli_tensor::{Element, ShapeText};

/// The results of a frozen network for every sample of a source, kept in memory: batches of them train what stands behind it.
///
/// Every epoch has the same samples in another order, drawn from the seed and the epoch. Labels and other tensors of the
/// source's batches stay with their samples.
///
/// ```
/// # use ocelli_graph::{Batch, Model, Tensor};
/// # let model = Model::build(|x| x.relu().named("features") * 2.0, [3], 0)?;
/// # let batches = vec![Batch::new().with("input", Tensor::full([4, 3], 1.0)).with("labels", Tensor::from(vec![0u32, 1, 0, 1]))];
/// use ocelli_train::{BatchSource, Features};
/// let trunk = model.part("input", "features")?;
/// let features = Features::compute(&trunk, &batches, 1 << 30)?.expect("they are smaller than 1 GiB").shuffle(7);
/// assert_eq!((features.samples(), features.batches()), (4, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Features {
    /// The batches of the source with features for inputs.
    pieces: Vec<Batch>,
    /// Piece and row of every sample.
    samples: Vec<(usize, usize)>,
    batch_size: usize,
    seed: Option<u64>,
}

impl Features {
    /// Runs `trunk`, whose input is called `input` and whose result `output`, over the first epoch of a source; `None` if
    /// the results would need more than `limit` bytes of memory.
    ///
    /// # Errors
    /// The error of the source or of the trunk, with its batch; [`Error::Setting`] if there are no batches, or a tensor of a
    /// batch has not one row for each sample.
    pub fn compute(trunk: &Model, source: &(impl BatchSource + ?Sized), limit: usize) -> Result<Option<Features>> {
        let (mut pieces, mut samples, mut bytes) = (Vec::new(), Vec::new(), 0usize);
        for (number, batch) in source.epoch_from(0, 0).enumerate() {
            let piece = batch.and_then(|batch| with_features(trunk, batch));
            let piece = piece.map_err(|error| error.at(|| format!("features, batch {}", number + 1)))?;
            let of_piece = bytes_of(&piece);
            bytes = bytes.saturating_add(of_piece);
            // the first batch tells what all will need
            let expected = if number == 0 { of_piece.saturating_mul(source.samples()) / piece.len().max(1) } else { 0 };
            if bytes.max(expected) > limit {
                return Ok(None);
            }
            samples.extend((0..piece.len()).map(|row| (number, row)));
            pieces.push(piece);
        }
        let Some(batch_size) = pieces.first().map(Batch::len) else {
            return Err(Error::Setting("there are no batches to compute features of".into()));
        };
        Ok(Some(Features { pieces, samples, batch_size, seed: None }))
    }

    /// Shuffles the samples, in another order each epoch.
    pub fn shuffle(self, seed: u64) -> Features {
        Features { seed: Some(seed), ..self }
    }

    /// Returns the size of everything that is kept, in bytes.
    pub fn bytes(&self) -> usize {
        self.pieces.iter().map(bytes_of).sum()
    }

    /// Returns the samples of an epoch in their order.
    fn order(&self, epoch: u64) -> Vec<(usize, usize)> {
        let mut order = self.samples.clone();
        if let Some(seed) = self.seed {
            Key::new(seed).with("features").at(epoch).stream().shuffle(&mut order);
        }
        order
    }

    /// Gathers samples into a batch.
    fn gather(&self, samples: &[(usize, usize)]) -> Result<Batch> {
        let mut batch = Batch::new();
        for (name, first) in self.pieces[0].iter() {
            let shape = [&[samples.len()], &first.shape()[1..]].concat();
            match first {
                Value::F32(_) => {
                    let of = |piece: &'_ Batch| piece.tensor(name).cloned();
                    batch.set(name, self.rows(samples, shape, of)?);
                }
                Value::U32(_) => {
                    let of = |piece: &'_ Batch| piece.labels(name).cloned();
                    batch.set(name, self.rows(samples, shape, of)?);
                }
            }
        }
        Ok(batch)
    }

    /// Copies the rows of samples out of one tensor of their pieces.
    fn rows<T: Element>(
        &self,
        samples: &[(usize, usize)],
        shape: Vec<usize>,
        of: impl Fn(&Batch) -> ocelli_tensor::Result<Tensor<T>>,
    ) -> Result<Tensor<T>> {
        let width: usize = shape[1..].iter().product();
        let mut data = Vec::with_capacity(samples.len() * width);
        for &(piece, row) in samples {
            let tensor = of(&self.pieces[piece])?;
            data.extend_from_slice(&tensor.data()[row * width..][..width]);
        }
        Ok(Tensor::from_vec(shape, data)?)
    }
}

impl BatchSource for Features {
    fn batches(&self) -> usize {
        self.samples.len().div_ceil(self.batch_size)
    }

    fn samples(&self) -> usize {
        self.samples.len()
    }

    fn epoch_from(&self, epoch: u64, first: usize) -> Box<dyn Iterator<Item = Result<Batch>> + '_> {
        let order = self.order(epoch);
        Box::new((first..self.batches()).map(move |number| {
            let last = order.len().min((number + 1) * self.batch_size);
            self.gather(&order[number * self.batch_size..last])
        }))
    }

    fn repeats(&self) -> bool {
        true
    }
}

/// Replaces the inputs of a batch by their features.
fn with_features(trunk: &Model, batch: Batch) -> Result<Batch> {
    let features = trunk.run(&batch, &["output"])?.swap_remove(0);
    let samples = features.shape().first().copied().unwrap_or(0);
    let batch = batch.with("input", features);
    if let Some((name, value)) = batch.iter().find(|(_, value)| value.shape().first() != Some(&samples)) {
        let shape = ShapeText(value.shape());
        return Err(Error::Setting(format!("\"{name}\" is {shape}: features are kept beside one row for each sample")));
    }
    Ok(batch)
}

/// Returns the size of a batch in bytes.
fn bytes_of(batch: &Batch) -> usize {
    batch.iter().map(|(_, value)| value.shape().iter().product::<usize>() * size_of::<f32>()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(samples: std::ops::Range<u32>) -> Batch {
        let labels: Vec<u32> = samples.collect();
        let input = Tensor::from_fn([labels.len(), 2], |i| labels[i[0]] as f32);
        Batch::new().with("input", input).with("labels", Tensor::from(labels))
    }

    #[test]
    fn every_epoch_has_each_sample_once_beside_its_label() {
        let model = Model::build(|x| x * 10.0, [2], 0).unwrap();
        let source = [numbered(0..4), numbered(4..8), numbered(8..9)];
        let features = Features::compute(&model, &source[..], 108).unwrap().unwrap();
        assert_eq!((features.bytes(), features.samples(), features.batches()), (108, 9, 3));
        assert!(Features::compute(&model, &source[..], 107).unwrap().is_none());
        let labels = |features: &Features, epoch| -> Vec<u32> {
            let batches = features.epoch_from(epoch, 0).map(|batch| batch.unwrap());
            let check = |batch: Batch| {
                let labels = batch.labels("labels").unwrap().data().to_vec();
                let input = batch.tensor("input").unwrap();
                assert!(labels.iter().zip(input.data().chunks(2)).all(|(label, row)| row == [10.0 * *label as f32; 2]));
                labels
            };
            batches.flat_map(check).collect()
        };
        assert!(labels(&features, 0).into_iter().eq(0..9));
        let shuffled = features.shuffle(3);
        let (first, second) = (labels(&shuffled, 0), labels(&shuffled, 1));
        assert_ne!(first, second);
        assert_eq!(first, labels(&shuffled, 0));
        let mut sorted = second.clone();
        sorted.sort();
        assert!(sorted.into_iter().eq(0..9));
        // an epoch continues at a batch
        let rest: Vec<Batch> = shuffled.epoch_from(1, 1).map(Result::unwrap).collect();
        assert_eq!(rest[0].labels("labels").unwrap().data(), &second[4..8]);
    }

    #[test]
    fn tensors_without_a_row_for_each_sample_are_named() {
        let model = Model::build(|x| x * 10.0, [2], 0).unwrap();
        let source = [numbered(0..4).with("scale", Tensor::full([3], 1.0))];
        let error = Features::compute(&model, &source[..], 1000).unwrap_err().to_string();
        assert_eq!(error, "\"scale\" is [3]: features are kept beside one row for each sample");
    }
}
