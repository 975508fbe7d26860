//! Paths, shapes, and one right sentence for each mistake.

use super::{build, conv, mistake};
use crate::{Axis, Constant, Error, Layer, Model, Node, Shape, Shared, Wrt, func};

/// Two convolutions and a sum: needs equal sizes to work.
struct Block {
    channels: usize,
}

impl Layer for Block {
    fn forward(&self, x: &Node) -> Node {
        x.apply("conv", func(|x| conv(x, self.channels))).relu()
    }
}

#[test]
fn paths_are_those_of_the_scopes() {
    let model = build(
        |x| x.scope("features", |x| x.apply("0", Block { channels: 4 }).named("first")).global_avg_pool(),
        &[8, 8, 3],
    );
    let parameters: Vec<_> = model.parameters().iter().map(|(p, _)| p.path.as_str()).collect();
    assert_eq!(parameters, ["features.0.conv.weight"]);
    for name in ["features", "features.0", "features.0.conv", "features.first", "input", "output"] {
        assert!(model.graph().find(name).is_some(), "{name}");
    }
}

#[test]
fn a_filter_larger_than_its_input_says_where_and_what() {
    let network = |x: &Node| x.scope("features", |x| x.scope("3", |x| x.apply("conv", func(|x| conv(x, 8)))));
    assert_eq!(
        mistake(network, &[2, 8, 3]),
        "features.3.conv (Conv2d): expected 3 or more pixels (the filter) on axis H, got 2 in [N, 2, 8, 3] from input \
         \"input\""
    );
}

#[test]
fn a_wrong_channel_count_says_both_sizes() {
    let network = |x: &Node| {
        let w = x.trace().parameter("weight", [3, 3, 64, 8], Constant(0.0));
        x.conv2d(ocelli_kernels::conv::Conv2dSettings::default(), &w, None)
    };
    assert_eq!(
        mistake(network, &[8, 8, 3]),
        "(Conv2d): expected 64 input channels on axis C, got 3 in [N, 8, 8, 3] from input \"input\""
    );
}

#[test]
fn unequal_shapes_name_both_origins() {
    let network = |x: &Node| {
        let y = x.apply("block", Block { channels: 4 });
        x + y
    };
    assert_eq!(
        mistake(network, &[8, 8, 3]),
        "(Add): shapes differ on axis H (8 and 6), axis W (8 and 6), axis C (3 and 4): [N, 8, 8, 3] from input \"input\" \
         and [N, 6, 6, 4] from block (Block)"
    );
    let inside = |x: &Node| x.apply("outer", func(|x| x.apply("block", Block { channels: 3 }) + x));
    assert!(mistake(inside, &[8, 8, 3]).starts_with("outer (Add): shapes differ on axis H (6 and 8), "));
}

#[test]
fn a_path_that_is_used_twice_names_both_lines() {
    let sentence = mistake(|x| x.apply("a", func(Node::relu)).apply("a", func(Node::relu)), &[3]);
    assert!(sentence.contains("the path \"a\" is used at "), "{sentence}");
    assert_eq!(sentence.matches("building.rs:").count(), 2, "{sentence}");
    assert!(sentence.contains("make both one `Shared` layer"), "{sentence}");
}

#[test]
fn shared_layers_have_one_set_of_parameters() {
    let tower = Shared::new("tower", Block { channels: 3 });
    let model = Model::trace(0, |t| {
        let (left, right) = (t.input("left", [8, 8, 3]), t.input("right", [8, 8, 3]));
        left.apply("l", &tower) - right.apply("r", &tower)
    })
    .unwrap();
    let parameters: Vec<_> = model.parameters().iter().map(|(p, _)| p.path.as_str()).collect();
    assert_eq!(parameters, ["tower.conv.weight"]);
    assert!(model.graph().find("l.conv").is_some() && model.graph().find("r.conv").is_some());
}

#[test]
fn a_shared_layer_needs_equal_shapes() {
    let sentence = mistake(
        |x| {
            let shared = Shared::new("tower", func(|x: &Node| conv(x, 4)));
            x.apply("left", &shared).apply("right", &shared)
        },
        &[8, 8, 3],
    );
    assert_eq!(
        sentence,
        "right (Shared): the shared parameter tower.weight is [3, 3, 3, 4], this use needs [3, 3, 4, 4]"
    );
}

#[test]
fn loops_over_the_size_of_a_failed_node_end() {
    let network = |x: &Node| {
        let mut y = x.flatten().flatten() + x;
        while y.height() < 1000 {
            y = y.relu();
        }
        y
    };
    assert!(mistake(network, &[8, 8, 3]).contains("shapes differ"));
}

#[test]
fn other_mistakes_have_their_sentences() {
    type Case = (&'static str, fn(&Node) -> Node);
    let cases: [Case; 11] = [
        ("(Dropout): the probability 1.5 is not in [0, 1)", |x| x.dropout(1.5)),
        ("(Reduce): there is no axis W in [N, 8]", |x| x.global_avg_pool().mean_over(&[Axis::W])),
        ("(tap): nothing is called \"conv9\"; there are: input", |x| x.trace().tap("conv9")),
        ("(input): \"input\" is already the name of a value", |x| x.trace().input("input", [3])),
        ("(named): \"a\" is already the name of a value", |x| x.relu().named("a") + x.named("a")),
        ("(apply): a layer needs a name", |x| x.apply("", func(Node::relu))),
        ("(Softmax): expected […, classes], got [] from Mean", |x| x.mean().softmax()),
        ("(parameter): w already exists", |x| {
            x * x.trace().parameter("w", [8], Constant(0.0)) * x.trace().parameter("w", [8], Constant(0.0))
        }),
        ("(Slice): axis N of [N, 4, 4, 8] is the batch; see `split_batch`", |x| x.slice(Axis::N, 0..1)),
        ("(Slice): expected 5 entries from 6 on axis C, got 8 in [N, 4, 4, 8] from input \"input\"", |x| {
            x.slice(Axis::C, 6..11)
        }),
        ("(Add): expected f32, got u32 from input \"labels\"", |x| x + x.trace().labels("labels")),
    ];
    for (sentence, network) in cases {
        assert_eq!(mistake(network, &[4, 4, 8]), sentence);
    }
}

#[test]
fn nodes_of_another_network_are_refused() {
    let mut stolen = None;
    let _ = Model::build(
        |x| {
            stolen = Some(x.clone());
            x.relu()
        },
        [3],
        0,
    );
    let stolen = stolen.unwrap();
    assert_eq!(mistake(|x| x + &stolen, &[3]), "(Add): operands come from two different networks");
    assert_eq!(mistake(|_| stolen.clone(), &[3]), "(output): the result is a node of another network");
}

#[test]
fn objectives_are_checked_like_networks() {
    let model = build(|x| x.relu(), &[3]);
    let error = |loss: fn(&crate::Trace) -> Node| model.objective(loss).unwrap_err().to_string();
    assert_eq!(error(|t| t.output()), "(objective): expected a scalar loss, got [N, 3]; a mean() or sum() is missing");
    assert_eq!(error(|t| t.tap("relu7").mean()), "(tap): nothing is called \"relu7\"; there are: input, output");
    let unknown = model.objective_of(crate::Mode::Infer, Wrt::Values(&["image"]), |t| t.output().mean());
    assert!(matches!(unknown.unwrap_err(), Error::Unknown { name, .. } if name == "image"));
}

#[test]
fn the_summary_counts_and_looks_back() {
    let network = |x: &Node| {
        let x = x.apply("a", func(|x| conv(x, 4))).relu();
        x.apply("b", func(|x| conv(x, 2))).global_avg_pool()
    };
    let model = build(network, &[9, 9, 1]);
    let summary = model.summary();
    let row = |path: &str| summary.rows.iter().find(|row| row.path == path).unwrap();
    assert_eq!((row("a").parameters, row("a").macs), (36, 49 * 36));
    assert_eq!(row("a").receptive_field, Some([3, 3]));
    assert_eq!((row("b").parameters, row("b").macs), (72, 25 * 72));
    assert_eq!(row("b").receptive_field, Some([5, 5]));
    assert_eq!(summary.rows.last().unwrap().receptive_field, None);
    assert_eq!((summary.trained, summary.macs), (108, 49 * 36 + 25 * 72));
    let text = summary.to_string();
    assert!(text.contains("parameters: 108 trained"), "{text}");
    assert!(text.contains("memory of inference for a batch of 1: "), "{text}");
    let momentum = "parameters 432 B, momentum 432 B)";
    assert!(text.contains("memory of a training step for a batch of 1: ") && text.ends_with(momentum), "{text}");
}

#[test]
fn rows_of_the_summary_bear_the_name_of_what_they_are() {
    /// A layer that consists of layers, an addition and a ReLU.
    struct Block;
    impl Layer for Block {
        fn forward(&self, x: &Node) -> Node {
            (x.apply("only", Rectifier) + x).relu()
        }
    }
    struct Rectifier;
    impl Layer for Rectifier {
        fn forward(&self, x: &Node) -> Node {
            x.relu()
        }
    }
    let model = build(|x| x.apply("block", Block).tanh(), &[3]);
    let rows: Vec<_> = model.summary().rows.into_iter().map(|row| (row.path, row.kind)).collect();
    let expected = [("block.only", "Rectifier"), ("block", "Add"), ("block", "Relu"), ("", "Tanh")];
    assert_eq!(rows, expected.map(|(path, kind)| (path.to_string(), kind.to_string())));
}

#[test]
fn a_tap_of_an_operation_without_a_name_says_how_to_name_it() {
    let network = |x: &Node| {
        let x = x.apply("conv1", func(|x| conv(x, 4))).relu();
        x.scope("block", |x| x.tanh().relu()).apply("head", Block { channels: 2 }).global_avg_pool()
    };
    let model = build(network, &[9, 9, 1]);
    let names = "block, conv1, head, head.conv, input, output";
    let cases = [
        ("relu", "a Relu has no name; `.named(\"relu\")` behind it calls it \"relu\""),
        ("relu_1", "a Relu has no name; `.named(\"relu_1\")` behind it calls it \"relu_1\""),
        ("block.Tanh2", "a Tanh in \"block\" has no name; `.named(\"Tanh2\")` behind it calls it \"block.Tanh2\""),
        // The last operation of a layer has the name of the layer.
        ("block.relu", "the Relu in \"block\" is called \"block\""),
        ("head.relu", "the Relu in \"head\" is called \"head\""),
        // Of another kind, but in a layer that there is.
        ("block.middle", "a Tanh in \"block\" has no name; `.named(\"middle\")` behind it calls it \"block.middle\""),
    ];
    for (name, advice) in cases {
        let error = model.objective(|t| t.tap(name).mean()).unwrap_err().to_string();
        assert_eq!(error, format!("(tap): nothing is called \"{name}\"; there are: {names}; {advice}"));
        let error = model.plan(1, &[name]).unwrap_err().to_string();
        assert_eq!(error, format!("nothing is called \"{name}\"; there are: {names}; {advice}"));
    }
    let error = model.plan(1, &["conv7"]).unwrap_err().to_string();
    assert_eq!(error, format!("nothing is called \"conv7\"; there are: {names}"));
}

#[test]
fn inputs_are_written_as_samples_wherever_they_are_made() {
    let shape = |model: &Model| model.graph().values[0].shape.to_string();
    let built = Model::build(|x| x.relu(), [4], 0).unwrap();
    let traced = Model::trace(0, |t| t.input("input", [4]).relu()).unwrap();
    assert_eq!([shape(&built), shape(&traced)], ["[N, 4]"; 2]);
    let again = Model::build(|x| x + x.trace().input("input", [4]), [4], 0);
    assert!(again.is_ok(), "the same input is the same node");
    let fixed = Model::trace(0, |t| t.input("scale", Shape::from([4])).relu()).unwrap();
    assert_eq!(shape(&fixed), "[4]");
}
