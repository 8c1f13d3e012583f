"""The reasons put together: certain ones for any picture, and those that need a live sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge.light.field import Field
from edge.quality.cover import cover_reasons, crowding_reasons
from edge.quality.edges import find_seams, is_stretched
from edge.quality.focus import focus_judgement
from edge.quality.integrity import file_doubts
from edge.quality.light import is_noisy, light_reasons
from edge.quality.look import cover_of, look_at
from edge.quality.reference import Reference, drift_judgement
from edge.quality.smear import smear_judgement, stain_judgement
from edge.structures import Cell, Scale

#: Coarsest scale of a field that is counted; see ``edge.structures.MIN_SIDE_PX``.
_COARSEST_UM_PER_PX = 0.4
#: Every reason for which a field is rejected, and what a person can do about it.
ADVICE = {
    "frozen": "the camera repeats its last picture: check its cable, restart it",
    "incomplete": "part of the picture is missing: check the camera's cable",
    "torn": "the picture is put together from two: hold the stage still, check the camera's cable",
    "underexposed": "too dark: turn up the lamp or the exposure",
    "overexposed": "too bright: turn down the lamp or the exposure",
    "no_colour": "the picture is grey: check the camera's colour setting",
    "out_of_focus": "out of focus: focus and wait for the next field",
    "too_dense": "cells lie over each other: go to a thinner part of the smear",
    "obstructed": "a bubble or dirt covers part of the field: go on, or clean the slide and lens",
    "blank": "no cells here: go to another place",
    "colour_drift": "the light's colour has changed: check lamp, filters and the camera's white balance",
    "stain_drift": "the stain looks different than in the sample's first fields: is this the same slide?",
    "channels_swapped": "no smear has these colours: are red and blue swapped by the program that wrote it?",
    "not_a_smear": "this does not look like a stained blood smear: give pictures of smears only",
}
#: Every doubt that a field may be counted with, whoever has it, and what a person can do about it. A name may
#: be in both tables: what is a doubt in one field makes another uncountable.
WARNINGS = {
    "channels_swapped": "no smear has these colours: are red and blue swapped by the program that wrote it?",
    "background_clipped": "the blank slide is burnt out: turn down the lamp or the exposure, count anew",
    "dark_clipped": "dark parts are cut off to black: turn the contrast down, count anew",
    "few_colours": "the picture has few colours: store it as PNG or as a JPEG of higher quality, count anew",
    "faint_stain": "stain hardly differs from the slide: check stain, contrast and exposure",
    "uneven_colour": "colour of the light differs over the field: calibrate with a blank field",
    "coarse_colour": "colour has few pixels: store still pictures of the camera, not of a video, count anew",
    "implausible_white_share": "too many of the round cells were taken for white ones: look at the cells",
    "overlay": "lettering or a scale bar lies in the picture: store fields without it",
    "scale_changed": "the red cells do not fit the given scale or the other fields: check the objective",
    "scale_uncertain": "too few red cells give the scale: give it, or count the fields of a sample together",
    "noisy": "noise hides what is pale: more light, less gain, count anew",
    "colours_apart": "red lies beside green: check the lens and the video's cable, store single frames",
    "bent": "the lens bends the picture, and sizes differ over it: use the objective's own adapter",
    "stretched": "pixels are wider than high or higher than wide: store fields as the camera gave them",
    "partly_blurred": "a part is out of focus or under oil: level the slide, clean the lens, focus again",
    "moved": "the stage moved while the field was exposed: wait until it is still, count anew",
    "double_exposure": "the field lies over itself: hold the stage still, store single frames, count anew",
    "too_sharp": "sharper than a lens can be: store fields unsharpened and without lettering or marks",
    "possibly_damaged": "parts of the picture do not fit together: copy it again from the camera, count anew",
    "transparent": "a part of the picture is transparent: store it without its alpha channel, count anew",
    "exposure_unsettled": "the camera's exposure was still moving: wait, and count the field again",
    "first_fields_differ": "light or stain differ among the sample's first three fields: is it one slide?",
    "assigned": "put into the sample afterwards: its cells were compared with no other field's",
    "calibration_unused": "the calibration cannot be read or is for frames of another size: make one anew",
    "recalibration_unused": "the recalibration cannot be read or is of another model: fit it anew or undo it",
}


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the gate says of a field: refused with reasons, or counted, with warnings or without.

    Attributes
    ----------
    reasons : why it is not counted, keys of ``ADVICE``; empty for a field that is
    warnings : doubts about its numbers, keys of ``WARNINGS``
    """

    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a name that nobody could be told what to do about."""
        unknown = [name for name in self.reasons if name not in ADVICE]
        unknown += [name for name in self.warnings if name not in WARNINGS]
        if unknown:
            raise ValueError(f"no such reason or warning: {', '.join(unknown)}; edge.quality lists them")

    def __add__(self, later: Judgement) -> Judgement:
        """Put what was said at two moments together, each name once."""
        return Judgement(
            tuple(dict.fromkeys((*self.reasons, *later.reasons))),
            tuple(dict.fromkeys((*self.warnings, *later.warnings))),
        )


def assess(field: Field, reference: Reference | None = None) -> Judgement:
    """Judge a field by its light, before anything is looked for in it.

    Parameters
    ----------
    field : to be judged
    reference : how the sample's first fields looked. Without one, as for files, only what is certain from a
        single picture is refused; a blank field or an unusual stain may be what it is

    Returns
    -------
    Judgement; an empty one for a usable field

    Examples
    --------
    >>> import numpy as np
    >>> from edge.structures import Frame
    >>> def blank(level):
    ...     return assess(Field(Frame(np.full((60, 80, 3), level, np.uint8), "blank"))).reasons
    >>> blank(5), blank(200), blank(255)
    (('underexposed',), (), ('overexposed',))
    """
    reasons = light_reasons(field)
    if reasons:
        return Judgement(reasons)
    look = look_at(field, common=reference is not None)
    smear = Judgement(*smear_judgement(field)) + _edges_judgement(field)
    smear += Judgement(warnings=("noisy",) if is_noisy(field.image) else ())
    judgement = smear + Judgement(cover_reasons(look))
    if reference is not None:
        judgement += Judgement(*drift_judgement(look, reference))
    if field.frame.um_per_px is not None:
        judgement += _scaled_judgement(field, look.cover, field.frame.um_per_px)
    return judgement + Judgement(warnings=file_doubts(field) if reference is None else ())


def _edges_judgement(field: Field) -> Judgement:
    seams = find_seams(field.lines)
    stretched = ("stretched",) if is_stretched(field) else ()
    # Where green changes as well something else begins, a strip or another picture.
    if seams.light:
        return Judgement(warnings=("overlay", *stretched))
    return Judgement(("channels_swapped",) if seams.colour else (), stretched)


def assess_cells(field: Field, cells: Sequence[Cell], scale: Scale) -> Judgement:
    """Judge a field by what segmentation found in it.

    Parameters
    ----------
    field : that passed :func:`assess`
    cells : that were found, not yet classified
    scale : that they were found at

    Returns
    -------
    Judgement, of what :func:`assess` could not tell yet
    """
    judgement = Judgement(*stain_judgement(field, cells, scale))
    if field.frame.um_per_px is not None:
        return judgement
    # Blur and crowding are judged in µm, and only now is it known what a pixel is.
    return assess_scaled(field, scale.um_per_px) + judgement


def assess_scaled(field: Field, um_per_px: float) -> Judgement:
    """Judge what takes a scale to tell; :func:`assess` does it where the frame knows its own.

    Parameters
    ----------
    field : to be judged
    um_per_px : its scale as segmentation found it

    Returns
    -------
    Judgement of focus and crowding
    """
    # A scale beyond the coarsest that is supported is a mistake of its own.
    return _scaled_judgement(field, cover_of(field), min(um_per_px, _COARSEST_UM_PER_PX))


def _scaled_judgement(field: Field, cover: float, um_per_px: float) -> Judgement:
    shorter_um = min(field.width, field.height) * um_per_px
    return Judgement(*focus_judgement(field, um_per_px, cover)) + Judgement(
        crowding_reasons(cover, shorter_um)
    )
