//! Inner loops in the listing of a disassembler.

use std::{
    collections::HashMap,
    fmt,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

/// Fewest multiply-adds with which a loop counts as one of the kernels'.
const MULTIPLY_ADDS: usize = 8;

/// Instruction set that a loop was compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Set {
    Portable,
    Avx2,
    Avx512,
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Set::Portable => "portable",
            Set::Avx2 => "avx2",
            Set::Avx512 => "avx512",
        })
    }
}

/// An innermost loop with multiply-adds.
#[derive(Clone, Debug)]
pub struct InnerLoop {
    /// Full name of the function that contains the loop.
    pub function: String,
    pub set: Set,
    /// Instructions of the loop, from the target of the backward jump up to the jump.
    pub body: Vec<String>,
}

impl InnerLoop {
    /// Returns the number of multiply-adds of vectors; on the portable set, which has none, of multiplications.
    pub fn multiply_adds(&self) -> usize {
        self.body.iter().filter(|instruction| is_multiply_add(self.set, instruction)).count()
    }

    /// Returns the number of vectors that are read from or written to the stack.
    pub fn stack_accesses(&self) -> usize {
        // `%rbp` is a register like others: a release build has no frame pointers.
        let on_stack = |text: &&String| text.contains("(%rsp") && has_vector(text);
        self.body.iter().filter(on_stack).count()
    }
}

/// Returns true if this is a multiply-add of whole vectors.
pub fn is_multiply_add(set: Set, instruction: &str) -> bool {
    match set {
        Set::Portable => instruction.starts_with("mulps") || instruction.starts_with("vmulps"),
        Set::Avx2 | Set::Avx512 => {
            let fused = ["vfmadd", "vfnmadd", "vfmsub"].iter().any(|name| instruction.starts_with(name));
            fused && instruction.split_whitespace().next().is_some_and(|name| name.ends_with("ps"))
        }
    }
}

fn has_vector(instruction: &str) -> bool {
    ["%xmm", "%ymm", "%zmm"].iter().any(|register| instruction.contains(register))
}

/// The inner loops of a program, and the intrinsics that it calls.
#[derive(Debug, Default)]
pub struct Listing {
    /// Inner loops with multiply-adds.
    pub loops: Vec<InnerLoop>,
    /// Intrinsics of vectors that are functions, which a kernel then calls for each vector: the closure of a function that does not
    /// require the instruction set, such as that of `array::map`, cannot take them in.
    pub functions: Vec<String>,
}

/// Reads the listing of a program.
///
/// # Errors
/// A sentence if `objdump` cannot be run or the program is not there.
pub fn of_program(path: &str) -> Result<Listing, String> {
    let failed = |error: &dyn fmt::Display| format!("objdump (of binutils) on {path}: {error}");
    let mut objdump = Command::new("objdump")
        .args(["--disassemble", "--demangle", "--no-show-raw-insn", path])
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(&error))?;
    let listing = BufReader::new(objdump.stdout.take().expect("it was asked for"));
    let mut found = Listing::default();
    let mut function = Function::default();
    for line in listing.lines() {
        let line = line.map_err(|error| failed(&error))?;
        if let Some((_, name)) = line.strip_suffix(">:").and_then(|line| line.split_once(" <")) {
            if name.starts_with("core::core_arch::") && name.contains("::_mm") {
                found.functions.push(name.to_string());
            }
            found.loops.extend(std::mem::replace(&mut function, Function::named(name)).inner_loops());
        } else if let Some((address, instruction)) = line.trim_start().split_once(":\t")
            && let Ok(address) = u64::from_str_radix(address, 16)
        {
            function.instructions.push((address, instruction.trim().to_string()));
        }
    }
    found.loops.extend(function.inner_loops());
    let status = objdump.wait().map_err(|error| failed(&error))?;
    if status.success() { Ok(found) } else { Err(failed(&status)) }
}

#[derive(Default)]
struct Function {
    name: String,
    instructions: Vec<(u64, String)>,
}

impl Function {
    fn named(name: &str) -> Function {
        Function { name: name.to_string(), instructions: Vec::new() }
    }

    /// Returns the set that the function is compiled for; `None` if it is none of the kernels'.
    fn set(&self) -> Option<Set> {
        let sets = [("avx512", Set::Avx512), ("avx2", Set::Avx2), ("ortable", Set::Portable)];
        let of_kernels = self.name.contains("ocelli");
        sets.into_iter().find(|(name, _)| of_kernels && self.name.contains(name)).map(|(_, set)| set)
    }

    fn inner_loops(self) -> Vec<InnerLoop> {
        let Some(set) = self.set() else { return Vec::new() };
        let places: HashMap<u64, usize> = self.instructions.iter().enumerate().map(|(i, (at, _))| (*at, i)).collect();
        let back = |(end, (_, instruction)): (usize, &(u64, String))| {
            let mut words = instruction.split_whitespace();
            let target = words.next().filter(|name| name.starts_with('j')).and(words.next())?;
            let begin = *places.get(&u64::from_str_radix(target, 16).ok()?)?;
            (begin < end).then_some((begin, end))
        };
        let spans: Vec<(usize, usize)> = self.instructions.iter().enumerate().filter_map(back).collect();
        let has_no_loop = |&&(begin, end): &&(usize, usize)| {
            !spans.iter().any(|&(b, e)| (b, e) != (begin, end) && begin <= b && e <= end)
        };
        let body = |&(begin, end): &(usize, usize)| InnerLoop {
            function: self.name.clone(),
            set,
            body: self.instructions[begin..=end].iter().map(|(_, text)| text.clone()).collect(),
        };
        let loops = spans.iter().filter(has_no_loop).map(body);
        loops.filter(|inner| inner.multiply_adds() >= MULTIPLY_ADDS).collect()
    }
}
