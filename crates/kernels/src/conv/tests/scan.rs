//! Drawn convolutions of all kinds: every algorithm in every pass on every instruction set.

use super::*;
use crate::tests::draw::{Draw, cases};

#[test]
fn drawn_convolutions_of_all_kinds_equal_the_definition() {
    for case in 0..cases(200) {
        check(Draw::of_case(case).convolution(), case as u64);
    }
}

/// With four columns and eight registers, a tile of dot products had no room for a row.
#[test]
fn four_columns_of_dot_products_fit_eight_registers() {
    let same = Conv2dSettings { padding: Padding::Same, ..Conv2dSettings::default() };
    check(geometry(same, [2, 8, 8, 16], [3, 3, 16, 4]), 1);
    check(geometry(same, [2, 8, 8, 4], [3, 3, 4, 12]), 2);
    for columns in 1..=7 {
        check(geometry(same, [1, 5, 9, 33], [1, 3, 33, columns]), 3);
        check(geometry(same, [1, 5, 9, columns], [1, 3, columns, 33]), 4);
    }
}

/// A stride that leaves the image, and a dilation between no taps, mean the same however long they are.
#[test]
fn steps_beyond_the_image_have_no_length() {
    let end = usize::MAX;
    for padding in [Padding::Valid, Padding::Same, Padding::uniform(1)] {
        let far = Conv2dSettings { stride_h: end, stride_w: end - 1, padding, ..Conv2dSettings::default() };
        let near = Conv2dSettings { stride_h: 20, stride_w: 30, ..far };
        for (filter, groups) in [([3, 2, 4, 5], 1), ([3, 2, 1, 4], 4)] {
            let g = geometry(Conv2dSettings { groups, ..far }, [2, 5, 6, 4], filter);
            let expected = geometry(Conv2dSettings { groups, ..near }, [2, 5, 6, 4], filter);
            assert_eq!(g.output_shape(), expected.output_shape());
            assert_eq!(Case::new(g, 1).bare(&Naive), Case::new(expected, 1).bare(&Naive));
            check(g, 5);
        }
        let alone = Conv2dSettings { dilation_h: end, dilation_w: end / 2, padding, ..Conv2dSettings::default() };
        check(geometry(alone, [2, 5, 6, 4], [1, 1, 4, 5]), 6);
    }
}

/// Two taps a million rows apart are two taps; in a band that holds what lies between, they took gigabytes of each thread.
#[test]
fn taps_far_apart_take_little_memory() {
    let settings = Conv2dSettings {
        dilation_h: 1 << 28,
        padding: Padding::Explicit { top: 1 << 28, bottom: 0, left: 0, right: 0 },
        ..Conv2dSettings::default()
    };
    let g = geometry(settings, [1, 3, 2, 4], [2, 1, 4, 5]);
    for pass in Pass::ALL {
        for precision in [Precision::Fast, Precision::Strict] {
            let algorithm = choose(&g, pass, precision).algorithm;
            let numbers = algorithm.scratch(&g, pass).bytes() / 4 + algorithm.workspace(&g, pass);
            assert!(numbers <= 1 << 20, "{} takes {numbers} numbers", algorithm.name());
        }
    }
    check(g, 7);
}
