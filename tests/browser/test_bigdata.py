"""Long work in a pool of its own, watched from a page. See examples/bigdata.

The jobs pool is given one process and a run is long, so that a test can meet it half way: ten billion takes most
of a minute, and no test waits for its end.
"""

import gzip
import re
import urllib.error
import urllib.request

import pytest
from playwright.sync_api import expect
from support.headrace import PATIENCE, ROOT, Headrace, example, wait_until

CONFIG = ROOT / "examples" / "bigdata" / "headrace.ini"
PRIMES = {"10 million": "664579", "100 million": "5761455", "1 billion": "50847534"}


@pytest.fixture
def site(tmp_path):
    pools = ("--pool", "web.processes=1", "--pool", "jobs.processes=1")
    with Headrace(tmp_path, example("bigdata"), "-c", CONFIG, *pools) as site:
        yield site
        wait_until(site.is_at_rest, "every gauge back at zero")


@pytest.fixture
def page(site, window):
    page = window(height=900)
    page.goto(site.url)
    expect(page.locator("body")).to_have_attribute("data-listening", "")
    return page


def start(page, size):
    """Starts a run and returns its card."""
    page.get_by_text(size.split()[0], exact=True).and_(page.locator("label:has-text('%s') *" % size.split()[1])).click()
    n = page.locator(".run").count()
    page.get_by_role("button", name="Start a run").click()
    expect(page.locator(".run")).to_have_count(n + 1)
    return page.locator(".run").nth(0)


def percent(run):
    return run.locator("progress").evaluate("bar => bar.value")


def get(site, path, **headers):
    request = urllib.request.Request(site.url + path, headers=headers)
    with urllib.request.urlopen(request, timeout=PATIENCE) as response:
        return response.headers, response.read()


def test_a_run_shows_progress_and_ends_with_the_right_number(page):
    page.evaluate(
        """() => {
            window.seen = [];
            new MutationObserver(() => {
                const bar = document.querySelector('.run progress');
                if (bar && bar.value !== window.seen.at(-1)) window.seen.push(bar.value);
            }).observe(document.getElementById('runs'), { subtree: true, childList: true, attributes: true });
        }"""
    )
    run = start(page, "100 million")
    expect(run).to_have_attribute("data-state", "done")
    expect(run).to_have_attribute("data-primes", PRIMES["100 million"])
    seen = page.evaluate("window.seen")
    assert seen == sorted(seen) and len(seen) > 3
    expect(run.locator(".facts")).to_contain_text("after gzip")
    expect(run.locator("figure rect")).to_have_count(100)


def test_several_runs_at_once_and_the_only_web_worker_is_free(site, page, shot):
    start(page, "10 million")
    for _ in range(2):
        expect(start(page, "10 billion")).to_have_attribute("data-state", "running")
    runs = page.locator(".run[data-state=running]")
    for _ in range(5):
        get(site, "/ping")
    wait_until(lambda: all(percent(run) > 1 for run in runs.all()), "every run to make progress")
    expect(runs).to_have_count(2)
    expect(page.locator(".run[data-primes]")).to_have_attribute("data-primes", PRIMES["10 million"])
    expect(page.locator("#latency")).to_have_text(re.compile(r"\d ms$"))
    assert site.channel("bigdata.process")["waiting"] == 0
    shot(page, "bigdata", when=lambda: percent(runs.first) > 30)
    for _ in range(2):
        runs.first.get_by_role("button").click()


def test_cancelling_reaches_the_worker_that_computes(site, page):
    run = start(page, "10 billion")
    wait_until(lambda: percent(run) > 0, "progress")
    run.get_by_role("button").click()
    expect(run).to_have_attribute("data-state", "stopped")
    worker = site.pids("worker", "jobs")[0]
    expect(run.locator(".facts")).to_contain_text(f"Worker {worker} noticed and stopped.")
    expect(start(page, "10 million")).to_have_attribute("data-primes", PRIMES["10 million"])


def test_a_killed_jobs_worker_is_replaced_and_the_same_request_is_answered(site, page):
    run = start(page, "1 billion")
    wait_until(lambda: percent(run) > 2, "progress")
    [dead] = site.kill_workers("jobs")
    expect(run.locator(".note")).to_contain_text(f"Worker {dead} died")
    expect(run).to_have_attribute("data-state", "done")
    expect(run).to_have_attribute("data-primes", PRIMES["1 billion"])
    wait_until(lambda: site.pool("jobs")["exits_1h"] == 1, "the supervisor's report of the exit")
    assert site.pool("web")["exits_1h"] == 0


def test_a_client_that_takes_gzip_gets_the_same_table_compressed(site):
    path = "/report?n=1000000&page=p&run=r"
    plain_headers, plain = get(site, path)
    headers, small = get(site, path, **{"Accept-Encoding": "gzip"})
    assert plain_headers["Content-Encoding"] is None
    assert headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(small) == plain
    assert len(small) < len(plain)
    rows = [line.split(",") for line in plain.decode().splitlines()]
    assert rows[0] == ["from", "to", "primes"]
    assert sum(int(row[2]) for row in rows[1:]) == 78498
    assert re.fullmatch(r"jobs \d+", headers["X-Worker"])


@pytest.mark.parametrize(
    "query", ["", "n=99&run=r", "n=10000000001&run=r", "n=1e6&run=r", "n=-1&run=r", "n=1000", "n=1000&run=a%09b"]
)
def test_a_request_that_makes_no_sense_is_refused_and_not_handed_on(site, query):
    with pytest.raises(urllib.error.HTTPError) as refused:
        get(site, f"/report?{query}")
    assert refused.value.code == 400
    assert site.channel("bigdata.process")["sent"] == 0
