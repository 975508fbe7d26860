//! Drawn cases, the same ones in every run.

use std::ops::RangeInclusive;

use crate::conv::{Conv2dGeometry, Conv2dSettings, ConvMode, Padding};

/// The number of drawn cases: `OCELLI_CASES`, or so many.
pub(crate) fn cases(short: usize) -> usize {
    std::env::var("OCELLI_CASES").map_or(short, |cases| cases.parse().expect("OCELLI_CASES is a number"))
}

/// A source of random sizes (SplitMix64).
pub(crate) struct Draw(u64);

impl Draw {
    /// That of case number `case`.
    pub fn of_case(case: usize) -> Self {
        Self((case as u64).wrapping_mul(0xd134_2543_de82_ef95))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn between(&mut self, range: RangeInclusive<usize>) -> usize {
        range.start() + (self.next() % (range.end() - range.start() + 1) as u64) as usize
    }

    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.between(0..=choices.len() - 1)]
    }

    /// True once in so many times.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.between(1..=times) == 1
    }

    /// Any size at all: small ones, powers of two and their neighbours, the last of the numbers.
    pub fn size(&mut self) -> usize {
        match self.between(0..=9) {
            0 => 0,
            1..=5 => self.between(1..=9),
            6..=8 => (1_usize << self.between(0..=usize::BITS as usize - 1))
                .wrapping_add(self.between(0..=2))
                .wrapping_sub(1),
            _ => usize::MAX - self.between(0..=2),
        }
    }

    /// A convolution of some ten thousand multiplications: most are ordinary, others are made for one algorithm.
    pub fn convolution(&mut self) -> Conv2dGeometry {
        const MOST: u64 = 40_000;
        loop {
            let (settings, input, filter) = match self.between(0..=5) {
                0 => self.depthwise(),
                1 => self.three_by_three(),
                2 => self.pointwise(),
                3 => self.few_outputs(),
                _ => self.ordinary(),
            };
            match Conv2dGeometry::new(&settings, input, filter) {
                Ok(g) if g.macs() <= MOST => return g,
                _ => {}
            }
        }
    }

    fn settings(&mut self) -> Conv2dSettings {
        let [top, bottom, left, right] = [0; 4].map(|_| self.between(0..=3));
        let padding = [Padding::Valid, Padding::Same, Padding::Same, Padding::Explicit { top, bottom, left, right }];
        let [stride_h, stride_w, dilation_h, dilation_w] = [0; 4].map(|_| self.one_of(&[1, 1, 1, 2, 3]));
        let mode = self.one_of(&[ConvMode::CrossCorrelation, ConvMode::CrossCorrelation, ConvMode::Convolution]);
        Conv2dSettings { stride_h, stride_w, dilation_h, dilation_w, padding: self.one_of(&padding), groups: 1, mode }
    }

    fn channels(&mut self) -> usize {
        self.one_of(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16, 17, 20, 24, 31, 32, 33, 40, 64, 65])
    }

    fn image(&mut self, channels: usize) -> [usize; 4] {
        [self.between(1..=3), self.between(1..=12), self.between(1..=12), channels]
    }

    fn ordinary(&mut self) -> (Conv2dSettings, [usize; 4], [usize; 4]) {
        let groups = self.one_of(&[1, 1, 1, 2, 3]);
        let (inputs, outputs) = (self.channels(), self.channels());
        let settings = Conv2dSettings { groups, ..self.settings() };
        let input = self.image(groups * inputs);
        let kernel = [self.between(1..=7), self.between(1..=7)];
        (settings, input, [kernel[0], kernel[1], inputs, groups * outputs])
    }

    fn depthwise(&mut self) -> (Conv2dSettings, [usize; 4], [usize; 4]) {
        let channels = self.channels();
        let settings = Conv2dSettings { groups: channels, ..self.settings() };
        (settings, self.image(channels), [self.between(1..=5), self.between(1..=5), 1, channels])
    }

    fn three_by_three(&mut self) -> (Conv2dSettings, [usize; 4], [usize; 4]) {
        let (inputs, outputs) = (self.channels(), self.channels());
        let steps = Conv2dSettings { stride_h: 1, stride_w: 1, dilation_h: 1, dilation_w: 1, ..self.settings() };
        (steps, self.image(inputs), [3, 3, inputs, outputs])
    }

    /// One pixel, or the whole image.
    fn pointwise(&mut self) -> (Conv2dSettings, [usize; 4], [usize; 4]) {
        let (inputs, outputs) = (self.channels(), self.channels());
        let input = self.image(inputs);
        let kernel = if self.once_in(2) { [1, 1] } else { [input[1], input[2]] };
        (Conv2dSettings::default(), input, [kernel[0], kernel[1], inputs, outputs])
    }

    /// So few channels on one side that outputs are dot products in one of the passes.
    fn few_outputs(&mut self) -> (Conv2dSettings, [usize; 4], [usize; 4]) {
        let (few, many) = (self.between(1..=7), self.one_of(&[11, 12, 16, 20, 33, 40]));
        let [inputs, outputs] = if self.once_in(2) { [few, many] } else { [many, few] };
        let settings = Conv2dSettings { dilation_w: 1, ..self.settings() };
        (settings, self.image(inputs), [self.between(1..=5), self.between(1..=5), inputs, outputs])
    }
}
