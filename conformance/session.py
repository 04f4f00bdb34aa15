"""A session of Firesteel: one process, statements in, answers out."""

import json
import os
import select
import subprocess
import tempfile
import time


class Dead(Exception):
    """The process has ended or was ended."""


class TimedOut(Dead):
    pass


class Session:
    def __init__(self, firesteel, folder, settings):
        # One thread, so that rows that no ORDER BY orders, and those that a LIMIT keeps, are the same in every run.
        command = [firesteel, "sql", "--json-session", "--quiet", "--master", "local[1]"]
        for key, value in {"spark.sql.warehouse.dir": f"{folder}/warehouse", **settings}.items():
            command += ["--conf", f"{key}={value}"]
        self.errors = tempfile.TemporaryFile()
        environment = os.environ | {"FIRESTEEL_LOG": "error", "TZ": "America/Los_Angeles", "RUST_BACKTRACE": "0"}
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, bufsize=0
        )
        self.pending = b""

    def ask(self, sql, seconds):
        """The answer to one statement. Raises when it takes longer, or when the process ends instead."""
        try:
            self.process.stdin.write(json.dumps({"sql": sql}).encode() + b"\n")
        except BrokenPipeError:
            raise Dead(self.last_words()) from None
        until = time.monotonic() + seconds
        while b"\n" not in self.pending:
            left = until - time.monotonic()
            ready, _, _ = select.select([self.process.stdout], [], [], max(left, 0))
            if not ready:
                self.end()
                raise TimedOut(f"no answer within {seconds:.0f} s")
            some = os.read(self.process.stdout.fileno(), 1 << 20)
            if not some:
                raise Dead(self.last_words())
            self.pending += some
        line, _, self.pending = self.pending.partition(b"\n")
        return json.loads(line)

    def last_words(self):
        status = self.process.wait()
        self.errors.seek(0)
        said = self.errors.read().decode(errors="replace").strip().splitlines()
        return f"the process ended with status {status}: {said[-1] if said else ''}"

    def end(self):
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        # It ends with its input, and takes its temporary folders along; one that does not listen any more is killed.
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.errors.close()
