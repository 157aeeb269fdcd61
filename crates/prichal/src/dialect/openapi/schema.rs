//! Descriptions made of the tables that parse: a [`Field`] is told once, to the reader and to OpenAPI.
//!
//! [`body`] describes the object that a client sends, [`model`] the object that an answer shows, and [`parameters_at`]
//! those of a path, a query or the headers. [`described!`] gives them a name that an operation can refer to,
//! [`parameters!`] does so for a query, and [`takes!`] lists what an extractor reads.

use prichal_core::{
    schema::{Access, Elements, Field, Key, Limit, MAX_ITEMS, Preset, Type as FieldType, Words},
    time::SPAN,
};
use serde_json::{Map, Value, json};
use utoipa::{
    ToSchema,
    openapi::{
        KnownFormat, Object, ObjectBuilder, Ref, RefOr, Required, Schema, SchemaFormat,
        extensions::Extensions,
        path::{Parameter, ParameterBuilder, ParameterIn},
        schema::{AdditionalProperties, ArrayBuilder, SchemaType, Type},
    },
};
use uuid::Uuid;

/// Defines types that stand for schemas in descriptions. The text of their comment is the description.
///
/// ```text
/// described! {
///     /// A call has begun.
///     pub(super) CallStarted = body(call::STARTED);
///     /// A company.
///     pub(super) Company = model(COMPANY).property("updateInfo", of::<UpdateInfo>()), with UpdateInfo;
/// }
/// ```
///
/// The types after `with` are those that the schema refers to by their name. `as "Name"` names the schema otherwise
/// than the type.
macro_rules! described {
    ($(
        $(#[doc = $doc:literal])+
        $vis:vis $name:ident $(as $shown:literal)? = $schema:expr $(, with $($part:ty),+)?;
    )+) => {$(
        $(#[doc = $doc])+
        $vis enum $name {}

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                $crate::dialect::openapi::schema::with_doc(concat!($($doc, "\n"),+), $schema)
            }
        }

        impl utoipa::ToSchema for $name {
            $(fn name() -> std::borrow::Cow<'static, str> {
                $shown.into()
            })?

            fn schemas(
                _all: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::Schema>)>,
            ) {
                $($($crate::dialect::openapi::schema::add::<$part>(_all);)+)?
            }
        }
    )+};
}
pub(crate) use described;

/// Defines types that stand for the parameters of a query, which a table reads.
macro_rules! parameters {
    ($($(#[doc = $doc:literal])+ $vis:vis $name:ident = $fields:expr;)+) => {$(
        $(#[doc = $doc])+
        $vis enum $name {}

        impl utoipa::IntoParams for $name {
            fn into_params(
                _: impl Fn() -> Option<utoipa::openapi::path::ParameterIn>,
            ) -> Vec<utoipa::openapi::path::Parameter> {
                $crate::dialect::openapi::schema::query($fields)
            }
        }
    )+};
}
pub(crate) use parameters;

/// Lists the parameters that extractors read, by their place and table.
macro_rules! takes {
    ($($name:ty: $($place:ident $fields:expr),+;)+) => {$(
        impl utoipa::IntoParams for $name {
            fn into_params(
                _: impl Fn() -> Option<utoipa::openapi::path::ParameterIn>,
            ) -> Vec<utoipa::openapi::path::Parameter> {
                let mut all = Vec::new();
                $(all.extend($crate::dialect::openapi::schema::parameters_at(
                    &utoipa::openapi::path::ParameterIn::$place,
                    $fields,
                ));)+
                all
            }
        }
    )+};
}
pub(crate) use takes;

/// The direction of an object.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    /// Sent by a client.
    Body,
    /// Shown by the server.
    Answer,
}

/// The object that a client sends. Members of the server's are left out, because they are ignored.
///
/// Its example has the members that have one, if all that are required do.
pub fn body(fields: &[Field]) -> ObjectBuilder {
    let example = sample(fields);
    let mut required = fields.iter().filter(|field| field.required);
    let is_whole = !example.is_empty() && required.all(|field| example.contains_key(field.name));
    let examples = is_whole.then_some(Value::Object(example));
    object(Side::Body, ObjectBuilder::new(), fields).examples(examples)
}

/// An object that has at least one member of each pair.
///
/// The condition is the negation of a negation: generators of clients look into `anyOf`, and would make a type of each
/// alternative, but take no notice of `not`.
pub fn either(object: ObjectBuilder, pairs: &[[&str; 2]]) -> ObjectBuilder {
    // Linters want the names that are required among the properties beside them.
    let has = |name: &str| json!({ "required": [name], "properties": { name: {} } });
    let pairs = pairs
        .iter()
        .map(|[one, other]| json!({ "anyOf": [has(one), has(other)] }));
    let all = match &pairs.collect::<Vec<_>>()[..] {
        [pair] => pair.clone(),
        pairs => json!({ "allOf": pairs }),
    };
    let condition = json!({ "not": all });
    object.extensions(Some(Extensions::from_iter([("not", condition)])))
}

/// The object that an answer shows. A member with a preset is always there.
pub fn model(fields: &[Field]) -> ObjectBuilder {
    object(Side::Answer, ObjectBuilder::new(), fields)
}

/// The parameters of a query that is read like a body.
pub fn query(fields: &[Field]) -> Vec<Parameter> {
    parameters_at(&ParameterIn::Query, fields)
}

/// The parameters of a table at this place. Those of a path must be required.
pub fn parameters_at(place: &ParameterIn, fields: &[Field]) -> Vec<Parameter> {
    let parameter = |field: &Field| {
        let required = if field.required {
            Required::True
        } else {
            Required::False
        };
        ParameterBuilder::new()
            .name(field.name)
            .parameter_in(place.clone())
            .required(required)
            .description((!field.doc.is_empty()).then_some(field.doc))
            .schema(Some(without_doc(member(Side::Body, field))))
            .build()
    };
    fields.iter().map(parameter).collect()
}

/// Takes the description out of a schema whose parameter has it.
fn without_doc(mut schema: Schema) -> Schema {
    match &mut schema {
        Schema::Object(object) => object.description = None,
        Schema::Array(array) => array.description = None,
        _ => {}
    }
    schema
}

/// The example in a JSON text.
pub fn example(text: &str) -> [Value; 1] {
    [serde_json::from_str(text).unwrap_or_default()]
}

/// A reference to the schema of a type.
pub fn of<T: ToSchema>() -> Ref {
    Ref::from_schema_name(T::name())
}

/// Adds the schema of a type, and those to which it refers.
pub fn add<T: ToSchema>(all: &mut Vec<(String, RefOr<Schema>)>) {
    all.push((T::name().into_owned(), T::schema()));
    T::schemas(all);
}

/// Gives a schema the text of a comment.
pub fn with_doc(doc: &str, schema: impl Into<Schema>) -> RefOr<Schema> {
    let lines: Vec<&str> = doc.trim().lines().map(str::trim).collect();
    let description = Some(lines.join("\n"));
    let mut schema = schema.into();
    match &mut schema {
        Schema::Object(object) => object.description = description,
        Schema::Array(array) => array.description = description,
        Schema::OneOf(one) => one.description = description,
        Schema::AllOf(all) => all.description = description,
        Schema::AnyOf(any) => any.description = description,
        _ => {}
    }
    schema.into()
}

fn object(side: Side, mut object: ObjectBuilder, fields: &[Field]) -> ObjectBuilder {
    object = object.schema_type(Type::Object);
    for field in fields {
        if side == Side::Body && field.access == Access::Server {
            continue;
        }
        object = object.property(field.name, member(side, field));
        let is_shown = side == Side::Answer && (field.shown || field.preset != Preset::Absent);
        if field.required || is_shown {
            object = object.required(field.name);
        }
    }
    object
}

fn element(side: Side, spec: &Elements) -> Schema {
    let id = match spec.key {
        Key::Guid => uuid(),
        Key::Text | Key::TextOrFresh => Object::builder().schema_type(Type::String),
    };
    let (doc, is_required) = match spec.key {
        Key::Text => ("The name of the element.", true),
        Key::Guid | Key::TextOrFresh => (
            "The id of the element. The server makes one if it is absent.",
            side == Side::Answer,
        ),
    };
    let mut element = ObjectBuilder::new().property("id", id.description(Some(doc)));
    if is_required {
        element = element.required("id");
    }
    object(side, element, spec.fields).into()
}

/// The schema of one member.
fn member(side: Side, field: &Field) -> Schema {
    let mut schema = value(side, field);
    let description = description(field);
    match &mut schema {
        Schema::Object(object) => {
            object.description = description;
            object.examples.extend(member_example(field));
            if side == Side::Body {
                object.default = default(field);
            } else if field.access == Access::Server {
                object.read_only = Some(true);
            }
            bound(object, field);
        }
        Schema::Array(array) => {
            array.description = description;
            array.examples.extend(member_example(field));
            array.max_items = Some(match field.bound.map(|bound| bound.limit) {
                Some(Limit::Items(max)) => max,
                _ => MAX_ITEMS,
            });
        }
        _ => {}
    }
    schema
}

fn description(field: &Field) -> Option<String> {
    let mut sentences = Vec::new();
    if !field.doc.is_empty() {
        sentences.push(field.doc.to_owned());
    }
    if field.access == Access::Fixed {
        sentences.push("Set at creation, and not changed afterwards.".to_owned());
    }
    (!sentences.is_empty()).then(|| sentences.join(" "))
}

/// An object with the examples of a table.
pub fn sample(fields: &[Field]) -> Map<String, Value> {
    let member = |field: &Field| {
        let value = match (field.example, field.ty) {
            (None, FieldType::Object(fields)) => {
                let inner = sample(fields);
                (!inner.is_empty()).then_some(Value::Object(inner))?
            }
            _ => member_example(field)?,
        };
        Some((field.name.to_owned(), value))
    };
    fields.iter().filter_map(member).collect()
}

fn member_example(field: &Field) -> Option<Value> {
    let text = field.example?;
    let is_text = matches!(
        field.ty,
        FieldType::Text
            | FieldType::Guid
            | FieldType::GuidOrNone
            | FieldType::Moment
            | FieldType::TimeSpan
            | FieldType::Enum(_)
    );
    if is_text {
        Some(text.into())
    } else {
        serde_json::from_str(text).ok()
    }
}

/// The value of an absent member. Empty lists and objects are not told.
fn default(field: &Field) -> Option<Value> {
    match field.preset {
        Preset::Absent | Preset::List | Preset::Object => None,
        Preset::False => Some(json!(false)),
        Preset::Zero => Some(json!(0)),
        Preset::Text(text) => Some(json!(text)),
        Preset::NoGuid => Some(json!(Uuid::nil())),
    }
}

fn bound(object: &mut Object, field: &Field) {
    let number = |number: i64| isize::try_from(number).ok().map(utoipa::Number::Int);
    match field.bound.map(|bound| bound.limit) {
        Some(Limit::Chars(max)) => object.max_length = Some(max),
        Some(Limit::Numbers(min, max)) => {
            object.minimum = number(min);
            object.maximum = (max < i64::MAX).then(|| number(max)).flatten();
        }
        Some(Limit::Items(_)) | None => {}
    }
    if field.required && matches!(field.ty, FieldType::Text) {
        object.min_length = Some(1);
    }
}

fn value(side: Side, field: &Field) -> Schema {
    let plain = |ty: Type| Object::builder().schema_type(ty);
    match field.ty {
        FieldType::Text => text(field).into(),
        FieldType::TimeSpan => plain(Type::String).pattern(Some(SPAN.pattern)).into(),
        FieldType::Bool => plain(Type::Boolean).into(),
        // A number that some clients send as text.
        FieldType::Size if side == Side::Body => Object::builder()
            .schema_type(SchemaType::from_iter([Type::Integer, Type::String]))
            .into(),
        FieldType::Int | FieldType::Size => plain(Type::Integer)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
            .into(),
        FieldType::Number => plain(Type::Number).into(),
        FieldType::Guid | FieldType::GuidOrNone => uuid().into(),
        FieldType::Moment => plain(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .into(),
        FieldType::Enum(words) => word(words).into(),
        FieldType::Object(fields) => object(side, ObjectBuilder::new(), fields).into(),
        FieldType::Free => free().into(),
        FieldType::Any => any().into(),
        FieldType::Values => list(any()),
        FieldType::Texts => list(text(field)),
        FieldType::Guids => list(uuid()),
        FieldType::Enums(words) => list(word(words)),
        FieldType::Objects(fields) => list(object(side, ObjectBuilder::new(), fields)),
        FieldType::Elements(spec) => list(element(side, spec)),
    }
}

/// A text in the form of its field.
fn text(field: &Field) -> ObjectBuilder {
    Object::builder()
        .schema_type(Type::String)
        .pattern(field.form.map(|form| form.pattern))
}

pub fn list(items: impl Into<Schema>) -> Schema {
    ArrayBuilder::new().items(RefOr::T(items.into())).into()
}

pub fn uuid() -> ObjectBuilder {
    Object::builder()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::Custom("uuid".to_owned())))
}

fn word(words: &Words) -> ObjectBuilder {
    one_of(words.words)
}

/// One of these texts.
pub fn one_of(words: &[&'static str]) -> ObjectBuilder {
    Object::builder()
        .schema_type(Type::String)
        .enum_values(Some(words.iter().copied()))
}

/// A member of an answer that is one of these words, with its meaning.
pub fn words(words: &[&'static str], meaning: &str) -> Object {
    one_of(words).description(Some(meaning)).build()
}

/// True or false.
pub fn flag() -> ObjectBuilder {
    Object::builder().schema_type(Type::Boolean)
}

described! {
    /// The contents of a file.
    pub Binary = Object::builder()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::Custom("binary".to_owned())));
}

/// An object with any members.
pub fn free() -> ObjectBuilder {
    Object::builder()
        .schema_type(Type::Object)
        .additional_properties(Some(AdditionalProperties::FreeForm(true)))
}

/// Any value.
pub fn any() -> ObjectBuilder {
    Object::builder().schema_type(SchemaType::AnyValue)
}

#[cfg(test)]
mod tests {
    use prichal_core::schema::{Form, Words, read};

    use super::*;

    static SIZES: Words = Words {
        name: "size",
        words: &["small", "large"],
    };
    static CODE: Form = Form::new("small Latin letters", "^[a-z]*$", |text| {
        text.bytes().all(|byte| byte.is_ascii_lowercase())
    });
    static PARTS: Elements = Elements::new(Key::Guid, &[Field::new("weight", FieldType::Number)]);
    const INNER: &[Field] = &[Field::new("deep", FieldType::Bool).or(Preset::False)];
    const NAME: Field = Field::new("name", FieldType::Text)
        .required()
        .chars(3)
        .doc("The name.")
        .example("toy");
    const TOY: &[Field] = &[
        NAME,
        Field::new("size", FieldType::Enum(&SIZES)).or(Preset::Text("small")),
        Field::new("age", FieldType::Int).within(0, 9),
        Field::new("code", FieldType::Text).form(&CODE),
        Field::new("inner", FieldType::Object(INNER)).or(Preset::Object),
        Field::new("parts", FieldType::Elements(&PARTS)),
        Field::new("at", FieldType::Moment).server(),
    ];

    described! {
        /// A toy,
        /// as a client sends it.
        NewToy = body(TOY);
        /// A toy.
        Toy = model(TOY).property("maker", of::<NewToy>()), with NewToy;
    }

    fn schema<T: ToSchema>() -> Value {
        serde_json::to_value(T::schema()).expect("JSON")
    }

    #[test]
    fn a_table_describes_what_it_reads() {
        let body = schema::<NewToy>();
        assert_eq!(body["description"], "A toy,\nas a client sends it.");
        assert_eq!(body["required"], json!(["name"]));
        let name = &body["properties"]["name"];
        assert_eq!(
            *name,
            json!({"type": "string", "description": "The name.", "examples": ["toy"], "minLength": 1, "maxLength": 3})
        );
        let size = &body["properties"]["size"];
        assert_eq!(
            *size,
            json!({"type": "string", "enum": ["small", "large"], "default": "small"})
        );
        let age = &body["properties"]["age"];
        assert_eq!((&age["minimum"], &age["maximum"]), (&json!(0), &json!(9)));
        assert_eq!(body["properties"]["code"]["pattern"], CODE.pattern);
        assert_eq!(body["properties"]["at"], Value::Null);
        let model = schema::<Toy>();
        assert_eq!(model["required"], json!(["name", "size", "inner"]));
        assert_eq!(model["properties"]["at"]["readOnly"], true);
        assert_eq!(model["properties"]["inner"]["required"], json!(["deep"]));
        let part = &model["properties"]["parts"]["items"];
        assert_eq!(part["properties"]["id"]["format"], "uuid");
        assert_eq!(part["properties"]["weight"]["type"], "number");
        let mut all = Vec::new();
        Toy::schemas(&mut all);
        assert_eq!(all[0].0, "NewToy");
    }

    #[test]
    fn a_member_that_is_added_to_a_table_is_read_and_described() {
        const MORE: &[Field] = &[NAME, Field::new("colour", FieldType::Texts)];
        let given = json!({"name": "x", "colour": ["red"]});
        let given = given.as_object().expect("an object");
        for (table, is_known) in [(&[NAME][..], false), (MORE, true)] {
            let read = read(table, given, &mut Uuid::nil).expect("a toy");
            assert_eq!(read.contains_key("colour"), is_known);
            let described = serde_json::to_value(body(table).build()).expect("JSON");
            assert_eq!(!described["properties"]["colour"].is_null(), is_known);
            let asked = query(table);
            assert_eq!(asked.iter().any(|one| one.name == "colour"), is_known);
        }
    }

    #[test]
    fn a_bound_that_is_described_is_kept() {
        for (given, message) in [
            (
                json!({"name": "abcd"}),
                "The name is longer than 3 characters.",
            ),
            (
                json!({"name": "a", "age": 10}),
                "The age must be 0 to 9, not 10.",
            ),
            (
                json!({"name": "a", "code": "A1"}),
                "The code must be small Latin letters, not \"A1\".",
            ),
        ] {
            let given = given.as_object().expect("an object");
            let faults = read(TOY, given, &mut Uuid::nil).expect_err(message);
            assert_eq!(prichal_dialect::kontur::fault::text(&faults[0]), message);
        }
    }
}
