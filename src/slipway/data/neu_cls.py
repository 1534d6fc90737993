"""`neu_cls`: photographs of steel surface defects, one folder per class."""

from slipway.data.folders import open_images
from slipway.data.raw import RawData, Request
from slipway.errors import DataError

LABELS = ("crazing", "inclusion", "patches", "pitted_surface", "rolled-in_scale", "scratches")


def read(request: Request) -> RawData:
    """The images below NEU-CLS/<class>/.

    Raises: DataError: the folder is not there, or has other classes; the message says what to put where.
    """
    folder = request.root / "NEU-CLS"
    if not folder.is_dir():
        raise DataError(
            f"data set 'neu_cls': no {folder}; put the images there as NEU-CLS/<class>/*.jpg "
            f"({', '.join(LABELS)}), or set SLIPWAY_DATA to the folder that holds NEU-CLS"
        )
    raw = open_images(folder)
    if raw.labels != LABELS:
        raise DataError(f"{folder}: must have the folders {', '.join(LABELS)}; got {', '.join(raw.labels)}")
    return raw
