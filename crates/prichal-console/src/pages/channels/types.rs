//! Types of channels: what all channels of a type have in common.

use askama::Template;
use axum::{
    extract::{Path, RawQuery},
    response::Response,
};
use http::Method;
use serde_json::{Map, Value};

use super::{
    Part, PartLink, SERVICE, at, done,
    model::{Type, find, set},
    paged, part_links, refusal, script_codes,
};
use crate::{
    answer::{Fault, page, redirect},
    api::segment,
    form::{Action, Fields},
    moment::Moment,
    page::{Layout, Section},
    parts::visible,
    visit::Visit,
    words,
};

const COLLECTION: &str = "integration_point_types";

#[derive(Template)]
#[template(path = "channel-types.html")]
struct ListPage {
    layout: Layout,
    w: &'static words::Channels,
    parts: Vec<PartLink>,
    rows: Vec<Row>,
    new: String,
    next: Option<String>,
    newest: Option<String>,
    may_change: bool,
}

struct Row {
    href: String,
    name: String,
    quota: String,
    changed: Option<Moment>,
}

fn address(visit: &Visit, id: &str) -> String {
    visit.page(&format!("channels/types/{}", segment(id)))
}

/// The types of channels.
pub(crate) async fn list(visit: Visit, RawQuery(query): RawQuery) -> Result<Response, Fault> {
    let w = words::Channels::of(visit.language);
    let fields = Fields::parse(query.unwrap_or_default().as_bytes());
    let found = paged::<Type>(&visit, COLLECTION, &[], &fields).await?;
    let row = |one: &Type| Row {
        href: address(&visit, &one.id),
        name: visible(&one.name),
        quota: one
            .quota
            .map_or_else(String::new, |quota| quota.to_string()),
        changed: Moment::parse(&one.ext.lwt, &visit.workspace.zone),
    };
    let layout = Layout::of(&visit, Section::Channels, w.types);
    Ok(page(&ListPage {
        layout: layout.with_notice(done(&fields, w)),
        w,
        parts: part_links(&visit, Part::Types, w),
        rows: found.items.iter().map(row).collect(),
        new: visit.page("channels/types/new"),
        next: found
            .next
            .map(|next| at(&visit, "channels/types", &[], Some(next))),
        newest: (!found.is_first).then(|| visit.page("channels/types")),
        may_change: visit.may_change(),
    }))
}

/// The fields of the form of a type. What is empty is not fixed.
#[derive(Default)]
struct Form {
    kind: String,
    url: String,
    receives: String,
    receives_ws: String,
    sends: String,
    sends_ws: String,
    /// `true`, `false`, or empty.
    sync: String,
    timeout: String,
    quota: String,
}

impl Form {
    fn of(one: &Type) -> Self {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let number = |number: Option<i64>| number.map_or_else(String::new, |n| n.to_string());
        Self {
            kind: one.name.clone(),
            url: text(&one.url),
            receives: text(&one.recv_svcscriptcode),
            receives_ws: text(&one.recv_svcscriptcode_ws),
            sends: text(&one.send_svcscriptcode),
            sends_ws: text(&one.send_svcscriptcode_ws),
            sync: one.issync.map_or_else(String::new, |sync| sync.to_string()),
            timeout: number(one.recv_timeout),
            quota: number(one.quota),
        }
    }

    fn sent(fields: &Fields) -> Self {
        let text = |name: &str| fields.text(name).to_owned();
        Self {
            kind: text("type"),
            url: text("url"),
            receives: text("receives"),
            receives_ws: text("receives_ws"),
            sends: text("sends"),
            sends_ws: text("sends_ws"),
            sync: text("sync"),
            timeout: text("timeout"),
            quota: text("quota"),
        }
    }

    /// The body of a type. Members that were fixed and are empty now are freed by null.
    fn body(&self, before: &Self) -> Value {
        let mut body = Map::new();
        set(&mut body, "type", self.kind.as_str());
        for (name, value, before) in [
            ("url", &self.url, &before.url),
            ("recv_svcscriptcode", &self.receives, &before.receives),
            (
                "recv_svcscriptcode_ws",
                &self.receives_ws,
                &before.receives_ws,
            ),
            ("send_svcscriptcode", &self.sends, &before.sends),
            ("send_svcscriptcode_ws", &self.sends_ws, &before.sends_ws),
        ] {
            if value != before {
                set(&mut body, name, value.as_str());
            }
        }
        for (name, value, before) in [
            ("issync", &self.sync, &before.sync),
            ("recv_timeout", &self.timeout, &before.timeout),
            ("quota", &self.quota, &before.quota),
        ] {
            if value == before {
                continue;
            }
            // The API says what is wrong with a text that is no number.
            let value = match serde_json::from_str::<Value>(value) {
                Ok(value) => value,
                Err(_) if value.is_empty() => Value::Null,
                Err(_) => value.as_str().into(),
            };
            set(&mut body, name, value);
        }
        Value::Object(body)
    }
}

#[derive(Template)]
#[template(path = "channel-type.html")]
struct FormPage {
    layout: Layout,
    w: &'static words::Channels,
    parts: Vec<PartLink>,
    title: String,
    form: Form,
    codes: Vec<String>,
    action: String,
    /// The address by which a stored type is deleted.
    delete: Option<String>,
    error: Option<String>,
    may_change: bool,
}

/// The form of a new type.
pub(crate) async fn form(visit: Visit) -> Result<Response, Fault> {
    show(&visit, None, &Fields::default(), Form::default(), None).await
}

async fn show(
    visit: &Visit,
    id: Option<&str>,
    fields: &Fields,
    form: Form,
    error: Option<String>,
) -> Result<Response, Fault> {
    let w = words::Channels::of(visit.language);
    let here = id.map_or_else(|| visit.page("channels/types/new"), |id| address(visit, id));
    let title = match id {
        Some(_) => format!("{} {}", w.a_type, visible(&form.kind)),
        None => w.new_type.to_owned(),
    };
    let layout = Layout::of(visit, Section::Channels, w.a_type);
    Ok(page(&FormPage {
        layout: layout.with_notice(done(fields, w)),
        w,
        parts: part_links(visit, Part::Types, w),
        title,
        form,
        codes: script_codes(visit).await?,
        delete: id.map(|_| format!("{here}/delete")),
        action: here,
        error,
        may_change: visit.may_change(),
    }))
}

/// A type.
pub(crate) async fn detail(
    visit: Visit,
    Path((_, id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Response, Fault> {
    let fields = Fields::parse(query.unwrap_or_default().as_bytes());
    let found: Type = find(&visit, COLLECTION, &id).await?;
    show(&visit, Some(&id), &fields, Form::of(&found), None).await
}

/// Creates a type.
pub(crate) async fn create(action: Action) -> Result<Response, Fault> {
    let Action { visit, fields } = action;
    let sent = Form::sent(&fields);
    let path = format!("{SERVICE}/{COLLECTION}");
    let body = sent.body(&Form::default());
    match visit.send::<Type>(Method::POST, &path, &body).await {
        Ok(made) => Ok(redirect(&format!(
            "{}?done=create",
            address(&visit, &made.id)
        ))),
        Err(error) => {
            let error = refusal(error)?;
            show(&visit, None, &Fields::default(), sent, Some(error)).await
        }
    }
}

/// Saves a type, which changes its channels.
pub(crate) async fn save(
    Path((_, id)): Path<(String, String)>,
    action: Action,
) -> Result<Response, Fault> {
    let Action { visit, fields } = action;
    let before: Type = find(&visit, COLLECTION, &id).await?;
    let sent = Form::sent(&fields);
    let path = format!("{SERVICE}/{COLLECTION}/{}", segment(&id));
    let body = sent.body(&Form::of(&before));
    match visit.send::<Value>(Method::PATCH, &path, &body).await {
        Ok(_) => Ok(redirect(&format!("{}?done=save", address(&visit, &id)))),
        Err(error) => {
            let error = refusal(error)?;
            show(&visit, Some(&id), &Fields::default(), sent, Some(error)).await
        }
    }
}

/// Deletes a type.
pub(crate) async fn delete(
    Path((_, id)): Path<(String, String)>,
    action: Action,
) -> Result<Response, Fault> {
    let Action { visit, .. } = action;
    let path = format!("{SERVICE}/{COLLECTION}/{}", segment(&id));
    let _: Value = visit.send(Method::DELETE, &path, &Value::Null).await?;
    let list = visit.page("channels/types");
    Ok(redirect(&format!("{list}?done=delete")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_form_fixes_and_frees_members() {
        let before = Form {
            sync: "true".to_owned(),
            quota: "5".to_owned(),
            ..Form::default()
        };
        let form = Form {
            kind: "chat".to_owned(),
            receives: "hear".to_owned(),
            timeout: "7".to_owned(),
            quota: "many".to_owned(),
            ..Form::default()
        };
        assert_eq!(
            form.body(&before),
            json!({"type": "chat", "recv_svcscriptcode": "hear", "issync": null, "recv_timeout": 7, "quota": "many"})
        );
    }
}
