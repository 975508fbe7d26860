//! The same bits on any number of threads, for whole networks, and on the same data from a prefetching loader.

use ocelli::{data::synthetic, losses::maximum_a_posteriori, models::PENALTY, prelude::*, train::Progress};

/// Parameters after a few steps of training on so many threads.
fn trained(threads: usize, old: bool) -> Vec<Tensor> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let images = synthetic::digits(400, 1).pad([32, 32], 0.0).unwrap().scale(-0.1, 1.175).unwrap();
        let loader = Loader::new(images, 64).unwrap().shuffle(3).prefetch(threads - 1);
        let (mut model, loss): (Model, fn(&Trace) -> Node) = if old {
            let loss: fn(&Trace) -> Node = |t| maximum_a_posteriori(&t.output(), &t.labels("labels"), PENALTY);
            (Model::from_layer(LeNet5::of_1998(), [32, 32, 1], 7).unwrap(), loss)
        } else {
            let loss: fn(&Trace) -> Node = |t| softmax_cross_entropy(&t.output(), &t.labels("labels"));
            (Model::from_layer(LeNet5::modern(10), [32, 32, 1], 7).unwrap(), loss)
        };
        let mut sgd = Sgd::new(0.002).momentum(0.9);
        let trainer = Trainer::new(2).progress(Progress::Silent);
        trainer.run(&mut model, loss, &mut sgd, &loader, None).unwrap();
        model.parameters().iter().map(|(_, value)| value.clone()).collect()
    })
}

#[test]
fn training_has_the_same_bits_on_any_number_of_threads() {
    for old in [false, true] {
        let one = trained(1, old);
        for threads in [2, 3, 8] {
            assert!(trained(threads, old) == one, "{threads} threads differ from one");
        }
    }
}

#[test]
fn large_layers_have_the_same_bits_on_any_number_of_threads() {
    let network = |x: &Node| {
        let x = x.apply("a", Conv2d::new(24, 3).same()).relu().apply("pool", MaxPool2d::new(3).stride(2));
        let x = x.apply("b", Conv2d::new(40, 3).stride(2)).tanh().flatten();
        x.apply("fc", Dense::new(300)).log_softmax()
    };
    let gradients = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut model = Model::build(network, [48, 44, 5], 1).unwrap();
            let mut objective = model.objective(|t| t.output().square().mean()).unwrap();
            let x = Tensor::uniform([6, 48, 44, 5], ocelli::tensor::Key::new(2));
            let step = objective.step(&mut model, &Batch::new().with("input", x)).unwrap();
            step.gradients().map(|(name, gradient)| (name.to_string(), gradient.to_vec())).collect::<Vec<_>>()
        })
    };
    let one = gradients(1);
    assert_eq!(one.len(), 6);
    for threads in [2, 8] {
        assert!(gradients(threads) == one, "{threads} threads differ from one");
    }
}
