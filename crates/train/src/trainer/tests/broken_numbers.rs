//! Runs that meet NaN or infinity: the last good checkpoint stays, and a run resumed from it ends as if nothing had been.

use super::*;
use crate::{Gradients, OptimizerState};

/// A network whose gradient is NaN where an activation is larger than 50, though its value is finite.
fn trapped() -> Model {
    let network = |x: &Node| {
        let t = x.trace();
        let w = t.parameter("w", [4, 6], Noise);
        let v = t.parameter("v", [6, 3], Noise);
        let slope = |x: f32| if x.abs() > 50.0 { f32::NAN } else { 1.0 };
        let x = x.matmul(&w).scope("trap", |x| x.map("Trap", |x| x.clamp(-50.0, 50.0), slope));
        x.relu().scope("drop", |x| x.dropout(0.3)).matmul(&v)
    };
    Model::build(network, [4], 1).unwrap()
}

/// The usual batches; the one with this number, counted over all epochs, has huge inputs.
struct Poisoned(Option<usize>);

impl BatchSource for Poisoned {
    fn batches(&self) -> usize {
        BATCHES
    }
    fn samples(&self) -> usize {
        BATCHES * 8
    }
    fn epoch_from(&self, epoch: u64, first: usize) -> Box<dyn Iterator<Item = Result<Batch>> + '_> {
        let inner = source(&StopFlag::new(), None);
        let batches: Vec<_> = inner.epoch_from(epoch, first).collect();
        Box::new(batches.into_iter().zip(first..).map(move |(batch, number)| {
            let batch = batch?;
            let is_poisoned = self.0 == Some(epoch as usize * BATCHES + number);
            Ok(if is_poisoned { batch.with("input", Tensor::full([8, 4], 1e6)) } else { batch })
        }))
    }
}

fn run(folder: &Path, accumulate: usize, poisoned: Option<usize>) -> (Model, Result<Report>) {
    let mut model = trapped();
    let trainer = trainer(folder, &StopFlag::new()).accumulate(accumulate).checkpoint_every(2).resume();
    let mut sgd = Sgd::new(0.1).momentum(0.9);
    let report = trainer.run(&mut model, loss, &mut sgd, &Poisoned(poisoned), Some(&Poisoned(None)));
    (model, report)
}

#[test]
fn a_run_that_met_nan_at_any_step_resumes_as_if_it_had_not() {
    for accumulate in [1, 2] {
        let folder = tempfile::tempdir().unwrap();
        let (expected, report) = run(folder.path(), accumulate, None);
        let report = report.unwrap();
        for at in 0..EPOCHS as usize * BATCHES {
            let folder = tempfile::tempdir().unwrap();
            let (model, outcome) = run(folder.path(), accumulate, Some(at));
            let error = outcome.unwrap_err().to_string();
            let place = format!("epoch {}, batch {}: the gradient of w holds ", at / BATCHES + 1, at % BATCHES + 1);
            assert!(error.starts_with(&place) && error.contains("the backward pass of trap ("), "{error}");
            state::check_finite(&model, &OptimizerState::default()).unwrap();
            let (resumed, outcome) = run(folder.path(), accumulate, None);
            assert_eq!(outcome.unwrap(), report, "NaN at batch {at}");
            assert!(resumed.parameters().iter().eq(expected.parameters().iter()), "NaN at batch {at}");
        }
    }
}

/// An optimiser whose update number `at` leaves infinity behind.
struct Overflowing {
    inner: Sgd,
    at: u64,
}

impl Optimizer for Overflowing {
    fn step(&mut self, model: &mut Model, gradients: &dyn Gradients) -> Result<()> {
        self.inner.step(model, gradients)?;
        if self.inner.state().steps == self.at {
            model.parameters_mut().value_mut("v").unwrap().data_mut()[4] = f32::NEG_INFINITY;
        }
        Ok(())
    }
    fn set_rate_factor(&mut self, factor: f32) {
        self.inner.set_rate_factor(factor);
    }
    fn learning_rate(&self) -> f32 {
        self.inner.learning_rate()
    }
    fn state(&self) -> &OptimizerState {
        self.inner.state()
    }
    fn set_state(&mut self, state: OptimizerState) -> Result<()> {
        self.inner.set_state(state)
    }
    fn describe(&self) -> String {
        self.inner.describe()
    }
}

#[test]
fn infinite_weights_get_into_no_checkpoint() {
    for at in 1..=EPOCHS * BATCHES as u64 {
        let folder = tempfile::tempdir().unwrap();
        let mut optimizer = Overflowing { inner: Sgd::new(0.1), at };
        let train = Poisoned(None);
        // A checkpoint after each step: each of them is looked at.
        let trainer = trainer(folder.path(), &StopFlag::new()).checkpoint_every(1);
        let error = trainer.run(&mut trapped(), loss, &mut optimizer, &train, Some(&train)).unwrap_err().to_string();
        assert!(error.starts_with("parameter v holds -inf after an update: "), "{error}");
        if at > 1 {
            let state: TrainingState = read_container(Trainer::checkpoint_path(folder.path())).unwrap();
            assert_eq!(state.optimizer.steps, at - 1);
            state::restore(&mut trapped(), &state.parameters, "the checkpoint").unwrap();
        }
        // Without a folder a run does not end as if nothing had happened.
        let mut optimizer = Overflowing { inner: Sgd::new(0.1), at: EPOCHS * BATCHES as u64 };
        let trainer = Trainer::new(EPOCHS).progress(Progress::Silent);
        assert!(trainer.run(&mut trapped(), loss, &mut optimizer, &train, None).is_err());
    }
}

/// Adam with an infinite second moment never moves that weight again, and nothing else shows it.
#[test]
fn what_an_optimiser_remembers_is_looked_at_too() {
    let mut state = OptimizerState::default();
    state.slots.insert("w".into(), vec![vec![0.0; 24], vec![f32::INFINITY; 24]]);
    let error = state::check_finite(&trapped(), &state).unwrap_err().to_string();
    assert!(
        error.starts_with("the optimiser's memory of w holds inf after an update: lower the learning rate"),
        "{error}"
    );
}

/// Such as versions before this one wrote.
#[test]
fn a_checkpoint_with_nan_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), 1, None).1.unwrap();
    let path = Trainer::checkpoint_path(folder.path());
    let mut state: TrainingState = read_container(&path).unwrap();
    let mut broken = trapped();
    broken.parameters_mut().value_mut("w").unwrap().data_mut()[3] = f32::NAN;
    state.parameters = state::snapshot(&broken);
    write_container(&path, &state).unwrap();
    let error = run(folder.path(), 1, None).1.unwrap_err().to_string();
    assert!(error.ends_with("checkpoint.ocelli: does not fit the model: w holds NaN"), "{error}");
}
