//! Scripts: their list, and one with its editor, its earlier versions and its last runs.

use askama::Template;
use axum::{
    extract::{Path, RawQuery},
    response::Response,
};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Part, PartLink, SERVICE, at, done,
    model::{Run, RunRow, Script, find},
    paged, part_links, refusal, script_codes,
    trial::{Form as TrialForm, Trial},
    unseen::Unseen,
};
use crate::{
    answer::{Fault, page, redirect},
    api::{query, segment},
    form::{Action, Fields},
    moment::Moment,
    page::{Layout, Section},
    parts::visible,
    visit::Visit,
    words::{self, fill},
};

const COLLECTION: &str = "svcscripts";
/// The number of the last runs on the page of a script.
const RUNS: &str = "20";

#[derive(Template)]
#[template(path = "scripts.html")]
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
    name: String,
    changed: Option<Moment>,
    as_admin: bool,
}

impl Row {
    fn new(script: &Script, visit: &Visit) -> Self {
        Self {
            href: address(visit, &script.id),
            code: visible(&script.code),
            name: visible(&script.name),
            changed: Moment::parse(&script.lwt, &visit.workspace.zone),
            as_admin: script.opts.as_admin,
        }
    }
}

fn address(visit: &Visit, id: &str) -> String {
    visit.page(&format!("channels/scripts/{}", segment(id)))
}

/// The scripts, by their codes.
pub(crate) async fn list(visit: Visit, RawQuery(query): RawQuery) -> Result<Response, Fault> {
    let w = words::Channels::of(visit.language);
    let fields = Fields::parse(query.unwrap_or_default().as_bytes());
    let pairs = [("order", r#"["code"]"#), ("mask", "id,code,name,lwt,opts")];
    let found = paged::<Script>(&visit, COLLECTION, &pairs, &fields).await?;
    let layout = Layout::of(&visit, Section::Channels, w.scripts);
    Ok(page(&ListPage {
        layout: layout.with_notice(done(&fields, w)),
        w,
        parts: part_links(&visit, Part::Scripts, w),
        rows: found
            .items
            .iter()
            .map(|one| Row::new(one, &visit))
            .collect(),
        new: visit.page("channels/scripts/new"),
        next: found
            .next
            .map(|next| at(&visit, "channels/scripts", &[], Some(next))),
        newest: (!found.is_first).then(|| visit.page("channels/scripts")),
        may_change: visit.may_change(),
    }))
}

#[derive(Template)]
#[template(path = "script.html")]
struct DetailPage {
    layout: Layout,
    w: &'static words::Channels,
    parts: Vec<PartLink>,
    /// The title of the page: the code, or the words for a new script.
    title: String,
    code: String,
    name: String,
    source: String,
    unseen: Unseen,
    /// True if the source is not the stored one.
    is_changed: bool,
    /// A sentence about an earlier version in the editor.
    loaded: Option<String>,
    action: String,
    saved: Option<Saved>,
    error: Option<String>,
    may_change: bool,
}

/// The parts of the page of a script that is stored.
struct Saved {
    versions: Vec<Version>,
    runs: Vec<RunRow>,
    all_runs: String,
    trial: TrialForm,
    result: Option<Trial>,
    here: String,
}

struct Version {
    name: String,
    until: Option<Moment>,
    size: String,
    href: String,
}

/// An earlier version (`GET …/{id}/versions`).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EarlierVersion {
    pub(super) number: i64,
    pub(super) replaced_at: String,
    #[serde(default)]
    size: i64,
    #[serde(default)]
    pub(super) source: String,
}

/// The form of a new script.
pub(crate) async fn form(visit: Visit) -> Result<Response, Fault> {
    // Only who may read scripts is asked for one.
    script_codes(&visit).await?;
    let source = "console.log(request.method, request.url);\nrespond(204);\n";
    Ok(ask(&visit, ["", "", source], None))
}

fn ask(visit: &Visit, [code, name, source]: [&str; 3], error: Option<String>) -> Response {
    let w = words::Channels::of(visit.language);
    page(&DetailPage {
        layout: Layout::of(visit, Section::Channels, w.new_script),
        w,
        parts: part_links(visit, Part::Scripts, w),
        title: w.new_script.to_owned(),
        code: code.to_owned(),
        name: name.to_owned(),
        unseen: Unseen::of(source, w),
        source: source.to_owned(),
        is_changed: error.is_some(),
        loaded: None,
        action: visit.page("channels/scripts/new"),
        saved: None,
        error,
        may_change: visit.may_change(),
    })
}

/// A refusal without the API's name of the source, which stands in no form.
pub(super) fn in_words(refusal: &str) -> String {
    refusal.replacen("scriptdata.source", "script", 1)
}

/// The source of a form, with the line ends that it had before the browser sent it (HTML, "constructing the entry list").
pub(super) fn source_of(fields: &Fields) -> String {
    fields.raw("source").replace("\r\n", "\n")
}

fn body_of(fields: &Fields) -> Value {
    json!({
        "code": fields.text("code"),
        "name": fields.text("name"),
        "scriptdata": { "language": "javascript", "source": source_of(fields) },
    })
}

/// Creates a script.
pub(crate) async fn create(action: Action) -> Result<Response, Fault> {
    let Action { visit, fields } = action;
    let path = format!("{SERVICE}/{COLLECTION}");
    match visit
        .send::<Script>(Method::POST, &path, &body_of(&fields))
        .await
    {
        Ok(made) => Ok(redirect(&format!(
            "{}?done=create",
            address(&visit, &made.id)
        ))),
        Err(error) => {
            let error = in_words(&refusal(error)?);
            let source = source_of(&fields);
            let texts = [fields.text("code"), fields.text("name"), &source];
            Ok(ask(&visit, texts, Some(error)))
        }
    }
}

/// The outcome of a form, which the page shows besides the stored script.
#[derive(Default)]
pub(super) struct Shown {
    /// The form as it was sent.
    pub(super) sent: Option<Fields>,
    pub(super) trial: Option<Trial>,
    pub(super) error: Option<String>,
}

/// A script.
pub(crate) async fn detail(
    visit: Visit,
    Path((_, id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Response, Fault> {
    let fields = Fields::parse(query.unwrap_or_default().as_bytes());
    show(&visit, &id, &fields, Shown::default()).await
}

pub(super) async fn show(
    visit: &Visit,
    id: &str,
    fields: &Fields,
    shown: Shown,
) -> Result<Response, Fault> {
    let w = words::Channels::of(visit.language);
    let script: Script = find(visit, COLLECTION, id).await?;
    let filter = json!({ "code": script.code }).to_string();
    let pairs = [("filter", &*filter), ("limit", RUNS)];
    let path = format!("{SERVICE}/svcscript_runtimes{}", query(pairs));
    let mut runs: Vec<Run> = visit.get(&path).await?;
    // The run that the address names may be older.
    let named = fields.text("run");
    if !named.is_empty() && runs.iter().all(|run| run.id != named) {
        runs.push(find(visit, "svcscript_runtimes", named).await?);
    }
    let versions = versions(visit, id).await?;
    let earlier = earlier(visit, &script.id, fields, &runs, &versions).await?;
    let form = shown.sent.as_ref();
    let source = match (form, &earlier) {
        (Some(form), _) => source_of(form),
        (None, Some(version)) => version.source.clone(),
        (None, None) => script.scriptdata.source.clone(),
    };
    let text = |name: &str, stored: &str| {
        form.map_or_else(|| stored.to_owned(), |form| form.text(name).to_owned())
    };
    let here = address(visit, &script.id);
    let layout = Layout::of(visit, Section::Channels, w.script);
    Ok(page(&DetailPage {
        layout: layout.with_notice(done(fields, w)),
        w,
        parts: part_links(visit, Part::Scripts, w),
        title: format!("{} {}", w.script, visible(&script.code)),
        code: text("code", &script.code),
        name: text("name", &script.name),
        is_changed: source != script.scriptdata.source,
        unseen: Unseen::of(&source, w),
        source,
        loaded: earlier
            .as_ref()
            .map(|version| fill(w.version_loaded, &[&version.number])),
        action: here.clone(),
        saved: Some(Saved {
            versions: versions
                .iter()
                .map(|one| Version {
                    name: fill(w.version, &[&one.number]),
                    until: Moment::parse(&one.replaced_at, &visit.workspace.zone),
                    size: format!("{} B", one.size),
                    href: format!("{here}?version={}", one.number),
                })
                .collect(),
            runs: runs.iter().map(|run| RunRow::new(run, visit, w)).collect(),
            all_runs: at(visit, "channels/runs", &[("code", &script.code)], None),
            trial: TrialForm::new(form.unwrap_or(fields), &runs, visit, w),
            result: shown.trial,
            here,
        }),
        error: shown.error,
        may_change: visit.may_change(),
    }))
}

async fn versions(visit: &Visit, id: &str) -> Result<Vec<EarlierVersion>, Fault> {
    let path = format!("{SERVICE}/{COLLECTION}/{}/versions", segment(id));
    Ok(visit.get(&path).await?)
}

/// The version that the address asks for: by its number, or as it was when a run began.
async fn earlier(
    visit: &Visit,
    id: &str,
    fields: &Fields,
    runs: &[Run],
    versions: &[EarlierVersion],
) -> Result<Option<EarlierVersion>, Fault> {
    let number = if let Ok(number) = fields.text("version").parse::<i64>() {
        number
    } else if fields.text("as") == "was" {
        let run = runs.iter().find(|run| run.id == fields.text("run"));
        let began = run.and_then(|run| run.started_at.as_deref());
        let began = began.and_then(prichal_core::time::Timestamp::parse);
        // The versions are listed newest first.
        let then = versions.iter().rev().find(|version| {
            let replaced = prichal_core::time::Timestamp::parse(&version.replaced_at);
            replaced > began && began.is_some()
        });
        match then {
            Some(version) => version.number,
            None => return Ok(None),
        }
    } else {
        return Ok(None);
    };
    let path = format!("{SERVICE}/{COLLECTION}/{}/versions/{number}", segment(id));
    Ok(Some(visit.get(&path).await?))
}

/// Saves a script.
pub(crate) async fn save(
    Path((_, id)): Path<(String, String)>,
    action: Action,
) -> Result<Response, Fault> {
    let Action { visit, fields } = action;
    let path = format!("{SERVICE}/{COLLECTION}/{}", segment(&id));
    match visit
        .send::<Value>(Method::PATCH, &path, &body_of(&fields))
        .await
    {
        Ok(_) => Ok(redirect(&format!("{}?done=save", address(&visit, &id)))),
        Err(error) => {
            let shown = Shown {
                error: Some(in_words(&refusal(error)?)),
                sent: Some(fields),
                ..Shown::default()
            };
            show(&visit, &id, &Fields::default(), shown).await
        }
    }
}

/// Deletes a script.
pub(crate) async fn delete(
    Path((_, id)): Path<(String, String)>,
    action: Action,
) -> Result<Response, Fault> {
    let Action { visit, .. } = action;
    let path = format!("{SERVICE}/{COLLECTION}/{}", segment(&id));
    let _: Value = visit.send(Method::DELETE, &path, &Value::Null).await?;
    let list = visit.page("channels/scripts");
    Ok(redirect(&format!("{list}?done=delete")))
}
