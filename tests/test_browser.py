"""The book and a notebook in a real browser, Debian's Chromium: nothing is fetched from elsewhere, all that should be
seen is there, and a slider that moves changes its picture once.
"""

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.parse import unquote, urldefrag, urlparse
from urllib.request import urlopen

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")

# What a page says of itself: where it leads, where one can be led to, pictures that are broken, formulas without size.
SEEN = """async () => {
  if (document.querySelector(".math")) await window.MathJax.startup.promise;
  const size = element => { const box = element.getBoundingClientRect(); return box.width * box.height; };
  const shown = element => element.closest("details:not([open])") === null;
  const formulas = [...document.querySelectorAll(".math")];
  return {
    links: [...document.links].map(link => link.href),
    anchors: [...document.querySelectorAll("[id], a[name]")].map(element => element.id || element.name),
    pictures: [...document.images].map(image => image.src),
    formulas: formulas.length,
    unwritten: formulas.filter(math => ![...math.querySelectorAll("mjx-container")].some(size) && shown(math))
      .map(math => math.textContent),
    faults: document.querySelectorAll("[data-mml-node=merror], mjx-merror").length,
    wide: [...document.querySelectorAll("pre, article p, article li")]
      .filter(element => element.clientWidth && element.scrollWidth > element.clientWidth + 1)
      .map(element => element.textContent),
    sliders: [...document.querySelectorAll(".cell")]
      .filter(cell => /^slide\\(/m.test(cell.querySelector(".cell_input")?.textContent ?? ""))
      .map(cell => [...cell.querySelectorAll(".cell_output img")].filter(size).length),
  };
}"""


# JupyterLab takes cells that are scrolled away out of the page, and asks whether it may fetch news.
SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM)
        yield started
        started.close()


@pytest.fixture(scope="module")
def opened(browser, site):
    """Every page of the book -> what it says of itself; and the page's complaints, and what it asked for elsewhere."""
    complaints, elsewhere, pages = [], [], {}
    tab = browser.new_page(viewport={"width": 1400, "height": 1000})
    tab.on("console", lambda message: message.type in ("error", "warning") and complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("requestfailed", lambda request: complaints.append(f"{request.url}: {request.failure}"))
    tab.on(
        "request",
        lambda request: urlparse(request.url).scheme in ("http", "https", "ws") and elsewhere.append(request.url),
    )
    for path in sorted(site.rglob("*.html")):
        if "_static" not in path.parts:
            tab.goto(path.as_uri())
            pages[path] = tab.evaluate(SEEN)
    tab.close()
    return pages, complaints, elsewhere


def test_no_page_complains_or_asks_for_anything_from_elsewhere(opened):
    pages, complaints, elsewhere = opened
    assert len(pages) > 25 and complaints == [] and elsewhere == []


def test_formulas_are_written(opened):
    pages, *_ = opened
    assert sum(page["formulas"] for page in pages.values()) > 100
    assert {path.name: page["unwritten"] for path, page in pages.items() if page["unwritten"]} == {}
    assert [path.name for path, page in pages.items() if page["faults"]] == []


def test_every_link_and_every_picture_is_there(opened):
    pages, *_ = opened
    lost = set()
    for path, page in pages.items():
        for link in page["links"] + page["pictures"]:
            address, fragment = urldefrag(link)
            if urlparse(address).scheme == "file":
                target = Path(unquote(urlparse(address).path))
                known = unquote(fragment) in ("", *pages[target]["anchors"]) if target in pages else not fragment
                if not target.is_file() or not known:
                    lost.add((path.name, link))
    assert lost == set()


def test_long_lines_are_wrapped(opened):
    pages, *_ = opened
    assert {path.name: page["wide"] for path, page in pages.items() if page["wide"]} == {}


def test_where_there_is_a_slider_there_is_a_picture_without_it(opened):
    pages, *_ = opened
    found = {path.stem: page["sliders"] for path, page in pages.items() if page["sliders"]}
    assert {"00_start_here", "01_neural_collapse"} <= found.keys()
    assert all(n == 1 for pictures in found.values() for n in pictures)


def test_the_search_finds(browser, site):
    tab = browser.new_page()
    tab.goto(f"{(site / 'search.html').as_uri()}?q=nuclear")
    tab.wait_for_selector("ul.search li a[href*='api.html']", timeout=20_000)  # results come one after the other
    tab.close()


@pytest.fixture
def lab(checkout, tmp_path):
    """Where notebooks are in JupyterLab, as `make lab` starts it in a fresh clone: name -> address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = f"--no-browser --port={port} --ServerApp.port_retries=0 --IdentityProvider.token=told"
    options += " --allow-root" if os.geteuid() == 0 else ""
    places = {f"JUPYTER_{name}_DIR": str(tmp_path / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    for plugin, settings in SETTINGS.items():
        file = tmp_path / "CONFIG" / "lab" / "user-settings" / "@jupyterlab" / f"{plugin}.jupyterlab-settings"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(settings))
    process = subprocess.Popen(
        ["make", "lab", f"PYTHON={sys.executable}", f"LAB_OPTIONS={options}"],
        cwd=checkout,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONWARNINGS": "ignore", **places},
        stdout=subprocess.DEVNULL,
        stderr=(log := (tmp_path / "log").open("w+")),
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            assert process.poll() is None, Path(log.name).read_text()
            try:
                urlopen(f"{address}/api/status?token=told", timeout=5).close()
                break
            except (URLError, OSError):
                time.sleep(0.5)
        yield lambda name: f"{address}/lab/tree/{name}.ipynb?token=told"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        log.close()


def contents(folder):
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*.ipynb")}


def run_all(browser, address):
    """The tab in which a notebook has been opened and told to run all its cells."""
    tab = browser.new_page(viewport={"width": 1400, "height": 1000})
    tab.goto(address)
    tab.wait_for_selector(".jp-Notebook .jp-Cell", timeout=90_000)
    tab.get_by_text("(ipykernel) | Idle").wait_for(timeout=90_000)  # before, Run All asks which kernel
    tab.locator(".lm-MenuBar-itemLabel", has_text="Run").click()
    tab.locator(".lm-Menu-itemLabel").get_by_text("Run All Cells", exact=True).click()
    return tab


def save(tab, copy):
    """Save a notebook, and wait until its file is another one."""
    before = copy.read_bytes()
    tab.keyboard.press("Control+s")
    for _ in range(60):
        if copy.read_bytes() != before:
            return
        tab.wait_for_timeout(250)
    pytest.fail(f"{copy.name} was not saved")


def test_a_slider_in_jupyterlab_changes_its_picture_once_and_nothing_committed(browser, lab, checkout):
    before = contents(checkout / "notebooks")
    tab = run_all(browser, lab("00_start_here"))
    tab.wait_for_selector("img.widget-image", state="attached", timeout=120_000)
    picture = tab.locator("img.widget-image")
    assert picture.count() == 1
    picture.scroll_into_view_if_needed()
    tab.evaluate(
        """() => {
          const image = document.querySelector("img.widget-image"), output = image.closest(".jp-Cell-outputArea");
          window.drawings = 0;
          window.others = 0;
          new MutationObserver(changes => window.drawings += changes.length)
            .observe(image, {attributes: true, attributeFilter: ["src"]});
          new MutationObserver(changes => changes.forEach(change => window.others += change.addedNodes.length))
            .observe(output, {childList: true});
        }"""
    )
    height = picture.bounding_box()["height"]
    tab.locator(".widget-slider .noUi-handle").first.press("ArrowRight")
    tab.wait_for_function("window.drawings > 0", timeout=30_000)
    tab.wait_for_timeout(2000)  # a second drawing would come now
    assert tab.evaluate("[window.drawings, window.others]") == [1, 0]
    assert picture.count() == 1 and picture.bounding_box()["height"] == height
    assert tab.locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
    save(tab, checkout / "build/lab/00_start_here.ipynb")
    tab.close()
    assert contents(checkout / "notebooks") == before


# What stands before each cell: [*] while it waits, then its number.
PROMPTS = "[...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].map(prompt => prompt.textContent.trim())"


@pytest.mark.parametrize("name", ["course/2_how_a_ranking_is_judged"])
def test_a_notebook_runs_in_jupyterlab_before_anything_was_computed(browser, lab, checkout, name):
    before = contents(checkout / "notebooks")
    tab = run_all(browser, lab(name))
    tab.wait_for_function(f"{PROMPTS}.includes('[*]:')", timeout=30_000)
    tab.wait_for_function(f"!{PROMPTS}.includes('[*]:')", timeout=240_000)
    assert "[ ]:" not in tab.evaluate(PROMPTS)
    shown = tab.locator(".jp-OutputArea-output")
    assert shown.locator("img, table, .widget-image").count() > 0
    assert tab.locator("[data-mime-type='application/vnd.jupyter.error']").count() == 0
    save(tab, checkout / f"build/lab/{name}.ipynb")
    tab.close()
    assert contents(checkout / "notebooks") == before
