//! Routes: the companies that receive a document, and the employees who act on it
//! (`docs/contracts/idocs.md §1.3, §1.8, §1.2` rows 4, 5, 9 and 20).

use std::collections::BTreeSet;

use prichal_core::{
    document::{
        Action, ActionNode, Internal, NewRoute as Route, NodeState, Operation as Step, Ordering,
        Party, Recipient, limits::MAX_NODES,
    },
    id::{UserId, WorkspaceId},
};
use prichal_store::{Conn, workspace};
use serde::Serialize;
use serde_json::Value;
use utoipa::openapi::{KnownFormat, RefOr, Schema, SchemaFormat};
use uuid::Uuid;

use super::{
    answer::EmptyResponse,
    caller::{Company, NOT_PERMITTED, employee},
    language::Localized,
    member::{Bin, Content, Counted, Deferred, Element, List, Text, bodies, one_of, text},
    prepared::{Prepared, lock_document, performer, refused},
    read::Fields,
};
use crate::{
    domain::document::record,
    error::{Code, Error, Result},
};

bodies! {
    /// The full route of an outgoing document: first its own employees act, then the companies.
    pub(super) struct NewRoute as CreateRouteForExternalOutboxDocumentVM {
        /// The document.
        document: Uuid = "documentId";
        /// The employee who sets the route.
        employee: Uuid = "employeeId";
        /// The route.
        route: FullRoute = "route";
    }

    /// The companies and employees of a route.
    pub(super) struct FullRoute as CreateFullRouteVM {
        /// The companies that receive the document.
        external: ExternalRoute = "external";
        /// The employees who act before the document is sent.
        internal: Option<InternalRoute> = "internal";
    }

    /// The quick route of an outgoing document, which is sent when the sender signs it.
    pub(super) struct NewQuickRoute as CreateQuickRouteForExternalOutboxDocumentVM {
        /// The document.
        document: Uuid = "documentId";
        /// The employee who sets the route.
        employee: Uuid = "employeeId";
        /// The route.
        route: QuickRoute = "route";
    }

    /// The companies of a quick route.
    pub(super) struct QuickRoute as CreateQuickRouteVM {
        /// The companies that receive the document.
        external: ExternalRoute = "external";
    }

    /// The route of an incoming document through the company's employees.
    pub(super) struct NewInboxRoute as CreateRouteForExternalInboxDocumentVM {
        /// The document.
        document: Uuid = "documentId";
        /// The employee who sets the route.
        employee: Uuid = "employeeId";
        /// The route.
        route: InboxRoute = "route";
    }

    /// The employees of an incoming document's route.
    pub(super) struct InboxRoute as CreateInboxRouteVM {
        /// The employees who act.
        internal: EmployeesRoute = "internal";
    }

    /// The route of an internal document.
    pub(super) struct NewInternalRoute as CreateRouteForInternalDocumentVM {
        /// The document.
        document: Uuid = "documentId";
        /// The employee who sets the route.
        employee: Uuid = "employeeId";
        /// The employees who act.
        nodes: List<InternalNode, 1, MAX_NODES> = "nodes";
        /// The order in which they act, by default `NONE`: all at once.
        ordering: Option<Ordering> = "routeActionOrderingType";
    }

    /// The companies that receive a document.
    pub(super) struct ExternalRoute as CreateExternalRouteVM {
        /// The companies. One that is not registered here needs an e-mail address.
        nodes: List<ExternalNode, 1, MAX_NODES> = "nodes";
        /// The order in which they receive the document, by default `NONE`: all at once.
        ordering: Option<Ordering> = "routeOrderType";
        /// True if the sender has to sign. By default true in a quick route, and false in a full one.
        sign_by_sender: Option<bool> = "isSignRequiredBySender";
        /// False if the sender does not pay. By default it does.
        sender_pays: Option<bool> = "isSenderPayer";
    }

    /// A company that receives a document.
    pub(super) struct ExternalNode as CreateExternalRouteNodeVM {
        /// The place in the order, by default 0.
        order: Option<i32> = "order", 0;
        /// The BIN of the company, or the IIN of a person.
        bin: Bin = "counterpartyBin";
        /// A comment for the company.
        comment: Option<Text<1000>> = "comment", "string";
        /// True for a person.
        individual: Option<bool> = "isIndividual", false;
        /// The addresses at which the company can be reached.
        emails: Vec<Email> = "counterpartyEmails", ["partner@example.kz"];
        /// True if the company has to sign.
        required: Option<bool> = "isSignRequiredByCounterparty";
        /// The action of the company if `isSignRequiredByCounterparty` is absent. By default it has to sign.
        action: Deferred<Option<Demand>> = "requiredActionType", "SIGN";
        /// The unit of the company.
        org_unit: Option<Uuid> = "orgUnitId";
        /// True if the company pays.
        pays: Option<bool> = "isPayer";
    }

    /// Employees who act on an outgoing document before it is sent.
    pub(super) struct InternalRoute as CreateInternalRouteVM {
        /// The employees.
        nodes: List<InternalNode, 0, MAX_NODES> = "nodes";
        /// The order in which they act, by default `NONE`: all at once.
        ordering: Option<Ordering> = "routeActionOrderingType";
    }

    /// Employees who act on an incoming document.
    pub(super) struct EmployeesRoute as CreateInboxInternalRouteVM {
        /// The employees.
        nodes: List<InternalNode, 1, MAX_NODES> = "nodes";
        /// The order in which they act, by default `NONE`: all at once.
        ordering: Option<Ordering> = "routeActionOrderingType";
    }

    /// An employee who acts.
    pub(super) struct InternalNode as CreateInternalRouteNodeVM {
        /// The action of the employee.
        action: Task = "requiredAction", "APPROVE";
        /// The place in the order, by default 0.
        order: Option<i32> = "order", 0;
        /// The employee.
        employee: Uuid = "employeeId";
    }
}

impl Counted for ExternalNode {
    const NONE: &'static Localized = &NO_NODES;
    const TOO_MANY: &'static Localized = &TOO_MANY;
}

impl Counted for InternalNode {
    const NONE: &'static Localized = &NO_NODES;
    const TOO_MANY: &'static Localized = &TOO_MANY;
}

/// An e-mail address.
pub(super) struct Email(String);

impl Element for Email {
    fn read(fields: &Fields<'_>, name: &str, value: &Value) -> Result<Self> {
        let email = value.as_str().filter(|email| is_email(email));
        let email = email.ok_or_else(|| fields.fault(name, &BAD_EMAIL, &[]))?;
        Ok(Self(email.to_owned()))
    }

    fn schema() -> RefOr<Schema> {
        text()
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Email)))
            .into()
    }
}

/// The actions that a node can demand.
const DEMANDS: [&str; 3] = [
    Action::Sign.name(),
    Action::Approve.name(),
    Action::Inform.name(),
];

/// The action that a node of an internal route demands.
pub(super) struct Task(Action);

impl Content for Task {
    fn find(fields: &Fields<'_>, name: &str) -> Result<Option<Self>> {
        let action = fields.word(name)?;
        if action == Some(Action::Reject) {
            return Err(fields.fault(name, &NO_DEMAND, &[]));
        }
        Ok(action.map(Self))
    }

    fn schema() -> RefOr<Schema> {
        one_of(DEMANDS).into()
    }
}

/// The action that the guide demands of a company. It also calls the signature by its noun.
pub(super) struct Demand(Action);

impl Content for Demand {
    fn find(fields: &Fields<'_>, name: &str) -> Result<Option<Self>> {
        let word = fields.get(name).and_then(Value::as_str);
        if word.is_some_and(|word| word.eq_ignore_ascii_case(SIGNATURE)) {
            return Ok(Some(Self(Action::Sign)));
        }
        Ok(Task::find(fields, name)?.map(|Task(action)| Self(action)))
    }

    fn schema() -> RefOr<Schema> {
        one_of(DEMANDS.into_iter().chain([SIGNATURE])).into()
    }
}

/// The word for [`Action::Sign`] in the guide.
const SIGNATURE: &str = "Signature";

pub(super) fn outbox(company: &Company, new: NewRoute) -> Result<Prepared<EmptyResponse>> {
    let internal = new
        .route
        .internal
        .map(|route| internal_route(route.nodes.0, route.ordering));
    let route = Outgoing::read(company, new.route.external, false)?;
    let internal = internal.filter(|internal| !internal.nodes.is_empty());
    let request = RouteRequest {
        document: new.document,
        employee: new.employee,
    };
    Ok(apply(company, request, move |conn, company| {
        let mut route = route.find(conn, company)?;
        check_employees(conn, company, internal.as_ref())?;
        route.internal.clone_from(&internal);
        Ok(Step::Route(route))
    }))
}

pub(super) fn quick(company: &Company, new: NewQuickRoute) -> Result<Prepared<()>> {
    let route = Outgoing::read(company, new.route.external, true)?;
    let request = RouteRequest {
        document: new.document,
        employee: new.employee,
    };
    Ok(apply(company, request, move |conn, company| {
        Ok(Step::QuickRoute(route.find(conn, company)?))
    }))
}

pub(super) fn inbox(company: &Company, new: NewInboxRoute) -> Prepared<EmptyResponse> {
    let EmployeesRoute { nodes, ordering } = new.route.internal;
    let internal = internal_route(nodes.0, ordering);
    let request = RouteRequest {
        document: new.document,
        employee: new.employee,
    };
    apply(company, request, move |conn, company| {
        check_employees(conn, company, Some(&internal))?;
        Ok(Step::InboxRoute(internal.clone()))
    })
}

pub(super) fn internal(company: &Company, new: NewInternalRoute) -> Prepared<EmptyResponse> {
    let internal = internal_route(new.nodes.0, new.ordering);
    let request = RouteRequest {
        document: new.document,
        employee: new.employee,
    };
    apply(company, request, move |conn, company| {
        check_employees(conn, company, Some(&internal))?;
        Ok(Step::InternalRoute(internal.clone()))
    })
}

/// The document that gets a route, and the employee who sets it.
#[derive(Clone, Copy)]
struct RouteRequest {
    document: Uuid,
    employee: Uuid,
}

/// Prepares a step whose parts are read in the transaction.
fn apply<A: Default + Serialize>(
    company: &Company,
    request: RouteRequest,
    step: impl Fn(&mut Conn, &Company) -> Result<Step> + Send + 'static,
) -> Prepared<A> {
    let company = company.clone();
    Prepared::new(move |tx| {
        let employee = company.employee(tx.conn()?, request.employee, "ROUTE_CREATE")?;
        let mut document = lock_document(tx, &company, request.document)?;
        let step = step(tx.conn()?, &company)?;
        let before = document.clone();
        let changes = document
            .apply(company.actor(&employee), step, company.now.secs())
            .map_err(|refusal| refused(&company, request.document, refusal))?;
        let performer = performer(&company, &employee);
        record::update(tx, &document, &changes, &performer)?;
        let known = before.route.is_some() && before.sender.company == company.id();
        record::tell_route(tx, &document, known.then_some(&before), &performer);
        Ok(A::default())
    })
}

/// A route to other companies, whose ids are not known yet.
struct Outgoing {
    ordering: Ordering,
    sign_by_sender: bool,
    addressees: Vec<Addressee>,
}

/// A receiving company as the request names it.
struct Addressee {
    bin: Bin,
    node: Recipient,
}

impl Outgoing {
    fn read(company: &Company, route: ExternalRoute, quick: bool) -> Result<Self> {
        let mut paid = route.sender_pays.unwrap_or(true);
        let (mut addressees, mut seen) = (Vec::new(), BTreeSet::new());
        for node in route.nodes.0 {
            paid |= node.pays.unwrap_or(false);
            let Bin { digits, path } = &node.bin;
            let refuse = |wording, args: &[&str]| company.reading().fault(path, wording, args);
            if digits == company.bin() {
                return Err(refuse(&OWN_BIN, &[]));
            }
            if !seen.insert(digits.clone()) {
                return Err(refuse(&TWICE, &[digits]));
            }
            addressees.push(Addressee::read(node)?);
        }
        if !paid {
            let text = NOBODY_PAYS.text(company.language(), &[]);
            return Err(Error::refused(Code::NotPaid, text));
        }
        Ok(Self {
            ordering: route.ordering.unwrap_or(Ordering::None),
            sign_by_sender: route.sign_by_sender.unwrap_or(quick),
            addressees,
        })
    }

    /// The route with the ids of its companies.
    fn find(&self, conn: &mut Conn, company: &Company) -> Result<Route> {
        let recipients = self.addressees.iter();
        Ok(Route {
            ordering: self.ordering,
            sign_by_sender: self.sign_by_sender,
            recipients: recipients
                .map(|addressee| addressee.recipient(conn, company))
                .collect::<Result<_>>()?,
            internal: None,
        })
    }
}

impl Addressee {
    fn read(node: ExternalNode) -> Result<Self> {
        let sign_required = match node.required {
            Some(required) => required,
            None => node
                .action
                .0?
                .is_none_or(|Demand(action)| action == Action::Sign),
        };
        let node_of = |bin: &Bin| Recipient {
            order: node.order.unwrap_or(0),
            party: Party {
                company: WorkspaceId(Uuid::nil()),
                bin: bin.digits.clone(),
            },
            comment: node.comment.map(|Text(comment)| comment),
            individual: node.individual.unwrap_or(false),
            emails: node.emails.into_iter().map(|Email(email)| email).collect(),
            sign_required,
            org_unit: node.org_unit,
            signed: false,
            state: NodeState::default(),
            internal: None,
        };
        Ok(Self {
            node: node_of(&node.bin),
            bin: node.bin,
        })
    }

    /// The node with the id of its company. A company that is not registered yet needs an e-mail address.
    fn recipient(&self, conn: &mut Conn, company: &Company) -> Result<Recipient> {
        let mut node = self.node.clone();
        let Bin { digits, path } = &self.bin;
        let known = workspace::find_by_bin(conn, digits)?;
        node.party.company = match known {
            Some(known) => known.id,
            None if node.emails.is_empty() => {
                return Err(company.reading().fault(path, &UNKNOWN, &[digits]));
            }
            None => workspace::awaited_id(conn, digits)?,
        };
        Ok(node)
    }
}

fn internal_route(nodes: Vec<InternalNode>, ordering: Option<Ordering>) -> Internal {
    let nodes = nodes.into_iter().map(|node| ActionNode {
        order: node.order.unwrap_or(0),
        employee: UserId(node.employee),
        action: node.action.0,
        state: NodeState::default(),
    });
    Internal {
        ordering: ordering.unwrap_or(Ordering::None),
        nodes: nodes.collect(),
    }
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
