from __future__ import annotations

import subprocess
import sys

# A session whose thread draws while that of another is in the middle of importing pandas.
TWO_SESSIONS = """
import sys, threading, time
import altair
from clip_har.ui.measured.charts import interval_chart
other = threading.Thread(target=__import__, args=("pandas",))
other.start()
while "pandas" not in sys.modules:
    time.sleep(0.001)
interval_chart([{"name": "a", "value": 0.5, "low": 0.4, "high": 0.6}], "accuracy")
other.join()
"""


def test_a_chart_is_drawn_while_another_session_still_imports_pandas():
    done = subprocess.run([sys.executable, "-c", TWO_SESSIONS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-1000:]
