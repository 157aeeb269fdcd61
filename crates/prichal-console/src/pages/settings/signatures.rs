//! The rules by which the workspace's signatures are checked.

use askama::Template;
use axum::response::Response;
use serde::Deserialize;

use super::{Tab, Tabs, frame};
use crate::{
    answer::{Fault, page},
    api::segment,
    form::Fields,
    page::Layout,
    visit::Visit,
    words::Settings,
};

/// The rules (`GET /admin/v1/workspaces/{ws}/signature-policy`).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Policy {
    #[serde(rename = "policy")]
    name: String,
    check_bin: Option<bool>,
    check_iin: Option<bool>,
    indeterminate: String,
    trust_anchors: Vec<String>,
}

#[derive(Template)]
#[template(path = "settings-signatures.html")]
struct SignaturesPage {
    layout: Layout,
    tabs: Tabs,
    rules: Option<Rules>,
    command: String,
}

struct Rules {
    policy: &'static str,
    is_test: bool,
    check_bin: &'static str,
    check_iin: &'static str,
    indeterminate: &'static str,
    anchors: Vec<String>,
}

impl Rules {
    fn new(policy: Policy, w: &Settings) -> Self {
        let check = |checked: Option<bool>| match checked {
            None => w.by_policy,
            Some(true) => w.checked,
            Some(false) => w.not_checked,
        };
        Self {
            policy: match &*policy.name {
                "kz" => w.policy_kz,
                "ru" => w.policy_ru,
                "eu-baseline" => w.policy_eu,
                _ => w.policy_test,
            },
            is_test: policy.name == "test",
            check_bin: check(policy.check_bin),
            check_iin: check(policy.check_iin),
            indeterminate: if policy.indeterminate == "accept" {
                w.accept
            } else {
                w.refuse
            },
            anchors: policy.trust_anchors,
        }
    }
}

/// The rules for the workspace's signatures.
pub(crate) async fn signatures(visit: Visit) -> Result<Response, Fault> {
    let name = segment(&visit.workspace.name);
    let path = format!("/admin/v1/workspaces/{name}/signature-policy");
    let found = match visit.hub_get::<Policy>(&path).await {
        Ok(found) => Some(found),
        Err(error) if error.is_forbidden() => None,
        Err(error) => return Err(error.into()),
    };
    let (layout, tabs) = frame(&visit, Tab::Signatures, &Fields::default());
    let w = tabs.w;
    Ok(page(&SignaturesPage {
        layout,
        tabs,
        rules: found.map(|policy| Rules::new(policy, w)),
        command: format!(
            "curl -X PUT -H \"Authorization: Bearer $ADMIN\" …{path} -d '{{\"policy\":\"kz\"}}'"
        ),
    }))
}
