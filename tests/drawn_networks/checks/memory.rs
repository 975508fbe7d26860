//! Memory is what was promised, and nothing is allocated after the first run. What is counted is of the whole process, in
//! which nothing else runs.

use super::{gradients::WRT, threads::THREE, unless_refused};
use crate::{HEAP, case::Case};
use ocelli::graph::Plan;

/// Bytes beside the numbers: handles, names, and what the allocator adds for alignment.
const HANDLES: usize = 4 << 10;

pub fn check(case: &Case) -> Result<bool, String> {
    let in_inference = inference(case)?;
    let in_training = training(case)?;
    Ok(in_inference || in_training)
}

fn inference(case: &Case) -> Result<bool, String> {
    let inference = case.fast.inference(case.network.batch).map_err(|error| error.to_string())?;
    let plan = inference.plan();
    settle();
    let before = HEAP.current_usage();
    let mut session = inference.session();
    expect("a session", HEAP.current_usage() - before, plan.arena_bytes())?;
    if unless_refused(session.run(&case.batch))?.is_none() {
        return Ok(false);
    }
    expect_nothing("a session", || session.run(&case.batch).is_ok())?;
    Ok(true)
}

fn training(case: &Case) -> Result<bool, String> {
    let Some(mut objective) = unless_refused(case.objective(&case.fast, WRT))? else { return Ok(false) };
    let plan = objective.plan(&case.fast, case.network.batch).map_err(|error| error.to_string())?;
    let (arena, most) = (plan.arena_bytes(), plan.peak_bytes());
    expect_whole(plan)?;
    settle();
    HEAP.reset_peak_usage();
    let before = HEAP.current_usage();
    if unless_refused(objective.evaluate(&case.fast, &case.batch))?.is_none() {
        return Ok(false);
    }
    if objective.allocated_bytes() != arena {
        return Err(format!("training: the arena has {} bytes, promised were {arena}", objective.allocated_bytes()));
    }
    let grown = HEAP.peak_usage() - before;
    // A large buffer of a thread is reserved as two huge pages at least, of which only what is touched counts.
    let reserved = if most - arena >= 2 << 20 { 16 << 20 } else { 0 };
    if grown > most + reserved + HANDLES {
        return Err(format!("training: {grown} bytes were allocated, promised were {most}"));
    }
    expect_nothing("a step", || objective.evaluate(&case.fast, &case.batch).is_ok())?;
    Ok(true)
}

/// Waits until every thread of every pool has reserved what earlier runs told it to: a run itself waits for no thread that it does
/// not need.
fn settle() {
    rayon::broadcast(|_| ());
    THREE.broadcast(|_| ());
}

/// A plan's parts are its whole, and no layout needs less than its bound.
fn expect_whole(plan: &Plan) -> Result<(), String> {
    let (arena, constants, scratch) = (plan.arena_bytes(), plan.constant_bytes(), plan.scratch_bytes());
    if plan.peak_bytes() != arena + constants + scratch || plan.bound_bytes() > arena + constants {
        return Err(format!("a plan of {} bytes has {arena}, {constants} and {scratch}", plan.peak_bytes()));
    }
    Ok(())
}

fn expect(who: &str, grown: usize, promised: usize) -> Result<(), String> {
    if (promised..promised + HANDLES).contains(&grown) {
        return Ok(());
    }
    Err(format!("{who}: {grown} bytes were allocated, promised were {promised}"))
}

/// Checks that a run allocates nothing. Threads of other pools may still be falling asleep at first, and allocate for that.
fn expect_nothing(who: &str, mut run: impl FnMut() -> bool) -> Result<(), String> {
    let mut most = 0;
    for _ in 0..4 {
        settle();
        let before = HEAP.current_usage();
        HEAP.reset_peak_usage();
        let ran = run();
        most = HEAP.peak_usage().saturating_sub(before);
        if !ran {
            return Err(format!("{who}: what ran once is refused the second time"));
        }
        if most == 0 {
            return Ok(());
        }
    }
    Err(format!("{who}: {most} bytes were allocated after the first run"))
}
