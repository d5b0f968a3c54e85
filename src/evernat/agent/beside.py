"""Fetches what of the agent lies beside the user data, in the parameter store, and starts the cluster's daemon."""

from __future__ import annotations

import hashlib
import os
import time

from .cluster_model import Config
from .daemon import find, log, notify, read
from .effects import EffectError
from .effects.address import Cloud
from .effects.imds import Metadata


def unpack(folder: str, config: Config, values: dict[str, str]) -> None:
    """Write the files below `folder`. EffectError when the text is not the one the user data was made with."""
    text = "".join(values[name].partition("\n")[2] + "\n" for name in config.code)
    if hashlib.sha256(text.encode()).hexdigest()[:16] != config.code[0].split("/")[-2]:
        raise EffectError(f"{config.code[0]} and its likes were changed: delete them, then evernat deploy")
    for part in text.split("#file ")[1:]:
        path, _, source = part.partition("\n")
        with open(os.path.join(folder, path), "w") as file:
            file.write(source)


def main(arguments: list[str]) -> int:
    """Wait for key and files: without them no peer is to be trusted, and nothing can be decided."""
    config = Config.parse(read(arguments))
    metadata = Metadata()
    host = find(metadata)
    log("start", version=config.version, stack=config.stack, instance=host.instance, slot=config.slot)
    cloud, said = Cloud(host, metadata), ""
    while True:
        try:
            values = cloud.parameters([config.key_parameter, *config.code])
            unpack(os.path.dirname(__file__), config, values)
            break
        except EffectError as error:
            if said != str(error):
                log("unknown", fact="parameters", reason=str(error))
            said = str(error)
            notify("WATCHDOG=1")
            time.sleep(0.5)
    from .cluster import Agent

    Agent(config, host, metadata, bytes.fromhex(values[config.key_parameter])).run()
