//! Tests of the training plans of published networks: which operations are fused, and how much memory they take.

use crate::{CifarResNet, ResNet};
use ocelli_graph::{Layer, Model, Plan};
use ocelli_losses::softmax_cross_entropy;

fn model(layer: impl Layer, sample: [usize; 3]) -> Model {
    Model::zeroed(layer, sample).unwrap_or_else(|error| panic!("{error}"))
}

fn plan(model: &Model, n: usize) -> Plan {
    let mut objective = model.objective(|t| softmax_cross_entropy(&t.output(), &t.labels("labels"))).unwrap();
    objective.plan(model, n).unwrap().clone()
}

/// Counts the steps of one of these kinds.
fn count(plan: &Plan, kinds: &[&str]) -> usize {
    plan.steps().iter().filter(|step| kinds.contains(&step.op().kind().as_str())).count()
}

#[test]
fn a_step_of_a_residual_network_has_no_relu_and_no_sum_of_its_own() {
    // Blocks with a residual; normalisations behind each of which there is only a ReLU; those of projections.
    let resnet50 = (model(ResNet::resnet50(1000), [224, 224, 3]), [16, 33, 4]);
    let resnet20 = (model(CifarResNet::resnet20(10), [32, 32, 3]), [9, 10, 0]);
    for (model, [with_residual, with_relu, alone]) in [resnet50, resnet20] {
        let plan = plan(&model, 2);
        assert_eq!(count(&plan, &["BatchNormAddRelu"]), with_residual);
        assert_eq!(count(&plan, &["BatchNormRelu"]), with_relu);
        assert_eq!(count(&plan, &["BatchNorm"]), alone);
        assert_eq!(count(&plan, &["Relu", "Add", "ActivationBackward"]), 0);
    }
}

#[test]
fn memory_of_a_training_step_is_near_what_is_alive_at_once() {
    let mut model = model(ResNet::resnet50(1000), [224, 224, 3]);
    let kept = plan(&model, 16);
    assert_eq!(kept.steps().len(), 328);
    println!("{} bytes, {} alive at one step", kept.arena_bytes(), kept.bound_bytes());
    assert!(kept.arena_bytes() * 100 <= kept.bound_bytes() * 103);

    for (stage, blocks) in [3, 4, 6, 3].into_iter().enumerate() {
        for block in 0..blocks {
            model.recompute(&format!("layer{}.{block}", stage + 1)).unwrap();
        }
    }
    let recomputed = plan(&model, 16);
    println!("{} bytes, {} alive at one step", recomputed.arena_bytes(), recomputed.bound_bytes());
    assert!(recomputed.arena_bytes() * 100 <= recomputed.bound_bytes() * 110);
    assert!(recomputed.arena_bytes() * 2 < kept.arena_bytes());
}
