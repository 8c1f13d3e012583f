"""What a file is, by its first bytes."""

from __future__ import annotations

from pathlib import Path

#: So many bytes tell.
HEAD_BYTES = 512
#: Signature, where it stands, and what such a file is. The first that fits counts.
_SIGNATURES: tuple[tuple[bytes, int, str], ...] = (
    (b"\xff\xd8\xff", 0, "JPEG"),
    (b"\x89PNG\r\n\x1a\n", 0, "PNG"),
    (b"CR\x02\x00", 8, "camera raw file (CR2)"),
    (b"II*\0", 0, "TIFF"),
    (b"MM\0*", 0, "TIFF"),
    (b"II+\0", 0, "TIFF"),
    (b"MM\0+", 0, "TIFF"),
    (b"BM", 0, "BMP"),
    (b"WEBP", 8, "WebP"),
    (b"AVI ", 8, "AVI video"),
    (b"\0\0\0\x0cjP  ", 0, "JPEG 2000"),
    (b"\xff\x4f\xff\x51", 0, "JPEG 2000"),
    (b"\0\0\0\x0cJXL ", 0, "JPEG XL"),
    (b"\xff\x0a", 0, "JPEG XL"),
    (b"II\xbc\x01", 0, "JPEG XR"),
    (b"ftyphei", 4, "HEIC"),
    (b"ftyphev", 4, "HEIC"),
    (b"ftypmif1", 4, "HEIC"),
    (b"ftypmsf1", 4, "HEIC"),
    (b"ftypavi", 4, "AVIF"),
    (b"ftypcrx", 4, "camera raw file (CR3)"),
    (b"ftyp", 4, "MP4 video"),
    (b"\x1aE\xdf\xa3", 0, "Matroska video"),
    (b"GIF8", 0, "GIF"),
    (b"8BPS", 0, "Photoshop document"),
    (b"DICM", 128, "DICOM"),
    (b"ZISRAWFILE", 0, "CZI (Zeiss)"),
    (b"\xda\xce\xbe\x0a", 0, "ND2 (Nikon)"),
    (b"\x70\0\0\0", 0, "LIF (Leica)"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0, "OIB, ZVI or Office document"),
    (b"\x89HDF\r\n\x1a\n", 0, "HDF5"),
    (b"%PDF", 0, "PDF"),
    (b"%!PS", 0, "PostScript"),
    (b"\xc5\xd0\xd3\xc6", 0, "PostScript"),
    (b"<svg", 0, "SVG"),
    (b"<?xml", 0, "XML"),
    (b"<!DOCTYPE", 0, "HTML"),
    (b"<html", 0, "HTML"),
    (b"PK\x03\x04", 0, "ZIP archive"),
    (b"Rar!", 0, "RAR archive"),
    (b"7z\xbc\xaf", 0, "7-Zip archive"),
    (b"\x1f\x8b", 0, "gzip archive"),
)


def read_head(path: Path) -> bytes | None:
    """Read the first ``HEAD_BYTES`` of a file; None where it is no file, or cannot be read."""
    try:
        if not path.is_file():  # opening a named pipe would wait for its writer
            return None
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError:
        return None


def kind_of(head: bytes) -> str | None:
    """Name what a file is by its first ``HEAD_BYTES``, None where they are nothing that is known here.

    Examples
    --------
    >>> kind_of(b"BM" + bytes(60)), kind_of(b"Dear Sir"), kind_of(bytes(512))
    ('BMP', None, 'empty: its beginning is all zeros')
    """
    if not any(head):
        return "empty: its beginning is all zeros"
    return next((kind for mark, at, kind in _SIGNATURES if head[at : at + len(mark)] == mark), None)
