//! Other backward rules on every network of the registry, none of which knows of them.

use ocelli::{graph::Graph, models::network_names, prelude::*};

/// Networks with more parameters than this are differentiated and planned, and not run: their dense layers alone take seconds.
const MOST_RUN: usize = 14_000_000;

fn side(name: &str) -> usize {
    match name {
        "lenet5" | "lenet5_1998" => 32,
        name if name.starts_with("cifar") => 16,
        name if name.starts_with("alexnet") || name.starts_with("googlenet_2014") => 80,
        _ => 64,
    }
}

#[test]
fn guided_and_deconvnet_gradients_of_every_network_exist() {
    let (mut run, mut planned) = (0, 0);
    for name in network_names() {
        let network = by_name(name, None).unwrap();
        let sample = [side(name), side(name), network.sample[2]];
        let graph = Graph::from_layer(&network.layer, sample).unwrap_or_else(|error| panic!("{name}: {error}"));
        let parameters: usize = graph.parameters.values().map(|spec| graph.values[spec.value].shape.len(1)).sum();
        let relus = graph.calls.iter().filter(|call| call.op.kind() == "Relu").count();
        let is_run = parameters <= MOST_RUN;
        let model = match is_run {
            true => Model::from_layer(network.layer, sample, 1),
            false => Model::zeroed(network.layer, sample),
        };
        let model = model.unwrap_or_else(|error| panic!("{name}: {error}"));
        let image = Tensor::uniform([1, sample[0], sample[1], sample[2]], Key::new(3));
        let gradient = |rules: &BackwardRules| {
            let score = |t: &Trace| t.output().sum();
            let mut objective = model.objective_with(rules, Mode::Infer, Wrt::Values(&["input"]), score)?;
            if !is_run {
                objective.plan(&model, 1)?;
                return Ok::<Vec<f32>, ocelli::Error>(Vec::new());
            }
            let step = objective.evaluate(&model, &Batch::new().with("input", &image))?;
            Ok(step.gradient("input").unwrap_or_default().to_vec())
        };
        let rules = [BackwardRules::new(), BackwardRules::guided(), BackwardRules::deconvnet()];
        let gradients = rules.map(|rules| gradient(&rules).unwrap_or_else(|error| panic!("{name}: {error}")));
        if !is_run {
            planned += 1;
            continue;
        }
        run += 1;
        let [plain, guided, deconvnet] = gradients;
        assert_eq!((guided.len(), deconvnet.len()), (image.len(), image.len()), "{name}");
        assert!(guided.iter().chain(&deconvnet).all(|value| value.is_finite()), "{name}");
        // the rules are those of the ReLU, and change nothing where there is none
        assert_eq!(plain != guided, relus > 1, "{name} with {relus} ReLUs");
    }
    assert!(run > 15 && planned > 15, "{run} run and {planned} planned");
}
