//! Draws the parameters of operations.

use super::{Border, Transform};
use crate::{Affine, Operation};
use ocelli_tensor::Stream;

/// Draws the operations of a transform that keeps the size, for an image of `size` = `[H, W]`, and hands them to `apply` in
/// their order.
pub(super) fn operations(
    transform: &Transform,
    size: [usize; 2],
    random: &mut Stream,
    apply: &mut dyn FnMut(Operation),
) {
    let either = |random: &mut Stream, most: f32| random.between(-most, most);
    let [height, width] = size.map(|side| side as f32);
    match *transform {
        Transform::Apply(operation) => apply(operation),
        Transform::RandomMirror(direction) => {
            if random.below(2) == 1 {
                apply(Operation::Mirror(direction));
            }
        }
        Transform::RandomAffine { angle, translate, scale, shear, border } => {
            let map = Affine {
                angle: either(random, angle),
                translate: [either(random, translate[0] * width), either(random, translate[1] * height)]
                    .map(f32::round),
                scale: random.between(scale[0], scale[1]),
                shear: shear.map(|angle| either(random, angle)),
            };
            apply(Operation::Affine { map, border });
        }
        Transform::RandomPerspective { distortion, border } => {
            // The corners move inwards: right and down at the top left, and so on.
            let inwards = [[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]];
            let reach = [distortion * (width / 2.0).floor(), distortion * (height / 2.0).floor()];
            let corners = inwards
                .map(|[x, y]| [x * random.between(0.0, reach[0]).floor(), y * random.between(0.0, reach[1]).floor()]);
            apply(Operation::Perspective { corners, border });
        }
        Transform::ColourJitter { brightness, contrast, saturation, hue } => {
            let mut factor = |change: f32| random.between((1.0 - change).max(0.0), 1.0 + change);
            let mut changes = [
                (brightness > 0.0, Operation::Brightness(factor(brightness))),
                (contrast > 0.0, Operation::Contrast(factor(contrast))),
                (saturation > 0.0, Operation::Saturation(factor(saturation))),
                (hue > 0.0, Operation::Hue(either(random, hue))),
            ];
            random.shuffle(&mut changes);
            changes.into_iter().filter(|(changes, _)| *changes).for_each(|(_, operation)| apply(operation));
        }
        Transform::RandomBlur { size, deviation: [low, high] } => {
            apply(Operation::Blur { size, deviation: random.between(low, high) });
        }
        Transform::RandomGamma([low, high]) => apply(Operation::Gamma(random.between(low, high))),
        Transform::RandomNoise(deviation) => {
            let seed = random.below(usize::MAX) as u64;
            apply(Operation::Noise { deviation, seed });
        }
        Transform::RandomShift(most) => {
            let most = i16::from(most);
            apply(Operation::Shift([(); 3].map(|()| random.below(2 * most as usize + 1) as i16 - most)));
        }
        Transform::PcaColour { deviation, ref colours } => {
            let colour = colours.draw(deviation, random);
            apply(Operation::Shift(colour.map(|value| value.round() as i16)));
        }
        Transform::RandomErasing { area, ratio, colour } => {
            let [low, high] = ratio.map(f32::ln);
            // As torchvision does, nothing is erased if ten draws do not fit.
            for _ in 0..10 {
                let pixels = height * width * random.between(area[0], area[1]);
                let ratio = random.between(low, high).exp();
                let part =
                    [(pixels * ratio).sqrt(), (pixels / ratio).sqrt()].map(|side| side.round_ties_even() as usize);
                if part[0] < size[0] && part[1] < size[1] {
                    let first = [0, 1].map(|axis| random.below(size[axis] - part[axis] + 1));
                    return apply(Operation::Erase { first, size: part, colour });
                }
            }
        }
        Transform::RandAugment { operations, magnitude, border } => {
            for _ in 0..operations {
                apply(policy(&RAND_AUGMENT, magnitude, size, border, random));
            }
        }
        Transform::TrivialAugmentWide(border) => {
            let magnitude = random.below(BINS);
            apply(policy(&TRIVIAL_AUGMENT_WIDE, magnitude, size, border, random));
        }
        // The transforms that may change the size draw elsewhere.
        Transform::ShorterSide(_)
        | Transform::Stretch(_)
        | Transform::CentreCrop(_)
        | Transform::CornerCrop { .. }
        | Transform::Pad(_)
        | Transform::Digit
        | Transform::RandomCrop { .. }
        | Transform::RandomResizedCrop { .. }
        | Transform::Sometimes { .. }
        | Transform::OneOf(_) => {}
    }
}

/// Number of magnitudes of an operation in a policy.
const BINS: usize = 31;

/// The largest magnitudes of a policy's operations.
struct Magnitudes {
    shear: f32,
    /// The shift in pixels along a side.
    translate: fn(f32) -> f32,
    /// Degrees.
    rotate: f32,
    /// Change of the factor of brightness, colour, contrast and sharpness.
    factor: f32,
    /// Bits that are dropped.
    bits: f32,
}

/// RandAugment, with the magnitudes of torchvision.
const RAND_AUGMENT: Magnitudes =
    Magnitudes { shear: 0.3, translate: |side| 150.0 / 331.0 * side, rotate: 30.0, factor: 0.9, bits: 4.0 };
/// TrivialAugment with its wide space, with the magnitudes of torchvision.
const TRIVIAL_AUGMENT_WIDE: Magnitudes =
    Magnitudes { shear: 0.99, translate: |_| 32.0, rotate: 135.0, factor: 0.99, bits: 6.0 };

/// Draws one of the 14 operations of a policy, and its direction.
fn policy(largest: &Magnitudes, magnitude: usize, size: [usize; 2], border: Border, random: &mut Stream) -> Operation {
    let share = magnitude as f32 / (BINS - 1) as f32;
    let [height, width] = size.map(|side| side as f32);
    let kind = random.below(14);
    let direction = if random.below(2) == 1 { -1.0 } else { 1.0 };
    let signed = |most: f32| direction * most * share;
    let still = Affine::identity();
    let map = |map: Affine| Operation::Affine { map, border };
    match kind {
        // Sheared about the top left corner: about the middle, and moved by what that differs.
        0 => {
            let shear = signed(largest.shear);
            map(Affine { shear: [shear.atan().to_degrees(), 0.0], translate: [-shear * height / 2.0, 0.0], ..still })
        }
        1 => {
            let shear = signed(largest.shear);
            map(Affine { shear: [0.0, shear.atan().to_degrees()], translate: [0.0, -shear * width / 2.0], ..still })
        }
        2 => map(Affine { translate: [signed((largest.translate)(width)).trunc(), 0.0], ..still }),
        3 => map(Affine { translate: [0.0, signed((largest.translate)(height)).trunc()], ..still }),
        4 => map(Affine { angle: -signed(largest.rotate), ..still }),
        5 => Operation::Brightness(1.0 + signed(largest.factor)),
        6 => Operation::Saturation(1.0 + signed(largest.factor)),
        7 => Operation::Contrast(1.0 + signed(largest.factor)),
        8 => Operation::Sharpness(1.0 + signed(largest.factor)),
        9 => Operation::Posterise(8 - (share * largest.bits).round_ties_even() as u8),
        10 => Operation::Solarise((255.0 * (1.0 - share)).ceil() as u8),
        11 => Operation::AutoContrast,
        12 => Operation::Equalise,
        _ => Operation::Identity,
    }
}
