//! Bounds of documents, routes and signatures (`docs/contracts/idocs.md §1.5, §8`). Sizes are in bytes.

/// The maximum number of originals of a document.
pub const MAX_ORIGINALS: usize = 20;
/// The maximum size of an original, in bytes.
pub const MAX_ORIGINAL: u64 = 15 << 20;
/// The maximum size of all originals of a document, in bytes.
pub const MAX_ORIGINALS_TOTAL: i64 = 60 << 20;
/// The latest date of a document: the end of the year 2100, in seconds.
pub const MAX_DATE: i64 = 4_133_980_799;
/// The maximum number of recipients of a route, and of nodes of an internal route.
pub const MAX_NODES: usize = 100;
/// The maximum number of characters of a reason.
pub const MAX_REASON: usize = 1000;
/// The maximum number of signers of a signature.
pub const MAX_SIGNERS: usize = 16;
/// The largest signature of all: with the zip of all originals inside.
pub const MAX_ATTACHED: u64 = (MAX_ORIGINALS_TOTAL as u64) + 2 * MAX_BESIDE_CONTENT as u64;

const MAX_SIGNATURE: usize = 10 << 20;
const MAX_BESIDE_CONTENT: usize = 1 << 20;

/// The size that a signature may have, by the size of the content inside it.
pub fn max_signature(content: usize) -> usize {
    MAX_SIGNATURE.max(content + MAX_BESIDE_CONTENT)
}
