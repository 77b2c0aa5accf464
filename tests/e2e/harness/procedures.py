"""Runs the procedures of docs/procedures as an operator would, with the commands they take from the environment made for a test."""

import os
import shlex
import subprocess
import threading

from . import parts
from .api_server import TOKEN
from .kubeconfig import certificate_authority

FOLDER = parts.ROOT / "docs" / "procedures"


class Agent:
    """Carries out what a script can't: `command(name, function)` is a shell command that has this process call `function`.

    For what a supervisor does on a real host, to processes that belong to the test.
    """

    def __init__(self, folder):
        self._folder = folder / "agent"
        self._folder.mkdir(mode=0o700)
        self._functions = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def command(self, name, function):
        self._functions[name] = function
        request, failure = (shlex.quote(str(self._folder / f"{name}.{suffix}")) for suffix in ("request", "failure"))
        return f": >{request}; while test -e {request}; do sleep 0.05; done; if test -e {failure}; then cat {failure} >&2; exit 1; fi"

    def stop(self):
        self._stop.set()
        self._thread.join()

    def _serve(self):
        while not self._stop.wait(0.05):
            for request in self._folder.glob("*.request"):
                failure = request.with_suffix(".failure")
                failure.unlink(missing_ok=True)
                try:
                    self._functions[request.stem]()
                except Exception as error:  # pylint: disable=broad-exception-caught  (whoever asked is told)
                    failure.write_text(f"{error}\n")
                request.unlink()


class Node:
    """What the procedures' environment is on one control plane node: an API server and a kekd."""

    def __init__(self, cluster, agent, server, kekd, name="node"):
        self._cluster, self._server, self._kekd = cluster, server, kekd
        self._kubeconfig = cluster.folder / f"{name}.kubeconfig"
        self.environment = {
            "KUBECTL": f"{shlex.quote(parts.kubectl())} --kubeconfig {shlex.quote(str(self._kubeconfig))}",
            "KEKCTL": f"{shlex.quote(parts.program('kekctl'))} --config {shlex.quote(str(kekd.config))}",
            "MIGRATE": f"{shlex.quote(parts.program('kekctl'))} --config {shlex.quote(str(kekd.config))} migrate "
                       f"--kubeconfig {shlex.quote(str(self._kubeconfig))}",
            "ETCDCTL": cluster.etcd.command(),
            "CONFIG": str(server.encryption_config),
            "KEYRING": str(kekd.keyring_folder() / "keyring"),
            "KEY_FILE": str(kekd.key_file()),
            "OWNER": str(os.getuid()),
            "RESTART": agent.command(f"{name}-restart", self.restart_api_server),
            # As with any supervisor, stopping what does not run is no error.
            "STOP": agent.command(f"{name}-stop", lambda: kekd.process.running() and kekd.stop()),
            "START": agent.command(f"{name}-start", kekd.start),
            "WAIT": "90",
        }
        self.write_kubeconfig()

    def restart_api_server(self):
        self._server.cold_restart(wait=False)
        self.write_kubeconfig()

    def write_kubeconfig(self):
        # The server has another port after each start.
        self._kubeconfig.write_text(f"""\
apiVersion: v1
kind: Config
current-context: test
contexts: [{{name: test, context: {{cluster: test, user: test}}}}]
users: [{{name: test, user: {{token: {TOKEN}}}}}]
clusters: [{{name: test, cluster: {{server: "https://127.0.0.1:{self._server.port}",
  certificate-authority: "{certificate_authority(self._server)}"}}}}]
""")

    def run(self, script, *arguments, **environment):
        """(exit code, standard output, standard error) of a procedure's step."""
        home = self._cluster.folder / "home"  # kubectl's cache
        home.mkdir(exist_ok=True)
        result = subprocess.run(
            [str(FOLDER / script), *arguments], env={**os.environ, "HOME": str(home), **self.environment, **environment},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=180, check=False)
        return result.returncode, result.stdout, result.stderr

    def must_run(self, script, *arguments, **environment):
        code, stdout, stderr = self.run(script, *arguments, **environment)
        if code != 0:
            raise AssertionError(f"{script} {' '.join(arguments)} ended with {code}\n{stdout}{stderr}")
        return stdout + stderr
