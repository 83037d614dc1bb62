"""What to say of errors that nobody foresaw, so that none of them leaves somebody waiting."""

from __future__ import annotations

import logging

from slicer.i18n import tr as _

from ..errors import GliomaGradingError, tells_of_no_memory


def explained(error: Exception) -> GliomaGradingError:
    """An error in words that say what to do; the traceback of an unforeseen one goes to Slicer's log."""
    if isinstance(error, GliomaGradingError):
        return error
    logging.error("GliomaGrading: unexpected error", exc_info=error)
    why = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if tells_of_no_memory(why):
        return GliomaGradingError(
            _("memory ran out in Slicer ({why})").format(why=why),
            remedy=_("close other programs, or scenes that you do not need, and try again"),
        )
    return GliomaGradingError(
        _("something unexpected went wrong ({why})").format(why=why),
        remedy=_("try again; if it comes back, report it with this message and the application's log"),
    )
