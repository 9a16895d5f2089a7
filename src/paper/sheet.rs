//! Sheets of paper (A4) with wrapped text, as PDF. Nothing is embedded: Latin text is set in Helvetica, all other in the Chinese
//! font that every reader of PDF knows by name.

use pdf_writer::types::{CidFontType, FontFlags, SystemInfo};
use pdf_writer::{Content, Finish, Name, Pdf, Rect, Ref, Str, TextStr};

const WIDTH: f32 = 595.0;
const HEIGHT: f32 = 842.0;
/// Distance of the text from every edge.
pub(super) const MARGIN: f32 = 56.0;
/// How wide a line may be.
pub(super) const LINE: f32 = WIDTH - 2.0 * MARGIN;
/// Where the text of a page ends, above its foot.
const LOWEST: f32 = MARGIN + 24.0;

const LATIN: Name = Name(b"F1");
const BOLD: Name = Name(b"F2");
const CHINESE: Name = Name(b"F3");

/// How a line is set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Face {
    pub size: f32,
    pub bold: bool,
}

impl Face {
    fn leading(self) -> f32 {
        self.size * 1.45
    }
}

enum Mark {
    Text { x: f32, y: f32, face: Face, text: String },
    Line { x: f32, y: f32, length: f32 },
    Frame { x: f32, y: f32, width: f32, height: f32 },
}

/// Sheets that are being written, from top to bottom.
pub(super) struct Sheets {
    pages: Vec<Vec<Mark>>,
    y: f32,
}

impl Sheets {
    pub(super) fn new() -> Self {
        Self { pages: vec![Vec::new()], y: HEIGHT - MARGIN }
    }

    /// Begins another sheet unless there is so much room left.
    pub(super) fn keep_together(&mut self, height: f32) {
        if self.y - height < LOWEST {
            self.pages.push(Vec::new());
            self.y = HEIGHT - MARGIN;
        }
    }

    pub(super) fn skip(&mut self, height: f32) {
        self.y -= height;
    }

    /// A paragraph from `x` on.
    pub(super) fn paragraph(&mut self, x: f32, face: Face, text: &str) {
        for line in wrap(text, LINE - x, face.size) {
            self.keep_together(face.leading());
            self.y -= face.leading();
            let y = self.y;
            self.mark(Mark::Text { x: MARGIN + x, y, face, text: line });
        }
    }

    /// A label, and beside it its value.
    pub(super) fn field(&mut self, label: &str, value: &str, column: f32, face: Face) {
        let labels = wrap(label, column - 8.0, face.size);
        let values = wrap(value, LINE - column, face.size);
        for n in 0..labels.len().max(values.len()) {
            self.keep_together(face.leading());
            self.y -= face.leading();
            let y = self.y;
            for (x, lines) in [(0.0, &labels), (column, &values)] {
                if let Some(text) = lines.get(n) {
                    self.mark(Mark::Text { x: MARGIN + x, y, face, text: text.clone() });
                }
            }
        }
    }

    /// A label before a line to write on.
    pub(super) fn blank(&mut self, label: &str, column: f32, length: f32, face: Face) {
        self.skip(face.leading() * 0.6);
        self.field(label, "", column, face);
        let y = self.y - 2.0;
        self.mark(Mark::Line { x: MARGIN + column, y, length });
    }

    /// A frame at the right edge with a caption, which takes no room of the text's: the place for a seal.
    pub(super) fn frame(&mut self, width: f32, height: f32, caption: &str, face: Face) {
        let (x, y) = (WIDTH - MARGIN - width, self.y - height);
        self.mark(Mark::Frame { x, y, width, height });
        self.mark(Mark::Text { x: x + 6.0, y: y + 6.0, face, text: caption.to_owned() });
    }

    fn mark(&mut self, mark: Mark) {
        self.pages.last_mut().expect("there is always a page, the first is made at the beginning").push(mark);
    }

    /// The document; every page has `foot` and its number at its foot.
    pub(super) fn finish(mut self, title: &str, foot: &str) -> Vec<u8> {
        let count = self.pages.len();
        let face = Face { size: 8.0, bold: false };
        for (n, page) in self.pages.iter_mut().enumerate() {
            let text = format!("{foot}    {} / {count}", n + 1);
            page.push(Mark::Text { x: MARGIN, y: MARGIN - 16.0, face, text });
        }
        document(title, &self.pages)
    }
}

fn document(title: &str, pages: &[Vec<Mark>]) -> Vec<u8> {
    let mut next = 1..;
    let mut fresh = || Ref::new(next.next().expect("an endless range has a next number"));
    let (catalog, tree, info, latin, bold, chinese) = (fresh(), fresh(), fresh(), fresh(), fresh(), fresh());
    let (cid, descriptor) = (fresh(), fresh());
    let ids: Vec<(Ref, Ref)> = pages.iter().map(|_| (fresh(), fresh())).collect();
    let mut pdf = Pdf::new();
    pdf.catalog(catalog).pages(tree);
    pdf.document_info(info).title(TextStr(title)).finish();
    let count = i32::try_from(pages.len()).unwrap_or(i32::MAX);
    pdf.pages(tree).kids(ids.iter().map(|(page, _)| *page)).count(count);
    for (marks, (id, content)) in pages.iter().zip(&ids) {
        let mut page = pdf.page(*id);
        page.media_box(Rect::new(0.0, 0.0, WIDTH, HEIGHT)).parent(tree).contents(*content);
        page.resources().fonts().pair(LATIN, latin).pair(BOLD, bold).pair(CHINESE, chinese);
        page.finish();
        pdf.stream(*content, &drawn(marks));
    }
    pdf.type1_font(latin).base_font(Name(b"Helvetica")).encoding_predefined(Name(b"WinAnsiEncoding"));
    pdf.type1_font(bold).base_font(Name(b"Helvetica-Bold")).encoding_predefined(Name(b"WinAnsiEncoding"));
    write_chinese(&mut pdf, chinese, cid, descriptor);
    pdf.finish()
}

/// The predefined font for Chinese text, whose codes are UTF-16.
fn write_chinese(pdf: &mut Pdf, font: Ref, cid: Ref, descriptor: Ref) {
    const NAME: Name = Name(b"STSong-Light");
    pdf.type0_font(font)
        .base_font(Name(b"STSong-Light-UniGB-UTF16-H"))
        .encoding_predefined(Name(b"UniGB-UTF16-H"))
        .descendant_font(cid);
    pdf.cid_font(cid)
        .subtype(CidFontType::Type0)
        .base_font(NAME)
        .system_info(SystemInfo { registry: Str(b"Adobe"), ordering: Str(b"GB1"), supplement: 4 })
        .font_descriptor(descriptor)
        .default_width(1000.0);
    pdf.font_descriptor(descriptor)
        .name(NAME)
        .flags(FontFlags::SERIF | FontFlags::SYMBOLIC)
        .bbox(Rect::new(-25.0, -254.0, 1000.0, 880.0))
        .italic_angle(0.0)
        .ascent(880.0)
        .descent(-120.0)
        .cap_height(880.0)
        .stem_v(93.0);
}

fn drawn(marks: &[Mark]) -> Vec<u8> {
    let mut content = Content::new();
    for mark in marks {
        match mark {
            Mark::Text { x, y, face, text } => draw_text(&mut content, (*x, *y), *face, text),
            Mark::Line { x, y, length } => {
                content.set_line_width(0.5).move_to(*x, *y).line_to(*x + *length, *y).stroke();
            }
            Mark::Frame { x, y, width, height } => {
                content.set_line_width(0.5).rect(*x, *y, *width, *height).stroke();
            }
        }
    }
    content.finish().to_vec()
}

fn draw_text(content: &mut Content, (x, y): (f32, f32), face: Face, text: &str) {
    content.begin_text();
    content.next_line(x, y);
    for (latin, run) in runs(text) {
        let font = match (latin, face.bold) {
            (false, _) => CHINESE,
            (true, false) => LATIN,
            (true, true) => BOLD,
        };
        content.set_font(font, face.size);
        content.show(Str(&run));
    }
    content.end_text();
}

/// A line cut where its font changes: whether a run is Latin, and its codes.
fn runs(text: &str) -> Vec<(bool, Vec<u8>)> {
    let mut runs: Vec<(bool, Vec<u8>)> = Vec::new();
    for c in text.chars() {
        let (latin, codes) = match win_ansi(c) {
            Some(code) => (true, vec![code]),
            None => (false, c.encode_utf16(&mut [0; 2]).iter().flat_map(|unit| unit.to_be_bytes()).collect()),
        };
        match runs.last_mut() {
            Some((same, run)) if *same == latin => run.extend(codes),
            _ => runs.push((latin, codes)),
        }
    }
    runs
}

/// The codes 0x80 to 0x9f of WinAnsiEncoding; those it leaves free are blanks here.
const HIGH: &str = "€ ‚ƒ„…†‡ˆ‰Š‹Œ Ž  ‘’“”•–—˜™š›œ žŸ";

fn win_ansi(c: char) -> Option<u8> {
    match c {
        ' '..='~' | '\u{a0}'..='\u{ff}' => u8::try_from(u32::from(c)).ok(),
        _ if c.is_control() => Some(b' '),
        _ => HIGH.chars().position(|high| high == c).and_then(|n| u8::try_from(0x80 + n).ok()),
    }
}

/// Widths of Helvetica from the blank to the tilde, in thousandths of its size.
const WIDTHS: [u16; 95] = [
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556, 556, 556,
    556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833,
    722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556, 333, 556, 556, 500, 556,
    556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334,
    260, 334, 584,
];

/// How wide a character is, or a little more: letters with accents count as broad, and so does bold type.
fn width(c: char, size: f32) -> f32 {
    let thousandths = match win_ansi(c) {
        Some(code) => WIDTHS.get(usize::from(code).wrapping_sub(32)).copied().unwrap_or(778),
        None => 1000,
    };
    f32::from(thousandths) * size / 1000.0
}

/// Cuts a text into lines: at blanks, around Chinese characters, and anywhere in what is longer than a line.
fn wrap(text: &str, room: f32, size: f32) -> Vec<String> {
    text.split('\n').flat_map(|paragraph| wrap_paragraph(paragraph, room, size)).collect()
}

fn wrap_paragraph(text: &str, room: f32, size: f32) -> Vec<String> {
    let (mut lines, mut line, mut used) = (Vec::new(), String::new(), 0.0);
    // Where the line may end, in octets: behind a blank, or on either side of a Chinese character.
    let mut end = None;
    for c in text.chars() {
        if win_ansi(c).is_none() && !line.is_empty() {
            end = Some(line.len());
        }
        if used + width(c, size) > room && !line.is_empty() {
            let rest = line.split_off(end.take().unwrap_or(line.len()));
            lines.push(std::mem::replace(&mut line, rest).trim_end().to_owned());
            used = line.chars().map(|c| width(c, size)).sum();
        }
        line.push(c);
        used += width(c, size);
        if c == ' ' || win_ansi(c).is_none() {
            end = Some(line.len());
        }
    }
    lines.push(line.trim_end().to_owned());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_wider_than_its_room_and_no_character_is_lost() {
        for text in [
            "A short one",
            "Words that go on and on until they no longer fit into one line of a narrow column",
            &"x".repeat(300),
            "深圳市腾讯计算机系统有限公司北京分公司以及上海分公司和广州分公司",
            "Mixed 中文 and English 文字 in one single paragraph that wraps 几次",
        ] {
            let lines = wrap(text, 120.0, 10.0);
            for line in &lines {
                let wide: f32 = line.chars().map(|c| width(c, 10.0)).sum();
                assert!(wide <= 120.0, "{line}");
            }
            let bare = |text: &str| text.chars().filter(|c| *c != ' ').collect::<String>();
            assert_eq!(bare(&lines.concat()), bare(text));
        }
    }

    #[test]
    fn characters_have_the_codes_of_win_ansi() {
        for (c, code) in [('A', 0x41), ('é', 0xe9), ('€', 0x80), ('’', 0x92), ('–', 0x96), ('Ÿ', 0x9f)] {
            assert_eq!(win_ansi(c), Some(code), "{c}");
        }
        assert_eq!(win_ansi('公'), None);
    }
}
