//! The architecture of a network as a drawing, from its graph.

use crate::page::escaped;
use ocelli_graph::{Call, Graph, Model, ValueId, ValueSource};
use std::{collections::BTreeMap, fmt::Write};

const BOX: [usize; 2] = [236, 36];
const GAP: [usize; 2] = [18, 20];
/// Largest number of boxes of the drawing that a reader takes in at once.
const FEW: usize = 44;

/// Draws a network as SVG: a box for each layer with its result and its number of parameters, from the input at the top to
/// the output. Layers within layers are drawn as far as some forty boxes allow.
///
/// ```
/// use ocelli_graph::Model;
/// use ocelli_models::LeNet5;
/// let model = Model::from_layer(LeNet5::modern(10), [32, 32, 1], 0)?;
/// let svg = ocelli_vision::diagram(&model);
/// assert!(svg.starts_with("<svg") && svg.contains("c3") && svg.contains("10×10×16"));
/// # Ok::<(), ocelli_graph::Error>(())
/// ```
pub fn diagram(model: &Model) -> String {
    let deepest = model.graph().calls.iter().map(|call| depth(&call.path)).max().unwrap_or(1);
    let groups = (1..=deepest.max(1)).map(|depth| grouped(model, Some(depth)));
    let fitting = groups.take_while(|boxes| boxes.len() <= FEW).last();
    drawn(&fitting.unwrap_or_else(|| grouped(model, Some(1))))
}

/// Draws every operation of a network as SVG, as [`diagram`] draws layers.
pub fn full_diagram(model: &Model) -> String {
    drawn(&grouped(model, None))
}

fn depth(path: &str) -> usize {
    if path.is_empty() { 0 } else { path.split('.').count() }
}

/// A box of the drawing: one operation or a layer of several.
struct Group {
    name: String,
    kind: String,
    shape: String,
    parameters: usize,
    /// Boxes whose results it reads.
    reads: Vec<usize>,
}

/// Gathers the calls that depend on the input into groups of the same first `depth` names of the path; `None` for a box for
/// each call. The input is the first group.
fn grouped(model: &Model, depth: Option<usize>) -> Vec<Group> {
    let graph = model.graph();
    let input = graph.values.iter().position(|value| matches!(value.source, ValueSource::Input(_)));
    let Some(input) = input else { return Vec::new() };
    let first =
        Group { name: "input".into(), kind: String::new(), shape: sizes(graph, input), parameters: 0, reads: vec![] };
    let (mut groups, mut of_value) = (vec![first], BTreeMap::from([(input, 0)]));
    let mut of_path: BTreeMap<String, usize> = BTreeMap::new();
    let mut counted: Vec<ValueId> = Vec::new();
    let mut waiting = 0;
    for call in &graph.calls {
        let mut parameters = waiting;
        for &id in &call.inputs {
            let is_parameter = matches!(graph.values[id].source, ValueSource::Parameter(_));
            if is_parameter && !counted.contains(&id) {
                counted.push(id);
                parameters += graph.values[id].shape.len(1);
            }
        }
        let reads: Vec<usize> = call.inputs.iter().filter_map(|id| of_value.get(id).copied()).collect();
        // What is computed of parameters alone belongs to the layer that reads it.
        waiting = if reads.is_empty() { parameters } else { 0 };
        if reads.is_empty() {
            continue;
        }
        // A call outside of the layers of this depth is a box of its own: what is computed between two layers is no part of
        // either.
        let layer = depth.filter(|&depth| depth > 0 && self::depth(&call.path) >= depth);
        let path: String = call.path.split('.').take(layer.unwrap_or(usize::MAX)).collect::<Vec<_>>().join(".");
        let known = layer.and_then(|_| of_path.get(&path).copied());
        let number = known.unwrap_or(groups.len());
        if known.is_none() {
            let kind = if path == call.path { kind(graph, call, layer) } else { String::new() };
            groups.push(Group { name: path.clone(), kind, shape: String::new(), parameters: 0, reads: Vec::new() });
            if layer.is_some() {
                of_path.insert(path, number);
            }
        } else if path == call.path {
            groups[number].kind.clone_from(&call.kind);
        }
        let group = &mut groups[number];
        group.shape = sizes(graph, call.outputs[0]);
        group.parameters += parameters;
        for read in reads {
            if read != number && !group.reads.contains(&read) {
                group.reads.push(read);
            }
        }
        call.outputs.iter().for_each(|&id| {
            of_value.insert(id, number);
        });
    }
    groups
}

/// The name of the layer, or of the operation if it is one of several in its layer and has a box of its own.
fn kind(graph: &Graph, call: &Call, layer: Option<usize>) -> String {
    let is_within =
        |path: &str| path.strip_prefix(&call.path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    let is_whole = graph.calls.iter().filter(|other| is_within(&other.path)).nth(1).is_none();
    if layer.is_some() || is_whole { call.kind.clone() } else { call.op.kind() }
}

fn sizes(graph: &Graph, id: ValueId) -> String {
    let sizes = graph.values[id].shape.at(1);
    sizes.iter().skip(1).map(usize::to_string).collect::<Vec<_>>().join("×")
}

fn drawn(groups: &[Group]) -> String {
    // a row below everything that a box reads
    let mut rows = vec![0usize; groups.len()];
    for (number, group) in groups.iter().enumerate() {
        let above = group.reads.iter().filter(|read| **read < number);
        rows[number] = above.map(|read| rows[*read] + 1).max().unwrap_or(0);
    }
    let mut filled: BTreeMap<usize, usize> = BTreeMap::new();
    let columns: Vec<usize> = rows
        .iter()
        .map(|row| {
            let column = filled.entry(*row).or_default();
            *column += 1;
            *column - 1
        })
        .collect();
    let widest = filled.values().copied().max().unwrap_or(1);
    let deepest = rows.iter().copied().max().unwrap_or(0);
    let corner = |number: usize| {
        let width = filled[&rows[number]];
        let indent = (widest - width) * (BOX[0] + GAP[0]) / 2;
        [24 + indent + columns[number] * (BOX[0] + GAP[0]), 8 + rows[number] * (BOX[1] + GAP[1])]
    };
    let (width, height) = (48 + widest * (BOX[0] + GAP[0]), 16 + (deepest + 1) * (BOX[1] + GAP[1]));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"system-ui,sans-serif\" font-size=\"12\"><g fill=\"none\" stroke=\"#9a9a94\" stroke-width=\"1.2\">"
    );
    let add = |svg: &mut String, text: std::fmt::Arguments<'_>| svg.write_fmt(text).expect("a string takes any text");
    // connections below the boxes; one that passes boxes by goes around them
    for (number, group) in groups.iter().enumerate() {
        for &read in &group.reads {
            let ([x, y], [to_x, to_y]) = (corner(read), corner(number));
            let (x, y, to_x) = (x + BOX[0] / 2, y + BOX[1], to_x + BOX[0] / 2);
            if rows[number] > rows[read] + 1 {
                let side = to_x.max(x) + BOX[0] / 2 + 14;
                let (below, above) = (y + 6, to_y.saturating_sub(6));
                let path = format!(
                    "M{x} {y}C{x} {below} {side} {y} {side} {}V{}C{side} {to_y} {to_x} {above} {to_x} {to_y}",
                    y + 20,
                    to_y.saturating_sub(20)
                );
                add(&mut svg, format_args!("<path d=\"{path}\" stroke=\"#c08a3e\"/>"));
            } else {
                add(&mut svg, format_args!("<path d=\"M{x} {y}L{to_x} {to_y}\"/>"));
            }
        }
    }
    svg.push_str("</g>");
    for (number, group) in groups.iter().enumerate() {
        let [x, y] = corner(number);
        let fill = colour(group);
        let parameters =
            if group.parameters > 0 { format!(", {} parameters", group.parameters) } else { String::new() };
        let name = match (group.name.is_empty(), group.kind.is_empty()) {
            (true, _) => group.kind.clone(),
            (false, true) => group.name.clone(),
            (false, false) => format!("{} · {}", group.name, group.kind),
        };
        let [name, shape] = [shortened(&name), format!("{}{parameters}", group.shape)].map(|text| escaped(&text));
        let (middle, first, second) = (x + BOX[0] / 2, y + 15, y + 29);
        add(
            &mut svg,
            format_args!(
                "<rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{}\" rx=\"5\" fill=\"{fill}\" stroke=\"#bbb\"/>\
             <text x=\"{middle}\" y=\"{first}\" text-anchor=\"middle\" fill=\"#222\">{name}</text>\
             <text x=\"{middle}\" y=\"{second}\" text-anchor=\"middle\" fill=\"#555\" font-size=\"11\">{shape}</text>",
                BOX[0], BOX[1]
            ),
        );
    }
    svg + "</svg>"
}

/// Keeps the end of a name that would not fit its box.
fn shortened(name: &str) -> String {
    const MOST: usize = 34;
    let count = name.chars().count();
    if count <= MOST { name.into() } else { format!("…{}", name.chars().skip(count - MOST + 1).collect::<String>()) }
}

fn colour(group: &Group) -> &'static str {
    let kind = &group.kind;
    if kind.contains("Pool") {
        "#e3f0df"
    } else if kind.contains("Conv") {
        "#dfeaf5"
    } else if kind.contains("Dense") || kind.contains("Linear") {
        "#f7e8d8"
    } else if group.parameters > 0 {
        "#e8e6f4"
    } else {
        "#f2f2ee"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ocelli_models::by_name;

    #[test]
    fn every_box_is_connected_and_every_parameter_counted() {
        for name in ["lenet5", "lenet5_1998", "cifar_resnet20", "squeezenet1_1", "densenet121", "mobilenet_v3_small"] {
            let network = by_name(name, None).unwrap();
            let model = Model::zeroed(network.layer, network.sample).unwrap();
            for depth in [Some(1), Some(2), None] {
                let groups = grouped(&model, depth);
                assert!(groups.iter().skip(1).all(|group| !group.reads.is_empty()), "{name}");
                let parameters: usize = groups.iter().map(|group| group.parameters).sum();
                assert_eq!(parameters, model.parameters().trained_count() + model.parameters().fixed_count(), "{name}");
            }
            let svg = diagram(&model);
            assert!(svg.matches("<rect").count() <= FEW.max(grouped(&model, Some(1)).len()), "{name}");
            assert!(full_diagram(&model).matches("<rect").count() >= svg.matches("<rect").count());
        }
    }

    #[test]
    fn shortcuts_go_around() {
        let network = by_name("cifar_resnet20", None).unwrap();
        let model = Model::zeroed(network.layer, network.sample).unwrap();
        assert_eq!(full_diagram(&model).matches("#c08a3e").count(), 9);
    }
}
