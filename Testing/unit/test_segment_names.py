"""Which segments are no tumour, by their names."""

from __future__ import annotations

import pytest
from GliomaGradingLib.reading.segment_names import is_other_structure

OTHER = """
Background|background|Liver|Normal-appearing white matter|normal_tissue|NormalBrain|healthy tissue|Healthy|NAWM
Ventricles|Right ventricle|LeftLateralVentricle|brain|Brain|skull|Head|CSF|cerebrum|Cerebellum|left hemisphere
vessels|Artery|Vein|optic nerve|corticospinal tract|White matter|GrayMatter|wm|Eye|eyes_left|Orbit|thalamus
resection cavity|Resection|Tumor resection cavity|cavity|surgical cavity|non-tumor|nonTumor|No tumour
brain without tumor|Brain minus tumour|tumor-free tissue|normal tissue outside the tumor|soft tissue|Air
Contralateral ROI|Frontal lobe|Cortex|Corpus callosum|brain parenchyma|Lung|Spinal cord
"""
TUMOUR = """
tumor|Tumour|whole tumor|WT|ET|TC|Enhancing|Necrosis|Necrotic core|necrotic cavity|oedema|edema|edema_1
non-enhancing tumor|Non-enhancing tumour core|non-tumoral edema|edema without tumor|Enhancing tissue
tissue|Tissue|Peritumoral edema|abnormal|Abnormal signal|Abnormal white matter|AbnormalTissue
Brain tumor|Brain neoplasm|Neoplasm of brain|Cerebral edema|Intraventricular tumor
Frontal lobe glioma|Thalamic mass|Contralateral lesion|Segment_1|label 2
Residual tumor post resection|pre-resection tumor|SNFH|surrounding non-enhancing FLAIR hyperintensity|Neoplasm
Tumor without resection cavity|tumour excluding normal tissue|Tumor minus cavity|WT excl. brain
LGG left frontal lobe|HGG_frontal_lobe|GTV brain|Oligo frontal lobe|Astrocytoma of the brainstem|brain mets
GTV|normalized tumor|Mass|lesion 1|FLAIR abnormality|Neoplasm, Primary|
"""


def _names(text: str) -> list[str]:
    return text.strip("\n").replace("\n", "|").split("|")


@pytest.mark.parametrize("name", _names(OTHER))
def test_what_is_no_tumour_is_known_by_its_name(name):
    """A tick of a ventricle or a background beside a tumour would make the tumour larger than it is."""
    assert is_other_structure(name)


@pytest.mark.parametrize("name", _names(TUMOUR))
def test_a_tumour_wherever_it_is_and_a_name_that_says_nothing_stay(name):
    """Nothing that may be tumour is left out: neither for the organ that it is in, nor for a bare number."""
    assert not is_other_structure(name)
