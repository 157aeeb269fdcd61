//! The smallest PDF with text: one page in a font that every viewer has.

use std::fmt::Write as _;

/// A page with these lines, of ASCII characters without brackets and backslashes.
pub(super) fn page(lines: &[&str]) -> Vec<u8> {
    let mut text = "BT /F1 12 Tf 16 TL 60 770 Td".to_owned();
    for line in lines {
        let _ = write!(text, " ({line}) Tj T*");
    }
    text.push_str(" ET");
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R \
         /Resources << /Font << /F1 5 0 R >> >> >>"
            .to_owned(),
        format!("<< /Length {} >>\nstream\n{text}\nendstream", text.len()),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ];
    let mut file = "%PDF-1.4\n".to_owned();
    let mut offsets = Vec::new();
    for (number, object) in (1..).zip(&objects) {
        offsets.push(file.len());
        let _ = write!(file, "{number} 0 obj\n{object}\nendobj\n");
    }
    let table = file.len();
    let size = objects.len() + 1;
    let _ = write!(file, "xref\n0 {size}\n0000000000 65535 f \n");
    for offset in offsets {
        let _ = write!(file, "{offset:010} 00000 n \n");
    }
    let _ = write!(
        file,
        "trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n"
    );
    file.into_bytes()
}
