//! Loops that may keep vectors on the stack, and why.

use crate::loops::{InnerLoop, Set};

/// Loops that may keep vectors on the stack: a part of the function's name, the sets, and the reason.
const ALLOWED: &[(&str, &[Set], &str)] = &[
    ("", &[Set::Portable], "the compiler spreads arrays over the registers of whatever the target has"),
    (
        "winograd::",
        &[Set::Avx2, Set::Avx512],
        "a transform of 6 × 6 vectors: no set has so many registers, so half of the tile lies in memory between its two passes",
    ),
    ("pool::average::BackwardRow", &[Set::Avx2, Set::Avx512], "sums of a window that are indexed by where it begins"),
    ("depthwise::filter::Fixed", &[Set::Avx2], "nine sums and the pixels that they share are more than 16 registers"),
    ("elementwise::gates::Gelu", &[Set::Avx2], "the coefficients of the error function are more than 16 registers"),
    ("softmax::LogSoftmax", &[Set::Avx2], "a coefficient of the exponential function"),
    ("local_response::Forward", &[Set::Avx2], "a coefficient of the power function"),
];

/// Returns the reason why a loop may keep vectors on the stack; `None` if there is none.
pub fn reason(inner: &InnerLoop) -> Option<&'static str> {
    let fits = |(name, sets, _): &&(&str, &[Set], &str)| inner.function.contains(name) && sets.contains(&inner.set);
    ALLOWED.iter().find(fits).map(|(_, _, reason)| *reason)
}
