"""Tests for the promises of the README: each sentence of this table stands there, and the test that holds it exists."""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
README = " ".join((TESTS.parent / "README.md").read_text().split())
PROMISES = {
    "nothing in it is run": "checkpoints/test_hostile.py::test_the_command_line_runs_nothing",
    "No file is ever executed.": "checkpoints/test_naming.py::test_no_command_runs_what_a_file_names",
    "What a file says never names code, a path or a download.": "checkpoints/test_taint.py::"
    "test_names_that_a_file_makes_up_are_only_told",
    "read as data, in a process with limits": "checkpoints/test_sandbox.py::test_the_child_has_little_memory",
    "checksums verified": "checkpoints/test_use.py::test_every_flipped_bit_of_a_zip_is_detected",
    "from what the file says and from its names and shapes": "checkpoints/test_layouts.py::"
    "test_weights_are_those_that_were_saved",
    "the head by running the model": "test_heads_survey.py::test_the_head_is_what_the_architecture_says",
    "asks where two architectures fit": "checkpoints/test_use.py::"
    "test_a_mistake_is_answered_with_the_flag_that_mends_it",
    "can be killed at any moment and taken up again with the same line": "extraction/test_kills.py::"
    "test_kills_at_random_moments",
    "(`--rank 3/8`, or torchrun)": "extraction/test_kills.py::test_torchrun_on_one_machine",
    "down to a bit of the weights or the time of a file": "extraction/test_content_key.py::"
    "test_a_change_misses_the_store_and_is_named",
    "every sample once, whole or absent": "feature_store/test_store.py::test_every_row_once_and_in_order",
    "readable without this package": "feature_store/test_store.py::test_anyone_can_read_it",
    "certified by every command that opens it": "feature_store/test_opening.py::"
    "test_what_was_harmed_is_refused_by_every_command",
    "killed at any moment, it goes on where it was": "study/test_running.py::"
    "test_killed_and_called_again_it_ends_in_the_same_bytes",
    "any of it corrupted": "datasets/corruptions/test_samples.py::test_data_by_name",
    "in the place of `torch.nn.CrossEntropyLoss`": "losses/test_drop_in.py::test_values_and_gradients_are_torchs",
    "against plain loops over the equations to 1e-10": "metrics/test_oracle.py::test_every_metric_is_its_equation",
    "a common offset of the features costs no digits": "metrics/test_degenerate.py::"
    "test_a_common_offset_costs_no_digits",
    "one influence function for every metric": "test_estimates.py::"
    "test_influence_is_the_derivative_with_respect_to_a_samples_weight",
    "paired differences": "test_comparison.py::test_pairing_tightens_the_interval",
    "seeds as a level of their own": "test_comparison.py::test_seeds_add_their_own_error",
    "values that differ by rounding alone are equal": "test_floors.py::"
    "test_a_turned_network_is_equal_in_every_metric",
    "What does not exist is NaN with a reason.": "metrics/test_degenerate.py::"
    "test_without_logits_or_head_there_is_a_reason",
    "Nothing is overwritten unasked.": "feature_store/test_store.py::"
    "test_nothing_is_replaced_unasked_and_only_stores_are_replaced",
    "Results go to stdout, progress to stderr": "test_cli.py::test_measure_gives_a_table_json_and_csv",
    "2 (bad input, one line says what to do)": "test_cli.py::test_bad_input_gets_one_line_and_exit_code_2",
    "130 (interrupted), 143 (terminated)": "test_cli.py::test_a_signal_leaves_nothing",
    "70 (a bug)": "test_flags.py::test_lines_end_as_users_expect",
}  # fmt: skip


@pytest.mark.parametrize("promise", PROMISES)
def test_a_promise_of_the_readme_is_held_by_a_test(promise: str):
    assert promise in README
    file, _, name = PROMISES[promise].partition("::")
    functions = [
        node.name for node in ast.parse((TESTS / file).read_text()).body if isinstance(node, ast.FunctionDef)
    ]
    assert name in functions
