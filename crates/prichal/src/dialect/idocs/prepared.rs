//! The parts that all operations share: the prepared write, its author, and refusals.

use prichal_core::document::{Document, Refusal};
use prichal_store::{Tx, document as store};
use serde::Serialize;
use std::marker::PhantomData;
use uuid::Uuid;

use super::{
    answer::text,
    caller::{Company, Employee},
    language::Localized,
};
use crate::{
    domain::document::{bulk::Work, record::Performer},
    error::{Code, Error, Result},
};

/// An operation of which only the transaction is left. It returns the model of the answer; `()` stands for an empty
/// answer.
pub(super) struct Prepared<A> {
    work: Work,
    answer: PhantomData<A>,
}

impl<A: Serialize> Prepared<A> {
    pub(super) fn new(mut write: impl FnMut(&mut Tx<'_>) -> Result<A> + Send + 'static) -> Self {
        let work = move |tx: &mut Tx<'_>| {
            let answer = text(&write(tx)?)?;
            Ok(Some(answer).filter(|answer| answer != "null"))
        };
        Self {
            work: Box::new(work),
            answer: PhantomData,
        }
    }

    /// The write, which returns the answer as JSON.
    pub(super) fn into_work(self) -> Work {
        self.work
    }
}

/// Finds a document that the company sees, and locks it until the end of the transaction.
pub(super) fn lock_document(tx: &mut Tx<'_>, company: &Company, id: Uuid) -> Result<Document> {
    store::find_for_update(tx, company.id(), id)?.ok_or_else(|| missing(company, id))
}

pub(super) fn missing(company: &Company, id: Uuid) -> Error {
    Error::NotFound(DOCUMENT.text(company.language(), &[&id.to_string()]))
}

/// The author of a change.
pub(super) fn performer(company: &Company, employee: &Employee) -> Performer {
    Performer {
        company: company.id(),
        employee: employee.id,
        by: company.change_author(employee),
        at: company.now,
    }
}

/// The refusal of a step by the rules of documents.
pub(super) fn refused(company: &Company, id: Uuid, refusal: Refusal) -> Error {
    match refusal {
        Refusal::NotVisible => missing(company, id),
        Refusal::WrongKind => company.refuse(&WRONG_KIND, &[]),
        Refusal::WrongStatus {
            status,
            allowed: [],
        } => company.refuse(&WRONG_STATUS, &[status.name()]),
        Refusal::WrongStatus { status, allowed } => {
            let allowed: Vec<&str> = allowed.iter().map(|status| status.name()).collect();
            company.refuse(&NOT_THIS_STATUS, &[status.name(), &allowed.join(", ")])
        }
        Refusal::NotYourTurn => company.refuse(&NOT_YOUR_TURN, &[]),
        Refusal::WrongAction(action) => company.refuse(&WRONG_ACTION, &[action.name()]),
        Refusal::InternalFirst => company.refuse(&INTERNAL_FIRST, &[]),
    }
}

/// A refusal whose text is in no language of ours, such as a code of the validation.
pub(super) fn invalid(text: impl Into<String>) -> Error {
    Error::refused(Code::InvalidValue, text)
}

/// The error for a blob that does not exist.
pub(super) fn no_blob(company: &Company, id: Uuid) -> Error {
    Error::NotFound(BLOB.text(company.language(), &[&id.to_string()]))
}

const BLOB: Localized = Localized::new("файл {}", "{} файлы", "file {}");
const DOCUMENT: Localized = Localized::new("документ {}", "{} құжаты", "document {}");
const WRONG_KIND: Localized = Localized::new(
    "Действие не подходит для этого вида документа.",
    "Бұл әрекет құжаттың осы түріне сай емес.",
    "This cannot be done with this kind of document.",
);
const WRONG_STATUS: Localized = Localized::new(
    "Действие недоступно для документа в статусе {}.",
    "{} мәртебесіндегі құжатпен бұл әрекетті орындауға болмайды.",
    "This cannot be done with a document in the status {}.",
);
const NOT_THIS_STATUS: Localized = Localized::new(
    "Действие недоступно для документа в статусе {}, доступно в {}.",
    "{} мәртебесіндегі құжатпен бұл әрекетті орындауға болмайды, болатын мәртебелер: {}.",
    "This cannot be done with a document in the status {}, only in {}.",
);
const NOT_YOUR_TURN: Localized = Localized::new(
    "Маршрут сейчас не ждёт действия этого сотрудника.",
    "Бағыт қазір бұл қызметкердің әрекетін күтпейді.",
    "The route does not wait for this employee now.",
);
const WRONG_ACTION: Localized = Localized::new(
    "Узел маршрута ждёт действия {}.",
    "Бағыт түйіні {} әрекетін күтеді.",
    "The node of the route waits for the action {}.",
);
const INTERNAL_FIRST: Localized = Localized::new(
    "Сначала должен завершиться внутренний маршрут.",
    "Алдымен ішкі бағыт аяқталуы керек.",
    "The internal route has to be completed first.",
);
