//! Pages that are found by their links, so that none is forgotten.

use std::collections::{BTreeSet, VecDeque};

use regex::Regex;
use serde_json::{Value, json};

use crate::browser::Browser;

/// The maximum number of pages of a section.
const MAX_PAGES: usize = 40;

/// The addresses of the page's links and of its frames, with a path of the console.
const FIND_LINKS: &str = "
return [...document.querySelectorAll('main a[href]:not([download])')]
  .map((link) => new URL(link.href))
  .filter((url) => url.origin === location.origin && url.pathname.startsWith('/console/'))
  .map((url) => url.pathname + url.search);
";

/// The type of the content behind an address.
const FIND_TYPE: &str = "
const [address, done] = arguments;
fetch(address).then((answer) => { answer.body?.cancel(); return answer.headers.get('content-type'); }, String).then(done);
";

/// A path with names of parameters, but without ids: pages of the same kind have the same one.
fn kind(address: &str) -> String {
    let ids = Regex::new("[0-9a-fA-F-]{24,}|[0-9]+").expect("a regular expression");
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    let names: BTreeSet<&str> = query
        .split('&')
        .filter_map(|pair| pair.split('=').next())
        .collect();
    let names: Vec<&str> = names.into_iter().collect();
    format!("{}?{}", ids.replace_all(path, "ID"), names.join("&"))
}

impl Browser {
    /// Opens one page of each kind that links lead to, from this one on, as long as their paths begin with it. Calls
    /// back on each with a name for it.
    pub(crate) async fn crawl(&self, url: &str, start: &str, on_page: impl AsyncFn(&str)) {
        let (mut known, mut next) = (
            BTreeSet::from([kind(start)]),
            VecDeque::from([start.to_owned()]),
        );
        let mut count = 0;
        while let Some(address) = next.pop_front() {
            count += 1;
            assert!(count <= MAX_PAGES, "too many kinds of pages: {known:#?}");
            self.open(&format!("{url}{address}")).await;
            on_page(&name(&address)).await;
            for link in self.links().await {
                if link.starts_with(start)
                    && !known.contains(&kind(&link))
                    && self.is_page(&link).await
                {
                    known.insert(kind(&link));
                    next.push_back(link);
                }
            }
        }
    }

    async fn links(&self) -> Vec<String> {
        let found = self.run(FIND_LINKS, vec![]).await;
        let found = found.as_array().expect("a list").iter();
        found.filter_map(Value::as_str).map(str::to_owned).collect()
    }

    async fn is_page(&self, address: &str) -> bool {
        let found = self
            .client
            .execute_async(FIND_TYPE, vec![json!(address)])
            .await;
        let found = found.expect("an answer");
        found
            .as_str()
            .is_some_and(|kind| kind.starts_with("text/html"))
    }
}

/// The name of a page's screenshots: its kind without the workspace.
fn name(address: &str) -> String {
    let kind = kind(address);
    let path = kind.trim_start_matches("/console/");
    let below = path.split_once('/').map_or(path, |(_, below)| below);
    let words = below.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    format!("page-{}", words.join("-"))
}
