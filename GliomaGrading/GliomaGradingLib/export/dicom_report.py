"""result.dcm: a Comprehensive SR after TID 1500 (measurement report), in the study that was graded.

One measurement group for the tumour (vote, decision, probability, agreement, volume) and one for the vote of
each sequence, with the images it was graded on. Codes in ``dicom_codes``.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ..errors import CaseError
from ..reading.dicom_header import INSTALL, keep_quiet_about_headers
from ..result import GradeResult, Vote
from ..wording import sentence
from ..words import DISCLAIMER, GRADE_MEANING
from . import dicom_codes as codes
from .dicom_sources import Source, Sources
from .telling import rule_text, seen_text, vote_summary

if TYPE_CHECKING:
    from highdicom.sr import ContentItem, ContentSequence
    from pydicom.dataset import Dataset

DESCRIPTION = "GliomaGrading SR, research use only"
SERIES_NUMBER = 9901
SOFTWARE = "GliomaGrading"


def report_bytes(result: GradeResult, sources: Sources) -> bytes:
    """The SR as a file (explicit VR little endian).

    Raises:
        CaseError: highdicom is not installed, or the source's headers do not allow it.
    """
    return file_bytes(structured_report(result, sources))


def structured_report(result: GradeResult, sources: Sources) -> Dataset:
    """The SR as a pydicom data set; new series and instance, the patient and study of the sources."""
    hd = _highdicom()
    keep_quiet_about_headers()
    report = hd.sr.ComprehensiveSR(
        evidence=sources.evidence,
        content=_content(result, sources),
        series_instance_uid=hd.UID(),
        series_number=SERIES_NUMBER,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer=SOFTWARE,
        is_complete=True,
        is_final=False,
        is_verified=False,
        transfer_syntax_uid="1.2.840.10008.1.2.1",
    )
    report.ReferringPhysicianName = ""
    stamp(report, result, DESCRIPTION)
    declare_private_codes(report)
    return report


def stamp(dataset: Dataset, result: GradeResult, description: str) -> None:
    """What both outputs say about themselves; text in UTF-8."""
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SeriesDescription = description
    dataset.Manufacturer = SOFTWARE
    dataset.ManufacturerModelName = _model_name(result)[:64]
    dataset.DeviceSerialNumber = "none"
    dataset.SoftwareVersions = result.software.get("glioma-grading", "unknown")[:64]


def declare_private_codes(dataset: Dataset) -> None:
    """Coding Scheme Identification Sequence (PS3.3 C.12.1): whose the private codes are."""
    import pydicom

    item = pydicom.Dataset()
    item.CodingSchemeDesignator = codes.PRIVATE
    item.CodingSchemeName = codes.PRIVATE_NAME
    item.CodingSchemeResponsibleOrganization = codes.PRIVATE_OWNER
    dataset.CodingSchemeIdentificationSequence = pydicom.Sequence([item])


def file_bytes(dataset: Dataset) -> bytes:
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def coded(code: codes.Code) -> Any:
    from highdicom.sr import CodedConcept

    value, scheme, meaning = code
    return CodedConcept(value, scheme, meaning)


def _highdicom() -> Any:
    try:
        import highdicom
        import highdicom.sr
    except ImportError:
        raise CaseError("writing a DICOM report needs highdicom", "", INSTALL) from None
    return highdicom


def _content(result: GradeResult, sources: Sources) -> ContentSequence:
    from highdicom import sr

    groups = [
        _tumour_group(result, sources),
        *(_vote_group(result, vote, sources.images[vote.sequence]) for vote in result.votes),
    ]
    return sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=_observer(result)),
        procedure_reported=coded(codes.MRI_BRAIN),
        imaging_measurements=groups,
        title=sr.CodedConcept("126000", "DCM", "Imaging Measurement Report"),
    )


def _observer(result: GradeResult) -> Any:
    from highdicom import sr
    from pydicom.uid import generate_uid

    identity = sr.DeviceObserverIdentifyingAttributes(
        uid=generate_uid(entropy_srcs=[SOFTWARE, _version(result)]),  # the same for every report of a version
        name=SOFTWARE,
        manufacturer_name=SOFTWARE,
        model_name=_model_name(result),
    )
    return sr.ObserverContext(sr.CodedConcept("121007", "DCM", "Device"), identity)


def _tumour_group(result: GradeResult, sources: Sources) -> Any:
    from highdicom import sr

    group: Any
    common = _common(result, "whole tumour", "vote of T1, T2 and FLAIR")
    common["qualitative_evaluations"] = [
        _evaluation(codes.PREDICTED_GRADE, result.grade),
        _evaluation(codes.DECISION, result.decision),
    ]
    votes_for, votes = result.agreement
    common["measurements"] = [
        _probability(result.probability_hgg),
        _number(codes.VOTES_FOR, votes_for, codes.VOTES_UNIT),
        _number(codes.VOTES, votes, codes.VOTES_UNIT),
        _number(codes.VOLUME, result.tumour_ml, codes.MILLILITRE),
    ]
    if sources.segmentation is not None and len(sources.segments) == 1:
        segment = _segment(sources)
        group = sr.VolumetricROIMeasurementsAndQualitativeEvaluations(referenced_segment=segment, **common)
    else:
        group = sr.MeasurementsAndQualitativeEvaluations(
            source_images=list(_masked_by(sources)) or None, **common
        )
    _add_comments(group, _remarks(result, sources))
    return group


def _vote_group(result: GradeResult, vote: Vote, source: Source) -> Any:
    from highdicom import sr

    common = _common(result, f"{vote.sequence} vote", f"{vote.sequence} network")
    count = len(vote.slice_probabilities)
    return sr.MeasurementsAndQualitativeEvaluations(
        qualitative_evaluations=[_evaluation(codes.SEQUENCE_VOTE, vote.grade)],
        measurements=[
            _probability(vote.probability_hgg),
            _number(codes.SLICES_HIGH, vote.slices_hgg, codes.SLICES_UNIT),
            _number(codes.SLICES, count, codes.SLICES_UNIT),
        ],
        source_images=list(_graded_images(source, result.slices.positions_mm)),
        **common,
    )


def _common(result: GradeResult, name: str, part: str) -> dict[str, Any]:
    """What all groups say: what is tracked, the finding, its site, and by which algorithm."""
    from highdicom import UID, sr

    return {
        "tracking_identifier": sr.TrackingIdentifier(uid=UID(), identifier=f"{SOFTWARE}: {name}"),
        "finding_type": coded(codes.NEOPLASM),
        "finding_sites": [sr.FindingSite(coded(codes.BRAIN))],
        "algorithm_id": _algorithm(result, part),
    }


def _algorithm(result: GradeResult, part: str) -> Any:
    """Template 4019; highdicom 0.27, which is Slicer 5.12's, does not know its last row, the family."""
    from highdicom import sr

    algorithm = sr.AlgorithmIdentification(
        name=SOFTWARE,
        version=_version(result),
        parameters=[
            f"part={part}",
            f"model={_model_name(result)}",
            f"backbone={result.model.get('backbone', '')}",
            f"sha256={result.model.get('sha256', '')}",
            f"vote={result.vote}",
            f"registration={result.registration.get('mode', 'unknown')}",
        ],
    )
    family = sr.CodeContentItem(
        name=coded(codes.ALGORITHM_FAMILY),
        value=coded(codes.ARTIFICIAL_INTELLIGENCE),
        relationship_type=sr.RelationshipTypeValues.HAS_CONCEPT_MOD,
    )
    algorithm.append(family)
    return algorithm


def _evaluation(concept: codes.Code, grade: str) -> Any:
    from highdicom import sr

    return sr.QualitativeEvaluation(coded(concept), coded(codes.GRADE_CODES[grade]))


def _number(concept: codes.Code, value: float, unit: codes.Code) -> Any:
    from highdicom import sr

    return sr.Measurement(coded(concept), value, coded(unit))


def _probability(value: float) -> Any:
    """DCM "Probability" does not say of what: its modifier does."""
    from highdicom import sr

    # 14 decimals are all that a decimal string holds: no more than that is it rounded, and never to certainty
    item = _number(codes.PROBABILITY, min(max(value, 1e-14), 1 - 1e-14), codes.NO_UNITS)
    modifier = sr.CodeContentItem(
        name=coded(codes.PROBABILITY_OF),
        value=coded(codes.HIGH_GRADE),
        relationship_type=sr.RelationshipTypeValues.HAS_CONCEPT_MOD,
    )
    _children(item[0]).append(modifier)
    return item


def _segment(sources: Sources) -> Any:
    """The segment as it says itself, or with a series for a source where it does not say or names other images.

    It may have been drawn on images that were not graded; a report may refer to what it has as evidence only.
    """
    from highdicom import sr

    segmentation, number = sources.segmentation, sources.segments[0]
    assert segmentation is not None
    try:
        segment = sr.ReferencedSegment.from_segmentation(segmentation, segment_number=number)
        if _referred_to(segment) <= {str(item.SOPInstanceUID) for item in sources.evidence}:
            return segment
    except (ValueError, AttributeError, KeyError):
        pass
    return sr.ReferencedSegment(
        segmentation.SOPClassUID,
        segmentation.SOPInstanceUID,
        number,
        source_series=sr.SourceSeriesForSegmentation(_drawn_on(sources)),
    )


def _referred_to(items: Iterable[Any]) -> set[str]:
    """Instances of images, and of the segmentation."""
    found = (item.ReferencedSOPSequence[0] for item in items if "ReferencedSOPSequence" in item)
    return {str(reference.ReferencedSOPInstanceUID) for reference in found}


def _drawn_on(sources: Sources) -> str:
    """The series that the segmentation was drawn on, as it says itself, or the FLAIR's."""
    named = sources.segmentation.get("ReferencedSeriesSequence") if sources.segmentation else None
    series = named[0].get("SeriesInstanceUID") if named else None
    return str(series or sources.images["FLAIR"].headers[0].SeriesInstanceUID)


def _masked_by(sources: Sources) -> Iterator[Any]:
    """A segmentation of several segments, referred to as a whole: TID 1411 takes one segment only."""
    from highdicom import sr

    if sources.segmentation is not None:
        yield sr.SourceImageForMeasurementGroup(
            sources.segmentation.SOPClassUID, sources.segmentation.SOPInstanceUID
        )


def _graded_images(source: Source, positions: Iterable[float]) -> Iterator[Any]:
    from highdicom import sr

    for header, frames in source.nearest(positions):
        yield sr.SourceImageForMeasurementGroup(header.SOPClassUID, header.SOPInstanceUID, frames or None)


def _remarks(result: GradeResult, sources: Sources) -> Iterator[str]:
    yield DISCLAIMER
    yield GRADE_MEANING
    yield (
        "The predicted class is the output of software on images. It is not a histologic grade; the SNOMED CT "
        f"values only name the class. Concepts of scheme {codes.PRIVATE} are private to {SOFTWARE}."
    )
    yield _mask_remark(sources)
    yield f"{vote_summary(result)}. Rule of the vote: {rule_text(result)}."
    yield from filter(None, [seen_text(result)])
    yield from (f"Warning: {sentence(warning.message)}" for warning in result.warnings)


def _mask_remark(sources: Sources) -> str:
    if sources.segmentation is None:
        return "The tumour was outlined in a mask that is no DICOM object and cannot be referred to here."
    numbers = ", ".join(map(str, sources.segments)) or "none alone"
    return f"The tumour was outlined in the referenced DICOM segmentation, segments: {numbers}."


def _add_comments(group: Any, texts: Iterable[str]) -> None:
    """Comments (DCM 121106) at the end of a measurement group; TID 1501 and 1411 may be extended."""
    from highdicom import sr

    for text in texts:
        comment = sr.TextContentItem(
            name=coded(codes.COMMENT), value=text, relationship_type=sr.RelationshipTypeValues.CONTAINS
        )
        _children(group[0]).append(comment)


def _children(item: ContentItem) -> ContentSequence:
    from highdicom.sr import ContentSequence

    if "ContentSequence" not in item:
        item.ContentSequence = ContentSequence()
    return item.ContentSequence


def _version(result: GradeResult) -> str:
    return str(result.software.get("glioma-grading", "unknown"))


def _model_name(result: GradeResult) -> str:
    return f"{result.model.get('name', '')} {result.model.get('version', '')}".strip()
