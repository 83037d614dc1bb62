"""The embedded Slicer has no DICOM database."""


def loadSeriesByUID(seriesUIDs, messages=None, progressCallback=None, enabledPluginClassNames=None):
    raise NotImplementedError("the embedded Slicer has no DICOM database")
