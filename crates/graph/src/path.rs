//! Paths of layers and parameters: names joined by dots.

/// Returns true if `path` is at or below `layer`, by whole segments; everything is below the empty path.
pub(crate) fn is_within(path: &str, layer: &str) -> bool {
    let rest = path.strip_prefix(layer);
    layer.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::is_within;

    #[test]
    fn segments_are_whole() {
        assert!(["conv1", "conv1.weight", "conv1.a.b"].iter().all(|path| is_within(path, "conv1")));
        assert!(!["conv10", "conv", "a.conv1"].iter().any(|path| is_within(path, "conv1")));
        assert!(is_within("anything", ""));
    }
}
