//! Guards of the repository: promises that its comments and documents make, looked up in its files. They need
//! no server. A further guard is a module here: a function that takes a [`Source`](repository::Source) and
//! returns its faults, a table of cases for it, and a test that passes it to [`repository::assert_none`].

mod anchors;
mod paths;
mod references;
mod repository;
mod rooms;
