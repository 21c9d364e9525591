"""The OpenAPI document against the service: schemathesis makes calls out of it, and checks the replies."""

import os
import subprocess
import sys

import pytest

MAX_EXAMPLES = 200 if os.environ.get("HYPOTHESIS_PROFILE") in ("long", "deep") else 3
SEED = "17"
TOO_STRICT = "positive_data_acceptance"  # a schema of JSON cannot say which texts are expressions, names or moments


@pytest.mark.parametrize("phases", ["examples,coverage", "fuzzing"])
def test_replies_are_those_of_the_document(service, tmp_path, phases):
    """Every status, media type, header and body is one that the document names, and none is an internal error."""
    options = ["--phases", phases, "--max-examples", str(MAX_EXAMPLES), "--seed", SEED, "--exclude-checks", TOO_STRICT]
    program = "from schemathesis.cli import schemathesis; schemathesis()"
    done = subprocess.run(
        [sys.executable, "-c", program, "run", f"{service.url}/openapi.json", *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
