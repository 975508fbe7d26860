//! Batches of a dataset, epoch after epoch.

mod ahead;
mod epoch;
mod generated;
mod mix;
#[cfg(test)]
mod tests;

pub use epoch::Epoch;
pub use generated::GeneratedBatches;
pub use mix::Mixing;

use crate::{Dataset, Error, Image, Pipeline, Result, Scratch, Targets};
use epoch::{Maker, panic_message};
use ocelli_tensor::{Batch, Key, Stream, Tensor};
use std::{
    collections::BTreeMap,
    num::NonZero,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    thread::available_parallelism,
};

/// Default number of finished batches that wait: enough to even out samples of different cost.
const PREFETCH: usize = 2;

/// The order of the samples in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The order of the dataset.
    Sequential,
    /// A random order that is a function of the seed and the epoch.
    Shuffled,
}

/// The treatment of the samples that do not fill a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastBatch {
    /// They form a smaller batch.
    Keep,
    /// They are left out of this epoch. A dataset smaller than one batch then has no batches.
    Drop,
}

/// The treatment of samples whose image cannot be read or prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The first one ends the epoch with an error that names it.
    Fail,
    /// They are left out of their batches; [`Loader::broken_samples`] lists them. A batch without any sample is an error.
    Skip,
}

/// The form of labels in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LabelForm {
    /// The number of the class: `[N]`.
    Numbers,
    /// Shares of all classes: `[N, classes]`.
    Shares,
}

/// A change of an image of one's own, before the pipeline.
type Change = dyn Fn(&mut Image, &mut Stream) -> Result<()> + Send + Sync;

/// Prepares the images of a [`Dataset`] by a [`Pipeline`] and gathers them into batches, some of them ahead on threads of
/// its own.
///
/// A batch is a function of the dataset, the pipeline, the settings, the epoch and its number: the order of the samples and
/// whatever is drawn for them do not depend on the number of threads, and an epoch can be resumed at any batch. Several
/// epochs of one loader may be read at the same time. Each thread keeps its memory from sample to sample.
///
/// ```
/// use ocelli_data::{LastBatch, Loader, Pipeline, synthetic};
/// let loader = Loader::new(synthetic::digits(100, 1), Pipeline::mnist([32, 32]), 32)?;
/// let loader = loader.shuffle(7).last_batch(LastBatch::Drop);
/// assert_eq!((loader.batches(), loader.samples(), loader.shape()), (3, 96, [32, 32, 1]));
/// let whole: Vec<_> = loader.epoch(5).collect::<Result<_, _>>()?;
/// let resumed: Vec<_> = loader.workers(3).epoch_from(5, 1).collect::<Result<_, _>>()?;
/// assert_eq!(whole[1..], resumed[..]);
/// # Ok::<(), ocelli_data::Error>(())
/// ```
#[derive(Clone)]
pub struct Loader {
    dataset: Arc<dyn Dataset>,
    pipeline: Arc<Pipeline>,
    change: Option<Arc<Change>>,
    mixing: Option<Mixing>,
    labels: LabelForm,
    shape: [usize; 3],
    batch_size: usize,
    order: Order,
    seed: u64,
    last_batch: LastBatch,
    broken: Broken,
    prefetch: usize,
    workers: usize,
    input_name: String,
    labels_name: String,
    /// The memory of preparing a sample, for each thread that does so at the same time.
    memory: Arc<Mutex<Vec<Memory>>>,
    /// The reason for each sample that was skipped.
    skipped: Arc<Mutex<BTreeMap<usize, String>>>,
}

/// The memory of preparing one sample.
#[derive(Default)]
struct Memory {
    image: Image,
    scratch: Scratch,
}

impl Loader {
    /// Makes a loader of all samples in their order; the tensors are called `input` and `labels`.
    ///
    /// # Errors
    /// [`Error::Setting`] if the batch size is 0, or the errors of [`Pipeline::shape`].
    pub fn new(dataset: impl Dataset + 'static, pipeline: Pipeline, batch_size: usize) -> Result<Loader> {
        if batch_size == 0 {
            return Err(Error::Setting("a batch size of 0".into()));
        }
        let shape = pipeline.shape(dataset.size())?;
        Ok(Loader {
            dataset: Arc::new(dataset),
            pipeline: Arc::new(pipeline),
            change: None,
            mixing: None,
            labels: LabelForm::Numbers,
            shape,
            batch_size,
            order: Order::Sequential,
            seed: 0,
            last_batch: LastBatch::Keep,
            broken: Broken::Fail,
            prefetch: PREFETCH,
            workers: default_workers(),
            input_name: "input".into(),
            labels_name: "labels".into(),
            memory: Arc::default(),
            skipped: Arc::default(),
        })
    }

    /// Sets the order of the samples; default [`Order::Sequential`].
    pub fn order(self, order: Order) -> Loader {
        Loader { order, ..self }
    }

    /// Sets the seed of the order and of whatever the pipeline draws; default 0. A draw is a function of the seed, the epoch
    /// and the index of the sample.
    pub fn seed(self, seed: u64) -> Loader {
        Loader { seed, ..self }
    }

    /// Shuffles the samples, in another order each epoch: [`Order::Shuffled`] with this [`seed`](Loader::seed).
    pub fn shuffle(self, seed: u64) -> Loader {
        self.seed(seed).order(Order::Shuffled)
    }

    /// Sets the treatment of the samples that do not fill a batch; default [`LastBatch::Keep`].
    pub fn last_batch(self, last_batch: LastBatch) -> Loader {
        Loader { last_batch, ..self }
    }

    /// Sets the treatment of samples that cannot be read or prepared; default [`Broken::Fail`].
    pub fn broken(self, broken: Broken) -> Loader {
        Loader { broken, ..self }
    }

    /// Changes each image by a function of one's own, before the pipeline. Every random draw must come from the stream, which
    /// is one of the seed, the epoch and the sample.
    ///
    /// ```
    /// use ocelli_data::{Loader, Pipeline, synthetic};
    /// let digits = synthetic::digits(10, 1);
    /// let inverted = Loader::new(digits, Pipeline::mnist([28, 28]), 5)?.change(|image, random| {
    ///     if random.below(2) == 1 {
    ///         image.pixels_mut().iter_mut().for_each(|value| *value = 255 - *value);
    ///     }
    ///     Ok(())
    /// });
    /// assert_eq!(inverted.epoch(0).count(), 2);
    /// # Ok::<(), ocelli_data::Error>(())
    /// ```
    pub fn change(self, change: impl Fn(&mut Image, &mut Stream) -> Result<()> + Send + Sync + 'static) -> Loader {
        Loader { change: Some(Arc::new(change)), ..self }
    }

    /// Mixes each sample of a batch with the next one; labels become shares of the classes, `[N, classes]`, for
    /// `soft_cross_entropy` of `ocelli-losses`. What is drawn for a batch is a function of the seed, the epoch and its number.
    ///
    /// # Errors
    /// [`Error::Setting`] if a parameter is not from 0.001 to 1000, or the samples have neither classes with names nor
    /// values.
    ///
    /// ```
    /// use ocelli_data::{Loader, Mixing, Pipeline, synthetic};
    /// let loader = Loader::new(synthetic::digits(10, 1), Pipeline::mnist([28, 28]), 5)?.mixing(Mixing::Mixup { alpha: 0.2 })?;
    /// let batch = loader.epoch(0).next().unwrap()?;
    /// assert_eq!(batch.tensor("labels")?.shape(), [5, 10]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn mixing(self, mixing: Mixing) -> Result<Loader> {
        mixing.check()?;
        match self.dataset.targets() {
            Targets::Labels if self.dataset.classes() > 0 => {}
            Targets::Values(_) => {}
            _ => return Err(Error::Setting("samples without classes or values cannot be mixed".into())),
        }
        Ok(Loader { mixing: Some(mixing), labels: LabelForm::Shares, ..self })
    }

    /// Makes labels shares of the classes `[N, classes]`, 1 for the label and 0 elsewhere: for the validation of a training whose
    /// samples are [mixed](Loader::mixing), because both have one loss.
    ///
    /// # Errors
    /// [`Error::Setting`] if the samples have no classes with names.
    ///
    /// ```
    /// use ocelli_data::{Loader, Pipeline, synthetic};
    /// let loader = Loader::new(synthetic::digits(10, 1), Pipeline::mnist([28, 28]), 5)?.soft_labels()?;
    /// let batch = loader.epoch(0).next().unwrap()?;
    /// assert_eq!(batch.tensor("labels")?.data().iter().sum::<f32>(), 5.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn soft_labels(self) -> Result<Loader> {
        match self.dataset.targets() {
            Targets::Labels if self.dataset.classes() > 0 => Ok(Loader { labels: LabelForm::Shares, ..self }),
            _ => Err(Error::Setting("samples without classes have no shares of them".into())),
        }
    }

    /// Sets the number of finished batches that may wait, while each thread prepares one more; default 2. With 0 each batch
    /// is prepared when it is requested, without a thread.
    pub fn prefetch(self, batches: usize) -> Loader {
        Loader { prefetch: batches, ..self }
    }

    /// Sets the number of threads that prepare batches; default: one for each core. Batches do not depend on it. 0 counts as
    /// 1.
    pub fn workers(self, workers: usize) -> Loader {
        Loader { workers, ..self }
    }

    /// Sets the names of the tensors: the images `[N, H, W, C]`, and the labels `[N]` or targets `[N, count]`. With equal
    /// names only the latter would remain.
    pub fn names(self, input: impl Into<String>, labels: impl Into<String>) -> Loader {
        Loader { input_name: input.into(), labels_name: labels.into(), ..self }
    }

    /// Returns the dataset that the loader reads.
    pub fn dataset(&self) -> &dyn Dataset {
        &*self.dataset
    }

    /// Returns the pipeline that prepares the images.
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// Returns true if an epoch has other samples than the one before: a transform, a change or a mixture draws at random.
    pub fn is_random(&self) -> bool {
        self.pipeline.is_random() || self.change.is_some() || self.mixing.is_some()
    }

    /// Returns the shape `[H, W, C]` of a prepared image.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Returns the number of samples in a full batch.
    pub fn batch_size(&self) -> usize {
        self.batch_size
    }

    /// Returns the number of batches in an epoch.
    pub fn batches(&self) -> usize {
        match self.last_batch {
            LastBatch::Keep => self.dataset.len().div_ceil(self.batch_size),
            LastBatch::Drop => self.dataset.len() / self.batch_size,
        }
    }

    /// Returns the number of samples in an epoch, with those that are broken.
    pub fn samples(&self) -> usize {
        match self.last_batch {
            LastBatch::Keep => self.dataset.len(),
            LastBatch::Drop => self.batches() * self.batch_size,
        }
    }

    /// Returns the names of the samples that were left out until now, in the order of the dataset, with the reasons.
    pub fn broken_samples(&self) -> Vec<(String, String)> {
        let skipped = self.skipped.lock().unwrap_or_else(PoisonError::into_inner);
        skipped.iter().map(|(index, reason)| (self.dataset.name(*index), reason.clone())).collect()
    }

    /// Returns an iterator over the batches of one epoch.
    pub fn epoch(&self, epoch: u64) -> Epoch {
        self.epoch_from(epoch, 0)
    }

    /// Returns an iterator over the batches of one epoch from number `first_batch` on, to resume an interrupted epoch.
    /// It is empty if the epoch has no more.
    pub fn epoch_from(&self, epoch: u64, first_batch: usize) -> Epoch {
        let maker = DatasetEpoch { loader: self.clone(), epoch, indices: self.indices(epoch) };
        Epoch::start(Arc::new(maker), first_batch..self.batches(), self.prefetch, self.workers)
    }

    /// Returns the indices of the samples of an epoch in their order.
    fn indices(&self, epoch: u64) -> Vec<usize> {
        let mut indices: Vec<usize> = (0..self.dataset.len()).collect();
        if self.order == Order::Shuffled {
            Key::new(self.seed).with("order").at(epoch).stream().shuffle(&mut indices);
        }
        indices
    }

    /// Makes one batch. Calls `go_on` before each sample, and returns `None` if it must stop.
    fn batch(&self, epoch: u64, number: usize, indices: &[usize], go_on: &dyn Fn() -> bool) -> Result<Option<Batch>> {
        let [height, width, channels] = self.shape;
        let mut input = Tensor::try_zeros([indices.len(), height, width, channels])?;
        let count = match self.dataset.targets() {
            Targets::Values(count) => count,
            Targets::Labels | Targets::Nothing => 0,
        };
        let (mut labels, mut values) = (Vec::new(), Tensor::try_zeros([indices.len(), count])?);
        // prepare the samples one after the other; where one is left out, the next takes its place
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        let mut kept = 0;
        for index in indices {
            if !go_on() {
                return Ok(None);
            }
            let sample = height * width * channels;
            let out = &mut input.data_mut()[kept * sample..(kept + 1) * sample];
            let targets = &mut values.data_mut()[kept * count..(kept + 1) * count];
            match self.sample(*index, epoch, &mut memory, out, targets) {
                Ok(label) => labels.extend(label),
                Err(error) if self.broken == Broken::Skip && error.is_of_sample() => {
                    let mut skipped = self.skipped.lock().unwrap_or_else(PoisonError::into_inner);
                    skipped.entry(*index).or_insert_with(|| error.to_string());
                    continue;
                }
                Err(error) => return Err(error),
            }
            kept += 1;
        }
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
        // gather them
        if kept == 0 {
            return Err(Error::Setting("no sample of a batch can be read".into()));
        }
        if kept < indices.len() {
            input = input.rows(0..kept);
            values = values.rows(0..kept);
        }
        if self.labels == LabelForm::Shares {
            if self.dataset.targets() == Targets::Labels {
                values = one_hot(&labels, self.dataset.classes());
            }
            if let Some(mixing) = self.mixing {
                let key = Key::new(self.seed).with("mixing").at(epoch).at(number as u64);
                mixing.apply(&mut input, &mut values, key);
            }
            return Ok(Some(Batch::new().with(&self.input_name, input).with(&self.labels_name, values)));
        }
        let batch = Batch::new().with(&self.input_name, input);
        Ok(Some(match self.dataset.targets() {
            Targets::Labels => batch.with(&self.labels_name, Tensor::from(labels)),
            Targets::Values(_) => batch.with(&self.labels_name, values),
            Targets::Nothing => batch,
        }))
    }

    /// Prepares one sample, and returns its label if it has one. A label without a class is reported here, where its
    /// sample is known, and not in a loss. A panic of the dataset becomes an error, so that it ends the epoch in the same
    /// way with and without threads.
    fn sample(
        &self,
        index: usize,
        epoch: u64,
        memory: &mut Memory,
        out: &mut [f32],
        targets: &mut [f32],
    ) -> Result<Option<u32>> {
        let key = Key::new(self.seed).with("augmentation").at(epoch).at(index as u64);
        let prepare = || {
            let Memory { image, scratch } = memory;
            let named = |error: Error| error.about(|| self.dataset.name(index));
            if let Some(change) = &self.change {
                self.dataset.read(index, image)?;
                change(image, &mut key.with("change").stream())?;
                self.pipeline.apply(image, key, scratch, out).map_err(named)?;
            } else {
                // Of what the first transform does not read, nothing need be decoded.
                let mut whole = [0; 2];
                self.dataset.read_part(index, image, &mut |size| {
                    whole = size;
                    self.pipeline.first_part(size, key)
                })?;
                self.pipeline.apply_to_part(whole, image, key, scratch, out).map_err(named)?;
            }
            match self.dataset.targets() {
                Targets::Labels => self.label(index).map(Some),
                Targets::Values(_) => self.dataset.write_targets(index, targets).map(|()| None),
                Targets::Nothing => Ok(None),
            }
        };
        catch_unwind(AssertUnwindSafe(prepare))
            .unwrap_or_else(|panic| Err(Error::Panic { index, message: panic_message(&*panic) }))
    }

    fn label(&self, index: usize) -> Result<u32> {
        let (label, classes) = (self.dataset.label(index)?, self.dataset.classes());
        // A dataset without class names does not know its number of classes.
        match classes {
            0 => Ok(label),
            classes if (label as usize) < classes => Ok(label),
            classes => Err(Error::Label { index, label, classes }),
        }
    }
}

/// Returns 1 for the class of each label and 0 for the others: `[N, classes]`.
fn one_hot(labels: &[u32], classes: usize) -> Tensor {
    let mut targets = Tensor::zeros([labels.len(), classes]);
    for (row, label) in targets.data_mut().chunks_exact_mut(classes).zip(labels) {
        row[*label as usize] = 1.0;
    }
    targets
}

/// Returns the number of threads that prepare batches unless another is set.
fn default_workers() -> usize {
    available_parallelism().map_or(1, NonZero::get)
}

/// The batches of one epoch of a dataset.
struct DatasetEpoch {
    loader: Loader,
    epoch: u64,
    indices: Vec<usize>,
}

impl Maker for DatasetEpoch {
    fn make(&self, number: usize, go_on: &dyn Fn() -> bool) -> Option<Result<Batch>> {
        // No overflow: every batch but the last is full.
        let first = number * self.loader.batch_size;
        let end = first.saturating_add(self.loader.batch_size).min(self.indices.len());
        self.loader.batch(self.epoch, number, &self.indices[first..end], go_on).transpose()
    }
}

impl std::fmt::Debug for Loader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loader")
            .field("samples", &self.samples())
            .field("shape", &self.shape)
            .field("pipeline", &self.pipeline)
            .field("mixing", &self.mixing)
            .field("batch_size", &self.batch_size)
            .field("order", &self.order)
            .field("seed", &self.seed)
            .field("last_batch", &self.last_batch)
            .field("broken", &self.broken)
            .field("prefetch", &self.prefetch)
            .field("workers", &self.workers)
            .finish_non_exhaustive()
    }
}
