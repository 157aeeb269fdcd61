//! Creating documents, and deleting drafts (`docs/contracts/idocs.md §1.10, §1.2` rows 3 and 19).

use prichal_core::{
    document::{
        Document, Group, Kind, Party, Status,
        limits::{MAX_DATE, MAX_ORIGINALS, MAX_ORIGINALS_TOTAL},
    },
    id::{generate, parse_any},
};
use prichal_dialect::idocs::document as model;
use prichal_store::{
    Tx,
    document_blob::{self, Kind as BlobKind},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    answer::bare,
    caller::Company,
    language::Localized,
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

/// The parts of a document to create.
struct NewDocument {
    name: String,
    number: String,
    date: i64,
    group: Group,
    author: Option<Uuid>,
    contents: Vec<Uuid>,
}

pub(super) fn create(company: &Company, data: &Value, kind: Kind) -> Result<Prepared> {
    let new = read(&Fields::of(data, company.language())?)?;
    let company = company.clone();
    let id = generate(company.now);
    Ok(Prepared::new(move |tx| {
        let author = company.employee_or_default(tx.conn()?, new.author, "DOCUMENT_CREATE")?;
        keep(tx, &company, &new.contents)?;
        let document = Document {
            id,
            kind,
            sender: Party {
                company: company.id(),
                bin: company.bin().to_owned(),
            },
            name: new.name.clone(),
            number: new.number.clone(),
            date: new.date,
            group: new.group,
            author: author.id,
            created_on: company.now.secs(),
            contents: new.contents.clone(),
            route: None,
            fate: None,
        };
        record::create(tx, &document, &performer(&company, &author))?;
        Ok(model::base(&document, company.id(), Status::Draft))
    }))
}

fn read(fields: &Fields<'_>) -> Result<NewDocument> {
    let metadata = fields.need_object("documentMetadata")?;
    let date = metadata
        .int("documentDate")?
        .ok_or_else(|| metadata.fault("documentDate", &NO_DATE, &[]))?;
    if date >= MIN_MILLISECONDS {
        return Err(metadata.fault("documentDate", &MILLIS, &[]));
    }
    if !(0..=MAX_DATE).contains(&date) {
        return Err(metadata.fault("documentDate", &BAD_DATE, &[]));
    }
    let mut contents = Vec::new();
    for content in fields.objects("documentBinaryContents")? {
        contents.push(content.need_id("blobId")?);
    }
    if contents.is_empty() {
        return Err(fields.fault("documentBinaryContents", &NO_CONTENTS, &[]));
    }
    if contents.len() > MAX_ORIGINALS {
        let max = MAX_ORIGINALS.to_string();
        return Err(fields.fault("documentBinaryContents", &TOO_MANY, &[&max]));
    }
    Ok(NewDocument {
        name: metadata.need_text("documentName", 256)?.to_owned(),
        number: metadata.need_text("documentNumber", 256)?.to_owned(),
        date,
        group: metadata.need_word("documentGroup")?,
        author: metadata.id("documentAuthorEmployeeId")?,
        contents,
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
    params(("id" = String, Path)), responses((status = 200, body = Value)))]
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
    Ok(bare(&json!({})))
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
const NO_DATE: Localized = Localized::new(
    "Поле {} обязательно.",
    "{} өрісі міндетті.",
    "The field {} is required.",
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
