//! Nothing is allocated for a sample once a pipeline is running. One test alone, because what is counted is of the whole
//! process.

use ocelli_data::{
    Affine, Border, Image, Mirror, Operation, Pipeline, PrincipalColours, Scratch, Statistics, Transform,
};
use ocelli_tensor::Key;
use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// Every kind of transform but the conversion of digits, one after the other.
fn everything() -> Vec<Transform> {
    let border = Border::Reflect;
    let map = Affine { angle: 5.0, ..Affine::identity() };
    vec![
        Transform::RandomMirror(Mirror::LeftRight),
        Transform::RandomMirror(Mirror::TopBottom),
        Transform::RandomAffine { angle: 20.0, translate: [0.1, 0.1], scale: [0.8, 1.2], shear: [5.0, 5.0], border },
        Transform::RandomPerspective { distortion: 0.3, border },
        Transform::ColourJitter { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 },
        Transform::Sometimes {
            probability: 0.5,
            transforms: vec![Transform::Apply(Operation::Affine { map, border })],
        },
        Transform::OneOf(vec![Transform::RandomGamma([0.5, 2.0]), Transform::Apply(Operation::Equalise)]),
        Transform::RandomBlur { size: 5, deviation: [0.5, 2.0] },
        Transform::RandomNoise(5.0),
        Transform::RandomShift(20),
        Transform::PcaColour { deviation: 0.1, colours: PrincipalColours::imagenet() },
        Transform::RandomResizedCrop { size: [48, 40], area: [0.2, 1.0], ratio: [0.5, 2.0] },
        Transform::RandAugment { operations: 2, magnitude: 9, border },
        Transform::TrivialAugmentWide(border),
        Transform::RandomErasing { area: [0.02, 0.3], ratio: [0.3, 3.3], colour: [1, 2, 3] },
        Transform::RandomCrop { margin: 4, border },
        Transform::ShorterSide(36),
        Transform::CentreCrop([32, 32]),
        Transform::Pad([36, 36]),
        Transform::Stretch([24, 30]),
    ]
}

#[test]
fn nothing_is_allocated_for_a_sample_once_running() {
    let pipeline = Pipeline::new().with_transforms(everything()).normalised_by(Statistics::imagenet());
    let shape = pipeline.shape(Some([75, 100])).unwrap();
    let source: Vec<u8> = (0..75 * 100 * 3).map(|at| (at * 7 % 251) as u8).collect();
    let mut out = vec![0.0; shape.iter().product()];
    let (mut image, mut scratch) = (Image::default(), Scratch::default());
    let mut round = |heap: Option<usize>| {
        for sample in 0..100 {
            image.reshape([75, 100, 3]).unwrap().copy_from_slice(&source);
            pipeline.apply(&mut image, Key::new(sample), &mut scratch, &mut out).unwrap();
            assert!(heap.is_none_or(|before| HEAP.peak_usage() == before), "sample {sample} allocated");
        }
    };
    // The samples differ in what they need, and two images change places: two rounds find the most of all for either.
    round(None);
    round(None);
    HEAP.reset_peak_usage();
    let before = HEAP.current_usage();
    round(Some(before));
}
