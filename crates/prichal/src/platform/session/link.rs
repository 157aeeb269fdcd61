//! One-time links that begin sessions.

use std::time::Duration;

use prichal_core::{id::TokenId, time::Timestamp};
use prichal_store::{
    Conn, Tx,
    login_link::{self, LoginLink},
};

use super::{ANY, Begun, Browser, Holder, MAX_LIFETIME, began_with, begin, check_holder};
use crate::{
    error::{Error, Result},
    platform::{
        Platform,
        access::{self, Caller},
        audit, guess,
        security::{self, Event},
        vault::{random_token, sha256_hex},
    },
};

/// The lifetime of an unused link.
const LINK_LIFETIME: Duration = Duration::from_mins(10);
/// The maximum number of links that one token has made and that are kept. A further one removes the oldest.
const MAX_LINKS: i64 = 100;

/// A new one-time link, which is shown once.
pub struct NewLink {
    pub url: String,
    pub expires_at: Timestamp,
}

/// Makes a link for a holder whose rights the maker may give. Refuses a user and integrations that the workspace does not
/// have.
pub async fn create_link(app: &Platform, maker: &Caller, holder: Holder) -> Result<NewLink> {
    let now = app.clock.now();
    let secret = random_token();
    let hash = sha256_hex(secret.as_bytes());
    let expires_at = now + LINK_LIFETIME;
    let (maker, node) = began_with(app, maker);
    let workspace = holder.workspace;
    let link = LoginLink {
        workspace,
        name: holder.name.clone(),
        role: holder.role,
        user: holder.user,
        integrations: holder.integrations.clone(),
        maker,
        node,
        created_at: now,
        expires_at,
        used_at: None,
    };
    let write = move |tx: &mut Tx<'_>| {
        check_holder(tx, &holder)?;
        login_link::insert(tx, &link, &hash, MAX_LINKS)?;
        Ok::<_, Error>(())
    };
    app.db.write(workspace.unwrap_or(ANY), write).await?;
    security::record(Event::LoginLinkCreated, workspace, "");
    Ok(NewLink {
        url: format!("{}/console/sign-in#{secret}", app.config.public_url()),
        expires_at,
    })
}

/// True if the token that made a link is valid.
async fn has_valid_maker(app: &Platform, link: &LoginLink) -> Result<bool> {
    let token = link.maker.strip_prefix("token:");
    match (token.and_then(TokenId::parse), link.workspace) {
        (Some(id), Some(workspace)) => Ok(access::find_token(app, workspace, id).await?.is_some()),
        // The links of an admin token are removed with it.
        _ => Ok(true),
    }
}

/// Begins a session by the secret of a link, which is used up. `None` if the link is unknown, used or expired, or its
/// user is gone.
pub async fn begin_by_link(
    app: &Platform,
    secret: &str,
    browser: &Browser,
) -> Result<Option<Begun>> {
    let now = app.clock.now();
    let hash = sha256_hex(secret.as_bytes());
    let wanted = hash.clone();
    let find = move |conn: &mut Conn| login_link::find(conn, &wanted);
    let Some(link) = app.db.read(find).await? else {
        guess::mark_guess();
        return Ok(None);
    };
    let holder = Holder {
        workspace: link.workspace,
        name: link.name.clone(),
        role: link.role,
        user: link.user,
        integrations: link.integrations.clone(),
    };
    // The record of a refusal tells whose link it was.
    let id = login_link::id(&hash);
    security::set_actor(holder.signing_in(format!("loginLink:{id}")));
    audit::set_object("loginLink", id);
    if link.used_at.is_some() || link.expires_at <= now || !has_valid_maker(app, &link).await? {
        return Ok(None);
    }
    // An operator's session stands for the admin token.
    let is_operator = link.workspace.is_none();
    let began_with = is_operator.then_some((link.maker, link.node));
    let ends_at = now + MAX_LIFETIME;
    begin(app, holder, began_with, ends_at, browser, move |tx| {
        Ok(login_link::redeem(tx, &hash, now)?)
    })
    .await
}
