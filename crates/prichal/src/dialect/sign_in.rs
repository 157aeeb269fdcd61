//! The bodies of links to sign in at the console and of sessions, which the administration and the API of a workspace share.

use prichal_core::{
    id::{IntegrationId, UserId, WorkspaceId},
    names,
    schema::{Field, Object, Type, Words},
};
use prichal_store::{
    session::Session,
    token::{Role, Token},
};
use serde::Serialize;
use serde_json::Value;
use utoipa::{ToSchema, openapi::Object as Schema};

use crate::{
    dialect::openapi::schema::{body, described, example, words},
    error::{Error, Result},
    platform::session::{Holder, MAX_INTEGRATIONS, NewLink},
};

/// The meaning of a role.
pub(super) const RIGHTS: &str = "The rights of the holder. A viewer reads what an administrator reads, except for secrets. An integrator acts for the `integrations`. A member with a user sees the user's own calls alone.";

pub(super) static ROLES: Words = Words {
    name: "role",
    words: &names!(Role),
};

pub(super) const ROLE: Field = Field::new("role", Type::Enum(&ROLES))
    .doc(RIGHTS)
    .example("admin");
pub(super) const USER: Field =
    Field::new("userId", Type::Guid).doc("The user of the workspace for whom the holder acts.");
pub(super) const INTEGRATIONS: Field = Field::new("integrations", Type::Guids)
    .items(MAX_INTEGRATIONS)
    .doc("The integrations that an integrator acts for. Other roles have none.");
const WORKSPACE: Field = Field::new("workspace", Type::Text)
    .doc("The name or the id of a workspace. Without it the link is for the server's operator.");
const NAME: Field = Field::new("name", Type::Text)
    .chars(256)
    .doc("A name of the session for people.");
const LINK_ROLE: Field = Field::new("role", Type::Enum(&ROLES)).doc("The rights of the session: `member` with a `userId`, else `admin`, if absent. A viewer reads what an administrator reads, except for secrets. An integrator acts for the `integrations`.");

pub(super) const LINK: &[Field] = &[NAME, LINK_ROLE, USER, INTEGRATIONS];
pub(super) const ANY_LINK: &[Field] = &[WORKSPACE, NAME, LINK_ROLE, USER, INTEGRATIONS];

described! {
    /// A link to sign in to a workspace.
    pub(super) NewLoginLink = body(LINK).examples(example(r#"{"role": "viewer"}"#));
    /// A link to sign in, to a workspace or as the server's operator.
    pub(super) NewAnyLoginLink = body(ANY_LINK).examples(example("{}"));
}

/// The workspace that a new link is for.
pub(super) fn workspace_of(given: &Object) -> Option<&str> {
    given.get(WORKSPACE.name).and_then(Value::as_str)
}

/// The holder that a body describes. Only an integrator has integrations.
pub(super) fn holder(given: &Object, workspace: WorkspaceId) -> Result<Holder> {
    let text = |field: Field| given.get(field.name).and_then(Value::as_str);
    let user = text(USER).and_then(UserId::parse);
    let fallback = if user.is_some() {
        Role::Member
    } else {
        Role::Admin
    };
    let role = text(ROLE).and_then(Role::parse).unwrap_or(fallback);
    let ids = given.get(INTEGRATIONS.name).and_then(Value::as_array);
    let ids = ids.into_iter().flatten();
    let integrations: Vec<_> = ids
        .filter_map(|id| id.as_str().and_then(IntegrationId::parse))
        .collect();
    if (role == Role::Integrator) == integrations.is_empty() {
        let why = "The role integrator needs integrations, and no other role has any.";
        return Err(Error::invalid(INTEGRATIONS.name, why));
    }
    let name = text(NAME).unwrap_or_else(|| role.name()).to_owned();
    Ok(Holder {
        workspace: Some(workspace),
        name,
        role,
        user,
        integrations,
    })
}

pub(super) fn role_words() -> Schema {
    words(ROLES.words, RIGHTS)
}

/// A link to sign in at the console, for one use.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct LoginLink {
    /// The link. Its fragment is a secret that no other answer shows.
    url: String,
    /// The time from which it is not valid.
    #[schema(format = DateTime)]
    expires_at: String,
}

impl From<NewLink> for LoginLink {
    fn from(link: NewLink) -> Self {
        Self {
            url: link.url,
            expires_at: link.expires_at.to_string(),
        }
    }
}

/// A session at the console.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ConsoleSession)]
pub(super) struct SessionModel {
    /// The id, by which the session is ended.
    #[schema(format = "uuid")]
    id: String,
    /// The workspace; null for the server's operator.
    #[schema(required = true, format = "uuid")]
    workspace_id: Option<String>,
    /// The name for people.
    name: String,
    #[schema(schema_with = role_words)]
    role: &'static str,
    /// The user for whom the session acts; null if it acts for none.
    #[schema(required = true, format = "uuid")]
    user_id: Option<String>,
    /// The integrations that an integrator acts for.
    integrations: Vec<String>,
    /// The address of the browser that began it; null if it is not known.
    #[schema(required = true)]
    address: Option<String>,
    /// The name of that browser; null if it gave none.
    #[schema(required = true)]
    user_agent: Option<String>,
    /// The time of its beginning.
    #[schema(format = DateTime)]
    created_at: String,
    /// The last use, to the minute.
    #[schema(format = DateTime)]
    seen_at: String,
    /// The end at the latest. A session that is not used ends sooner.
    #[schema(format = DateTime)]
    ends_at: String,
}

/// A page of sessions.
#[derive(Serialize, ToSchema)]
#[schema(as = ConsoleSessionList)]
pub(super) struct SessionList {
    /// The number of all sessions.
    count: i64,
    /// The sessions, the newest first.
    items: Vec<SessionModel>,
}

impl SessionModel {
    fn new((session, token): (Session, Option<Token>)) -> Self {
        let operator = Holder::operator();
        let (name, role, user, integrations) = match token {
            Some(token) => (token.name, token.role, token.user, token.integrations),
            None => (operator.name, operator.role, None, Vec::new()),
        };
        Self {
            id: session.id.to_string(),
            workspace_id: session.workspace.map(|workspace| workspace.to_string()),
            name,
            role: role.name(),
            user_id: user.map(|user| user.to_string()),
            integrations: integrations.iter().map(ToString::to_string).collect(),
            address: session.address,
            user_agent: session.agent,
            created_at: session.created_at.to_string(),
            seen_at: session.seen_at.to_string(),
            ends_at: session.ends_at.to_string(),
        }
    }
}

impl SessionList {
    pub(super) fn new((count, found): (i64, Vec<(Session, Option<Token>)>)) -> Self {
        Self {
            count,
            items: found.into_iter().map(SessionModel::new).collect(),
        }
    }
}
