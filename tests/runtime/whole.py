"""A picture in memory, as a source of views."""

from dataclasses import dataclass

from edgespark.runtime.grid import Window
from edgespark.runtime.views.bicubic import Bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Whole:
    """A picture in memory: uint8 [bands, rows, columns]."""

    image: Bytes

    @property
    def rows(self) -> int:
        return int(self.image.shape[1])

    @property
    def columns(self) -> int:
        return int(self.image.shape[2])

    def read(self, window: Window) -> Bytes:
        column, row, width, height = window
        return self.image[:, row : row + height, column : column + width]
