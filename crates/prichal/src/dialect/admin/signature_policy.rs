//! `/admin/v1/workspaces/{ws}/signature-policy`: the rules by which signatures of a company's documents are checked
//! (`docs/contracts/prichal.md §14`).

use axum::{Json as Answer, extract::State};
use prichal_core::{
    names,
    schema::{self, Field, Form, Preset, Type, Words},
};
use prichal_sign::Certificate;
use prichal_store::signature;
use serde::Serialize;
use serde_json::Value;
use utoipa::{ToSchema, openapi::Object};

use super::{caller::Administrator, workspaces::find};
use crate::{
    app::App,
    dialect::openapi::schema::{body, described, words},
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
    Field::new("policy", Type::Enum(&POLICIES))
        .or(Preset::Text("kz"))
        .example("kz")
        .doc(RULES),
    Field::new("trustAnchors", Type::Texts)
        .or(Preset::List)
        .items(MAX_TRUST_ANCHORS)
        .form(&ANCHOR)
        .worded(|path, _| format!("There may be at most {MAX_TRUST_ANCHORS} {path}."))
        .doc("Trusted certificates of authorities in PEM, besides the policy's own."),
    Field::new("checkBin", Type::Bool)
        .doc("True if the certificate's BIN must be the company's. By default the policy decides."),
    Field::new("checkIin", Type::Bool).doc(
        "True if the certificate's IIN must be the employee's. By default the policy decides.",
    ),
    Field::new("indeterminate", Type::Enum(&INDETERMINATE))
        .or(Preset::Text("accept"))
        .doc(TREATMENT),
];

/// The form of trust anchors. The pattern admits texts that are no certificates.
static ANCHOR: Form = Form::new(
    "an authority's certificate in PEM",
    "-----BEGIN CERTIFICATE-----",
    is_anchor,
);

fn is_anchor(pem: &str) -> bool {
    let is_authority = |one: &Certificate| one.is_ca() || one.self_issued();
    let certificates = Certificate::read_all(pem.as_bytes()).unwrap_or_default();
    pem.contains(ANCHOR.pattern)
        && !certificates.is_empty()
        && certificates.iter().all(is_authority)
}

/// The meaning of `policy`.
const RULES: &str = "The name of a set of rules.";
/// The meaning of `indeterminate`.
const TREATMENT: &str = "The treatment of a signature that cannot be decided yet.";

static POLICIES: Words = Words {
    name: "policy",
    words: &["kz", "ru", "eu-baseline", "test"],
};

static INDETERMINATE: Words = Words {
    name: "treatment",
    words: &names!(Indeterminate),
};

described! {
    /// The rules for signatures of a workspace. Members that are left out have their defaults.
    NewSignaturePolicy = body(FIELDS);
}

/// The rules for signatures of a workspace.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SignaturePolicy {
    #[schema(schema_with = policy_words)]
    policy: String,
    /// Trusted certificates in PEM, besides the policy's own.
    trust_anchors: Vec<String>,
    /// True if the certificate's BIN must be the company's; null if the policy decides.
    #[schema(required = true)]
    check_bin: Option<bool>,
    /// True if the certificate's IIN must be the employee's; null if the policy decides.
    #[schema(required = true)]
    check_iin: Option<bool>,
    #[schema(schema_with = indeterminate_words)]
    indeterminate: &'static str,
}

fn policy_words() -> Object {
    words(POLICIES.words, RULES)
}

fn indeterminate_words() -> Object {
    words(INDETERMINATE.words, TREATMENT)
}

impl From<Rules> for SignaturePolicy {
    fn from(rules: Rules) -> Self {
        Self {
            policy: rules.policy,
            trust_anchors: rules.trust_anchors,
            check_bin: rules.check_bin,
            check_iin: rules.check_iin,
            indeterminate: rules.indeterminate.name(),
        }
    }
}

/// Read how a workspace's signatures are checked.
#[utoipa::path(get, path = "/admin/v1/workspaces/{ws}/signature-policy", tag = "administration",
    params(("ws" = String, Path, description = "The name or the id of the workspace")), responses((status = 200, body = SignaturePolicy)))]
pub(super) async fn get_signature_policy(
    State(app): State<App>,
    _: Administrator,
    Path(ws): Path<String>,
) -> Result<Answer<SignaturePolicy>> {
    let workspace = find(&app, &ws).await?.id;
    let rules = app
        .db
        .read(move |conn| Rules::find(conn, workspace))
        .await?;
    Ok(Answer(rules.into()))
}

/// Set how a workspace's signatures are checked. Members that are left out have their defaults.
///
/// Undecided signatures are checked again, even if their checks were given up.
#[utoipa::path(put, path = "/admin/v1/workspaces/{ws}/signature-policy", tag = "administration",
    params(("ws" = String, Path, description = "The name or the id of the workspace")), request_body = NewSignaturePolicy, responses((status = 200, body = SignaturePolicy)))]
pub(super) async fn put_signature_policy(
    State(app): State<App>,
    _: Administrator,
    Path(ws): Path<String>,
    Raw(body): Raw,
) -> Result<Answer<SignaturePolicy>> {
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
    Ok(Answer(rules.into()))
}

fn read(app: &App, body: &Value) -> Result<Rules> {
    let body = body
        .as_object()
        .ok_or_else(|| Error::invalid("", "The request body must be a JSON object."))?;
    let now = app.clock.now();
    let body = schema::read_strictly(FIELDS, body, &mut || prichal_core::id::generate(now))?;
    let mut rules = Rules::default();
    if let Some(policy) = body.get("policy").and_then(Value::as_str) {
        policy.clone_into(&mut rules.policy);
    }
    if let Some(anchors) = body.get("trustAnchors").and_then(Value::as_array) {
        let anchors = anchors.iter().filter_map(Value::as_str);
        rules.trust_anchors.extend(anchors.map(str::to_owned));
    }
    let flag = |name: &str| body.get(name).and_then(Value::as_bool);
    rules.check_bin = flag("checkBin");
    rules.check_iin = flag("checkIin");
    let treatment = body.get("indeterminate").and_then(Value::as_str);
    if let Some(treatment) = treatment.and_then(Indeterminate::from_name) {
        rules.indeterminate = treatment;
    }
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use prichal_sign::Policy;

    use super::{INDETERMINATE, Indeterminate, POLICIES};

    #[test]
    fn treatments_are_stored_by_their_names() {
        let stored = serde_json::json!(Indeterminate::ALL);
        assert_eq!(stored, serde_json::json!(INDETERMINATE.words));
    }

    #[test]
    fn every_policy_is_known() {
        let is_known = |name: &&str| Policy::preset(name).is_some();
        assert!(POLICIES.words.iter().all(is_known));
    }
}
