//! The protocol of Labeled Faces in the Wild: pairs of images in folds (Huang et al. 2007).

use crate::{Error, Result};
use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

/// Largest list of pairs in bytes: that of LFW has some 200 KiB.
const MAX_BYTES: u64 = 1 << 26;

/// The pairs of a file such as LFW's `pairs.txt`, fold by fold.
///
/// ```
/// use ocelli_data::LfwPairs;
/// let text = "1\t1\nAnn_Lee\t1\t2\nAnn_Lee\t1\tBob_Ray\t4\n";
/// let pairs = LfwPairs::parse(text)?;
/// let [same, different] = &pairs.folds[0][..] else { panic!() };
/// assert!(same.same && !different.same);
/// assert_eq!(different.right.path("lfw", "jpg"), std::path::Path::new("lfw/Bob_Ray/Bob_Ray_0004.jpg"));
/// # Ok::<(), ocelli_data::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LfwPairs {
    /// The folds: in the published protocol ten, each of 300 pairs of one person and 300 of two.
    pub folds: Vec<Vec<LfwPair>>,
}

/// Two images, and whether they show one person.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LfwPair {
    /// One image.
    pub left: LfwImage,
    /// The other image.
    pub right: LfwImage,
    /// True if both show one person.
    pub same: bool,
}

/// An image of LFW: a person and a number from 1 on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LfwImage {
    /// The name of the person, which is the name of a folder.
    pub name: String,
    /// The number of the image.
    pub number: u32,
}

impl LfwImage {
    /// Returns the place of the image below the folder of the dataset: `NAME/NAME_0001.EXTENSION`.
    pub fn path(&self, folder: impl AsRef<Path>, extension: &str) -> PathBuf {
        folder.as_ref().join(&self.name).join(format!("{}_{:04}.{extension}", self.name, self.number))
    }
}

impl LfwPairs {
    /// Reads a list of pairs.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, [`Error::Format`] if it is no list of pairs, with the line.
    pub fn load(path: impl AsRef<Path>) -> Result<LfwPairs> {
        let path = path.as_ref();
        let failed = |source| Error::io(path, source);
        let mut text = String::new();
        let file = File::open(path).map_err(failed)?;
        file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
        if text.len() as u64 > MAX_BYTES {
            return Err(Error::format(path, format!("more than {MAX_BYTES} bytes")));
        }
        parse(&text).map_err(|reason| Error::format(path, reason))
    }

    /// Parses a list of pairs. Its first line has the number of folds and that of pairs of either kind in each, or only the
    /// latter; then follow, for each fold, lines `NAME NUMBER NUMBER` for pairs of one person and lines
    /// `NAME NUMBER NAME NUMBER` for pairs of two.
    ///
    /// # Errors
    /// [`Error::Setting`] if the text is no list of pairs, with the line.
    pub fn parse(text: &str) -> Result<LfwPairs> {
        parse(text).map_err(Error::Setting)
    }
}

fn parse(text: &str) -> std::result::Result<LfwPairs, String> {
    let mut lines =
        text.lines().enumerate().map(|(number, line)| (number + 1, line)).filter(|(_, line)| !line.trim().is_empty());
    let (_, first) = lines.next().ok_or("the list of pairs is empty")?;
    let sizes: Option<Vec<usize>> = first.split_whitespace().map(|word| word.parse().ok()).collect();
    let (folds, each) = match sizes.as_deref() {
        Some([folds, each]) if *folds > 0 && *each > 0 => (*folds, *each),
        Some([each]) if *each > 0 => (1, *each),
        _ => return Err("line 1 does not say how many folds and pairs there are".into()),
    };
    // Memory grows with the lines, not with what the first one claims.
    let mut read = LfwPairs { folds: Vec::new() };
    for fold in 0..folds {
        let mut pairs = Vec::new();
        for same in [true, false] {
            for _ in 0..each {
                let missing = || format!("ends in fold {} of {folds}, which has {each} pairs of either kind", fold + 1);
                let (number, line) = lines.next().ok_or_else(missing)?;
                let kind = if same { "one person" } else { "two persons" };
                let pair = pair(line, same).ok_or_else(|| format!("line {number} is no pair of {kind}"))?;
                pairs.push(pair);
            }
        }
        read.folds.push(pairs);
    }
    match lines.next() {
        Some((number, _)) => Err(format!("line {number} is beyond the pairs that the first line counts")),
        None => Ok(read),
    }
}

fn pair(line: &str, same: bool) -> Option<LfwPair> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let image = |name: &str, number: &str| {
        // A name is that of one folder below the dataset's.
        let plain = !name.contains(['/', '\\']) && name != "." && name != "..";
        let number = number.parse().ok().filter(|number| *number > 0)?;
        plain.then(|| LfwImage { name: name.into(), number })
    };
    let (left, right) = match (same, &words[..]) {
        (true, [name, left, right]) => (image(name, left)?, image(name, right)?),
        (false, [name, left, other, right]) => (image(name, left)?, image(other, right)?),
        _ => return None,
    };
    Some(LfwPair { left, right, same })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_come_in_their_order() {
        let pairs = LfwPairs::parse("2 1\nA 1 2\nA 1 B 3\nC 4 5\nC 1 D 2\n").unwrap();
        assert_eq!(pairs.folds.len(), 2);
        assert_eq!(pairs.folds[1][0].left, LfwImage { name: "C".into(), number: 4 });
        assert!(pairs.folds.iter().all(|fold| fold[0].same && !fold[1].same));
        assert_eq!(LfwPairs::parse("1\nA 1 2\nA 1 B 3\n").unwrap().folds.len(), 1);
    }

    #[test]
    fn lists_that_are_none_name_the_line() {
        let error = |text: &str| LfwPairs::parse(text).unwrap_err().to_string();
        assert_eq!(error(""), "the list of pairs is empty");
        assert_eq!(error("ten\n"), "line 1 does not say how many folds and pairs there are");
        assert_eq!(error("0 0\n"), "line 1 does not say how many folds and pairs there are");
        assert_eq!(error("1 2\nA 1 2\n"), "ends in fold 1 of 1, which has 2 pairs of either kind");
        assert_eq!(error("1 1\nA 1 B 2\nA 1 2\n"), "line 2 is no pair of one person");
        assert_eq!(error("1 1\nA 1 2\nA 1 2\n"), "line 3 is no pair of two persons");
        assert_eq!(error("1 1\n../../etc 1 2\nA 1 B 2\n"), "line 2 is no pair of one person");
        assert_eq!(error("1 1\nA 0 2\nA 1 B 2\n"), "line 2 is no pair of one person");
        assert_eq!(error("1 1\nA 1 2\nA 1 B 2\nA 1 2\n"), "line 4 is beyond the pairs that the first line counts");
        assert!(error("18446744073709551615 18446744073709551615\n").starts_with("ends in fold 1"));
    }
}
