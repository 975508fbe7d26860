//! Images listed in a CSV file.

use super::{decode_file, decode_file_part};
use crate::{Choice, Dataset, Error, Image, Result, Targets, dataset::check, error::shortened};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

/// Largest file in bytes.
const MAX_BYTES: u64 = 1 << 28;
/// Most classes that are found in a column.
const MAX_CLASSES: usize = 1 << 16;
/// Most columns of a table.
const MAX_COLUMNS: usize = 1000;
/// Maximum number of characters of the names that an error quotes.
const MAX_QUOTED: usize = 200;
/// The column with the files of the images.
const IMAGE: &str = "image";

/// The columns of a manifest that a network is to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// None: the images have no labels.
    Nothing,
    /// The name of a class.
    Label {
        /// The column.
        column: String,
        /// The names of the classes in the order of the labels; empty: those of the column, in their order.
        classes: Vec<String>,
    },
    /// Real numbers, such as coordinates or the probabilities of classes (soft labels).
    Values(Vec<String>),
}

/// A dataset of the image files that a table lists: comma-separated values with a header, as in RFC 4180. The column `image`
/// has their paths, from the folder of the table on; the columns of an [`Answer`] have what a network is to answer, and
/// others are not read. Each image is decoded when it is read.
///
/// ```
/// use ocelli_data::{Dataset, image_files::{Answer, Manifest}};
/// let folder = std::env::temp_dir().join(format!("ocelli-doc-manifest-{}", std::process::id()));
/// std::fs::create_dir_all(&folder)?;
/// std::fs::write(folder.join("list.csv"), "image,kind,x,y\n1.png,cat,0.5,3\n\"2,b.png\",dog,1,4\n")?;
/// let kinds = Answer::Label { column: "kind".into(), classes: vec![] };
/// let labelled = Manifest::open(folder.join("list.csv"), kinds)?;
/// assert_eq!((labelled.class_names(), labelled.label(1)?), (&["cat".to_string(), "dog".into()][..], 1));
/// let mut place = [0.0; 2];
/// let placed = Manifest::open(folder.join("list.csv"), Answer::Values(vec!["x".into(), "y".into()]))?;
/// placed.write_targets(1, &mut place)?;
/// assert_eq!(place, [1.0, 4.0]);
/// # std::fs::remove_dir_all(folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Manifest {
    folder: PathBuf,
    /// The paths of all images, one after the other, and where each ends.
    paths: String,
    ends: Vec<u32>,
    targets: Targets,
    labels: Vec<u32>,
    values: Vec<f32>,
    class_names: Vec<String>,
}

impl Manifest {
    /// Reads a table.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read; [`Error::Format`], with the line, if it is not such a table, is longer than
    /// 256 MiB, lacks a column, or has a class that is not listed or a value that is no finite number.
    pub fn open(path: impl AsRef<Path>, answer: Answer) -> Result<Manifest> {
        let path = path.as_ref();
        let failed = |source| Error::io(path, source);
        let wrong = |reason: String| Error::format(path, reason);
        let mut text = String::new();
        File::open(path).map_err(failed)?.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
        if text.len() as u64 > MAX_BYTES {
            return Err(wrong(format!("more than {MAX_BYTES} bytes")));
        }
        let mut table = Table { rest: text.strip_prefix('\u{FEFF}').unwrap_or(&text), line: 1 };
        // find the columns
        let mut header = Vec::new();
        if !table.next_row(&mut header, MAX_COLUMNS).map_err(wrong)? {
            return Err(wrong("the file is empty".into()));
        }
        let column = |name: &str| {
            let at = header.iter().position(|known| known.trim() == name);
            at.ok_or_else(|| wrong(format!("no column is called \"{}\"", shortened(name, MAX_QUOTED))))
        };
        let image = column(IMAGE)?;
        let (targets, columns) = match &answer {
            Answer::Nothing => (Targets::Nothing, vec![]),
            Answer::Label { column: name, .. } => (Targets::Labels, vec![column(name)?]),
            Answer::Values(names) => {
                (Targets::Values(names.len()), names.iter().map(|name| column(name)).collect::<Result<_>>()?)
            }
        };
        // read the rows
        let class_names = match answer {
            Answer::Label { column: _, classes } if classes.is_empty() => {
                classes_of(table.clone(), header.len(), columns[0]).map_err(wrong)?
            }
            Answer::Label { classes, .. } => classes,
            Answer::Nothing | Answer::Values(_) => vec![],
        };
        let rows = table.rest.lines().count();
        let mut manifest = Manifest {
            folder: path.parent().unwrap_or(Path::new("")).into(),
            paths: String::new(),
            ends: Vec::with_capacity(rows),
            targets,
            labels: Vec::with_capacity(if targets == Targets::Labels { rows } else { 0 }),
            values: Vec::new(),
            class_names,
        };
        let numbers: BTreeMap<String, u32> = manifest.class_names.iter().cloned().zip(0..).collect();
        let width = header.len();
        let mut row = header;
        while table.next_row(&mut row, width).map_err(wrong)? {
            let line = table.line - 1;
            if row.len() != width {
                return Err(wrong(format!("line {line}: {} fields for {width} columns", row.len())));
            }
            manifest.push(&row, image, &columns, &numbers).map_err(|reason| wrong(format!("line {line}: {reason}")))?;
        }
        Ok(manifest)
    }

    /// Adds one row; classes have these `numbers`.
    fn push(
        &mut self,
        row: &[String],
        image: usize,
        columns: &[usize],
        numbers: &BTreeMap<String, u32>,
    ) -> std::result::Result<(), String> {
        match row[image].trim() {
            "" => return Err("no path of an image".into()),
            path => self.paths.push_str(path),
        }
        // The whole text has fewer than 2³² bytes.
        self.ends.push(self.paths.len() as u32);
        for column in columns {
            let text = row[*column].trim();
            if self.targets == Targets::Labels {
                let unknown = || format!("\"{}\" is none of the classes", shortened(text, MAX_QUOTED));
                self.labels.push(*numbers.get(text).ok_or_else(unknown)?);
            } else {
                let value = text.parse::<f32>().ok().filter(|value| value.is_finite());
                self.values.push(value.ok_or_else(|| format!("\"{}\" is no number", shortened(text, MAX_QUOTED)))?);
            }
        }
        Ok(())
    }

    /// Returns the path of sample `index`, if there is such a sample.
    pub fn file(&self, index: usize) -> Option<PathBuf> {
        let end = *self.ends.get(index)? as usize;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        Some(self.folder.join(&self.paths[start..end]))
    }
}

/// Lists the different names of a column in their order.
fn classes_of(mut table: Table<'_>, width: usize, column: usize) -> std::result::Result<Vec<String>, String> {
    let (mut names, mut row) = (BTreeSet::new(), Vec::new());
    while table.next_row(&mut row, width)? {
        if let Some(name) = row.get(column).map(|name| name.trim()).filter(|name| !names.contains(*name)) {
            names.insert(name.to_string());
            if names.len() > MAX_CLASSES {
                return Err(format!("more than {MAX_CLASSES} classes"));
            }
        }
    }
    Ok(names.into_iter().collect())
}

/// Text of comma-separated values.
#[derive(Clone)]
struct Table<'a> {
    rest: &'a str,
    /// The number of the next line.
    line: usize,
}

impl Table<'_> {
    /// Reads the fields of the next row that is not empty; false at the end.
    fn next_row(&mut self, fields: &mut Vec<String>, most: usize) -> std::result::Result<bool, String> {
        fields.clear();
        while let Some(rest) = self.rest.strip_prefix("\r\n").or_else(|| self.rest.strip_prefix('\n')) {
            (self.rest, self.line) = (rest, self.line + 1);
        }
        if self.rest.is_empty() {
            return Ok(false);
        }
        loop {
            if fields.len() == most {
                return Err(format!("line {}: more than {most} fields", self.line));
            }
            fields.push(self.field()?);
            match self.rest.bytes().next() {
                Some(b',') => self.rest = &self.rest[1..],
                Some(_) => {
                    self.rest = self.rest.strip_prefix("\r\n").or_else(|| self.rest.strip_prefix('\n')).unwrap_or("");
                    break;
                }
                None => break,
            }
        }
        self.line += 1;
        Ok(true)
    }

    /// Reads a field up to a comma or the end of the line.
    fn field(&mut self) -> std::result::Result<String, String> {
        let Some(mut quoted) = self.rest.strip_prefix('"') else {
            let end = self.rest.find([',', '\n']).unwrap_or(self.rest.len());
            let (field, rest) = self.rest.split_at(end);
            // The end of the line may have two characters.
            let field = if rest.starts_with('\n') { field.strip_suffix('\r').unwrap_or(field) } else { field };
            self.rest = rest;
            return Ok(field.into());
        };
        let mut field = String::new();
        loop {
            let Some((part, rest)) = quoted.split_once('"') else {
                return Err(format!("line {}: a quoted field does not end", self.line));
            };
            field.push_str(part);
            self.line += part.matches('\n').count();
            match rest.strip_prefix('"') {
                Some(rest) => {
                    field.push('"');
                    quoted = rest;
                }
                None if rest.is_empty() || rest.starts_with([',', '\n']) || rest.starts_with("\r\n") => {
                    self.rest = rest;
                    return Ok(field);
                }
                None => return Err(format!("line {}: text behind a quoted field", self.line)),
            }
        }
    }
}

impl Dataset for Manifest {
    fn len(&self) -> usize {
        self.ends.len()
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn label(&self, index: usize) -> Result<u32> {
        check(self, index)?;
        self.labels.get(index).copied().ok_or_else(|| Error::Setting("the manifest was opened without labels".into()))
    }

    fn read(&self, index: usize, image: &mut Image) -> Result<()> {
        let path = self.file(index).ok_or(Error::Index { index, len: self.len() })?;
        *image = decode_file(path)?;
        Ok(())
    }

    fn read_part(&self, index: usize, image: &mut Image, part: &mut Choice<'_>) -> Result<()> {
        let path = self.file(index).ok_or(Error::Index { index, len: self.len() })?;
        *image = decode_file_part(path, part)?;
        Ok(())
    }

    fn targets(&self) -> Targets {
        self.targets
    }

    fn write_targets(&self, index: usize, out: &mut [f32]) -> Result<()> {
        check(self, index)?;
        let Targets::Values(count) = self.targets else {
            return Err(Error::Setting("the manifest was opened without values".into()));
        };
        if out.len() != count {
            return Err(Error::Room { expected: count, got: out.len() });
        }
        out.copy_from_slice(&self.values[index * count..(index + 1) * count]);
        Ok(())
    }

    fn name(&self, index: usize) -> String {
        self.file(index).map_or_else(|| format!("sample {index}"), |path| path.display().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(text: &str, answer: Answer) -> std::result::Result<Manifest, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list.csv");
        std::fs::write(&path, text).unwrap();
        let prefix = format!("{}/", folder.path().display());
        Manifest::open(path, answer).map_err(|error| error.to_string().replace(&prefix, ""))
    }

    fn kinds(classes: &[&str]) -> Answer {
        Answer::Label { column: "kind".into(), classes: classes.iter().map(ToString::to_string).collect() }
    }

    #[test]
    fn quotes_line_ends_and_spaces_are_read() {
        let text = "\u{FEFF}kind, image ,note\r\nb,\"a \"\"b\"\", c.png\",\"two\nlines\"\r\n\r\na, x.png ,\nb,y.png,z";
        let manifest = opened(text, kinds(&[])).unwrap();
        assert_eq!((manifest.len(), manifest.class_names()), (3, &["a".to_string(), "b".into()][..]));
        let file = |index| manifest.file(index).unwrap().file_name().unwrap().to_str().unwrap().to_string();
        assert_eq!([0, 1, 2].map(file), ["a \"b\", c.png", "x.png", "y.png"]);
        assert_eq!([0, 1, 2].map(|index| manifest.label(index).unwrap()), [1, 0, 1]);
        assert_eq!(opened(text, kinds(&["b", "c", "a"])).unwrap().label(1).unwrap(), 2);
        let nothing = opened("image\na.png\n", Answer::Nothing).unwrap();
        assert_eq!((nothing.targets(), nothing.len()), (Targets::Nothing, 1));
        assert!(nothing.label(0).is_err() && nothing.label(1).is_err());
    }

    #[test]
    fn mistakes_are_named_with_their_lines() {
        let text = |text: &str, answer| opened(text, answer).unwrap_err();
        let values = |names: &[&str]| Answer::Values(names.iter().map(ToString::to_string).collect());
        assert_eq!(text("", kinds(&[])), "list.csv: the file is empty");
        assert_eq!(text("file,kind\n", kinds(&[])), "list.csv: no column is called \"image\"");
        assert_eq!(text("image\n", kinds(&[])), "list.csv: no column is called \"kind\"");
        assert_eq!(text("image,kind\na,cow\n", kinds(&["cat"])), "list.csv: line 2: \"cow\" is none of the classes");
        assert_eq!(text("image,x\na,1\nb\n", values(&["x"])), "list.csv: line 3: 1 fields for 2 columns");
        assert_eq!(text("image,x\na,1\nb,1,2\n", values(&["x"])), "list.csv: line 3: more than 2 fields");
        assert_eq!(text("image,x\na,NaN\n", values(&["x"])), "list.csv: line 2: \"NaN\" is no number");
        assert_eq!(text("image,x\n ,1\n", values(&["x"])), "list.csv: line 2: no path of an image");
        assert_eq!(text("image\n\"a", Answer::Nothing), "list.csv: line 2: a quoted field does not end");
        assert_eq!(text("image\n\"a\"b\n", Answer::Nothing), "list.csv: line 2: text behind a quoted field");
        let many = format!("image{}\n", ",x".repeat(2000));
        assert_eq!(text(&many, Answer::Nothing), "list.csv: line 1: more than 1000 fields");
    }
}
