"""Run a notebook's cells in this process, like a kernel, and print the outcome as JSON: `test_cold_notebooks`."""

import json
import sys
import time
import warnings
from pathlib import Path

import matplotlib
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from traitlets.config import Config

import ncrepro as _  # noqa: F401, first of all, which settles how NumPy and torch compute


def run(notebook: Path) -> dict:
    """Seconds (of the clock and of the processor), what a failed cell shows, the texts in Markdown, the number of
    figures.
    """
    matplotlib.use("agg")
    warnings.simplefilter("ignore", DeprecationWarning)
    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    started, texts, described, failed = time.perf_counter(), [], 0, None
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            with capture_output() as shown:
                result = shell.run_cell("".join(cell["source"]))
            texts += [output.data.get("text/markdown", "") for output in shown.outputs]
            if hasattr(result.result, "_repr_markdown_"):  # what a cell ends with
                texts.append(result.result._repr_markdown_())
            described += sum("<img alt=" in output.data.get("text/html", "") for output in shown.outputs)
            if not result.success:
                failed = shown.stdout[-3000:]
                break
    from matplotlib import pyplot as plt

    seconds = {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time()}
    return {**seconds, "failed": failed, "texts": texts, "figures": described + len(plt.get_fignums())}


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]))), file=sys.__stdout__)
