//! The caller of `/api/v3`: the token names the company, the body the employee who acts.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, MatchedPath},
    http::request::Parts,
};
use prichal_core::{
    document::{Actor, snapshot::ChangeAuthor},
    entity::Employee as Facts,
    event::EntityKind,
    id::{EntityId, TokenId, UserId, WorkspaceId},
    time::Timestamp,
};
use prichal_store::{
    Conn, entity,
    token::{self, Role, Token},
    workspace::Workspace,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{
    language::{Language, Localized},
    member::Body,
    read::{Fields, Reading},
};
use crate::{
    app::App,
    error::{Code, Error, Result},
    http::{extract::bearer, idempotency::Asking},
    platform::{
        Platform,
        access::{self, Caller, Permitted},
        memory::Payer,
        quota, writes,
    },
};

/// The maximum number of employees among whom an employee to act for the company is searched.
const MAX_EMPLOYEES: i64 = 1000;

/// The company that sends a request.
#[derive(Clone)]
pub struct Company {
    pub(super) app: App,
    pub(super) workspace: Arc<Workspace>,
    pub(super) requester: Requester,
    /// The time of the request, and of all that it writes.
    pub(super) now: Timestamp,
}

/// The token behind a request, in the form in which bulk elements store it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Requester {
    pub(super) token: TokenId,
    pub(super) user: Option<UserId>,
    pub(super) admin: bool,
    pub(super) language: Language,
}

impl Requester {
    fn of(token: &Token, language: Language) -> Self {
        Self {
            token: token.id,
            user: token.user,
            // A viewer's requests only read.
            admin: matches!(token.role, Role::Admin | Role::Viewer),
            language,
        }
    }
}

impl Company {
    pub(super) fn id(&self) -> WorkspaceId {
        self.workspace.id
    }

    /// The company's business identification number. A workspace without one is refused earlier.
    pub(super) fn bin(&self) -> &str {
        self.workspace.bin.as_deref().unwrap_or_default()
    }

    pub(super) fn language(&self) -> Language {
        self.requester.language
    }

    /// The rules by which the bodies of the company are read.
    pub(super) fn reading(&self) -> Reading {
        Reading {
            language: self.language(),
            identifiers: self.app.config.identifier_check,
        }
    }

    /// Reads a body.
    pub(super) fn read<B: Body>(&self, body: &Value) -> Result<B> {
        B::read(&Fields::of(body, self.reading())?)
    }

    /// The refusal of a request that breaks a rule.
    pub(super) fn refuse(&self, wording: &Localized, args: &[&str]) -> Error {
        Error::refused(Code::InvalidValue, wording.text(self.language(), args))
    }

    /// The refusal of a caller or an employee who lacks a right.
    pub(super) fn forbid(&self, wording: &Localized, args: &[&str]) -> Error {
        Error::refused(Code::NotPermitted, wording.text(self.language(), args))
    }

    /// Finds the employee with this id, and refuses one who lacks the permission.
    pub(super) fn employee(&self, conn: &mut Conn, id: Uuid, permission: &str) -> Result<Employee> {
        // An employee's token acts for no other employee; a member's token without an employee acts for nobody.
        if !self.requester.admin && self.user(permission)?.0 != id {
            return Err(self.forbid(&SOMEBODY_ELSE, &[&id.to_string()]));
        }
        let found = employee(conn, self.id(), id)?;
        let found = found.ok_or_else(|| self.forbid(&NO_EMPLOYEE, &[&id.to_string()]))?;
        if !found.may(permission) {
            return Err(self.forbid(&NOT_PERMITTED, &[found.name(), permission]));
        }
        Ok(found)
    }

    /// The employee of the token.
    fn user(&self, permission: &str) -> Result<UserId> {
        let user = self.requester.user;
        user.ok_or_else(|| self.forbid(&NOBODY, &[permission]))
    }

    /// Finds the employee with this id; without an id, the token's; for an administrator's token without one, the
    /// first administrator of the company.
    pub(super) fn employee_or_default(
        &self,
        conn: &mut Conn,
        id: Option<Uuid>,
        permission: &str,
    ) -> Result<Employee> {
        let found = self.acting(conn, id, permission)?;
        found.ok_or_else(|| self.forbid(&NO_EMPLOYEES, &[]))
    }

    /// The same, but `None` in a company without employees.
    pub(super) fn acting(
        &self,
        conn: &mut Conn,
        id: Option<Uuid>,
        permission: &str,
    ) -> Result<Option<Employee>> {
        if let Some(id) = id.or(self.requester.user.map(|user| user.0)) {
            return self.employee(conn, id, permission).map(Some);
        }
        if !self.requester.admin {
            return Err(self.forbid(&NOBODY, &[permission]));
        }
        self.first_employee(conn)
    }

    /// The first administrator among the first thousand employees, else the first employee.
    fn first_employee(&self, conn: &mut Conn) -> Result<Option<Employee>> {
        let (mut first, mut seen) = (None, 0);
        while seen < MAX_EMPLOYEES {
            let (_, users) = entity::list(
                conn,
                self.id(),
                EntityKind::User,
                seen,
                MAX_EMPLOYEES - seen,
            )?;
            if users.is_empty() {
                break;
            }
            seen += i64::try_from(users.len()).map_err(Error::internal)?;
            for user in users.iter().filter_map(Employee::read) {
                if user.facts.is_admin == Some(true) {
                    return Ok(Some(user));
                }
                first.get_or_insert(user);
            }
        }
        Ok(first)
    }

    /// Refuses a caller who lacks the permission, for requests that name no employee.
    pub(super) fn require(&self, conn: &mut Conn, permission: &str) -> Result<()> {
        if self.requester.admin && self.requester.user.is_none() {
            return Ok(());
        }
        let user = self.user(permission)?;
        self.employee(conn, user.0, permission).map(drop)
    }

    /// Refuses a caller who lacks the permission, for requests that may name an employee. An administrator's token may
    /// act for any employee with the permission, a member's for its own only.
    pub(super) fn require_of(
        &self,
        conn: &mut Conn,
        named: Option<Uuid>,
        permission: &str,
    ) -> Result<()> {
        if !self.requester.admin || named.is_none() {
            self.require(conn, permission)?;
        }
        match named {
            Some(id) => self.employee(conn, id, permission).map(drop),
            None => Ok(()),
        }
    }

    /// The check of [`Self::require`] in a read of its own.
    pub(super) async fn may(&self, permission: &'static str) -> Result<()> {
        self.may_for(None, permission).await
    }

    /// The check of [`Self::require_of`] in a read of its own, or by one that is at most a second old: the write that
    /// follows checks its employee itself.
    pub(super) async fn may_for(
        &self,
        employee: Option<Uuid>,
        permission: &'static str,
    ) -> Result<()> {
        let permitted = Permitted {
            token: self.requester.token,
            employee,
            permission,
        };
        let now = self.app.clock.now();
        if self.app.access.is_permitted(&permitted, now) {
            return Ok(());
        }
        let company = self.clone();
        let look = move |conn: &mut Conn| company.require_of(conn, employee, permission);
        self.app.db.read(look).await?;
        self.app.access.note_permitted(permitted, now);
        Ok(())
    }

    pub(super) fn actor(&self, employee: &Employee) -> Actor {
        Actor {
            company: self.id(),
            employee: employee.id,
        }
    }

    /// The employee as the author of a change, for the other company.
    pub(super) fn change_author(&self, employee: &Employee) -> ChangeAuthor {
        ChangeAuthor {
            bin: self.bin().to_owned(),
            employee: employee.id.0,
        }
    }
}

impl Asking for Company {
    fn app(&self) -> &Platform {
        &self.app
    }

    fn workspace_id(&self) -> WorkspaceId {
        self.workspace.id
    }

    fn identity(&self) -> String {
        token::identity(self.requester.token)
    }

    fn now(&self) -> Timestamp {
        self.now
    }
}

impl FromRequestParts<App> for Company {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let caller = access::of_request(app, &parts.extensions, bearer(&parts.headers)).await?;
        let Caller::Token(token) = &caller else {
            return Err(Error::Forbidden("The token of a company is required"));
        };
        if token.role == Role::Integrator {
            return Err(Error::Forbidden("An integrator has no part in documents"));
        }
        let only_reads = parts.method.is_safe() || only_reads(parts);
        access::permit(&caller, only_reads)?;
        Payer::name(&parts.extensions, Some(token.workspace), token.id.0);
        quota::admit_request(app, token.workspace, &caller, &[]).await?;
        let requester = Requester::of(token, Language::of(&parts.headers));
        let company = Self::find(app, token.workspace, requester).await?;
        tracing::Span::current().record("workspace", tracing::field::display(company.id()));
        if !only_reads {
            writes::admit(app, company.id())?;
        }
        Ok(company)
    }
}

impl Company {
    /// Restores the company of an earlier request, with the present rights of its token. Refuses a token that is no
    /// longer valid.
    pub(super) async fn restore(
        app: &App,
        workspace: WorkspaceId,
        requester: Requester,
    ) -> Result<Self> {
        let Requester {
            token, language, ..
        } = requester;
        let token = access::find_token(app, workspace, token).await?;
        let token = token.ok_or(Error::Unauthenticated)?;
        Self::find(app, workspace, Requester::of(&token, language)).await
    }

    /// The company of a workspace, for a requester.
    async fn find(app: &App, workspace: WorkspaceId, requester: Requester) -> Result<Self> {
        let found = access::find_workspace(app, &workspace.to_string()).await?;
        let workspace = found.ok_or(Error::Unauthenticated)?;
        if workspace.bin.is_none() {
            return Err(Error::Forbidden("The workspace has no BIN"));
        }
        Ok(Self {
            app: app.clone(),
            workspace,
            requester,
            now: app.clock.now(),
        })
    }
}

/// The POSTs that only read, in addition to the companions of bulk calls.
const READ_ONLY_CALLS: [&str; 7] = [
    "/api/v3/sync/external/documents-query/outbox",
    "/api/v3/sync/external/documents-query/inbox",
    "/api/v3/sync/references/company-employees",
    "/api/v3/sync/references/company-token",
    "/api/v3/sync/references/counterparties/check",
    "/api/v3/sync/signature/verify",
    "/api/v3/sync/bulk/operations",
];

/// True for a call that writes nothing.
fn only_reads(parts: &Parts) -> bool {
    let path = parts.extensions.get::<MatchedPath>();
    let path = path.map(MatchedPath::as_str).unwrap_or_default();
    path.ends_with("/status") || READ_ONLY_CALLS.contains(&path)
}

/// A user of a workspace as an employee of its company.
#[derive(Clone, Debug)]
pub(super) struct Employee {
    pub(super) id: UserId,
    pub(super) facts: Facts,
    pub(super) created_at: Timestamp,
}

impl Employee {
    pub(super) fn read(row: &entity::Entity) -> Option<Self> {
        Some(Self {
            id: UserId(row.id.0),
            facts: Facts::read(&row.members)?,
            created_at: row.update_info.created_at,
        })
    }

    pub(super) fn name(&self) -> &str {
        self.facts.name.as_deref().unwrap_or_default()
    }

    pub(super) fn iin(&self) -> Option<&str> {
        self.facts.iin.as_deref().filter(|iin| !iin.is_empty())
    }

    pub(super) fn may(&self, permission: &str) -> bool {
        self.facts.may(permission)
    }
}

/// Finds an employee who has not left the company.
pub(super) fn employee(
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: Uuid,
) -> Result<Option<Employee>> {
    let found = entity::find(conn, workspace, EntityKind::User, EntityId(id))?;
    Ok(found
        .filter(|row| row.deleted_at.is_none())
        .as_ref()
        .and_then(Employee::read))
}

const NO_EMPLOYEE: Localized = Localized::new(
    "Сотрудник {} не найден в компании.",
    "{} қызметкері компанияда табылмады.",
    "The employee {} is not one of the company.",
);
const SOMEBODY_ELSE: Localized = Localized::new(
    "Токен выдан другому сотруднику, не {}.",
    "Токен {} емес, басқа қызметкерге берілген.",
    "The token is another employee's, not that of {}.",
);
const NOBODY: Localized = Localized::new(
    "Токен не принадлежит сотруднику, поэтому права {} у него нет.",
    "Токен қызметкерге тиесілі емес, сондықтан оның {} құқығы жоқ.",
    "The token stands for no employee, so it lacks the permission {}.",
);
const NO_EMPLOYEES: Localized = Localized::new(
    "В компании нет сотрудников.",
    "Компанияда қызметкерлер жоқ.",
    "The company has no employees.",
);
pub(super) const NOT_PERMITTED: Localized = Localized::new(
    "У сотрудника {} нет права {}.",
    "{} қызметкерінде {} құқығы жоқ.",
    "The employee {} lacks the permission {}.",
);
