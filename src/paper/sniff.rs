//! What kind a file is, by its content and never by its name.

use serde::{Deserialize, Serialize};

/// The kinds of files that people may hand in (DOC).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileKind {
    /// A photograph.
    Jpg,
    /// A picture.
    Png,
    /// A picture.
    Gif,
    /// A document.
    Pdf,
}

impl FileKind {
    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Jpg => "image/jpeg",
            Self::Png => "image/png",
            Self::Gif => "image/gif",
            Self::Pdf => "application/pdf",
        }
    }

    /// How its name ends.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Jpg => "jpg",
            Self::Png => "png",
            Self::Gif => "gif",
            Self::Pdf => "pdf",
        }
    }

    /// What its first octets are.
    fn magic(self) -> &'static [&'static [u8]] {
        match self {
            Self::Jpg => &[&[0xff, 0xd8, 0xff]],
            Self::Png => &[b"\x89PNG\r\n\x1a\n"],
            Self::Gif => &[b"GIF87a", b"GIF89a"],
            Self::Pdf => &[b"%PDF-"],
        }
    }
}

/// The kind of a file; none for what nobody may hand in. Something else before the first octets of the kind makes it another
/// kind too, to some reader: a page of HTML before a PDF is none.
pub fn sniff(content: &[u8]) -> Option<FileKind> {
    let kind = match infer::get(content)?.mime_type() {
        "image/jpeg" => FileKind::Jpg,
        "image/png" => FileKind::Png,
        "image/gif" => FileKind::Gif,
        "application/pdf" => FileKind::Pdf,
        _ => return None,
    };
    kind.magic().iter().any(|magic| content.starts_with(magic)).then_some(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_what_its_first_octets_say() {
        let rows: [(&[u8], Option<FileKind>); 9] = [
            (b"\xff\xd8\xff\xe0\x00\x10JFIF\0", Some(FileKind::Jpg)),
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", Some(FileKind::Png)),
            (b"GIF89a\x01\x00\x01\x00\x00\x00\x00;", Some(FileKind::Gif)),
            (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", Some(FileKind::Pdf)),
            (b"<html><script>alert(1)</script>%PDF-1.7", None),
            (b"\n%PDF-1.7\n", None),
            (b"MZ\x90\0\x03\0\0\0", None),
            (b"GIF8 is not a picture", None),
            (b"", None),
        ];
        for (content, kind) in rows {
            assert_eq!(sniff(content), kind, "{}", String::from_utf8_lossy(content));
        }
    }
}
