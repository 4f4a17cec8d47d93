import shlex

from acn.wording import command


def test_commands_are_what_a_shell_takes() -> None:
    """Names of runs may have blanks and quotes, as those of folders of photographs do."""
    for name in ("runs/mine", "runs/my photos", "it's", "a [b] $c"):
        assert shlex.split(command("evaluate", name)) == ["acn", "evaluate", name]
    assert command("explore", "runs/my photos") == "acn explore 'runs/my photos'"
