"""The page in a real browser: no script errors, sorting, colours, no sideways scrolling."""

import pytest

pytestmark = pytest.mark.slow

WIDE, NARROW = (1400, 900), (390, 844)


@pytest.fixture
def opened(browser, whole):
    """Open the report in a window of some size, offline, and note what the console says."""
    contexts = []

    def opened(size, scheme="light"):
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, offline=True
        )
        contexts.append(context)
        page = context.new_page()
        page.said = []
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.goto(whole.output.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_opens_without_a_word_and_never_scrolls_sideways(opened, size, scheme):
    page = opened(size, scheme)
    assert page.said == []
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    broken = "[...document.images].filter(it => !it.complete || !it.naturalWidth).length"
    assert page.evaluate(broken) == 0


def test_a_click_on_a_head_sorts_by_the_numbers_and_a_second_one_turns_it(opened):
    page = opened(WIDE)
    table = page.locator("table[data-name='mi']").first
    head = table.locator("th", has_text="knows").first

    def shown():
        cells = table.locator("tbody tr td:nth-child(3)").evaluate_all(
            "cells => cells.map(it => Number(it.dataset.value))"
        )
        return list(cells)

    before = shown()
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert shown() == sorted(before, reverse=True)
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert shown() == sorted(before)
    # Of a long table the first rows of the new order are seen.
    name = page.locator("table[data-open]").first.get_attribute("data-name")
    folded = page.locator(f"table[data-name='{name}']")
    open_rows = int(folded.get_attribute("data-open"))
    assert folded.locator("tbody tr:visible").count() == open_rows
    folded.locator("th button").first.click()
    assert folded.locator("tbody tr").nth(open_rows - 1).is_visible()
    assert not folded.locator("tbody tr").nth(open_rows).is_visible()
    folded.locator("xpath=ancestor::figure").locator(".more").click()
    assert folded.locator("tbody tr[hidden]").count() == 0
    assert page.said == []


def test_the_button_turns_the_page_dark_and_back(opened):
    page = opened(WIDE)
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.locator("#theme").click()
    dark = page.evaluate(paper)
    assert dark != light
    page.locator("#theme").click()
    assert page.evaluate(paper) == light


def test_text_can_be_told_from_its_ground_in_both_schemes(opened):
    contrast = """selector => {
      const light = colour => {
        const part = colour.match(/[\\d.]+/g).slice(0, 3).map(it => it / 255)
          .map(it => it <= 0.04045 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4);
        return 0.2126 * part[0] + 0.7152 * part[1] + 0.0722 * part[2];
      };
      const ink = light(getComputedStyle(document.querySelector(selector)).color);
      const paper = light(getComputedStyle(document.body).backgroundColor);
      return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    }"""
    for scheme in ("light", "dark"):
        page = opened(WIDE, scheme)
        for selector in ("main p, main li", "figcaption", "nav ol ol a", "summary"):
            assert page.evaluate(contrast, selector) >= 4.5
