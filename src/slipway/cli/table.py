"""How the verbs print tables: nothing is cut off, whatever the width of the terminal."""

from collections.abc import Iterable, Sequence


def show(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Print rows under their columns; the last column folds, the others keep their words whole. `empty`: for no rows."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in columns[:-1]:
        table.add_column(name, no_wrap=True)
    table.add_column(columns[-1], overflow="fold")
    cells = [[str(cell) for cell in row] for row in rows]
    for row in cells:
        table.add_row(*row)
    if not cells:
        print(empty)
        return
    whole = sum(max(len(row[i]) for row in [columns, *cells]) + 3 for i in range(len(columns) - 1))
    console = Console()
    Console(width=max(console.width, whole + 20), markup=False, emoji=False).print(table)
