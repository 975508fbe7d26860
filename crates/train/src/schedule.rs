//! Schedules of the learning rate.

use serde::{Deserialize, Serialize};

/// A factor of the learning rate as a function of the time in epochs, fractions included.
///
/// ```
/// use ocelli_train::Schedule;
/// let schedule = Schedule::warm_up(1.0, Schedule::Cosine { last: 0.0 });
/// assert_eq!(schedule.factor(0.5, 10.0), 0.5);
/// assert!(schedule.factor(10.0, 10.0) < 1e-6);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Schedule {
    /// The factor is always 1.
    #[default]
    Constant,
    /// The factor is multiplied by `factor` after every `every` epochs.
    Step {
        /// The number of epochs from one change to the next.
        every: f32,
        /// The multiplier of each change.
        factor: f32,
    },
    /// The factor is multiplied by `factor` at each of these times.
    MultiStep {
        /// The times of the changes in epochs, ascending.
        at: Vec<f32>,
        /// The multiplier of each change.
        factor: f32,
    },
    /// The factor is constant over `epochs`, and follows another schedule after that: a small rate until a deep network has
    /// found a direction (He et al. 2015, section 4.2, for 110 layers).
    ConstantWarmUp {
        /// The length of the warm-up in epochs.
        epochs: f32,
        /// The factor until then.
        factor: f32,
        /// The schedule after it; its time starts at 0.
        then: Box<Schedule>,
    },
    /// The factor follows half a cosine from 1 to `last` (Loshchilov and Hutter 2017, without restarts).
    Cosine {
        /// The factor at the end.
        last: f32,
    },
    /// The factor rises linearly from 0 to 1 over `epochs`, and follows another schedule after that.
    WarmUp {
        /// The length of the warm-up in epochs.
        epochs: f32,
        /// The schedule after it; its time starts at 0.
        then: Box<Schedule>,
    },
    /// The factor rises from `first` to 1 at the share `peak` of the time, then falls to `last`, both by half a cosine (Smith
    /// and Topin 2018, in PyTorch's form).
    OneCycle {
        /// The share of the time at which the factor is 1.
        peak: f32,
        /// The factor at the start.
        first: f32,
        /// The factor at the end.
        last: f32,
    },
    /// The factor is multiplied by `factor` when the validation loss (without validation, the training loss) has not fallen by
    /// a share of `threshold` for more than `patience` epochs.
    Plateau {
        /// The multiplier of each change.
        factor: f32,
        /// The number of epochs without improvement after which the factor stays.
        patience: usize,
        /// The smallest relative decrease of the loss that counts as an improvement.
        threshold: f32,
    },
}

/// The state of a schedule, which only a plateau has.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PlateauState {
    factor: f32,
    best: f32,
    waited: usize,
}

impl Default for PlateauState {
    fn default() -> PlateauState {
        PlateauState { factor: 1.0, best: f32::INFINITY, waited: 0 }
    }
}

/// Interpolates from `a` to `b` by half a cosine, as `share` goes from 0 to 1.
fn half_cosine(a: f32, b: f32, share: f64) -> f32 {
    let cosine = (std::f64::consts::PI * share.clamp(0.0, 1.0)).cos();
    (f64::from(b) + (f64::from(a) - f64::from(b)) * (1.0 + cosine) / 2.0) as f32
}

impl Schedule {
    /// Creates a linear warm-up of so many epochs before another schedule (Goyal et al. 2017).
    pub fn warm_up(epochs: f32, then: Schedule) -> Schedule {
        Schedule::WarmUp { epochs, then: Box::new(then) }
    }

    /// Returns the factor at `time` of `total`, both in epochs. A plateau's own factor is 1 here: the
    /// [`Trainer`](crate::Trainer) keeps count of it.
    pub fn factor(&self, time: f64, total: f64) -> f32 {
        match self {
            Schedule::Constant | Schedule::Plateau { .. } => 1.0,
            Schedule::Step { every, factor } => factor.powf((time / f64::from(*every).max(1e-9)).floor() as f32),
            Schedule::MultiStep { at, factor } => {
                factor.powi(at.iter().filter(|when| time >= f64::from(**when)).count() as i32)
            }
            Schedule::Cosine { last } => half_cosine(1.0, *last, time / total.max(1e-9)),
            Schedule::WarmUp { epochs, then } => {
                let epochs = f64::from(*epochs);
                if time < epochs { (time / epochs) as f32 } else { then.factor(time - epochs, total - epochs) }
            }
            Schedule::ConstantWarmUp { epochs, factor, then } => {
                let epochs = f64::from(*epochs);
                if time < epochs { *factor } else { then.factor(time - epochs, total - epochs) }
            }
            Schedule::OneCycle { peak, first, last } => {
                let (share, peak) = (time / total.max(1e-9), f64::from(*peak));
                if share < peak {
                    half_cosine(*first, 1.0, share / peak)
                } else {
                    half_cosine(1.0, *last, (share - peak) / (1.0 - peak).max(1e-9))
                }
            }
        }
    }

    /// Updates a plateau's factor after an epoch with this loss.
    pub(crate) fn observe(&self, loss: f32, state: &mut PlateauState) {
        if let Schedule::WarmUp { then, .. } | Schedule::ConstantWarmUp { then, .. } = self {
            return then.observe(loss, state);
        }
        let Schedule::Plateau { factor, patience, threshold } = *self else { return };
        if loss < state.best * (1.0 - threshold) {
            (state.best, state.waited) = (loss, 0);
            return;
        }
        state.waited += 1;
        if state.waited > patience {
            state.factor *= factor;
            state.waited = 0;
        }
    }
}

impl PlateauState {
    pub(crate) fn factor(&self) -> f32 {
        self.factor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f32, b: f32) {
        assert!((a - b).abs() < 1e-6, "{a} instead of {b}");
    }

    #[test]
    fn factors_at_known_times() {
        close(Schedule::Constant.factor(7.0, 10.0), 1.0);
        let step = Schedule::Step { every: 30.0, factor: 0.1 };
        close(step.factor(29.9, 90.0), 1.0);
        close(step.factor(30.0, 90.0), 0.1);
        close(step.factor(60.0, 90.0), 0.01);
        let multi = Schedule::MultiStep { at: vec![82.0, 123.0], factor: 0.1 };
        close(multi.factor(81.9, 164.0), 1.0);
        close(multi.factor(82.0, 164.0), 0.1);
        close(multi.factor(150.0, 164.0), 0.01);
        let cosine = Schedule::Cosine { last: 0.1 };
        close(cosine.factor(0.0, 10.0), 1.0);
        close(cosine.factor(5.0, 10.0), 0.55);
        close(cosine.factor(10.0, 10.0), 0.1);
        let warm = Schedule::warm_up(2.0, Schedule::Cosine { last: 0.0 });
        close(warm.factor(1.0, 10.0), 0.5);
        close(warm.factor(2.0, 10.0), 1.0);
        close(warm.factor(6.0, 10.0), 0.5);
        let then = Box::new(Schedule::MultiStep { at: vec![4.0], factor: 0.1 });
        let low = Schedule::ConstantWarmUp { epochs: 1.0, factor: 0.2, then };
        close(low.factor(0.0, 10.0), 0.2);
        close(low.factor(0.99, 10.0), 0.2);
        close(low.factor(1.0, 10.0), 1.0);
        close(low.factor(5.0, 10.0), 0.1);
        let cycle = Schedule::OneCycle { peak: 0.3, first: 0.04, last: 0.0004 };
        close(cycle.factor(0.0, 10.0), 0.04);
        close(cycle.factor(3.0, 10.0), 1.0);
        close(cycle.factor(6.5, 10.0), 0.5002);
        close(cycle.factor(10.0, 10.0), 0.0004);
    }

    #[test]
    fn a_plateau_waits_and_then_falls() {
        let plateau = Schedule::Plateau { factor: 0.5, patience: 1, threshold: 0.01 };
        let mut state = PlateauState::default();
        let mut factors = Vec::new();
        for loss in [1.0, 0.5, 0.499, 0.498, 0.2, 0.2, 0.2] {
            plateau.observe(loss, &mut state);
            factors.push(state.factor());
        }
        assert_eq!(factors, [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25]);
    }

    #[test]
    fn schedules_are_settings() {
        let schedule = Schedule::warm_up(5.0, Schedule::MultiStep { at: vec![30.0], factor: 0.1 });
        let text = serde_json::to_string(&schedule).unwrap();
        assert_eq!(serde_json::from_str::<Schedule>(&text).unwrap(), schedule);
    }
}
