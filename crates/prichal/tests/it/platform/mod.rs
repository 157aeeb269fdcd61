//! Several nodes, and the share of each workspace.

mod fairness;
mod nodes;
mod walks;
mod write_limits;
