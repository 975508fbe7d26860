//! One HTML file with everything in it: headings, images as data, drawings as SVG, tables. No script, no outside reference.

use crate::Result;
use ocelli_data::image_files::encode_png;
use ocelli_graph::Tensor;
use ocelli_tensor::write_atomically;
use std::{fmt::Write, path::Path};

/// An image with a caption.
#[derive(Clone, Debug)]
pub struct Picture {
    /// The image, `[H, W, 1]` or `[H, W, 3]`, from 0 to 1.
    pub image: Tensor,
    /// The text below it; may be empty.
    pub caption: String,
}

impl Picture {
    /// Creates an image with a caption.
    pub fn new(image: Tensor, caption: impl Into<String>) -> Picture {
        Picture { image, caption: caption.into() }
    }
}

/// A page that is written as one HTML file: readable on a phone, without scripts and without the network.
///
/// ```
/// use ocelli_graph::Tensor;
/// use ocelli_vision::page::{Page, Picture};
/// let mut page = Page::new("Grey");
/// page.paragraph("It is < 1.");
/// page.pictures(64, &[Picture::new(Tensor::full([4, 4, 1], 0.5), "a square")])?;
/// let html = page.html();
/// assert!(html.contains("It is &lt; 1.") && html.contains("src=\"data:image/png;base64,"));
/// # Ok::<(), ocelli_vision::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Page {
    title: String,
    /// Headings and their anchors.
    contents: Vec<String>,
    body: String,
}

const STYLE: &str = "\
body{font:16px/1.5 system-ui,sans-serif;color:#222;background:#fafaf8;margin:0 auto;max-width:72rem;padding:0 1rem 3rem}\
h1{font-size:1.7rem;line-height:1.2;margin:1.5rem 0 .5rem}h2{font-size:1.25rem;margin:2.2rem 0 .4rem;border-bottom:1px solid #ddd}\
h3{font-size:1rem;margin:1.2rem 0 .3rem}p{max-width:44rem;margin:.4rem 0 .8rem}\
nav{columns:14rem;margin:1rem 0}nav a{display:block}a{color:#185a8a}\
.row{display:flex;flex-wrap:wrap;gap:.5rem;margin:.2rem 0 .4rem}\
.groups{display:flex;flex-wrap:wrap;gap:.2rem 2.4rem}.groups section{max-width:100%}\
.groups .row{flex-wrap:nowrap}.groups figure{min-width:0}\
figure{margin:0}figure img{display:block;image-rendering:pixelated;max-width:100%;height:auto;border-radius:2px}\
figcaption{font-size:.75rem;line-height:1.25;color:#555;margin-top:.15rem;overflow-wrap:anywhere}\
.draw{overflow-x:auto;background:#fff;border:1px solid #e4e4e0;border-radius:4px;padding:.5rem;margin:.4rem 0 1rem}\
.draw svg{display:block;height:auto}.fit svg,.small svg{max-width:100%}.small{display:flex;flex-wrap:wrap;gap:.6rem}\
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.85rem;margin:.3rem 0 1rem}\
th,td{padding:.15rem .7rem .15rem 0;text-align:left;border-bottom:1px solid #e4e4e0;white-space:nowrap}\
details{margin:.4rem 0}summary{cursor:pointer;color:#185a8a}";

impl Page {
    /// Creates a page that begins with its title.
    pub fn new(title: impl Into<String>) -> Page {
        Page { title: title.into(), contents: Vec::new(), body: String::new() }
    }

    /// Begins a part of the page, which the table of contents lists.
    pub fn part(&mut self, heading: &str) {
        self.contents.push(escaped(heading));
        let number = self.contents.len();
        self.add(format_args!("<h2 id=\"part{number}\">{}</h2>\n", escaped(heading)));
    }

    /// Begins a section of a part.
    pub fn section(&mut self, heading: &str) {
        self.add(format_args!("<h3>{}</h3>\n", escaped(heading)));
    }

    /// Adds a paragraph of plain text.
    pub fn paragraph(&mut self, text: &str) {
        self.add(format_args!("<p>{}</p>\n", escaped(text)));
    }

    /// Adds images beside each other, in as many rows as the screen needs, each `width` CSS pixels wide.
    ///
    /// # Errors
    /// [`Error::Data`](crate::Error::Data) for a tensor that is no image.
    pub fn pictures(&mut self, width: usize, pictures: &[Picture]) -> Result<()> {
        self.body.push_str("<div class=\"row\">\n");
        for Picture { image, caption } in pictures {
            let data = base64(&encode_png(image)?);
            let (caption, [rows, columns]) = (escaped(caption), [image.shape()[0], image.shape()[1]]);
            let height = (width * rows).div_ceil(columns);
            self.add(format_args!(
                "<figure style=\"width:{width}px;max-width:100%\"><img width=\"{width}\" height=\"{height}\" alt=\"{caption}\" \
                 src=\"data:image/png;base64,{data}\">"
            ));
            if !caption.is_empty() {
                self.add(format_args!("<figcaption>{caption}</figcaption>"));
            }
            self.body.push_str("</figure>\n");
        }
        self.body.push_str("</div>\n");
        Ok(())
    }

    /// Adds groups of images beside each other where the screen is wide enough: each has a heading and rows of images. Rows
    /// are not broken but shrink, so that what belongs together stays in one column.
    ///
    /// # Errors
    /// The errors of [`Page::pictures`].
    pub fn groups(&mut self, width: usize, groups: &[(String, Vec<Vec<Picture>>)]) -> Result<()> {
        self.body.push_str("<div class=\"groups\">\n");
        for (heading, rows) in groups {
            self.body.push_str("<section>\n");
            self.section(heading);
            for row in rows {
                self.pictures(width, row)?;
            }
            self.body.push_str("</section>\n");
        }
        self.body.push_str("</div>\n");
        Ok(())
    }

    /// Adds a drawing that is shrunk to the width of the screen.
    pub fn drawing(&mut self, svg: &str) {
        self.add(format_args!("<div class=\"draw fit\">{svg}</div>\n"));
    }

    /// Adds several small drawings beside each other, in as many rows as the screen needs.
    pub fn drawings(&mut self, svgs: &str) {
        self.add(format_args!("<div class=\"draw small\">{svgs}</div>\n"));
    }

    /// Adds a drawing that keeps its size, behind a line that opens it; it scrolls where the screen is narrower.
    pub fn folded_drawing(&mut self, summary: &str, svg: &str) {
        let summary = escaped(summary);
        self.add(format_args!("<details><summary>{summary}</summary><div class=\"draw\">{svg}</div></details>\n"));
    }

    /// Adds a table of plain text, whose first row is the heading.
    pub fn table(&mut self, rows: &[Vec<String>]) {
        self.body.push_str("<div class=\"scroll\"><table>\n");
        for (number, row) in rows.iter().enumerate() {
            let tag = if number == 0 { "th" } else { "td" };
            let cells: String = row.iter().map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell))).collect();
            self.add(format_args!("<tr>{cells}</tr>\n"));
        }
        self.body.push_str("</table></div>\n");
    }

    fn add(&mut self, text: std::fmt::Arguments<'_>) {
        self.body.write_fmt(text).expect("a string takes any text");
    }

    /// Returns the whole page.
    pub fn html(&self) -> String {
        let title = escaped(&self.title);
        let link = |(number, heading): (usize, &String)| format!("<a href=\"#part{}\">{heading}</a>\n", number + 1);
        let contents: String = self.contents.iter().enumerate().map(link).collect();
        let contents = if contents.is_empty() { contents } else { format!("<nav>\n{contents}</nav>\n") };
        format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
             <style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n{contents}{}</body>\n</html>\n",
            self.body
        )
    }

    /// Writes the page. The file is written atomically.
    ///
    /// # Errors
    /// [`Error::Tensor`](crate::Error::Tensor) if the file cannot be written.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        let html = self.html();
        Ok(write_atomically(path, |file| file.write_all(html.as_bytes()))?)
    }
}

/// Writes text so that HTML and SVG show it as it is.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Encodes bytes as text (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group.iter().enumerate().fold(0u32, |bits, (at, byte)| bits | u32::from(*byte) << (16 - 8 * at));
        for digit in 0..4 {
            let used = digit <= group.len();
            let index = (bits >> (18 - 6 * digit) & 63) as usize;
            text.push(if used { char::from(DIGITS[index]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_encoded_as_the_standard_says() {
        let cases = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        assert!(cases.iter().all(|(bytes, text)| base64(bytes.as_bytes()) == *text));
    }

    /// A page that refers to anything outside of itself would not be readable everywhere.
    #[test]
    fn a_page_is_all_in_one_file() {
        let mut page = Page::new("A & B");
        page.part("1 < 2");
        page.table(&[vec!["a".into()], vec!["\"b\"".into()]]);
        page.drawing("<svg></svg>");
        page.folded_drawing("all of it", "<svg></svg>");
        page.pictures(30, &[Picture::new(Tensor::full([2, 3, 3], 0.5), "<i>")]).unwrap();
        let html = page.html();
        assert!(html.contains("<a href=\"#part1\">1 &lt; 2</a>") && html.contains("<td>&quot;b&quot;</td>"));
        assert!(html.contains("width=\"30\" height=\"20\" alt=\"&lt;i&gt;\""));
        assert!(!html.contains("<script") && !html.contains("http") && !html.contains("<link"));
        let references = html.matches("src=\"").count();
        assert_eq!(references, html.matches("src=\"data:image/png;base64,").count());
        assert!(page.pictures(30, &[Picture::new(Tensor::zeros([2, 3]), "")]).is_err());
    }
}
