//! Cycle counts of a loop by the models of `llvm-mca`.

use crate::loops::{InnerLoop, Set, is_multiply_add};
use std::{
    env, fmt,
    io::Write,
    process::{Command, Stdio},
};

/// Modelled runs of a loop.
const ITERATIONS: usize = 200;
/// Goal for the cycles of a step of a full tile over those of its multiply-adds.
const GOAL: f64 = 1.08;

/// Prints a line for the unrolled loop of every tile.
pub fn print(loops: &[InnerLoop], processors: &[&str]) -> Result<(), String> {
    print!("| set | tile | multiply-adds | instructions |");
    processors.iter().for_each(|processor| print!(" {processor} |"));
    println!("\n|---|---|---|---|{}", "---|".repeat(processors.len()));
    let mut missed = Vec::new();
    for inner in loops.iter().filter(|inner| is_tile(inner)) {
        let name = short_name(&inner.function);
        print!("| {} | {name} | {} | {} |", inner.set, inner.multiply_adds(), inner.body.len());
        for processor in processors {
            if inner.set == Set::Avx512 && *processor == "znver3" {
                print!(" – |");
                continue;
            }
            let ratio = cycles(inner, processor)? / cycles_of_multiply_adds(inner, processor)?;
            print!(" {ratio:.2} |");
            if ratio > GOAL && is_full(inner) {
                missed.push(format!("{} {name} on {processor}: {ratio:.2}", inner.set));
            }
        }
        println!();
    }
    println!("\nfull tiles over {GOAL}: {}", if missed.is_empty() { "none".into() } else { missed.join("; ") });
    Ok(())
}

/// Returns true for the loop of a tile that takes several steps at once.
fn is_tile(inner: &InnerLoop) -> bool {
    let sizes = sizes(&inner.function);
    inner.set != Set::Portable && sizes.is_some_and(|(rows, vectors)| inner.multiply_adds() > rows * vectors)
}

/// Returns true for a tile of as many rows as the registers of its set hold.
fn is_full(inner: &InnerLoop) -> bool {
    let rows = if inner.set == Set::Avx512 { 14 } else { 6 };
    sizes(&inner.function) == Some((rows, 2))
}

/// Returns the rows of a tile, and the vectors of each.
fn sizes(function: &str) -> Option<(usize, usize)> {
    let inside = function.split_once("tile::Tile<")?.1.split('>').next()?;
    let mut last = inside.rsplit(", ").map(str::parse);
    let (vectors, rows) = (last.next()?.ok()?, last.next()?.ok()?);
    Some((rows, vectors))
}

fn short_name(function: &str) -> String {
    let (rows, vectors) = sizes(function).unwrap_or_default();
    format!("{rows} × {vectors}")
}

/// Returns the cycles of one run of a loop.
fn cycles(inner: &InnerLoop, processor: &str) -> Result<f64, String> {
    modelled(inner.body.iter().map(String::as_str), processor)
}

/// Returns the cycles of a loop's multiply-adds alone.
fn cycles_of_multiply_adds(inner: &InnerLoop, processor: &str) -> Result<f64, String> {
    modelled(inner.body.iter().map(String::as_str).filter(|text| is_multiply_add(inner.set, text)), processor)
}

fn modelled<'a>(body: impl Iterator<Item = &'a str>, processor: &str) -> Result<f64, String> {
    let program = env::var("LLVM_MCA").unwrap_or_else(|_| "llvm-mca".into());
    let failed = |error: &dyn fmt::Display| format!("{program} (Debian's package llvm) -mcpu={processor}: {error}");
    let mut mca = Command::new(&program)
        .args([format!("-mcpu={processor}"), format!("-iterations={ITERATIONS}"), "-mtriple=x86_64".into()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(&error))?;
    let text: String = body.map(assembly).collect();
    mca.stdin.take().expect("it was asked for").write_all(text.as_bytes()).map_err(|error| failed(&error))?;
    let output = mca.wait_with_output().map_err(|error| failed(&error))?;
    let (said, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let total = said.lines().find_map(|line| line.strip_prefix("Total Cycles:")?.trim().parse::<f64>().ok());
    total.map(|total| total / ITERATIONS as f64).ok_or_else(|| failed(&complaint))
}

/// Returns an instruction as an assembler takes it: jumps go to the next one, comments and names of targets are left
/// out.
fn assembly(instruction: &str) -> String {
    let bare = instruction.split(['#', '<']).next().unwrap_or_default().trim();
    match bare.split_once(char::is_whitespace) {
        Some((name, _)) if name.starts_with('j') => format!("{name} 1f\n1:\n"),
        _ => format!("{bare}\n"),
    }
}
