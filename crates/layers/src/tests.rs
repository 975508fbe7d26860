//! Layers in small networks: shapes, counts, and one right sentence for each mistake.

mod sizes;

use crate::*;
use ocelli_graph::{AxisRole, Batch, Key, Layer, Mode, Model, Node, Recomputed, Tensor, Wrt};

fn output_of(layer: impl ocelli_graph::Layer, sample: &[usize]) -> String {
    let model = Model::build(|x| x.apply("layer", &layer), sample, 0).unwrap_or_else(|error| panic!("{error}"));
    let id = model.graph().find("output").unwrap();
    model.graph().values[id].shape.to_string()
}

fn mistake(layer: impl ocelli_graph::Layer, sample: &[usize]) -> String {
    Model::build(|x| x.apply("layer", &layer), sample, 0).expect_err("this layer should be refused").to_string()
}

#[test]
fn shapes() {
    assert_eq!(output_of(Conv2d::new(8, 3), &[9, 7, 3]), "[N, 7, 5, 8]");
    assert_eq!(output_of(Conv2d::new(8, 3).same(), &[9, 7, 3]), "[N, 9, 7, 8]");
    assert_eq!(output_of(Conv2d::new(8, [1, 3]).stride([1, 2]).dilation([1, 2]), &[9, 9, 3]), "[N, 9, 3, 8]");
    assert_eq!(output_of(Conv2d::new(8, 3).same().stride(2), &[9, 8, 3]), "[N, 5, 4, 8]");
    assert_eq!(output_of(Conv2d::new(6, 3).groups(3).bias(false), &[5, 5, 3]), "[N, 3, 3, 6]");
    assert_eq!(output_of(MaxPool2d::new(3).stride(2), &[13, 13, 5]), "[N, 6, 6, 5]");
    assert_eq!(output_of(MaxPool2d::new(3).stride(2).ceil(), &[14, 14, 5]), "[N, 7, 7, 5]");
    assert_eq!(output_of(AvgPool2d::new(2).padding(1), &[6, 6, 5]), "[N, 4, 4, 5]");
    assert_eq!(output_of(AdaptiveAvgPool2d::new([3, 2]), &[10, 9, 5]), "[N, 3, 2, 5]");
    assert_eq!(output_of(BatchNorm::new(), &[10, 9, 5]), "[N, 10, 9, 5]");
    assert_eq!(output_of(BatchNorm::new().affine(false), &[5]), "[N, 5]");
    assert_eq!(output_of(LocalResponseNorm::of_sum(5), &[10, 9, 5]), "[N, 10, 9, 5]");
    assert_eq!(output_of(LayerNorm::new(), &[10, 9, 5]), "[N, 10, 9, 5]");
    assert_eq!(output_of(GroupNorm::new(5), &[10, 9, 5]), "[N, 10, 9, 5]");
    assert_eq!(output_of(InstanceNorm::new(), &[10, 9, 5]), "[N, 10, 9, 5]");
    assert_eq!(output_of(Pad2d::reflect([1, 2]), &[10, 9, 5]), "[N, 12, 13, 5]");
    assert_eq!(output_of(Pad2d::replicate(20), &[10, 9, 5]), "[N, 50, 49, 5]");
    assert_eq!(output_of(Pad2d::zeros([1, 2, 3, 4]), &[10, 9, 5]), "[N, 17, 12, 5]");
    assert_eq!(output_of(ConvTranspose2d::new(6, 3), &[10, 9, 5]), "[N, 12, 11, 6]");
    let twice = ConvTranspose2d::new(6, 3).stride(2).padding(Padding::uniform(1)).output_padding(1);
    assert_eq!(output_of(twice.groups(3), &[10, 9, 9]), "[N, 20, 18, 6]");
    assert_eq!(output_of(ConvTranspose2d::new(6, [1, 2]).dilation(3).bias(false), &[1, 9, 5]), "[N, 1, 12, 6]");
    assert_eq!(output_of(GlobalAvgPool, &[10, 9, 5]), "[N, 5]");
    assert_eq!(output_of(SubSampling::new(2), &[28, 28, 6]), "[N, 14, 14, 6]");
    assert_eq!(output_of(Sequential::new().then(Flatten).then(Dense::new(4)), &[2, 3, 2]), "[N, 4]");
    let branches = Branches::new().then(Conv2d::new(4, 1)).named("pool", MaxPool2d::new(3).stride(1).padding(1));
    assert_eq!(output_of(branches, &[6, 5, 3]), "[N, 6, 5, 7]");
    assert_eq!(output_of(Inception::new(64, [96, 128], [16, 32], 32), &[28, 28, 192]), "[N, 28, 28, 256]");
    assert_eq!(output_of(Inception::new(64, 128, [16, 32], None), &[28, 28, 192]), "[N, 28, 28, 416]");
    for shortcut in [Shortcut::ZeroPad, Shortcut::Projection, Shortcut::PooledProjection] {
        assert_eq!(output_of(shortcut.to(8, 2), &[7, 6, 3]), "[N, 4, 3, 8]");
    }
    assert_eq!(output_of(Residual::new(Conv2d::new(8, 3).same()), &[7, 6, 8]), "[N, 7, 6, 8]");
    assert_eq!(output_of(Bottleneck::new(4, 16).stride(2), &[7, 6, 3]), "[N, 4, 3, 16]");
    assert_eq!(
        output_of(Bottleneck::new(4, 16).stride(2).strided(Strided::First).groups(2), &[7, 6, 3]),
        "[N, 4, 3, 16]"
    );
    assert_eq!(output_of(Residual::new(Bottleneck::new(4, 16)), &[7, 6, 16]), "[N, 7, 6, 16]");
    assert_eq!(output_of(Reshape(vec![6, 2]), &[2, 3, 2]), "[N, 6, 2]");
    assert_eq!(output_of(RadialBasis::new(3, vec![1.0; 12]), &[4]), "[N, 3]");
}

#[test]
fn dense_layers_know_the_image_that_their_features_were() {
    let layout = |network: &dyn Fn(&Node) -> Node, sample: &[usize]| {
        let model = Model::build(|x| network(x).apply("fc", Dense::new(3)), sample, 0).unwrap();
        model.parameters().get("fc.weight").unwrap().axes[0].role
    };
    let image = AxisRole::FlattenedInputs { height: 2, width: 3, channels: 5 };
    assert_eq!(layout(&|x| x.flatten(), &[2, 3, 5]), image);
    let between = |x: &Node| x.flatten().relu().apply("drop", Dropout(0.5)).scale(2.0);
    assert_eq!(layout(&between, &[2, 3, 5]), image, "elementwise functions leave features where they are");
    let sum = |x: &Node| x.trace().parameter("scale", [30], Init::Constant(1.0)) * x.flatten() + x.flatten();
    assert_eq!(layout(&sum, &[2, 3, 5]), image, "so do sums and products");
    assert_eq!(layout(&|x| x.flatten(), &[1, 1, 5]), AxisRole::Inputs, "one pixel");
    assert_eq!(layout(&|x| x.global_avg_pool(), &[2, 3, 5]), AxisRole::Inputs);
    assert_eq!(layout(&|x| x.flatten().apply("1", Dense::new(4)), &[2, 3, 5]), AxisRole::Inputs);
    assert_eq!(layout(&|x| x.clone(), &[30]), AxisRole::Inputs);
}

/// The course's examples: `n − f + 1`, padding, strides, and volumes.
#[test]
fn course_arithmetic() {
    let network = |x: &Node| {
        let x = x.apply("1", Conv2d::new(10, 3)).named("37").relu();
        let x = x.apply("2", Conv2d::new(20, 5).stride(2)).named("17").relu();
        x.apply("3", Conv2d::new(40, 5).stride(2)).named("7").flatten()
    };
    let model = Model::build(network, [39, 39, 3], 0).unwrap();
    let size = |name: &str| model.graph().values[model.graph().find(name).unwrap()].shape.at(1);
    assert_eq!(size("37"), [1, 37, 37, 10]);
    assert_eq!(size("17"), [1, 17, 17, 20]);
    assert_eq!(size("7"), [1, 7, 7, 40]);
    assert_eq!(size("output"), [1, 1960]);
    assert_eq!(model.parameters().trained_count(), 280 + 5_020 + 20_040);
}

#[test]
fn a_vertical_edge_is_found() {
    let image = Tensor::from_fn([1, 6, 6, 1], |i| if i[2] < 3 { 10.0 } else { 0.0 });
    let edge = ocelli_graph::Values([1.0, 0.0, -1.0].repeat(3));
    let model = |mode| {
        let edge = edge.clone();
        Model::build(|x| x.apply("edge", Conv2d::new(1, 3).bias(false).mode(mode).weight_init(edge)), [6, 6, 1], 0)
            .unwrap()
    };
    let row = [0.0, 30.0, 30.0, 0.0];
    assert_eq!(model(ConvMode::CrossCorrelation).predict(&image).unwrap().data(), row.repeat(4));
    let flipped: Vec<f32> = row.iter().map(|v| -v).collect();
    assert_eq!(model(ConvMode::Convolution).predict(&image).unwrap().data(), flipped.repeat(4));
}

#[test]
fn a_transposed_convolution_spreads_its_filter() {
    let filter = ocelli_graph::Values(vec![1.0, 2.0, 3.0, 4.0]);
    let layer = ConvTranspose2d::new(1, 2).weight_init(filter).bias_init(Init::Constant(0.5));
    let y = |layer: ConvTranspose2d| {
        let x = Tensor::from_vec([1, 1, 2, 1], vec![1.0, 10.0]).unwrap();
        Model::build(|x| x.apply("up", &layer), [1, 2, 1], 0).unwrap().predict(&x).unwrap().data().to_vec()
    };
    assert_eq!(y(layer.clone()), [1.5, 12.5, 20.5, 3.5, 34.5, 40.5]);
    assert_eq!(y(layer.bias(false).stride(2)), [1.0, 2.0, 10.0, 20.0, 3.0, 4.0, 30.0, 40.0]);
}

#[test]
fn connections_are_those_of_the_table() {
    let table = ConnectionTable::new(3, &[&[0, 2], &[1]]).unwrap();
    let layer = Conv2d::new(2, 1).connections(table).bias(false).weight_init(ocelli_graph::Values(vec![2.0, 3.0, 5.0]));
    let model = Model::build(|x| x.apply("c", &layer), [1, 1, 3], 0).unwrap();
    assert_eq!(model.parameters().trained_count(), 3);
    let y = model.predict(&Tensor::from_vec([1, 1, 1, 3], vec![1.0, 10.0, 100.0]).unwrap()).unwrap();
    assert_eq!(y.data(), [2.0 + 300.0, 50.0]);
    assert_eq!(model.summary().rows[0].macs, 3);
}

#[test]
fn sub_sampling_sums_scales_and_shifts() {
    let layer = SubSampling::new(2).weight_init(Init::Constant(0.5)).bias_init(Init::Constant(1.0));
    let model = Model::build(|x| x.apply("s", &layer), [2, 2, 1], 0).unwrap();
    let x = Tensor::from_vec([1, 2, 2, 1], vec![1.0, 2.0, 3.0, 4.0]).unwrap();
    assert_eq!(model.predict(&x).unwrap().data(), [6.0]);
}

/// The course's example of what a bottleneck saves, as the summary counts it.
#[test]
fn a_bottleneck_saves_nine_tenths_of_the_multiplications() {
    let macs = |layer: &dyn ocelli_graph::Layer| Model::from_layer(layer, [28, 28, 192], 0).unwrap().summary().macs;
    assert_eq!(macs(&Conv2d::new(32, 5).same()), 120_422_400);
    let bottleneck = Sequential::new().then(Conv2d::new(16, 1)).then(Activation::Relu).then(Conv2d::new(32, 5).same());
    assert_eq!(macs(&bottleneck), 2_408_448 + 10_035_200);
    assert_eq!(macs(&bottleneck), 12_443_648);
    let summary = Model::from_layer(Inception::new(64, 128, 32, None), [28, 28, 192], 0).unwrap().summary();
    assert_eq!(summary.rows.iter().find(|row| row.path == "branch3.conv").unwrap().macs, 120_422_400);
    let summary = Model::from_layer(Inception::new(64, [96, 128], [16, 32], 32), [28, 28, 192], 0).unwrap().summary();
    let branch = summary.rows.iter().filter(|row| row.path.starts_with("branch3."));
    assert_eq!(branch.map(|row| row.macs).sum::<u64>(), 12_443_648);
}

#[test]
fn branches_are_side_by_side_in_their_order() {
    let times = |factor| ocelli_graph::func(move |x: &Node| x.scale(factor));
    let model = Model::from_layer(Branches::new().then(times(1.0)).then(times(10.0)), [1, 1, 2], 0).unwrap();
    let x = Tensor::from_vec([1, 1, 1, 2], vec![1.0, 2.0]).unwrap();
    assert_eq!(model.predict(&x).unwrap().data(), [1.0, 2.0, 10.0, 20.0]);
}

/// `x[:, ::2, ::2, :]` with half of the new channels before and half behind (the odd one behind).
#[test]
fn a_zero_padded_shortcut_takes_every_second_pixel() {
    let x = Tensor::from_fn([2, 3, 4, 2], |i| (1000 * i[0] + 100 * i[1] + 10 * i[2] + i[3] + 1) as f32);
    let model = Model::from_layer(Shortcut::ZeroPad.to(5, 2), [3, 4, 2], 0).unwrap();
    let y = model.predict(&x).unwrap();
    let expected = Tensor::from_fn([2, 2, 2, 5], |i| match i[3] {
        1 | 2 => x.view()[[i[0], 2 * i[1], 2 * i[2], i[3] - 1].as_slice()],
        _ => 0.0,
    });
    assert_eq!(y, expected);

    // The gradient of the sum is one where a pixel was taken.
    let mut model = model;
    let mut objective = model.objective_of(Mode::Train, Wrt::Values(&["input"]), |trace| trace.output().sum()).unwrap();
    let step = objective.step(&mut model, &Batch::new().with("input", &x)).unwrap();
    let taken = Tensor::from_fn([2, 3, 4, 2], |i| if i[1] % 2 == 0 && i[2] % 2 == 0 { 1.0 } else { 0.0 });
    assert_eq!(step.gradient("input").unwrap(), taken.data());
}

/// Its projection is of the mean of each window, also of the incomplete ones at the end.
#[test]
fn a_pooled_projection_sees_every_pixel() {
    let x = Tensor::from_fn([1, 3, 2, 1], |i| (10 * i[1] + i[2]) as f32);
    let layer =
        Shortcut::PooledProjection.to(2, 2).normalisation(Normalisation::Folded).weight_init(Init::Constant(2.0));
    let model = Model::from_layer(layer, [3, 2, 1], 0).unwrap();
    assert!(model.parameters().value("1.weight").is_some() && model.parameters().value("1.bias").is_some());
    assert_eq!(model.predict(&x).unwrap().data(), [11.0, 11.0, 41.0, 41.0]);
}

/// Without a shortcut a block is its body with a ReLU.
#[test]
fn a_plain_block_adds_nothing() {
    let x = Tensor::uniform([2, 5, 4, 3], ocelli_graph::Key::new(1));
    let plain = Model::from_layer(Residual::new(BasicBlock::new(3)).shortcut(None), [5, 4, 3], 0).unwrap();
    let body = Sequential::new().then(BasicBlock::new(3)).then(Activation::Relu);
    let body = Model::from_layer(body, [5, 4, 3], 0).unwrap();
    assert_eq!(plain.summary().trained, body.summary().trained);
    assert!(plain.predict(&x).unwrap().data().iter().all(|&y| y >= 0.0));
}

/// With weights of zero a block is the identity for what a ReLU lets through (the course's argument for residuals).
#[test]
fn a_residual_block_of_zeros_is_the_identity() {
    let body = || {
        let conv = || Conv2d::new(3, 3).same().weight_init(Init::Constant(0.0));
        Sequential::new().then(conv()).then(Activation::Relu).then(conv())
    };
    let x = Tensor::uniform([2, 5, 4, 3], ocelli_graph::Key::new(1));
    for shortcut in [Shortcut::Identity, Shortcut::ZeroPad, Shortcut::Projection, Shortcut::PooledProjection] {
        let model = Model::from_layer(Residual::new(body()).shortcut(shortcut), [5, 4, 3], 0).unwrap();
        let positive: Vec<f32> = x.data().iter().map(|v| v.max(0.0)).collect();
        assert_eq!(model.predict(&x).unwrap().data(), positive, "{shortcut:?}");
    }
}

/// Where the stride is, and whether there are biases, is seen in the work and in the parameters.
#[test]
fn bottlenecks_have_the_work_and_the_parameters_of_their_settings() {
    let cost = |layer: Bottleneck| {
        let summary = Model::from_layer(layer, [8, 8, 16], 0).unwrap().summary();
        (summary.trained, summary.macs)
    };
    let (first, middle, last) = (16 * 4, 9 * 4 * 4, 4 * 16);
    let weights = first + middle + last;
    let usual = Bottleneck::new(4, 16).stride(2);
    assert_eq!(cost(usual), (weights + 2 * (4 + 4 + 16), (64 * first + 16 * (middle + last)) as u64));
    assert_eq!(cost(usual.strided(Strided::First)), (weights + 2 * (4 + 4 + 16), (16 * weights) as u64));
    assert_eq!(
        cost(usual.strided(Strided::First).normalisation(Normalisation::Folded)),
        (weights + 4 + 4 + 16, (16 * weights) as u64)
    );
    let grouped = first + middle / 2 + last;
    assert_eq!(
        cost(usual.strided(Strided::First).groups(2).normalisation(Normalisation::Folded)),
        (grouped + 4 + 4 + 16, (16 * grouped) as u64)
    );
    let constant = usual
        .normalisation(Normalisation::Folded)
        .weight_init(|channels, kernel| Init::Constant((10 * channels + kernel) as f32));
    let model = Model::from_layer(constant, [8, 8, 16], 0).unwrap();
    let value = |path: &str| model.parameters().value(path).unwrap().data()[0];
    assert_eq!(["conv1.weight", "conv2.weight", "conv3.weight"].map(value), [41.0, 43.0, 161.0]);
}

#[test]
fn a_projection_can_be_fixed() {
    let body = Conv2d::new(6, 3).same().stride(2).bias(false);
    let layer = Residual::new(body).stride(2).shortcut(Shortcut::Projection);
    let mut model = Model::from_layer(layer, [8, 8, 3], 0).unwrap();
    assert_eq!(model.parameters().trained_count(), 9 * 3 * 6 + 3 * 6 + 2 * 6);
    model.freeze("shortcut").unwrap();
    assert_eq!(model.parameters().trained_count(), 9 * 3 * 6);
}

#[test]
fn first_values_can_be_pytorchs() {
    let model = Model::build(
        |x| {
            x.apply("c", Conv2d::new(50, 3).groups(2).pytorch_init())
                .flatten()
                .apply("d", Dense::new(40).pytorch_init())
        },
        [4, 4, 8],
        0,
    )
    .unwrap();
    for (path, fan_in) in [("c.weight", 36.0f32), ("c.bias", 36.0), ("d.weight", 200.0), ("d.bias", 200.0)] {
        let largest = model.parameters().value(path).unwrap().data().iter().fold(0f32, |a, b| a.max(b.abs()));
        let limit = 1.0 / fan_in.sqrt();
        assert!(largest <= limit && largest > 0.8 * limit, "{path}: {largest} of {limit}");
    }
}

#[test]
fn normalisations_have_the_parameters_of_their_settings() {
    fn paths(layer: impl ocelli_graph::Layer) -> String {
        let model = Model::build(|x| x.apply("bn", &layer), [2, 2, 3], 0).unwrap();
        model.parameters().iter().map(|(parameter, _)| parameter.path.clone()).collect::<Vec<_>>().join(" ")
    }
    assert_eq!(paths(BatchNorm::new()), "bn.bias bn.running_mean bn.running_var bn.weight");
    assert_eq!(paths(BatchNorm::new().affine(false)), "bn.running_mean bn.running_var");
    assert_eq!(paths(LayerNorm::new()), "bn.bias bn.weight");
    assert_eq!(paths(GroupNorm::new(3)), "bn.bias bn.weight");
    assert_eq!(paths(InstanceNorm::new()), "");
    assert_eq!(paths(InstanceNorm::new().affine(true)), "bn.bias bn.weight");
    // Of a new layer the running statistics are 0 and 1: inference does nothing but add ε.
    let layer = BatchNorm::new().affine(false).epsilon(3.0);
    let model = Model::build(|x| x.apply("bn", &layer), [2], 0).unwrap();
    assert_eq!(model.predict(&Tensor::from_vec([1, 2], vec![1.0, -4.0]).unwrap()).unwrap().data(), [0.5, -2.0]);
}

#[test]
fn local_responses_are_of_a_sum_or_of_a_mean() {
    let y = |layer: LocalResponseNorm| {
        let model = Model::build(|x| x.apply("norm", layer.beta(1.0).alpha(0.3)), [3], 0).unwrap();
        let x = Tensor::from_vec([1, 3], vec![1.0, 2.0, 3.0]).unwrap();
        model.predict(&x).unwrap().data().to_vec()
    };
    let near = |got: Vec<f32>, expected: [f32; 3]| {
        assert!(got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{got:?}, expected {expected:?}");
    };
    // Neighbours' squares: 1 + 4, 1 + 4 + 9, 4 + 9.
    near(y(LocalResponseNorm::of_sum(3)), [1.0 / 3.5, 2.0 / 6.2, 3.0 / 5.9]);
    near(y(LocalResponseNorm::of_mean(3)), [1.0 / 1.5, 2.0 / 2.4, 3.0 / 2.3]);
}

#[test]
fn algorithms_can_be_forced() {
    let x = Tensor::uniform([2, 8, 8, 3], ocelli_graph::Key::new(1));
    let run = |layer: Conv2d| Model::build(|x| x.apply("c", &layer), [8, 8, 3], 0).unwrap().predict(&x).unwrap();
    let (fast, naive) = (run(Conv2d::new(4, 3)), run(Conv2d::new(4, 3).algorithm("naive")));
    let error = fast.data().iter().zip(naive.data()).fold(0f32, |worst, (a, b)| worst.max((a - b).abs()));
    assert!(error < 1e-5, "{error}");
}

#[test]
fn mistakes_have_their_sentences() {
    let image = &[8, 8, 64][..];
    let cases = [
        (
            mistake(Conv2d::new(8, 9), image),
            "layer (Conv2d): expected 9 or more pixels (the filter) on axis H, got 8 in [N, 8, 8, 64] from input \"input\"",
        ),
        (
            mistake(Conv2d::new(8, 3).expect_channels(192), image),
            "layer (Conv2d): expected 192 input channels on axis C, got 64 in [N, 8, 8, 64] from input \"input\"",
        ),
        (
            mistake(Conv2d::new(9, 3).groups(3), image),
            "layer (Conv2d): expected a number of input channels on axis C that groups = 3 divides, got 64 in [N, 8, 8, 64] \
             from input \"input\"",
        ),
        (
            mistake(Conv2d::new(9, 3).groups(4), image),
            "layer (Conv2d): groups = 4 does not divide the 9 output channels",
        ),
        (mistake(Conv2d::new(9, 3).groups(0), image), "layer (Conv2d): groups must be at least 1, got 0"),
        (mistake(Conv2d::new(0, 3), image), "layer (Conv2d): 0 filters of 3×3 pixels"),
        (mistake(Conv2d::new(1, 3).stride(0), image), "layer (Conv2d): stride_h must be at least 1, got 0"),
        (mistake(Conv2d::new(3, 3), &[8]), "layer (Conv2d): expected [N, H, W, C], got [N, 8] from input \"input\""),
        (
            mistake(Dense::new(3), image),
            "layer (Dense): expected [N, features] (flatten or pool first), got [N, 8, 8, 64] from input \"input\"",
        ),
        (mistake(Dense::new(0), &[8]), "layer (Dense): a layer of 0 units"),
        (
            mistake(MaxPool2d::new(9), image),
            "layer (MaxPool2d): expected 9 or more pixels (the window) on axis H, got 8 in [N, 8, 8, 64] from input \
             \"input\"",
        ),
        (mistake(BatchNorm::new().epsilon(0.0), image), "layer (BatchNorm): epsilon must be a positive number, got 0"),
        (mistake(BatchNorm::new().momentum(1.5), image), "layer (BatchNorm): the momentum 1.5 is not in [0, 1]"),
        (mistake(LocalResponseNorm::of_sum(0), image), "layer (LocalResponseNorm): a sum over 0 channels"),
        (
            mistake(LocalResponseNorm::of_mean(5).k(0.0), image),
            "layer (LocalResponseNorm): k must be a positive number, got 0",
        ),
        (
            mistake(LocalResponseNorm::of_sum(5).alpha(-1.0), image),
            "layer (LocalResponseNorm): alpha must be a number that is not negative, got -1",
        ),
        (
            mistake(LayerNorm::new().epsilon(f32::NAN), image),
            "layer (LayerNorm): epsilon must be a positive number, got NaN",
        ),
        (
            mistake(GroupNorm::new(5), image),
            "layer (GroupNorm): expected a number of channels on axis C that groups = 5 divides, got 64 in [N, 8, 8, 64] \
             from input \"input\"",
        ),
        (mistake(GroupNorm::new(0), image), "layer (GroupNorm): groups must be at least 1, got 0"),
        (
            mistake(InstanceNorm::new(), &[8]),
            "layer (InstanceNorm): expected at least two values per group, got one in [N, 8] from input \"input\"",
        ),
        (
            mistake(Pad2d::reflect(8), image),
            "layer (Pad2d): expected 9 or more pixels (to reflect them) on axis H, got 8 in [N, 8, 8, 64] from input \
             \"input\"",
        ),
        (mistake(Pad2d::replicate(1), &[8]), "layer (Pad2d): expected [N, H, W, C], got [N, 8] from input \"input\""),
        (
            mistake(ConvTranspose2d::new(4, 3).output_padding(1), image),
            "layer (ConvTranspose2d): an output padding of 1 on axis H is not less than the stride",
        ),
        (
            mistake(ConvTranspose2d::new(4, 3).padding(Padding::uniform(5)), image),
            "layer (ConvTranspose2d): no pixel is left on axis H when 5 and 5 are taken off",
        ),
        (
            mistake(ConvTranspose2d::new(4, 3).padding(Padding::Same), image),
            "layer (ConvTranspose2d): the padding of a transposed convolution must be numbers of pixels, not Padding::Same",
        ),
        (
            mistake(ConvTranspose2d::new(4, 3).stride(0), image),
            "layer (ConvTranspose2d): stride_h must be at least 1, got 0",
        ),
        (
            mistake(ConvTranspose2d::new(5, 3).groups(4), image),
            "layer (ConvTranspose2d): groups = 4 does not divide the 5 output channels",
        ),
        (mistake(ConvTranspose2d::new(0, 3), image), "layer (ConvTranspose2d): 0 filters of 3×3 pixels"),
        (
            mistake(ConvTranspose2d::new(4, 3), &[8]),
            "layer (ConvTranspose2d): expected [N, H, W, C], got [N, 8] from input \"input\"",
        ),
        (mistake(Branches::new(), image), "layer (Branches): there are no branches"),
        (
            mistake(Branches::new().then(Conv2d::new(4, 1)).then(Conv2d::new(4, 3)), image),
            "layer (Branches): shapes differ on axis H (8 and 6), axis W (8 and 6): [N, 8, 8, 4] from layer.0 (Conv2d) and \
             [N, 6, 6, 4] from layer.1 (Conv2d)",
        ),
        (
            mistake(Residual::new(Conv2d::new(4, 1)), image),
            "layer (Residual): shapes differ on axis C (4 and 64): [N, 8, 8, 4] from layer (Residual) and \
             [N, 8, 8, 64] from input \"input\"",
        ),
        (
            mistake(Shortcut::ZeroPad.to(32, 2), image),
            "layer (Shortcut): expected at most 32 channels on axis C (zeros are added, none is taken away), got 64 in \
             [N, 8, 8, 64] from input \"input\"",
        ),
        (
            mistake(Shortcut::ZeroPad.to(64, 0), image),
            "layer (Shortcut): the pooling stride is 0 x 0: both must be 1 or more",
        ),
        (
            mistake(Bottleneck::new(6, 8).groups(4), image),
            "layer.conv2 (Conv2d): expected a number of input channels on axis C that groups = 4 divides, got 6 in \
             [N, 8, 8, 6] from layer (Bottleneck)",
        ),
        (mistake(Dropout(1.0), image), "layer (Dropout): the probability 1 is not in [0, 1)"),
        (
            mistake(RadialBasis::new(3, vec![0.0; 5]), &[2]),
            "layer (RadialBasis): 5 values are not 3 codes of 2 features",
        ),
        (
            mistake(Reshape(vec![7]), &[2, 4]),
            "layer (Reshape): expected as many elements as [N, 7] has, got 8 a sample in [N, 2, 4] from input \"input\"",
        ),
    ];
    for (got, expected) in cases {
        assert_eq!(got, expected);
    }
    let unknown = mistake(Conv2d::new(1, 3).algorithm("fft"), image);
    assert!(unknown.starts_with("layer (Conv2d): no algorithm is called \"fft\"; there are: "), "{unknown}");
    assert!(unknown.contains("im2col") && unknown.ends_with("naive"), "{unknown}");
    assert_eq!(
        ConnectionTable::new(2, &[&[0], &[2]]).unwrap_err().to_string(),
        "output map 1 sees input map 2, but there are 2"
    );
}

#[test]
fn the_body_of_a_residual_block_can_be_computed_again() {
    let body = || {
        let conv = || Conv2d::new(6, 3).same().bias(false);
        Sequential::new()
            .then(conv())
            .then(BatchNorm::new())
            .then(Activation::Relu)
            .then(Dropout(0.3))
            .then(conv())
            .then(BatchNorm::new())
    };
    let stack = |block: &dyn Layer| {
        Model::build(|x| (0..6).fold(x.clone(), |x, i| x.apply(format!("block{i}"), block)), [10, 10, 6], 1).unwrap()
    };
    let train = |mut model: Model| {
        let mut objective = model.objective(|t| t.output().square().mean()).unwrap();
        let peak = objective.plan(&model, 4).unwrap().peak_bytes();
        let x = Tensor::uniform([4, 10, 10, 6], Key::new(1));
        let step = objective.step(&mut model, &Batch::new().with("input", x)).unwrap();
        let gradients: Vec<_> = step.gradients().map(|(name, g)| (name.to_string(), g.to_vec())).collect();
        let states: Vec<_> = model.parameters().iter().map(|(_, value)| value.clone()).collect();
        ((gradients, states), peak)
    };
    let (kept, peak) = train(stack(&Residual::new(body())));
    let (inside, inside_peak) = train(stack(&Residual::new(Recomputed(body()))));
    let (whole, whole_peak) = train(stack(&Recomputed(Residual::new(body()))));
    assert!(kept == inside && kept == whole);
    assert!(inside_peak < peak && whole_peak < peak, "{peak} bytes, {inside_peak}, {whole_peak}");
}
