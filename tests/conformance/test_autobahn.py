"""Autobahn's cases for WebSocket servers, run by kosoku: none fails. 12 and 13 are about compression, which is not ours."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from kosoku import FailureError, run_fuzzingclient

from support.headrace import Headrace, example, wait_until

# How many cases each group has: so many must have been run.
GROUPS = {
    "1": ("framing", 16),
    "2": ("pings and pongs", 11),
    "3": ("reserved bits", 7),
    "4": ("opcodes", 10),
    "5": ("fragmentation", 20),
    "6": ("UTF-8", 145),
    "7": ("closing", 37),
    "9": ("limits and performance", 54),
    "10": ("fragments of their own size", 1),
}
# A message, then a frame that is none: strict is who answers the message before he closes. What the application makes
# of the message is on its way when we fail the connection, as RFC 6455 7.1.7 has it, so it may or may not be sent.
NON_STRICT = {"3.2", "3.3", "3.4", "4.1.3", "4.1.4", "4.1.5", "4.2.3", "4.2.4", "4.2.5", "5.15"}
# Nobody's fault, whatever happens: a message behind a close frame, and close codes that are not defined.
INFORMATIONAL = {"7.1.6", "7.13.1", "7.13.2"}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Room for messages of 16 MiB, the largest that are tried; they may be an eighth of the arena."""
    options = ("--name", "autobahn", "--max-message", "16MiB", "--set", "layer.size=192MiB")
    with Headrace(tmp_path_factory.mktemp("autobahn"), example("hello"), *options) as running:
        yield running
        wait_until(running.is_at_rest, "the site at rest")


def run(site, group):
    """In a thread of its own: the browser's tests leave a running event loop in this one."""
    client = run_fuzzingclient(f"127.0.0.1:{site.port}", [f"{group}.*"])
    try:
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, client).result()
    except FailureError as failure:
        return failure.results


def verdicts(result):
    return {result.behavior.value, result.behavior_close.value} - {"OK"}


@pytest.mark.parametrize("group", GROUPS, ids=[f"{number} {what}" for number, (what, _) in GROUPS.items()])
def test_autobahn(site, group):
    results = run(site, group)
    bad = [
        f"{result.case_id}: {result.result} {result.result_close}"
        for result in results
        if verdicts(result)
        - ({"NON-STRICT"} if result.case_id in NON_STRICT else set())
        - ({"INFORMATIONAL"} if result.case_id in INFORMATIONAL else set())
    ]
    assert not bad
    assert len(results) == GROUPS[group][1]
