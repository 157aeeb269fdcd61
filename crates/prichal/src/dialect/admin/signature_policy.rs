//! `/admin/v1/workspaces/{ws}/signature-policy`: the rules by which signatures of a company's documents are checked
//! (`docs/contracts/prichal.md §14`).

use axum::{Json as Answer, extract::State};
use prichal_core::schema::{self, Field, Type};
use prichal_sign::{Certificate, Policy};
use prichal_store::signature;
use serde_json::Value;

use super::{caller::Administrator, workspaces::find};
use crate::{
    app::App,
    domain::document::{
        check::{Indeterminate, Rules},
        recheck,
    },
    error::{Error, Result},
    http::{body::Raw, extract::Path},
    platform::{
        reading::parse_json_strictly,
        security::{self, Event},
    },
};

/// The maximum number of trust anchors of a workspace.
const MAX_TRUST_ANCHORS: usize = 100;

const FIELDS: &[Field] = &[
    Field::new("policy", Type::Text),
    Field::new("trustAnchors", Type::Texts),
    Field::new("checkBin", Type::Bool),
    Field::new("checkIin", Type::Bool),
    Field::new("indeterminate", Type::Text),
];

/// Read how a workspace's signatures are checked.
#[utoipa::path(get, path = "/admin/v1/workspaces/{ws}/signature-policy", tag = "administration",
    params(("ws" = String, Path)), responses((status = 200, body = Value)))]
pub(super) async fn get_signature_policy(
    State(app): State<App>,
    _: Administrator,
    Path(ws): Path<String>,
) -> Result<Answer<Value>> {
    let workspace = find(&app, &ws).await?.id;
    let rules = app
        .db
        .read(move |conn| Rules::find(conn, workspace))
        .await?;
    Ok(Answer(rules.shown()))
}

/// Set how a workspace's signatures are checked. Members that are left out have their defaults.
///
/// Undecided signatures are checked again, even if their checks were given up.
#[utoipa::path(put, path = "/admin/v1/workspaces/{ws}/signature-policy", tag = "administration",
    params(("ws" = String, Path)), request_body = Value, responses((status = 200, body = Value)))]
pub(super) async fn put_signature_policy(
    State(app): State<App>,
    _: Administrator,
    Path(ws): Path<String>,
    Raw(body): Raw,
) -> Result<Answer<Value>> {
    let workspace = find(&app, &ws).await?.id;
    let rules = read(&app, &parse_json_strictly(&body)?)?;
    let text = serde_json::to_string(&rules).map_err(Error::internal)?;
    let now = app.clock.now();
    app.db
        .write(workspace, move |tx| {
            signature::put_policy(tx, workspace, &text, now)
        })
        .await?;
    security::record(Event::SignaturePolicyChanged, Some(workspace), "");
    recheck::rearm(&app, workspace).await?;
    Ok(Answer(rules.shown()))
}

fn read(app: &App, body: &Value) -> Result<Rules> {
    let body = body
        .as_object()
        .ok_or_else(|| Error::invalid("", "The request body must be a JSON object."))?;
    let now = app.clock.now();
    let body = schema::read_strictly(FIELDS, body, &mut || prichal_core::id::generate(now))?;
    let mut rules = Rules::default();
    if let Some(policy) = body.get("policy").and_then(Value::as_str) {
        if Policy::preset(policy).is_none() {
            let shown: String = policy.chars().take(64).collect();
            let why = format!("`{shown}` is not a policy: kz, ru, eu-baseline or test.");
            return Err(Error::invalid("policy", why));
        }
        policy.clone_into(&mut rules.policy);
    }
    if let Some(anchors) = body.get("trustAnchors").and_then(Value::as_array) {
        if anchors.len() > MAX_TRUST_ANCHORS {
            return Err(Error::invalid(
                "trustAnchors",
                format!(
                    "There may be at most {MAX_TRUST_ANCHORS} trustAnchors, not {}.",
                    anchors.len()
                ),
            ));
        }
        for (n, anchor) in anchors.iter().enumerate() {
            let pem = anchor.as_str().unwrap_or_default();
            let certificates = Certificate::read_all(pem.as_bytes());
            let authority = |one: &Certificate| one.is_ca() || one.self_issued();
            if !certificates.is_ok_and(|found| !found.is_empty() && found.iter().all(authority)) {
                let path = format!("trustAnchors[{n}]");
                let message = format!("The {path} must be an authority's certificate in PEM.");
                return Err(Error::invalid(path, message));
            }
            rules.trust_anchors.push(pem.to_owned());
        }
    }
    let flag = |name: &str| body.get(name).and_then(Value::as_bool);
    rules.check_bin = flag("checkBin");
    rules.check_iin = flag("checkIin");
    rules.indeterminate = match body.get("indeterminate").and_then(Value::as_str) {
        None | Some("accept") => Indeterminate::Accept,
        Some("refuse") => Indeterminate::Refuse,
        Some(other) => {
            let shown: String = other.chars().take(64).collect();
            let why = format!("`indeterminate` `{shown}` is unknown: accept, refuse.");
            return Err(Error::invalid("indeterminate", why));
        }
    };
    Ok(rules)
}
