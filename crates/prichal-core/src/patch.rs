//! PATCH: an envelope of operations that address elements by id, not by index
//! (`docs/contracts/kontur.md §3`).
//!
//! All operations are tried, all that fail are reported, and if any failed nothing is changed.

mod free;
mod target;

use std::borrow::Cow;

use serde_json::Value;

use crate::{
    delivery_settings::MASK,
    json,
    schema::{
        self, Fault, FaultKind, Field, MAX_DEPTH, NewId, Object, Type, Words, complete, member,
    },
    words::words,
};

/// The maximum number of operations in one envelope.
pub const MAX_OPERATIONS: usize = 1000;
/// The maximum number of parts of a path: the names that lead to a free value, and as many as that may nest.
pub const MAX_SEGMENTS: usize = MAX_DEPTH + 8;

words! {
    /// The verb of an operation. The last three are of RFC 6902 and always refused.
    Op { Add "add", Remove "remove", Replace "replace", Move "move", Copy "copy", Test "test" }
}

/// The verbs that are carried out.
static VERBS: Words = Words {
    name: "operation",
    words: &["add", "remove", "replace"],
};
const OP: Field = Field::new("op", Type::Enum(&VERBS))
    .required()
    .doc("The verb, in either case.");
const PATH: Field = Field::new("path", Type::Text)
    .required()
    .doc("The JSON pointer of the member. Elements of lists are addressed by their id.")
    .example("/webHooks");
const VALUE: Field = Field::new("value", Type::Any).doc("The value of `add` and `replace`.");
const OPERATIONS: Field = Field::new("operations", Type::Objects(OPERATION))
    .required()
    .items(MAX_OPERATIONS)
    .doc("The operations, in their order. All are applied, or none.");
const OPERATION: &[Field] = &[OP, PATH, VALUE];
/// The members of the body of a PATCH.
pub const ENVELOPE: &[Field] = &[OPERATIONS];

/// One operation of the envelope.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    pub op: Op,
    pub path: String,
    /// Null if absent.
    pub value: Value,
    /// The operation as it was sent, which an error repeats.
    pub sent: Value,
}

impl Operation {
    /// The operation with the reason of its refusal. Private keys and values that are marked as secret are not repeated.
    pub fn refused(&self, reason: impl Into<Reason>) -> Refused {
        let mut sent = self.sent.clone();
        mask_secrets(&mut sent);
        Refused {
            sent,
            reason: reason.into(),
        }
    }
}

/// Masks private keys in PEM, and what stands beside `"secret": true`.
fn mask_secrets(value: &mut Value) {
    match value {
        Value::String(text) if text.contains("PRIVATE KEY") => MASK.clone_into(text),
        Value::Array(items) => items.iter_mut().for_each(mask_secrets),
        Value::Object(members) => {
            let is_secret = members.get("secret") == Some(&Value::Bool(true));
            for (name, value) in members {
                match value {
                    Value::String(text) if is_secret && name == "value" => MASK.clone_into(text),
                    value => mask_secrets(value),
                }
            }
        }
        _ => {}
    }
}

/// A refused operation as it was sent, and the reason.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    pub sent: Value,
    pub reason: Reason,
}

/// The reason of a refusal. A dialect words it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A sentence.
    Text(Cow<'static, str>),
    /// The faults of the operation's value.
    Faults(Vec<Fault>),
}

impl From<&'static str> for Reason {
    fn from(text: &'static str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Reason {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<Fault> for Reason {
    fn from(fault: Fault) -> Self {
        Self::Faults(vec![fault])
    }
}

/// The faults of a refused patch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PatchErrors {
    /// The path does not exist, is an index, or is read-only.
    pub invalid_paths: Vec<Refused>,
    /// The value has the wrong JSON type.
    pub invalid_value_types: Vec<Refused>,
    /// The value has the right type and breaks a rule.
    pub invalid_datas: Vec<Refused>,
    /// The name of a constraint, and the reason why it does not hold.
    pub invalid_constraints: Vec<(String, Reason)>,
}

impl PatchErrors {
    pub fn is_empty(&self) -> bool {
        self.invalid_paths.is_empty()
            && self.invalid_value_types.is_empty()
            && self.invalid_datas.is_empty()
            && self.invalid_constraints.is_empty()
    }

    fn add(&mut self, refusal: Refusal, operation: &Operation) {
        match refusal {
            Refusal::Path(why) => self.invalid_paths.push(operation.refused(why)),
            Refusal::Type(why) => self.invalid_value_types.push(operation.refused(why)),
            Refusal::Data(why) => self.invalid_datas.push(operation.refused(why)),
            Refusal::Constraint(name, why) => self.invalid_constraints.push((name, why)),
        }
    }
}

/// The refusal of one operation: the list it belongs to, and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Path(Reason),
    Type(Reason),
    Data(Reason),
    Constraint(String, Reason),
}

impl From<Vec<Fault>> for Refusal {
    fn from(faults: Vec<Fault>) -> Self {
        if faults.iter().any(|fault| fault.kind() == FaultKind::Type) {
            Self::Type(Reason::Faults(faults))
        } else {
            Self::Data(Reason::Faults(faults))
        }
    }
}

/// Reads the envelope. Only its own form is judged here; [`apply`] judges the operations.
pub fn parse(body: &Value) -> Result<Vec<Operation>, Vec<Fault>> {
    let object = schema::object(body)?;
    let Some(list) = member(object, OPERATIONS.name).filter(|value| !value.is_null()) else {
        return Err(vec![Fault::required(OPERATIONS.name)]);
    };
    let Some(list) = list.as_array() else {
        return Err(vec![Fault::wrong_type(
            "operations",
            list,
            Type::Objects(&[]),
        )]);
    };
    if list.len() > MAX_OPERATIONS {
        let why = format!("more than {MAX_OPERATIONS} operations");
        return Err(vec![Fault::invalid("operations", why)]);
    }
    list.iter()
        .enumerate()
        .map(|(n, sent)| operation(n, sent))
        .collect()
}

fn operation(n: usize, sent: &Value) -> Result<Operation, Vec<Fault>> {
    let at = |name: &str| format!("operations[{n}]{name}");
    let Some(object) = sent.as_object() else {
        return Err(vec![Fault::wrong_type(&at(""), sent, Type::Free)]);
    };
    let text = |name: &str, path: String| match member(object, name) {
        None | Some(Value::Null) => Err(vec![Fault::required(path)]),
        Some(Value::String(text)) => Ok((text.clone(), path)),
        Some(other) => Err(vec![Fault::wrong_type(&path, other, Type::Text)]),
    };
    let (word, op_path) = text(OP.name, at(".op"))?;
    let Some(op) = Op::from_name(&word) else {
        return Err(vec![Fault::unknown_word(&op_path, &word, &VERBS)]);
    };
    let (path, _) = text(PATH.name, at(".path"))?;
    Ok(Operation {
        op,
        path,
        value: member(object, VALUE.name).cloned().unwrap_or_default(),
        sent: sent.clone(),
    })
}

/// Applies the operations to an object of this schema. Returns true if that changed it.
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
    // A number of equal value keeps its first spelling.
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
        Op::Move | Op::Copy | Op::Test => {
            let why = format!("The operation {} is not supported.", operation.op.name());
            return Err(Refusal::Path(why.into()));
        }
    };
    let tokens = tokens(&operation.path)?;
    target::Change { verb, new_id }.in_object(fields, object, &tokens)
}

/// The parts of a path, `~1` and `~0` read as RFC 6901 has them. Dots do not separate parts: ids contain them.
fn tokens(path: &str) -> Result<Vec<String>, Refusal> {
    let parts = path
        .strip_prefix('/')
        .ok_or(Refusal::Path("A path begins with a slash.".into()))?;
    // Counted first, because the recursion along a path is as deep as the path is long.
    if parts.split('/').nth(MAX_SEGMENTS).is_some() {
        let why = format!("A path has at most {MAX_SEGMENTS} parts.");
        return Err(Refusal::Path(why.into()));
    }
    if parts.split('/').any(str::is_empty) {
        return Err(Refusal::Path("A part of the path is empty.".into()));
    }
    let parts: Vec<String> = parts
        .split('/')
        .map(|part| part.replace("~1", "/").replace("~0", "~"))
        .collect();
    if parts.iter().any(|part| json::is_private_name(part)) {
        return Err(Refusal::Path(
            "A part of the path is a name that cannot be kept.".into(),
        ));
    }
    Ok(parts)
}

/// Checks the finished elements, and blames every operation that touched their list, because the outcome
/// does not show the one that spoiled an element.
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
        let mut elements = items.into_iter().flatten().filter_map(Value::as_object);
        let broken = spec
            .rule
            .and_then(|rule| elements.find_map(|element| rule(element).err()));
        if let Some(why) = broken {
            let touched = |operation: &&Operation| {
                tokens(&operation.path)
                    .is_ok_and(|tokens| tokens[0].eq_ignore_ascii_case(field.name))
            };
            let blamed = operations.iter().filter(touched);
            let fault = Fault::invalid(field.name, why);
            errors
                .invalid_datas
                .extend(blamed.map(|operation| operation.refused(fault.clone())));
            if errors.is_empty() {
                // The object was invalid before the patch, so no operation is at fault and the error names the list.
                errors
                    .invalid_constraints
                    .push((field.name.to_owned(), fault.into()));
            }
        }
    }
}

#[cfg(test)]
mod tests;
