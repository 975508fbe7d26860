//! How the learning rate changes.

use serde::{Deserialize, Serialize};

/// What the learning rate is multiplied with, as a function of the time in epochs (fractions count).
///
/// ```
/// use ocelli_train::Schedule;
/// let schedule = Schedule::warm_up(1.0, Schedule::Cosine { last: 0.0 });
/// assert_eq!(schedule.factor(0.5, 10.0), 0.5);
/// assert!(schedule.factor(10.0, 10.0) < 1e-6);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Schedule {
    /// Always 1.
    #[default]
    Constant,
    /// Multiplied by `factor` after every `every` epochs.
    Step {
        /// Epochs from one change to the next.
        every: f32,
        /// What it is multiplied with.
        factor: f32,
    },
    /// Multiplied by `factor` at each of these times.
    MultiStep {
        /// When, in epochs, ascending.
        at: Vec<f32>,
        /// What it is multiplied with.
        factor: f32,
    },
    /// Always `factor` over `epochs`, then another schedule over what is left: a small rate until a deep network has found
    /// a direction (He et al. 2015, section 4.2, for 110 layers).
    ConstantWarmUp {
        /// How long.
        epochs: f32,
        /// The factor until then.
        factor: f32,
        /// What follows; its time starts at 0.
        then: Box<Schedule>,
    },
    /// Half a cosine from 1 at the start to `last` at the end (Loshchilov and Hutter 2017, without restarts).
    Cosine {
        /// The factor at the end.
        last: f32,
    },
    /// A straight line from 0 to 1 over `epochs`, then another schedule over what is left.
    WarmUp {
        /// How long.
        epochs: f32,
        /// What follows; its time starts at 0.
        then: Box<Schedule>,
    },
    /// From `first` up to 1 at the share `peak` of the time, then down to `last`, both by half a cosine (Smith and Topin
    /// 2018, as PyTorch has it).
    OneCycle {
        /// The share of the time at which the factor is 1.
        peak: f32,
        /// The factor at the start.
        first: f32,
        /// The factor at the end.
        last: f32,
    },
    /// Multiplied by `factor` when the validation loss (without validation, the training loss) has not fallen by a share
    /// of `threshold` for more than `patience` epochs.
    Plateau {
        /// What it is multiplied with.
        factor: f32,
        /// Epochs without progress that are borne.
        patience: usize,
        /// The share of the loss that counts as progress.
        threshold: f32,
    },
}

/// What a schedule remembers: only a plateau does.
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

/// From `a` to `b` by half a cosine, as `share` goes from 0 to 1.
fn half_cosine(a: f32, b: f32, share: f64) -> f32 {
    let cosine = (std::f64::consts::PI * share.clamp(0.0, 1.0)).cos();
    (f64::from(b) + (f64::from(a) - f64::from(b)) * (1.0 + cosine) / 2.0) as f32
}

impl Schedule {
    /// A warm-up of so many epochs before another schedule (Goyal et al. 2017).
    pub fn warm_up(epochs: f32, then: Schedule) -> Schedule {
        Schedule::WarmUp { epochs, then: Box::new(then) }
    }

    /// The factor at `time` of `total`, both in epochs. A plateau's own factor is 1 here: the [`Trainer`](crate::Trainer)
    /// keeps count of it.
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

    /// A plateau's factor after an epoch with this loss.
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
