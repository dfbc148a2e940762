"""Protocol buffers' wire format: what is written is read again."""

from hypothesis import given
from hypothesis import strategies as st

from edgespark.runtime.wire import SIZED, fields, sized


@given(st.binary(max_size=300), st.integers(1, 2**20))
def test_a_field_that_is_written_is_read_again(content: bytes, number: int) -> None:
    made = sized(number, content) + sized(1, b"")
    assert list(fields(made)) == [(number, SIZED, content), (1, SIZED, b"")]


def test_a_field_is_as_the_specification_has_it() -> None:
    # its example of a text: field 2, "testing"
    assert sized(2, b"testing") == bytes.fromhex("12 07 74 65 73 74 69 6e 67")
    assert sized(1, b"x" * 150)[:3] == bytes.fromhex("0a 96 01")
