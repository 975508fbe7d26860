//! The transforms of the minimal filtering algorithms F(2, 3), F(4, 3) and F(2, 5) (Winograd 1980; Lavin and Gray 2016,
//! "Fast Algorithms for Convolutional Neural Networks", eq. 8 and 12).
//!
//! `m` outputs of a filter with `r` taps are the coefficients of a product of polynomials, which its values at `m + r - 2`
//! points and at infinity determine: `y = Aᵀ[(G w) ⊙ (Bᵀ d)]` with `m + r - 1` products for `r m`. In two dimensions each
//! transform is applied along both axes, and `(m + r - 1)²` products stand for `r² m²`: 2.25 times fewer for two outputs of
//! 3 taps, 4 times for four, 2.78 times for two outputs of 5 taps. The gradient with respect to the filter is the adjoint,
//! `dw = Gᵀ[(Bᵀ d) ⊙ (A dy)]`.

use ocelli_simd::Isa;

/// A linear map of `FROM` elements to `TO` elements, on vectors: each lane by itself.
pub trait Linear<const FROM: usize, const TO: usize> {
    /// Applies the map.
    fn apply<I: Isa>(isa: I, x: [I::Vector; FROM]) -> [I::Vector; TO];
}

/// A minimal filtering algorithm's side of the images: tiles of `T` inputs, of which `M` outputs are computed.
pub trait Minimal<const M: usize, const T: usize>: Copy + Send + Sync + 'static {
    /// Name of the algorithm that uses it.
    const NAME: &'static str;
    /// Transform `Bᵀ` of the inputs.
    type Input: Linear<T, T>;
    /// Transform `Aᵀ` of the products.
    type Output: Linear<T, M>;
    /// Transform `A` of the gradient of the outputs.
    type OutputAdjoint: Linear<M, T>;
}

/// A minimal filtering algorithm's side of the filters, with `R` taps.
pub trait Taps<const R: usize, const T: usize>: Copy + Send + Sync + 'static {
    /// Transform `G` of the filter.
    type Filter: Linear<R, T>;
    /// Transform `Gᵀ` to the gradient of the filter.
    type FilterAdjoint: Linear<T, R>;
}

/// F(2, 3) with the points 0, 1, −1 and infinity.
#[derive(Clone, Copy, Debug)]
pub struct F2;

/// F(4, 3) with the points 0, ±3/4, ±3/2 and infinity.
///
/// The usual 0, ±1, ±2 have smaller integers in their matrices and twice the error: the powers of 2 in `Aᵀ` and the
/// sums of `Bᵀ` cancel more. With a chain of 512 products the relative error (L2) of a convolution was 4.6e-6 with
/// these and 2.1e-6 with those here.
#[derive(Clone, Copy, Debug)]
pub struct F4;

/// F(2, 5) with the points of [`F4`], and so with its transform of the inputs.
#[derive(Clone, Copy, Debug)]
pub struct F2Of5;

/// The input transform `Bᵀ`.
#[derive(Clone, Copy, Debug)]
pub struct Input<F>(F);

/// The filter transform `G`.
#[derive(Clone, Copy, Debug)]
pub struct Filter<F>(F);

/// The output transform `Aᵀ`.
#[derive(Clone, Copy, Debug)]
pub struct Output<F>(F);

/// The transform `A` of the gradient of the outputs.
#[derive(Clone, Copy, Debug)]
pub struct OutputAdjoint<F>(F);

/// The transform `Gᵀ` to the gradient of the filter.
#[derive(Clone, Copy, Debug)]
pub struct FilterAdjoint<F>(F);

macro_rules! minimal {
    ($transform:ident, $outputs:literal, $taps:literal, $tile:literal, $points:ident, $name:literal) => {
        impl Minimal<$outputs, $tile> for $transform {
            const NAME: &'static str = $name;
            type Input = Input<$points>;
            type Output = Output<Self>;
            type OutputAdjoint = OutputAdjoint<Self>;
        }

        impl Taps<$taps, $tile> for $transform {
            type Filter = Filter<Self>;
            type FilterAdjoint = FilterAdjoint<Self>;
        }
    };
}

minimal!(F2, 2, 3, 4, F2, "winograd2");
minimal!(F4, 4, 3, 6, F4, "winograd4");
minimal!(F2Of5, 2, 5, 6, F4, "winograd2_5x5");

impl Linear<4, 4> for Input<F2> {
    #[inline(always)]
    fn apply<I: Isa>(isa: I, d: [I::Vector; 4]) -> [I::Vector; 4] {
        [isa.sub(d[0], d[2]), isa.add(d[1], d[2]), isa.sub(d[2], d[1]), isa.sub(d[3], d[1])]
    }
}

impl Linear<3, 4> for Filter<F2> {
    #[inline(always)]
    fn apply<I: Isa>(isa: I, w: [I::Vector; 3]) -> [I::Vector; 4] {
        let half = isa.splat(0.5);
        let (even, odd) = (isa.mul(half, isa.add(w[0], w[2])), isa.mul(half, w[1]));
        [w[0], isa.add(even, odd), isa.sub(even, odd), w[2]]
    }
}

impl Linear<4, 2> for Output<F2> {
    #[inline(always)]
    fn apply<I: Isa>(isa: I, m: [I::Vector; 4]) -> [I::Vector; 2] {
        [isa.add(m[0], isa.add(m[1], m[2])), isa.add(isa.sub(m[1], m[2]), m[3])]
    }
}

impl Linear<2, 4> for OutputAdjoint<F2> {
    #[inline(always)]
    fn apply<I: Isa>(isa: I, dy: [I::Vector; 2]) -> [I::Vector; 4] {
        [dy[0], isa.add(dy[0], dy[1]), isa.sub(dy[0], dy[1]), dy[1]]
    }
}

impl Linear<4, 3> for FilterAdjoint<F2> {
    #[inline(always)]
    fn apply<I: Isa>(isa: I, du: [I::Vector; 4]) -> [I::Vector; 3] {
        let half = isa.splat(0.5);
        let even = isa.mul(half, isa.add(du[1], du[2]));
        [isa.add(du[0], even), isa.mul(half, isa.sub(du[1], du[2])), isa.add(even, du[3])]
    }
}

/// The smaller point of F(4, 3) and its powers, all of them exact.
const P: f32 = 0.75;
const P2: f32 = P * P;
const P3: f32 = P * P2;
const P4: f32 = P2 * P2;
/// The larger point.
const Q: f32 = 1.5;
const Q2: f32 = Q * Q;
const Q3: f32 = Q * Q2;
const Q4: f32 = Q2 * Q2;

/// `1 / Π (p − other points)` for the point 0, for ±P and for ±Q: the factors of the rows of `G`.
const AT_ZERO: f32 = 1.0 / (P2 * Q2);
const AT_P: f32 = 1.0 / (2.0 * P2 * (P2 - Q2));
const AT_Q: f32 = 1.0 / (2.0 * Q2 * (Q2 - P2));

/// Row `i` of `Bᵀ` is the polynomial that vanishes at all points but the `i`th; those of ±p differ in the sign of their
/// odd part.
impl Linear<6, 6> for Input<F4> {
    #[inline(always)]
    fn apply<I: Isa>(isa: I, d: [I::Vector; 6]) -> [I::Vector; 6] {
        let (p2, q2) = (isa.splat(P2), isa.splat(Q2));
        let (sum, product) = (isa.splat(P2 + Q2), isa.splat(P2 * Q2));
        let (p, q) = (isa.splat(P), isa.splat(Q));
        let (even_p, odd_p) = (isa.neg_mul_add(q2, d[2], d[4]), isa.neg_mul_add(q2, d[1], d[3]));
        let (even_q, odd_q) = (isa.neg_mul_add(p2, d[2], d[4]), isa.neg_mul_add(p2, d[1], d[3]));
        [
            isa.mul_add(product, d[0], isa.neg_mul_add(sum, d[2], d[4])),
            isa.mul_add(p, odd_p, even_p),
            isa.neg_mul_add(p, odd_p, even_p),
            isa.mul_add(q, odd_q, even_q),
            isa.neg_mul_add(q, odd_q, even_q),
            isa.mul_add(product, d[1], isa.neg_mul_add(sum, d[3], d[5])),
        ]
    }
}

impl Linear<3, 6> for Filter<F4> {
    #[inline(always)]
    fn apply<I: Isa>(isa: I, w: [I::Vector; 3]) -> [I::Vector; 6] {
        let even_p = isa.mul_add(isa.splat(AT_P * P2), w[2], isa.mul(isa.splat(AT_P), w[0]));
        let even_q = isa.mul_add(isa.splat(AT_Q * Q2), w[2], isa.mul(isa.splat(AT_Q), w[0]));
        let (p, q) = (isa.splat(AT_P * P), isa.splat(AT_Q * Q));
        [
            isa.mul(isa.splat(AT_ZERO), w[0]),
            isa.mul_add(p, w[1], even_p),
            isa.neg_mul_add(p, w[1], even_p),
            isa.mul_add(q, w[1], even_q),
            isa.neg_mul_add(q, w[1], even_q),
            w[2],
        ]
    }
}

impl Linear<6, 4> for Output<F4> {
    #[inline(always)]
    fn apply<I: Isa>(isa: I, m: [I::Vector; 6]) -> [I::Vector; 4] {
        let (even_p, odd_p) = (isa.add(m[1], m[2]), isa.sub(m[1], m[2]));
        let (even_q, odd_q) = (isa.add(m[3], m[4]), isa.sub(m[3], m[4]));
        [
            isa.add(m[0], isa.add(even_p, even_q)),
            isa.mul_add(isa.splat(Q), odd_q, isa.mul(isa.splat(P), odd_p)),
            isa.mul_add(isa.splat(Q2), even_q, isa.mul(isa.splat(P2), even_p)),
            isa.mul_add(isa.splat(Q3), odd_q, isa.mul_add(isa.splat(P3), odd_p, m[5])),
        ]
    }
}

impl Linear<4, 6> for OutputAdjoint<F4> {
    #[inline(always)]
    fn apply<I: Isa>(isa: I, dy: [I::Vector; 4]) -> [I::Vector; 6] {
        let (p2, q2) = (isa.splat(P2), isa.splat(Q2));
        let (p, q) = (isa.splat(P), isa.splat(Q));
        let (even_p, odd_p) = (isa.mul_add(p2, dy[2], dy[0]), isa.mul_add(p2, dy[3], dy[1]));
        let (even_q, odd_q) = (isa.mul_add(q2, dy[2], dy[0]), isa.mul_add(q2, dy[3], dy[1]));
        [
            dy[0],
            isa.mul_add(p, odd_p, even_p),
            isa.neg_mul_add(p, odd_p, even_p),
            isa.mul_add(q, odd_q, even_q),
            isa.neg_mul_add(q, odd_q, even_q),
            dy[3],
        ]
    }
}

impl Linear<6, 3> for FilterAdjoint<F4> {
    #[inline(always)]
    fn apply<I: Isa>(isa: I, du: [I::Vector; 6]) -> [I::Vector; 3] {
        let (even_p, odd_p) = (isa.add(du[1], du[2]), isa.sub(du[1], du[2]));
        let (even_q, odd_q) = (isa.add(du[3], du[4]), isa.sub(du[3], du[4]));
        let at_points = isa.mul_add(isa.splat(AT_Q), even_q, isa.mul(isa.splat(AT_P), even_p));
        [
            isa.mul_add(isa.splat(AT_ZERO), du[0], at_points),
            isa.mul_add(isa.splat(AT_Q * Q), odd_q, isa.mul(isa.splat(AT_P * P), odd_p)),
            isa.mul_add(isa.splat(AT_Q * Q2), even_q, isa.mul_add(isa.splat(AT_P * P2), even_p, du[5])),
        ]
    }
}

impl Linear<5, 6> for Filter<F2Of5> {
    #[inline(always)]
    fn apply<I: Isa>(isa: I, w: [I::Vector; 5]) -> [I::Vector; 6] {
        // The even and the odd part of the filter's polynomial at a point, times the factor of its row.
        let parts = |factor: f32, [p, p2, p3, p4]: [f32; 4]| {
            let even = isa.mul_add(isa.splat(factor * p2), w[2], isa.mul(isa.splat(factor), w[0]));
            let odd = isa.mul_add(isa.splat(factor * p3), w[3], isa.mul(isa.splat(factor * p), w[1]));
            (isa.mul_add(isa.splat(factor * p4), w[4], even), odd)
        };
        let ((even_p, odd_p), (even_q, odd_q)) = (parts(AT_P, [P, P2, P3, P4]), parts(AT_Q, [Q, Q2, Q3, Q4]));
        [
            isa.mul(isa.splat(AT_ZERO), w[0]),
            isa.add(even_p, odd_p),
            isa.sub(even_p, odd_p),
            isa.add(even_q, odd_q),
            isa.sub(even_q, odd_q),
            w[4],
        ]
    }
}

impl Linear<6, 2> for Output<F2Of5> {
    #[inline(always)]
    fn apply<I: Isa>(isa: I, m: [I::Vector; 6]) -> [I::Vector; 2] {
        let (even_p, odd_p) = (isa.add(m[1], m[2]), isa.sub(m[1], m[2]));
        let (even_q, odd_q) = (isa.add(m[3], m[4]), isa.sub(m[3], m[4]));
        [
            isa.add(m[0], isa.add(even_p, even_q)),
            isa.mul_add(isa.splat(Q), odd_q, isa.mul_add(isa.splat(P), odd_p, m[5])),
        ]
    }
}

impl Linear<2, 6> for OutputAdjoint<F2Of5> {
    #[inline(always)]
    fn apply<I: Isa>(isa: I, dy: [I::Vector; 2]) -> [I::Vector; 6] {
        let (p, q) = (isa.splat(P), isa.splat(Q));
        [
            dy[0],
            isa.mul_add(p, dy[1], dy[0]),
            isa.neg_mul_add(p, dy[1], dy[0]),
            isa.mul_add(q, dy[1], dy[0]),
            isa.neg_mul_add(q, dy[1], dy[0]),
            dy[1],
        ]
    }
}

impl Linear<6, 5> for FilterAdjoint<F2Of5> {
    #[inline(always)]
    fn apply<I: Isa>(isa: I, du: [I::Vector; 6]) -> [I::Vector; 5] {
        let (even_p, odd_p) = (isa.add(du[1], du[2]), isa.sub(du[1], du[2]));
        let (even_q, odd_q) = (isa.add(du[3], du[4]), isa.sub(du[3], du[4]));
        let sum = |[p, q]: [f32; 2], at_p, at_q| isa.mul_add(isa.splat(q), at_q, isa.mul(isa.splat(p), at_p));
        [
            isa.mul_add(isa.splat(AT_ZERO), du[0], sum([AT_P, AT_Q], even_p, even_q)),
            sum([AT_P * P, AT_Q * Q], odd_p, odd_q),
            sum([AT_P * P2, AT_Q * Q2], even_p, even_q),
            sum([AT_P * P3, AT_Q * Q3], odd_p, odd_q),
            isa.add(sum([AT_P * P4, AT_Q * Q4], even_p, even_q), du[5]),
        ]
    }
}

/// Addresses of a square of vectors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Square {
    /// Address of its first element.
    pub first: *const f32,
    /// Distance of its rows.
    pub row: usize,
    /// Distance of its columns.
    pub column: usize,
}

impl Square {
    /// Returns the square `numbers` elements further on: that of the next channels.
    ///
    /// # Safety
    /// The elements belong to the memory that `first` points into.
    #[inline(always)]
    pub unsafe fn advanced(self, numbers: usize) -> Self {
        // SAFETY: the caller.
        Self { first: unsafe { self.first.add(numbers) }, ..self }
    }
}

/// Reads a square of `FROM × FROM` vectors and maps its columns; [`map_row`] then maps the `TO` rows of the result.
///
/// # Safety
/// A vector can be read at every place of the square.
#[inline(always)]
pub(super) unsafe fn map_columns<I: Isa, L: Linear<FROM, TO>, const FROM: usize, const TO: usize>(
    isa: I,
    from: Square,
) -> [[I::Vector; FROM]; TO] {
    let mut rows = [[isa.zero(); FROM]; TO];
    for j in 0..FROM {
        let mut column = [isa.zero(); FROM];
        for (i, x) in column.iter_mut().enumerate() {
            // SAFETY: the caller.
            *x = unsafe { isa.load_ptr(from.first.add(i * from.row + j * from.column)) };
        }
        for (row, x) in rows.iter_mut().zip(L::apply(isa, column)) {
            row[j] = x;
        }
    }
    rows
}

/// Maps a square of `FROM × FROM` vectors along both axes and writes result `(i, j)` to plane `i · TO + j`.
///
/// # Safety
/// A vector can be read at every place of the square, and written at `to` plus every multiple of `plane` below `TO²`.
#[inline(always)]
pub(super) unsafe fn map_square<I: Isa, L: Linear<FROM, TO>, const FROM: usize, const TO: usize>(
    isa: I,
    from: Square,
    to: *mut f32,
    plane: usize,
) {
    // SAFETY: the caller.
    let rows = unsafe { map_columns::<I, L, FROM, TO>(isa, from) };
    for (i, row) in rows.into_iter().enumerate() {
        for (j, x) in L::apply(isa, row).into_iter().enumerate() {
            // SAFETY: the caller.
            unsafe { isa.store_ptr(x, to.add((i * TO + j) * plane)) };
        }
    }
}

#[cfg(test)]
mod tests {
    use ocelli_simd::Portable;

    use super::*;

    const X: [f32; 6] = [0.5, -1.25, 2.0, 0.75, -0.5, 1.5];

    fn first_lane(x: impl IntoIterator<Item = <Portable as Isa>::Vector>) -> Vec<f32> {
        let lane = |x| {
            let mut lanes = [0.0; Portable::LANES];
            Portable.store(x, &mut lanes);
            lanes[0]
        };
        x.into_iter().map(lane).collect()
    }

    fn apply<L: Linear<FROM, TO>, const FROM: usize, const TO: usize>(x: &[f32]) -> Vec<f32> {
        first_lane(L::apply(Portable, std::array::from_fn(|i| Portable.splat(x[i]))))
    }

    fn dot(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    fn check<F: Minimal<M, T> + Taps<R, T>, const M: usize, const R: usize, const T: usize>() {
        let (d, w) = (&X[..T], &[0.25, -1.0, 0.625, 0.375, -0.75][..R]);
        let (v, u) = (apply::<F::Input, T, T>(d), apply::<F::Filter, R, T>(w));
        let products: Vec<f32> = v.iter().zip(&u).map(|(v, u)| v * u).collect();
        let y = apply::<F::Output, T, M>(&products);
        for (i, y) in y.iter().enumerate() {
            let exact = dot(&d[i..i + R], w);
            assert!((y - exact).abs() < 1e-5, "output {i}: {y}, not {exact}");
        }
        // ⟨Aᵀ m, dy⟩ = ⟨m, A dy⟩ and ⟨G w, du⟩ = ⟨w, Gᵀ du⟩
        let dy = &X[1..=M];
        let (left, right) = (dot(&y, dy), dot(&products, &apply::<F::OutputAdjoint, M, T>(dy)));
        assert!((left - right).abs() < 1e-5, "{left} and {right}");
        let (left, right) = (dot(&u, d), dot(w, &apply::<F::FilterAdjoint, T, R>(d)));
        assert!((left - right).abs() < 1e-5, "{left} and {right}");
    }

    #[test]
    fn minimal_filtering_is_correlation() {
        check::<F2, 2, 3, 4>();
        check::<F4, 4, 3, 6>();
        check::<F2Of5, 2, 5, 6>();
    }
}
