"""The registry of sample data, without download from the network.

A source whose URIs are ``file:`` URIs, or that has a ``customDownloader``, works as in Slicer.
"""

from __future__ import annotations

import urllib.parse
import urllib.request
from pathlib import Path

import slicer


def _listed(one):
    return [] if one is None else list(one) if isinstance(one, (list, tuple)) else [one]


class SampleDataSource:
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
        self.sampleName = sampleName
        self.sampleDescription = sampleDescription or sampleName
        self.uris = _listed(uris)
        self.fileNames = _listed(fileNames)
        self.nodeNames = _listed(nodeNames)
        self.checksums = _listed(checksums)
        self.loadFiles = _listed(loadFiles)
        self.customDownloader = customDownloader
        self.thumbnailFileName = thumbnailFileName
        self.loadFileTypes = _listed(loadFileTypes if loadFileTypes is not None else loadFileType)
        self.loadFileProperties = loadFileProperties or {}
        lengths = {len(one) for one in (self.uris, self.fileNames, self.nodeNames) if one}
        if len(lengths) > 1:
            raise ValueError("uris, fileNames and nodeNames must be of one length")


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
        if source.customDownloader:
            return source.customDownloader(source)
        return [self._load(source, index) for index in range(len(source.uris))]

    def _load(self, source, index):
        parsed = urllib.parse.urlparse(source.uris[index])
        if parsed.scheme != "file":
            raise RuntimeError(f"the embedded Slicer downloads nothing: {source.uris[index]}")
        path = Path(urllib.request.url2pathname(parsed.path))
        kind = source.loadFileTypes[index] if source.loadFileTypes else "VolumeFile"
        name = source.nodeNames[index] if source.nodeNames else path.stem
        return slicer.util.loadNodeFromFile(str(path), kind, {"name": name})

    def downloadSamples(self, sampleName):
        source = self.sourceForSampleName(sampleName)
        if source is None:
            raise RuntimeError(f"no sample data of the name {sampleName}")
        return self.downloadFromSource(source)

    def downloadSample(self, sampleName):
        nodes = self.downloadSamples(sampleName)
        return nodes[0] if isinstance(nodes, (list, tuple)) and nodes else nodes


def downloadSample(sampleName):
    return SampleDataLogic().downloadSample(sampleName)


def downloadSamples(sampleName):
    return SampleDataLogic().downloadSamples(sampleName)
