//! Writing the sheets as a PDF file.

use crate::clean;
use crate::error::PrintError;
use crate::font::Font;
use crate::form::PrintForm;
use crate::sheet::{Area, PAPER, Sheets};
use crate::time::Zone;
use miniz_oxide::deflate::compress_to_vec_zlib;
use pdf_writer::types::{ActionType, AnnotationType, CidFontType, FontFlags};
use pdf_writer::types::{SystemInfo, UnicodeCmap};
use pdf_writer::{Date, Filter, Finish, Name, Pdf, Rect, Ref, Str, TextStr};

const CATALOG: Ref = Ref::new(1);
const PAGES: Ref = Ref::new(2);
const INFO: Ref = Ref::new(3);
const LINK: Ref = Ref::new(4);

/// The default level of zlib. Higher levels gain nothing here.
const COMPRESSION_LEVEL: u8 = 6;

const IDENTITY: SystemInfo<'_> = SystemInfo {
    registry: Str(b"Adobe"),
    ordering: Str(b"Identity"),
    supplement: 0,
};

pub(crate) fn write(sheets: Sheets, form: &PrintForm<'_>) -> Result<Vec<u8>, PrintError> {
    let mut file = File {
        pdf: Pdf::new(),
        next: LINK.next(),
    };
    let regular = file.font(&sheets.fonts.regular, "DejaVuSansCondensed")?;
    let bold = file.font(&sheets.fonts.bold, "DejaVuSansCondensed-Bold")?;
    file.catalog(form);
    file.info(form);
    let link = sheets.link.filter(|_| is_web_address(form.check_url));
    if let Some(area) = link {
        file.link(area, form.check_url);
    }
    let mut ids = Vec::new();
    for content in sheets.pages {
        let linked = link.is_some() && ids.is_empty();
        ids.push(file.page(&content.finish(), [regular, bold], linked));
    }
    let count = i32::try_from(ids.len()).unwrap_or(i32::MAX);
    file.pdf.pages(PAGES).kids(ids).count(count);
    Ok(file.pdf.finish())
}

struct File {
    pdf: Pdf,
    next: Ref,
}

impl File {
    fn id(&mut self) -> Ref {
        self.next.bump()
    }

    fn catalog(&mut self, form: &PrintForm<'_>) {
        let mut catalog = self.pdf.catalog(CATALOG);
        catalog.pages(PAGES);
        catalog.lang(TextStr(form.language.tag()));
        catalog.viewer_preferences().display_doc_title(true);
    }

    fn info(&mut self, form: &PrintForm<'_>) {
        let mut info = self.pdf.document_info(INFO);
        info.title(TextStr(&clean::field(form.document.name)));
        info.producer(TextStr("Prichal"));
        if let Some(date) = date(form.made) {
            info.creation_date(date);
        }
    }

    fn link(&mut self, area: Area, address: &str) {
        let (top, bottom) = (PAPER.1 - area.y, PAPER.1 - area.y - area.height);
        let mut link = self.pdf.annotation(LINK);
        link.subtype(AnnotationType::Link);
        link.rect(Rect::new(area.x, bottom, area.x + area.width, top));
        link.border(0.0, 0.0, 0.0, None);
        let mut action = link.action();
        action.action_type(ActionType::Uri);
        action.uri(Str(address.as_bytes()));
    }

    fn page(&mut self, content: &[u8], fonts: [Ref; 2], linked: bool) -> Ref {
        let (id, content_id) = (self.id(), self.id());
        let mut page = self.pdf.page(id);
        page.parent(PAGES);
        page.media_box(Rect::new(0.0, 0.0, PAPER.0, PAPER.1));
        page.contents(content_id);
        if linked {
            page.annotations([LINK]);
        }
        let mut resources = page.resources();
        let mut named = resources.fonts();
        named.pair(Name(b"R"), fonts[0]).pair(Name(b"B"), fonts[1]);
        named.finish();
        resources.finish();
        page.finish();
        self.stream(content_id, content);
        id
    }

    fn stream(&mut self, id: Ref, bytes: &[u8]) {
        let packed = compress_to_vec_zlib(bytes, COMPRESSION_LEVEL);
        self.pdf.stream(id, &packed).filter(Filter::FlateDecode);
    }

    /// Writes a composite font: two bytes of text are a code, and a map gives the glyph of each code.
    fn font(&mut self, font: &Font, name: &str) -> Result<Ref, PrintError> {
        let (program, glyphs) = font.subset()?;
        let name = format!("{}+{name}", tag(font));
        let [id, cid, descriptor, file, map, unicode] = std::array::from_fn(|_| self.id());
        let mut composite = self.pdf.type0_font(id);
        composite.base_font(Name(name.as_bytes()));
        composite.encoding_predefined(Name(b"Identity-H"));
        composite.descendant_font(cid).to_unicode(unicode);
        composite.finish();
        let mut simple = self.pdf.cid_font(cid);
        simple.subtype(CidFontType::Type2);
        simple.base_font(Name(name.as_bytes()));
        simple.system_info(IDENTITY).font_descriptor(descriptor);
        simple.cid_to_gid_map_stream(map);
        let widths = font.used.iter().map(|used| used.width);
        simple.widths().consecutive(0, widths);
        simple.finish();
        self.descriptor(font, &name, descriptor, file);
        self.program(file, &program);
        let map_bytes: Vec<u8> = glyphs
            .iter()
            .flat_map(|glyph| glyph.to_be_bytes())
            .collect();
        self.stream(map, &map_bytes);
        self.stream(unicode, &to_unicode(font));
        Ok(id)
    }

    fn descriptor(&mut self, font: &Font, name: &str, id: Ref, file: Ref) {
        let metrics = &font.metrics;
        let [left, low, right, high] = metrics.bounds.map(|side| font.scale(side));
        let mut descriptor = self.pdf.font_descriptor(id);
        descriptor.name(Name(name.as_bytes()));
        descriptor.flags(FontFlags::SYMBOLIC);
        descriptor.bbox(Rect::new(left, low, right, high));
        descriptor.italic_angle(0.0);
        descriptor.ascent(font.scale(metrics.ascender));
        descriptor.descent(font.scale(metrics.descender));
        descriptor.cap_height(font.scale(metrics.cap_height));
        descriptor.stem_v(if metrics.is_bold { 140.0 } else { 85.0 });
        descriptor.font_file2(file);
    }

    fn program(&mut self, id: Ref, program: &[u8]) {
        let packed = compress_to_vec_zlib(program, COMPRESSION_LEVEL);
        let length = i32::try_from(program.len()).unwrap_or(i32::MAX);
        let mut stream = self.pdf.stream(id, &packed);
        stream.filter(Filter::FlateDecode);
        stream.pair(Name(b"Length1"), length);
    }
}

/// Builds the map from codes to Unicode, which makes the text searchable and copyable.
fn to_unicode(font: &Font) -> Vec<u8> {
    let mut map = UnicodeCmap::<u16>::new(Name(b"Custom"), IDENTITY);
    for (used, code) in font.used.iter().zip(0..) {
        map.pair(code, used.char);
    }
    map.finish().to_vec()
}

/// Six letters that depend on the used characters: FNV-1a over them.
fn tag(font: &Font) -> String {
    let mut hash = 0xCBF2_9CE4_8422_2325_u64;
    for used in &font.used {
        hash = (hash ^ u64::from(u32::from(used.char))).wrapping_mul(0x0100_0000_01B3);
    }
    let letters = (0..6u32).map(|at| hash / 26u64.pow(at) % 26);
    letters
        .filter_map(|letter| u8::try_from(letter).ok())
        .map(|letter| char::from(b'A' + letter))
        .collect()
}

/// True for a web address. Other addresses do not become links.
fn is_web_address(address: &str) -> bool {
    let web = address.starts_with("https://") || address.starts_with("http://");
    web && address.bytes().all(|byte| byte.is_ascii_graphic())
}

fn date(seconds: i64) -> Option<Date> {
    let at = Zone::utc(seconds)?;
    let part = |value: i8| value.unsigned_abs();
    let date = Date::new(at.year().unsigned_abs());
    let date = date.month(part(at.month())).day(part(at.day()));
    let date = date.hour(part(at.hour())).minute(part(at.minute()));
    Some(date.second(part(at.second())).utc_offset_hour(0))
}
