//! Two orders of the same elements: the axes that a description speaks of, and the order in which the elements lie.
//!
//! ONNX speaks of `[N, C, H, W]`, this library stores `[N, H, W, C]`. A [`Layout`] keeps them apart: a value lies in
//! memory as *factors*, and each axis that the description speaks of is a list of factors, the slowest first. So a
//! transposition is another list of axes, and flattening an image is a longer list; neither moves an element. Elements
//! move only where an operation wants axes in an order that the factors do not have ([`Layout::arrangement`]).
//!
//! An image in memory has the factors `[N, H, W, C]` and the axes `[[0], [3], [1], [2]]`. Flattened by ONNX it has the axes
//! `[[0], [3, 1, 2]]`, and a dense layer with known weights takes it as it lies, with the rows of its weights moved.

use ocelli_graph::Dim;

/// Axes of a value, as lists of the factors that it lies in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub factors: Vec<Dim>,
    pub axes: Vec<Vec<usize>>,
}

/// A permutation and a reshape that bring the axes of a value into an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arrangement {
    /// The order of the factors, if elements move.
    pub permutation: Option<Vec<usize>>,
    /// Sizes of the axes, in that order.
    pub sizes: Vec<Dim>,
}

/// Returns the product of two sizes; a batch has no square.
pub(crate) fn times(a: Dim, b: Dim) -> Option<Dim> {
    Some(match (a, b) {
        (Dim::Fixed(a), Dim::Fixed(b)) => Dim::Fixed(a.checked_mul(b)?),
        (Dim::Batch(a), Dim::Fixed(b)) | (Dim::Fixed(a), Dim::Batch(b)) => Dim::Batch(a.checked_mul(b)?),
        (Dim::Batch(_), Dim::Batch(_)) => return None,
    })
}

/// Returns the whole number `a / b`.
fn over(a: Dim, b: Dim) -> Option<Dim> {
    let whole = |a: usize, b: usize| (b > 0 && a.is_multiple_of(b)).then(|| a / b);
    Some(match (a, b) {
        (Dim::Fixed(a), Dim::Fixed(b)) => Dim::Fixed(whole(a, b)?),
        (Dim::Batch(a), Dim::Fixed(b)) => Dim::Batch(whole(a, b)?),
        (Dim::Batch(a), Dim::Batch(b)) => Dim::Fixed(whole(a, b)?),
        (Dim::Fixed(_), Dim::Batch(_)) => return None,
    })
}

/// The order in which a value of this many axes lies if nothing else is known: channels last in images.
pub(crate) fn usual_order(rank: usize) -> Vec<usize> {
    if rank == 4 { vec![0, 2, 3, 1] } else { (0..rank).collect() }
}

impl Layout {
    /// A value of these axes that lies in the given order of them.
    pub fn ordered(dims: &[Dim], order: &[usize]) -> Layout {
        let mut axes = vec![Vec::new(); dims.len()];
        order.iter().enumerate().for_each(|(place, &axis)| axes[axis] = vec![place]);
        Layout { factors: order.iter().map(|&axis| dims[axis]).collect(), axes }
    }

    pub fn rank(&self) -> usize {
        self.axes.len()
    }

    /// Size of an axis.
    pub fn dim(&self, axis: usize) -> Dim {
        let sizes = self.axes[axis].iter().map(|&factor| self.factors[factor]);
        sizes.fold(Dim::Fixed(1), |product, size| times(product, size).unwrap_or(Dim::Fixed(usize::MAX)))
    }

    /// Sizes of all axes.
    pub fn dims(&self) -> Vec<Dim> {
        (0..self.rank()).map(|axis| self.dim(axis)).collect()
    }

    fn is_one(&self, factor: usize) -> bool {
        self.factors[factor] == Dim::Fixed(1)
    }

    /// The axes in the order in which they lie. An axis without factors stands where it usually would.
    pub fn order(&self) -> Vec<usize> {
        let usual = usual_order(self.rank());
        let mut order: Vec<usize> = (0..self.rank()).filter(|&axis| !self.axes[axis].is_empty()).collect();
        order.sort_by_key(|&axis| self.axes[axis].iter().min());
        for (place, &axis) in usual.iter().enumerate().filter(|(_, axis)| self.axes[**axis].is_empty()) {
            // behind the axis that usually stands before it
            let before = usual[..place].last().and_then(|before| order.iter().position(|axis| axis == before));
            order.insert(before.map_or(0, |before| before + 1), axis);
        }
        order
    }

    /// Returns the arrangement that brings the axes into this order, each as one axis of memory.
    pub fn arrangement(&self, order: &[usize]) -> Arrangement {
        let factors: Vec<usize> = order.iter().flat_map(|&axis| self.axes[axis].iter().copied()).collect();
        // factors of size 1 may lie anywhere
        let moves = !factors.iter().filter(|&&factor| !self.is_one(factor)).is_sorted();
        Arrangement { permutation: moves.then_some(factors), sizes: order.iter().map(|&axis| self.dim(axis)).collect() }
    }

    /// The same value with other axes: axis `i` is axis `axes[i]`.
    pub fn transposed(&self, axes: &[usize]) -> Layout {
        Layout { factors: self.factors.clone(), axes: axes.iter().map(|&axis| self.axes[axis].clone()).collect() }
    }

    /// The same value with axes of these sizes, if no element moves by that. Factors may be split.
    pub fn reshaped(&self, dims: &[Dim]) -> Option<Layout> {
        // factors in the order of the description, each with the sizes that it is split into
        let mut rest: Vec<(usize, Dim)> = self
            .axes
            .iter()
            .flatten()
            .filter(|&&factor| !self.is_one(factor))
            .map(|&factor| (factor, self.factors[factor]))
            .rev()
            .collect();
        let mut parts: Vec<Vec<(usize, Dim)>> = vec![Vec::new(); dims.len()];
        for (axis, &dim) in dims.iter().enumerate() {
            let mut open = dim;
            while open != Dim::Fixed(1) {
                let (factor, size) = rest.pop()?;
                if let Some(more) = over(open, size) {
                    parts[axis].push((factor, size));
                    open = more;
                } else {
                    let behind = over(size, open)?;
                    parts[axis].push((factor, open));
                    rest.push((factor, behind));
                    open = Dim::Fixed(1);
                }
            }
        }
        if !rest.is_empty() {
            return None;
        }
        // parts of one factor lie behind each other
        let mut factors = Vec::new();
        let mut axes = vec![Vec::new(); dims.len()];
        for factor in 0..self.factors.len() {
            for (axis, list) in parts.iter().enumerate() {
                for &(_, size) in list.iter().filter(|(of, _)| *of == factor) {
                    axes[axis].push((factors.len(), list.iter().position(|part| *part == (factor, size))));
                    factors.push(size);
                }
            }
        }
        // within an axis the description's order counts, not that of memory
        let sorted = axes.into_iter().map(|mut list| {
            list.sort_by_key(|(_, place)| *place);
            list.into_iter().map(|(factor, _)| factor).collect()
        });
        Some(Layout { axes: sorted.collect(), factors })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Layout {
        Layout::ordered(&[Dim::Batch(1), Dim::Fixed(6), Dim::Fixed(4), Dim::Fixed(5)], &usual_order(4))
    }

    #[test]
    fn an_image_is_flattened_where_it_lies() {
        let flat = image().reshaped(&[Dim::Batch(1), Dim::Fixed(120)]).unwrap();
        assert_eq!((flat.axes.clone(), flat.order()), (vec![vec![0], vec![3, 1, 2]], vec![0, 1]));
        assert_eq!(flat.arrangement(&[0, 1]).permutation, Some(vec![0, 3, 1, 2]));
        let again = flat.reshaped(&[Dim::Batch(1), Dim::Fixed(6), Dim::Fixed(20)]).unwrap();
        assert_eq!(again.axes, [vec![0], vec![3], vec![1, 2]]);
        assert_eq!(again.arrangement(&[0, 2, 1]).permutation, None);
    }

    #[test]
    fn channels_are_split_where_they_lie() {
        let dims = [Dim::Batch(1), Dim::Fixed(2), Dim::Fixed(3), Dim::Fixed(4), Dim::Fixed(5)];
        let split = image().reshaped(&dims).unwrap();
        assert_eq!(split.dims(), dims);
        assert_eq!(split.factors, [Dim::Batch(1), Dim::Fixed(4), Dim::Fixed(5), Dim::Fixed(2), Dim::Fixed(3)]);
        assert_eq!(split.axes, [vec![0], vec![3], vec![4], vec![1], vec![2]]);
        let shuffled = split.transposed(&[0, 2, 1, 3, 4]);
        assert_eq!(shuffled.arrangement(&[0, 3, 4, 1, 2]).permutation, Some(vec![0, 1, 2, 4, 3]));
        assert_eq!(image().reshaped(&[Dim::Batch(1), Dim::Fixed(7), Dim::Fixed(17)]), None);
    }

    #[test]
    fn axes_of_one_entry_are_nothing() {
        let flat = Layout::ordered(&[Dim::Batch(1), Dim::Fixed(6)], &[0, 1]);
        let image = flat.reshaped(&[Dim::Batch(1), Dim::Fixed(6), Dim::Fixed(1), Dim::Fixed(1)]).unwrap();
        assert_eq!(image.order(), [0, 2, 3, 1]);
        assert_eq!(image.arrangement(&[0, 2, 3, 1]).permutation, None);
    }
}
