//! Paths as leniently as the vendors' servers accept them: doubled or trailing slashes, words in any case.

use axum::http::Uri;

/// The routes under `/api`, as a tree of their segments.
pub struct Paths(Node);

/// The routes that share their first segments.
#[derive(Default)]
struct Node {
    words: Vec<(String, Node)>,
    /// Routes that continue with a parameter.
    name: Option<Box<Node>>,
    /// True if a route ends here.
    ends: bool,
}

impl Node {
    fn add<'a>(&mut self, mut segments: impl Iterator<Item = &'a str>) {
        let Some(segment) = segments.next() else {
            self.ends = true;
            return;
        };
        let next = if segment.starts_with('{') {
            &mut **self.name.get_or_insert_default()
        } else {
            let known = self.words.iter().position(|(word, _)| word == segment);
            let at = known.unwrap_or_else(|| {
                self.words.push((segment.to_owned(), Self::default()));
                self.words.len() - 1
            });
            &mut self.words[at].1
        };
        next.add(segments);
    }

    /// Follows the segments of a request to the end of a route. `found` gets the word of each segment, or `None` for
    /// a parameter. As in the router, a word takes precedence over a parameter.
    fn find<'a>(&'a self, given: &[&str], found: &mut Vec<Option<&'a str>>) -> bool {
        let Some((segment, rest)) = given.split_first() else {
            return self.ends;
        };
        let length = found.len();
        for (word, next) in &self.words {
            if word.eq_ignore_ascii_case(segment) {
                found.push(Some(word));
                if next.find(rest, found) {
                    return true;
                }
                found.truncate(length);
            }
        }
        let Some(next) = &self.name else { return false };
        found.push(None);
        let is_found = next.find(rest, found);
        if !is_found {
            found.truncate(length);
        }
        is_found
    }
}

impl Paths {
    /// Reads route templates such as `/api/v1/{ws}/files/{id}`.
    pub fn new<'a>(templates: impl IntoIterator<Item = &'a str>) -> Self {
        let mut root = Node::default();
        for template in templates {
            root.add(segments(template));
        }
        Self(root)
    }

    /// The registered spelling of a path, if the given one differs.
    pub fn canonical(&self, uri: &Uri) -> Option<Uri> {
        let path = uri.path();
        if !segments(path).next()?.eq_ignore_ascii_case("api") {
            return None;
        }
        let given: Vec<&str> = segments(path).collect();
        let mut known = Vec::with_capacity(given.len());
        self.0.find(&given, &mut known);
        // Parameters are ids under every version but this.
        let keeps_names = given
            .get(1)
            .is_some_and(|version| version.eq_ignore_ascii_case("v1"));
        let mut written = String::with_capacity(path.len());
        for (at, given) in given.iter().enumerate() {
            written.push('/');
            match known.get(at) {
                Some(Some(word)) => written.push_str(word),
                Some(None) if !keeps_names => {
                    written.extend(given.chars().map(|c| c.to_ascii_lowercase()));
                }
                _ => written.push_str(given),
            }
        }
        if written == path {
            return None;
        }
        if let Some(query) = uri.query() {
            written.push('?');
            written.push_str(query);
        }
        written.parse().ok()
    }
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_as_lenient_as_the_vendors() {
        let paths = Paths::new([
            "/api/v3/sync/references/statuses",
            "/api/v3/sync/single/document/GetDocumentStatusByDocumentId/{id}",
            "/api/1/webhooks",
            "/api/v1/{ws}/events",
            "/api/v1/{ws}/{collection}",
            "/api/v1/{ws}/integrations/instances/{id}/webHooks/{hook}/test",
        ]);
        for (given, expected) in [
            ("/api/v3/sync/references/statuses", None),
            (
                "/api/v3//sync/references/statuses/",
                Some("/api/v3/sync/references/statuses"),
            ),
            (
                "//API/V3/Sync/References/Statuses?a=B",
                Some("/api/v3/sync/references/statuses?a=B"),
            ),
            (
                "/api/v3/Sync/single/document/getdocumentstatusbydocumentid/X",
                Some("/api/v3/sync/single/document/GetDocumentStatusByDocumentId/x"),
            ),
            (
                "/api/v3/sync/single/document/getdocumentstatusbydocumentid/x",
                Some("/api/v3/sync/single/document/GetDocumentStatusByDocumentId/x"),
            ),
            ("/api//1/webhooks", Some("/api/1/webhooks")),
            ("/api/v1/Ws/EVENTS", Some("/api/v1/Ws/events")),
            ("/api/v1/ws/Companies/", Some("/api/v1/ws/Companies")),
            (
                "/api/v1/ws/integrations/instances/A/webhooks/B/TEST",
                Some("/api/v1/ws/integrations/instances/A/webHooks/B/test"),
            ),
            (
                "/api/v1/ws/nothing//there/x/",
                Some("/api/v1/ws/nothing/there/x"),
            ),
            ("/api/v1/%D0%AF/events", None),
            ("/admin//v1", None),
            ("/hook//A/", None),
            ("/", None),
        ] {
            let uri = Uri::builder().path_and_query(given).build();
            let found = paths.canonical(&uri.expect("a path"));
            let found = found.map(|uri| uri.to_string());
            assert_eq!(found.as_deref(), expected, "{given}");
        }
    }
}
