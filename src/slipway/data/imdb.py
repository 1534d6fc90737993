"""`imdb`: film reviews in aclImdb's layout, a file each; its own train and test splits."""

from slipway.data.raw import Item, LazyItems, RawData, Request
from slipway.data.tables import decode_utf8
from slipway.errors import DataError

LABELS = {"negative": "neg", "positive": "pos"}


def read(request: Request) -> RawData:
    """The reviews below aclImdb/{train,test}/{neg,pos}/.

    Raises: DataError: a folder is missing or empty; the message says what to put where.
    """
    root = request.root / "aclImdb"
    files = []
    for split in ("train", "test"):
        for label, folder in LABELS.items():
            found = sorted((root / split / folder).glob("*.txt"))
            if not found:
                raise DataError(
                    f"data set 'imdb': no reviews in {root / split / folder}; unpack aclImdb_v1.tar.gz "
                    f"(ai.stanford.edu/~amaas/data/sentiment) into {request.root}, "
                    f"or set SLIPWAY_DATA to the folder that holds aclImdb"
                )
            files += [(path, label, split) for path in found]

    def make(i: int) -> Item:
        path, label, split = files[i]
        source = path.relative_to(root).as_posix()
        return Item(decode_utf8(path.read_bytes(), str(path)), label, source, split)

    return RawData(name="imdb", kind="text", labels=tuple(LABELS), items=LazyItems(len(files), make))
