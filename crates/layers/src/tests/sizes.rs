//! Settings and inputs near the end of `usize`, and without elements.

use super::{mistake, output_of};
use crate::*;
use ocelli_graph::Layer;

#[test]
fn sizes_near_the_end_of_the_numbers_are_mistakes() {
    let (most, image) = (usize::MAX, &[8, 8, 4][..]);
    assert_eq!(
        mistake(Dense::new(1 << 61), &[8]),
        format!("layer (Dense): weight of shape [8, {}] has more elements than can be addressed", 1u64 << 61)
    );
    for sentence in [
        mistake(Dense::new(most), &[8]),
        mistake(Conv2d::new(most, 3), image),
        mistake(Conv2d::new(8, most), image),
        mistake(Conv2d::new(8, [1 << 31, 1 << 31]).same(), image),
        mistake(Conv2d::new(8, 3).dilation(most), image),
        mistake(Conv2d::new(8, 3).padding(Padding::uniform(most)), image),
        mistake(Conv2d::new(8, 3).padding(Padding::uniform(1 << 40)), image),
        mistake(Conv2d::new(8, 3).groups(most), image),
        mistake(Conv2d::new(8, 3).expect_channels(most), image),
        mistake(ConvTranspose2d::new(most, 3), image),
        mistake(ConvTranspose2d::new(8, most), image),
        mistake(ConvTranspose2d::new(8, 3).stride(most), image),
        mistake(ConvTranspose2d::new(8, 3).stride(1 << 40), image),
        mistake(ConvTranspose2d::new(8, 3).padding(Padding::uniform(most)), image),
        mistake(MaxPool2d::new(most), image),
        mistake(AvgPool2d::new(most), image),
        mistake(AdaptiveAvgPool2d::new(most), image),
        mistake(SubSampling::new(most), image),
        mistake(SubSampling::new(0), image),
        mistake(Pad2d::zeros(most), image),
        mistake(Pad2d::replicate(1 << 40), image),
        mistake(Reshape(vec![most, most]), image),
        mistake(RadialBasis::new(most, vec![0.0; 4]), &[8]),
        mistake(RadialBasis::new(0, vec![]), &[8]),
        mistake(GroupNorm::new(most), image),
        mistake(Shortcut::ZeroPad.to(most, 1), image),
        mistake(Shortcut::Projection.to(most, 1), image),
        mistake(Bottleneck::new(most, most), image),
        mistake(Inception::new(most, most, most, most), image),
        mistake(Conv2d::new(1, 1).connections(ConnectionTable::new(most, &[&[0]]).unwrap()), image),
    ] {
        assert!(sentence.contains("(") && sentence.contains(": "), "{sentence}");
    }
    // A window of any size, and a step beyond every pixel, mean something.
    assert_eq!(output_of(LocalResponseNorm::of_sum(most), image), "[N, 8, 8, 4]");
    assert_eq!(output_of(MaxPool2d::new(2).stride(most), image), "[N, 1, 1, 4]");
    assert_eq!(output_of(Conv2d::new(8, 3).stride(most), image), "[N, 1, 1, 8]");
}

/// Images without pixels, and rows without features, are refused whatever follows.
#[test]
fn inputs_without_elements_are_mistakes() {
    for (sample, axis) in [([0, 8, 4], "H"), ([8, 0, 4], "W"), ([8, 8, 0], "C")] {
        let layers: [Box<dyn Layer>; 6] = [
            Box::new(Conv2d::new(8, 3).same()),
            Box::new(MaxPool2d::new(1)),
            Box::new(GlobalAvgPool),
            Box::new(BatchNorm::new()),
            Box::new(Flatten),
            Box::new(Activation::Softmax),
        ];
        for layer in layers {
            let sentence = mistake(&*layer, &sample);
            assert!(sentence.ends_with(&format!("has length 0 on axis {axis}, and so no elements")), "{sentence}");
        }
    }
}
