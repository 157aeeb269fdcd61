//! Routes: the companies that receive a document, and the employees who act on it
//! (`docs/contracts/idocs.md §1.3, §1.8, §1.2` rows 4, 5, 9 and 20).

use std::collections::BTreeSet;

use prichal_core::{
    document::{
        Action, ActionNode, Internal, NewRoute, NodeState, Operation as Step, Ordering, Party,
        Recipient, limits::MAX_NODES,
    },
    id::{UserId, WorkspaceId},
};
use prichal_store::{Conn, workspace};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    caller::{Company, NOT_PERMITTED, employee},
    language::Localized,
    prepared::{Prepared, lock_document, performer, refused},
    read::Fields,
    references::BAD_BIN,
};
use crate::{
    domain::document::record,
    error::{Code, Error, Result},
};

/// The document that gets a route, and the employee who sets it.
#[derive(Clone, Copy)]
struct RouteRequest {
    document: Uuid,
    employee: Uuid,
}

impl RouteRequest {
    fn read(fields: &Fields<'_>) -> Result<Self> {
        Ok(Self {
            document: fields.need_id("documentId")?,
            employee: fields.need_id("employeeId")?,
        })
    }
}

pub(super) fn outbox(company: &Company, data: &Value, quick: bool) -> Result<Prepared> {
    let fields = Fields::of(data, company.language())?;
    let request = RouteRequest::read(&fields)?;
    let route = fields.need_object("route")?;
    let external = route.need_object("external")?;
    let addressees = addressees(company, &external)?;
    let internal = match route.object("internal")? {
        Some(internal) if !quick => read_internal(&internal)?,
        _ => Internal {
            ordering: Ordering::None,
            nodes: Vec::new(),
        },
    };
    let new = NewRoute {
        ordering: external.word("routeOrderType")?.unwrap_or(Ordering::None),
        sign_by_sender: external.flag("isSignRequiredBySender")?.unwrap_or(quick),
        recipients: Vec::new(),
        internal: Some(internal).filter(|internal| !internal.nodes.is_empty()),
    };
    let company = company.clone();
    Ok(apply(&company.clone(), request, move |conn| {
        let mut new = new.clone();
        for addressee in &addressees {
            new.recipients.push(addressee.recipient(conn, &company)?);
        }
        check_employees(conn, &company, new.internal.as_ref())?;
        Ok(if quick {
            Step::QuickRoute(new)
        } else {
            Step::Route(new)
        })
    }))
}

pub(super) fn inbox(company: &Company, data: &Value) -> Result<Prepared> {
    let fields = Fields::of(data, company.language())?;
    let request = RouteRequest::read(&fields)?;
    let route = fields.need_object("route")?;
    let internal = need_nodes(&route.need_object("internal")?)?;
    let company = company.clone();
    Ok(apply(&company.clone(), request, move |conn| {
        check_employees(conn, &company, Some(&internal))?;
        Ok(Step::InboxRoute(internal.clone()))
    }))
}

pub(super) fn internal(company: &Company, data: &Value) -> Result<Prepared> {
    let fields = Fields::of(data, company.language())?;
    let request = RouteRequest::read(&fields)?;
    let internal = need_nodes(&fields)?;
    let company = company.clone();
    Ok(apply(&company.clone(), request, move |conn| {
        check_employees(conn, &company, Some(&internal))?;
        Ok(Step::InternalRoute(internal.clone()))
    }))
}

/// Prepares a step whose parts are read in the transaction.
fn apply(
    company: &Company,
    request: RouteRequest,
    step: impl Fn(&mut Conn) -> Result<Step> + Send + 'static,
) -> Prepared {
    let company = company.clone();
    Prepared::new(move |tx| {
        let employee = company.employee(tx.conn()?, request.employee, "ROUTE_CREATE")?;
        let mut document = lock_document(tx, &company, request.document)?;
        let step = step(tx.conn()?)?;
        let quick = matches!(step, Step::QuickRoute(_));
        let before = document.clone();
        let changes = document
            .apply(company.actor(&employee), step, company.now.secs())
            .map_err(|refusal| refused(&company, request.document, refusal))?;
        let performer = performer(&company, &employee);
        record::update(tx, &document, &changes, &performer)?;
        let known = before.route.is_some() && before.sender.company == company.id();
        record::tell_route(tx, &document, known.then_some(&before), &performer);
        Ok(if quick { Value::Null } else { json!({}) })
    })
}

/// A receiving company as the request names it.
struct Addressee {
    bin: String,
    path: String,
    node: Recipient,
}

fn addressees(company: &Company, external: &Fields<'_>) -> Result<Vec<Addressee>> {
    let nodes = external.objects("nodes")?;
    if nodes.is_empty() {
        return Err(external.fault("nodes", &NO_NODES, &[]));
    }
    if nodes.len() > MAX_NODES {
        return Err(external.fault("nodes", &TOO_MANY, &[&MAX_NODES.to_string()]));
    }
    let mut paid = external.flag("isSenderPayer")?.unwrap_or(true);
    let (mut all, mut seen) = (Vec::new(), BTreeSet::new());
    for node in &nodes {
        paid |= node.flag("isPayer")?.unwrap_or(false);
        let bin = node.need_text("counterpartyBin", 12)?;
        if !company.app.config.identifier_check.accepts(bin) {
            return Err(node.fault("counterpartyBin", &BAD_BIN, &[]));
        }
        if bin == company.bin() {
            return Err(node.fault("counterpartyBin", &OWN_BIN, &[]));
        }
        if !seen.insert(bin.to_owned()) {
            return Err(node.fault("counterpartyBin", &TWICE, &[bin]));
        }
        let mut emails = Vec::new();
        for (n, email) in node.list("counterpartyEmails")?.iter().enumerate() {
            let email = email.as_str().filter(|email| is_email(email));
            let name = format!("counterpartyEmails[{n}]");
            emails.push(
                email
                    .ok_or_else(|| node.fault(&name, &BAD_EMAIL, &[]))?
                    .to_owned(),
            );
        }
        all.push(Addressee {
            bin: bin.to_owned(),
            path: node.path("counterpartyBin"),
            node: Recipient {
                order: order(node)?,
                party: Party {
                    company: WorkspaceId(Uuid::nil()),
                    bin: bin.to_owned(),
                },
                comment: node.text_up_to("comment", 1000)?.map(str::to_owned),
                individual: node.flag("isIndividual")?.unwrap_or(false),
                emails,
                sign_required: sign_required(node)?,
                org_unit: node.id("orgUnitId")?,
                signed: false,
                state: NodeState::default(),
                internal: None,
            },
        });
    }
    if !paid {
        let text = NOBODY_PAYS.text(company.language(), &[]);
        return Err(Error::refused(Code::NotPaid, text));
    }
    Ok(all)
}

/// True if a company has to sign: by `isSignRequiredByCounterparty`, else by the guide's `requiredActionType`.
fn sign_required(node: &Fields<'_>) -> Result<bool> {
    if let Some(required) = node.flag("isSignRequiredByCounterparty")? {
        return Ok(required);
    }
    if node
        .get("requiredActionType")
        .and_then(Value::as_str)
        .is_some_and(|word| word.eq_ignore_ascii_case("signature"))
    {
        return Ok(true);
    }
    let action = node.word::<Action>("requiredActionType")?;
    if action == Some(Action::Reject) {
        return Err(node.fault("requiredActionType", &NO_DEMAND, &[]));
    }
    Ok(action.is_none_or(|action| action == Action::Sign))
}

impl Addressee {
    /// The node with the id of its company. A company that is not registered yet needs an e-mail address.
    fn recipient(&self, conn: &mut Conn, company: &Company) -> Result<Recipient> {
        let mut node = self.node.clone();
        let known = workspace::find_by_bin(conn, &self.bin)?;
        node.party.company = match known {
            Some(known) => known.id,
            None if node.emails.is_empty() => {
                let text = UNKNOWN.text(company.language(), &[&self.path, &self.bin]);
                return Err(Error::invalid(self.path.as_str(), text));
            }
            None => workspace::awaited_id(conn, &self.bin)?,
        };
        Ok(node)
    }
}

fn need_nodes(fields: &Fields<'_>) -> Result<Internal> {
    let internal = read_internal(fields)?;
    if internal.nodes.is_empty() {
        return Err(fields.fault("nodes", &NO_NODES, &[]));
    }
    Ok(internal)
}

fn read_internal(fields: &Fields<'_>) -> Result<Internal> {
    let nodes = fields.objects("nodes")?;
    if nodes.len() > MAX_NODES {
        return Err(fields.fault("nodes", &TOO_MANY, &[&MAX_NODES.to_string()]));
    }
    let nodes = nodes.iter().map(|node| {
        let action = node.need_word("requiredAction")?;
        if action == Action::Reject {
            return Err(node.fault("requiredAction", &NO_DEMAND, &[]));
        }
        Ok(ActionNode {
            order: order(node)?,
            employee: UserId(node.need_id("employeeId")?),
            action,
            state: NodeState::default(),
        })
    });
    Ok(Internal {
        ordering: fields
            .word("routeActionOrderingType")?
            .unwrap_or(Ordering::None),
        nodes: nodes.collect::<Result<_>>()?,
    })
}

fn order(node: &Fields<'_>) -> Result<i32> {
    let order = node.int("order")?.unwrap_or(0);
    i32::try_from(order).map_err(|_| node.fault("order", &BAD_ORDER, &[]))
}

/// Refuses a route with an employee who is not in the company or lacks the permission for the action.
fn check_employees(conn: &mut Conn, company: &Company, internal: Option<&Internal>) -> Result<()> {
    let nodes = internal.into_iter().flat_map(|internal| &internal.nodes);
    for node in nodes {
        let found = employee(conn, company.id(), node.employee.0)?;
        let Some(found) = found else {
            let text = NO_EMPLOYEE.text(company.language(), &[&node.employee.to_string()]);
            return Err(Error::refused(Code::NotPermitted, text));
        };
        // A node whose employee may not act would hold the document forever.
        if let Some(needed) = node.action.permission()
            && !found.may(needed)
        {
            return Err(company.forbid(&NOT_PERMITTED, &[found.name(), needed]));
        }
    }
    Ok(())
}

fn is_email(text: &str) -> bool {
    let parts = text.split_once('@');
    text.len() <= 254
        && !text.chars().any(|c| c.is_whitespace() || c.is_control())
        && parts.is_some_and(|(name, host)| {
            !name.is_empty() && host.contains('.') && !host.starts_with('.') && !host.ends_with('.')
        })
}

const NO_NODES: Localized = Localized::new(
    "Поле {} должно содержать хотя бы один узел.",
    "{} өрісінде кемінде бір түйін болуы керек.",
    "The field {} must have at least one node.",
);
const TOO_MANY: Localized = Localized::new(
    "Поле {} содержит больше {} узлов.",
    "{} өрісінде {} түйіннен көп.",
    "The field {} has more than {} nodes.",
);
const OWN_BIN: Localized = Localized::new(
    "Поле {}: нельзя отправить документ самому себе.",
    "{} өрісі: құжатты өзіңізге жіберуге болмайды.",
    "The field {}: a document cannot be sent to oneself.",
);
const TWICE: Localized = Localized::new(
    "Поле {}: контрагент {} указан дважды.",
    "{} өрісі: {} контрагенті екі рет көрсетілген.",
    "The field {}: the counterparty {} is named twice.",
);
const BAD_EMAIL: Localized = Localized::new(
    "Поле {} должно быть адресом электронной почты.",
    "{} өрісі электрондық пошта мекенжайы болуы керек.",
    "The field {} must be an e-mail address.",
);
const UNKNOWN: Localized = Localized::new(
    "Поле {}: компания {} здесь не зарегистрирована, укажите её адрес в counterpartyEmails.",
    "{} өрісі: {} компаниясы мұнда тіркелмеген, counterpartyEmails ішінде мекенжайын көрсетіңіз.",
    "The field {}: the company {} is not registered here, name its address in counterpartyEmails.",
);
const NO_DEMAND: Localized = Localized::new(
    "Поле {}: REJECT нельзя требовать.",
    "{} өрісі: REJECT талап етуге болмайды.",
    "The field {}: REJECT cannot be demanded.",
);
const BAD_ORDER: Localized = Localized::new(
    "Поле {} слишком велико.",
    "{} өрісі тым үлкен.",
    "The field {} is too large.",
);
const NO_EMPLOYEE: Localized = Localized::new(
    "Сотрудник {} из маршрута не найден в компании.",
    "Бағыттағы {} қызметкері компанияда табылмады.",
    "The employee {} of the route is not one of the company.",
);
const NOBODY_PAYS: Localized = Localized::new(
    "Не указан плательщик: ни isSenderPayer, ни isPayer.",
    "Төлеуші көрсетілмеген: isSenderPayer де, isPayer де жоқ.",
    "Nobody pays: neither isSenderPayer nor isPayer is set.",
);
