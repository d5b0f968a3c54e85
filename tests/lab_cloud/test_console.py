"""GetConsoleOutput, as its reference describes it."""

from __future__ import annotations

from tests.lab_cloud.support import X86, Lab, refused


def written(lab: Lab, text: bytes) -> None:
    """What every console has on it from now on."""
    lab.cloud.console = lambda _instance: text


def output(lab: Lab, instance: str, **options: bool) -> str:
    """The console's text; botocore decodes it."""
    answer = lab.ec2.get_console_output(InstanceId=instance, **options)
    assert answer["InstanceId"] == instance
    assert answer["Timestamp"]
    return str(answer.get("Output", ""))


def test_latest_is_what_is_there_now(lab: Lab) -> None:
    """Without Latest it is what was there shortly after the start; with it, what is there now."""
    instance = lab.run()
    written(lab, b"booting\n")
    assert output(lab, instance) == ""
    lab.advance(60)
    written(lab, b"booting\nready\n")
    assert output(lab, instance) == "booting\n"
    assert output(lab, instance, Latest=True) == "booting\nready\n"


def test_after_the_end(lab: Lab) -> None:
    """A terminated instance's last words are there as long as the instance is listed."""
    instance = lab.run()
    written(lab, b"gave up\n")
    lab.ec2.terminate_instances(InstanceIds=[instance])
    lab.advance()
    assert output(lab, instance) == "gave up\n"
    assert output(lab, instance, Latest=True) == ""
    lab.advance(3700)
    with refused("InvalidInstanceID.NotFound"):
        output(lab, instance)


def test_the_newest_64_kilobytes(lab: Lab) -> None:
    """Of a long console the beginning is gone."""
    instance = lab.run()
    written(lab, b"first" + b"x" * 65_531 + b"last\n")
    shown = output(lab, instance, Latest=True)
    assert (len(shown), shown[:5], shown[-5:]) == (65_536, "xxxxx", "last\n")


def test_bytes_that_are_no_text(lab: Lab) -> None:
    """What is no UTF-8 does not break the answer."""
    instance = lab.run()
    written(lab, b"\xff\x1b[31m")
    assert output(lab, instance, Latest=True) == "�\x1b[31m"


def test_only_on_nitro(lab: Lab) -> None:
    """A type of an older generation has no latest output."""
    instance = lab.run(ImageId=X86, InstanceType="t2.micro")
    with refused("UnsupportedOperation"):
        output(lab, instance, Latest=True)
    assert output(lab, instance) == ""
