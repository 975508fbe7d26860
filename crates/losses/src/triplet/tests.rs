//! Triplet losses against loops over all triplets in `f64`, for every composition of a batch of up to twelve samples;
//! their gradients; and towers that share an encoder.

use super::*;
use crate::{
    ContrastiveLoss,
    in_batch::{DistanceLoss, InBatch},
};
use ocelli_graph::{
    Batch, Dim, Key, Layer, Mode, Model, Shape, Shared, Tensor, Trace, Value, Wrt, check_gradients_at, func,
};
use ocelli_layers::Dense;

/// The largest batch whose compositions are all tried.
const SAMPLES: usize = 12;

/// Returns every way to write `n` as a sum of positive numbers, largest first.
fn partitions(n: usize, most: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![vec![]];
    }
    let with = |first: usize| {
        partitions(n - first, first).into_iter().map(move |rest| [vec![first], rest].concat()).collect::<Vec<_>>()
    };
    (1..=most.min(n)).flat_map(with).collect()
}

/// The labels of a batch with so many samples of each identity, shuffled.
fn labels(sizes: &[usize], key: Key) -> Vec<u32> {
    let of = |(identity, &count): (usize, &usize)| vec![3 * identity as u32 + 1; count];
    let mut labels: Vec<u32> = sizes.iter().enumerate().flat_map(of).collect();
    key.with("labels").stream().shuffle(&mut labels);
    labels
}

/// The kinds of embeddings of a batch.
#[derive(Clone, Copy, Debug)]
enum Embeddings {
    /// Of unit length, in any direction.
    Unit,
    /// With coordinates of 0, ½ and 1, so that many distances are equal.
    Tied,
    /// Some the same as others.
    Repeated,
    /// All the same.
    Collapsed,
}

const FEATURES: usize = 5;

impl Embeddings {
    fn draw(self, samples: usize, key: Key) -> Tensor {
        let mut x = Tensor::uniform([samples, FEATURES], key);
        for (i, row) in x.data_mut().chunks_exact_mut(FEATURES).enumerate() {
            let mut random = key.at(i as u64 % if matches!(self, Embeddings::Repeated) { 3 } else { 100 }).stream();
            if matches!(self, Embeddings::Collapsed) {
                random = key.stream();
            }
            match self {
                Embeddings::Tied => row.iter_mut().for_each(|x| *x = 0.5 * random.below(3) as f32),
                _ => {
                    row.iter_mut().for_each(|x| *x = random.normal());
                    let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
                    row.iter_mut().for_each(|x| *x /= norm);
                }
            }
        }
        x
    }
}

/// The loss, the statistics and the gradient of a batch, by their definitions.
#[derive(Debug, Default)]
struct Expected {
    loss: f64,
    active: f64,
    positive: f64,
    negative: f64,
    gradient: Vec<f64>,
}

fn row(x: &Tensor, i: usize) -> &[f32] {
    &x.data()[i * FEATURES..][..FEATURES]
}

fn distance(x: &Tensor, i: usize, j: usize) -> f64 {
    squared_distance(row(x, i), row(x, j))
}

/// Adds `slope` times the derivative of the squared distance of two samples.
fn add_slope(gradient: &mut [f64], x: &Tensor, (i, j): (usize, usize), slope: f64) {
    for k in 0..FEATURES {
        let difference = 2.0 * slope * f64::from(row(x, i)[k] - row(x, j)[k]);
        gradient[i * FEATURES + k] += difference;
        gradient[j * FEATURES + k] -= difference;
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn with_distances(mut expected: Expected, x: &Tensor, labels: &[u32]) -> Expected {
    let pairs = || (0..labels.len()).flat_map(|i| (0..i).map(move |j| (i, j)));
    let apart = |same: bool| -> Vec<f64> {
        pairs().filter(|(i, j)| (labels[*i] == labels[*j]) == same).map(|(i, j)| distance(x, i, j).sqrt()).collect()
    };
    (expected.positive, expected.negative) = (mean(&apart(true)), mean(&apart(false)));
    expected
}

/// The triplet loss, as nested loops over anchor, positive and negative.
fn brute_force(x: &Tensor, labels: &[u32], mining: Mining, hardness: f64) -> Expected {
    let n = labels.len();
    let mut chosen = Vec::new();
    for a in 0..n {
        let positives: Vec<usize> = (0..n).filter(|&p| p != a && labels[p] == labels[a]).collect();
        let negatives: Vec<usize> = (0..n).filter(|&q| labels[q] != labels[a]).collect();
        let d = |i: &usize| distance(x, a, *i);
        // Of equals, `min_by` returns the first and `max_by` the last.
        let nearest = |of: &[usize]| of.iter().copied().min_by(|i, j| d(i).total_cmp(&d(j)));
        let farthest = |of: &[usize]| of.iter().rev().copied().max_by(|i, j| d(i).total_cmp(&d(j)));
        match mining {
            Mining::All => chosen.extend(positives.iter().flat_map(|&p| negatives.iter().map(move |&q| (a, p, q)))),
            Mining::Hard => {
                chosen.extend(farthest(&positives).zip(nearest(&negatives)).map(|(p, q)| (a, p, q)));
            }
            Mining::SemiHard => {
                for &p in &positives {
                    let bound = (1.0 - hardness) * d(&p);
                    let beyond: Vec<usize> =
                        negatives.iter().copied().filter(|q| d(q) > bound || hardness == 1.0).collect();
                    chosen.extend(nearest(&beyond).or(farthest(&negatives)).map(|q| (a, p, q)));
                }
            }
        }
    }
    let margin = f64::from(TripletLoss::default().margin);
    let value = |&(a, p, q): &(usize, usize, usize)| distance(x, a, p) - distance(x, a, q) + margin;
    let active: Vec<_> = chosen.iter().filter(|t| value(t) > 0.0).copied().collect();
    let counted = if mining == Mining::All { active.len() } else { chosen.len() }.max(1) as f64;
    let mut gradient = vec![0.0; n * FEATURES];
    for &(a, p, q) in &active {
        add_slope(&mut gradient, x, (a, p), 1.0 / counted);
        add_slope(&mut gradient, x, (a, q), -1.0 / counted);
    }
    let loss = active.iter().map(value).sum::<f64>() / counted;
    let active = active.len() as f64 / chosen.len().max(1) as f64;
    with_distances(Expected { loss, active, gradient, ..Expected::default() }, x, labels)
}

/// The contrastive loss, as a loop over pairs.
fn brute_force_pairs(x: &Tensor, labels: &[u32], margin: f64) -> Expected {
    let n = labels.len();
    let (mut losses, mut active, mut gradient) = (vec![], vec![], vec![0.0; n * FEATURES]);
    let count = (n * (n - 1) / 2).max(1) as f64;
    for i in 0..n {
        for j in 0..i {
            let d = distance(x, i, j).sqrt();
            let missing = (margin - d).max(0.0);
            let same = labels[i] == labels[j];
            losses.push(if same { d * d / 2.0 } else { missing * missing / 2.0 });
            active.push(f64::from(u8::from(losses[losses.len() - 1] > 0.0)));
            let slope = if same { 0.5 } else { -0.5 * missing / d };
            if d > 0.0 {
                add_slope(&mut gradient, x, (i, j), slope / count);
            }
        }
    }
    let (loss, active) = (mean(&losses), mean(&active));
    with_distances(Expected { loss, active, gradient, ..Expected::default() }, x, labels)
}

/// Compares a loss with its definition on every composition of a batch and every kind of embeddings.
fn compare(name: &str, loss: impl Fn(&Trace) -> DistanceStatistics, expected: impl Fn(&Tensor, &[u32]) -> Expected) {
    let model = Model::build(|x| x * 1.0, [FEATURES], 0).unwrap();
    let watched = ["active", "positive_distance", "negative_distance"];
    let objective = model.objective_of(Mode::Train, Wrt::Values(&["output"]), |t| loss(t).named()).unwrap();
    let mut objective = objective.watching(&watched).unwrap();
    for n in 1..=SAMPLES {
        for (number, sizes) in partitions(n, n).iter().enumerate() {
            for kind in [Embeddings::Unit, Embeddings::Tied, Embeddings::Repeated, Embeddings::Collapsed] {
                let key = Key::new(n as u64).at(number as u64);
                let (x, labels) = (kind.draw(n, key), labels(sizes, key));
                let expected = expected(&x, &labels);
                let batch = Batch::new().with("input", &x).with("labels", Tensor::from(labels));
                let step = objective.evaluate(&model, &batch).unwrap();
                let case = format!("{name}, {kind:?}, {sizes:?}");
                let close = |got: f32, expected: f64| (f64::from(got) - expected).abs() < 3e-6 * (1.0 + expected.abs());
                assert!(close(step.loss(), expected.loss), "{case}: the loss {} for {}", step.loss(), expected.loss);
                let statistics = [expected.active, expected.positive, expected.negative];
                for (name, expected) in watched.iter().zip(statistics) {
                    let got = step.activation(name).unwrap()[0];
                    assert!(close(got, expected), "{case}: {name} is {got}, expected {expected}");
                }
                for (i, (got, expected)) in step.gradient("output").unwrap().iter().zip(&expected.gradient).enumerate()
                {
                    assert!(close(*got, *expected), "{case}: gradient {i} is {got}, expected {expected}");
                }
            }
        }
    }
}

#[test]
fn mined_triplets_are_those_of_loops_over_every_composition_of_a_batch() {
    for mining in [Mining::All, Mining::Hard, Mining::SemiHard] {
        let loss = TripletLoss::default().mined(mining);
        let of_batch = |t: &Trace| loss.statistics(&t.output(), &t.labels("labels"));
        compare(&format!("{mining:?}"), of_batch, |x, labels| brute_force(x, labels, mining, 0.0));
    }
}

#[test]
fn a_warm_up_goes_from_semi_hard_to_hard() {
    let loss = TripletLoss::default().mined(Mining::SemiHard);
    for hardness in [0.0, 0.5, 1.0] {
        let warm = |t: &Trace| {
            let hardness = t.filled(hardness as f32, Shape::from([1]));
            loss.warming_up(&t.output(), &t.labels("labels"), &hardness)
        };
        compare(&format!("hardness {hardness}"), warm, |x, labels| brute_force(x, labels, Mining::SemiHard, hardness));
    }
    assert_eq!([0.0, 4.0, 6.0, 9.0].map(|at| warm_up(at, 4.0..8.0)), [0.0, 0.0, 0.5, 1.0]);
    assert_eq!(warm_up(4.0, 4.0..4.0), 1.0);
}

#[test]
fn contrastive_pairs_are_those_of_loops_over_every_composition_of_a_batch() {
    let loss = ContrastiveLoss { margin: 0.8 };
    let of_batch = |t: &Trace| loss.within_batch(&t.output(), &t.labels("labels"));
    compare("contrastive", of_batch, |x, labels| brute_force_pairs(x, labels, f64::from(0.8f32)));
}

/// A batch-hard loss pulls and pushes samples that are all in one place nowhere: the loss is the margin, to the bit,
/// and a training that is forced there says so.
#[test]
fn equal_embeddings_have_exactly_the_margin_and_a_warning() {
    let network = |x: &Node| (x.apply("w", Dense::new(16)) * 0.0 + 1.0).l2_normalised(1e-12);
    let mut model = Model::build(network, [3], 0).unwrap();
    for mining in [Mining::All, Mining::Hard, Mining::SemiHard] {
        let loss = TripletLoss::default().mined(mining);
        let of_batch = |t: &Trace| loss.statistics(&t.output(), &t.labels("labels")).named();
        let objective = model.objective_of(Mode::Train, Wrt::Values(&["output"]), of_batch).unwrap();
        let mut objective = objective.watching(&["negative_distance", "active"]).unwrap();
        let labels: Vec<u32> = (0..40).map(|i| i / 4).collect();
        let batch =
            Batch::new().with("input", Tensor::uniform([40, 3], Key::new(1))).with("labels", Tensor::from(labels));
        let step = objective.step(&mut model, &batch).unwrap();
        assert_eq!(step.loss(), 0.2, "{mining:?}");
        assert!(step.gradient("output").unwrap().iter().all(|g| g.abs() < 1e-6), "{mining:?}");
        assert_eq!(step.activation("active"), Some(&[1.0][..]));
        let negative = step.activation("negative_distance").unwrap()[0];
        assert_eq!(negative, 0.0);
        let warning = TripletLoss::default().collapse_warning(step.loss(), negative).unwrap();
        assert!(warning.starts_with("the embeddings have collapsed: those of two identities are 0.0000 apart"));
    }
    assert_eq!(TripletLoss::default().collapse_warning(0.2, 0.5), None);
}

fn labelled(labels: &[u32]) -> (Shape, Value) {
    (Shape::new([Dim::Batch(1)]), Value::U32(Tensor::from(labels.to_vec())))
}

fn check_in_batch(loss: impl DistanceLoss, labels: &[u32]) {
    let x = Tensor::uniform([labels.len(), 3], Key::new(labels.len() as u64));
    check_gradients_at(&InBatch(loss), &[(Shape::batch(&[3]), Value::F32(x)), labelled(labels)]).unwrap();
}

#[test]
fn gradients_are_slopes() {
    for mining in [Mining::All, Mining::Hard, Mining::SemiHard] {
        check_in_batch(TripletLoss { margin: 0.3 }.mined(mining), &[4, 4, 1, 4, 1, 9]);
    }
    check_in_batch(ContrastiveLoss { margin: 1.5 }, &[4, 4, 1, 4, 1, 9]);
    let row = |key| (Shape::batch(&[3]), Value::F32(Tensor::uniform([4, 3], Key::new(key))));
    check_gradients_at(&GivenTriplets(TripletLoss::default()), &[row(1), row(2), row(3)]).unwrap();
}

#[test]
fn given_triplets_and_pairs_are_those_of_loops() {
    let given = |t: &Trace| [0, 1, 2].map(|part| t.output().split_batch(part, 3));
    let batch = |x: &Tensor| Batch::new().with("input", x);
    let input = |t: &Trace| t.input("input", Shape::new([Dim::Batch(3), Dim::Fixed(FEATURES)])) * 1.0;
    let model = Model::trace(0, input).unwrap();
    for kind in [Embeddings::Unit, Embeddings::Tied, Embeddings::Repeated, Embeddings::Collapsed] {
        let x = kind.draw(12, Key::new(4));
        // triplets
        let loss = |t: &Trace| {
            let [a, p, n] = given(t);
            TripletLoss::default().statistics(&a, &p, &n).named()
        };
        let mut objective = model.objective_of(Mode::Train, Wrt::Values(&["output"]), loss).unwrap();
        let step = objective.evaluate(&model, &batch(&x)).unwrap();
        let value = |i: usize| distance(&x, i, 4 + i) - distance(&x, i, 8 + i) + f64::from(0.2f32);
        let (mut expected, mut gradient) = (0.0, vec![0.0; 12 * FEATURES]);
        for i in (0..4).filter(|&i| value(i) > 0.0) {
            expected += value(i) / 4.0;
            add_slope(&mut gradient, &x, (i, 4 + i), 0.25);
            add_slope(&mut gradient, &x, (i, 8 + i), -0.25);
        }
        assert!((f64::from(step.loss()) - expected).abs() < 1e-6, "{kind:?}");
        let pairs = step.gradient("output").unwrap().iter().zip(&gradient);
        pairs.for_each(|(got, expected)| assert!((f64::from(*got) - expected).abs() < 1e-6, "{kind:?}"));
        // pairs, the last of them of two identities
        let margin = 1.25;
        let loss = |t: &Trace| {
            let [a, b, _] = given(t);
            ContrastiveLoss { margin: margin as f32 }.of_pairs(&a, &b, &t.labels("same")).loss
        };
        let mut objective = model.objective_of(Mode::Train, Wrt::Values(&["output"]), loss).unwrap();
        let batch = |same: Vec<u32>| batch(&x).with("same", Tensor::from(same));
        let step = objective.evaluate(&model, &batch(vec![1, 1, 1, 0])).unwrap();
        let (mut expected, mut gradient) = (0.0, vec![0.0; 12 * FEATURES]);
        for i in 0..4 {
            let d = distance(&x, i, 4 + i).sqrt();
            let missing = (margin - d).max(0.0);
            let (value, slope) = if i < 3 { (d * d / 2.0, 0.5) } else { (missing * missing / 2.0, -0.5 * missing / d) };
            expected += value / 4.0;
            if d > 0.0 {
                add_slope(&mut gradient, &x, (i, 4 + i), slope / 4.0);
            }
        }
        assert!((f64::from(step.loss()) - expected).abs() < 1e-6, "{kind:?}");
        let pairs = step.gradient("output").unwrap().iter().zip(&gradient);
        pairs.for_each(|(got, expected)| assert!((f64::from(*got) - expected).abs() < 1e-6, "{kind:?}"));
        let error = objective.evaluate(&model, &batch(vec![1, 2, 1, 0])).unwrap_err().to_string();
        assert_eq!(error, "(ContrastiveLoss): label 2 of pair 1 is neither 0 (two identities) nor 1 (one)");
    }
}

fn encoder() -> impl Layer {
    func(|x: &Node| x.apply("fc1", Dense::new(8)).tanh().apply("fc2", Dense::new(4)).l2_normalised(1e-12))
}

/// Anchor, positive and negative through three towers of one encoder, or as a batch of all three through one.
#[test]
fn three_towers_and_one_batch_have_the_same_loss_and_gradients() {
    let sides = ["anchor", "positive", "negative"];
    let mut towers = Model::trace(7, |t| {
        let tower = Shared::new("encoder", encoder());
        let embeddings =
            sides.map(|side| t.input(side, [6]).apply(format!("{side} tower"), &tower).named(side_name(side)));
        embeddings[0].clone()
    })
    .unwrap();
    let all = |t: &Trace| t.input("input", Shape::new([Dim::Batch(3), Dim::Fixed(6)])).apply("encoder", encoder());
    let mut one = Model::trace(7, all).unwrap();
    assert_eq!(towers.parameters().trained_count(), 6 * 8 + 8 + 8 * 4 + 4);
    assert_eq!(towers.parameters().trained_count(), one.parameters().trained_count());

    let inputs = [1, 2, 3].map(|key| Tensor::uniform([5, 6], Key::new(key)));
    let mut separate = Batch::new();
    sides.iter().zip(&inputs).for_each(|(side, x)| separate.set(*side, x.clone()));
    let together = inputs.iter().flat_map(|x| x.data().to_vec()).collect();
    let together = Batch::new().with("input", Tensor::from_vec([15, 6], together).unwrap());

    let loss = TripletLoss { margin: 0.5 };
    let of_towers = |t: &Trace| {
        let [a, p, n] = sides.map(|side| t.tap(side_name(side)));
        loss.loss(&a, &p, &n)
    };
    let of_one = |t: &Trace| {
        let [a, p, n] = [0, 1, 2].map(|part| t.output().split_batch(part, 3));
        loss.loss(&a, &p, &n)
    };
    let mut objective = towers.objective(of_towers).unwrap();
    let step = objective.step(&mut towers, &separate).unwrap();
    let mut objective = one.objective(of_one).unwrap();
    let other = objective.step(&mut one, &together).unwrap();
    assert!(step.loss() > 0.1 && (step.loss() - other.loss()).abs() < 1e-6);
    let mut compared = 0;
    for (name, gradient) in step.gradients() {
        let other = other.gradient(name).unwrap();
        gradient.iter().zip(other).for_each(|(a, b)| assert!((a - b).abs() < 1e-6, "{name}: {a} and {b}"));
        compared += 1;
    }
    assert_eq!(compared, 4);
}

fn side_name(side: &str) -> &'static str {
    match side {
        "anchor" => "embedding of the anchor",
        "positive" => "embedding of the positive",
        _ => "embedding of the negative",
    }
}

#[test]
fn settings_and_shapes_of_losses_on_distances_are_checked() {
    let model = Model::build(|x| x * 1.0, [3], 0).unwrap();
    let error = |loss: &dyn Fn(&Trace) -> Node| model.objective(loss).unwrap_err().to_string();
    let mined = |margin: f32| TripletLoss { margin }.mined(Mining::Hard);
    let labels = |t: &Trace| t.labels("labels");
    assert_eq!(
        error(&|t: &Trace| mined(-1.0).loss(&t.output(), &labels(t))),
        "(TripletLoss): the margin -1 is not a finite number from 0 on"
    );
    assert!(
        error(&|t: &Trace| mined(0.2).loss(&t.output().mean(), &labels(t)))
            .starts_with("(TripletLoss): expected embeddings [N, features], got []")
    );
    assert_eq!(
        error(&|t: &Trace| ContrastiveLoss { margin: 0.0 }.within_batch(&t.output(), &labels(t)).loss),
        "(ContrastiveLoss): the margin 0 is not a positive number"
    );
    assert!(
        error(&|t: &Trace| TripletLoss::default().loss(&t.output(), &t.output(), &t.input("n", [4])))
            .starts_with("(TripletLoss): shapes differ")
    );
    let hardness = |t: &Trace| t.input("hardness", [1]);
    assert!(
        error(&|t: &Trace| mined(0.2).warming_up(&t.output(), &labels(t), &hardness(t)).loss)
            .starts_with("(TripletLoss): expected a hardness [1], got [N, 1]")
    );
}
