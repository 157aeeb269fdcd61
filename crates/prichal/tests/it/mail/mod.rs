//! Mails to the people of a workspace.

mod alerts;
mod sending;
mod server;

use prichal::config::Config;
use serde_json::{Value, json};

use crate::harness::hub::{Caller, eventually};

/// Settings with the SMTP server at `url`, without TLS.
pub(crate) fn plain_at(config: &mut Config, url: &str) {
    config.smtp_url = Some(url.into());
    config.smtp_plaintext = true;
    config.mail_from = Some("Prichal <hub@example.com>".to_owned());
}

/// Queues a test mail. Returns its id.
async fn test_mail(space: &Caller, to: &str) -> String {
    let queued = space.post("/mails/test", json!({ "to": to })).await;
    assert_eq!(queued.status, 202, "{}", queued.text);
    queued.str("id")
}

/// A mail, once it is as `wanted` says.
async fn mail(space: &Caller, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    eventually("the mail", || async {
        let all = space.get("/mails").await.ok();
        let items = all["items"].as_array().expect("items").clone();
        let found = items.into_iter().find(|mail| mail["id"] == id);
        found.filter(|mail| wanted(mail))
    })
    .await
}

/// A mail, once it has a status and the last attempt of this number.
async fn mail_after(space: &Caller, id: &str, status: &str, attempts: i64) -> Value {
    mail(space, id, |mail| {
        mail["status"] == status && mail["attempts"] == attempts && mail.get("answer").is_some()
    })
    .await
}
