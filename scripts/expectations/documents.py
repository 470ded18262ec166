"""What there is to read."""

from scripts.expectations.trying import ROOT, Place, expect, expect_of_test, need

SECTION = "Documentation"


@expect(SECTION, "a site that builds without warnings and without the network")
def site(at: Place) -> str:
    need("mkdocs")
    at.run(
        f"cd {ROOT} && mkdocs build --strict --site-dir {at.folder}/site", shown="make docs", NO_MKDOCS_2_WARNING="1"
    )
    return f"{sum(1 for _ in (at.folder / 'site').rglob('*.html'))} pages"


expect_of_test(SECTION, "notebooks that run", "tests/test_site.py -k notebook")
expect_of_test(SECTION, "the code in the documents runs", "tests/test_docs.py")
