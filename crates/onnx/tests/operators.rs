//! The official tests of single operators, where their archive is there.

use flate2::read::GzDecoder;
use ocelli_graph::{Batch, Tensor};
use ocelli_models::{channels_first, channels_last};
use ocelli_onnx::{Constant, Elements, Import, OutputKind, read_tensor_file};
use std::{collections::BTreeMap, io::Read, path::Path};

/// Relative to this crate.
const ARCHIVE: &str = "../../../shared/data/onnx-tests.tar.gz";
/// Tests whose expected values two implementations do not agree on.
const UNDECIDED: [&str; 2] =
    ["test_resize_downsample_scales_linear_align_corners", "test_resize_downsample_scales_cubic_align_corners"];
/// Operands that are settings of their operator: those from this one on.
const SETTINGS: [(&str, usize); 12] = [
    ("Clip", 1),
    ("ConstantOfShape", 0),
    ("Dropout", 1),
    ("Gather", 1),
    ("Pad", 1),
    ("ReduceMean", 1),
    ("ReduceSum", 1),
    ("Reshape", 1),
    ("Resize", 1),
    ("Slice", 1),
    ("Split", 1),
    ("Squeeze", 1),
];

type Files = BTreeMap<String, BTreeMap<String, Vec<u8>>>;

fn files(path: &Path) -> Option<Files> {
    let mut archive = tar::Archive::new(GzDecoder::new(std::fs::File::open(path).ok()?));
    let mut files = Files::new();
    for entry in archive.entries().expect("an archive") {
        let mut entry = entry.expect("an entry");
        let path = entry.path().expect("a path").to_string_lossy().into_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("its bytes");
        let parts: Vec<&str> = path.split('/').filter(|part| *part != ".").collect();
        if let [_, test, file] = parts[..] {
            files.entry(test.into()).or_default().insert(file.into(), bytes);
        } else if let [_, "NAMES.tsv"] = parts[..] {
            files.entry(String::new()).or_default().insert("NAMES.tsv".into(), bytes);
        }
    }
    Some(files)
}

fn tensors(files: &BTreeMap<String, Vec<u8>>, kind: &str) -> Vec<(String, Constant)> {
    let count = (0..).take_while(|number| files.contains_key(&format!("{kind}_{number}.pb")));
    count.map(|number| read_tensor_file(&files[&format!("{kind}_{number}.pb")]).expect("a tensor")).collect()
}

fn numbers(constant: &Constant) -> (Vec<f32>, OutputKind) {
    match &constant.elements {
        Elements::F32(list) => (list.clone(), OutputKind::F32),
        Elements::I64(list) => (list.iter().map(|&number| number as f32).collect(), OutputKind::I64),
        Elements::Bool(list) => (list.iter().map(|&bit| f32::from(u8::from(bit))).collect(), OutputKind::Bool),
    }
}

/// Runs one test: what is wrong with the result, or why the graph is refused.
fn run(files: &BTreeMap<String, Vec<u8>>, operator: &str) -> Result<Option<String>, String> {
    let (inputs, expected) = (tensors(files, "input"), tensors(files, "output"));
    let first_setting = SETTINGS.iter().find(|(name, _)| *name == operator).map_or(usize::MAX, |(_, first)| *first);
    let first_setting = if operator == "Unsqueeze" { 1 } else { first_setting };
    let (data, settings): (Vec<_>, Vec<_>) = inputs
        .into_iter()
        .enumerate()
        .partition(|(number, (_, constant))| *number < first_setting && matches!(constant.elements, Elements::F32(_)));
    let import = settings.into_iter().fold(Import::new(), |import, (_, (name, value))| import.constant(name, value));
    let imported = import.read_bytes(&files["model.onnx"], "model.onnx").map_err(|error| error.to_string())?;
    let mut batch = Batch::new();
    for (_, (name, constant)) in &data {
        let tensor = Tensor::from_vec(constant.shape.clone(), numbers(constant).0).expect("a tensor");
        batch = batch.with(name.clone(), channels_last(&tensor));
    }
    let names: Vec<&str> = imported.outputs.iter().map(|output| output.name.as_str()).collect();
    let results = imported.model.run(&batch, &names).map_err(|error| error.to_string())?;
    for ((result, output), (name, constant)) in results.iter().zip(&imported.outputs).zip(&expected) {
        let (result, (values, kind)) = (channels_first(result), numbers(constant));
        if output.name_in_file != *name || output.elements != kind {
            return Ok(Some(format!("{output:?} for {name}, {kind:?}")));
        }
        if result.shape() != constant.shape {
            return Ok(Some(format!("{:?}, expected {:?}", result.shape(), constant.shape)));
        }
        let differs =
            |(a, b): (&f32, &f32)| !((a - b).abs() <= 1e-5 + 1e-3 * b.abs() || a.is_nan() && b.is_nan() || a == b);
        if let Some(at) = result.data().iter().zip(&values).position(differs) {
            return Ok(Some(format!("{} at {at}, expected {}", result.data()[at], values[at])));
        }
    }
    Ok((results.len() != expected.len()).then(|| format!("{} results, expected {}", results.len(), expected.len())))
}

#[test]
fn no_operator_computes_something_else() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(ARCHIVE);
    let Some(tests) = files(&path) else {
        eprintln!("skipped: there is no {}", path.display());
        return;
    };
    let names = String::from_utf8_lossy(&tests[""]["NAMES.tsv"]).into_owned();
    let (mut passed, mut refused, mut wrong) = (0, BTreeMap::<String, Vec<String>>::new(), Vec::new());
    for line in names.lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        let (Some(files), Some(operator)) = (tests.get(columns[0]), columns.get(1)) else { continue };
        match run(files, operator) {
            Ok(None) => passed += 1,
            Ok(Some(_)) if UNDECIDED.contains(&columns[0]) => {}
            Ok(Some(difference)) => wrong.push(format!("{}: {difference}", columns[0])),
            Err(reason) => refused.entry(reason).or_default().push(columns[0].into()),
        }
    }
    for (reason, tests) in &refused {
        eprintln!("{} refused: {reason} ({})", tests.len(), tests.join(", "));
    }
    let refusals: usize = refused.values().map(Vec::len).sum();
    eprintln!("{passed} passed, {refusals} refused, {} wrong", wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(passed >= MUST_PASS, "{passed}");
}

/// Tests that pass today.
const MUST_PASS: usize = 246;
