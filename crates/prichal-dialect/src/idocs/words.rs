//! The vendor's enumerations, under the names that they have in its description (`docs/contracts/idocs.md §1.4`).

use prichal_core::document::{Action, Direction, Group, NodeStatus, Ordering, Status, Step};
use utoipa::openapi::{
    RefOr, Schema,
    schema::{ObjectBuilder, Type},
};

/// Defines schemas that list words.
#[macro_export]
macro_rules! word_schemas {
    ($($(#[doc = $doc:literal])+ $vis:vis $name:ident: $words:expr;)+) => {$(
        $(#[doc = $doc])+
        $vis enum $name {}

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                $crate::idocs::words::schema(&[$($doc),+], $words)
            }
        }

        impl utoipa::ToSchema for $name {}
    )+};
}

/// The schema of a text of a few words. `doc` has the lines of its comment.
pub fn schema(doc: &[&str], words: &[&'static str]) -> RefOr<Schema> {
    let lines: Vec<&str> = doc.iter().map(|line| line.trim()).collect();
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(lines.join(" ")))
        .enum_values(Some(words.iter().copied()))
        .into()
}

word_schemas! {
    /// The subject of a document. Requests may have its number, from 1.
    pub DocumentGroupType: Group::WORDS;
    /// The status of a document, as one company sees it. Requests may have its number, from 0.
    pub ExternalNodeStatus: Status::WORDS;
    /// The side of a document on which the company is.
    pub DocumentDirectionEnum: Direction::WORDS;
    /// The order in which nodes act. Requests may have its number, from 0.
    pub RouteOrderType: Ordering::WORDS;
    /// The action of an employee. Requests may have its number, from 0.
    pub RouteActionEnum: Action::WORDS;
    /// The progress of a node.
    pub NodeActionStatus: NodeStatus::WORDS;
    /// A step that an employee may take on a document.
    pub DocumentStep: Step::WORDS;
}
