//! The refusals of a PATCH: the collections of `ErrorInfo` (`docs/contracts/kontur.md §3`).

use prichal_core::{
    patch::{PatchErrors, Reason, Refused},
    schema::Fault,
};
use serde_json::{Map, Value};

use super::fault::MAX_REPEATED;
use crate::fault;

/// The maximum number of characters of a path in [`summary`].
const MAX_PATH: usize = 64;

/// The refused operations as they were sent, each with its `reason`.
pub fn operations(refused: &[Refused]) -> Value {
    let shown = refused.iter().map(|refused| {
        let mut sent = refused.sent.clone();
        if let Some(members) = sent.as_object_mut() {
            let reason = reason(path(refused), &refused.reason);
            members.insert("reason".to_owned(), reason.into());
        }
        sent
    });
    shown.collect()
}

/// The broken constraints by their names, each with its reason.
pub fn constraints(broken: &[(String, Reason)]) -> Map<String, Value> {
    let shown = broken.iter();
    shown
        .map(|(name, why)| (name.clone(), reason("", why).into()))
        .collect()
}

/// The reasons in one text, for callers that see no lists.
pub fn summary(errors: &PatchErrors) -> String {
    let lists = [
        &errors.invalid_paths,
        &errors.invalid_value_types,
        &errors.invalid_datas,
    ];
    let operations = lists.into_iter().flatten();
    let operations = operations.map(|refused| (path(refused), &refused.reason));
    let constraints = errors.invalid_constraints.iter();
    let all = operations.chain(constraints.map(|(name, why)| (name.as_str(), why)));
    let told = all.take(MAX_REPEATED).map(|(path, why)| {
        let shown: String = path.chars().take(MAX_PATH).collect();
        format!("{shown}: {}", reason(path, why))
    });
    told.collect::<Vec<_>>().join(" ")
}

fn path(refused: &Refused) -> &str {
    refused.sent["path"].as_str().unwrap_or_default()
}

/// The text of a reason. Members of the operation's value are named from there on: `/webHooks` has a `triggerType`.
fn reason(path: &str, reason: &Reason) -> String {
    let below = |fault: &Fault| {
        let (first, rest) = fault.path.split_once('.')?;
        let is_there = path.split('/').any(|part| part.eq_ignore_ascii_case(first));
        is_there.then(|| Fault {
            path: rest.to_owned(),
            problem: fault.problem.clone(),
        })
    };
    match reason {
        Reason::Text(text) => text.clone().into_owned(),
        Reason::Faults(faults) => {
            let shown = faults.iter().take(MAX_REPEATED);
            let texts =
                shown.map(|fault| fault::text(&below(fault).unwrap_or_else(|| fault.clone())));
            texts.collect::<Vec<_>>().join(" ")
        }
    }
}

#[cfg(test)]
mod tests {
    use prichal_core::{
        integration::{Instance, Status},
        patch,
    };
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn try_patch(instance: &Instance, operations: &Value) -> Result<Instance, PatchErrors> {
        let operations = patch::parse(&json!({"operations": operations})).unwrap();
        let mut n = 100;
        instance.patch(&operations, &mut || {
            n += 1;
            Uuid::from_u128(n)
        })
    }

    #[test]
    fn a_refused_webhook_says_why() {
        let hook = |url: &str, period: &str| json!({"relativeUrl": url, "triggerType": "schedule", "schedule": {"period": period}});
        let documented = json!({
            "id": "a5aad3c1-777b-4ae5-8ca1-60b94c0423e5",
            "relativeUrl": "https://publicUrl.ru/callbacks",
            "triggerType": "entityEvent",
        });
        let instance = Instance::new(Some("https://my-integration.ru".to_owned()), Status::Active);
        let added = json!([{"op": "add", "path": "/webHooks", "value": documented}]);
        let before = try_patch(&instance, &added).unwrap();
        let url = "/webHooks/a5aad3c1-777b-4ae5-8ca1-60b94c0423e5/relativeUrl";
        for (path, value, why) in [
            ("/webHooks", hook("https://u:p@a/x", "00:01:00"), "password"),
            ("/webHooks", hook("x", "00:00:00.5"), "schedule.period"),
            (
                "/webHooks",
                hook("", "00:01:00"),
                "relativeUrl field is required",
            ),
            (
                "/webHooks",
                hook("ftp://a", "00:01:00"),
                "relativeUrl is no http",
            ),
            (url, json!("https://u:p@a/x"), "password"),
            (url, json!(""), "relativeUrl field is required"),
            (url, json!("a b"), "spaces"),
            (
                "/webHooks",
                json!({"relativeUrl": "x", "triggerType": "entityEvents"}),
                "`triggerType` `entityEvents` is unknown: entityEvent, schedule.",
            ),
        ] {
            let op = if path == url { "replace" } else { "add" };
            let operations = json!([{"op": op, "path": path, "value": value}]);
            let errors = try_patch(&before, &operations).unwrap_err();
            let shown = super::operations(&errors.invalid_datas);
            assert_eq!(shown[0]["path"], path);
            let reason = shown[0]["reason"].as_str().unwrap();
            assert!(reason.contains(why), "{operations}: {reason}");
            assert_eq!(summary(&errors), format!("{path}: {reason}"));
        }
    }
}
