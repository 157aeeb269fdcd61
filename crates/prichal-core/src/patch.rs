//! PATCH as the vendor has it: an envelope of operations that address elements by id, not by index
//! (`reference/kontur.md` §3).
//!
//! All operations are tried, all that fail are reported, and if any failed nothing is changed.

mod free;
mod target;

use serde_json::Value;

use crate::{
    json,
    schema::{self, Fault, FaultKind, Field, NewId, Object, Type, complete, member},
    words::words,
};

/// The most operations in one envelope.
pub const MAX_OPERATIONS: usize = 1000;

words! {
    /// What an operation does. The last three are of RFC 6902 and always refused.
    Op { Add "add", Remove "remove", Replace "replace", Move "move", Copy "copy", Test "test" }
}

/// One operation of the envelope.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    pub op: Op,
    pub path: String,
    /// Null when absent.
    pub value: Value,
    /// As it was sent: an error repeats it.
    pub sent: Value,
}

/// What the operations of a refused patch did wrong: the collections of the vendor's `ErrorInfo`
/// (`reference/kontur.md` §2). The first three hold the offending operations.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PatchErrors {
    /// The path does not exist, is an index, or is read-only.
    pub invalid_paths: Vec<Value>,
    /// The value has the wrong JSON type.
    pub invalid_value_types: Vec<Value>,
    /// The value has the right type and breaks a rule.
    pub invalid_datas: Vec<Value>,
    /// A name of what must hold, and how it does not.
    pub invalid_constraints: Vec<(String, String)>,
}

impl PatchErrors {
    pub fn is_empty(&self) -> bool {
        self.invalid_paths.is_empty()
            && self.invalid_value_types.is_empty()
            && self.invalid_datas.is_empty()
            && self.invalid_constraints.is_empty()
    }

    fn add(&mut self, refusal: Refusal, operation: &Operation) {
        let sent = || operation.sent.clone();
        match refusal {
            Refusal::Path => self.invalid_paths.push(sent()),
            Refusal::Type => self.invalid_value_types.push(sent()),
            Refusal::Data => self.invalid_datas.push(sent()),
            Refusal::Constraint(name, detail) => {
                self.invalid_constraints.push((name, detail));
            }
        }
    }
}

/// Why one operation is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Path,
    Type,
    Data,
    Constraint(String, String),
}

impl From<Vec<Fault>> for Refusal {
    fn from(faults: Vec<Fault>) -> Self {
        if faults.iter().any(|fault| fault.kind == FaultKind::Type) {
            Self::Type
        } else {
            Self::Data
        }
    }
}

/// Reads the envelope. Only its own form is judged here: what is wrong inside an operation is said by
/// [`apply`].
pub fn parse(body: &Value) -> Result<Vec<Operation>, Vec<Fault>> {
    let object = schema::object(body)?;
    let Some(list) = member(object, "operations").filter(|value| !value.is_null()) else {
        return Err(vec![Fault::required("operations")]);
    };
    let Some(list) = list.as_array() else {
        return Err(vec![Fault::conversion(
            "operations",
            list,
            Type::Objects(&[]),
        )]);
    };
    if list.len() > MAX_OPERATIONS {
        let message =
            format!("The operations field is invalid: more than {MAX_OPERATIONS} operations.");
        return Err(vec![Fault::rule("operations", message)]);
    }
    list.iter()
        .enumerate()
        .map(|(n, sent)| operation(n, sent))
        .collect()
}

fn operation(n: usize, sent: &Value) -> Result<Operation, Vec<Fault>> {
    let at = |name: &str| format!("operations[{n}]{name}");
    let Some(object) = sent.as_object() else {
        return Err(vec![Fault::conversion(&at(""), sent, Type::Free)]);
    };
    let text = |name: &str, path: String| match member(object, name) {
        None | Some(Value::Null) => Err(vec![Fault::required(path)]),
        Some(Value::String(text)) => Ok((text.clone(), path)),
        Some(other) => Err(vec![Fault::conversion(&path, other, Type::Text)]),
    };
    let (word, op_path) = text("op", at(".op"))?;
    let Some(op) = Op::from_name(&word) else {
        return Err(vec![Fault::unknown_word(&op_path, &word, "OperationType")]);
    };
    let (path, _) = text("path", at(".path"))?;
    Ok(Operation {
        op,
        path,
        value: member(object, "value").cloned().unwrap_or_default(),
        sent: sent.clone(),
    })
}

/// Applies the operations to an object of this schema. True when that changed it.
///
/// On an error the object is as it was.
pub fn apply(
    fields: &[Field],
    object: &mut Object,
    operations: &[Operation],
    new_id: NewId<'_>,
) -> Result<bool, PatchErrors> {
    let mut draft = object.clone();
    let mut errors = PatchErrors::default();
    for operation in operations {
        if let Err(refusal) = apply_one(fields, &mut draft, operation, new_id) {
            errors.add(refusal, operation);
        }
    }
    let draft = complete(fields, draft);
    if errors.is_empty() {
        check_rules(fields, &draft, operations, &mut errors);
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let changed = !json::same_members(&draft, object);
    // A number that is worth the same stays as it was written first.
    if changed {
        *object = draft;
    }
    Ok(changed)
}

fn apply_one(
    fields: &[Field],
    object: &mut Object,
    operation: &Operation,
    new_id: NewId<'_>,
) -> Result<(), Refusal> {
    let verb = match operation.op {
        Op::Add => target::Verb::Add(&operation.value),
        Op::Replace => target::Verb::Replace(&operation.value),
        Op::Remove => target::Verb::Remove,
        Op::Move | Op::Copy | Op::Test => return Err(Refusal::Path),
    };
    let tokens = tokens(&operation.path).ok_or(Refusal::Path)?;
    target::Change { verb, new_id }.in_object(fields, object, &tokens)
}

/// The parts of a path, `~1` and `~0` read as RFC 6901 has them. Dots mean nothing: ids have them.
fn tokens(path: &str) -> Option<Vec<String>> {
    let tokens: Vec<String> = path
        .strip_prefix('/')?
        .split('/')
        .map(|token| token.replace("~1", "/").replace("~0", "~"))
        .collect();
    tokens
        .iter()
        .all(|token| !token.is_empty())
        .then_some(tokens)
}

/// Checks the finished elements, and blames every operation that touched their list: which of them
/// spoiled an element is not to be told from the outcome.
fn check_rules(
    fields: &[Field],
    object: &Object,
    operations: &[Operation],
    errors: &mut PatchErrors,
) {
    for field in fields {
        let Type::Elements(spec) = field.ty else {
            continue;
        };
        let items = object.get(field.name).and_then(Value::as_array);
        let broken = spec.rule.is_some_and(|rule| {
            let mut elements = items.into_iter().flatten().filter_map(Value::as_object);
            elements.any(|element| rule(element).is_err())
        });
        if broken {
            let touched = |operation: &&Operation| {
                tokens(&operation.path)
                    .is_some_and(|tokens| tokens[0].eq_ignore_ascii_case(field.name))
            };
            let blamed = operations
                .iter()
                .filter(touched)
                .map(|operation| operation.sent.clone());
            errors.invalid_datas.extend(blamed);
            if errors.is_empty() {
                // The object was broken before: without an operation to blame, name the list.
                let detail = "An element is not valid.".to_owned();
                errors
                    .invalid_constraints
                    .push((field.name.to_owned(), detail));
            }
        }
    }
}

#[cfg(test)]
mod tests;
