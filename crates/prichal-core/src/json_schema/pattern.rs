//! Patterns of a schema. They come from outside, so the memory of one and the time of a match are bounded.

use regex::{Regex, RegexBuilder};
use regex_syntax::hir::{Class, Hir, HirKind};

/// The maximum memory of a compiled pattern, and of the states that matching makes of it, in bytes.
const MAX_BYTES: usize = 64 << 10;
/// The estimated memory of a pattern, in bytes.
pub(super) const BYTES: usize = 2 * MAX_BYTES;
/// The number of positions that a match looks at in one step.
const POSITIONS_PER_STEP: usize = 4;

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Pattern {
    pub(super) regex: Regex,
    /// The number of places in the pattern at which a match may be at once.
    positions: usize,
}

impl Pattern {
    /// The error is the reason of the refusal.
    pub(super) fn compile(pattern: &str) -> Result<Self, &'static str> {
        let unreadable =
            "the pattern cannot be read; look-around and back-references are not supported";
        let mut builder = RegexBuilder::new(pattern);
        builder.size_limit(MAX_BYTES).dfa_size_limit(MAX_BYTES);
        let regex = builder.build().map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "the pattern is too large",
            _ => unreadable,
        })?;
        let parsed = regex_syntax::parse(pattern).map_err(|_| unreadable)?;
        Ok(Self {
            regex,
            positions: positions(&parsed),
        })
    }

    /// The steps of a match. In the worst case, a match is at all positions at once for each byte of the text: then the
    /// automaton has too many states to be kept, and each byte looks at all positions.
    pub(super) fn cost(&self, text: &str) -> usize {
        let looks = text.len().saturating_mul(self.positions);
        1 + looks / POSITIONS_PER_STEP
    }
}

fn positions(hir: &Hir) -> usize {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) | HirKind::Class(Class::Bytes(_)) => 1,
        HirKind::Literal(literal) => literal.0.len(),
        HirKind::Class(Class::Unicode(class)) => class.maximum_len().unwrap_or(1),
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min).max(1);
            let times = usize::try_from(times).unwrap_or(usize::MAX);
            positions(&repetition.sub).saturating_mul(times)
        }
        HirKind::Capture(capture) => positions(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts
            .iter()
            .fold(0, |sum: usize, part| sum.saturating_add(positions(part))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_match_costs_its_text_times_the_positions_of_the_pattern() {
        for (pattern, positions) in [
            ("a", 1),
            ("^abc$", 5),
            ("[ab]*a[ab]{60}c", 63),
            ("(?:(?:a?b?){9}){4}", 72),
            ("(a|bc|)+", 4),
            (r"\p{L}+", 4),
        ] {
            let compiled = Pattern::compile(pattern).unwrap();
            assert_eq!(compiled.positions, positions, "{pattern}");
            assert_eq!(compiled.cost(&"x".repeat(400)), 1 + 100 * positions);
        }
    }
}
