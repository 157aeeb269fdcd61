//! Bulk calls: each element is queued and processed later; the companion call reads the progress
//! (`docs/contracts/idocs.md §1.6, §1.2` rows 24 to 42).

use std::{borrow::Cow, collections::HashMap, marker::PhantomData};

use futures_util::future::BoxFuture;
use prichal_core::id::generate;
use prichal_dialect::word_schemas;
use prichal_store::{Conn, Tx, bulk as store};
use serde::Serialize;
use serde_json::{Value, json, value::RawValue};
use utoipa::{
    ToSchema,
    openapi::{
        RefOr, Schema,
        schema::{AnyOfBuilder, ArrayBuilder, ObjectBuilder},
    },
};
use uuid::Uuid;

use super::{
    answer::{EmptyResponse, EnvelopeOf, Page, PageOf, bare, text, with_member, wrapped},
    caller::{Company, Requester},
    error_response::{OperationError, described, is_server_fault},
    language::Localized,
    member::{Body, Content, Description, Element, Member, Schemas, bodies, elements, object},
    operation::{Operation, answer, body},
    read::Fields,
    references::PageRequest,
};
use crate::{
    app::App,
    dialect::{
        audit,
        openapi::schema::{add, of},
    },
    domain::document::bulk::{BulkHandler, CREATED, NOT_FOUND, STATUSES, Work},
    error::{Error, Result},
    http::{
        body::{Json, Raw},
        idempotency::{IdempotencyKey, JsonAnswer, write_once},
    },
    platform::{audit::Act, quota, reading::parse_json, security::Actor},
};

/// The maximum number of elements of a call.
const MAX_ELEMENTS: usize = 1000;

/// The calls, by the name under which the store holds their elements.
const CALLS: [(&str, Operation); 9] = [
    ("outbox/document/create", Operation::Create),
    ("outbox/route/create", Operation::Route),
    ("outbox/quick-route/create", Operation::QuickRoute),
    ("outbox/content-to-sign/generate", Operation::OutboxContent),
    ("outbox/quick-sign/save", Operation::OutboxSign),
    ("inbox/route/create", Operation::InboxRoute),
    ("inbox/content-to-sign/generate", Operation::InboxContent),
    ("inbox/quick-sign/save", Operation::InboxSign),
    ("download", Operation::Download),
];

fn name(operation: Operation) -> &'static str {
    let known = CALLS.iter().find(|(_, one)| *one == operation);
    known.map_or("", |(name, _)| name)
}

/// The permission that a call and its companion need.
fn permission_for(operation: Operation) -> Result<&'static str> {
    let permission = operation.permission();
    permission.ok_or_else(|| Error::internal("a bulk call that needs no permission"))
}

/// Queues the elements of a call, and answers their ids at once. The employee of an element is checked when it is
/// processed.
async fn start<B: ToSchema>(
    company: Company,
    once: IdempotencyKey,
    body: axum::body::Bytes,
    operation: Operation,
) -> Result<JsonAnswer> {
    company.may(permission_for(operation)?).await?;
    quota::admit(&company.app, company.id(), operation.adds_to(), 0).await?;
    let parsed = parse_json(&body)?;
    let sent: BulkBody<B> = company.read(&parsed)?;
    let caller = serde_json::to_string(&company.requester).map_err(Error::internal)?;
    let elements = sent.operations.0.into_iter();
    let queued: Vec<store::Element> = elements
        .map(|element| store::Element {
            workspace: company.id(),
            id: generate(company.now),
            path: name(operation).to_owned(),
            caller: caller.clone(),
            data: element.json,
            status: CREATED.to_owned(),
            result: None,
            errors: None,
            tries: 0,
            created_on: company.now.secs(),
            completed_on: None,
        })
        .collect();
    let operations = queued.iter().map(OperationModel::of).collect();
    let answer = text(&BulkAnswer { operations })?;
    let app = company.app.clone();
    let answer = write_once(&company, once, &body, move |tx: &mut Tx<'_>| {
        queued.iter().for_each(|element| store::insert(tx, element));
        Ok(answer.clone())
    })
    .await?;
    app.bulk.notify_one();
    Ok(answer)
}

/// The operations of a call, each of which is read by `T`.
struct Operations<T>(Vec<T>);

impl<T: Element> Member for Operations<T> {
    const REQUIRED: bool = true;

    fn read(fields: &Fields<'_>, name: &str) -> Result<Self> {
        let list = fields.need(name, fields.list(name)?)?;
        if list.len() > MAX_ELEMENTS {
            return Err(fields.fault(name, &TOO_MANY, &[&MAX_ELEMENTS.to_string()]));
        }
        elements(fields, name, list).map(Self)
    }

    fn schema() -> RefOr<Schema> {
        ArrayBuilder::new()
            .items(T::schema())
            .max_items(Some(MAX_ELEMENTS))
            .into()
    }

    fn schemas(all: &mut Schemas) {
        T::schemas(all);
    }
}

/// The body of a call. `B` is the body of each operation.
struct BulkBody<B> {
    operations: Operations<Data<B>>,
}

impl<B: ToSchema> Body for BulkBody<B> {
    fn read(fields: &Fields<'_>) -> Result<Self> {
        Ok(Self {
            operations: Member::read(fields, OPERATIONS)?,
        })
    }

    fn members() -> Vec<Description> {
        let doc = "The operations, in the order of the answer.";
        vec![Description::of::<Operations<Data<B>>>(
            OPERATIONS, doc, None,
        )]
    }
}

const OPERATIONS: &str = "operations";

impl<B: ToSchema> utoipa::PartialSchema for BulkBody<B> {
    fn schema() -> RefOr<Schema> {
        object::<Self>("Many operations of one kind.")
    }
}

impl<B: ToSchema> ToSchema for BulkBody<B> {
    fn name() -> Cow<'static, str> {
        format!("{}Bulk", B::name()).into()
    }

    fn schemas(all: &mut Schemas) {
        add::<B>(all);
    }
}

/// The JSON of an operation's body. A malformed one is refused when the operation is performed.
struct Data<B> {
    json: String,
    body: PhantomData<B>,
}

impl<B: ToSchema> Element for Data<B> {
    fn read(_: &Fields<'_>, _: &str, value: &Value) -> Result<Self> {
        let members = value.as_object();
        let data = members.and_then(|members| {
            let mut all = members.iter();
            all.find(|(name, _)| name.eq_ignore_ascii_case(DATA))
        });
        Ok(Self {
            json: data.map_or_else(|| "null".to_owned(), |(_, data)| data.to_string()),
            body: PhantomData,
        })
    }

    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .property(DATA, of::<B>())
            .required(DATA)
            .into()
    }
}

const DATA: &str = "data";

bodies! {
    /// Operations whose progress is asked for.
    struct StatusRequest as BulkOperationIds {
        /// The operations, in the order of the answer.
        operations: Operations<OperationId> = "operations";
    }
}

/// The id of an operation.
struct OperationId(Uuid);

impl Element for OperationId {
    fn read(fields: &Fields<'_>, name: &str, value: &Value) -> Result<Self> {
        let fields = fields.element(name, value)?;
        let id = fields.id(OPERATION_ID)?;
        fields.need(OPERATION_ID, id).map(Self)
    }

    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .property(OPERATION_ID, operation_id())
            .required(OPERATION_ID)
            .into()
    }
}

fn operation_id() -> RefOr<Schema> {
    let mut id = <Uuid as Content>::schema();
    if let RefOr::T(Schema::Object(id)) = &mut id {
        id.description = Some("The id of the operation.".to_owned());
    }
    id
}

const OPERATION_ID: &str = "operationId";

/// An operation of a bulk call.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = BulkOperationVM)]
struct OperationModel<'a> {
    /// The id of the operation.
    operation_id: Uuid,
    /// The time of the call, in seconds since 1970. `null` if the operation is not known.
    #[schema(required)]
    created_on: Option<i64>,
    /// The time of the result, in seconds since 1970. `null` until the operation is completed.
    #[schema(required)]
    completed_on: Option<i64>,
    /// The progress.
    #[schema(value_type = AsyncOperationStatusType)]
    operation_status: &'a str,
    /// The result. Lists of all operations leave it out.
    #[schema(value_type = EmptyResponse)]
    data: OperationData<'a>,
    /// The errors of an operation that has failed.
    #[schema(required, value_type = Option<Vec<OperationError>>)]
    operation_errors: Option<&'a RawValue>,
}

word_schemas! {
    /// The progress of an operation.
    AsyncOperationStatusType: &STATUSES;
}

/// The result of an element, which the store holds as JSON.
#[derive(Serialize)]
#[serde(untagged)]
enum OperationData<'a> {
    Value(&'a RawValue),
    Empty {},
}

impl<'a> OperationModel<'a> {
    fn of(element: &'a store::Element) -> Self {
        let raw = |text: &'a Option<String>| {
            let text = text.as_deref()?;
            serde_json::from_str::<&RawValue>(text).ok()
        };
        Self {
            operation_id: element.id,
            created_on: Some(element.created_on),
            completed_on: element.completed_on,
            operation_status: &element.status,
            data: raw(&element.result).map_or(OperationData::Empty {}, OperationData::Value),
            operation_errors: raw(&element.errors),
        }
    }

    /// The model of an unknown element.
    fn unknown(id: Uuid) -> Self {
        Self {
            operation_id: id,
            created_on: None,
            completed_on: None,
            operation_status: NOT_FOUND,
            data: OperationData::Empty {},
            operation_errors: None,
        }
    }
}

/// The operations of a call in their present state.
#[derive(Serialize)]
struct BulkAnswer<'a> {
    operations: Vec<OperationModel<'a>>,
}

/// The schema of [`BulkAnswer`] for operations that answer `A`.
struct BulkAnswerOf<A>(PhantomData<A>);

impl<A: ToSchema> BulkAnswerOf<A> {
    /// The name of the answer. In the list an operation without an answer has an empty object.
    fn answer() -> Cow<'static, str> {
        if A::name() == <()>::name() {
            EmptyResponse::name()
        } else {
            A::name()
        }
    }

    /// The result of an operation: that of the single call, as soon as it is completed.
    fn data() -> RefOr<Schema> {
        let empty: RefOr<Schema> = of::<EmptyResponse>().into();
        if Self::answer() == EmptyResponse::name() {
            return empty;
        }
        let data = AnyOfBuilder::new().item(of::<A>()).item(empty);
        data.description(Some("The result, empty until the operation is completed."))
            .into()
    }
}

impl<A: ToSchema> utoipa::PartialSchema for BulkAnswerOf<A> {
    fn schema() -> RefOr<Schema> {
        let operation = with_member::<OperationModel<'_>>(DATA, Self::data());
        let operations = ArrayBuilder::new()
            .items(operation)
            .description(Some("The operations, in the order of the request."));
        ObjectBuilder::new()
            .description(Some("The state of operations."))
            .property(OPERATIONS, operations)
            .required(OPERATIONS)
            .into()
    }
}

impl<A: ToSchema> ToSchema for BulkAnswerOf<A> {
    fn name() -> Cow<'static, str> {
        format!("{}BulkOperations", Self::answer()).into()
    }

    fn schemas(all: &mut Schemas) {
        add::<OperationModel<'_>>(all);
        if A::name() == Self::answer() {
            add::<A>(all);
        }
    }
}

/// Answers the state of elements, in the order of the request.
async fn status(company: Company, body: &Value, operation: Operation) -> Result<JsonAnswer> {
    company.may(permission_for(operation)?).await?;
    let request: StatusRequest = company.read(body)?;
    let ids = request.operations.0.into_iter();
    let ids: Vec<Uuid> = ids.map(|id| id.0).collect();
    let wanted = ids.clone();
    let id = company.id();
    let found = company
        .app
        .db
        .read(move |conn| store::find(conn, id, &wanted))
        .await?;
    let of_call = found.iter().filter(|one| one.path == name(operation));
    let known: HashMap<Uuid, &store::Element> = of_call.map(|one| (one.id, one)).collect();
    let shown = |id: &Uuid| match known.get(id) {
        Some(element) => OperationModel::of(element),
        None => OperationModel::unknown(*id),
    };
    let operations = ids.iter().map(shown).collect();
    bare(&BulkAnswer { operations })
}

type OperationPage = EnvelopeOf<PageOf<OperationModel<'static>>>;

/// List the company's bulk elements, newest first.
#[utoipa::path(post, path = "/api/v3/sync/bulk/operations", tag = "documents",
    request_body = PageRequest, responses((status = 200, body = OperationPage)))]
pub(super) async fn list_operations(company: Company, Json(body): Json) -> Result<JsonAnswer> {
    company.may("DOCUMENT_VIEW").await?;
    let PageRequest { skip, top } = company.read(&body)?;
    let (skip, top) = (skip.0, top.0);
    let viewer = company.id();
    let look = move |conn: &mut Conn| store::list(conn, viewer, skip, top);
    let (total, found) = company.app.db.read(look).await?;
    let shown = found.iter().map(|element| OperationModel {
        data: OperationData::Empty {},
        ..OperationModel::of(element)
    });
    wrapped(Page {
        items: shown.collect(),
        skip,
        top,
        total_size: total,
    })
}

macro_rules! calls {
    ($($operation:ident $path:literal $start:ident $status:ident;)*) => {$(
        #[utoipa::path(post, path = $path, tag = "documents",
            summary = concat!("Queue many operations. Read their progress at `", $path, "/status`."),
            params(IdempotencyKey), request_body = bulk_body::$operation, responses((status = 200, body = bulk_answer::$operation)))]
        pub(super) async fn $start(company: Company, once: IdempotencyKey, Raw(sent): Raw) -> Result<JsonAnswer> {
            start::<body::$operation>(company, once, sent, Operation::$operation).await
        }

        #[utoipa::path(post, path = concat!($path, "/status"), tag = "documents",
            summary = concat!("Read the progress of the operations of `", $path, "`."),
            request_body = StatusRequest, responses((status = 200, body = bulk_answer::$operation)))]
        pub(super) async fn $status(company: Company, Json(body): Json) -> Result<JsonAnswer> {
            status(company, &body, Operation::$operation).await
        }
    )*

        /// The bodies of the calls, by their operations.
        mod bulk_body {
            $(pub(super) type $operation = super::BulkBody<super::body::$operation>;)*
        }

        /// The answers of the calls, by their operations.
        mod bulk_answer {
            $(pub(super) type $operation = super::BulkAnswerOf<super::answer::$operation>;)*
        }
    };
}

calls! {
    Create "/api/v3/async/bulk/external/outbox/document/create" start_create create_status;
    Route "/api/v3/async/bulk/external/outbox/route/create" start_route route_status;
    QuickRoute "/api/v3/async/bulk/external/outbox/route/quick-route/create" start_quick_route quick_route_status;
    OutboxContent "/api/v3/async/bulk/external/outbox/signature/content-to-sign/generate" start_outbox_content outbox_content_status;
    OutboxSign "/api/v3/async/bulk/external/outbox/signature/quick-sign/save" start_outbox_sign outbox_sign_status;
    InboxRoute "/api/v3/async/bulk/external/inbox/route/create" start_inbox_route inbox_route_status;
    InboxContent "/api/v3/async/bulk/external/inbox/signature/content-to-sign/generate" start_inbox_content inbox_content_status;
    InboxSign "/api/v3/async/bulk/external/inbox/signature/quick-sign/save" start_inbox_sign inbox_sign_status;
    Download "/api/v3/async/documents/download/bulk-download" start_download download_status;
}

/// The handler of bulk elements, for the worker in the domain.
#[derive(Clone)]
pub struct Elements(pub App);

impl BulkHandler for Elements {
    fn prepare(&self, element: store::Element) -> BoxFuture<'static, Result<Work>> {
        let app = self.0.clone();
        Box::pin(async move {
            let requester: Requester =
                serde_json::from_str(&element.caller).map_err(Error::internal)?;
            let data: Value = serde_json::from_str(&element.data).map_err(Error::internal)?;
            let language = requester.language;
            let operation = CALLS.iter().find(|(name, _)| *name == element.path);
            let (_, operation) =
                operation.ok_or_else(|| Error::internal("a bulk call of an unknown kind"))?;
            // The requester may have lost the right since the call.
            let company = Company::restore(&app, element.workspace, requester).await?;
            operation.permit(&company, Some(&data)).await?;
            if !data.is_object() {
                let text = NO_OBJECT.text(language, &["data"]);
                return Err(Error::invalid("data", text));
            }
            operation.prepare(&company, &data).await
        })
    }

    fn actor(&self, element: &store::Element) -> Option<Actor> {
        let requester: Requester = serde_json::from_str(&element.caller).ok()?;
        Some(Actor::Token {
            id: requester.token,
            user: requester.user,
            workspace: element.workspace,
        })
    }

    fn act(&self, element: &store::Element) -> Option<Act> {
        let (_, operation) = CALLS.iter().find(|(name, _)| *name == element.path)?;
        let single = audit::operation_named(operation.single()?)?;
        Some(Act::new(single))
    }

    fn describe(&self, element: &store::Element, error: &Error) -> (Vec<Value>, bool) {
        let requester: Option<Requester> = serde_json::from_str(&element.caller).ok();
        let language = requester.as_ref().map(|requester| requester.language);
        let language = language.unwrap_or_default();
        let errors = described(error, language);
        let errors = errors.iter().map(|error| json!(error)).collect();
        (errors, is_server_fault(error))
    }
}

const NO_OBJECT: Localized = Localized::new(
    "Поле {} должно быть объектом.",
    "{} өрісі объект болуы керек.",
    "The field {} must be an object.",
);
const TOO_MANY: Localized = Localized::new(
    "Поле {} содержит больше {} элементов.",
    "{} өрісінде {} элементтен көп.",
    "The field {} has more than {} elements.",
);
