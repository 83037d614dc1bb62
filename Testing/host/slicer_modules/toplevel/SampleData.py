"""The registry of sample data, without download from the network.

A source whose URIs are ``file:`` URIs works as in Slicer. As there, a ``customDownloader`` is called by the
button of the module's panel and by nothing else.
"""

from __future__ import annotations

import urllib.parse
import urllib.request
from pathlib import Path

import qt
import slicer


class SampleDataSource:
    """As in Slicer, each field has an entry for each URI, and there must be a list of them, if an empty one."""

    _FIELDS = ("uris", "fileNames", "nodeNames", "loadFiles", "loadFileTypes", "checksums")

    def __init__(
        self,
        sampleName=None,
        sampleDescription=None,
        uris=None,
        fileNames=None,
        nodeNames=None,
        checksums=None,
        loadFiles=None,
        customDownloader=None,
        thumbnailFileName=None,
        loadFileTypes=None,
        loadFileProperties=None,
        loadFileType=None,
    ):
        if loadFileType is not None and loadFileTypes is not None:
            raise ValueError("loadFileType and loadFileTypes cannot be specified at the same time")
        self.sampleName = sampleName
        self.sampleDescription = sampleName if sampleDescription is None else sampleDescription
        self.uris, self.fileNames, self.nodeNames = uris, fileNames, nodeNames
        self.checksums, self.loadFiles = checksums, loadFiles
        self.loadFileTypes = loadFileTypes if loadFileType is None else loadFileType
        self.customDownloader = customDownloader
        self.thumbnailFileName = thumbnailFileName
        self.loadFileProperties = loadFileProperties or {}
        self._list_fields()
        lengths = {len(getattr(self, field)) for field in self._FIELDS}  # a TypeError without URIs, as there
        if len(lengths) > 1:
            raise ValueError("All fields of sample data source must have the same length")

    def _list_fields(self):
        """One URI makes lists of one; a list of them fills in what was not given, but no file names."""
        if isinstance(self.uris, str):
            for field in self._FIELDS:
                setattr(self, field, [getattr(self, field)])
        elif isinstance(self.uris, (list, tuple)):
            if isinstance(self.loadFileTypes, str):
                self.loadFileTypes = [self.loadFileTypes] * len(self.uris)
            for field in ("nodeNames", "loadFiles", "loadFileTypes", "checksums"):
                if getattr(self, field) is None:
                    setattr(self, field, [None] * len(self.uris))


class SampleDataWidget:
    """Of Slicer's panel the buttons alone."""

    @staticmethod
    def setCategoriesFromSampleDataSources(categoryLayout, dataSources, logic):
        """One button for each source, which is called ``<sample name>PushButton``."""
        for source in (one for category in sorted(dataSources) for one in dataSources[category]):
            button = qt.QToolButton()
            button.setText(source.sampleDescription or source.nodeNames[0])
            button.setObjectName(f"{source.sampleName}PushButton")
            categoryLayout.addWidget(button)
            get = source.customDownloader or logic.downloadFromSource
            button.connect("clicked()", lambda get=get, source=source: get(source))


class SampleDataLogic:
    """Registers and loads sample data; the registry is ``slicer.modules.sampleDataSources``, as in Slicer."""

    def __init__(self, logMessage=None):
        self.logMessage = logMessage or (lambda message, level=None: None)

    @staticmethod
    def registerCustomSampleDataCategory(category, title):
        pass

    @staticmethod
    def registerCustomSampleDataSource(category="Custom", sampleName=None, **arguments):
        sources = slicer.modules.sampleDataSources.setdefault(category, [])
        sources.append(SampleDataSource(sampleName, **arguments))

    @staticmethod
    def sampleDataSourcesByCategory(category=None):
        known = slicer.modules.sampleDataSources
        return known if category is None else known.get(category, [])

    @staticmethod
    def isSampleDataSourceRegistered(category, sampleDataSource):
        return sampleDataSource in slicer.modules.sampleDataSources.get(category, [])

    def sourceForSampleName(self, sampleName):
        everything = (one for sources in slicer.modules.sampleDataSources.values() for one in sources)
        return next((one for one in everything if one.sampleName == sampleName), None)

    def downloadFromSource(self, source, maximumAttemptsCount=3, forceDownload=False):
        return [self._load(source, index) for index in range(len(source.uris))]

    def _load(self, source, index):
        parsed = urllib.parse.urlparse(source.uris[index])
        if parsed.scheme != "file":
            raise RuntimeError(f"the embedded Slicer downloads nothing: {source.uris[index]}")
        path = Path(urllib.request.url2pathname(parsed.path))
        kind = source.loadFileTypes[index] or "VolumeFile"
        return slicer.util.loadNodeFromFile(str(path), kind, {"name": source.nodeNames[index] or path.stem})

    def downloadSamples(self, sampleName):
        source = self.sourceForSampleName(sampleName)
        return self.downloadFromSource(source) if source else []

    def downloadSample(self, sampleName):
        return self.downloadSamples(sampleName)[0]


def downloadSample(sampleName):
    return SampleDataLogic().downloadSample(sampleName)


def downloadSamples(sampleName):
    return SampleDataLogic().downloadSamples(sampleName)
