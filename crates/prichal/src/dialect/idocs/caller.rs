//! Who calls `/api/v3`: the token says which company it is, the body which employee acts.

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
use uuid::Uuid;

use super::{
    error_response::{PERMISSION_ERROR, VALIDATION_ERROR},
    language::{Language, Localized},
};
use crate::{
    app::App,
    error::{Error, Result},
    http::{extract::bearer, idempotency::Asking},
    platform::{
        Platform,
        access::{self, Caller},
        memory::Payer,
        writes,
    },
};

/// The number of employees that are looked through for one who stands for the company.
const MAX_EMPLOYEES: i64 = 1000;

/// A company that asks for something.
#[derive(Clone)]
pub struct Company {
    pub(super) app: App,
    pub(super) workspace: Arc<Workspace>,
    pub(super) requester: Requester,
    /// When the request was taken on: the time of all it does.
    pub(super) now: Timestamp,
}

/// Who asks, as bulk calls remember it.
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
            admin: token.role == Role::Admin,
            language,
        }
    }
}

impl Company {
    pub(super) fn id(&self) -> WorkspaceId {
        self.workspace.id
    }

    /// Its business identification number. A company without one is refused before.
    pub(super) fn bin(&self) -> &str {
        self.workspace.bin.as_deref().unwrap_or_default()
    }

    pub(super) fn language(&self) -> Language {
        self.requester.language
    }

    /// Refuses because of a rule.
    pub(super) fn refuse(&self, wording: &Localized, args: &[&str]) -> Error {
        Error::refused(VALIDATION_ERROR, wording.text(self.language(), args))
    }

    /// Refuses because somebody may not do it.
    pub(super) fn forbid(&self, wording: &Localized, args: &[&str]) -> Error {
        Error::refused(PERMISSION_ERROR, wording.text(self.language(), args))
    }

    /// An employee who is named, and may do it.
    pub(super) fn employee(&self, conn: &mut Conn, id: Uuid, permission: &str) -> Result<Employee> {
        // The token of one employee stands for no other, and a member's token without one for nobody.
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

    /// The employee that the token stands for.
    fn user(&self, permission: &str) -> Result<UserId> {
        let user = self.requester.user;
        user.ok_or_else(|| self.forbid(&NOBODY, &[permission]))
    }

    /// The employee who is named, or the one that the token stands for; for an administrator's token that
    /// stands for none, the first head.
    pub(super) fn employee_or_default(
        &self,
        conn: &mut Conn,
        id: Option<Uuid>,
        permission: &str,
    ) -> Result<Employee> {
        if let Some(id) = id.or(self.requester.user.map(|user| user.0)) {
            return self.employee(conn, id, permission);
        }
        if !self.requester.admin {
            return Err(self.forbid(&NOBODY, &[permission]));
        }
        let default = self.first_employee(conn)?;
        default.ok_or_else(|| self.forbid(&NO_EMPLOYEES, &[]))
    }

    /// The first administrator among the first thousand employees, else the first of them.
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

    /// Whether the caller may do what no employee is named for.
    pub(super) fn require(&self, conn: &mut Conn, permission: &str) -> Result<()> {
        if self.requester.admin && self.requester.user.is_none() {
            return Ok(());
        }
        let user = self.user(permission)?;
        self.employee(conn, user.0, permission).map(drop)
    }

    /// Refuses a caller who may not do what an employee may be named for: an administrator's token acts for anybody
    /// who may, a member's for its own employee; where none is named, each for its own.
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

    /// The same as [`Self::require`] before anything else is looked at.
    pub(super) async fn may(&self, permission: &'static str) -> Result<()> {
        let company = self.clone();
        let look = move |conn: &mut Conn| company.require(conn, permission);
        self.app.db.read(look).await
    }

    pub(super) fn actor(&self, employee: &Employee) -> Actor {
        Actor {
            company: self.id(),
            employee: employee.id,
        }
    }

    /// The actor as the other side sees him.
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
        access::token_identity(self.requester.token)
    }

    fn now(&self) -> Timestamp {
        self.now
    }
}

impl FromRequestParts<App> for Company {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let token = bearer(&parts.headers).ok_or(Error::Unauthenticated)?;
        let caller = access::by_token(app, token)
            .await?
            .ok_or(Error::Unauthenticated)?;
        let Caller::Token(token) = &caller else {
            return Err(Error::Forbidden("The token of a company is required"));
        };
        Payer::name(&parts.extensions, Some(token.workspace), token.id.0);
        let requester = Requester::of(token, Language::of(&parts.headers));
        let company = Self::find(app, token.workspace, requester).await?;
        tracing::Span::current().record("workspace", tracing::field::display(company.id()));
        if !parts.method.is_safe() && !only_reads(parts) {
            writes::admit(app, company.id())?;
        }
        Ok(company)
    }
}

impl Company {
    /// The company of whoever has asked for something earlier, with the rights that his token has now. A token
    /// that is good for nothing any more asks for nothing.
    pub(super) async fn restore(
        app: &App,
        workspace: WorkspaceId,
        requester: Requester,
    ) -> Result<Self> {
        let Requester {
            token, language, ..
        } = requester;
        let look = move |conn: &mut Conn| token::find(conn, workspace, token);
        let token = app.db.read(look).await?;
        let token = token.filter(|token| token.is_good(app.clock.now()));
        let token = token.ok_or(Error::Unauthenticated)?;
        Self::find(app, workspace, Requester::of(&token, language)).await
    }

    /// The company of a workspace, with whoever asks for it.
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

/// The calls that only read, although they are POSTs; the companions of bulk calls are, too.
const READ_ONLY_CALLS: [&str; 7] = [
    "/api/v3/sync/external/documents-query/outbox",
    "/api/v3/sync/external/documents-query/inbox",
    "/api/v3/sync/references/company-employees",
    "/api/v3/sync/references/company-token",
    "/api/v3/sync/references/counterparties/check",
    "/api/v3/sync/signature/verify",
    "/api/v3/sync/bulk/operations",
];

/// Tells whether a request only reads, by the call that it is.
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

/// An employee of a company who has not left.
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
