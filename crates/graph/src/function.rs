//! Trait bounds for functions of a node, whose error messages name the alternative.

use crate::Node;

/// A function or closure that describes a network, for [`Model::build`](crate::Model::build). Every
/// `FnOnce(&Node) -> Node` is one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a function of a node",
    label = "not a function `|x| …`",
    note = "a layer goes to `Model::from_layer(layer, sample, seed)`"
)]
pub trait NetworkFunction: FnOnce(&Node) -> Node {}

#[diagnostic::do_not_recommend]
impl<F: FnOnce(&Node) -> Node> NetworkFunction for F {}

/// A function or closure that is used as a layer, for [`func`](crate::func) and [`Node::scope`]. Every `Fn(&Node) -> Node` is
/// one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a function of a node",
    label = "not a function `|x| …`",
    note = "a layer is applied by `x.apply(name, layer)`"
)]
pub trait LayerFunction: Fn(&Node) -> Node {}

#[diagnostic::do_not_recommend]
impl<F: Fn(&Node) -> Node> LayerFunction for F {}
