//! XPaths of things as a reader names them.

/// A text in an XPath.
fn quoted(text: &str) -> String {
    assert!(!text.contains('"'), "{text:?} cannot be quoted in an XPath");
    format!("\"{text}\"")
}

/// A button with this name.
pub(crate) fn button(name: &str) -> String {
    let name = quoted(name);
    format!("//button[normalize-space()={name} or @aria-label={name}]")
}

/// A link with this name.
pub(crate) fn link(name: &str) -> String {
    let name = quoted(name);
    format!("//a[normalize-space()={name} or @aria-label={name}]")
}

/// A field with this label.
pub(crate) fn field(label: &str) -> String {
    let label = quoted(label);
    let is_field = "self::input or self::select or self::textarea";
    format!(
        "//*[{is_field}][@aria-label={label} or @id=//label[normalize-space()={label}]/@for \
        or ancestor::label[normalize-space(text())={label} or normalize-space(span)={label}]]"
    )
}

/// A heading of any level.
pub(crate) fn heading(text: &str) -> String {
    let text = quoted(text);
    format!("//*[self::h1 or self::h2 or self::h3][contains(normalize-space(), {text})]")
}

/// A row of a table with this text in it.
pub(crate) fn row(text: &str) -> String {
    let text = quoted(text);
    format!("//tbody/tr[contains(normalize-space(), {text})]")
}
