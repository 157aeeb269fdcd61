//! Our own view of documents: one search over all folders, and all that a page about one document needs.

use std::collections::{BTreeMap, btree_map::Entry};

use prichal_core::{
    document::{Document, Kind, Ordering, Status, Step},
    id::{WorkspaceId, parse},
};
use prichal_dialect::idocs::{
    document::{DocumentBase, DocumentExtended},
    words::{DocumentStep, RouteOrderType},
};
use prichal_store::{Conn, document as store, document::Position, document_blob};
use serde::Serialize;
use utoipa::{
    ToSchema,
    openapi::{RefOr, Schema},
};
use uuid::Uuid;

use super::{
    answer::bare,
    blobs::{extension, mime_type},
    caller::{Company, Employee},
    documents::read_id,
    language::Localized,
    member::{Bin, Content, Count, ID, Name, bodies, text},
    prepared::missing,
    read::{Fields, NOT_ALLOWED, Parameters},
};
use crate::{
    dialect::openapi::schema::one_of,
    domain::document::{
        dossier::company_name,
        search::{Folder, Search, find},
    },
    error::{Error, Result},
    http::{extract::Path, idempotency::JsonAnswer},
};

const VIEW: &str = "DOCUMENT_VIEW";

bodies! {
    /// The documents to find.
    struct DocumentSearch as DocumentSearch {
        /// The folder. Every one, if it is absent. `waiting` has the documents that wait for a signature or an approval of
        /// the employee, `pending` those that wait for anybody in the company.
        folder: Option<Folder> = "folder", "waiting";
        /// The status, as the company sees it.
        status: Option<Status> = "status", "IN_NEW";
        /// A part of the name or of the number, in either case, or a company's whole BIN.
        text: Option<Name<256>> = "text", "17/1";
        /// The BIN of another company that takes part.
        bin: Option<Bin> = "counterpartyBin";
        /// The earliest date, in seconds since 1970.
        from: Option<i64> = "documentDateFrom", 1_767_225_600;
        /// The latest date, in seconds since 1970.
        to: Option<i64> = "documentDateTo", 1_769_904_000;
        /// The employee for whom documents wait. By default it is the token's, else the first administrator.
        employee: Option<Uuid> = "employeeId", ID;
        /// The size of the page. A size over 100 counts as 100.
        limit: Count<1, 50, 100> = "limit", 50;
        /// The `next` of the page before.
        before: Option<Cursor> = "before";
    }

    /// The employee who looks at a document.
    struct Viewer as DocumentViewer {
        /// The employee whose steps are listed. By default it is the token's, else the first administrator.
        employee: Option<Uuid> = "employeeId", ID;
    }
}

impl Content for Folder {
    fn find(fields: &Fields<'_>, name: &str) -> Result<Option<Self>> {
        let Some(text) = fields.text(name)? else {
            return Ok(None);
        };
        let words = Self::ALL.map(Self::name).join(", ");
        let known = Self::from_name(text).map(Some);
        known.ok_or_else(|| fields.fault(name, &NOT_ALLOWED, &[text, &words]))
    }

    fn schema() -> RefOr<Schema> {
        one_of(&Self::ALL.map(Self::name)).into()
    }
}

impl Content for Status {
    fn find(fields: &Fields<'_>, name: &str) -> Result<Option<Self>> {
        fields.word(name)
    }

    fn schema() -> RefOr<Schema> {
        one_of(Self::WORDS).into()
    }
}

/// The place at which a page begins.
struct Cursor(Position);

impl Cursor {
    fn parse(text: &str) -> Option<Self> {
        let (date, id) = text.split_once('.')?;
        Some(Self((date.parse().ok()?, parse(id)?)))
    }

    fn text((date, id): Position) -> String {
        format!("{date}.{id}")
    }
}

impl Content for Cursor {
    fn find(fields: &Fields<'_>, name: &str) -> Result<Option<Self>> {
        let Some(text) = fields.text(name)? else {
            return Ok(None);
        };
        let cursor = Self::parse(text).map(Some);
        cursor.ok_or_else(|| fields.fault(name, &NO_CURSOR, &[]))
    }

    fn schema() -> RefOr<Schema> {
        text().pattern(Some(r"^-?[0-9]+\.[0-9a-fA-F-]+$")).into()
    }
}

/// A page of found documents.
#[derive(Serialize, ToSchema)]
#[schema(as = FoundDocumentPage)]
struct FoundPage {
    /// The documents, the latest date first.
    items: Vec<DocumentSummary>,
    /// The `before` of the next page. `null` at the end. A page may have less documents than its size, and even none,
    /// since a search reads at most 5000 documents at once.
    #[schema(required)]
    next: Option<String>,
}

/// A document in a list.
#[derive(Serialize, ToSchema)]
#[schema(as = DocumentSummary)]
struct DocumentSummary {
    #[serde(flatten)]
    base: DocumentBase,
    #[serde(flatten)]
    parties: Parties,
}

/// The companies of a document.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DocumentParties)]
struct Parties {
    /// True for a document that is not sent to other companies.
    is_internal: bool,
    /// The sender.
    #[schema(inline)]
    sender: PartyModel,
    /// The recipients, in the order of the route.
    recipients: Vec<PartyModel>,
}

/// A company that takes part.
#[derive(Clone, Serialize, ToSchema)]
#[schema(as = DocumentParty)]
struct PartyModel {
    /// The BIN, or the IIN of a person.
    #[schema(examples("971240001315"))]
    bin: String,
    /// The name. It is empty for a company that is not registered here.
    name: String,
}

/// The names of companies that were looked up.
#[derive(Default)]
struct Names(BTreeMap<WorkspaceId, String>);

impl Names {
    fn find(
        &mut self,
        conn: &mut Conn,
        party: &prichal_core::document::Party,
    ) -> Result<PartyModel> {
        let name = match self.0.entry(party.company) {
            Entry::Occupied(known) => known.get().clone(),
            Entry::Vacant(new) => new.insert(company_name(conn, party.company)?).clone(),
        };
        let bin = party.bin.clone();
        Ok(PartyModel { bin, name })
    }

    fn parties(&mut self, conn: &mut Conn, document: &Document) -> Result<Parties> {
        let mut recipients = Vec::new();
        for one in document.recipients() {
            recipients.push(self.find(conn, &one.party)?);
        }
        Ok(Parties {
            is_internal: document.kind == Kind::Internal,
            sender: self.find(conn, &document.sender)?,
            recipients,
        })
    }
}

/// Search the company's documents in all folders, the latest date first.
///
/// For the next page, give `next` as `before`.
#[utoipa::path(get, path = "/documents/v1/documents", tag = "documents", params(DocumentSearch),
    responses((status = 200, body = FoundPage)))]
pub(super) async fn search_documents(
    company: Company,
    parameters: Parameters,
) -> Result<JsonAnswer> {
    company.may(VIEW).await?;
    let query: DocumentSearch = parameters.read(company.reading())?;
    if let (Some(from), Some(to)) = (query.from, query.to) {
        let reading = company.reading();
        reading.period(("documentDateFrom", from), ("documentDateTo", to))?;
    }
    let (asked, viewer) = (company.clone(), company.id());
    let look = move |conn: &mut Conn| {
        let employee = asked.acting(conn, query.employee, VIEW)?;
        let actor = employee.map(|one| (asked.actor(&one), permitted(&one, Step::AWAITED)));
        let search = Search {
            folder: query.folder,
            status: query.status,
            text: query.text.map(|text| text.0.trim().to_owned()),
            bin: query.bin.map(|bin| bin.digits),
            from: query.from,
            to: query.to,
            actor,
        };
        let before = query.before.map(|cursor| cursor.0);
        let limit = usize::try_from(query.limit.0).map_err(Error::internal)?;
        let found = find(conn, viewer, &search, before, limit)?;
        let (mut names, mut items) = (Names::default(), Vec::new());
        for document in &found.documents {
            let Some(status) = document.status(viewer) else {
                continue;
            };
            items.push(DocumentSummary {
                base: DocumentBase::of(document, viewer, status),
                parties: names.parties(conn, document)?,
            });
        }
        let next = found.next.map(Cursor::text);
        Ok::<_, Error>(FoundPage { items, next })
    };
    bare(&company.app.db.read(look).await?)
}

/// The steps for which an employee has the permission.
fn permitted(employee: &Employee, steps: impl IntoIterator<Item = Step>) -> Vec<Step> {
    let steps = steps.into_iter();
    steps
        .filter(|step| employee.may(step.permission()))
        .collect()
}

/// A document with its files, and what an employee may do with it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DocumentDetail)]
struct DocumentDetail {
    #[serde(flatten)]
    document: DocumentExtended,
    #[serde(flatten)]
    parties: Parties,
    /// The order in which the recipients get the document.
    #[schema(value_type = RouteOrderType)]
    route_order_type: Ordering,
    /// True for a quick route: the document is sent when the sender signs it. Else the sender signs at the end.
    is_quick_route: bool,
    /// True if the sender has to sign.
    is_sign_required_by_sender: bool,
    /// True if the sender has signed.
    is_signed_by_sender: bool,
    /// The reason of a refusal or a recall, if one was given.
    #[schema(required)]
    reject_reason: Option<String>,
    /// The originals.
    files: Vec<FileModel>,
    /// The employee whose steps are listed. `null` in a company without employees.
    #[schema(required)]
    employee_id: Option<Uuid>,
    /// The steps that the employee may take now.
    #[schema(value_type = Vec<DocumentStep>)]
    steps: Vec<Step>,
}

/// An original of a document.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DocumentFile)]
struct FileModel {
    /// The id of the file.
    id: Uuid,
    /// The name of the file.
    #[schema(examples("contract.pdf"))]
    file_name: String,
    /// The type that the extension stands for.
    #[schema(examples("application/pdf"))]
    mime_type: &'static str,
    /// The size in bytes.
    size: i64,
    /// The SHA-256 of the contents, in hex.
    sha256: String,
}

/// Read a document with its companies, its route, its files, and the steps that an employee may take now.
#[utoipa::path(get, path = "/documents/v1/documents/{id}", tag = "documents", operation_id = "get_document_detail",
    params(("id" = Uuid, Path, description = "The id of the document"), Viewer),
    responses((status = 200, body = DocumentDetail)))]
pub(super) async fn get_document(
    company: Company,
    Path(id): Path<String>,
    parameters: Parameters,
) -> Result<JsonAnswer> {
    company.may(VIEW).await?;
    let id = read_id(&company, &id)?;
    let query: Viewer = parameters.read(company.reading())?;
    let asked = company.clone();
    let look = move |conn: &mut Conn| {
        let employee = asked.acting(conn, query.employee, VIEW)?;
        let found = store::find(conn, asked.id(), id)?;
        let found = found.ok_or_else(|| missing(&asked, id))?;
        detail(conn, &asked, &found, employee.as_ref())
    };
    bare(&company.app.db.read(look).await?)
}

fn detail(
    conn: &mut Conn,
    company: &Company,
    document: &Document,
    employee: Option<&Employee>,
) -> Result<DocumentDetail> {
    let viewer = company.id();
    let shown = DocumentExtended::of(document, viewer);
    let mut files = Vec::new();
    for id in &document.contents {
        let blob = document_blob::find(conn, document.sender.company, *id, company.now)?;
        let blob = blob.ok_or_else(|| Error::internal("a file of a document is not there"))?;
        files.push(FileModel {
            id: *id,
            mime_type: mime_type(&extension(&blob.name)),
            file_name: blob.name,
            size: blob.size,
            sha256: blob.sha256,
        });
    }
    let route = document.route.as_ref();
    let steps = |one: &Employee| permitted(one, document.steps(company.actor(one)));
    Ok(DocumentDetail {
        document: shown.ok_or_else(|| missing(company, document.id))?,
        parties: Names::default().parties(conn, document)?,
        route_order_type: route.map_or(Ordering::None, |route| route.ordering),
        is_quick_route: route.is_some_and(|route| route.quick),
        is_sign_required_by_sender: route.is_some_and(|route| route.sign_by_sender),
        is_signed_by_sender: route.is_some_and(|route| route.signed_by_sender),
        reject_reason: document.reason(viewer).map(str::to_owned),
        files,
        employee_id: employee.map(|one| one.id.0),
        steps: employee.map(steps).unwrap_or_default(),
    })
}

const NO_CURSOR: Localized = Localized::new(
    "Поле {} должно быть курсором из next.",
    "{} өрісі next мәніндегі курсор болуы керек.",
    "The field {} must be a cursor from next.",
);
