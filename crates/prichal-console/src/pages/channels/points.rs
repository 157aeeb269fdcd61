//! The channels of a workspace: their list, one with its token and settings, and the forms that change them.

use askama::Template;
use axum::{
    extract::{Path, RawQuery},
    response::Response,
};
use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    Part, PartLink, SERVICE, at, done,
    model::{Point, Run, RunRow, find, set},
    paged, part_links, pieces, refusal, script_codes,
};
use crate::{
    answer::{Fault, page, redirect},
    api::{query, segment},
    form::{Action, Fields},
    moment::Moment,
    page::{Layout, Section},
    parts::visible,
    visit::Visit,
    words,
};

const COLLECTION: &str = "integration_points";
/// The members of a list, which leave the tokens out.
const LISTED: &str = "id,code,type,url,recv_svcscriptcode,recv_svcscriptcode_ws,send_svcscriptcode,send_svcscriptcode_ws,opts,ext";

#[derive(Template)]
#[template(path = "channels.html")]
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
    code: String,
    title: String,
    kind: String,
    receives: String,
    sends: String,
    changed: Option<Moment>,
}

impl Row {
    fn new(point: &Point, visit: &Visit) -> Self {
        let first = |texts: [&String; 3]| {
            let found = texts.into_iter().find(|text| !text.is_empty());
            visible(found.map_or("", String::as_str))
        };
        let none = String::new();
        Self {
            href: address(visit, &point.id),
            code: visible(&point.code),
            title: visible(&point.opts.title),
            kind: visible(&point.kind),
            receives: first([
                &point.recv_svcscriptcode,
                &point.recv_svcscriptcode_ws,
                &none,
            ]),
            sends: first([
                &point.send_svcscriptcode,
                &point.send_svcscriptcode_ws,
                &point.url,
            ]),
            changed: Moment::parse(&point.ext.lwt, &visit.workspace.zone),
        }
    }
}

fn address(visit: &Visit, id: &str) -> String {
    visit.page(&format!("channels/points/{}", segment(id)))
}

/// The channels, in the order of their creation.
pub(crate) async fn list(visit: Visit, RawQuery(query): RawQuery) -> Result<Response, Fault> {
    let w = words::Channels::of(visit.language);
    let fields = Fields::parse(query.unwrap_or_default().as_bytes());
    let found = paged::<Point>(&visit, COLLECTION, &[("mask", LISTED)], &fields).await?;
    let layout = Layout::of(&visit, Section::Channels, w.title);
    Ok(page(&ListPage {
        layout: layout.with_notice(done(&fields, w)),
        w,
        parts: part_links(&visit, Part::Points, w),
        rows: found
            .items
            .iter()
            .map(|one| Row::new(one, &visit))
            .collect(),
        new: visit.page("channels/new"),
        next: found
            .next
            .map(|next| at(&visit, "channels", &[], Some(next))),
        newest: (!found.is_first).then(|| visit.page("channels")),
        may_change: visit.may_change(),
    }))
}

/// The fields of the form of a channel, as the reader has them.
#[derive(Default)]
struct Form {
    code: String,
    kind: String,
    title: String,
    comment: String,
    url: String,
    receives: String,
    receives_ws: String,
    sends: String,
    sends_ws: String,
    is_sync: bool,
    timeout: String,
    ip_mask: String,
    roles: String,
}

impl Form {
    fn of(point: &Point) -> Self {
        let opts = &point.opts;
        Self {
            code: point.code.clone(),
            kind: point.kind.clone(),
            title: opts.title.clone(),
            comment: opts.comment.clone(),
            url: point.url.clone(),
            receives: point.recv_svcscriptcode.clone(),
            receives_ws: point.recv_svcscriptcode_ws.clone(),
            sends: point.send_svcscriptcode.clone(),
            sends_ws: point.send_svcscriptcode_ws.clone(),
            is_sync: opts.issync,
            timeout: opts.recv_timeout.to_string(),
            ip_mask: opts.ip_mask.join(" "),
            roles: opts.roles.join(", "),
        }
    }

    fn sent(fields: &Fields) -> Self {
        let text = |name: &str| fields.text(name).to_owned();
        Self {
            code: text("code"),
            kind: text("type"),
            title: text("title"),
            comment: text("comment"),
            url: text("url"),
            receives: text("receives"),
            receives_ws: text("receives_ws"),
            sends: text("sends"),
            sends_ws: text("sends_ws"),
            is_sync: fields.has("is_sync"),
            timeout: text("timeout"),
            ip_mask: text("ip_mask"),
            roles: text("roles"),
        }
    }

    /// The body of a channel. Options that were not set before and are empty are left out, so that they stay absent.
    fn body(&self, before: &Self) -> Result<Value, String> {
        let mut body = Map::new();
        for (name, value) in [
            ("code", &self.code),
            ("type", &self.kind),
            ("url", &self.url),
            ("recv_svcscriptcode", &self.receives),
            ("recv_svcscriptcode_ws", &self.receives_ws),
            ("send_svcscriptcode", &self.sends),
            ("send_svcscriptcode_ws", &self.sends_ws),
        ] {
            set(&mut body, name, value.as_str());
        }
        let mut opts = Map::new();
        set(&mut opts, "title", self.title.as_str());
        set(&mut opts, "comment", self.comment.as_str());
        set(&mut opts, "issync", self.is_sync);
        if self.timeout != before.timeout && !self.timeout.is_empty() {
            let seconds: i64 = self.timeout.parse().map_err(|_| self.timeout.clone())?;
            set(&mut opts, "recv_timeout", seconds);
        }
        if self.ip_mask != before.ip_mask {
            set(&mut opts, "ip_mask", json!(pieces(&self.ip_mask)));
        }
        if self.roles != before.roles {
            let roles = self.roles.split(',').map(str::trim);
            let roles: Vec<&str> = roles.filter(|role| !role.is_empty()).collect();
            set(&mut opts, "roles", json!(roles));
        }
        set(&mut body, "opts", Value::Object(opts));
        Ok(Value::Object(body))
    }
}

/// The body of a form, with the token of the outside system if it was given.
fn body_of(form: &Form, before: &Form, fields: &Fields) -> Result<Value, String> {
    let mut body = form.body(before)?;
    if let Some(token) = fields.get("token_remote") {
        body["token_remote"] = token.into();
    }
    Ok(body)
}

#[derive(Template)]
#[template(path = "channel-form.html")]
struct FormPage {
    layout: Layout,
    w: &'static words::Channels,
    parts: Vec<PartLink>,
    form: Form,
    codes: Vec<String>,
    action: String,
    back: String,
    error: Option<String>,
    may_change: bool,
}

/// The form of a new channel.
pub(crate) async fn form(visit: Visit) -> Result<Response, Fault> {
    let form = Form {
        kind: "public".to_owned(),
        ..Form::default()
    };
    ask(&visit, form, None).await
}

async fn ask(visit: &Visit, form: Form, error: Option<String>) -> Result<Response, Fault> {
    let w = words::Channels::of(visit.language);
    Ok(page(&FormPage {
        layout: Layout::of(visit, Section::Channels, w.new_point),
        w,
        parts: part_links(visit, Part::Points, w),
        form,
        codes: script_codes(visit).await?,
        action: visit.page("channels/new"),
        back: visit.page("channels"),
        error,
        may_change: visit.may_change(),
    }))
}

/// A token that was just made. It is read here alone, to be shown once.
#[derive(Deserialize)]
struct Made {
    id: String,
    token_local: String,
}

/// Creates a channel, and shows its token.
pub(crate) async fn create(action: Action) -> Result<Response, Fault> {
    let Action { visit, fields } = action;
    let sent = Form::sent(&fields);
    let body = match body_of(&sent, &Form::default(), &fields) {
        Ok(body) => body,
        Err(wrong) => return ask(&visit, sent, Some(wrong)).await,
    };
    let path = format!("{SERVICE}/{COLLECTION}");
    match visit.send::<Made>(Method::POST, &path, &body).await {
        Ok(made) => {
            let shown = Shown {
                token: Some(made.token_local),
                ..Shown::default()
            };
            show(&visit, &made.id, &Fields::default(), shown).await
        }
        Err(error) => {
            let error = refusal(error)?;
            ask(&visit, sent, Some(error)).await
        }
    }
}

#[derive(Template)]
#[template(path = "channel.html")]
struct DetailPage {
    layout: Layout,
    w: &'static words::Channels,
    parts: Vec<PartLink>,
    row: Row,
    form: Form,
    codes: Vec<String>,
    /// The token, right after it was made.
    token: Option<String>,
    hook: String,
    sockets: Vec<Socket>,
    runs: Vec<RunRow>,
    all_runs: String,
    deliveries: String,
    here: String,
    error: Option<String>,
    may_change: bool,
}

struct Socket {
    at: Option<Moment>,
    node: String,
}

/// The outcome of a form, which the page shows.
#[derive(Default)]
struct Shown {
    token: Option<String>,
    form: Option<Form>,
    error: Option<String>,
}

/// The open websockets of a channel (`GET …/{id}/sockets`).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OpenSocket {
    node: String,
    #[serde(default)]
    connected_at: Option<String>,
}

/// A channel.
pub(crate) async fn detail(
    visit: Visit,
    Path((_, id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Response, Fault> {
    let fields = Fields::parse(query.unwrap_or_default().as_bytes());
    show(&visit, &id, &fields, Shown::default()).await
}

async fn show(visit: &Visit, id: &str, fields: &Fields, shown: Shown) -> Result<Response, Fault> {
    let w = words::Channels::of(visit.language);
    let point: Point = find(visit, COLLECTION, id).await?;
    let filter = json!({ "integrationPointId": point.id }).to_string();
    let pairs = [("filter", &*filter), ("limit", "10")];
    let runs: Vec<Run> = visit
        .get(&format!("{SERVICE}/svcscript_runtimes{}", query(pairs)))
        .await?;
    let sockets = format!("{SERVICE}/{COLLECTION}/{}/sockets", segment(id));
    let sockets: Vec<OpenSocket> = visit.get(&sockets).await?;
    let zone = &visit.workspace.zone;
    let base = visit.console.public_url();
    let base = base.trim_end_matches('/');
    let token = shown.token.as_deref().unwrap_or("…");
    let hook = format!("{base}/hook/{}", segment(token));
    let layout = Layout::of(visit, Section::Channels, w.one);
    Ok(page(&DetailPage {
        layout: layout.with_notice(done(fields, w)),
        w,
        parts: part_links(visit, Part::Points, w),
        row: Row::new(&point, visit),
        form: shown.form.unwrap_or_else(|| Form::of(&point)),
        codes: script_codes(visit).await?,
        hook,
        token: shown.token,
        sockets: sockets
            .iter()
            .map(|one| Socket {
                at: one
                    .connected_at
                    .as_deref()
                    .and_then(|at| Moment::parse(at, zone)),
                node: visible(&one.node),
            })
            .collect(),
        runs: runs.iter().map(|run| RunRow::new(run, visit, w)).collect(),
        all_runs: at(visit, "channels/runs", &[("channel", &point.id)], None),
        deliveries: at(
            visit,
            "deliveries",
            &[("source", "channel"), ("webHookId", &point.id)],
            None,
        ),
        here: address(visit, &point.id),
        error: shown.error,
        may_change: visit.may_change(),
    }))
}

/// Saves the settings of a channel.
pub(crate) async fn save(
    Path((_, id)): Path<(String, String)>,
    action: Action,
) -> Result<Response, Fault> {
    let Action { visit, fields } = action;
    let before: Point = find(&visit, COLLECTION, &id).await?;
    let sent = Form::sent(&fields);
    let path = format!("{SERVICE}/{COLLECTION}/{}", segment(&id));
    let error = match body_of(&sent, &Form::of(&before), &fields) {
        Err(wrong) => wrong,
        Ok(body) => match visit.send::<Value>(Method::PATCH, &path, &body).await {
            Ok(_) => return Ok(redirect(&format!("{}?done=save", address(&visit, &id)))),
            Err(error) => refusal(error)?,
        },
    };
    let shown = Shown {
        form: Some(sent),
        error: Some(error),
        ..Shown::default()
    };
    show(&visit, &id, &Fields::default(), shown).await
}

/// Gives a channel a new token, and shows it.
pub(crate) async fn rotate(
    Path((_, id)): Path<(String, String)>,
    action: Action,
) -> Result<Response, Fault> {
    let Action { visit, fields } = action;
    let path = format!("{SERVICE}/{COLLECTION}/{}/rotate_token", segment(&id));
    let overlap = fields.text("overlap");
    let body = match overlap.parse::<i64>() {
        Ok(seconds) => json!({ "overlap_seconds": seconds }),
        Err(_) if overlap.is_empty() => json!({}),
        // The API says what is wrong.
        Err(_) => json!({ "overlap_seconds": overlap }),
    };
    let shown = match visit.send::<Made>(Method::POST, &path, &body).await {
        Ok(made) => Shown {
            token: Some(made.token_local),
            ..Shown::default()
        },
        Err(error) => Shown {
            error: Some(refusal(error)?),
            ..Shown::default()
        },
    };
    show(&visit, &id, &Fields::default(), shown).await
}

/// Deletes a channel.
pub(crate) async fn delete(
    Path((_, id)): Path<(String, String)>,
    action: Action,
) -> Result<Response, Fault> {
    let Action { visit, .. } = action;
    let path = format!("{SERVICE}/{COLLECTION}/{}", segment(&id));
    let _: Value = visit.send(Method::DELETE, &path, &Value::Null).await?;
    Ok(redirect(&format!("{}?done=delete", visit.page("channels"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_changes_only_the_options_that_differ() {
        let before = Form::of(&Point::default());
        let form = Form {
            code: "bot".to_owned(),
            ip_mask: "10.0.0.0/8, 1.2.3.4".to_owned(),
            timeout: "5".to_owned(),
            ..Form::default()
        };
        let body = form.body(&before).expect("a body");
        assert_eq!(
            body["opts"],
            json!({"title": "", "comment": "", "issync": false, "recv_timeout": 5, "ip_mask": ["10.0.0.0/8", "1.2.3.4"]})
        );
        assert_eq!(body["code"], "bot");
        let same = Form::of(&Point::default()).body(&before).expect("a body");
        assert_eq!(
            same["opts"],
            json!({"title": "", "comment": "", "issync": false})
        );
        let wrong = Form {
            timeout: "soon".to_owned(),
            ..Form::default()
        };
        assert_eq!(wrong.body(&before), Err("soon".to_owned()));
    }
}
