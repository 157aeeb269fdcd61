//! Channels: the points at which outside systems connect, their types, scripts, and the runs of these scripts.

mod model;
mod points;
mod runs;
mod scripts;
#[cfg(test)]
mod tests;
mod trial;
mod types;
mod unseen;

pub(super) use points::{
    create as create_point, delete as delete_point, detail as point, form as new_point,
    list as points, rotate as rotate_point, save as save_point,
};
pub(super) use runs::{detail as run, list as runs, retry as retry_run};
pub(super) use scripts::{
    create as create_script, delete as delete_script, detail as script, form as new_script,
    list as scripts, save as save_script,
};
pub(super) use trial::try_script;
pub(super) use types::{
    create as create_type, delete as delete_type, detail as a_type, form as new_type,
    list as types, save as save_type,
};

use serde::de::DeserializeOwned;

use crate::{
    answer::Fault,
    api::{ApiError, query},
    form::Fields,
    visit::Visit,
    words,
};

/// The collections of the API, which name no workspace.
pub(super) const SERVICE: &str = "/rest/v1/service";
/// The number of lines on a page.
const PAGE: usize = 50;

/// The parts of the section, in the order of their menu.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Points,
    Types,
    Scripts,
    Runs,
}

/// A line of the menu of parts.
struct PartLink {
    href: String,
    name: &'static str,
    is_current: bool,
}

fn part_links(visit: &Visit, current: Part, w: &words::Channels) -> Vec<PartLink> {
    let parts = [
        (Part::Points, "channels", w.points),
        (Part::Types, "channels/types", w.types),
        (Part::Scripts, "channels/scripts", w.scripts),
        (Part::Runs, "channels/runs", w.runs),
    ];
    let link = |(part, path, name)| PartLink {
        href: visit.page(path),
        name,
        is_current: part == current,
    };
    parts.into_iter().map(link).collect()
}

/// A page of a collection, and the offsets of the pages around it.
struct Paged<T> {
    items: Vec<T>,
    next: Option<usize>,
    is_first: bool,
}

/// Reads a page of a collection from the offset of the address. `pairs` select and shape the items.
async fn paged<T: DeserializeOwned>(
    visit: &Visit,
    collection: &str,
    pairs: &[(&str, &str)],
    fields: &Fields,
) -> Result<Paged<T>, ApiError> {
    let offset: usize = fields.text("offset").parse().unwrap_or(0);
    let path = |offset: usize, limit: usize| {
        let (offset, limit) = (offset.to_string(), limit.to_string());
        let place = [("offset", &*offset), ("limit", &*limit)];
        let pairs = pairs.iter().copied().chain(place);
        format!("{SERVICE}/{collection}{}", query(pairs))
    };
    let mut items: Vec<T> = visit.get(&path(offset, PAGE + 1)).await?;
    let has_more = if items.len() > PAGE {
        items.truncate(PAGE);
        true
    } else if items.is_empty() || collection != "svcscript_runtimes" {
        false
    } else {
        // A list of runs ends early when its logs are long.
        let rest: Vec<serde_json::Value> = visit.get(&path(offset + items.len(), 1)).await?;
        !rest.is_empty()
    };
    Ok(Paged {
        next: has_more.then(|| offset + items.len()),
        is_first: offset == 0,
        items,
    })
}

/// The address of a list with an offset.
fn at(visit: &Visit, below: &str, pairs: &[(&str, &str)], offset: Option<usize>) -> String {
    let offset = offset.map_or_else(String::new, |offset| offset.to_string());
    let pairs = pairs.iter().copied().chain([("offset", &*offset)]);
    format!("{}{}", visit.page(below), query(pairs))
}

/// The sentence about what was just done, by the address.
fn done(fields: &Fields, w: &words::Channels) -> Option<&'static str> {
    match fields.text("done") {
        "save" => Some(w.saved),
        "create" => Some(w.created),
        "delete" => Some(w.deleted),
        "retry" => Some(w.retried),
        _ => None,
    }
}

/// A refusal that a form shows above itself, or the fault of any other failure.
fn refusal(error: ApiError) -> Result<String, Fault> {
    if error.is_refusal() && !error.is_not_found() {
        Ok(error.message)
    } else {
        Err(error.into())
    }
}

/// The codes of the scripts to choose from.
async fn script_codes(visit: &Visit) -> Result<Vec<String>, Fault> {
    #[derive(serde::Deserialize)]
    struct Coded {
        code: String,
    }
    let path = format!("{SERVICE}/svcscripts?mask=code&order=%5B%22code%22%5D&limit=1000");
    let found: Vec<Coded> = visit.get(&path).await?;
    Ok(found.into_iter().map(|one| one.code).collect())
}

/// The pieces of a text that is a list for people.
fn pieces(text: &str) -> Vec<&str> {
    let pieces = text.split([',', ' ', '\n', '\r', '\t', ';']);
    pieces.filter(|piece| !piece.is_empty()).collect()
}
