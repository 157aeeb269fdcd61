//! Scripts (`docs/contracts/era.md §10, §13`, `docs/contracts/prichal.md §12`).

mod host;
mod limits;
mod runs;
mod trials;
