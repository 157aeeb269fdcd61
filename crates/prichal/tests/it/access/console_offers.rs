//! The links, forms and buttons that the pages of the console offer. The table of routes tells who may follow them
//! (`console_table.rs`).

use std::collections::{BTreeMap, BTreeSet};

use crate::harness::hub::Caller;

/// The method and address of something that a page offers.
pub(super) type Offer = (&'static str, String);

/// The values of an attribute in a page.
fn attributes<'a>(page: &'a str, name: &'a str) -> impl Iterator<Item = String> + 'a {
    let texts = page.split(name).skip(1);
    texts.map(|text| {
        let value = text.split('"').next().unwrap_or_default();
        value.replace("&#38;", "&").replace("&amp;", "&")
    })
}

/// The method and address of everything that a page offers: links, forms with a button, buttons with an address of their
/// own, and attributes of htmx. A form without a button only shows things.
pub(super) fn offers(page: &str) -> impl Iterator<Item = Offer> {
    let mut found = Vec::new();
    if page.starts_with("<!doctype html>") {
        for form in page.split("<form").skip(1) {
            let (form, _) = form.split_once("</form>").expect("a form ends");
            let (head, inside) = form.split_once('>').expect("the end of a tag");
            let id = attributes(head, " id=\"").next();
            let outside = id.map(|id| format!(" form=\"{id}\""));
            let is_sent = inside.contains("<button") || inside.contains("type=\"submit\"");
            if is_sent || outside.is_some_and(|button| page.contains(&button)) {
                let is_post = head.contains("method=\"post\"");
                let method = if is_post { "POST" } else { "GET" };
                let actions = attributes(head, " action=\"");
                found.extend(actions.map(|to| (method, to)));
            }
        }
        // Buttons with an address of their own send forms that change something.
        found.extend(attributes(page, " formaction=\"").map(|to| ("POST", to)));
        for (name, method) in [
            (" href=\"", "GET"),
            (" hx-get=\"", "GET"),
            (" hx-post=\"", "POST"),
            (" hx-put=\"", "PUT"),
            (" hx-patch=\"", "PATCH"),
            (" hx-delete=\"", "DELETE"),
        ] {
            found.extend(attributes(page, name).map(|to| (method, to)));
        }
    }
    let own = |to: &str| to.starts_with("/console");
    found.into_iter().filter(move |(_, to)| own(to))
}

/// The maximum number of pages that a visitor walks through.
const MAX_PAGES: usize = 400;
/// The maximum number of pages that differ in their ids and criteria only.
const MAX_OF_KIND: usize = 4;

/// An address without its ids and the values of its criteria.
fn kind(address: &str) -> String {
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    let words = path.split('/').filter(|word| word.len() < 20);
    let criteria = query.split('&').filter_map(|pair| pair.split('=').next());
    words.chain(criteria).collect::<Vec<_>>().join("/")
}

/// Follows the links of pages, and those of the pages behind them. Returns what all pages offer.
pub(super) async fn walk(
    browser: &Caller,
    mut seen: BTreeSet<String>,
    mut offered: BTreeSet<Offer>,
) -> BTreeSet<Offer> {
    let mut of_kind: BTreeMap<String, usize> = BTreeMap::new();
    loop {
        let is_page = |to: &str| {
            let files = [
                "/assets/",
                "/recording/",
                "/export",
                "/live",
                "/oidc/",
                "/files/",
            ];
            !files.iter().any(|part| to.contains(part))
        };
        let links = offered
            .iter()
            .filter(|(method, to)| *method == "GET" && is_page(to));
        let links = links.map(|(_, to)| to.split('#').next().unwrap_or_default().to_owned());
        let new: BTreeSet<String> = links.filter(|to| !seen.contains(to)).collect();
        if new.is_empty() {
            return offered;
        }
        for address in new {
            let count = of_kind.entry(kind(&address)).or_default();
            *count += 1;
            if *count > MAX_OF_KIND {
                seen.insert(address);
                continue;
            }
            let walked: usize = of_kind
                .values()
                .map(|count| (*count).min(MAX_OF_KIND))
                .sum();
            assert!(walked < MAX_PAGES, "the pages have no end: {seen:#?}");
            let answer = browser.get(&address).await;
            assert!(answer.status < 500, "{address}: {}", answer.text);
            seen.insert(address);
            if answer.status == 200 {
                offered.extend(offers(&answer.text));
            }
        }
    }
}
