"""What stands in the way of a reader who sees, hears or points differently, as axe-core finds it in a page."""

from typing import Any

from axe_playwright_python.sync_playwright import Axe

# Folded parts are looked at, too. Of the code's colors one word of each kind is enough: to measure the contrast of all
# takes most of a minute, and they differ in nothing.
PREPARE = """() => {
    for (const part of document.querySelectorAll('details')) part.open = true;
    const seen = new Set();
    for (const word of document.querySelectorAll('.highlight span')) {
        if (seen.has(word.className)) word.replaceWith(word.textContent);
        seen.add(word.className);
    }
}"""


def barriers(page: Any) -> list[str]:
    """The serious and critical violations in a page, each with the parts that have it; the page is changed by it."""
    page.evaluate(PREPARE)
    # Not preloaded: a folder's page may not ask for its own style sheet by script, and complains.
    options = {"resultTypes": ["violations"], "preload": False}
    found = Axe().run(page, options=options).response["violations"]
    return [
        f"{each['id']}: {[node['html'][:120] for node in each['nodes']]}"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]
