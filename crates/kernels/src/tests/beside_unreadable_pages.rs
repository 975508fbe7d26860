//! Kernels on operands with an unreadable page right before or right behind: whoever reads or writes outside of an operand, even
//! by a number, ends the process there. Results have the same bits as those of operands in the middle of memory.
//!
//! Cases are drawn: a few by default, and as many as `OCELLI_CASES` says.

mod convolution;
mod memory;
mod normalisation;
mod pooling;
mod products;
mod rows_and_elements;

use std::sync::{Mutex, PoisonError};

use ocelli_simd::InstructionSet;

use self::memory::{Operand, Side, tell_in_case_of_a_fault};
use super::draw::{Draw, cases};

/// One family of kernels at a time, so that a fault is told with its own case.
static RUNNING: Mutex<()> = Mutex::new(());

/// Calls `f` with drawn cases.
fn each_case(short: usize, f: impl Fn(&mut Draw)) {
    let _alone = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    (0..cases(short)).for_each(|case| f(&mut Draw::of_case(case)));
}

/// Slices that a kernel reads, and those that it writes.
type Run<'a> = &'a dyn Fn(&[&[f32]], &mut [&mut [f32]]);

/// Runs a kernel on every instruction set, on operands beside unreadable pages on either side. `outputs` says what is in the
/// written ones before; it is asked once for each set, because what kernels prepare depends on it.
fn check(what: &str, inputs: &[&[f32]], outputs: &dyn Fn() -> Vec<Vec<f32>>, run: Run<'_>) {
    for set in InstructionSet::available() {
        set.scoped(|| {
            let before = outputs();
            let mut expected = before.clone();
            run(inputs, &mut expected.iter_mut().map(Vec::as_mut_slice).collect::<Vec<_>>());
            for side in [Side::Before, Side::Behind] {
                tell_in_case_of_a_fault(format!("{what} on {set}, {side:?}"));
                let inputs: Vec<Operand> = inputs.iter().map(|x| Operand::beside(side, x)).collect();
                let mut outputs: Vec<Operand> = before.iter().map(|y| Operand::beside(side, y)).collect();
                let inputs: Vec<&[f32]> = inputs.iter().map(|x| &**x).collect();
                run(&inputs, &mut outputs.iter_mut().map(|y| &mut **y).collect::<Vec<_>>());
                for (number, (got, expected)) in outputs.iter().zip(&expected).enumerate() {
                    let same = got.iter().zip(expected).all(|(got, expected)| got.to_bits() == expected.to_bits());
                    assert!(same, "{what} on {set}, {side:?}: result {number} depends on where operands lie");
                }
            }
        });
    }
}

/// A written operand of which every element is to be written.
fn unwritten(length: usize) -> Vec<f32> {
    vec![f32::NAN; length]
}
