//! Bodies and query parameters by the types of their members: each type reads a member and describes it. What is
//! described is therefore what is read.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use prichal_core::{document::Status, schema::excerpt};
use serde_json::Value;
use utoipa::openapi::{
    KnownFormat, RefOr, Required, Schema, SchemaFormat,
    path::{Parameter, ParameterBuilder, ParameterIn},
    schema::{ArrayBuilder, ObjectBuilder, Type},
};
use uuid::Uuid;

use super::{
    language::Localized,
    read::{Enumeration, Faults, Fields, REQUIRED, TOO_SMALL},
};
use crate::{
    dialect::openapi::schema::{add, of},
    error::Result,
};

/// The id in examples.
pub(super) const ID: &str = "0190a6a5-0000-7000-8000-000000000000";

/// Named schemas, collected for the description.
pub(super) type Schemas = Vec<(String, RefOr<Schema>)>;

/// An object that a client sends.
pub(super) trait Body: Sized {
    fn read(fields: &Fields<'_>) -> Result<Self>;
    fn members() -> Vec<Description>;
}

/// A type of members.
pub(super) trait Member: Sized {
    /// True if a body without the member is refused.
    const REQUIRED: bool;
    fn read(fields: &Fields<'_>, name: &str) -> Result<Self>;
    fn schema() -> RefOr<Schema>;
    /// Adds the named schemas to which [`Self::schema`] refers.
    fn schemas(_: &mut Schemas) {}
}

/// A type of values. As a member the value is required, inside of an `Option` it may be absent.
pub(super) trait Content: Sized {
    fn find(fields: &Fields<'_>, name: &str) -> Result<Option<Self>>;
    fn schema() -> RefOr<Schema>;
    fn schemas(_: &mut Schemas) {}
}

impl<T: Content> Member for T {
    const REQUIRED: bool = true;

    fn read(fields: &Fields<'_>, name: &str) -> Result<Self> {
        let found = T::find(fields, name)?;
        fields.need(name, found)
    }

    fn schema() -> RefOr<Schema> {
        T::schema()
    }

    fn schemas(all: &mut Schemas) {
        T::schemas(all);
    }
}

impl<T: Content> Member for Option<T> {
    const REQUIRED: bool = false;

    fn read(fields: &Fields<'_>, name: &str) -> Result<Self> {
        T::find(fields, name)
    }

    fn schema() -> RefOr<Schema> {
        T::schema()
    }

    fn schemas(all: &mut Schemas) {
        T::schemas(all);
    }
}

/// A type of elements of lists. The name of an element has its index, as in `bins[3]`.
pub(super) trait Element: Sized {
    fn read(fields: &Fields<'_>, name: &str, value: &Value) -> Result<Self>;
    fn schema() -> RefOr<Schema>;
    fn schemas(_: &mut Schemas) {}
}

/// An absent list is empty.
impl<T: Element> Member for Vec<T> {
    const REQUIRED: bool = false;

    fn read(fields: &Fields<'_>, name: &str) -> Result<Self> {
        elements(fields, name, fields.list(name)?.unwrap_or_default())
    }

    fn schema() -> RefOr<Schema> {
        ArrayBuilder::new().items(T::schema()).into()
    }

    fn schemas(all: &mut Schemas) {
        T::schemas(all);
    }
}

/// The elements of a list.
pub(super) fn elements<T: Element>(
    fields: &Fields<'_>,
    name: &str,
    list: &[Value],
) -> Result<Vec<T>> {
    let (mut elements, mut faults) = (Vec::new(), Faults::default());
    for (n, value) in list.iter().enumerate() {
        elements.extend(faults.keep(T::read(fields, &format!("{name}[{n}]"), value))?);
        if faults.is_full() {
            break;
        }
    }
    faults.end(Some(elements))
}

/// The wording of a list with a wrong number of elements.
pub(super) trait Counted: Element {
    const NONE: &'static Localized = &REQUIRED;
    const TOO_MANY: &'static Localized;
}

/// A list with a bounded number of elements. An absent list is empty.
pub(super) struct List<T, const MIN: usize, const MAX: usize>(pub(super) Vec<T>);

impl<T: Counted, const MIN: usize, const MAX: usize> Member for List<T, MIN, MAX> {
    const REQUIRED: bool = MIN > 0;

    fn read(fields: &Fields<'_>, name: &str) -> Result<Self> {
        let list = fields.list(name)?.unwrap_or_default();
        if list.len() < MIN {
            return Err(fields.fault(name, T::NONE, &[]));
        }
        if list.len() > MAX {
            return Err(fields.fault(name, T::TOO_MANY, &[&MAX.to_string()]));
        }
        elements(fields, name, list).map(Self)
    }

    fn schema() -> RefOr<Schema> {
        ArrayBuilder::new()
            .items(T::schema())
            .min_items((MIN > 0).then_some(MIN))
            .max_items(Some(MAX))
            .into()
    }

    fn schemas(all: &mut Schemas) {
        T::schemas(all);
    }
}

/// A member whose fault counts only if the member is needed.
pub(super) struct Deferred<T>(pub(super) Result<T>);

impl<T: Member> Member for Deferred<T> {
    const REQUIRED: bool = false;

    fn read(fields: &Fields<'_>, name: &str) -> Result<Self> {
        Ok(Self(T::read(fields, name)))
    }

    fn schema() -> RefOr<Schema> {
        T::schema()
    }

    fn schemas(all: &mut Schemas) {
        T::schemas(all);
    }
}

fn plain(ty: Type) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(ty)
}

fn formatted(ty: Type, format: KnownFormat) -> ObjectBuilder {
    plain(ty).format(Some(SchemaFormat::KnownFormat(format)))
}

/// The schema of a whole number between two bounds.
pub(super) fn number(min: i64, max: i64) -> ObjectBuilder {
    formatted(Type::Integer, KnownFormat::Int64)
        .minimum(isize::try_from(min).ok())
        .maximum(isize::try_from(max).ok())
}

/// The schema of a text.
pub(super) fn text() -> ObjectBuilder {
    plain(Type::String)
}

/// A text of at most `MAX` characters.
pub(super) struct Text<const MAX: usize>(pub(super) String);

impl<const MAX: usize> Content for Text<MAX> {
    fn find(fields: &Fields<'_>, name: &str) -> Result<Option<Self>> {
        let text = fields.text_up_to(name, MAX)?;
        Ok(text.map(|text| Self(text.to_owned())))
    }

    fn schema() -> RefOr<Schema> {
        plain(Type::String).max_length(Some(MAX)).into()
    }
}

/// A text of at most `MAX` characters that can be seen.
pub(super) struct Name<const MAX: usize>(pub(super) String);

impl<const MAX: usize> Content for Name<MAX> {
    fn find(fields: &Fields<'_>, name: &str) -> Result<Option<Self>> {
        let text = fields.visible_text(name, MAX)?;
        Ok(text.map(|text| Self(text.to_owned())))
    }

    fn schema() -> RefOr<Schema> {
        plain(Type::String)
            .min_length(Some(1))
            .max_length(Some(MAX))
            .into()
    }
}

impl Content for Uuid {
    fn find(fields: &Fields<'_>, name: &str) -> Result<Option<Self>> {
        fields.id(name)
    }

    fn schema() -> RefOr<Schema> {
        formatted(Type::String, KnownFormat::Uuid).into()
    }
}

impl Content for bool {
    fn find(fields: &Fields<'_>, name: &str) -> Result<Option<Self>> {
        fields.flag(name)
    }

    fn schema() -> RefOr<Schema> {
        plain(Type::Boolean).into()
    }
}

impl Content for i64 {
    fn find(fields: &Fields<'_>, name: &str) -> Result<Option<Self>> {
        fields.int(name)
    }

    fn schema() -> RefOr<Schema> {
        formatted(Type::Integer, KnownFormat::Int64).into()
    }
}

impl Content for i32 {
    fn find(fields: &Fields<'_>, name: &str) -> Result<Option<Self>> {
        let number = fields.int(name)?.map(Self::try_from).transpose();
        number.map_err(|_| fields.out_of_range(name, Self::MIN.into(), Self::MAX.into()))
    }

    fn schema() -> RefOr<Schema> {
        formatted(Type::Integer, KnownFormat::Int32).into()
    }
}

/// A number that is at least `MIN`, and `DEFAULT` if it is absent. A greater one than `CAP` counts as `CAP`.
pub(super) struct Count<const MIN: i64, const DEFAULT: i64, const CAP: i64>(pub(super) i64);

impl<const MIN: i64, const DEFAULT: i64, const CAP: i64> Member for Count<MIN, DEFAULT, CAP> {
    const REQUIRED: bool = false;

    fn read(fields: &Fields<'_>, name: &str) -> Result<Self> {
        let number = fields.int(name)?.unwrap_or(DEFAULT);
        if number < MIN {
            return Err(fields.fault(name, &TOO_SMALL, &[&MIN.to_string(), &number.to_string()]));
        }
        Ok(Self(number.min(CAP)))
    }

    fn schema() -> RefOr<Schema> {
        formatted(Type::Integer, KnownFormat::Int64)
            .minimum(isize::try_from(MIN).ok())
            .default(Some(DEFAULT.into()))
            .into()
    }
}

/// The number of items before a page.
pub(super) type Skip = Count<0, 0, { i64::MAX }>;
/// The size of a page.
pub(super) type Top = Count<1, 10, 100>;

/// Implements [`Content`] and [`Element`] for enumerations.
macro_rules! words {
    ($($name:ty)*) => {$(
        impl Content for $name {
            fn find(fields: &Fields<'_>, name: &str) -> Result<Option<Self>> {
                fields.word(name)
            }

            fn schema() -> RefOr<Schema> {
                of::<<Self as Enumeration>::Words>().into()
            }

            fn schemas(all: &mut Schemas) {
                add::<<Self as Enumeration>::Words>(all);
            }
        }
    )*};
}

words!(prichal_core::document::Group prichal_core::document::Ordering);

impl Element for Status {
    fn read(fields: &Fields<'_>, name: &str, value: &Value) -> Result<Self> {
        fields.word_of(name, value)
    }

    fn schema() -> RefOr<Schema> {
        of::<<Self as Enumeration>::Words>().into()
    }

    fn schemas(all: &mut Schemas) {
        add::<<Self as Enumeration>::Words>(all);
    }
}

/// The pattern of base64 with padding and without spare bits.
const BASE64: &str =
    "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$";

/// Bytes in base64.
pub(super) struct Base64(pub(super) Vec<u8>);

impl Content for Base64 {
    fn find(fields: &Fields<'_>, name: &str) -> Result<Option<Self>> {
        let decoded = fields.text(name)?.map(|text| STANDARD.decode(text));
        let decoded = decoded.transpose();
        let bytes = decoded.map_err(|_| fields.fault(name, &NOT_BASE64, &[&fields.shown(name)]))?;
        Ok(bytes.map(Self))
    }

    fn schema() -> RefOr<Schema> {
        plain(Type::String)
            .content_encoding("base64")
            .pattern(Some(BASE64))
            .into()
    }
}

/// The BIN of a company, or the IIN of a person. It remembers its place for later errors.
pub(super) struct Bin {
    pub(super) digits: String,
    pub(super) path: String,
}

impl Bin {
    fn read(fields: &Fields<'_>, name: &str, digits: &str) -> Result<Self> {
        if !fields.reading.identifiers.accepts(digits) {
            return Err(fields.fault(name, &BAD_BIN, &[&excerpt(&digits.into())]));
        }
        Ok(Self {
            digits: digits.to_owned(),
            path: fields.path(name),
        })
    }

    fn schema() -> RefOr<Schema> {
        plain(Type::String)
            .pattern(Some("^[0-9]{12}$"))
            .examples(["971240001315"])
            .into()
    }
}

impl Content for Bin {
    fn find(fields: &Fields<'_>, name: &str) -> Result<Option<Self>> {
        let digits = fields.visible_text(name, 12)?;
        digits
            .map(|digits| Self::read(fields, name, digits))
            .transpose()
    }

    fn schema() -> RefOr<Schema> {
        Self::schema()
    }
}

impl Element for Bin {
    fn read(fields: &Fields<'_>, name: &str, value: &Value) -> Result<Self> {
        Self::read(fields, name, value.as_str().unwrap_or_default())
    }

    fn schema() -> RefOr<Schema> {
        Self::schema()
    }
}

/// A member as the description shows it.
pub(super) struct Description {
    name: &'static str,
    is_required: bool,
    doc: String,
    schema: RefOr<Schema>,
}

impl Description {
    pub(super) fn of<T: Member>(name: &'static str, doc: &str, example: Option<Value>) -> Self {
        let doc = one_line(doc);
        let mut schema = T::schema();
        match &mut schema {
            RefOr::Ref(reference) => reference.description.clone_from(&doc),
            RefOr::T(Schema::Object(object)) => {
                object.description = Some(doc.clone());
                if example.is_some() {
                    object.examples = example.into_iter().collect();
                }
            }
            RefOr::T(Schema::Array(array)) => {
                array.description = Some(doc.clone());
                array.examples.extend(example);
            }
            RefOr::T(_) => {}
        }
        Self {
            name,
            is_required: T::REQUIRED,
            doc,
            schema,
        }
    }
}

/// The text of a comment.
fn one_line(comment: &str) -> String {
    let lines: Vec<&str> = comment.trim().lines().map(str::trim).collect();
    lines.join(" ")
}

/// The schema of a body with this comment.
pub(super) fn object<B: Body>(comment: &str) -> RefOr<Schema> {
    let object = plain(Type::Object).description(Some(one_line(comment)));
    let object = B::members().into_iter().fold(object, |object, member| {
        let object = object.property(member.name, member.schema);
        if member.is_required {
            object.required(member.name)
        } else {
            object
        }
    });
    object.into()
}

/// The parameters of a query that is read as a body.
pub(super) fn parameters<B: Body>() -> Vec<Parameter> {
    let parameter = |member: Description| {
        let required = if member.is_required {
            Required::True
        } else {
            Required::False
        };
        let mut schema = member.schema;
        if let RefOr::T(Schema::Object(object)) = &mut schema {
            object.description = None;
        }
        ParameterBuilder::new()
            .name(member.name)
            .parameter_in(ParameterIn::Query)
            .required(required)
            .description(Some(member.doc))
            .schema(Some(schema))
            .build()
    };
    B::members().into_iter().map(parameter).collect()
}

/// Defines bodies: each has a schema with the vendor's name, and members with the vendor's names, in the order in which
/// they are read. Comments become descriptions.
///
/// ```text
/// bodies! {
///     /// A toy.
///     struct Toy as ToyVM {
///         /// The name.
///         name: Name<256> = "toyName", "Teddy";
///         /// The age in years.
///         age: Option<i32> = "age";
///     }
/// }
/// ```
macro_rules! bodies {
    ($(
        $(#[doc = $doc:literal])+
        $vis:vis struct $name:ident as $vendor:ident {$(
            $(#[doc = $member_doc:literal])+
            $member:ident: $ty:ty = $key:literal $(, $example:expr)?;
        )+}
    )+) => {$(
        $(#[doc = $doc])+
        $vis struct $name {$(
            $(#[doc = $member_doc])+
            pub(super) $member: $ty,
        )+}

        impl $crate::dialect::idocs::member::Body for $name {
            fn read(fields: &$crate::dialect::idocs::read::Fields<'_>) -> $crate::error::Result<Self> {
                use $crate::dialect::idocs::{member::Member, read::Faults};
                let mut faults = Faults::default();
                $(let $member = faults.keep(<$ty as Member>::read(fields, $key))?;)+
                faults.end(match ($($member,)+) {
                    ($(Some($member),)+) => Some(Self { $($member,)+ }),
                    _ => None,
                })
            }

            fn members() -> Vec<$crate::dialect::idocs::member::Description> {
                use $crate::dialect::idocs::member::Description;
                vec![$(
                    Description::of::<$ty>(
                        $key,
                        concat!($($member_doc, "\n"),+),
                        None$(.or(Some(serde_json::json!($example))))?,
                    ),
                )+]
            }
        }

        impl $crate::dialect::idocs::member::Content for $name {
            fn find(
                fields: &$crate::dialect::idocs::read::Fields<'_>,
                name: &str,
            ) -> $crate::error::Result<Option<Self>> {
                let found = fields.object(name)?;
                found.as_ref().map($crate::dialect::idocs::member::Body::read).transpose()
            }

            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                $crate::dialect::openapi::schema::of::<Self>().into()
            }

            fn schemas(all: &mut $crate::dialect::idocs::member::Schemas) {
                $crate::dialect::openapi::schema::add::<Self>(all);
            }
        }

        impl $crate::dialect::idocs::member::Element for $name {
            fn read(
                fields: &$crate::dialect::idocs::read::Fields<'_>,
                name: &str,
                value: &serde_json::Value,
            ) -> $crate::error::Result<Self> {
                let fields = fields.element(name, value)?;
                $crate::dialect::idocs::member::Body::read(&fields)
            }

            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                $crate::dialect::openapi::schema::of::<Self>().into()
            }

            fn schemas(all: &mut $crate::dialect::idocs::member::Schemas) {
                $crate::dialect::openapi::schema::add::<Self>(all);
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                $crate::dialect::idocs::member::object::<Self>(concat!($($doc, "\n"),+))
            }
        }

        impl utoipa::ToSchema for $name {
            fn name() -> std::borrow::Cow<'static, str> {
                stringify!($vendor).into()
            }

            fn schemas(all: &mut $crate::dialect::idocs::member::Schemas) {
                $(<$ty as $crate::dialect::idocs::member::Member>::schemas(all);)+
            }
        }

        impl utoipa::IntoParams for $name {
            fn into_params(
                _: impl Fn() -> Option<utoipa::openapi::path::ParameterIn>,
            ) -> Vec<utoipa::openapi::path::Parameter> {
                $crate::dialect::idocs::member::parameters::<Self>()
            }
        }
    )+};
}
pub(super) use bodies;

const BAD_BIN: Localized = Localized::new(
    "Поле {} должно быть БИН или ИИН: 12 цифр с верной контрольной, а не {}.",
    "{} өрісі БСН немесе ЖСН болуы керек: бақылау цифры дұрыс 12 цифр, берілгені: {}.",
    "The field {} must be a BIN or IIN: 12 digits with a valid check digit, not {}.",
);
const NOT_BASE64: Localized = Localized::new(
    "Поле {} должно быть в base64, а не {}.",
    "{} өрісі base64 түрінде болуы керек, берілгені: {}.",
    "The field {} must be base64, not {}.",
);

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use prichal_core::document::{Group, Ordering};
    use serde_json::json;

    use utoipa::ToSchema;

    use super::{super::read::Reading, *};
    use crate::{dialect::idocs::language::Language, error::Error};

    bodies! {
        /// A toy, as a client
        /// sends it.
        struct Toy as ToyVM {
            /// The name.
            name: Name<3> = "toyName", "Tom";
            /// The owner.
            owner: Option<Uuid> = "owner";
            /// The subject.
            group: Option<Group> = "group";
            /// The order.
            ordering: Option<Ordering> = "order";
            /// The age in years.
            age: Option<i32> = "age", 4;
            /// True for a broken toy.
            broken: Option<bool> = "isBroken";
            /// The states.
            statuses: Vec<Status> = "statuses";
            /// The parts.
            parts: List<Part, 1, 2> = "parts";
            /// The size of a page.
            top: Top = "top";
        }

        /// A part of a toy.
        struct Part as PartVM {
            /// The material.
            material: Text<2> = "material";
        }
    }

    impl Counted for Part {
        const TOO_MANY: &'static Localized = &REQUIRED;
    }

    const ENGLISH: Reading = Reading {
        language: Language::En,
        identifiers: prichal_core::identifier::Check::Strict,
    };

    fn read(body: &Value) -> Result<Toy> {
        <Toy as Body>::read(&Fields::of(body, ENGLISH)?)
    }

    fn check(body: &Value, expected: &str) {
        let Err(Error::Invalid(faults)) = read(body) else {
            panic!("{expected}")
        };
        assert_eq!(prichal_dialect::kontur::fault::text(&faults[0]), expected);
    }

    #[test]
    fn bodies_are_read_as_the_vendor_reads_them() {
        let toy = read(&json!({
            "TOYNAME": "Tom", "owner": "{A5AAD3C1-777b-4ae5-8ca1-60b94c0423e5}", "group": 1, "order": "sequential",
            "age": " 5 ", "isBroken": "True", "statuses": ["DRAFT", 10, "17"], "parts": [{"material": ""}], "top": 1000,
        }))
        .unwrap();
        assert_eq!(
            (toy.name.0.as_str(), toy.age, toy.top.0),
            ("Tom", Some(5), 100)
        );
        assert_eq!(
            toy.owner.unwrap().to_string(),
            "a5aad3c1-777b-4ae5-8ca1-60b94c0423e5"
        );
        assert_eq!(
            (toy.group, toy.ordering),
            (Some(Group::Accounting), Some(Ordering::Sequential))
        );
        let parts: Vec<&str> = toy
            .parts
            .0
            .iter()
            .map(|part| part.material.0.as_str())
            .collect();
        assert_eq!((toy.broken, parts), (Some(true), vec![""]));
        let last = toy.statuses.last().copied();
        assert_eq!(last, Some(Status::FinishedEditable));
        let toy = read(&json!({
            "toyName": "a", "owner": "00000000-0000-0000-0000-000000000000", "age": "", "isBroken": 0,
            "parts": [{"material": "a"}], "other": 1,
        }))
        .unwrap();
        assert_eq!((toy.owner, toy.age, toy.broken), (None, None, Some(false)));
        assert_eq!((toy.statuses.len(), toy.top.0), (0, 10));
    }

    #[test]
    fn errors_name_the_member() {
        let with = |name: &str, value: Value| {
            let mut body = json!({"toyName": "a", "parts": [{"material": "a"}]});
            body[name] = value;
            body
        };
        check(&json!(1), "The field body must be of type object, not 1.");
        for blank in ["", " ", "\u{200b}"] {
            check(
                &with("toyName", blank.into()),
                "The field toyName is required.",
            );
        }
        check(
            &with("toyName", "abcd".into()),
            "The field toyName must be at most 3 characters long.",
        );
        check(
            &with("owner", "5".into()),
            "The field owner must be a UUID, not \"5\".",
        );
        check(
            &with("isBroken", "5".into()),
            "The field isBroken must be of type boolean, not \"5\".",
        );
        check(
            &with("age", json!(1_i64 << 40)),
            "The field age must be -2147483648 to 2147483647, not 1099511627776.",
        );
        check(
            &with("top", json!(0)),
            "The field top must be at least 1, not 0.",
        );
        check(
            &with("age", "99999999999999999999".into()),
            "The field age must be -9223372036854775808 to 9223372036854775807, not \"99999999999999999999\".",
        );
        check(&with("parts", json!([])), "The field parts is required.");
        check(
            &with("parts", json!([1])),
            "The field parts[0] must be of type object, not 1.",
        );
        check(
            &with("parts", json!([{"material": "a"}, {"material": 1}])),
            "The field parts[1].material must be of type string, not 1.",
        );
        let Err(error) = read(&with("statuses", json!(["DRAFT", 18]))) else {
            panic!("18 is no status")
        };
        let text = format!("{error:?}");
        assert!(
            text.contains("statuses[1]: the value 18 is not allowed"),
            "{text}"
        );
    }

    #[test]
    fn all_faults_are_named() {
        let faults = |body: Value| match read(&body) {
            Err(Error::Invalid(faults)) => faults,
            _ => panic!("{body}"),
        };
        let paths = |body: Value| -> Vec<String> {
            let faults = faults(body);
            faults.into_iter().map(|fault| fault.path).collect()
        };
        let body = json!({
            "owner": "5", "age": true, "statuses": ["DRAFT", 18, "19"],
            "parts": [{"material": 1}, {"material": "abc"}], "top": 0,
        });
        assert_eq!(
            paths(body),
            [
                "toyName",
                "owner",
                "age",
                "statuses[1]",
                "statuses[2]",
                "parts[0].material",
                "parts[1].material",
                "top"
            ]
        );
        let many = json!({"statuses": vec![18; 1000], "parts": 1});
        assert_eq!(faults(many).len(), 50);
    }

    #[test]
    fn members_are_described_as_they_are_read() {
        let schema = json!(<Toy as utoipa::PartialSchema>::schema());
        assert_eq!(schema["description"], "A toy, as a client sends it.");
        assert_eq!(schema["required"], json!(["toyName", "parts"]));
        let properties = &schema["properties"];
        let expected = json!({
            "type": "string", "description": "The name.", "examples": ["Tom"], "minLength": 1, "maxLength": 3,
        });
        assert_eq!(properties["toyName"], expected);
        assert_eq!(
            properties["group"],
            json!({"$ref": "#/components/schemas/DocumentGroupType", "description": "The subject."})
        );
        assert_eq!(
            properties["parts"]["items"]["$ref"],
            "#/components/schemas/PartVM"
        );
        assert_eq!(
            (
                &properties["parts"]["minItems"],
                &properties["parts"]["maxItems"]
            ),
            (&json!(1), &json!(2))
        );
        let mut parts = Schemas::new();
        <Toy as ToSchema>::schemas(&mut parts);
        let names: Vec<&str> = parts.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "DocumentGroupType",
                "RouteOrderType",
                "ExternalNodeStatus",
                "PartVM"
            ]
        );
    }
}
