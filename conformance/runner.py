"""Runs files, each in a session of its own."""

import concurrent.futures
import re
import sys
import tempfile
import time

import golden
import tables
from judge import Verdict, judge
from session import Dead, Session, TimedOut

FILE_SECONDS = 240
# What a new session must be told again when the one before has died.
LASTS = re.compile(
    r"(\s|--[^\n]*\n|/\*.*?\*/)*(CREATE|DROP|INSERT|SET|RESET|USE|CACHE|UNCACHE|DECLARE|ALTER|TRUNCATE)\b", re.IGNORECASE | re.DOTALL
)


def run_files(names, options):
    """(block, verdict) for every block of these files in order; the verdict is None for what is not counted."""
    excluded = golden.Excluded()
    results = {}
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        # Long ones first, so that none is left alone at the end.
        order = sorted(names, key=lambda name: -(golden.RESULTS / f"{name}.out").stat().st_size)
        running = {pool.submit(run_file, name, excluded, options): name for name in order}
        for done, future in enumerate(concurrent.futures.as_completed(running), start=1):
            results[running[future]] = future.result()
            if sys.stderr.isatty():
                print(f"\r{done} of {len(names)} files ", end="", file=sys.stderr)
    return [pair for name in sorted(results) for pair in results[name]]


def run_file(name, excluded, options):
    blocks = golden.blocks(name)
    if all(excluded.reason(block) for block in blocks):
        return [(block, None) for block in blocks]
    with tempfile.TemporaryDirectory(prefix="firesteel-golden-", ignore_cleanup_errors=True) as folder:
        return File(name, blocks, folder, options).run(excluded)


class File:
    def __init__(self, name, blocks, folder, options):
        self.name, self.blocks, self.options = name, blocks, options
        self.folder, self.lives = folder, 0
        # What the session was told that lasts.
        self.told = []
        self.session = None

    def run(self, excluded):
        results, began = [], time.monotonic()
        for block in self.blocks:
            if time.monotonic() - began > FILE_SECONDS:
                verdict = Verdict("timeout", "the file took too long")
            else:
                verdict = self.run_block(block)
            results.append((block, None if excluded.reason(block) else verdict))
        if self.session:
            self.session.end()
        return results

    def run_block(self, block):
        try:
            if self.session is None:
                self.start()
            answer = self.session.ask(block.sql, self.options.timeout)
        except Dead as why:
            if self.session:
                self.session.end()
                self.session = None
            timed_out = isinstance(why, TimedOut)
            return Verdict("timeout" if timed_out else "crash", re.sub(r"\d{3,}", "N", str(why)), str(why))
        if "error" not in answer and LASTS.match(block.sql):
            self.told.append(block.sql)
        return judge(block, answer)

    def start(self):
        # Each life has a warehouse of its own, empty.
        self.lives += 1
        folder = f"{self.folder}/{self.lives}"
        golden.pathlib.Path(folder).mkdir()
        self.session = Session(self.options.firesteel, folder, golden.settings(self.name))
        for statement in tables.statements(self.blocks):
            answer = self.session.ask(statement, 60)
            if "error" in answer:
                print(f"{self.name}: a table of the suite is missing: {statement}\n{answer['error']['message']}", file=sys.stderr)
        for statement in self.told:
            self.session.ask(statement, self.options.timeout)
