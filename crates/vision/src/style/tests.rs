//! Style transfer on small images with random filters.

use super::*;
use ocelli_graph::Key;
use ocelli_train::StopFlag;

fn features() -> VggFeatures {
    VggFeatures::random(&[1, 1, 1], 3)
}

fn image(seed: u64, size: [usize; 2]) -> Tensor {
    let mut stream = Key::new(seed).stream();
    let phases: [f32; 3] = std::array::from_fn(|_| stream.between(0.0, 6.0));
    Tensor::from_fn([1, size[0], size[1], 3], |at| {
        0.5 + 0.4 * (0.7 * (at[1] as f32) + 0.4 * seed as f32 * at[2] as f32 + phases[at[3]]).sin()
    })
}

fn small(settings: StyleTransfer, scales: Vec<Scale>) -> StyleTransfer {
    StyleTransfer { scales, ..settings.fitted_to(&features()).unwrap() }
}

fn run(settings: &StyleTransfer, styles: &[Style]) -> Stylised {
    settings.run(&features(), &image(1, [24, 32]), styles, &StopFlag::new(), |_| ()).unwrap()
}

#[test]
fn the_cost_falls_at_every_step_from_noise() {
    let mut settings = small(StyleTransfer::gatys(), StyleTransfer::one_scale(32, 30));
    settings.beta = 1e6;
    let stylised = run(&settings, &[Style::new(image(2, [20, 20]))]);
    assert!(stylised.totals.windows(2).all(|pair| pair[1] < pair[0]), "{:?}", stylised.totals);
    assert!(stylised.totals[0] > 10.0 * stylised.totals[stylised.totals.len() - 1], "{:?}", stylised.totals);
    assert!(stylised.image.data().iter().all(|value| (0.0..=1.0).contains(value)));
}

/// Weights that are all multiplied by 2^±20 multiply the cost, and change no bit of the image.
#[test]
fn the_scale_of_the_cost_changes_no_bit_of_the_image() {
    let settings = small(StyleTransfer::course(), StyleTransfer::one_scale(24, 8));
    let style = [Style::new(image(2, [20, 20]))];
    let expected = run(&settings, &style).image;
    for factor in [2f32.powi(-20), 2f32.powi(20)] {
        let (alpha, beta) = (settings.alpha * factor, settings.beta * factor);
        let scaled = StyleTransfer { alpha, beta, ..settings.clone() };
        assert_eq!(run(&scaled, &style).image, expected);
    }
}

#[test]
fn a_start_without_any_cost_stays() {
    let settings = StyleTransfer { beta: 0.0, ..small(StyleTransfer::course(), StyleTransfer::one_scale(32, 5)) };
    let stylised = run(&settings, &[Style::new(image(2, [20, 20]))]);
    assert_eq!((stylised.image, stylised.totals), (image(1, [24, 32]), vec![0.0]));
}

#[test]
fn scales_go_from_coarse_to_fine() {
    let sides = |scales: &[Scale]| scales.iter().map(|scale| (scale.side, scale.steps)).collect::<Vec<_>>();
    let all = StyleTransfer::coarse_to_fine(128, 512, [1000, 500]);
    assert_eq!(sides(&all), [(128, 1000), (181, 500), (256, 500), (362, 500), (512, 500)]);
    assert_eq!(sides(&StyleTransfer::coarse_to_fine(128, 64, [9, 5])), [(64, 9)]);
    let settings = small(StyleTransfer::modern(), StyleTransfer::coarse_to_fine(16, 32, [30, 20]));
    let stylised = run(&settings, &[Style::new(image(2, [20, 20]))]);
    assert_eq!(stylised.image.shape(), [1, 24, 32, 3]);
    assert!(stylised.totals.last() < stylised.totals.first(), "{:?}", stylised.totals);
}

#[test]
fn several_styles_masks_and_a_stop() {
    let settings = small(StyleTransfer::course(), StyleTransfer::one_scale(32, 6));
    let left = Tensor::from_fn([1, 24, 32, 1], |at| if at[2] < 16 { 1.0 } else { 0.0 });
    let styles = [
        Style { mask: Some(left), ..Style::new(image(2, [20, 20])) },
        Style { weight: 3.0, ..Style::new(image(3, [16, 28])) },
    ];
    let stylised = run(&settings, &styles);
    assert!(stylised.totals.windows(2).all(|pair| pair[1] < pair[0]), "{:?}", stylised.totals);

    let stop = StopFlag::new();
    let mut steps = 0;
    let content = image(1, [24, 32]);
    let stopped = settings.run(&features(), &content, &styles[1..], &stop, |step| {
        steps = step.step;
        if step.step == 2 {
            stop.set();
        }
    });
    let stopped = stopped.unwrap();
    assert!(stopped.stopped && steps == 2 && stopped.totals.len() == 3);
}

#[test]
fn memory_is_planned_and_kept_within_a_limit() {
    let settings = small(StyleTransfer::gatys(), StyleTransfer::one_scale(64, 1));
    let styles = [Style::new(image(2, [20, 20]))];
    let plan = |settings: &StyleTransfer| settings.plan(&features(), &image(1, [24, 32]), &styles).unwrap()[0];
    let kept = plan(&settings);
    assert_eq!((kept.size, kept.recomputes), ([48, 64], false));
    let recomputed = plan(&StyleTransfer { memory_limit: Some(1), ..settings.clone() });
    assert!(recomputed.recomputes && recomputed.network <= kept.network, "{recomputed:?}, {kept:?}");
    // with the same bits
    let settings = small(settings, StyleTransfer::one_scale(32, 3));
    let limited = StyleTransfer { memory_limit: Some(1), ..settings.clone() };
    assert_eq!(run(&limited, &styles).image, run(&settings, &styles).image);
}

#[test]
fn colours_are_kept() {
    let (image, colours) = (image(1, [9, 12]), image(2, [20, 20]));
    let grey = |pixel: &[f32]| 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2];
    let soft = Tensor::from_fn([1, 9, 12, 3], |at| 0.45 + 0.1 * image.data()[(at[1] * 12 + at[2]) * 3 + at[3]]);
    let flat = Tensor::from_fn([1, 9, 12, 3], |at| [0.5, 0.4, 0.6][at[3]]);
    let kept = with_colours_of(&soft, &flat).unwrap();
    for (new, old) in kept.data().chunks(3).zip(soft.data().chunks(3)) {
        assert!((grey(new) - grey(old)).abs() < 1e-5);
        assert!((new[0] - new[1] - 0.1).abs() < 1e-5 && (new[2] - new[1] - 0.2).abs() < 1e-5);
    }
    // matching to an image's own colours changes nothing, and to others' gives their mean
    let own = match_colours(&colours, &colours).unwrap();
    assert!(own.data().iter().zip(colours.data()).all(|(a, b)| (a - b).abs() < 1e-3));
    let matched = match_colours(&colours, &soft).unwrap();
    let mean = |x: &Tensor, c: usize| x.data().iter().skip(c).step_by(3).sum::<f32>() / (x.len() / 3) as f32;
    for c in 0..3 {
        assert!((mean(&matched, c) - mean(&soft, c)).abs() < 1e-3);
    }
}

#[test]
fn what_cannot_be_used_is_said() {
    let settings = small(StyleTransfer::course(), StyleTransfer::one_scale(32, 1));
    let (content, style) = (image(1, [24, 32]), Style::new(image(2, [20, 20])));
    let error = |settings: &StyleTransfer, content: &Tensor, styles: &[Style]| {
        settings.run(&features(), content, styles, &StopFlag::new(), |_| ()).unwrap_err().to_string()
    };
    assert!(error(&settings, &content, &[]).contains("at least one style"));
    assert!(
        error(&settings, &Tensor::zeros([1, 4, 4, 1]), std::slice::from_ref(&style)).contains("images [1, H, W, 3]")
    );
    let none = StyleTransfer { scales: Vec::new(), ..settings.clone() };
    assert!(error(&none, &content, std::slice::from_ref(&style)).contains("at least one scale"));
    let unknown = StyleTransfer { style_layers: vec![("relu9_1".into(), 1.0)], ..settings.clone() };
    assert!(
        error(&unknown, &content, std::slice::from_ref(&style))
            .contains("no layer relu9_1; there are: relu1_1, relu2_1, relu3_1")
    );
    assert!(unknown.fitted_to(&features()).unwrap_err().to_string().starts_with("no style layer is one of"));
    // an image of one pixel has nothing to be pooled
    let tiny = image(1, [1, 1]);
    let one = StyleTransfer { scales: StyleTransfer::one_scale(1, 1), ..settings };
    assert!(!error(&one, &tiny, &[style]).is_empty());
}
