"""What the tables and rows are reckoned from; needs Python alone: python3 benches/compare/test_results.py"""

import array
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from measuring import Peer, spoken
from results import RATE, Pairing, Series, table


def series(name: str, costs: list[float], seconds: float = 2.0) -> Series:
    """Runs that take `costs` CPU seconds and twice the wall time for each second of audio."""
    samples = int(RATE * seconds)
    runs = [{"samples": samples, "cpu": c * seconds, "wall": 2 * c * seconds, "first": 0.5, "peak_kib": 2048} for c in costs]
    return Series(name, 1.5, runs)


def pairing(device: str = "cpu") -> Pairing:
    return Pairing("kokoro-cpu-vs-x", device, series("ours", [0.1, 0.4, 0.2]), series("x", [0.3, 0.4, 0.8]), 50e9, 1e12)


class Results(unittest.TestCase):
    def test_the_ratio_is_the_median_of_pairs_and_not_the_ratio_of_medians(self):
        self.assertAlmostEqual(pairing().ratio("cpu"), 3.0)

    def test_audio_of_another_length_costs_by_the_second(self):
        shorter = Pairing("w", "cpu", series("ours", [0.5], seconds=4), series("x", [1.0], seconds=1))
        self.assertAlmostEqual(shorter.ratio("cpu"), 2.0)

    def test_a_row_has_what_counts_on_the_device(self):
        self.assertEqual(
            pairing().row(), {"work": "kokoro-cpu-vs-x", "device": "cpu", "ours": 0.2, "theirs": 0.4, "ratio": 3.0}
        )
        self.assertEqual(pairing("cuda").row()["ours"], 0.4)

    def test_the_share_is_work_over_time_and_peak(self):
        self.assertAlmostEqual(pairing().share(pairing().ours), 0.25)
        self.assertIsNone(Pairing("w", "cpu", series("a", [1]), series("b", [1])).share(series("a", [1])))

    def test_the_table_has_both_and_the_ratio_once(self):
        head, rule, ours, theirs = table([pairing()]).splitlines()
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in (head, rule, ours, theirs)]
        self.assertEqual({len(line) for line in cells}, {11})
        self.assertEqual(cells[2][1:5], ["ours", "2.00", "0.200 (0.100 to 0.400)", "0.400"])
        self.assertEqual((cells[2][9:], cells[3][9:]), (["", ""], ["3.00", "3.00"]))

    def test_runs_that_lack_a_partner_are_no_pairs(self):
        with self.assertRaises(ValueError):
            Pairing("w", "cpu", series("a", [1, 1]), series("b", [1])).ratio("cpu")


class Measuring(unittest.TestCase):
    def test_the_silence_behind_a_full_stop_is_no_speech(self):
        self.assertEqual(spoken(array.array("h", [0, 5, 0, -3, 0, 0, 0]).tobytes()), 4)
        self.assertEqual(spoken(bytes(8)), 0)

    def test_a_peer_is_charged_for_its_own_and_its_childrens_time(self):
        burn = "import time\nwhile time.process_time() < 0.3: pass"
        program = (
            "import json, subprocess, sys\nprint('{}', flush=True)\n"
            f"for line in sys.stdin:\n    subprocess.run([sys.executable, '-c', {burn!r}])\n"
            f"    {burn.replace(chr(10), chr(10) + '    ')}\n"
            "    print(json.dumps({'samples': json.loads(line)}), flush=True)\n"
        )
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "peer.py"
            path.write_text(program)
            peer = Peer([sys.executable, path], 1)
            run = peer.speak(7)
            peer.stop()
        self.assertEqual(run["samples"], 7)
        # Twice 0.3 s, less what starting took of the second.
        self.assertGreater(run["cpu"], 0.4)
        self.assertGreaterEqual(run["wall"], run["cpu"] / (os.cpu_count() or 1))


class Command(unittest.TestCase):
    def test_help_tells_of_every_option(self):
        script = Path(__file__).with_name("run.py")
        told = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True, check=True).stdout
        for option in ("--quick", "--json", "--device", "--threads", "--rounds", "--python"):
            self.assertIn(option, told)

    def test_rows_survive_json(self):
        self.assertEqual(json.loads(json.dumps(pairing().row())), pairing().row())


if __name__ == "__main__":
    unittest.main()
