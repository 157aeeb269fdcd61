//! Paths as the vendors' servers take them: slashes doubled or at the end, words in either case.

use axum::http::Uri;

/// The paths there are under `/api`.
pub struct Paths(Vec<Vec<Segment>>);

enum Segment {
    Word(String),
    /// Something that the client names.
    Name,
}

impl Segment {
    fn matches(&self, given: &str) -> bool {
        match self {
            Self::Word(word) => word.eq_ignore_ascii_case(given),
            Self::Name => true,
        }
    }
}

impl Paths {
    /// Reads paths such as `/api/v1/{ws}/files/{id}`.
    pub fn new<'a>(templates: impl IntoIterator<Item = &'a str>) -> Self {
        let segment = |text: &str| match text.strip_prefix('{') {
            Some(_) => Segment::Name,
            None => Segment::Word(text.to_owned()),
        };
        let segments = |path: &str| segments(path).map(segment).collect();
        Self(templates.into_iter().map(segments).collect())
    }

    /// The path as it is registered here, if it was written in another way.
    pub fn canonical(&self, uri: &Uri) -> Option<Uri> {
        let path = uri.path();
        let given: Vec<&str> = segments(path).collect();
        if !given.first()?.eq_ignore_ascii_case("api") {
            return None;
        }
        let has_names = given
            .get(1)
            .is_some_and(|version| version.eq_ignore_ascii_case("v1"));
        // A word goes before a name that fits as well.
        let words = |known: &&Vec<Segment>| {
            let words = known.iter().filter(|one| matches!(one, Segment::Word(_)));
            words.count()
        };
        let fitting = self.0.iter().filter(|known| {
            let mut pairs = known.iter().zip(&given);
            known.len() == given.len() && pairs.all(|(known, given)| known.matches(given))
        });
        let mut written = String::with_capacity(path.len());
        match fitting.max_by_key(words) {
            Some(known) => {
                for (known, given) in known.iter().zip(&given) {
                    written.push('/');
                    match known {
                        Segment::Word(word) => written.push_str(word),
                        // Names are ids in the other versions.
                        Segment::Name if !has_names => {
                            written.push_str(&given.to_ascii_lowercase());
                        }
                        Segment::Name => written.push_str(given),
                    }
                }
            }
            None => given.iter().for_each(|given| {
                written.push('/');
                written.push_str(given);
            }),
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
    fn paths_are_taken_as_the_vendors_take_them() {
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
