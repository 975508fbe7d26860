use super::*;
use ocelli_tensor::Tensor;

/// Makes an image of drawn values.
fn drawn(shape: [usize; 3]) -> Image {
    let mut random = Key::new(shape[0] as u64).stream();
    Image::new(shape, (0..shape.iter().product()).map(|_| random.below(256) as u8).collect()).unwrap()
}

fn applied(pipeline: &Pipeline, image: &Image, key: u64) -> Result<Tensor> {
    let shape = pipeline.shape(Some(image.size()))?;
    let mut out = Tensor::zeros(shape);
    pipeline.apply(&mut image.clone(), Key::new(key), &mut Scratch::default(), out.data_mut())?;
    Ok(out)
}

fn piped(transforms: &[Transform]) -> Pipeline {
    Pipeline::new().with_transforms(transforms)
}

#[test]
fn the_shorter_side_is_resized_and_the_middle_is_cut_out() {
    let shape = |list: &[Transform]| applied(&piped(list), &drawn([300, 451, 3]), 0).unwrap().shape().to_vec();
    assert_eq!(shape(&[Transform::ShorterSide(256)]), [256, 384, 3]);
    assert_eq!(shape(&[Transform::ShorterSide(256), Transform::CentreCrop([224, 224])]), [224, 224, 3]);
    assert_eq!(shape(&[Transform::Pad([301, 500])]), [301, 500, 3]);

    let image = drawn([451, 300, 3]);
    let whole = applied(&piped(&[]), &image, 0).unwrap();
    let cut = applied(&piped(&[Transform::CentreCrop([100, 99])]), &image, 0).unwrap();
    // 351 / 2 rounds to the even 176, 201 / 2 to 100.
    assert_eq!(cut[[0, 0, 1]], whole[[176, 100, 1]]);
    assert_eq!(cut[[99, 98, 2]], whole[[275, 198, 2]]);
    let padded = applied(&piped(&[Transform::Pad([454, 300])]), &image, 0).unwrap();
    assert_eq!((padded[[0, 7, 0]], padded[[1, 7, 0]]), (0.0, whole[[0, 7, 0]]));
    assert_eq!((padded[[451, 7, 0]], padded[[452, 7, 0]]), (whole[[450, 7, 0]], 0.0));
    // What is cropped behind a resize is the same as what is cropped out of all of it.
    let (resize, crop) = (Transform::Stretch([80, 90]), Transform::CentreCrop([31, 20]));
    let together = applied(&piped(&[resize.clone(), crop.clone()]), &image, 0).unwrap();
    let (mut scratch, mut between) = (Scratch::default(), image.clone());
    piped(&[resize]).run_transforms(&mut between, Key::new(0), &mut scratch).unwrap();
    assert_eq!(together, applied(&piped(&[crop]), &between, 0).unwrap());
}

#[test]
fn values_are_normalised_in_the_order_of_the_channels() {
    let colour = Image::new([1, 1, 3], vec![255, 51, 0]).unwrap();
    let grey = Image::new([1, 1, 1], vec![51]).unwrap();
    let close = |pipeline: &Pipeline, image: &Image, expected: &[f32]| {
        let got = applied(pipeline, image, 0).unwrap();
        assert!(got.data().iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4), "{got:?} for {expected:?}");
    };
    let imagenet = piped(&[]).normalised_by(Statistics::imagenet());
    close(&imagenet, &colour, &[(1.0 - 0.485) / 0.229, (0.2 - 0.456) / 0.224, -0.406 / 0.225]);
    close(&imagenet, &grey, &[(0.2 - 0.485) / 0.229, (0.2 - 0.456) / 0.224, (0.2 - 0.406) / 0.225]);
    close(&Pipeline::caffe([1, 1]), &colour, &[-104.0, 51.0 - 117.0, 255.0 - 123.0]);
    close(&piped(&[]).grey(), &colour, &[(0.299 * 255.0 + 0.587 * 51.0f32).round() / 255.0]);
    close(&piped(&[]).grey(), &grey, &[0.2]);
    close(&Pipeline::mnist([1, 1]), &Image::new([1, 1, 1], vec![255]).unwrap(), &[INK]);
    close(&Pipeline::mnist([3, 3]), &grey, &[PAPER]);
}

#[test]
fn settings_are_plain_json() {
    let text = concat!(
        r#"{"transforms":[{"shorter_side":256},{"centre_crop":[224,224]}],"filter":"bilinear","channels":"rgb","#,
        r#""normalisation":{"mean":[0.485,0.456,0.406],"deviation":[0.229,0.224,0.225]}}"#
    );
    let settings = Pipeline::imagenet([224, 224]);
    assert_eq!(serde_json::to_string(&settings).unwrap(), text);
    assert_eq!(serde_json::from_str::<Pipeline>(text).unwrap(), settings);
    assert!(serde_json::from_str::<Pipeline>(&text.replace("rgb", "cmyk")).is_err());
}

#[test]
fn what_cannot_be_is_said() {
    let error = |list: &[Transform]| applied(&piped(list), &drawn([20, 30, 3]), 0).unwrap_err().to_string();
    assert_eq!(error(&[Transform::CentreCrop([21, 30])]), "20 x 30 pixels are too few to cut 21 x 30 out of them");
    assert_eq!(error(&[Transform::Pad([19, 40])]), "20 x 30 pixels are too many to put into 19 x 40 of black");
    assert_eq!(error(&[Transform::ShorterSide(0)]), "cannot resize to 0 x 1 pixels");
    assert!(error(&[Transform::ShorterSide(usize::MAX)]).starts_with("cannot resize to 4294967295 x 1"));
    assert!(error(&[Transform::Pad([1 << 20, 1])]).starts_with("cannot resize to 1048576 x 1 pixels: "));
    let limits = "the limits are 16384 on a side and 67108864 in all";
    assert_eq!(
        error(&[Transform::ShorterSide(12_000)]),
        format!("20 x 30 pixels cannot be resized to 12000 x 18000 pixels: {limits}")
    );
    assert_eq!(
        error(&[Transform::Stretch([1, 1]), Transform::Digit]),
        "no digit to be seen: the image has no contrast"
    );
    let margin = Transform::RandomCrop { margin: 20, border: Border::Edge };
    assert_eq!(error(&[margin]), "a margin of 20 pixels around images of 20 x 30 pixels");
    let crop = |area, ratio| error(&[Transform::RandomResizedCrop { size: [2, 2], area, ratio }]);
    assert_eq!(crop([0.0, 1.0], [1.0, 1.0]), "shares of the area from 0 to 1");
    assert_eq!(crop([0.5, 1.0], [2.0, 1.0]), "ratios from 2 to 1");
    assert_eq!(crop([0.5, f32::NAN], [1.0, 1.0]), "shares of the area from 0.5 to NaN");
    let large = [4096, 1].map(|side| Transform::Stretch([side; 2]));
    assert_eq!(
        error(&large),
        "4096 x 4096 pixels are too many between two transforms, for an image and a result that are much smaller"
    );
    let long = [1024, 1].repeat(65).into_iter().map(|side| Transform::Stretch([side; 2])).collect::<Vec<_>>();
    assert_eq!(error(&long), "the transforms make more than 16 times the pixels of the image");
    assert_eq!(error(&[Transform::OneOf(vec![])]), "one of no transforms");
    let sometimes = |probability| error(&[Transform::Sometimes { probability, transforms: vec![] }]);
    assert_eq!(sometimes(1.5), "a probability from 0 to 1.5");
    assert_eq!(sometimes(f32::NAN), "a probability from 0 to NaN");
    let border = Border::Black;
    assert_eq!(
        error(&[Transform::RandAugment { operations: 2, magnitude: 31, border }]),
        "a magnitude of 31, but the largest is 30"
    );
    let apply = |operation| error(&[Transform::Apply(operation)]);
    assert_eq!(apply(crate::Operation::Posterise(9)), "9 bits of a byte");
    let grey = Pipeline { channels: Channels::Grey, ..Pipeline::imagenet([8, 8]) };
    assert_eq!(grey.shape(None).unwrap_err().to_string(), "3 means and 3 deviations for 1 channels");
    let open = Pipeline::new().with_transforms([Transform::ShorterSide(8)]).shape(None).unwrap_err().to_string();
    assert_eq!(
        open,
        "the pipeline does not say the size of its result: end its transforms with one that does, such as a crop"
    );
    let mut room = [0.0; 5];
    let room =
        Pipeline::new().apply(&mut drawn([2, 2, 3]), Key::new(0), &mut Scratch::default(), &mut room).unwrap_err();
    assert_eq!(room.to_string(), "room for 5 values, but a sample has 12");
}

/// Returns the value that is seen at a place beyond the border, by its definition.
fn beyond(image: &Image, [y, x]: [isize; 2], c: usize, border: Border) -> u8 {
    let [height, width] = image.size().map(|side| side as isize);
    let inside = (0..height).contains(&y) && (0..width).contains(&x);
    let fold = |at: isize, side: isize| {
        if at < 0 {
            -at
        } else if at >= side {
            2 * side - 2 - at
        } else {
            at
        }
    };
    let [y, x] = match border {
        Border::Black if !inside => return 0,
        Border::Colour(colour) if !inside => return colour[c],
        Border::Edge => [y.clamp(0, height - 1), x.clamp(0, width - 1)],
        Border::Reflect => [fold(y, height), fold(x, width)],
        Border::Black | Border::Colour(_) => [y, x],
    };
    image.pixels()[(y * width + x) as usize * image.channels() + c]
}

#[test]
fn every_random_crop_is_one_of_the_definition_and_all_are_drawn() {
    let (image, margin) = (drawn([6, 5, 3]), 2);
    for border in [Border::Black, Border::Colour([1, 2, 3]), Border::Edge, Border::Reflect] {
        let mut seen = std::collections::BTreeSet::new();
        for key in 0..400 {
            let got = applied(&piped(&[Transform::RandomCrop { margin, border }]), &image, key).unwrap();
            let bytes: Vec<u8> = got.data().iter().map(|value| (value * 255.0).round() as u8).collect();
            let shifts = (-2..=2isize).flat_map(|down| (-2..=2isize).map(move |across| [down, across]));
            let shift = shifts.into_iter().find(|[down, across]| {
                bytes.iter().enumerate().all(|(at, value)| {
                    let (c, x, y) = (at % 3, (at / 3 % 5) as isize, (at / 15) as isize);
                    *value == beyond(&image, [y + down, x + across], c, border)
                })
            });
            seen.insert(shift.expect("a crop by the definition"));
        }
        assert_eq!(seen.len(), 25, "{border:?}");
    }
}

#[test]
fn mirroring_is_drawn_and_exact() {
    for channels in [1, 3] {
        let image = drawn([5, 4, channels]);
        let plain = applied(&piped(&[]), &image, 0).unwrap();
        for direction in [Mirror::LeftRight, Mirror::TopBottom] {
            let list = [Transform::RandomMirror(direction)];
            let results: Vec<Tensor> = (0..50).map(|key| applied(&piped(&list), &image, key).unwrap()).collect();
            let mirrored = Tensor::from_fn([5, 4, 3], |at| match direction {
                Mirror::LeftRight => plain[[at[0], 3 - at[1], at[2]]],
                Mirror::TopBottom => plain[[4 - at[0], at[1], at[2]]],
            });
            assert!(results.iter().all(|result| *result == plain || *result == mirrored));
            assert!(results.contains(&plain) && results.contains(&mirrored));
        }
    }
}

#[test]
fn random_parts_have_the_shares_and_ratios_that_were_requested() {
    // A gradient tells the place and the size of a part: the value is the column, or the row.
    let image = Image::new([200, 100, 3], (0..20_000).flat_map(|at| [(at % 100) as u8, (at / 100) as u8, 0]).collect());
    let image = image.unwrap();
    for key in 0..200 {
        let crop = Transform::RandomResizedCrop { size: [10, 10], area: [0.1, 0.3], ratio: [0.5, 2.0] };
        let got = applied(&piped(&[crop]), &image, key).unwrap();
        let value = |at: [usize; 3]| got[at] * 255.0;
        let width = (value([5, 9, 0]) - value([5, 0, 0])) * 10.0 / 9.0;
        let height = (value([9, 5, 1]) - value([0, 5, 1])) * 10.0 / 9.0;
        let (area, ratio) = (width * height / 20_000.0, width / height);
        assert!((0.08..0.34).contains(&area) && (0.45..2.2).contains(&ratio), "{key}: {width} x {height}");
    }
    // Ratios that no part of such an area has: the largest part in the middle.
    let crop = Transform::RandomResizedCrop { size: [4, 4], area: [1.0, 1.0], ratio: [1.0, 1.0] };
    let got = applied(&piped(&[crop]), &image, 1).unwrap();
    assert!((got[[0, 0, 1]] * 255.0 - 62.0).abs() < 3.0, "{}", got[[0, 0, 1]] * 255.0);
}

#[test]
fn a_list_of_transforms_is_read_up_to_a_length() {
    let text = |count: usize| {
        let list = vec![r#""digit""#; count].join(",");
        serde_json::to_string(&Pipeline::new()).unwrap().replace("[]", &format!("[{list}]"))
    };
    assert_eq!(serde_json::from_str::<Pipeline>(&text(1000)).unwrap().transforms.len(), 1000);
    let error = serde_json::from_str::<Pipeline>(&text(1001)).unwrap_err().to_string();
    assert!(error.starts_with("invalid length 1001, expected at most 1000 transforms"), "{error}");
}

/// Counts how often each kind of result comes out of 600 draws.
fn kinds(transform: Transform, kind: impl Fn(&Tensor) -> usize, kinds: usize) -> Vec<usize> {
    let (image, pipeline) = (drawn([20, 24, 3]), piped(&[transform]));
    let mut counts = vec![0; kinds];
    for key in 0..600 {
        counts[kind(&applied(&pipeline, &image, key).unwrap())] += 1;
    }
    counts
}

#[test]
fn probabilities_are_those_that_were_requested() {
    use crate::Operation::{Brightness, Invert};
    let image = drawn([20, 24, 3]);
    let plain = applied(&piped(&[]), &image, 0).unwrap();
    let dark = |result: &Tensor| usize::from(result.data().iter().all(|value| *value == 0.0));
    let transforms = vec![Transform::Apply(Brightness(0.0))];
    let counts = kinds(Transform::Sometimes { probability: 0.3, transforms }, dark, 2);
    assert!((130..230).contains(&counts[1]), "{counts:?}");
    let one = Transform::OneOf(vec![Transform::Apply(Brightness(0.0)), Transform::Apply(Invert)]);
    let kind = |result: &Tensor| if *result == plain { 2 } else { dark(result) };
    let counts = kinds(one, kind, 3);
    assert!((250..350).contains(&counts[0]) && counts[2] == 0, "{counts:?}");
}

#[test]
fn policies_draw_all_operations_and_the_same_again() {
    for transform in [
        Transform::RandAugment { operations: 1, magnitude: 20, border: Border::Black },
        Transform::TrivialAugmentWide(Border::Edge),
    ] {
        let (image, pipeline) = (drawn([20, 24, 3]), piped(&[transform]));
        let result = |key| applied(&pipeline, &image, key).unwrap();
        let different: std::collections::BTreeSet<Vec<u32>> =
            (0..300).map(|key| result(key).data().iter().map(|value| value.to_bits()).collect()).collect();
        assert!(different.len() > 20, "{}", different.len());
        assert_eq!(result(7), result(7));
    }
}

#[test]
fn a_transform_more_changes_no_draw_of_the_others() {
    let image = drawn([20, 24, 3]);
    let crop = Transform::random_resized_crop([9, 9]);
    let with = |more: Vec<Transform>| {
        let list = [vec![crop.clone()], more].concat();
        applied(&piped(&list), &image, 5).unwrap()
    };
    assert_eq!(with(vec![]), with(vec![Transform::RandomGamma([1.0, 1.0])]));
}

#[test]
fn ten_crops_are_the_middle_the_corners_and_their_mirrors() {
    let image = drawn([9, 12, 3]);
    let whole = applied(&piped(&[]), &image, 0).unwrap();
    let views = piped(&[Transform::CentreCrop([5, 4])]).ten_crops().unwrap();
    for (at, [top, left]) in [[2, 4], [0, 0], [0, 8], [4, 0], [4, 8]].into_iter().enumerate() {
        let [view, mirrored] = [at, at + 5].map(|at| applied(&views[at], &image, 0).unwrap());
        assert_eq!(view, Tensor::from_fn([5, 4, 3], |at| whole[[top + at[0], left + at[1], at[2]]]));
        assert_eq!(mirrored, Tensor::from_fn([5, 4, 3], |at| whole[[top + at[0], left + 3 - at[1], at[2]]]));
    }
    let none = piped(&[Transform::Stretch([5, 4])]).ten_crops().unwrap_err().to_string();
    assert_eq!(none, "ten crops are made of a pipeline that ends with a centre crop");
}
