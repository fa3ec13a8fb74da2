"""Reads the documents beside it with Expat, and says what isn't as its schema has it.

The rules are those of the sitemap's XSD (https://www.sitemaps.org/schemas/sitemap/0.9/),
and of RFC 4287 where Expat can tell.
"""
import glob
import os
import sys
import xml.etree.ElementTree as tree
from datetime import datetime

here = os.path.dirname(os.path.abspath(__file__))
ATOM, MAP = "{http://www.w3.org/2005/Atom}", "{http://www.sitemaps.org/schemas/sitemap/0.9}"
wrong = []


def check(right, what):
    if not right:
        wrong.append(what)


def sitemap(name, root):
    outer, inner = {MAP + "urlset": ("urlset", "url"), MAP + "sitemapindex": ("sitemapindex", "sitemap")}.get(root.tag, (None, None))
    check(outer, f"{name}: the root is {root.tag}")
    check(1 <= len(root) <= 50000, f"{name}: {len(root)} elements")
    for element in root:
        check(element.tag == f"{MAP}{inner}", f"{name}: {element.tag}")
        order = [child.tag for child in element]
        check(order in ([MAP + "loc"], [MAP + "loc", MAP + "lastmod"]), f"{name}: {order}")
        check(12 <= len(element[0].text) <= 2048, f"{name}: {element[0].text}")
        for moment in element[1:]:
            datetime.fromisoformat(moment.text.replace("Z", "+00:00"))


def atom(name, root):
    check(root.tag == ATOM + "feed", f"{name}: the root is {root.tag}")
    for element in [root, *root.findall(ATOM + "entry")]:
        for one in ("id", "title", "updated"):
            check(len(element.findall(ATOM + one)) == 1, f"{name}: {one} in {element.tag}")
        datetime.fromisoformat(element.find(ATOM + "updated").text.replace("Z", "+00:00"))
    check(root.find(ATOM + "author/" + ATOM + "name").text, f"{name}: no author")


files = sorted(glob.glob(here + "/*.xml") + glob.glob(here + "/*.atom"))
check(len(files) >= 6, f"only {len(files)} documents")
for path in files:
    root = tree.parse(path).getroot()
    (atom if path.endswith(".atom") else sitemap)(os.path.basename(path), root)
sys.exit("\n".join(wrong) or 0)
