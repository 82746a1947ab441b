"""Parts of a composed message: attachments, bodies, header lines, and what is drawn for a message that names none.

``message.message`` and ``message.compose`` put them together.  Rendering gives octets piece by piece, so that a large
attachment is never in memory as a whole.
"""

from typing import TYPE_CHECKING

from posthouse.core._lazy import lazily

if TYPE_CHECKING:
    from posthouse.message.composing.attachment import Attachment
    from posthouse.message.composing.bodies import BodyParts, body_part, multipart, text_part
    from posthouse.message.composing.pieces import Part, Piece, chunked

__all__ = ["Attachment", "BodyParts", "Part", "Piece", "body_part", "chunked", "multipart", "text_part"]

__getattr__ = lazily(
    __name__,
    {
        "attachment": "Attachment",
        "bodies": "BodyParts body_part multipart text_part",
        "pieces": "Part Piece chunked",
    },
)
