//! Inspects the compiled inner loops of the kernels, for instruction sets that the machine at hand need not have.
//!
//! ```text
//! cargo build --release --example roofline
//! cargo run --release --manifest-path benches/machine_code/Cargo.toml -- stack target/release/examples/roofline
//! cargo run --release --manifest-path benches/machine_code/Cargo.toml -- cycles target/release/examples/roofline znver3
//! ```
//!
//! `stack` fails if a loop with multiply-adds keeps vectors on the stack, unless [`allowed`] has a reason, or if an intrinsic was left a
//! function, whose vectors go through memory. `cycles` prints, for the loop of every tile, the cycles of a step of the depth by the
//! model of `llvm-mca` (Debian's package `llvm`; `LLVM_MCA` names another) over those of its multiply-adds alone; without a processor,
//! for all of [`PROCESSORS`].
//!
//! Names of kernels are whole with `-C symbol-mangling-version=v0`, which `.cargo/config.toml` asks for.

mod allowed;
mod cycles;
mod loops;

use loops::{Listing, Set};
use std::{collections::BTreeMap, env, process::ExitCode};

/// Processors whose models are used by default.
const PROCESSORS: [&str; 5] = ["skylake-avx512", "cascadelake", "icelake-server", "znver3", "znver4"];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        ["stack", program] => loops::of_program(program).and_then(|found| stack(&found)),
        ["cycles", program, ref processors @ ..] => {
            let processors = if processors.is_empty() { &PROCESSORS } else { processors };
            loops::of_program(program).and_then(|found| cycles::print(&found.loops, processors))
        }
        _ => Err("usage: machine-code stack PROGRAM | machine-code cycles PROGRAM [PROCESSOR ...]".to_string()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Reports loops that keep vectors on the stack, and intrinsics that are functions.
fn stack(found: &Listing) -> Result<(), String> {
    let mut counts: BTreeMap<Set, [usize; 3]> = BTreeMap::new();
    let mut wrong = Vec::new();
    for inner in &found.loops {
        let (accesses, reason) = (inner.stack_accesses(), allowed::reason(inner));
        let [all, on_stack, explained] = counts.entry(inner.set).or_default();
        *all += 1;
        if accesses > 0 {
            *on_stack += 1;
            match reason {
                Some(_) => *explained += 1,
                None => wrong.push(format!(
                    "{}: {accesses} accesses of the stack beside {} multiply-adds: {}",
                    inner.set,
                    inner.multiply_adds(),
                    inner.function
                )),
            }
        }
    }
    for (set, [all, on_stack, explained]) in &counts {
        println!(
            "{set}: {all} loops with multiply-adds, {on_stack} of them with vectors on the stack, {explained} of these for a reason"
        );
    }
    for set in [Set::Portable, Set::Avx2, Set::Avx512] {
        if !counts.contains_key(&set) {
            return Err(format!("no loop of {set} was found: is this a release build of a program with the kernels?"));
        }
    }
    wrong.extend(found.functions.iter().map(|name| format!("{name} is called as a function")));
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}
