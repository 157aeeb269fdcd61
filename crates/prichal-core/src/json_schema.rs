//! JSON Schema, draft 2020-12, for schemas that workspaces write.
//!
//! A schema comes from outside, so its cost is bounded: it has a maximum number of subschemas and of patterns, refers to
//! nothing outside of itself, and a check ends after a number of steps ([`Budget`]) that does not depend on the schema.
//! Unknown keywords are refused, since a misspelt one would check nothing. `format` and the `content…` keywords are
//! annotations, as they are by default in the standard.

mod check;
mod compile;
mod pattern;

use std::collections::BTreeMap;

use serde_json::{Number, Value};

pub use check::Budget;
use pattern::Pattern;

/// The maximum number of subschemas of a schema.
pub const MAX_SUBSCHEMAS: usize = 2000;
/// The maximum number of patterns of a schema.
pub const MAX_PATTERNS: usize = 20;
/// The maximum number of bytes of a pattern.
pub const MAX_PATTERN: usize = 500;
/// The estimated memory of a subschema with its rules, in bytes.
const SUBSCHEMA_BYTES: usize = 300;

/// A compiled schema.
#[derive(Debug)]
pub struct JsonSchema {
    /// The subschemas. The first one is the schema itself.
    nodes: Vec<Node>,
    patterns: usize,
    /// True if a rule asks which members and items other rules have looked at.
    tracks_seen: bool,
}

impl JsonSchema {
    /// The estimated memory in bytes.
    pub fn bytes(&self) -> usize {
        self.nodes.len() * SUBSCHEMA_BYTES + self.patterns * pattern::BYTES
    }
}

/// The index of a subschema.
type NodeId = usize;

#[derive(Debug)]
enum Node {
    /// The schema `true` or `false`.
    Always(bool),
    Rules(Vec<Rule>),
}

#[derive(Debug)]
enum Rule {
    Reference(NodeId),
    Types(Vec<JsonType>),
    /// `enum`, and `const` with a single value.
    Values(Vec<Value>),
    Limit(Comparison, Number),
    MultipleOf(Number),
    Size(Measure, Bound, u64),
    Pattern(Box<Pattern>),
    Unique,
    Required(Vec<String>),
    DependentRequired(Vec<(String, Vec<String>)>),
    DependentSchemas(Vec<(String, NodeId)>),
    Members {
        properties: BTreeMap<String, NodeId>,
        patterns: Vec<(Pattern, NodeId)>,
        additional: Option<NodeId>,
    },
    Names(NodeId),
    Items {
        prefix: Vec<NodeId>,
        rest: Option<NodeId>,
    },
    Contains {
        node: NodeId,
        min: u64,
        max: u64,
    },
    All(Vec<NodeId>),
    Any(Vec<NodeId>),
    One(Vec<NodeId>),
    Not(NodeId),
    Condition {
        test: NodeId,
        then: Option<NodeId>,
        otherwise: Option<NodeId>,
    },
    UnevaluatedItems(NodeId),
    UnevaluatedMembers(NodeId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum JsonType {
    Null,
    Boolean,
    Object,
    Array,
    Number,
    Integer,
    String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    AtLeast,
    MoreThan,
    AtMost,
    LessThan,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measure {
    Characters,
    Items,
    Members,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    Min,
    Max,
}

#[cfg(test)]
mod tests;
