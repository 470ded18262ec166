"""Promise: the page of a release is complete, every link on it ends somewhere, and it is readable on a phone."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imsave

from scaleinv.report.figures.__main__ import known_figures
from scaleinv.report.page import drawn, page, title

RELEASE = Path(__file__).parents[1] / "results" / "release"
WIDTHS = (390, 1280)
# Both widths in frames of one page, which writes what it measured into its own body.
FRAMES = """<!doctype html><body>%s<script>
addEventListener("load", () => setTimeout(() => {
  const widths = [...document.querySelectorAll("iframe")].map((frame) => {
    const page = frame.contentDocument;
    const pictures = [...page.images].filter((one) => one.naturalWidth > 1).length;
    const ink = getComputedStyle(page.body).color, paper = getComputedStyle(page.body).backgroundColor;
    return [page.documentElement.scrollWidth, frame.clientWidth, pictures, ink, paper];
  });
  document.body.textContent = JSON.stringify(widths);
}, 300));
</script></body>"""


@pytest.fixture(scope="module")
def release(tmp_path_factory, published_claims):
    """A release of the published records, with empty pictures."""
    out = tmp_path_factory.mktemp("page")
    (out / "figures").mkdir()
    shutil.copy(RELEASE / "cpu" / "index.json", out / "index.json")
    for name in known_figures():
        stem = out / "figures" / name
        imsave(f"{stem}.png", np.ones((700, 1300, 3)))
        stem.with_suffix(".json").write_text(json.dumps({"caption": f"Caption of {name}; n = 5.", "command": ""}))
        for ending in (".pdf", "_column.pdf", ".csv"):
            stem.with_name(name + ending).write_text("")
    summary = json.loads((RELEASE / "release.json").read_text())
    summary |= {"incomplete": []}
    (out / "cpu").mkdir()
    for name in ("claims.csv", "claims.md", "release.json", "README.md", "cpu/index.json"):
        (out / name).write_text("")
    (out / "index.html").write_text(page(summary, published_claims, out))
    return out


def test_every_link_ends_somewhere(release):
    text = (release / "index.html").read_text()
    ids = re.findall(r"\bid=['\"]?([\w-]+)", text)
    assert len(ids) == len(set(ids))
    targets = re.findall(r"\b(?:href|src)=['\"]?([^'\" >]+)", text)
    assert len(targets) > 150
    for target in targets:
        if target.startswith("#"):
            assert target[1:] in ids, target
        elif not target.startswith("data:"):
            assert (release / target).exists(), target
    assert "http" not in text


def test_claims_and_pictures_name_each_other(release, published_claims):
    text = (release / "index.html").read_text()
    table = published_claims
    for row in table.drop_duplicates("claim").to_dict("records"):
        article = text[text.index(f"id=claim-{row['claim']}>") :].partition("</article>")[0]
        assert row["claim_verdict"] in article
        for figure in row["figures"].split():
            assert f"#fig-{figure}" in article
            picture = text[text.index(f"id=fig-{figure}>") :].partition("</figure>")[0]
            assert f"#claim-{row['claim']}" in picture
    deciding = table[table["decides"]].iloc[0]
    assert f"{deciding['effect']:.3g} [{deciding['low']:.3g}, {deciding['high']:.3g}]" in text
    assert text.count("<svg") >= 20


def test_figures_stand_in_reading_order_with_titles_and_alternative_texts(release):
    names = drawn(release / "figures")
    assert names[0] == "claims_forest"
    assert names.index("fig_4_9") == names.index("fig_4_10") - 1 > names.index("fig_1_6") > names.index("fig_1_1")
    text = (release / "index.html").read_text()
    assert [text.index(f"id=fig-{name}>") for name in names] == sorted(text.index(f"id=fig-{name}>") for name in names)
    for name in names:
        assert len(title(name)) > 10
        assert f"alt='{title(name)}" in text.replace("&#x27;", "'")


def test_it_is_readable_on_a_phone_and_on_a_screen_in_light_and_dark(release):
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("there is no Chromium here")
    frames = "".join(
        f"<iframe src=index.html style='width:{width}px;height:800px;border:0'></iframe>" for width in WIDTHS
    )
    (release / "frames.html").write_text(FRAMES % frames)
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--enable-logging=stderr"]
    colours = []
    for scheme in ("0", "1"):
        words = [browser, *flags, f"--blink-settings=preferredColorScheme={scheme}", "--virtual-time-budget=5000",
                 "--window-size=1800,900", f"--user-data-dir={release / ('profile' + scheme)}", "--dump-dom",
                 (release / "frames.html").as_uri()]  # fmt: skip
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        assert "CONSOLE" not in done.stderr
        measured = json.loads(re.sub(r"<[^>]*>", "", done.stdout).strip())
        for width, (needed, wide, _, ink, paper) in zip(WIDTHS, measured, strict=True):
            assert wide == width
            assert needed <= width, f"scrolls sideways at {width} px: {needed}"
            colours.append((ink, paper))
    assert len(set(colours)) == 2  # light and dark
