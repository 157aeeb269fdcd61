//! Creating documents, and deleting drafts (`docs/contracts/idocs.md §1.10, §1.2` rows 3 and 19).

use prichal_core::{
    document::{
        Document, Group, Kind, Party, Status,
        limits::{MAX_DATE, MAX_ORIGINALS, MAX_ORIGINALS_TOTAL},
    },
    id::{generate, parse_any},
};
use prichal_dialect::idocs::document::DocumentBase;
use prichal_store::{
    Tx,
    document_blob::{self, Kind as BlobKind},
};
use utoipa::openapi::{RefOr, Schema};
use uuid::Uuid;

use super::{
    answer::{EmptyResponse, bare},
    caller::Company,
    language::Localized,
    member::{Content, Counted, ID, List, Name, bodies, number},
    prepared::{Prepared, lock_document, missing, no_blob, performer, refused},
    read::Fields,
};
use crate::{
    domain::document::record,
    error::{Error, Result},
    http::{extract::Path, idempotency::JsonAnswer},
    platform::security::{self, Event},
};

/// The bound between dates in seconds, which are below, and dates in milliseconds, which are above.
const MIN_MILLISECONDS: i64 = 100_000_000_000;

bodies! {
    /// A document to create.
    pub(super) struct NewDocument as CreateIntegrationDocumentVM {
        /// The facts about the document.
        metadata: Metadata = "documentMetadata";
        /// The uploaded files: several ones are a package, of at most 60 MB together.
        contents: List<BlobRef, 1, MAX_ORIGINALS> = "documentBinaryContents";
    }

    /// The facts about a document.
    pub(super) struct Metadata as DocumentMetadataVM {
        /// The date of the document, in seconds since 1970, in UTC.
        date: DocumentDate = "documentDate", 1_767_225_600;
        /// The name of the document.
        name: Name<256> = "documentName", "Договор поставки";
        /// The number of the document. It need not be unique.
        number: Name<256> = "documentNumber", "7/1";
        /// The subject of the document.
        group: Group = "documentGroup";
        /// The employee who makes the document. By default it is the token's, else the first administrator.
        author: Option<Uuid> = "documentAuthorEmployeeId", ID;
    }

    /// An uploaded file.
    pub(super) struct BlobRef as DocumentBinaryContentVM {
        /// The id from the answer to the upload.
        id: Uuid = "blobId";
    }
}

impl Counted for BlobRef {
    const NONE: &'static Localized = &NO_CONTENTS;
    const TOO_MANY: &'static Localized = &TOO_MANY;
}

/// A date in seconds. A date in milliseconds has an error of its own.
pub(super) struct DocumentDate(i64);

impl Content for DocumentDate {
    fn find(fields: &Fields<'_>, name: &str) -> Result<Option<Self>> {
        match fields.int(name)? {
            Some(date) if date >= MIN_MILLISECONDS => Err(fields.fault(name, &MILLIS, &[])),
            Some(date) if !(0..=MAX_DATE).contains(&date) => {
                Err(fields.fault(name, &BAD_DATE, &[]))
            }
            date => Ok(date.map(Self)),
        }
    }

    fn schema() -> RefOr<Schema> {
        number(0, MAX_DATE).into()
    }
}

pub(super) fn create(company: &Company, new: NewDocument, kind: Kind) -> Prepared<DocumentBase> {
    let company = company.clone();
    let id = generate(company.now);
    let contents: Vec<Uuid> = new.contents.0.iter().map(|content| content.id).collect();
    let new = new.metadata;
    Prepared::new(move |tx| {
        let author = company.employee_or_default(tx.conn()?, new.author, "DOCUMENT_CREATE")?;
        keep(tx, &company, &contents)?;
        let document = Document {
            id,
            kind,
            sender: Party {
                company: company.id(),
                bin: company.bin().to_owned(),
            },
            name: new.name.0.clone(),
            number: new.number.0.clone(),
            date: new.date.0,
            group: new.group,
            author: author.id,
            created_on: company.now.secs(),
            contents: contents.clone(),
            route: None,
            fate: None,
        };
        record::create(tx, &document, &performer(&company, &author))?;
        Ok(DocumentBase::of(&document, company.id(), Status::Draft))
    })
}

/// Makes the uploads permanent that the document binds, and checks their size in total.
fn keep(tx: &mut Tx<'_>, company: &Company, contents: &[Uuid]) -> Result<()> {
    let mut total = 0;
    for id in contents {
        let kept = document_blob::keep(tx, company.id(), *id, company.now)?;
        let kept = kept.ok_or_else(|| no_blob(company, *id))?;
        if kept.kind != BlobKind::Content {
            return Err(company.refuse(&NOT_CONTENT, &[&id.to_string()]));
        }
        total += kept.size;
    }
    if total > MAX_ORIGINALS_TOTAL {
        let max = (MAX_ORIGINALS_TOTAL >> 20).to_string();
        return Err(company.refuse(&TOO_LARGE, &[&max]));
    }
    Ok(())
}

/// Delete a draft.
#[utoipa::path(delete, path = "/api/v3/sync/external/outbox/document/{id}", tag = "documents",
    params(("id" = Uuid, Path, description = "The id of the document")),
    responses((status = 200, body = EmptyResponse)))]
pub(super) async fn delete_draft(company: Company, Path(id): Path<String>) -> Result<JsonAnswer> {
    company.may("DOCUMENT_CREATE").await?;
    let id = read_id(&company, &id)?;
    let asked = company.clone();
    let write = move |tx: &mut Tx<'_>| {
        let employee = asked.employee_or_default(tx.conn()?, None, "DOCUMENT_CREATE")?;
        let document = lock_document(tx, &asked, id)?;
        if document.sender.company != asked.id() {
            return Err(missing(&asked, id));
        }
        match document.status(asked.id()) {
            Some(Status::Draft) => {}
            Some(status) => {
                let allowed = &[Status::Draft];
                let refusal = prichal_core::document::Refusal::WrongStatus { status, allowed };
                return Err(refused(&asked, id, refusal));
            }
            None => return Err(missing(&asked, id)),
        }
        record::delete(tx, &document, &performer(&asked, &employee))
    };
    company.app.db.write(company.id(), write).await?;
    let object = format!("document:{id}");
    security::record(Event::DocumentDeleted, Some(company.id()), &object);
    bare(&EmptyResponse {})
}

/// Reads an id from a path.
pub(super) fn read_id(company: &Company, text: &str) -> Result<Uuid> {
    parse_any(text).ok_or_else(|| Error::invalid("id", BAD_ID.text(company.language(), &[text])))
}

const BAD_ID: Localized = Localized::new(
    "Значение {} не является UUID.",
    "{} мәні UUID емес.",
    "The value {} is not a UUID.",
);
const BAD_DATE: Localized = Localized::new(
    "Поле {} должно быть временем Unix в секундах, не позже 2100 года.",
    "{} өрісі 2100 жылдан кеш емес, секундпен берілген Unix уақыты болуы керек.",
    "The field {} must be Unix time in seconds, not after the year 2100.",
);
const MILLIS: Localized = Localized::new(
    "Поле {} должно быть временем Unix в секундах, похоже, переданы миллисекунды.",
    "{} өрісі секундпен берілген Unix уақыты болуы керек, миллисекунд берілген сияқты.",
    "The field {} must be Unix time in seconds, these look like milliseconds.",
);
const NO_CONTENTS: Localized = Localized::new(
    "Поле {} должно содержать хотя бы один файл.",
    "{} өрісінде кемінде бір файл болуы керек.",
    "The field {} must have at least one file.",
);
const TOO_MANY: Localized = Localized::new(
    "Поле {} содержит больше {} файлов.",
    "{} өрісінде {} файлдан көп.",
    "The field {} has more than {} files.",
);
const NOT_CONTENT: Localized = Localized::new(
    "Файл {} загружен не как содержимое документа.",
    "{} файлы құжат мазмұны ретінде жүктелмеген.",
    "The file {} was not uploaded as the content of a document.",
);
const TOO_LARGE: Localized = Localized::new(
    "Файлы документа вместе больше {} МБ.",
    "Құжат файлдарының жалпы көлемі {} МБ-тан асады.",
    "The files of the document have more than {} MB together.",
);
