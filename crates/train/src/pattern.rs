//! Patterns of parameter paths.

/// Returns true if a path matches a pattern in which `*` stands for any characters, dots too: `*.bias`, `features.*`.
pub(crate) fn matches(pattern: &str, path: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or("");
    let Some(mut rest) = path.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Returns true if `path` is at or below `layer`, by whole segments; everything is below the empty path.
pub(crate) fn is_within(path: &str, layer: &str) -> bool {
    let rest = path.strip_prefix(layer);
    layer.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, path, expected) in [
            ("*.bias", "features.3.bias", true),
            ("*.bias", "bias", false),
            ("features.*", "features.3.conv.weight", true),
            ("features.*", "features10.weight", false),
            ("*", "anything", true),
            ("fc.weight", "fc.weight", true),
            ("fc.weight", "fc.weights", false),
            ("a*b*c", "a.b.c", true),
            ("a*b*c", "a.c", false),
            ("*conv*weight", "x.conv1.weight", true),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }
}
