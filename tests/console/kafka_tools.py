"""Kafka's own command-line tools, under the names of their scripts, for the commands that pages show."""

import os
import shlex
import subprocess
from pathlib import Path

from devstack import java
from devstack.config import StackConfig
from devstack.fetch import TOOLS, fetch_tools, jar_folder

SCRIPTS = {
    "kafka-topics.sh": "org.apache.kafka.tools.TopicCommand",
    "kafka-console-producer.sh": "org.apache.kafka.tools.ConsoleProducer",
    "kafka-console-consumer.sh": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "kafka-consumer-groups.sh": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
}
"""The script of Kafka's bin folder -> the class that it runs."""

QUIET = ["-Dorg.apache.logging.log4j.level=OFF"]
"""Kafka's scripts have their log written elsewhere than what the tools print."""


class Terminal:
    """A shell whose PATH has the scripts. folder: for them; config: tells where the jars lie."""

    def __init__(self, folder: Path, config: StackConfig) -> None:
        fetch_tools(config.home)
        jars = [f"{jar_folder(config.home, name)}/*" for name in (TOOLS, "kafka")]
        for script, main in SCRIPTS.items():
            command = java.java_command(folder=folder, class_path=jars, heap="256m", options=QUIET, main=[main])
            (folder / script).write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
            (folder / script).chmod(0o755)
        self._env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}

    def run(self, command: str) -> str:
        """What a command prints; fails unless it exits with 0."""
        done = subprocess.run(["bash", "-c", command], env=self._env, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout
