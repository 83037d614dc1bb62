"""Trees of (nearly) empty files with the names that data sets document."""

from __future__ import annotations

from pathlib import Path


def tree(root: Path, *names: str) -> Path:
    """Files of one byte below ``root``; ``{a,b}`` in a name makes two of it."""
    for name in names:
        for single in alternatives(name):
            path = root / single
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
    return root


def alternatives(name: str) -> list[str]:
    """``a_{b,c}.nii`` as ``a_b.nii`` and ``a_c.nii``."""
    if "{" not in name:
        return [name]
    before, _, rest = name.partition("{")
    inside, _, after = rest.partition("}")
    return [full for part in inside.split(",") for full in alternatives(before + part + after)]


DATA_SETS: dict[str, tuple[str, ...]] = {
    "brats": ("{HGG/Brats18_A,LGG/Brats18_B}/Brats18_X_{t1,t1ce,t2,flair,seg}.nii.gz",),
    "brats2021": ("BraTS2021_00000/BraTS2021_00000_{t1,t1ce,t2,flair,seg}.nii.gz",),
    "brats2023": ("BraTS-GLI-00000-000/BraTS-GLI-00000-000-{t1n,t1c,t2w,t2f,seg}.nii.gz",),
    "brats2024": ("BraTS-GLI-02062-100/BraTS-GLI-02062-100-{t1n,t1c,t2w,t2f,seg}.nii.gz",),
    "ucsf-pdgm": (
        "UCSF-PDGM-0004_nifti/UCSF-PDGM-0004_{T1,T1_bias,T1c,T1c_bias,T2,T2_bias,FLAIR,FLAIR_bias,DWI,ADC,ASL,SWI,"
        "brain_segmentation,brain_parenchyma_segmentation,tumor_segmentation}.nii.gz",
    ),
    "upenn-gbm": (
        "images_structural/UPENN-GBM-00001_11/UPENN-GBM-00001_11_{T1,T1GD,T2,FLAIR}.nii.gz",
        "automated_segm/UPENN-GBM-00001_11_automated_approx_segm.nii.gz",
        "images_segm/UPENN-GBM-00001_11_segm.nii.gz",
    ),
    "egd": ("SUBJECTS/EGD-0001/{T1,T1GD,T2,FLAIR,MASK}.nii.gz", "METADATA/Brain_mask.nii.gz"),
    "tcga-glistrboost": (
        "Pre-operative_TCGA_LGG_NIfTI_and_Segmentations/TCGA-CS-4941/TCGA-CS-4941_1996.09.09_"
        "{t1,t1Gd,t2,flair,GlistrBoost,GlistrBoost_ManuallyCorrected}.nii.gz",
    ),
    "utsw": (
        "BT0001/brain_{t1,t1ce,t2,flair,t1_ants,t1ce_ants,t2_ants,fl_ants}.nii.gz",
        "BT0001/{rtumorseg_manual_correction,tumorseg_manual_correction,tumorseg_FeTS}.nii.gz",
    ),
    "bids": (
        "sub-01/anat/sub-01_{T1w,ce-gad_T1w,T2w,FLAIR}.nii.gz",
        "derivatives/tumour/sub-01/anat/sub-01_{dseg,desc-brain_mask}.nii.gz",
        "derivatives/fmriprep/sub-01/anat/sub-01_{dseg,label-GM_probseg}.nii.gz",
    ),
    "by-sequence": ("{T1,T1ce,T2,FLAIR,mask}/{p1,p2}.nii.gz",),
    "flat": ("{p1,p2}_{t1,t1ce,t2,flair,seg}.nii.gz",),
    "plain": ("anna/{t1,t1_gd,t2,flair}.nrrd", "anna/mask.seg.nrrd"),
}
"""By layout, a small copy of what its data set unpacks to."""
