//! Tests that files written by `torch.save` are read exactly.

use super::torch_writer::*;
use crate::weights::*;
use zip::CompressionMethod;

fn open(bytes: Vec<u8>) -> Result<WeightFile, String> {
    WeightFile::from_bytes("w.pth", bytes).map_err(|error| error.to_string())
}

fn error(file: &TorchFile) -> String {
    let errors: Vec<String> = file.forms().into_iter().map(|(_, bytes)| open(bytes).unwrap_err()).collect();
    assert!(errors.iter().all(|error| *error == errors[0]), "{errors:?}");
    errors[0].clone()
}

fn one_tensor(storage: Storage, tensor: Py) -> TorchFile {
    TorchFile { root: dict([("x", tensor)]), storages: vec![storage] }
}

#[test]
fn views_of_storages() {
    let numbers: Vec<f32> = (0..24).map(|i| i as f32).collect();
    let file = TorchFile {
        root: Py::Ordered(vec![
            ("whole".into(), view(0, 0, &[2, 3, 4], &[12, 4, 1])),
            ("transposed".into(), view(0, 0, &[4, 6], &[1, 4])),
            ("permuted".into(), view(0, 0, &[4, 2, 3], &[1, 12, 4])),
            ("part".into(), view(0, 5, &[2, 2], &[12, 1])),
            ("row".into(), view(0, 8, &[4], &[1])),
            ("parameter".into(), {
                let Py::Tensor(view) = view(1, 0, &[2], &[1]) else { unreachable!() };
                Py::Parameter(view)
            }),
            ("scalar".into(), view(1, 1, &[], &[])),
            ("empty".into(), view(2, 0, &[0, 3], &[3, 1])),
            ("expanded".into(), view(1, 0, &[3, 2], &[0, 1])),
        ]),
        storages: vec![floats(&numbers), floats(&[-1.0, -2.0]), floats(&[])],
    };
    for (form, bytes) in file.forms() {
        let mut file = open(bytes).unwrap_or_else(|error| panic!("{form}: {error}"));
        let expected = if form.contains("zip") { WeightFormat::TorchZip } else { WeightFormat::TorchLegacy };
        assert_eq!(file.format(), expected);
        let mut check = |name: &str, shape: &[usize], numbers: Vec<f32>| {
            assert_eq!(file.info(name).unwrap().shape, shape, "{form}: {name}");
            let tensor = file.read(name).unwrap();
            assert_eq!((tensor.shape(), tensor.data()), (shape, &numbers[..]), "{form}: {name}");
        };
        check("whole", &[2, 3, 4], numbers.clone());
        check("transposed", &[4, 6], (0..24).map(|i| (i / 6 + i % 6 * 4) as f32).collect());
        check("permuted", &[4, 2, 3], (0..24).map(|i| (i / 6 + i / 3 % 2 * 12 + i % 3 * 4) as f32).collect());
        check("part", &[2, 2], vec![5.0, 6.0, 17.0, 18.0]);
        check("row", &[4], vec![8.0, 9.0, 10.0, 11.0]);
        check("parameter", &[2], vec![-1.0, -2.0]);
        check("scalar", &[], vec![-2.0]);
        check("empty", &[0, 3], vec![]);
        check("expanded", &[3, 2], vec![-1.0, -2.0, -1.0, -2.0, -1.0, -2.0]);
        assert_eq!(file.tensors().count(), 9);
    }
}

#[test]
fn every_kind_of_number() {
    let kinds: [(&str, DType, Vec<u8>, f32); 10] = [
        ("FloatStorage", DType::F32, 1.5f32.to_le_bytes().into(), 1.5),
        ("DoubleStorage", DType::F64, 1.5f64.to_le_bytes().into(), 1.5),
        ("HalfStorage", DType::F16, vec![0x00, 0x3E], 1.5),
        ("BFloat16Storage", DType::BF16, vec![0xC0, 0x3F], 1.5),
        ("LongStorage", DType::I64, (-2i64).to_le_bytes().into(), -2.0),
        ("IntStorage", DType::I32, (-2i32).to_le_bytes().into(), -2.0),
        ("ShortStorage", DType::I16, (-2i16).to_le_bytes().into(), -2.0),
        ("CharStorage", DType::I8, vec![0xFE], -2.0),
        ("ByteStorage", DType::U8, vec![0xFE], 254.0),
        ("BoolStorage", DType::Bool, vec![1], 1.0),
    ];
    for (class, dtype, bytes, number) in kinds {
        let file = one_tensor(Storage { class, len: 1, bytes: bytes.clone() }, view(0, 0, &[1], &[1]));
        for (form, bytes) in file.forms() {
            let mut file = open(bytes).unwrap_or_else(|error| panic!("{form}: {error}"));
            assert_eq!(file.info("x").unwrap().dtype, dtype);
            assert_eq!(file.read("x").unwrap().data(), [number], "{form}: {class}");
        }
        let bytes = bytes.into_iter().rev().collect();
        let file = one_tensor(Storage { class, len: 1, bytes }, view(0, 0, &[1], &[1]));
        let file = file.zip_with(Protocol::Two, CompressionMethod::Stored, &[("byteorder", b"big")]);
        assert_eq!(open(file).unwrap().read("x").unwrap().data(), [number], "big-endian {class}");
    }
}

#[test]
fn numbers_of_several_pieces() {
    let numbers: Vec<f32> = (0..300_000).map(|i| i as f32).collect();
    let file = TorchFile {
        root: dict([("all", view(0, 0, &[300_000], &[1])), ("rest", view(0, 1000, &[299, 1000], &[1, 299]))]),
        storages: vec![floats(&numbers)],
    };
    for (form, bytes) in file.forms() {
        let mut file = open(bytes).unwrap();
        assert_eq!(file.read("all").unwrap().data(), numbers, "{form}");
        let rest = file.read("rest").unwrap();
        assert_eq!((rest[[0, 0]], rest[[298, 0]], rest[[1, 999]]), (1000.0, 1298.0, 1001.0 + 299.0 * 999.0), "{form}");
    }
}

#[test]
fn state_dicts_in_checkpoints() {
    let tensor = || view(0, 0, &[1], &[1]);
    let storages = vec![floats(&[1.0])];
    let names = |root: Py, entry: Option<&str>| -> Result<Vec<String>, String> {
        let bytes = TorchFile { root, storages: storages.clone() }.zip(Protocol::Two, CompressionMethod::Stored);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.pth");
        std::fs::write(&path, bytes).unwrap();
        let file = match entry {
            Some(entry) => WeightFile::open_entry(&path, entry),
            None => WeightFile::open(&path),
        };
        let file = file.map_err(|error| error.to_string().split_once(": ").unwrap().1.to_string())?;
        Ok(file.tensors().map(|(name, _)| name.to_string()).collect())
    };
    let optimizer = || dict([("state", dict([("0", dict([("momentum", tensor())]))]))]);
    let a = || dict([("a", tensor())]);
    let b = || dict([("b", tensor()), ("extra", Py::Int(1))]);

    assert_eq!(
        names(dict([("state_dict", a()), ("epoch", Py::Int(3)), ("optimizer", optimizer())]), None).unwrap(),
        ["a"]
    );
    assert_eq!(names(dict([("ema", a()), ("epoch", Py::Int(3))]), None).unwrap(), ["a"], "the only one");
    assert_eq!(names(dict([("model", dict([("state_dict", b())]))]), None).unwrap(), ["b"]);
    assert_eq!(names(dict([("model", a()), ("state_dict", b())]), None).unwrap(), ["b"], "the more usual one");
    assert_eq!(names(dict([("a", tensor()), ("model", b())]), None).unwrap(), ["a"], "tensors at the top");
    let two = || dict([("generator", a()), ("inner", dict([("ema", b())]))]);
    assert_eq!(names(two(), Some("inner.ema")).unwrap(), ["b"]);
    assert_eq!(
        names(two(), None).unwrap_err(),
        "holds several state dicts, of which one has to be chosen: \"generator\", \"inner.ema\" (WeightFile::open_entry opens \
         the file at one)"
    );
    assert_eq!(names(two(), Some("ema")).unwrap_err(), "holds no state dict \"ema\" but \"generator\", \"inner.ema\"");
    for none in [dict([]), Py::Int(1), tensor(), dict([("epoch", Py::Int(1))])] {
        assert_eq!(names(none, None).unwrap_err(), "it holds no dict of tensors");
    }

    let root = dict([("state_dict", a()), ("epoch", Py::Int(300)), ("best", Py::Float(0.5)), ("arch", text("vgg"))]);
    let file = open(TorchFile { root, storages }.zip(Protocol::Four, CompressionMethod::Stored)).unwrap();
    let metadata = [("arch", "vgg"), ("best", "0.5"), ("epoch", "300")];
    assert_eq!(*file.metadata(), Metadata::from(metadata.map(|(key, value)| (key.to_string(), value.to_string()))));
}

#[test]
fn what_no_state_dict_needs_is_refused_by_name() {
    for (module, name) in [("posix", "system"), ("builtins", "eval"), ("torch.nn.modules.linear", "Linear")] {
        let root = dict([("x", view(0, 0, &[1], &[1])), ("y", Py::Call(module, name, "touch /tmp/run"))]);
        let error = error(&TorchFile { root, storages: vec![floats(&[1.0])] });
        assert!(
            error.starts_with(&format!("w.pth: refers to {module}.{name}, which no state dict needs; ")),
            "{error}"
        );
    }
    // What torch.save writes for complex numbers, for float8, and for quantised tensors.
    for (module, name) in
        [("torch", "ComplexFloatStorage"), ("torch._utils", "_rebuild_tensor_v3"), ("torch._utils", "_rebuild_qtensor")]
    {
        let error = error(&one_tensor(floats(&[1.0]), Py::Call(module, name, "x")));
        assert_eq!(
            error,
            format!(
                "w.pth: refers to {module}.{name}, for a tensor of a kind that cannot be read, such as complex, float8, \
                 quantised or sparse; from Python, convert it to float32 before it is saved"
            )
        );
    }
    let call = one_tensor(floats(&[1.0]), Py::Call("collections", "OrderedDict", "x"));
    assert_eq!(error(&call), "w.pth: its pickle calls something with arguments that state dicts do not use");
}

#[test]
fn views_stay_within_their_storages() {
    let beyond = |tensor: Py| error(&one_tensor(floats(&[1.0, 2.0, 3.0]), tensor));
    assert_eq!(beyond(view(0, 0, &[4], &[1])), "w.pth: x: a view of [4] values goes beyond the 3 of its storage");
    for tensor in [
        view(0, 2, &[2], &[1]),
        view(0, i64::MAX, &[1], &[1]),
        view(0, 0, &[2, 2], &[2, 1]),
        view(0, 0, &[2], &[i64::MAX]),
        view(0, 0, &[i64::MAX, i64::MAX], &[1, 1]),
        view(0, 0, &[1 << 40, 2], &[0, 1]),
    ] {
        assert!(beyond(tensor).contains("goes beyond the 3 of its storage"));
    }
    assert_eq!(beyond(view(0, 0, &[3], &[])), "w.pth: x: 0 strides for 1 axes");
    assert_eq!(beyond(view(0, 0, &[-3], &[1])), "w.pth: its pickle has the size -3");
    assert_eq!(beyond(view(0, 0, &[1; 17], &[1; 17])), "w.pth: it holds a tensor of 17 axes, at most 16 are known");
}

#[test]
fn sizes_are_compared_with_the_file() {
    for len in [4, 1 << 40, i64::MAX] {
        let file = one_tensor(Storage { len, ..floats(&[1.0, 2.0, 3.0]) }, view(0, 0, &[len], &[1]));
        let zip = open(file.zip(Protocol::Two, CompressionMethod::Stored)).unwrap_err();
        assert_eq!(zip, format!("w.pth: x: {len} values of f32 are not within 12 bytes"));
        let legacy = open(file.legacy(Protocol::Two)).unwrap_err();
        assert!(legacy.starts_with("w.pth: the file ends too early: "), "{legacy}");
    }
}

#[test]
fn archives_of_others_are_told_apart() {
    let file = one_tensor(floats(&[1.0]), view(0, 0, &[1], &[1]));
    let script = file.zip_with(Protocol::Two, CompressionMethod::Stored, &[("constants.pkl", b"")]);
    assert!(open(script).unwrap_err().contains("a TorchScript archive"));
    let order = file.zip_with(Protocol::Two, CompressionMethod::Stored, &[("byteorder", b"middle")]);
    assert_eq!(open(order).unwrap_err(), "w.pth: the byte order \"middle\" is not known");
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    archive.start_file("a.txt", zip::write::SimpleFileOptions::default()).unwrap();
    let other = archive.finish().unwrap().into_inner();
    assert_eq!(open(other).unwrap_err(), "w.pth: a zip archive without data.pkl: torch.save did not write it");
    let gone = TorchFile { storages: vec![], ..file.clone() };
    let program = TorchFile { storages: vec![floats(&[])], ..gone };
    assert!(open(program.zip(Protocol::Two, CompressionMethod::Stored)).unwrap_err().contains("beyond the 0"));
    assert_eq!(open(b"\x80\x04K\x01.".into()).unwrap_err(), "w.pth: a pickle, but none that torch.save wrote");
    for other in [&b""[..], b"GIF89a", b"\x80\x01", &[0; 100]] {
        let error = open(other.into()).unwrap_err();
        assert_eq!(error, "w.pth: neither a safetensors file nor one that torch.save wrote");
    }
}
