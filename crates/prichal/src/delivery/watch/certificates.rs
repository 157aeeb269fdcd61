//! Certificates that end soon: of signers and receivers, as they were last seen, of webhooks, and of the server's
//! settings.

use std::time::Duration;

use prichal_core::{
    alert::{
        Kind, Source, SourceKind,
        condition::Finding,
        settings::{AlertSettings, MAX_CERTIFICATE_DAYS},
    },
    id::{IntegrationId, WebhookId, WorkspaceId, parse},
    time::Timestamp,
};
use prichal_sign::Certificate;
use prichal_store::{
    Conn, Tx, certificate,
    webhook::{self, Key},
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use uuid::Uuid;

use super::{
    super::{Delivery, definition_of},
    MAX_PER_READ, all_keys,
    findings::{About, Watch, about_hook},
    is_short,
};
use crate::{
    domain::alert::Observed,
    error::{Error, Result},
    platform::{access, outgoing::seen::end_of},
};

/// The maximum number of certificates that are written together.
const MAX_WRITTEN: usize = 200;

/// The workspace of the operator, if the settings name one that exists.
pub(super) async fn operator(app: &Delivery) -> Result<Option<WorkspaceId>> {
    let Some(name) = &app.config.operator_workspace else {
        return Ok(None);
    };
    let found = access::find_workspace(app, name).await?;
    Ok(found.map(|workspace| workspace.id))
}

/// Stores the certificates that receivers have shown since the last look.
pub(super) async fn keep_seen(app: &Delivery, now: Timestamp) -> Result<()> {
    let seen = app.outgoing.seen.take();
    for some in seen.chunks(MAX_WRITTEN) {
        let some: Vec<_> = some
            .iter()
            .map(|one| certificate::Certificate {
                workspace: one.workspace,
                holder: format!("receiver/{}", one.host),
                name: one.host.clone(),
                ends_at: one.ends_at,
                seen_at: now,
            })
            .collect();
        let write = move |tx: &mut Tx<'_>| {
            let mut some = some.iter();
            some.try_for_each(|one| Ok::<_, Error>(certificate::put(tx, one)?))
        };
        app.db.write(WorkspaceId(Uuid::nil()), write).await?;
    }
    Ok(())
}

/// The holders of certificates that may end soon, with their workspaces.
pub(super) async fn ending(
    app: &Delivery,
    operator: Option<WorkspaceId>,
    now: Timestamp,
) -> Result<Vec<(WorkspaceId, String)>> {
    let before = now + Duration::from_hours(24 * MAX_CERTIFICATE_DAYS.unsigned_abs());
    let mut all: Vec<(WorkspaceId, String)> = Vec::new();
    loop {
        let after = all.last().cloned();
        let read = move |conn: &mut Conn| {
            let after = after
                .as_ref()
                .map(|(workspace, holder)| (*workspace, holder.as_str()));
            let after = after.unwrap_or((WorkspaceId(Uuid::nil()), ""));
            Ok::<_, Error>(certificate::list_ending(conn, before, after, MAX_PER_READ)?)
        };
        let found = app.db.read(read).await?;
        let is_last = is_short(found.len());
        all.extend(found.into_iter().map(|one| (one.workspace, one.holder)));
        if is_last {
            break;
        }
    }
    let clients = all_keys(app, (), |conn, ((), after)| {
        let found = webhook::list_with_certificates(conn, after, MAX_PER_READ)?;
        Ok(found.into_iter().map(|key| ((), key)).collect())
    });
    for key in clients.await? {
        let holder = format!("client/{}/{}", key.integration, key.id);
        all.push((key.workspace, holder));
    }
    if let Some(operator) = operator {
        let authorities = 0..app.outgoing.authorities.len();
        all.extend(authorities.map(|n| (operator, format!("egress-ca/{n}"))));
    }
    Ok(all)
}

impl Watch {
    /// The finding about the certificate of a holder.
    pub(super) fn certificate(
        &self,
        conn: &mut Conn,
        holder: &str,
        key: String,
        settings: &AlertSettings,
    ) -> Result<Observed> {
        let found = match holder.split_once('/') {
            Some(("client", hook)) => self.client(conn, hook)?,
            Some(("egress-ca", number)) => self.authority(number),
            Some(("signer", user)) => self.seen(conn, holder)?.map(|seen| {
                let source = Source::new(SourceKind::Signer, parse(user)).named(&seen.name);
                (
                    source,
                    format!("The certificate of the signer {}", seen.name),
                    seen.ends_at,
                )
            }),
            _ => self.seen(conn, holder)?.map(|seen| {
                let source = Source::new(SourceKind::Receiver, None).named(&seen.name);
                (
                    source,
                    format!("The certificate of the receiver {}", seen.name),
                    seen.ends_at,
                )
            }),
        };
        let Some((source, what, ends_at)) = found else {
            let about = About {
                key,
                source: Source::new(SourceKind::Receiver, None),
                what: String::new(),
            };
            return Ok(about.observed(Kind::Certificate, Finding::Clear, self.now));
        };
        let about = About { key, source, what };
        let finding = if ends_at <= self.now + settings.certificate {
            Finding::Holds
        } else {
            Finding::Clear
        };
        let mut observed = about.observed(Kind::Certificate, finding, self.now);
        let ends = if ends_at <= self.now {
            "has ended"
        } else {
            "ends"
        };
        let day: String = ends_at.to_string().chars().take(10).collect();
        observed.message = format!("{} {ends} on {day}", about.what);
        observed
            .details
            .insert("endsAt".to_owned(), ends_at.to_string().into());
        Ok(observed)
    }

    fn seen(&self, conn: &mut Conn, holder: &str) -> Result<Option<certificate::Certificate>> {
        Ok(certificate::find(conn, self.workspace, holder)?)
    }

    /// The client certificate of a webhook.
    fn client(&self, conn: &mut Conn, hook: &str) -> Result<Option<(Source, String, Timestamp)>> {
        let ids = hook.split_once('/');
        let ids = ids.and_then(|(integration, id)| Some((parse(integration)?, parse(id)?)));
        let Some((integration, id)) = ids else {
            return Ok(None);
        };
        let key = Key {
            workspace: self.workspace,
            integration: IntegrationId(integration),
            id: WebhookId(id),
        };
        let row = webhook::find(conn, key)?;
        let Some(definition) = row.as_ref().and_then(definition_of) else {
            return Ok(None);
        };
        let shown = definition.settings.client_certificate.as_ref();
        let shown = shown
            .and_then(|client| CertificateDer::from_pem_slice(client.certificate.as_bytes()).ok());
        let Some(read) = shown.and_then(|shown| Certificate::read(&shown).ok()) else {
            return Ok(None);
        };
        let about = about_hook(conn, key, &definition)?;
        let what = format!("The client certificate of {}", lower(&about.what));
        Ok(Some((about.source, what, end_of(&read))))
    }

    /// An authority of the settings.
    fn authority(&self, number: &str) -> Option<(Source, String, Timestamp)> {
        let found = self
            .app
            .outgoing
            .authorities
            .get(number.parse::<usize>().ok()?)?;
        let read = Certificate::read(found).ok()?;
        let source = Source::new(SourceKind::Server, None).named("egress-ca");
        let what = format!("The authority {} of `egress-ca`", read.subject);
        Some((source, what, end_of(&read)))
    }
}

/// A text that begins a sentence, within one.
fn lower(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_lowercase().to_string());
    first.unwrap_or_default() + chars.as_str()
}
