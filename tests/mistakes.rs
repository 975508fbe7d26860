//! Wrong shapes as they are made when a network is composed: each is answered with one sentence, which names the layer, the
//! axis, both sizes and where the operand came from.

use ocelli::{losses::CrossEntropy, prelude::*, tensor::Axis};

/// Returns the message about a network that cannot be built.
fn mistake(network: impl Fn(&Node) -> Node, sample: [usize; 3]) -> String {
    Model::build(network, sample, 0).map(|_| ()).unwrap_err().to_string()
}

fn conv(channels: usize, kernel: impl Into<ocelli::layers::Pair>) -> Conv2d {
    Conv2d::new(channels, kernel)
}

#[test]
fn convolutions_that_do_not_fit() {
    let shrunk = |x: &Node| {
        let step = |x: Node, i| x.apply(format!("conv{i}"), conv(8, 3)).apply(format!("pool{i}"), MaxPool2d::new(2));
        x.scope("features", |x| (1..4).fold(x.clone(), step)).flatten().apply("fc", Dense::new(10))
    };
    assert_eq!(
        mistake(shrunk, [14, 14, 3]),
        "features.conv3 (Conv2d): expected 3 or more pixels (the filter) on axis H, got 2 in [N, 2, 2, 8] from \
         features.pool2 (MaxPool2d)"
    );
    assert_eq!(
        mistake(|x| x.apply("conv", conv(8, [1, 7])), [32, 5, 3]),
        "conv (Conv2d): expected 7 or more pixels (the filter) on axis W, got 5 in [N, 32, 5, 3] from input \"input\""
    );
    assert_eq!(
        mistake(|x| x.apply("conv", conv(8, 3).dilation(4)), [8, 16, 3]),
        "conv (Conv2d): expected 9 or more pixels (the filter) on axis H, got 8 in [N, 8, 16, 3] from input \"input\""
    );
    assert_eq!(
        mistake(|x| x.apply("stem", conv(64, 7).expect_channels(3).stride(2)), [224, 224, 1]),
        "stem (Conv2d): expected 3 input channels on axis C, got 1 in [N, 224, 224, 1] from input \"input\""
    );
    assert_eq!(
        mistake(|x| x.apply("stem", conv(10, 3)).apply("grouped", conv(32, 3).groups(4)), [8, 8, 3]),
        "grouped (Conv2d): expected a number of input channels on axis C that groups = 4 divides, got 10 in \
         [N, 6, 6, 10] from stem (Conv2d)"
    );
    assert_eq!(
        mistake(|x| x.apply("grouped", conv(30, 3).groups(4)), [8, 8, 16]),
        "grouped (Conv2d): groups = 4 does not divide the 30 output channels"
    );
    assert_eq!(
        mistake(|x| x.global_avg_pool().apply("conv", conv(8, 1)), [8, 8, 3]),
        "conv (Conv2d): expected [N, H, W, C], got [N, 3] from Mean"
    );
}

#[test]
fn inceptions_whose_branches_do_not_go_together() {
    let strided = |x: &Node| {
        let branches = Branches::new()
            .named("1x1", conv(16, 1))
            .named("3x3", Sequential::new().then(conv(8, 1)).then(conv(16, 3).same().stride(2)));
        x.apply("stem", conv(24, 3).same()).apply("mixed", branches)
    };
    assert_eq!(
        mistake(strided, [28, 28, 3]),
        "mixed (Branches): shapes differ on axis H (28 and 14), axis W (28 and 14): [N, 28, 28, 16] from mixed.1x1 (Conv2d) \
         and [N, 14, 14, 16] from mixed.3x3.1 (Conv2d)"
    );
    // Different channels are what a concatenation is for: they are not part of the mistake.
    let unpadded = |x: &Node| {
        let unit = |channels, kernel| Conv2d::new(channels, kernel).padding(Padding::uniform(1));
        x.apply("mixed", Inception::new(8, [4, 16], [4, 12], 4).unit(unit))
    };
    assert_eq!(
        mistake(unpadded, [8, 8, 3]),
        "mixed (Inception): shapes differ on axis H (10 and 8), axis W (10 and 8): [N, 10, 10, 8] from mixed.branch1 (Conv2d) \
         and [N, 8, 8, 12] from mixed.branch3.1 (Conv2d)"
    );
    let flat_beside_image = |x: &Node| Node::concat(&[x, &x.global_avg_pool()], Axis::C);
    assert_eq!(
        mistake(flat_beside_image, [8, 8, 3]),
        "(Concat): shapes differ: [N, 8, 8, 3] from input \"input\" and [N, 3] from Mean"
    );
    assert_eq!(
        mistake(|x| Node::concat(&[&x.flatten(), &x.flatten()], Axis::H), [8, 8, 3]),
        "(Concat): there is no axis H in [N, 192]"
    );
}

#[test]
fn residuals_whose_sides_do_not_match() {
    let body = |stride| Sequential::new().then(conv(32, 3).same().stride(stride)).then(conv(32, 3).same());
    let wider = |x: &Node| x.apply("stem", conv(16, 3).same()).apply("block", Residual::new(body(1)));
    assert_eq!(
        mistake(wider, [32, 32, 3]),
        "block (Residual): shapes differ on axis C (32 and 16): [N, 32, 32, 32] from block.1 (Conv2d) and [N, 32, 32, 16] \
         from stem (Conv2d)"
    );
    let strided = |x: &Node| x.apply("stem", conv(32, 3).same()).apply("block", Residual::new(body(2)));
    assert_eq!(
        mistake(strided, [32, 32, 3]),
        "block (Residual): shapes differ on axis H (16 and 32), axis W (16 and 32): [N, 16, 16, 32] from block.1 (Conv2d) and \
         [N, 32, 32, 32] from stem (Conv2d)"
    );
    let forgotten = |x: &Node| x.apply("block", Residual::new(body(2)).shortcut(Shortcut::Projection));
    assert_eq!(
        mistake(forgotten, [32, 32, 3]),
        "block (Residual): shapes differ on axis H (16 and 32), axis W (16 and 32): [N, 16, 16, 32] from block.1 (Conv2d) and \
         [N, 32, 32, 32] from block.shortcut.1 (BatchNorm)"
    );
    let narrower = |x: &Node| {
        let x = x.apply("stem", conv(64, 3).same());
        x.apply("block", Residual::new(body(2)).stride(2).shortcut(Shortcut::ZeroPad))
    };
    assert_eq!(
        mistake(narrower, [32, 32, 3]),
        "block.shortcut (Shortcut): expected at most 32 channels on axis C (zeros are added, none is taken away), got 64 in \
         [N, 32, 32, 64] from stem (Conv2d)"
    );
    let by_hand = |x: &Node| x.scope("block", |x| x.apply("conv", conv(16, 3)) + x);
    assert_eq!(
        mistake(by_hand, [32, 32, 16]),
        "block (Add): shapes differ on axis H (30 and 32), axis W (30 and 32): [N, 30, 30, 16] from block.conv (Conv2d) and \
         [N, 32, 32, 16] from input \"input\""
    );
}

#[test]
fn pools_and_normalisations_that_do_not_fit() {
    let pooled_away = |x: &Node| (0..4).fold(x.clone(), |x, i| x.apply(format!("pool{i}"), MaxPool2d::new(2)));
    assert_eq!(
        mistake(pooled_away, [8, 12, 3]),
        "pool3 (MaxPool2d): expected 2 or more pixels (the window) on axis H, got 1 in [N, 1, 1, 3] from pool2 (MaxPool2d)"
    );
    assert_eq!(
        mistake(|x| x.apply("stem", conv(16, 3)).apply("pool", AvgPool2d::new(7)), [8, 8, 3]),
        "pool (AvgPool2d): expected 7 or more pixels (the window) on axis H, got 6 in [N, 6, 6, 16] from stem (Conv2d)"
    );
    assert_eq!(
        mistake(|x| x.apply("stem", conv(20, 3)).apply("norm", GroupNorm::new(8)), [8, 8, 3]),
        "norm (GroupNorm): expected a number of channels on axis C that groups = 8 divides, got 20 in [N, 6, 6, 20] from \
         stem (Conv2d)"
    );
    assert_eq!(
        mistake(|x| x.apply("pad", Pad2d::reflect(4)), [4, 9, 3]),
        "pad (Pad2d): expected 5 or more pixels (to reflect them) on axis H, got 4 in [N, 4, 9, 3] from input \"input\""
    );
}

#[test]
fn matrices_and_losses_that_do_not_fit() {
    assert_eq!(
        mistake(|x| x.apply("conv", conv(16, 3)).apply("fc", Dense::new(10)), [8, 8, 3]),
        "fc (Dense): expected [N, features] (flatten or pool first), got [N, 6, 6, 16] from conv (Conv2d)"
    );
    let gram = |x: &Node| x.flatten().matmul(&x.trace().parameter("codes", [64, 10], ocelli::graph::Constant(1.0)));
    assert_eq!(
        mistake(gram, [8, 8, 3]),
        "(MatMul): expected 64 columns (the rows of the other matrix) on axis C, got 192 in [N, 192] from Reshape"
    );

    let loss_of = |network: fn(&Node) -> Node, loss: &dyn Fn(&Trace) -> Node| {
        let model = Model::build(network, [8, 8, 3], 0).unwrap();
        model.objective(loss).map(|_| ()).unwrap_err().to_string()
    };
    let classes = |x: &Node| x.global_avg_pool().apply("fc", Dense::new(10));
    assert_eq!(
        loss_of(|x| x.apply("conv", Conv2d::new(10, 1)), &|t| softmax_cross_entropy(&t.output(), &t.labels("labels"))),
        "(SoftmaxCrossEntropy): expected [N, classes], got [N, 8, 8, 10] from conv (Conv2d)"
    );
    assert_eq!(
        loss_of(classes, &|t| CrossEntropy::new().class_weights([1.0; 9]).loss(&t.output(), &t.labels("labels"))),
        "(SoftmaxCrossEntropy): 9 class weights for 10 classes"
    );
    assert_eq!(
        loss_of(classes, &|t| mse(&t.output(), &t.input("target", [1]))),
        "(MeanSquaredError): shapes differ: [N, 10] from fc (Dense) and [N, 1] from input \"target\""
    );
    assert_eq!(
        loss_of(classes, &|t| t.output().square()),
        "(objective): expected a scalar loss, got [N, 10]; a mean() or sum() is missing"
    );
}

#[test]
fn batches_that_do_not_fit() {
    let network = |x: &Node| x.apply("conv", conv(4, 3)).global_avg_pool().apply("fc", Dense::new(10));
    let mut model = Model::build(network, [8, 8, 3], 0).unwrap();
    let mut objective = model.objective(|t| softmax_cross_entropy(&t.output(), &t.labels("labels"))).unwrap();
    let mut said = |input: [usize; 4], labels: Tensor<u32>| {
        let batch = Batch::new().with("input", Tensor::zeros(input)).with("labels", labels);
        objective.step(&mut model, &batch).map(|_| ()).unwrap_err().to_string()
    };
    let labels = |labels: &[u32]| Tensor::from(labels.to_vec());
    assert_eq!(said([4, 8, 8, 3], labels(&[0, 1, 2])), "input \"labels\" has the shape [3], expected [N] with N = 4");
    assert_eq!(
        said([2, 8, 8, 1], labels(&[0, 1])),
        "input \"input\" has the shape [2, 8, 8, 1], expected [N, 8, 8, 3] with N = 2"
    );
    assert_eq!(
        said([2, 3, 8, 8], labels(&[0, 1])),
        "input \"input\" has the shape [2, 3, 8, 8], expected [N, 8, 8, 3] with N = 2"
    );
    assert_eq!(
        said([2, 8, 8, 3], labels(&[9, 10])),
        "(SoftmaxCrossEntropy): label 10 of sample 1 is not below the 10 classes"
    );
    assert_eq!(said([0, 8, 8, 3], labels(&[])), "input \"input\" holds no samples: its shape is [0, 8, 8, 3]");
    assert_eq!(said([2, 8, 8, 3], labels(&[])), "input \"labels\" holds no samples: its shape is [0]");
    let single = Batch::new().with("input", Tensor::zeros([8, 8, 3])).with("labels", labels(&[1]));
    assert_eq!(
        objective.step(&mut model, &single).map(|_| ()).unwrap_err().to_string(),
        "input \"input\" has the shape [8, 8, 3], expected [N, 8, 8, 3]"
    );
    let floats = Batch::new().with("input", Tensor::zeros([2, 8, 8, 3])).with("labels", Tensor::zeros([2]));
    assert_eq!(
        objective.step(&mut model, &floats).map(|_| ()).unwrap_err().to_string(),
        "input \"labels\" holds f32, expected u32"
    );
}
