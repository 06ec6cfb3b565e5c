"""A server that speaks as much of the Hugging Face hub's protocol as an upload and a load need."""

import base64
import hashlib
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Hub(ThreadingHTTPServer):
    """Repositories in memory.

    Tokens: `writes` may do everything in organisation `me`, `reads` nothing but load, any other is
    not valid. `commits` lists (repository, branch, files) in order.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.private = {}  # repository -> whether it is private
        self.branches = {}  # (repository, branch) -> {file: bytes}
        self.blobs = {}  # SHA-256 -> bytes
        self.commits = []
        self.log = []
        self.broken = set()  # paths answered with 500
        self.metadata_error = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def commit_id(self, repository, branch):
        number = sum(name == repository and at == branch for name, at, _ in self.commits)
        return hashlib.sha1(f"{repository} {branch} {number}".encode()).hexdigest()

    def files(self, repository, revision):
        for (name, branch), files in self.branches.items():
            if name == repository and revision in (branch, self.commit_id(name, branch)):
                return files
        return None


class _Refusal(Exception):
    pass


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.serve()

    def do_PUT(self):
        self.serve()

    def do_GET(self):
        self.serve()

    def do_HEAD(self):
        self.serve()

    def serve(self):
        self.path = self.path.split("?")[0]
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.log.append((self.command, self.path))
        try:
            if self.path in self.server.broken:
                raise _Refusal(500, "out of order")
            if self.path.startswith("/lfs/"):
                return self.take_blob()
            self.token()
            return self.route()
        except _Refusal as refusal:
            status, text = refusal.args
            code = {"X-Error-Code": "RepoNotFound"} if status == 404 else {}
            self.answer({"error": text}, status, code)

    def token(self):
        given = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if given not in ("", "writes", "reads"):
            raise _Refusal(401, "Invalid user token.")
        return given

    def may_write(self, repository):
        if self.token() != "writes" or not repository.startswith("me/"):
            raise _Refusal(403, "You don't have the rights to write there.")

    def route(self):
        parts = self.path.strip("/").split("/")
        if parts[:3] == ["api", "repos", "create"]:
            self.create(json.loads(self.body))
        elif parts[:2] == ["api", "validate-yaml"]:
            self.validate()
        elif parts[:2] == ["api", "models"]:
            self.repository(f"{parts[2]}/{parts[3]}", parts[4:])
        elif self.path.endswith(".git/info/lfs/objects/batch"):
            self.batch(self.path.strip("/").split(".git/")[0])
        elif "/resolve/" in self.path:
            self.resolve(*self.path.strip("/").split("/resolve/"))
        else:
            raise _Refusal(404, f"nothing at {self.path}")

    def create(self, wanted):
        repository = f"{wanted['organization']}/{wanted['name']}"
        self.may_write(repository)
        if repository in self.server.private:
            raise _Refusal(409, "You already created this model repo")
        self.server.private[repository] = wanted.get("visibility") == "private"
        self.server.branches[repository, "main"] = {}
        self.answer({"url": f"{self.server.url}/{repository}"})

    def validate(self):
        error = self.server.metadata_error
        errors = [{"message": error}] if error else []
        self.answer({"warnings": [], "errors": errors}, 400 if errors else 200)

    def repository(self, repository, rest):
        if repository not in self.server.private:
            raise _Refusal(404, "Repository not found")
        if not rest or rest[0] == "revision":
            private = self.server.private[repository]
            sha = self.server.commit_id(repository, "main")
            self.answer({"id": repository, "private": private, "sha": sha, "siblings": []})
            return
        self.may_write(repository)
        action, branch = rest[0], "/".join(rest[1:])
        if action == "branch":
            if (repository, branch) in self.server.branches:
                raise _Refusal(409, "Reference already exists")
            main = self.server.branches[repository, "main"]
            self.server.branches[repository, branch] = dict(main)
            self.answer({})
        elif (repository, branch) not in self.server.branches:
            raise _Refusal(404, "Revision not found")
        elif action == "preupload":
            self.answer({"files": [_mode(file) for file in json.loads(self.body)["files"]]})
        else:
            self.commit(repository, branch)

    def batch(self, repository):
        self.may_write(repository)
        objects = json.loads(self.body)["objects"]
        for item in objects:
            if item["oid"] not in self.server.blobs:
                href = f"{self.server.url}/lfs/{item['oid']}"
                item["actions"] = {"upload": {"href": href, "header": {}}}
        self.answer({"transfer": "basic", "objects": objects})

    def take_blob(self):
        digest = self.path.rsplit("/", 1)[1]
        if hashlib.sha256(self.body).hexdigest() != digest:
            raise _Refusal(400, "content is not what its name says")
        self.server.blobs[digest] = self.body
        self.answer({})

    def commit(self, repository, branch):
        header, *changes = [json.loads(line) for line in self.body.splitlines()]
        assert header["key"] == "header"
        files = self.server.branches[repository, branch]
        for change in changes:
            value = change["value"]
            if change["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            else:
                files[value["path"]] = self.server.blobs[value["oid"]]
        names = sorted(change["value"]["path"] for change in changes)
        self.server.commits.append((repository, branch, names))
        commit = self.server.commit_id(repository, branch)
        url = f"{self.server.url}/{repository}/commit/{commit}"
        self.answer({"commitUrl": url, "commitOid": commit, "success": True})

    def resolve(self, repository, rest):
        revision, name = rest.split("/", 1)
        private = self.server.private.get(repository, True)
        files = self.server.files(repository, revision)
        if files is None or name not in files or (private and not self.token()):
            hidden = files is None or (private and not self.token())
            code = "RepoNotFound" if hidden else "EntryNotFound"
            self.answer({}, 404, {"X-Error-Code": code})
            return
        branch = next(b for (r, b), f in self.server.branches.items() if f is files)
        self.raw(files[name], {"X-Repo-Commit": self.server.commit_id(repository, branch)})

    def answer(self, value, status=200, headers=None):
        self.raw(json.dumps(value).encode(), headers or {}, status)

    def raw(self, data, headers, status=200):
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *arguments):
        """Stay quiet."""


def _mode(file):
    large = file["path"].endswith(".safetensors")
    return {
        "path": file["path"],
        "uploadMode": "lfs" if large else "regular",
        "shouldIgnore": False,
    }
