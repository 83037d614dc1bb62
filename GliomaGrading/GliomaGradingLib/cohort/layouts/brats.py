"""BraTS 2017 to 2020, and everything named like them."""

from __future__ import annotations

import re

from .base import GradeSource, Layout, by_role


class Brats(Layout):
    """``{HGG,LGG}/Brats18_X/Brats18_X_t1.nii.gz``, ``BraTS20_Training_001/BraTS20_Training_001_t1.nii.gz``.

    Source: the challenge's data pages (Menze et al. 2015, doi 10.1109/TMI.2014.2377694; Bakas et al. 2018,
    arXiv 1811.02629); the columns of ``name_mapping.csv`` as public loaders of the data set read them.
    2017 to 2019 keep the grade in the name of the folder above, 2020 in ``name_mapping.csv``.
    """

    name = "brats"
    title = "BraTS 2017, 2018, 2019, 2020"
    example = "BraTS20_Training_001/BraTS20_Training_001_{t1,t1ce,t2,flair,seg}.nii.gz"
    source = "Bakas et al. 2018, arXiv 1811.02629"
    labels = "1 necrosis and non-enhancing, 2 oedema, 4 enhancing"
    endings = by_role("_t1", "_t2", "_flair", "_seg")
    folder = re.compile(r"BraTS(17|18|19|20)_.+", re.IGNORECASE)
    grades = (GradeSource("name_mapping*", ("Grade",), ("BraTS_*_subject_ID", "TCGA_TCIA_subject_ID")),)
