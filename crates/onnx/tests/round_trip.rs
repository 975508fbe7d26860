//! A network that is written is read as the same network.

use ocelli_graph::{Key, Model, Node, Precision, Tensor, func};
use ocelli_models::{Metadata, by_name, channels_first, network_names, save_tensors};
use ocelli_onnx::{Export, Import};
use std::{collections::BTreeMap, path::PathBuf};

/// Networks whose weights are too many for a usual run of the tests. `OCELLI_NETWORKS` is a part of the names of those that
/// are tried, large or not.
fn is_large(name: &str) -> bool {
    ["vgg", "wide", "resnet101", "resnet152", "alexnet", "resnext", "resnet50", "resnet34", "plain34"]
        .iter()
        .any(|part| name.contains(part))
}

#[test]
fn every_network_of_the_registry_gives_the_same_bits_again() {
    let wanted = std::env::var("OCELLI_NETWORKS").ok();
    let is_tried = |name: &&str| wanted.as_ref().map_or(!is_large(name), |part| name.contains(part));
    for name in network_names().filter(is_tried) {
        let network = by_name(name, None).unwrap();
        let sample = network.sample;
        let model = Model::from_layer(network.layer, sample, 1).unwrap().with_precision(Precision::Strict);
        let bytes = Export::new().to_bytes(&model).unwrap_or_else(|error| panic!("{name}: {error}"));
        let imported = Import::new().read_bytes(&bytes, name).unwrap_or_else(|error| panic!("{name}: {error}"));
        let again = imported.model.with_precision(Precision::Strict);
        let x = Tensor::uniform([2, sample[0], sample[1], sample[2]], Key::new(7));
        let (y, z) = (model.predict(&x).unwrap(), again.predict(&x).unwrap());
        keep(name, &bytes, &x, &y);
        assert!(y.data().iter().any(|value| *value != 0.0), "{name}");
        assert!(y == z, "{name}: {:?} and {:?}", &y.data()[..3], &z.data()[..3]);
        assert_eq!(steps(&again), steps(&model), "{name}");
        let names = |model: &Model| {
            let is_known = |name: &&String| !name.is_empty();
            model.graph().names.keys().filter(is_known).cloned().collect::<Vec<_>>()
        };
        assert!(names(&again).contains(&"output".to_string()));
        let kept = names(&again).iter().filter(|known| names(&model).contains(known)).count();
        assert!(kept > 1, "{name}: layers keep their names");
    }
}

/// Labels are integers in the file; they are no input of a network that is read.
#[test]
fn labels_and_their_one_hot_rows_are_written() {
    let model = Model::trace(0, |t| t.labels("labels").one_hot(3)).unwrap();
    let bytes = Export::new().to_bytes(&model).unwrap();
    let operator = b"OneHot";
    assert!(bytes.windows(operator.len()).any(|text| text == operator));
    let error = Import::new().read_bytes(&bytes, "labels.onnx").unwrap_err().to_string();
    assert_eq!(error, "labels.onnx: one operator is not read: OneHot (\"onehot\")");
}

/// The steps of inference: the same ones take the same time.
fn steps(model: &Model) -> Vec<String> {
    model.plan(1, &["output"]).unwrap().steps().iter().map(|step| step.op().kind()).collect()
}

/// Keeps a network with one of its results for `tests/python/check_onnx.py`, where `OCELLI_ONNX_OUT` names a folder.
fn keep(name: &str, bytes: &[u8], x: &Tensor, y: &Tensor) {
    let Some(folder) = std::env::var_os("OCELLI_ONNX_OUT").map(PathBuf::from) else { return };
    std::fs::write(folder.join(format!("{name}.onnx")), bytes).unwrap();
    let tensors = BTreeMap::from([("x".to_string(), channels_first(x)), ("y".to_string(), channels_first(y))]);
    save_tensors(&tensors, folder.join(format!("{name}.safetensors")), &Metadata::new()).unwrap();
}

/// Each operation for itself.
#[test]
fn every_operation_gives_the_same_bits_again() {
    use ocelli_graph::{
        Axis, Constant,
        ops::{ConvTranspose2dOp, GroupNormOp, Interpolation},
    };
    use ocelli_kernels::{
        conv::Conv2dSettings,
        local_response::LocalResponse,
        pad::{PadMode, PadSettings},
    };
    type Network = Box<dyn Fn(&Node) -> Node>;
    let parameter = |x: &Node, name: &str, sizes: &[usize]| x.trace().parameter(name, sizes, Constant(0.7));
    let networks: Vec<(&str, Network)> = vec![
        ("activations", Box::new(|x| x.sigmoid().tanh().relu().leaky_relu(0.1).elu(0.5).abs().sqrt().exp())),
        ("functions", Box::new(|x| x.silu().gelu().gelu_tanh().scaled_tanh().erf().square().scale(2.0).shift(1.0))),
        ("clamp", Box::new(|x| x.clamp(0.2, 0.8).maximum(0.3).minimum(0.7))),
        ("channels", Box::new(move |x| x * parameter(x, "w", &[4]) + parameter(x, "b", &[4]))),
        ("pixels", Box::new(|x| x * x.mean_keeping(&[Axis::H, Axis::W]).sigmoid())),
        ("samples", Box::new(|x| x.global_avg_pool().softmax())),
        ("logarithm", Box::new(|x| x.log_softmax())),
        ("flat", Box::new(move |x| x.flatten().matmul(&parameter(x, "w", &[96, 3])))),
        ("reshape", Box::new(|x| x.reshape([24, 4]).sum_over(&[Axis::Index(1)]))),
        ("permute", Box::new(|x| x.permuted(&[0, 2, 1, 3]).relu())),
        ("parts", Box::new(|x| Node::concat(&[&x.slice(Axis::C, 1..3), &x.gather(Axis::C, &[3, 0, 0])], Axis::C))),
        ("pad", Box::new(|x| x.pad(PadSettings { mode: PadMode::Reflect, top: 1, bottom: 2, left: 0, right: 1 }))),
        ("resize", Box::new(|x| x.upsample(2, Interpolation::Nearest).upsample(2, Interpolation::Bilinear))),
        (
            "local response",
            Box::new(|x| x.local_response_norm(LocalResponse { size: 3, alpha: 0.1, beta: 0.75, k: 2.0 })),
        ),
        (
            "instances",
            Box::new(move |x| {
                x.group_norm(
                    GroupNormOp { groups: 4, epsilon: 1e-5 },
                    &parameter(x, "w", &[4]),
                    &parameter(x, "b", &[4]),
                )
            }),
        ),
        ("layers", Box::new(move |x| x.layer_norm(1e-5, &parameter(x, "w", &[4]), &parameter(x, "b", &[4])))),
        (
            "transposed",
            Box::new(move |x| {
                let settings = Conv2dSettings { stride_h: 2, stride_w: 2, ..Conv2dSettings::default() };
                x.conv_transpose2d(ConvTranspose2dOp::new(settings, [1, 0]), &parameter(x, "w", &[3, 3, 2, 4]))
            }),
        ),
        ("power", Box::new(|x| x.abs().power(1.5))),
        ("gates", Box::new(|x| x.hard_swish().mish().hard_sigmoid(0.2, 0.5).stochastic_depth(0.3))),
        ("masks", Box::new(|x| x.greater(0.5) * x + x.less_or_equal(x.mean_keeping(&[Axis::H])) + x.not_equal(0.25))),
        ("uneven windows", Box::new(|x| x.adaptive_avg_pool(3, 4))),
        ("even windows", Box::new(|x| x.adaptive_avg_pool(2, 3))),
        ("products of channels", Box::new(|x| x.gram())),
        ("rows of length one", Box::new(|x| x.global_avg_pool().l2_normalised(1e-12))),
        ("stack", Box::new(|x| Node::stack(&[&x.mean_over(&[Axis::C]), &x.sum_over(&[Axis::C])], Axis::C).relu())),
        (
            "products of samples",
            Box::new(|x| {
                let (rows, others) = (x.reshape([24, 4]), x.relu().reshape([24, 4]));
                rows.transposed_matmul(&others).matmul_transposed(&others)
            }),
        ),
    ];
    for (name, network) in networks {
        let model = Model::from_layer(func(network), [4, 6, 4], 1).unwrap_or_else(|error| panic!("{name}: {error}"));
        let bytes = Export::new().to_bytes(&model).unwrap_or_else(|error| panic!("{name}: {error}"));
        let imported = Import::new().read_bytes(&bytes, name).unwrap_or_else(|error| panic!("{error}"));
        let x = Tensor::uniform([2, 4, 6, 4], Key::new(7));
        let (y, z) = (model.predict(&x).unwrap(), imported.model.predict(&x).unwrap());
        keep(&format!("operations of {name}"), &bytes, &x, &y);
        assert_eq!(y.shape(), z.shape(), "{name}");
        assert!(y == z, "{name}: {:?} and {:?}", &y.data()[..3], &z.data()[..3]);
    }
}
