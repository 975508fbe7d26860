//! The choice of stores: which results go past the caches.

use ocelli_simd::{MOST_LANES, Source, Stores};

/// Elements (8 MiB) from which on a result is written past the caches.
///
/// Measured as two copies in a row (the second reads what the first wrote) on Zen 3 with 32 MiB of last-level cache: up
/// to 6 MiB each regular stores are the faster ones by a fifth, at 8 MiB they lose a quarter, from 16 MiB on half.
const NON_TEMPORAL: usize = 2 << 20;

/// Elements (32 MiB) from which on a product or a convolution is. Its stores are spread over the multiplications, which
/// hide them longer: with AVX-512 and a larger last cache, at 25 MB regular stores were faster by a tenth, at 58 MB
/// slower by as much.
const NON_TEMPORAL_PRODUCT: usize = 8 << 20;

/// Elements at whose multiples every vector is aligned.
pub(crate) const ALIGNED: usize = MOST_LANES;

/// Chooses the stores of a result that the kernel does not read, in rows of `row` elements.
#[inline]
pub(crate) fn stores_for(y: &[f32], row: usize) -> Stores {
    stores_from(NON_TEMPORAL, y.as_ptr(), y.len(), row)
}

/// Chooses the stores of a product or a convolution of `len` elements from `first` on, each stored once, in rows `row`
/// elements apart.
#[inline]
pub(crate) fn stores_for_product(first: *const f32, len: usize, row: usize) -> Stores {
    stores_from(NON_TEMPORAL_PRODUCT, first, len, row)
}

/// Chooses stores past the caches for `least` elements or more of which every row begins at a whole vector.
#[inline]
fn stores_from(least: usize, first: *const f32, len: usize, row: usize) -> Stores {
    let aligned = first.addr().is_multiple_of(ALIGNED * size_of::<f32>()) && row.is_multiple_of(ALIGNED);
    if len >= least && aligned { Stores::NonTemporal } else { Stores::Regular }
}

/// Chooses the stores of a result as [`stores_for`], where it is none of the operands: what is read is in the caches.
#[inline]
pub(crate) fn stores_beside(operands: &[Source<'_>], y: &[f32], row: usize) -> Stores {
    let read = operands.iter().any(|operand| matches!(operand, Source::InPlace));
    if read { Stores::Regular } else { stores_for(y, row) }
}

#[cfg(test)]
mod tests {
    use ocelli_tensor::Arena;

    use super::*;
    use crate::broadcast::{Binary, Broadcast, binary};
    use crate::dropout::dropout;
    use crate::elementwise::testing::{numbers, on_every_set};
    use crate::elementwise::{Unary, unary, unary_backward};
    use crate::softmax::{softmax, softmax_backward};

    #[test]
    fn only_large_and_aligned_results_go_past_the_caches() {
        let arena = Arena::new(NON_TEMPORAL + 16);
        let y = arena.as_slice();
        assert_eq!(stores_for(&y[..NON_TEMPORAL], 64), Stores::NonTemporal);
        assert_eq!(stores_for(&y[..NON_TEMPORAL - 1], 64), Stores::Regular);
        assert_eq!(stores_for(&y[1..], 64), Stores::Regular);
        assert_eq!(stores_for(y, 65), Stores::Regular);
    }

    type Writes<'a> = &'a dyn Fn(&mut [f32]);

    /// Results past the caches are those of a destination that is not aligned.
    #[test]
    fn the_way_of_storing_changes_no_bit() {
        let length = NON_TEMPORAL + 77 * 64;
        let (a, b) = (numbers(length, 1), numbers(length, 2));
        let same = Broadcast::new(&[length], &[length]).expect("equal shapes combine");
        let bias = Broadcast::new(&[length / 64, 64], &[64]).expect("a bias broadcasts");
        let kernels: [Writes<'_>; 7] = [
            &|y| unary(Unary::Relu, Source::Slice(&a), y),
            &|y| unary_backward(Unary::Relu, &a, Source::Slice(&b), y),
            &|y| binary(Binary::Add, &same, Source::Slice(&a), Source::Slice(&b), y),
            &|y| binary(Binary::Add, &bias, Source::Slice(&a), Source::Slice(&b[..64]), y),
            &|y| dropout(5, 0.5, Source::Slice(&a), y),
            &|y| softmax(Source::Slice(&a), y, 10),
            &|y| softmax_backward(&a, Source::Slice(&b), y, 10),
        ];
        on_every_set(|set| {
            for (number, kernel) in kernels.iter().enumerate() {
                let (mut past, mut through) = (Arena::new(length), Arena::new(length + 1));
                kernel(past.as_mut_slice());
                kernel(&mut through.as_mut_slice()[1..]);
                assert!(past.as_slice() == &through.as_slice()[1..], "{set} kernel {number}");
            }
        });
    }
}
